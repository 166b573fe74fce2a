"""Hands the outbox over to another log, in a thread of its own: whole ticks, in order, each record exactly once."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceUnavailable, SpringlineError
from springline.log.base import Outgoing, Publisher
from springline.runtime.embedded.capture import pause_s
from springline.runtime.embedded.outbox import (
    Sent,
    SetAside,
    first_number,
    identity,
    last_number,
    read_outbox,
)
from springline.runtime.embedded.progress import Progress
from springline.runtime.embedded.readers import Readers

PAGE_RECORDS: Final = 5_000

_logger = logging.getLogger("springline.publishing")


class Publishing:
    """Runs a publisher. ``published`` says how far it has come."""

    def __init__(
        self,
        publisher: Publisher,
        readers: Readers,
        progress: Progress,
        schemas: Callable[[], Sequence[TableSchema]],
        submit: Callable[[Sent | SetAside], None],
    ) -> None:
        self._publisher = publisher
        self._readers = readers
        self._progress = progress
        self._schemas = schemas
        self._submit = submit
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._gate = threading.Lock()
        self._is_sure = False
        """Whether it is known of everything that was handed over that it has arrived."""
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self.published = 0
        """The number of the newest record that the other log has."""
        self.error: SpringlineError | None = None
        """Why nothing can be handed over now; None when all is well."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finishes the running transaction. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._publisher.close()

    def wait_published(self, number: int, timeout_s: float) -> bool:
        """Waits until the other log has everything up to ``number``; whether it has."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self.published >= number or self._stop.is_set(), timeout_s
            ) and (self.published >= number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is handed over while the body runs; what comes meanwhile waits in the outbox. Begins between two transactions. Raises
        SourceUnavailable while it is not known whether the last one has arrived."""
        with self._gate:
            if not self._is_sure:
                raise SourceUnavailable(
                    "It is not known whether what was last published has arrived.",
                    hint="It is asked for; try again.",
                )
            yield

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                with self._gate:
                    through = self._resume()
                    self._is_sure = True
                _logger.info("the other log holds everything up to record %d; going on", through)
                self._reached(through)
                self.error, failures = None, 0
                while not self._stop.is_set():
                    self._step()
            except SpringlineError as error:
                failures += 1
                self.error = error
                if not error.transient:
                    _logger.error("publishing stopped: %s", error)
                    return
                _logger.warning("publishing will be tried again: %s", error)
            except (
                Exception
            ) as error:  # A defect must not end silently: capture would go on and nobody would know.
                _logger.exception("publishing stopped")
                self.error = SpringlineError(
                    f"Publishing stopped on an unexpected error: {error!r}.",
                    hint="Please report it with the log; a restart resumes from what has arrived.",
                )
                return
            self._stop.wait(pause_s(failures, random.random()))

    def _resume(self) -> int:
        with self._readers.read() as connection:
            name, last = identity(connection), last_number(connection)
            first = first_number(connection)

        def check(through: int) -> None:
            if not first - 1 <= through <= last:
                raise ConfigurationError(
                    f"What was published ends at record {through}, and this data folder holds records {first} to {last}.",
                    hint="Restore the data folder that capture last ran on; or give the application a new name, and with it new topics.",
                )

        return self._publisher.resume(self._schemas(), name, check)

    def _step(self) -> None:
        """One transaction with everything that ticks have put in, or a wait for the next tick."""
        tick = self._progress.reached.tick
        with self._readers.read() as connection:
            through = last_number(connection)
        if through <= self.published:
            self._progress.wait_until(lambda: self._stop.is_set() or self._progress.reached.tick > tick, 0.2)
            return
        with self._gate:
            self._is_sure = False
            self._publisher.publish(self._pages(self.published, through), through)
            self._is_sure = True
        for one in self._publisher.foreign():
            _logger.error("somebody else has written to %s (%s): only capture may", one.topic, one.place)
            self._submit(SetAside(one))
        self._reached(through)

    def _pages(self, after: int, through: int) -> Iterator[Sequence[Outgoing]]:
        """What a snapshot held whole, in pages that are read one at a time."""
        while True:
            with self._readers.read() as connection:
                page = read_outbox(connection, after, through, PAGE_RECORDS)
            if not page:
                return
            after = page[-1].number
            yield page

    def _reached(self, through: int) -> None:
        with self._changed:
            self.published = max(self.published, through)
            self._changed.notify_all()
        self._submit(Sent(self.published))
