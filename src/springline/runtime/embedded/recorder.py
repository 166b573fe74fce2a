"""Springline's own records (receipts, feedback): they come into the state like everybody's, through the log.

The internal source is named ``springline``; its tables are ``springline.receipts`` and so on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from springline.core.change import Entry, Operation, Transaction, load_entry, schema_entry
from springline.core.position import SequencePosition
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.log.sqlite import SqliteLog

SOURCE = "springline"


class Recorder:
    """Appends rows to our own tables. Durable when ``record`` returns; visible from the next tick on. Thread-safe."""

    def __init__(self, log: SqliteLog, tables: Sequence[TableSchema]) -> None:
        self._lock = threading.Lock()
        self._writer = log.open_writer(SOURCE)
        known = self._writer.progress()
        entries: list[Entry] = []
        for schema in tables:
            if known.get(f"schema:{schema.name}") != schema.to_json():
                entries += [schema_entry(schema), load_entry(schema.name, loading=False)]
                self._writer.save(f"schema:{schema.name}", schema.to_json())
        if entries:
            self._append(entries)

    def record(self, table: str, row: Sequence[Stored]) -> SequencePosition:
        """Adds or replaces one row, by its key."""
        with self._lock:
            return self._append([(Operation.READ.value, table, None, row)])

    def close(self) -> None:
        with self._lock:
            self._writer.close()

    def _append(self, entries: list[Entry]) -> SequencePosition:
        last = self._writer.position()
        position = SequencePosition(last.number + 1 if isinstance(last, SequencePosition) else 1)
        self._writer.append(Transaction(SOURCE, position, time.time_ns() // 1_000, entries))
        try:
            self._writer.commit()
        except BaseException:
            # Otherwise the next record would carry this one along.
            self._writer.discard()
            raise
        return position
