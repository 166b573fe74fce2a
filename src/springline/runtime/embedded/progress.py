"""What ticks have reached, for everybody who waits: the recency barrier, feeds, the page.

``complete_through`` of a source is the position before the oldest of its changes whose model work is pending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from springline.core.position import Position, PositionVector, Tick


@dataclass(frozen=True, slots=True)
class Reached:
    """What the last committed tick reached."""

    tick: Tick = Tick(0)
    log_sequence: int = 0
    applied: PositionVector = field(default_factory=PositionVector)
    oldest_pending: int | None = None
    """Log sequence of the oldest change whose model work is pending."""
    loading: frozenset[str] = frozenset()
    """Tables of which a snapshot is not complete: rows may be missing, or be older than the positions say."""


class Progress:
    """Published after every tick; awaited by readers. Thread-safe."""

    def __init__(self) -> None:
        self._reached = Reached()
        self._changed = threading.Condition()
        self._failed: BaseException | None = None

    @property
    def reached(self) -> Reached:
        return self._reached

    def publish(self, reached: Reached) -> None:
        with self._changed:
            self._reached = reached
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Wakes everybody who waits: there will be no further tick."""
        with self._changed:
            self._failed = error
            self._changed.notify_all()

    def wait_for(
        self, required: Mapping[str, Position], *, complete: bool, deadline_s: float
    ) -> tuple[str, ...]:
        """Waits until everything required is applied, no table is loading and, if ``complete``, the model work of these changes is
        done, or until the monotonic ``deadline_s``. The sources that are missing then; empty when all is there."""
        with self._changed:
            if not self._wait(lambda: self._reached.applied.covers(required), deadline_s):
                return tuple(
                    source
                    for source, position in required.items()
                    if not self._reached.applied.covers({source: position})
                )
            if not self._wait(lambda: not self._reached.loading, deadline_s):
                return tuple(sorted({table.split(".")[0] for table in self._reached.loading}))
            through = self._reached.log_sequence
            if complete and not self._wait(lambda: self._is_complete(through), deadline_s):
                return tuple(required)
            return ()

    def wait_applied(self, log_sequence: int, timeout_s: float) -> bool:
        """Waits until the log is applied up to ``log_sequence``; whether it is."""
        with self._changed:
            return self._wait(
                lambda: self._reached.log_sequence >= log_sequence, time.monotonic() + timeout_s
            )

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until a condition that ticks bring about holds; whether it does."""
        with self._changed:
            return self._wait(condition, time.monotonic() + timeout_s)

    def _is_complete(self, through: int) -> bool:
        oldest = self._reached.oldest_pending
        return oldest is None or oldest > through

    def _wait(self, condition: Callable[[], bool], deadline_s: float) -> bool:
        self._changed.wait_for(
            lambda: condition() or self._failed is not None, max(0.0, deadline_s - time.monotonic())
        )
        return condition()
