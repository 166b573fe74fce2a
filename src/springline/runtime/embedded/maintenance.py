"""What keeps the files small, in a thread of its own: checkpoints, log retention, old ticks, unused memo values."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import apsw

from springline.context.knowledge_tables import passages_table
from springline.core.position import Tick
from springline.errors import SpringlineError
from springline.log.sqlite import SqliteLog
from springline.runtime.embedded.catalog import Relations
from springline.runtime.embedded.changelists import APPLICATION, Retained, complete_after, list_name, tick_of
from springline.runtime.embedded.engine import WorkResult
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.progress import Progress
from springline.runtime.embedded.readers import Checkpointer, Readers
from springline.runtime.embedded.sizes import Sizes
from springline.runtime.embedded.tables import quote

CHECKPOINT_EVERY_S = 0.5
TRIM_EVERY_S = 10.0
PRUNE_EVERY_S = 600.0
TRIM_CHANGES = 20_000
"""Changes that a tick forgets of a change list."""

TICKS_KEPT = 500_000
"""Of older ticks the time is no longer known: rows that they changed last then say no time of change."""

MEMO_GRACE_S = 24 * 3600.0
"""How long a vector that no passage uses is kept, in case its text comes back."""

_logger = logging.getLogger("springline.maintenance")


@dataclass(frozen=True)
class Retention:
    """How long the log is kept. What is not applied yet is always kept. Receipts can be rebuilt as long as the log holds all."""

    log_age_s: float = 7 * 24 * 3600.0
    log_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Prune:
    """Forgets old ticks and vectors that nobody has used for a while; applied in a tick, by the engine."""

    knowledge: tuple[str, ...]
    now_us: int

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        connection.execute("DELETE FROM _ticks WHERE tick < ?", (tick - TICKS_KEPT,))
        used = "".join(
            f" AND NOT EXISTS (SELECT 1 FROM {quote(passages_table(name))} p WHERE p.hash = _memo.hash)"
            for name in self.knowledge
        )
        cutoff_us = self.now_us - int(MEMO_GRACE_S * 1e6)
        connection.execute(f"DELETE FROM _memo WHERE made_at_us BETWEEN 1 AND ? {used}", (cutoff_us,))


@dataclass(eq=False)
class TrimLists:
    """Forgets what subscribers no longer come back for; applied in a tick, by the engine. ``through``: the last tick that goes, by relation."""

    relations: Relations
    through: Mapping[str, int]
    now_us: int
    oldest_us: int
    has_more: bool = False

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        self.has_more = False
        for name, last in self.through.items():
            # A view that is being built catches up from the same list.
            if self.relations.lists.held_only_by(name, APPLICATION):
                self.has_more |= self.relations.lists.forget_through(name, last, TRIM_CHANGES)
        connection.execute("INSERT OR IGNORE INTO _marks VALUES (?, ?)", (tick, self.now_us))
        connection.execute("DELETE FROM _marks WHERE at_us < ?", (self.oldest_us,))


@dataclass(frozen=True, slots=True)
class ListRetention:
    """How long the change lists are kept that the application has declared."""

    relations: Relations
    declared: Mapping[str, Retained]

    def trim(self, connection: apsw.Connection, now_us: int) -> TrimLists | None:
        """What is to be forgotten now, as a snapshot shows it; None where no list is declared. ``_marks`` says which tick was when."""
        if not self.declared:
            return None
        through: dict[str, int] = {}
        for name, kept in self.declared.items():
            if complete_after(connection, name) is None:
                continue
            [(by_age,)] = connection.execute(
                "SELECT max(tick) FROM _marks WHERE at_us <= ?", (now_us - int(kept.age_s * 1e6),)
            )
            by_number = connection.execute(
                f"SELECT _seq FROM main.{quote(list_name(name))} ORDER BY _seq DESC LIMIT 1 OFFSET ?",
                (kept.changes,),
            ).fetchone()
            last = max(by_age or 0, tick_of(by_number[0]) if by_number else 0)
            if last > 0:
                through[name] = last
        longest_s = max(one.age_s for one in self.declared.values())
        return TrimLists(self.relations, through, now_us, now_us - int((longest_s + 2 * TRIM_EVERY_S) * 1e6))


class Maintenance:
    """Runs until stopped. Never raises: what fails now is tried again."""

    def __init__(
        self,
        log: SqliteLog,
        checkpointer: Checkpointer,
        readers: Readers,
        knowledge: Mapping[str, Knowledge],
        progress: Progress,
        retention: Retention,
        submit: Callable[[WorkResult], None],
        lists: ListRetention,
        sizes: Sizes,
    ) -> None:
        self._log = log
        self._checkpointer = checkpointer
        self._readers = readers
        self._knowledge = knowledge
        self._progress = progress
        self._retention = retention
        self._submit = submit
        self._lists = lists
        self._sizes = sizes
        self._trimming: TrimLists | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maintenance", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        next_trim = time.monotonic() + TRIM_EVERY_S
        next_prune = time.monotonic() + PRUNE_EVERY_S
        last_sequence = last_tick = -1
        while not self._stop.wait(CHECKPOINT_EVERY_S):
            try:
                self._readers.expire()
                reached = self._progress.reached
                if reached.tick != last_tick:
                    self._checkpointer.run()
                    last_tick = reached.tick
                if self._log.last_sequence() != last_sequence:
                    self._log.checkpoint()
                    last_sequence = self._log.last_sequence()
                self._sizes.measure_if_due()
                if time.monotonic() > next_trim:
                    next_trim = time.monotonic() + TRIM_EVERY_S
                    self._trim(reached.log_sequence, reached.tick)
                    self._trim_lists()
                elif self._trimming is not None and self._trimming.has_more:
                    self._trim_lists()
                if time.monotonic() > next_prune:
                    next_prune = time.monotonic() + PRUNE_EVERY_S
                    self._submit(Prune(tuple(self._knowledge), time.time_ns() // 1_000))
            except SpringlineError as error:
                _logger.warning("maintenance will be tried again: %s", error)
            # Without this thread the log and the change lists would grow without end; it is also the only one to notice a defect.
            except Exception:
                _logger.exception("maintenance failed")

    def _trim_lists(self) -> None:
        with self._readers.read() as connection:
            self._trimming = self._lists.trim(connection, time.time_ns() // 1_000)
        if self._trimming is not None:
            self._submit(self._trimming)

    def _trim(self, applied: int, tick: int) -> None:
        oldest_us = time.time_ns() // 1_000 - int(self._retention.log_age_s * 1e6)
        before = min(applied, self._log.sequence_at(oldest_us))
        if self._log.size_bytes() > self._retention.log_bytes:
            # A tenth of what is held goes at a time; the file does not shrink, its pages are used again.
            first = self._log.first_sequence()
            before = max(before, min(applied, first + (applied - first) // 10))
        while not self._stop.is_set() and self._log.trim(before):
            continue
        if not self._readers.open_count():
            for knowledge in self._knowledge.values():
                knowledge.index.forget_before(tick)
