"""Source threads: each runs its source, again with backoff after a transient error, until it is told to stop."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from springline.core.position import Position
from springline.errors import NotFound, SpringlineError, StorageFull
from springline.log.sqlite import SqliteLog
from springline.sources.base import Reloadable, Source, SourceStatus

LONGEST_PAUSE_S = 30.0

_logger = logging.getLogger("springline.capture")


def pause_s(failures: int, jitter: float) -> float:
    """How long to wait before the next try: 0.25 s doubled each time, at most 30 s, plus or minus a half. ``jitter`` is in [0, 1)."""
    return min(LONGEST_PAUSE_S, 0.25 * 2 ** min(failures - 1, 10)) * (0.5 + jitter)


class Capture:
    """One source's thread."""

    def __init__(self, source: Source, log: SqliteLog) -> None:
        self.source = source
        self._log = log
        self._stop = threading.Event()
        self._thread = self._new_thread()
        self._error: SpringlineError | None = None
        self._retrying = False
        self._position: Position | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def can_reload(self) -> bool:
        return isinstance(self.source, Reloadable)

    def reload(self, tables: Sequence[str]) -> None:
        """Has these tables (as relations are named) loaded again: at once where the source runs; a source that has given up, because it
        lost the changes after our position, say, is prepared for it and started again. Raises SourceError."""
        assert isinstance(self.source, Reloadable)
        if self._thread.is_alive():
            self.source.request_reload(tables)
            return
        writer = self._log.open_writer(self.source.name)
        try:
            self.source.resnapshot(writer, tables)
        finally:
            writer.close()
        self._error = None
        self._thread = self._new_thread()
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Asks the source to stop and waits for it. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self.source.close()

    def status(self) -> SourceStatus:
        status = self.source.status()
        error = self._error
        if error is None:
            # Its thread may not have come to ``run`` yet.
            is_early = status.state == "stopped" and not self._stop.is_set()
            return replace(status, state="starting") if is_early else status
        if self._retrying and status.state in ("snapshot", "streaming"):
            return status  # It has come back since.
        return replace(status, state="retrying" if self._retrying else "stopped", error=str(error))

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=f"capture:{self.source.name}", daemon=True)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            before = self._position
            try:
                self._run_once()
                self._error = None
                return
            except SpringlineError as error:
                if not (error.transient or isinstance(error, StorageFull)):
                    self._error, self._retrying = error, False
                    _logger.error("source %s stopped: %s", self.source.name, error)
                    return
                failures = 1 if self._position != before else failures + 1
                self._error, self._retrying = error, True
                _logger.warning("source %s will be tried again: %s", self.source.name, error)
            except Exception as error:  # A defect in a source must not end silently.
                self._retrying = False
                self._error = SpringlineError(
                    f"Source {self.source.name!r} stopped on an unexpected error: {error!r}.",
                    hint="Please report it with the log; a restart resumes from the last durable position.",
                )
                _logger.exception("source %s stopped", self.source.name)
                return
            self._stop.wait(pause_s(failures, random.random()))

    def _run_once(self) -> None:
        writer = self._log.open_writer(self.source.name)
        try:
            self.source.run(writer, self._stop)
        finally:
            self._position = writer.position()
            writer.close()


def to_reload(names: Sequence[str], able: Collection[str], relations: Iterable[str]) -> dict[str, list[str]]:
    """The tables to load again, by source: those named, or of the sources named; of all that are ``able`` where none is. Raises NotFound
    for others. Pure."""
    tables: dict[str, list[str]] = {name: [] for name in able}
    for table in relations:
        if (source := table.partition(".")[0]) in tables:
            tables[source].append(table)
    chosen: dict[str, list[str]] = {}
    for name in names or able:
        source = name.partition(".")[0]
        mine = tables.get(source, []) if name == source else [name]
        if not set(mine) <= set(tables.get(source, [])) or source not in able:
            known = ", ".join(table for many in tables.values() for table in many) or "none"
            raise NotFound(
                f"{name!r} is not a table that can be loaded again.", hint=f"Tables that can: {known}."
            )
        chosen.setdefault(source, []).extend(mine)
    return chosen
