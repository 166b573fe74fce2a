"""Springline with one promise broken, to see that the crash runs notice. Each is a patch of the running process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from springline.core.change import Transaction
from springline.core.position import Position
from springline.log.recent import Recent
from springline.log.sqlite import SqliteCaptureWriter, SqliteLog
from springline.runtime.embedded import engine
from springline.storage import immediate

BETWEEN_COMMITS_S = 0.02


@contextlib.contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def acknowledges_before_commit() -> contextlib.AbstractContextManager[None]:
    """Capture tells the source a position that ``log.db`` does not hold yet: it is written with one of the next commits."""
    original = SqliteCaptureWriter.commit
    calls = 0

    def commit(self: SqliteCaptureWriter) -> Position | None:
        nonlocal calls
        calls += 1
        promised = self.pending_position() or self.position()
        if calls < 20 or calls % 40 == 0 or any(not one.last for one in self.pending):
            return original(self)
        return promised

    return patched(SqliteCaptureWriter, "commit", commit)


@contextlib.contextmanager
def commits_positions_separately() -> Iterator[None]:
    """A tick's rows are committed first, and how far they go in a transaction of its own."""
    write, run = engine.write_progress, engine.Engine.run
    waiting: list[tuple[Any, ...]] = []

    def write_later(*arguments: Any) -> None:
        # Ticks without source transactions (an install, model work alone) have no positions to separate.
        if arguments[2]:
            waiting.append(arguments)
        else:
            write(*arguments)

    def run_in_two(self: Any, *arguments: Any, **named: Any) -> Any:
        outcome = run(self, *arguments, **named)
        if waiting:
            time.sleep(BETWEEN_COMMITS_S)
            with immediate(self._connection):
                write(*waiting.pop())
        return outcome

    with patched(engine, "write_progress", write_later), patched(engine.Engine, "run", run_in_two):
        yield


@contextlib.contextmanager
def commits_ticks_before_the_log() -> Iterator[None]:
    """A tick does not wait until the log, on a slow disk here, holds what it was made of."""
    original = SqliteLog._write  # pyright: ignore[reportPrivateUsage]

    def write(self: Any, *arguments: Any) -> int:
        sequence = original(self, *arguments)
        time.sleep(BETWEEN_COMMITS_S)
        return sequence

    with patched(SqliteLog, "_write", write), patched(Recent, "wait_durable", lambda *_: None):
        yield


def does_not_sync_the_log() -> contextlib.AbstractContextManager[None]:
    """``log.db`` commits without syncing. No kill shows it: the operating system keeps what was written. A power cut does."""
    original: Callable[..., None] = SqliteLog.__init__

    def start(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._connection.execute("PRAGMA synchronous=OFF")

    return patched(SqliteLog, "__init__", start)


def logs_fragments_as_transactions() -> contextlib.AbstractContextManager[None]:
    """Each fragment of a large transaction becomes visible on its own."""
    original = SqliteCaptureWriter.append

    def append(self: SqliteCaptureWriter, transaction: Transaction) -> None:
        original(self, replace(transaction, last=True))

    return patched(SqliteCaptureWriter, "append", append)


MUTANTS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "acknowledges_before_commit": acknowledges_before_commit,
    "commits_ticks_before_the_log": commits_ticks_before_the_log,
    "commits_positions_separately": commits_positions_separately,
    "does_not_sync_the_log": does_not_sync_the_log,
    "logs_fragments_as_transactions": logs_fragments_as_transactions,
}
