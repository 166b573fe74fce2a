"""A capture writer for tests of sources, and a way to run a source beside the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from springline.core.change import Operation, Transaction, Unchanged
from springline.core.position import Position
from springline.sources.files import FolderSource
from springline.sources.folder_rows import COLUMNS

NAMES = [column.name for column in COLUMNS]


class MirroringWriter:
    """A capture writer that keeps what was committed and applies it, as the runtime does, to a mirror of the table."""

    def __init__(self) -> None:
        self.mirror: dict[str, dict[str, object]] = {}
        self.transactions: list[Transaction] = []
        self.state = "absent"
        self.history: list[tuple[str, str, object]] = []
        self._position: Position | None = None
        self._progress: dict[str, object] = {}
        self._pending: list[Transaction] = []
        self._saved: dict[str, object | None] = {}

    def position(self) -> Position | None:
        return self._position

    def progress(self) -> dict[str, object]:
        return self._progress

    def append(self, transaction: Transaction) -> None:
        self._pending.append(transaction)

    def save(self, name: str, value: object | None) -> None:
        self._saved[name] = value

    def wait_for_room(self, timeout_s: float) -> None:
        """There always is."""

    def advance(self, position: Position) -> None:
        self._position = position

    def commit(self) -> Position | None:
        for transaction in self._pending:
            assert self._position is None or not transaction.position < self._position  # type: ignore[operator]
            self._position = transaction.position
            self.transactions.append(transaction)
            for operation, _table, before, after in transaction.entries:
                self._apply(operation, before, after)
        for name, value in self._saved.items():
            if value is None:
                self._progress.pop(name, None)
            else:
                self._progress[name] = value
        self._pending, self._saved = [], {}
        return self._position

    def _apply(self, operation: str, before: object, after: object) -> None:
        if operation == Operation.LOAD:
            self.state = after[0]  # type: ignore[index]
        elif operation == Operation.DELETE:
            del self.mirror[before[0]]  # type: ignore[index]
            self.history.append(("-", before[0], None))  # type: ignore[index]
        elif operation in (Operation.READ, Operation.UPDATE):
            row = dict(zip(NAMES, after, strict=True))  # type: ignore[call-overload]
            name = str(row["document"])
            if operation == Operation.UPDATE:
                old = self.mirror[name]
                row = {key: old[key] if isinstance(value, Unchanged) else value for key, value in row.items()}
            self.mirror[name] = row
            self.history.append(("+", name, row["content"]))

    def contents(self) -> dict[str, object]:
        return {name: row["content"] for name, row in self.mirror.items()}


@contextmanager
def running(
    source: FolderSource, writer: MirroringWriter, *, fails: type[Exception] | None = None
) -> Iterator[threading.Thread]:
    """Runs the source; raises what ``run`` raised, except the failure that is expected and must come."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        try:
            source.run(writer, stop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(5)
        assert not thread.is_alive()
        source.close()
    if fails is not None:
        assert isinstance(failures[0], fails)
    elif failures:
        raise failures[0]


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)
