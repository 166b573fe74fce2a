"""The tick thread: waits for the log or for model work, runs a tick, tells everybody."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import apsw

from springline.core.change import Entry
from springline.errors import SpringlineError, StorageFull
from springline.log.base import Logged
from springline.log.recent import NotDurable
from springline.log.sqlite import SqliteLog
from springline.runtime.embedded.catalog import Relations
from springline.runtime.embedded.engine import Engine, TickResult, WorkResult
from springline.runtime.embedded.views import ViewFailed
from springline.storage import storage_error

MOST_CHANGES = 10_000
"""Entries that one tick takes; a larger source transaction is taken whole, fragment by fragment."""

MOST_RESULTS = 2
"""Documents whose passages one tick publishes; changes that wait meanwhile are then not held up for long."""

_logger = logging.getLogger("springline.engine")


class Loop:
    """Runs the engine in a thread of its own."""

    def __init__(
        self,
        engine: Engine,
        relations: Relations,
        log: SqliteLog,
        on_tick: Callable[[TickResult], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._relations = relations
        self._log = log
        self._on_tick = on_tick
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._results: deque[WorkResult] = deque()
        self._between: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.error: SpringlineError | None = None
        """Why no tick can be committed now; None when all is well."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 60.0) -> None:
        """Lets the running tick finish. Idempotent."""
        self._stop.set()
        self._log.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, result: WorkResult) -> None:
        """Hands in finished model work; it is applied in the next tick. Thread-safe."""
        self._results.append(result)
        self._log.wake()

    def between_ticks(self, action: Callable[[], None]) -> None:
        """Has something done on the writing connection that must be outside a transaction. It must be quick and not raise. Thread-safe."""
        self._between.append(action)
        self._log.wake()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._step():
                    self._wait()
        except BaseException as error:
            _logger.exception("the engine stopped")
            self._on_failure(error)

    def _wait(self) -> None:
        # ``wake`` ends the wait early for model work and for ``stop``; the time-out is only a safety net.
        if not self._results and not self._between and not self._stop.is_set():
            self._log.wait_or_wake(self._engine.resume.log_sequence, 0.5)

    def _step(self) -> bool:
        """One tick if there is anything to do; whether there was."""
        while self._between:
            self._between.popleft()()
        after = self._engine.resume.log_sequence
        # Other threads append meanwhile, which ends an iteration with an error, but leaves the places of what is there.
        results = [self._results[place] for place in range(min(len(self._results), MOST_RESULTS))]
        transactions = self._next_transactions(after)
        if not transactions and not results:
            return False
        try:
            outcome = self._engine.run(transactions, results, self._log.recent.wait_durable)
        except NotDurable:
            return True
        except ViewFailed as failure:
            _logger.error("%s", failure)
            self._engine.stop_view(failure)
            return True
        except apsw.Error as error:
            self._pause_for(error)
            return True
        for _ in results:
            self._results.popleft()
        self.error = None
        self._on_tick(outcome)
        return True

    def _next_transactions(self, after: int) -> Sequence[tuple[Logged, Iterable[list[Entry]]]]:
        small = self._log.recent.take(after, MOST_CHANGES) or self._log.read_small(after, MOST_CHANGES)
        if small:
            return [(logged, [entries]) for logged, entries in small]
        return [(logged, self._log.entries(logged)) for logged in self._log.read(after, 1)]

    def _pause_for(self, error: apsw.Error) -> None:
        """A full disk, or a program that locks the file, is waited out: the tick was rolled back and its input is still in the log.
        Anything else is final."""
        mapped = storage_error(error, "state.db")
        if not isinstance(mapped, StorageFull) and not isinstance(error, apsw.BusyError):
            raise mapped from error
        self.error = mapped
        _logger.error("%s", mapped)
        self._stop.wait(1.0)
