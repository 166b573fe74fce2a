"""A log's way in for tests of sources, in memory, with crash points; and what its entries amount to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from springline.core.change import UNCHANGED, Entry, Operation, Transaction, single_rows
from springline.core.codec import decode_entries, decode_value, encode_entries, encode_value
from springline.core.position import Position
from springline.core.schema import TableSchema


class Crash(Exception):
    """A crash point was reached."""


class MemoryLog:
    """What is durable. ``open_writer`` is a start after a crash: uncommitted appends and unfinished fragments are gone."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        """Whole, in order."""
        self.position: Position | None = None
        self.saved: dict[str, Any] = {}
        self.commits = 0
        self.largest_batch = 0
        """Most entries that were held in memory between two commits."""
        self.before_commit: Callable[[int], None] | None = None
        """Called with the number of the commit that is about to happen; raise :class:`Crash` to make it not happen."""
        self.after_commit: Callable[[int], None] | None = None
        """The same, once it is durable and nobody knows yet."""
        self.changed = threading.Condition()

    def open_writer(self) -> MemoryCaptureWriter:
        return MemoryCaptureWriter(self)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Blocks until ``condition`` holds after some commit. Raises ``TimeoutError``."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not condition():
                if time.monotonic() > deadline:
                    raise TimeoutError("What the test waits for did not come to the log.")
                self.changed.wait(0.05)

    def entries(self) -> list[Entry]:
        with self.changed:
            return [entry for transaction in self.transactions for entry in transaction.entries]

    def folded(self) -> Folded:
        """The tables that all entries so far amount to."""
        folded = Folded()
        folded.apply(self.entries())
        return folded


class MemoryCaptureWriter:
    """Implements ``log.base.CaptureWriter``."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._pending: list[Transaction] = []
        self._fragments: list[Entry] = []
        self._saves: dict[str, object | None] = {}
        self._advanced: Position | None = None

    def position(self) -> Position | None:
        return self._log.position

    def progress(self) -> Mapping[str, object]:
        return self._log.saved

    def append(self, transaction: Transaction) -> None:
        self._pending.append(transaction)

    def save(self, name: str, value: object | None) -> None:
        # Through the log's own encoding, so that a value it cannot hold fails here too.
        self._saves[name] = None if value is None else decode_value(encode_value(value))

    def wait_for_room(self, timeout_s: float) -> None:
        """There always is."""

    def advance(self, position: Position) -> None:
        self._advanced = position

    def commit(self) -> Position | None:
        log = self._log
        if not (self._pending or self._saves or self._advanced):
            return log.position
        if log.before_commit is not None:
            log.before_commit(log.commits)
        with log.changed:
            log.largest_batch = max(log.largest_batch, sum(len(one.entries) for one in self._pending))
            for transaction in self._pending:
                self._take(transaction)
            log.position = self._advanced or log.position
            for name, value in self._saves.items():
                if value is None:
                    log.saved.pop(name, None)
                else:
                    log.saved[name] = value
            log.commits += 1
            self._pending, self._saves, self._advanced = [], {}, None
            log.changed.notify_all()
        if log.after_commit is not None:
            log.after_commit(log.commits - 1)
        return log.position

    def _take(self, transaction: Transaction) -> None:
        self._fragments += single_rows(decode_entries(encode_entries(transaction.entries)))
        if not transaction.last:
            return
        whole = Transaction(
            transaction.source,
            transaction.position,
            transaction.committed_at_us,
            self._fragments,
            transaction.identifier,
            transaction.actor,
        )
        self._fragments = []
        self._log.transactions.append(whole)
        self._log.position = transaction.position


class Folded:
    """Tables as a reader of the log has them: rows by key, in stored form. A table without a key is a list of rows."""

    def __init__(self) -> None:
        self.schemas: dict[str, TableSchema] = {}
        self.rows: dict[str, dict[tuple[Any, ...], tuple[Any, ...]]] = {}
        self.bags: dict[str, list[tuple[Any, ...]]] = {}
        self.loading: set[str] = set()
        self._touched: dict[str, set[tuple[Any, ...]]] = {}

    def apply(self, entries: Iterable[Entry]) -> None:
        for operation, table, before, after in entries:
            match operation:
                case Operation.SCHEMA:
                    self._reshape(TableSchema.from_json(after[0]))  # type: ignore[index, arg-type]
                case Operation.DROP:
                    for part in (self.schemas, self.rows, self.bags, self._touched):
                        part.pop(table, None)
                    self.loading.discard(table)
                case Operation.LOAD:
                    self._load(table, is_loading=after[0] == "loading")  # type: ignore[index]
                case _ if self.schemas[table].key:
                    self._change(operation, table, before, after)
                case _:
                    self._change_bag(operation, table, before, after)

    def table(self, name: str) -> list[tuple[Any, ...]]:
        """The rows, sorted."""
        rows = self.rows[name].values() if self.schemas[name].key else self.bags[name]
        return sorted(rows, key=repr)

    def _change(self, operation: str, table: str, before: Any, after: Any) -> None:
        rows, indexes = self.rows[table], self.schemas[table].key_indexes
        touched = self._touched.setdefault(table, set())
        if operation == Operation.TRUNCATE:
            rows.clear()
            return
        old_key = tuple(before[index] for index in indexes) if before is not None else None
        old_row = rows.get(old_key) if old_key is not None else None
        if old_key is not None:
            rows.pop(old_key, None)
        if after is None:
            return
        key = tuple(after[index] for index in indexes)
        previous = old_row or rows.get(key)
        if UNCHANGED in after and previous is not None:
            after = [old if new is UNCHANGED else new for new, old in zip(after, previous, strict=True)]
        rows[key] = tuple(after)
        touched.add(key)

    def _change_bag(self, operation: str, table: str, before: Any, after: Any) -> None:
        rows = self.bags[table]
        if operation == Operation.TRUNCATE:
            rows.clear()
        if before is not None:
            rows.remove(tuple(before))
        if after is not None:
            rows.append(tuple(after))

    def _load(self, table: str, *, is_loading: bool) -> None:
        if is_loading:
            self.loading.add(table)
            self._touched[table] = set()
            return
        self.loading.discard(table)
        if self.schemas[table].key:
            touched = self._touched.pop(table, set())
            self.rows[table] = {key: row for key, row in self.rows[table].items() if key in touched}

    def _reshape(self, schema: TableSchema) -> None:
        """Carries rows over by the columns' identities."""
        old = self.schemas.get(schema.name)
        self.schemas[schema.name] = schema
        self.bags.setdefault(schema.name, [])
        rows = self.rows.setdefault(schema.name, {})
        if old is None:
            return
        numbers = {column.identity: index for index, column in enumerate(old.columns)}
        places = [(numbers.get(column.identity), column.initial) for column in schema.columns]

        def carried(row: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(initial if place is None else row[place] for place, initial in places)

        moved = [carried(row) for row in rows.values()]
        indexes = schema.key_indexes
        self.rows[schema.name] = (
            {tuple(row[index] for index in indexes): row for row in moved} if schema.key else {}
        )
        self.bags[schema.name] = [carried(row) for row in self.bags[schema.name]]
