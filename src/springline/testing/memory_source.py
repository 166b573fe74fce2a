"""A source in memory: tests and examples put changes in, the application follows."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from springline.core.change import Entry, Operation, Transaction, load_entry, schema_entry
from springline.core.position import Position, SequencePosition
from springline.core.schema import TableSchema
from springline.core.types import store
from springline.errors import ConfigurationError
from springline.log.base import CaptureWriter
from springline.sources.base import Finding, SourceStatus

Row = Mapping[str, object]


class MemorySource:
    """Implements ``sources.base.Source``. Keeps every transaction, and so can be read again after a crash of the reader.

    ``put`` and ``delete`` inside ``with source.transaction():`` become one transaction; outside, each is its own.
    """

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"

    def __init__(self, name: str, tables: Sequence[TableSchema]) -> None:
        self.name = name
        self._tables = {schema.name: schema for schema in tables}
        self._transactions: list[list[Entry]] = [
            [entry for one in tables for entry in (schema_entry(one), load_entry(one.name, loading=False))]
        ]
        self._changed = threading.Condition()
        self._open: list[Entry] | None = None
        self._is_running = False

    def put(self, table: str, row: Row) -> None:
        """Inserts a row, or replaces the one with its key."""
        schema = self._schema(table)
        values = [store(row.get(column.name), column.type) for column in schema.columns]
        self._append((Operation.READ.value, schema.name, None, values))

    def delete(self, table: str, row: Row) -> None:
        """Deletes the row with this key (for a table without a key: one equal row)."""
        schema = self._schema(table)
        values = [store(row.get(column.name), column.type) for column in schema.columns]
        self._append((Operation.DELETE.value, schema.name, values, None))

    def truncate(self, table: str) -> None:
        self._append((Operation.TRUNCATE.value, self._schema(table).name, None, None))

    def control(self, entry: Entry) -> None:
        """Adds any entry as it is."""
        self._append(entry)

    def transaction(self) -> _OpenTransaction:
        return _OpenTransaction(self)

    def begin(self) -> None:
        self._open = []

    def commit(self) -> None:
        entries, self._open = self._open or [], None
        with self._changed:
            self._transactions.append(entries)
            self._changed.notify_all()

    def check(self) -> Sequence[Finding]:
        return [Finding("ok", self.name, "a source in memory")]

    def tables(self) -> Sequence[TableSchema]:
        return list(self._tables.values())

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        self._is_running = True
        try:
            self._capture(writer, stop)
        finally:
            self._is_running = False

    def current_position(self, timeout_s: float) -> Position:
        with self._changed:
            return SequencePosition(len(self._transactions))

    def status(self) -> SourceStatus:
        return SourceStatus(
            "streaming" if self._is_running else "stopped", SequencePosition(len(self._transactions))
        )

    def close(self) -> None:
        return

    def _capture(self, writer: CaptureWriter, stop: threading.Event) -> None:
        position = writer.position()
        done = position.number if isinstance(position, SequencePosition) else 0
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda done=done: len(self._transactions) > done, 0.05)
                fresh = self._transactions[done:]
            for entries in fresh:
                done += 1
                now_us = time.time_ns() // 1_000
                writer.append(
                    Transaction(self.name, SequencePosition(done), now_us, entries, identifier=str(done))
                )
            if fresh:
                writer.commit()

    def _schema(self, table: str) -> TableSchema:
        name = table if table in self._tables else f"{self.name}.{table}"
        if name not in self._tables:
            raise ConfigurationError(
                f"Source {self.name!r} has no table {table!r}.", hint=f"It has: {', '.join(self._tables)}."
            )
        return self._tables[name]

    def _append(self, entry: Entry) -> None:
        if self._open is not None:
            self._open.append(entry)
            return
        with self._changed:
            self._transactions.append([entry])
            self._changed.notify_all()


class _OpenTransaction:
    def __init__(self, source: MemorySource) -> None:
        self._source = source

    def __enter__(self) -> MemorySource:
        self._source.begin()
        return self._source

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._source.commit()
        else:
            self._source.begin()
            self._source.commit()
