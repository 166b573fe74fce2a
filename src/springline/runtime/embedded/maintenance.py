"""What keeps the files small, in a thread of its own: checkpoints, log retention, old ticks, unused memo values."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from springline.errors import SpringlineError
from springline.log.sqlite import SqliteLog
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.progress import Progress
from springline.runtime.embedded.readers import Checkpointer, Readers

CHECKPOINT_EVERY_S = 0.5
TRIM_EVERY_S = 10.0

_logger = logging.getLogger("springline.maintenance")


@dataclass(frozen=True)
class Retention:
    """How long the log is kept. What is not applied yet is always kept. Receipts can be rebuilt as long as the log holds all."""

    log_age_s: float = 7 * 24 * 3600.0
    log_bytes: int = 4 << 30


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
    ) -> None:
        self._log = log
        self._checkpointer = checkpointer
        self._readers = readers
        self._knowledge = knowledge
        self._progress = progress
        self._retention = retention
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
                if time.monotonic() > next_trim:
                    next_trim = time.monotonic() + TRIM_EVERY_S
                    self._trim(reached.log_sequence, reached.tick)
            except SpringlineError as error:
                _logger.warning("maintenance will be tried again: %s", error)
            except Exception:
                _logger.exception("maintenance failed")

    def _trim(self, applied: int, tick: int) -> None:
        oldest_us = time.time_ns() // 1_000 - int(self._retention.log_age_s * 1e6)
        before = min(applied, self._log.sequence_at(oldest_us))
        if self._log.size_bytes() > self._retention.log_bytes:
            # A tenth of what is held goes at a time; the file does not shrink, its pages are used again.
            first = self._log.first_sequence()
            before = max(before, min(applied, first + (applied - first) // 10))
        if before > self._log.first_sequence():
            self._log.trim(before)
        if not self._readers.open_count():
            for knowledge in self._knowledge.values():
                knowledge.index.forget_before(tick)
