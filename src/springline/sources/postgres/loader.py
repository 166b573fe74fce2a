"""Brings tables from ``new`` to ``live``: hands out chunks to read, and puts what was read in its place in the stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import Final

from springline.core.change import Entry, load_entry, schema_entry
from springline.sources.postgres.reader import Chunk, ChunkReader, Job, stored_rows
from springline.sources.postgres.snapshot import BagLoad, Key, KeyedLoad
from springline.sources.postgres.tables import Table
from springline.sources.postgres.values import to_text

MOST_INCOMPLETE: Final = 200
"""With more incomplete keys than this, they are read again before the next chunk: they are saved with every commit."""


class _Load:
    """One load of one table."""

    def __init__(self, number: int, table: Table) -> None:
        self.number = number
        self.table = table
        self.tracker: KeyedLoad | BagLoad = (
            KeyedLoad(table.schema, table.incomplete) if table.schema.key else BagLoad(table.schema)
        )
        if isinstance(self.tracker, KeyedLoad):
            self.tracker.is_complete = table.is_read
        self.asked: tuple[Key, ...] = ()


class Loader:
    """Used by the streaming thread alone."""

    def __init__(self, reader: ChunkReader, chunk_rows: int) -> None:
        self._reader = reader
        self._chunk_rows = chunk_rows
        self._loads: dict[int, _Load] = {}
        self._numbers = count(1)

    def trackers(self) -> dict[bytes, KeyedLoad | BagLoad]:
        """What must see the streamed changes, by the table's oid as row messages carry it."""
        return {oid.to_bytes(4, "big"): load.tracker for oid, load in self._loads.items()}

    def begin(self, table: Table) -> list[Entry]:
        """Starts to load a table from its first row; the entries that say so. A running load of it is forgotten."""
        table.begin_load()
        self.resume(table)
        return [schema_entry(table.schema), load_entry(table.schema.name, loading=True)]

    def resume(self, table: Table) -> None:
        """Goes on where the table's progress says."""
        if not table.shape.key:
            table.begin_load()
        load = _Load(next(self._numbers), table)
        self._loads[table.shape.oid] = load
        self._ask(load)

    def reshape(self, table: Table) -> None:
        """The table has other columns (not another key): what was asked for is asked for again."""
        load = self._loads.get(table.shape.oid)
        if load is not None:
            table.incomplete = self._incomplete(load)
            self.resume(table)

    def forget(self, table: Table) -> None:
        self._loads.pop(table.shape.oid, None)

    def save_incomplete(self) -> list[Table]:
        """Tables whose incomplete keys changed since the last call; their progress must be saved."""
        changed: list[Table] = []
        for load in self._loads.values():
            incomplete = self._incomplete(load)
            if incomplete != load.table.incomplete:
                load.table.incomplete = incomplete
                changed.append(load.table)
        return changed

    def receive(self, token: str) -> tuple[Table, Iterator[list[Entry]] | None] | None:
        """The table and entries of the chunk whose token arrived, in batches. No entries: the table has moved on, look at it.
        None altogether where the token is of an earlier run or its load was replaced."""
        chunk = self._reader.take(token)
        if chunk is None:
            return None
        load = self._loads.get(chunk.job.shape.oid)
        if load is None or load.number != chunk.job.load:
            return None
        if chunk.moved:
            return load.table, None
        return load.table, self._entries(load, chunk)

    def _entries(self, load: _Load, chunk: Chunk) -> Iterator[list[Entry]]:
        table, tracker = load.table, load.tracker
        if isinstance(tracker, BagLoad):
            yield from tracker.merge(stored_rows(chunk), chunk.snapshot)
            table.rows_loaded = chunk.spool.count if chunk.spool is not None else 0
        else:
            if load.asked:
                tracker.absent(load.asked, chunk.rows, chunk.snapshot)
            else:
                table.rows_loaded += len(chunk.rows)
                table.last = chunk.last or table.last
                table.is_read = chunk.is_final
            yield tracker.merge(chunk.rows, chunk.snapshot)
            tracker.is_complete = table.is_read
            if tracker.incomplete or not table.is_read:
                self._ask(load)
                return
        table.phase = "live"
        table.rows_estimated = table.rows_loaded
        self._loads.pop(table.shape.oid, None)
        yield [load_entry(table.schema.name, loading=False)]

    def _ask(self, load: _Load) -> None:
        table, tracker = load.table, load.tracker
        keys: Iterable[Key] = ()
        if isinstance(tracker, KeyedLoad) and (table.is_read or len(tracker.incomplete) > MOST_INCOMPLETE):
            keys = islice(tracker.incomplete, self._chunk_rows)
        load.asked = tuple(keys)
        self._reader.submit(
            Job(
                load.number,
                table.shape,
                table.converters,
                self._chunk_rows,
                None if load.asked else table.last,
                tuple(self._key_texts(table, key) for key in load.asked),
            )
        )

    def _key_texts(self, table: Table, key: Key) -> tuple[str, ...]:
        parts = key if len(table.schema.key) > 1 else (key,)
        types = {column.name: column.type for column in table.shape.columns}
        return tuple(to_text(part, types[name]) for name, part in zip(table.schema.key, parts, strict=True))

    def _incomplete(self, load: _Load) -> list[Key]:
        return sorted(load.tracker.incomplete, key=repr) if isinstance(load.tracker, KeyedLoad) else []
