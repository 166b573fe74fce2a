"""The twin: the same assistant over a copy that is refreshed in batches, as most assistants are today.

It is honest: every interval it reads the tables and documents anew, through a connection of its own and in one
transaction, and answers from that until the next time. The interval is on the storm's clock. Where the machine cannot
refresh that often at the replay's speed, what was really achieved is measured and shown.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from springline.errors import ConfigurationError, SourceUnavailable
from springline.runtime.base import Snapshot
from springline.serve.service import Answer, AskRequest

logger = logging.getLogger(__name__)

SHORTEST_S = 5.0
LONGEST_S = 3_600.0
REST = 3.0
"""After a refresh the twin rests for at least this many times as long as it took, so that it leaves the machine to others."""

RETRY_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class TwinStatus:
    """Seconds are on the storm's clock; ``refresh_ms`` and ``real`` figures are on ours.

    ``achieved_s`` is the mean of the last intervals between refreshes, ``age_s`` how old the copy is now; None before there is any.
    """

    interval_s: float
    achieved_s: float | None
    age_s: float | None
    age_real_s: float | None
    refreshes: int
    refresh_ms: float | None
    error: str | None = None


def next_refresh_in_s(
    interval_s: float, since_s: float, speed: float, rested_s: float, took_s: float
) -> float:
    """Real seconds until the next refresh is due. Pure.

    ``since_s`` is storm time since the last copy was begun, ``rested_s`` real time since it was finished, ``took_s`` real
    time that it took.
    """
    due = (interval_s - since_s) / speed
    return max(0.0, due, took_s * REST - rested_s)


class Twin:
    """Refreshes in a thread of its own. Every method may be called from any thread.

    ``copy()`` reads everything anew and returns a snapshot that never changes; ``answer`` is the assistant over a snapshot;
    ``storm()`` gives the storm's clock, ``speed()`` storm seconds per real second, 0 while paused.
    """

    def __init__(
        self,
        *,
        copy: Callable[[], Snapshot],
        answer: Callable[[AskRequest, Snapshot], Answer],
        storm: Callable[[], datetime],
        speed: Callable[[], float],
        interval_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._copy, self._answer = copy, answer
        self._storm, self._speed = storm, speed
        self._monotonic = monotonic
        self._interval_s = interval_s
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._current: Snapshot | None = None
        self._begun: datetime | None = None
        self._begun_real = self._finished_real = 0.0
        self._took_s = 0.0
        self._intervals: deque[float] = deque(maxlen=5)
        self._refreshes = 0
        self._error: str | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="twin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent; returns when a refresh in progress is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def set_interval(self, interval_s: float) -> None:
        """From the copy there is now on. Raises ConfigurationError outside 5 s … 1 h."""
        if not SHORTEST_S <= interval_s <= LONGEST_S:
            raise ConfigurationError(
                f"The twin cannot refresh every {interval_s:g} s.",
                hint="Choose from 5 s to 3600 s on the storm's clock.",
            )
        with self._changed:
            self._interval_s = interval_s
            self._intervals.clear()
            self._changed.notify_all()

    def wake(self) -> None:
        """Call after the replay's speed was changed."""
        with self._changed:
            self._intervals.clear()
            self._changed.notify_all()

    def status(self) -> TwinStatus:
        with self._changed:
            storm, begun = self._storm(), self._begun
            return TwinStatus(
                interval_s=self._interval_s,
                achieved_s=sum(self._intervals) / len(self._intervals) if self._intervals else None,
                age_s=None if begun is None else (storm - begun).total_seconds(),
                age_real_s=None if begun is None else self._monotonic() - self._begun_real,
                refreshes=self._refreshes,
                refresh_ms=self._took_s * 1_000 if self._refreshes else None,
                error=self._error,
            )

    @contextmanager
    def read(self) -> Iterator[Snapshot]:
        """The copy there is. Raises SourceUnavailable before the first one."""
        with self._changed:
            current = self._current
        if current is None:
            raise SourceUnavailable("The twin has not read the database yet.", hint="Try again in a moment.")
        yield current

    def ask(self, request: AskRequest) -> Answer:
        with self.read() as snapshot:
            return self._answer(request, snapshot)

    def refresh(self) -> None:
        """Reads everything anew, now."""
        storm, started = self._storm(), self._monotonic()
        copied = self._copy()
        finished = self._monotonic()
        with self._changed:
            if self._begun is not None and storm - self._begun > timedelta(0):
                self._intervals.append((storm - self._begun).total_seconds())
            self._current = copied
            self._begun, self._begun_real, self._finished_real = storm, started, finished
            self._took_s = finished - started
            self._refreshes += 1
            self._error = None

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                wait_s = self._wait_s()
                if wait_s is None or wait_s > 0:
                    # Half a second at most, so that a pause or a change of speed that nobody told us of is noticed.
                    self._changed.wait(0.5 if wait_s is None else min(wait_s, 0.5))
                    continue
            try:
                self.refresh()
            except Exception as error:
                logger.warning("The twin could not refresh: %s", error)
                with self._changed:
                    self._error = str(error).strip()
                    self._changed.wait_for(lambda: self._stopping, RETRY_AFTER_S)

    def _wait_s(self) -> float | None:
        """Real seconds until the next refresh; None while the storm is paused."""
        if self._begun is None:
            return 0.0
        speed = self._speed()
        if speed <= 0:
            return None
        since_s = (self._storm() - self._begun).total_seconds()
        return next_refresh_in_s(
            self._interval_s, since_s, speed, self._monotonic() - self._finished_real, self._took_s
        )
