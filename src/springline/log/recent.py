"""The newest transactions, in memory, on their way from the log's writer to the engine.

The engine may begin a tick on transactions that the log is still committing, so that both disks' waits overlap. It may not
commit the tick before the log has committed them: ``Recent.wait_durable`` is what it calls in between.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from springline.core.change import Entry
from springline.log.base import Logged

MOST_ENTRIES = 40_000
"""What is held at most; an engine that is further behind reads the file."""

ROOM_ENTRIES = MOST_ENTRIES // 2
"""Who can wait goes on when fewer are held: one tick's input beside the one that the engine works on."""

Whole = tuple[Logged, list[Entry]]


class NotDurable(Exception):
    """The log could not commit what was offered. The tick that was begun on it is rolled back; the source offers it again."""


class Recent:
    """Transactions in order of their sequence, some of them still being committed. One writer at a time offers, one engine takes."""

    def __init__(self, changed: threading.Condition, last_sequence: int) -> None:
        self._changed = changed
        """The log's own condition; its lock guards everything here."""
        self._held: deque[Whole] = deque()
        self._entries = 0
        self._failures = 0
        self._failures_at_take = 0
        self.durable = last_sequence
        """The newest transaction that the log has committed."""
        self.offered = last_sequence
        """The newest transaction that ``take`` may give, committed or not."""

    def offer(self, transactions: Sequence[Whole]) -> None:
        """The log begins to commit these. Their lists are not changed from here on, by anybody."""
        if not transactions:
            return
        with self._changed:
            self._held.extend(transactions)
            self._entries += sum(logged.size for logged, _ in transactions)
            if self._entries > MOST_ENTRIES:
                self._forget()
                return
            self.offered = transactions[-1][0].sequence
            self._changed.notify_all()

    def settle(self, last_sequence: int) -> None:
        """The log has committed everything up to ``last_sequence``."""
        with self._changed:
            self.durable = self.offered = last_sequence
            self._changed.notify_all()

    def withdraw(self) -> None:
        """The log's commit failed: what it would have made durable was never there."""
        with self._changed:
            self._forget()
            self._failures += 1
            self.offered = self.durable
            self._changed.notify_all()

    def wait_for_room(self, timeout_s: float) -> None:
        """Blocks while ``ROOM_ENTRIES`` are held, at most ``timeout_s``."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries < ROOM_ENTRIES, timeout_s)

    def take(self, after: int, limit: int) -> list[Whole]:
        """Transactions that follow ``after`` without a gap, about ``limit`` entries in all; empty where the file must be read."""
        with self._changed:
            self._failures_at_take = self._failures
            held, before = self._held, self._entries
            while held and held[0][0].sequence <= after:
                self._entries -= held.popleft()[0].size
            if before >= ROOM_ENTRIES > self._entries:
                self._changed.notify_all()
            found: list[Whole] = []
            entries, following = 0, after + 1
            for whole in held:
                logged = whole[0]
                if logged.sequence != following or (found and entries + logged.size > limit):
                    break
                found.append(whole)
                entries += logged.size
                following += 1
            return found

    def wait_durable(self, sequence: int) -> None:
        """Blocks until the log has committed what was taken, up to ``sequence``. Raises NotDurable if it could not."""
        with self._changed:
            self._changed.wait_for(
                lambda: self.durable >= sequence or self._failures != self._failures_at_take
            )
            if self._failures != self._failures_at_take and self.durable < sequence:
                raise NotDurable

    def _forget(self) -> None:
        self._held.clear()
        self._entries = 0
