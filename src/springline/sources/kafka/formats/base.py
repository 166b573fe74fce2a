"""What every format offers: from one record's key, value and headers to entries. Pure.

A record stands for nothing (a heartbeat, a message about schemas), for one change, or for several (Canal). It becomes all of its entries or none: one
value that cannot be stored makes the record a rejected one, with the reason.

A row that comes replaces the one with its key, whether it was inserted or updated: so records that a producer wrote twice change nothing. A
table without a key is a bag, in which a record that was written twice counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from springline.core.change import UNCHANGED, Entry, Row, Unchanged, rows_entry
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.sources.kafka.tables import NANOSECONDS, KafkaTable
from springline.sources.kafka.values import ERRORS, Reader, reader

Headers: TypeAlias = Sequence[tuple[str, bytes | str | None]]
Fields: TypeAlias = Mapping[str, Any]
Readers: TypeAlias = Mapping[str, Reader]


class NotARow(ValueError):
    """Why a record cannot be a row."""


class Decoded(NamedTuple):
    """What one record says. ``committed_at_us``: when its source committed it, where the record tells."""

    entries: Sequence[Entry] = ()
    committed_at_us: int | None = None


NOTHING: Final = Decoded()


class Format(Protocol):
    """How the records of one topic are read. Used by one thread."""

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        """Raises NotARow or another ValueError for a record that cannot be a row, and SourceError where a registry is needed that does
        not answer."""
        ...


class ManyAtOnce(Protocol):
    """A format with a quick way for a block of records."""

    def decode_many(self, values: Sequence[bytes]) -> list[Entry] | None:
        """The entries of these values, in order; None where one of them needs to be looked at alone."""
        ...


class Target:
    """A declared table, as formats fill it."""

    def __init__(self, schema: TableSchema, table: KafkaTable, *, default_unit: str | None = None) -> None:
        self.schema = schema
        self.table = table
        self.units = units = _units(table, default_unit)
        self.readers: Readers = {
            column.name: reader(column.type, units.get(column.name)) for column in schema.columns
        }
        self._names = schema.names
        self._key = frozenset(schema.key)
        self._required = frozenset(column.name for column in schema.columns if not column.nullable)

    def row(self, fields: Fields, readers: Readers | None = None) -> list[Stored]:
        """The row of these fields. ``readers``: of fields whose types the record itself tells. Raises NotARow."""
        return cast("list[Stored]", self._row(fields, readers or self.readers, None))

    def sparse_row(self, fields: Fields, readers: Readers | None, unsent: Callable[[Any], bool]) -> Row:
        """The same, where a value that is ``unsent`` did not change."""
        return self._row(fields, readers or self.readers, unsent)

    def key(self, fields: Fields, readers: Readers | None = None) -> Row:
        """A row of which only the key is known; the whole row for a table without one. Raises NotARow."""
        if not self._key:
            return self.row(fields, readers)
        known = self._row(
            {name: fields.get(name) for name in self._key}, readers or self.readers, None, only=self._key
        )
        return [
            value if name in self._key else UNCHANGED for name, value in zip(self._names, known, strict=True)
        ]

    def has_key(self, fields: Fields | None) -> bool:
        """Whether these fields tell the key."""
        return (
            fields is not None and bool(self._key) and all(fields.get(name) is not None for name in self._key)
        )

    def upsert(self, row: Row, before: Row | None = None) -> Entry:
        """A row that comes or is as it is from now on. ``before``: the row, or the key, that it had, where that is told."""
        name = self.schema.name
        if not self.schema.kept and before is not None:
            raise NotARow(f"rows of {name}, a stream, only come")
        if self._key:
            indexes = self.schema.key_indexes
            is_moved = before is not None and any(before[index] != row[index] for index in indexes)
            if not is_moved and UNCHANGED not in row:
                return ("r", name, None, row)
            return ("u", name, before if is_moved else None, row)
        if any(isinstance(value, Unchanged) for value in row):
            raise NotARow(
                "a value was not sent because it did not change, and the table has no key to find it by"
            )
        return ("r", name, None, row) if before is None else ("u", name, before, row)

    def delete(self, before: Row) -> Entry:
        if not self.schema.kept:
            raise NotARow(f"rows of {self.schema.name}, a stream, only come")
        return ("d", self.schema.name, before, None)

    def truncate(self) -> Entry:
        if not self.schema.kept:
            raise NotARow(f"rows of {self.schema.name}, a stream, only come")
        return ("t", self.schema.name, None, None)

    def _row(
        self,
        fields: Fields,
        readers: Readers,
        unsent: Callable[[Any], bool] | None,
        *,
        only: frozenset[str] | None = None,
    ) -> list[Stored | Unchanged]:
        row: list[Stored | Unchanged] = []
        required = self._required if only is None else only
        for name in self._names:
            value = fields.get(name)
            if value is not None:
                if unsent is not None and name not in self._key and unsent(value):
                    row.append(UNCHANGED)
                    continue
                try:
                    value = readers[name](value)
                except (*ERRORS, RecursionError) as error:
                    raise NotARow(f"{name}: {_said(error)}") from error
            if value is None and name in required:
                raise NotARow(f"{name} is missing")
            row.append(value)
        return row


class Targets:
    """The tables of one topic, and which of them a record is of."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._only = targets[0] if len(targets) == 1 and targets[0].table.tag is None else None
        self._by_tag = {target.table.tag: target for target in targets}

    @property
    def only(self) -> Target | None:
        """The one table that all records are of, if there is no tag."""
        return self._only

    def of(self, *names: object) -> Target | None:
        """The table that a record names, from its outermost part (database) to its innermost; None for one that is not asked for."""
        if self._only is not None:
            return self._only
        parts = [str(name) for name in names if name]
        for begin in range(len(parts)):
            if (found := self._by_tag.get(".".join(parts[begin:]))) is not None:
                return found
        return None


def object_of(value: Any) -> Fields | None:
    """A JSON object's fields; None for anything else."""
    return cast("Fields", value) if isinstance(value, dict) else None


def key_fields(target: Target | None, found: Any, written: bytes) -> Fields | None:
    """A record's key as fields: an object's own, or a single value as the table's only key column."""
    if (fields := object_of(found)) is not None:
        return fields
    if target is None or len(target.schema.key) != 1:
        return None
    [name] = target.schema.key
    if target.schema.column(name).type.name == "STRING" and not isinstance(found, str):
        found = written.decode(errors="replace")
    return {name: found}


def folded(entries: Iterable[Entry]) -> list[Entry]:
    """The same entries with rows that follow each other in a table as one. Order is kept within each table."""
    found: list[Entry] = []
    runs: dict[str, list[Row]] = {}
    for entry in entries:
        operation, table, _, after = entry
        if operation == "r" and after is not None:
            run = runs.get(table)
            if run is None:
                run = runs[table] = []
                found.append(rows_entry(table, run))
            run.append(after)
        else:
            runs.pop(table, None)
            found.append(entry)
    return found


def _units(table: KafkaTable, default: str | None) -> dict[str, int]:
    """Nanoseconds in one unit of each column's numbers that are times."""
    given = table.time_unit
    named = given if isinstance(given, Mapping) else dict.fromkeys(table.columns, given or default)
    return {
        name: NANOSECONDS[unit] for name in table.columns if (unit := named.get(name) or default) is not None
    }


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
