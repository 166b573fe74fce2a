"""JSON objects as changes of declared tables.

The quick way decodes a block of lines at once into structures that have only the declared fields. Where a line does not fit them, the
block's lines are decoded one by one, with every value brought to its column's stored form by ``core.types.store``; only a line that
has no such form either is rejected.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

import msgspec
import numpy as np

from springline.core.change import Entry, rows_entry, single_rows
from springline.core.schema import Column, TableSchema
from springline.core.types import FOREVER, SqlType, Stored, parse_type, store
from springline.errors import ConfigurationError

TimeUnit = Literal["s", "ms", "us"]

_MICROSECONDS: Final[Mapping[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_UPSERTS: Final = frozenset("c u r i I U R insert update upsert read INSERT UPDATE UPSERT +I +U".split())
_DELETES: Final = frozenset("d D delete DELETE -D".split())
_IGNORED: Final = frozenset(("-U",))
_RANGES: Final = {"SMALLINT": 1 << 15, "INT": 1 << 31, "BIGINT": 1 << 63}
_EXACT_IN_A_DOUBLE: Final = float(1 << 51)
_TWO_ROUNDINGS: Final = 4e-16


@dataclass(frozen=True, slots=True)
class JsonTable:
    """One table whose rows are JSON objects.

    ``columns``: each field's SQL type, as text (``"BIGINT NOT NULL"``, ``"DECIMAL(12, 2)"``, ``"STRING"``); other fields are ignored.
    ``key``: the columns that identify a row; a later line with the same key replaces it. Without a key every line is a row of its own.
    ``kept``: False makes it a stream, whose rows pass through the views that read it and are not stored; they only come, and a ``key`` is the
    promise that no two have the same. ``tag``: the value of the source's ``table_field`` in its lines; the table's own name where none is given.
    """

    columns: Mapping[str, str]
    key: Sequence[str] = field(default=())
    kept: bool = True
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that cannot be a row: its number in the block, its text, and why."""

    line: int
    text: str
    reason: str


class _NotExact(Exception):
    """The quick way cannot tell this value exactly; the careful one can."""


def schema_of(name: str, table: JsonTable) -> TableSchema:
    """The declared table. Raises ConfigurationError."""
    columns: list[Column] = []
    for column, text in table.columns.items():
        plain = re.sub(r"\s+NOT\s+NULL\s*$", "", text, flags=re.IGNORECASE)
        try:
            kind = parse_type(plain.strip().upper())
        except ValueError as error:
            raise ConfigurationError(
                f"Column {column!r} of {name!r}: {error}",
                hint="See the types in docs/sql.md, such as DECIMAL(12, 2).",
            ) from error
        columns.append(Column(column, kind, nullable=plain == text and column not in table.key))
    try:
        return TableSchema(name, tuple(columns), tuple(table.key), kept=table.kept)
    except ValueError as error:
        raise ConfigurationError(str(error), hint="Name the key's columns as they are declared.") from error


class JsonRows:
    """Turns blocks of lines into entries. Pure."""

    def __init__(
        self,
        source: str,
        tables: Mapping[str, JsonTable],
        *,
        table_field: str | None,
        operation_field: str | None,
        time_unit: TimeUnit,
    ) -> None:
        if not tables:
            raise ConfigurationError(
                f"Source {source!r} declares no table.", hint='tables={"events": JsonTable({…})}'
            )
        if len(tables) > 1 and table_field is None:
            raise ConfigurationError(
                f"Source {source!r} has several tables, and nothing says which a line belongs to.",
                hint="Name the field that says it: table_field='type'.",
            )
        self._table_field = table_field
        self._operation_field = operation_field
        self._unit = _MICROSECONDS[time_unit]
        self.schemas = {name: schema_of(f"{source}.{name}", table) for name, table in tables.items()}
        self._by_tag = {table.tag or name: self.schemas[name] for name, table in tables.items()}
        self._quick = {tag: _Quick(schema, tag, self) for tag, schema in self._by_tag.items()}
        self._by_structure = {quick.structure: quick for quick in self._quick.values()}
        kinds = tuple(self._by_structure)
        self._decoder = msgspec.json.Decoder(kinds[0] if len(kinds) == 1 else _union(kinds))
        self._any = msgspec.json.Decoder()

    @property
    def table_field(self) -> str | None:
        return self._table_field

    @property
    def operation_field(self) -> str | None:
        return self._operation_field

    @property
    def microseconds(self) -> int:
        """Microseconds in one unit of a time that is written as a number."""
        return self._unit

    def entries(self, block: bytes) -> tuple[list[Entry], list[Rejected]]:
        """The entries of whole lines, in order, and the lines that cannot be rows."""
        try:
            objects = self._decoder.decode_lines(block)
            if len(self._by_structure) == 1:
                [quick] = self._by_structure.values()
                return quick.entries(objects), []
            # A block becomes one transaction; in it, the order of changes matters within a table alone.
            return [
                entry
                for structure, quick in self._by_structure.items()
                if (mine := [one for one in objects if type(one) is structure])
                for entry in quick.entries(mine)
            ], []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _NotExact):
            return self._carefully(block)

    def _carefully(self, block: bytes) -> tuple[list[Entry], list[Rejected]]:
        entries: list[Entry] = []
        rejected: list[Rejected] = []
        for number, line in enumerate(block.split(b"\n")):
            if not line.strip():
                continue
            try:
                value = self._any.decode(line)
                if not isinstance(value, dict):
                    raise ValueError("not a JSON object")
                entry = self._careful_entry(cast("dict[str, Any]", value), line)
            except (ValueError, msgspec.DecodeError, RecursionError) as error:
                rejected.append(Rejected(number, line.decode(errors="replace"), str(error)))
                continue
            if entry is not None:
                entries.append(entry)
        return entries, rejected

    def _careful_entry(self, value: dict[str, Any], line: bytes) -> Entry | None:
        schema = self._schema(value)
        if schema is None:
            return None
        operation = _operation(value.get(self._operation_field, "c")) if self._operation_field else "u"
        if operation is None:
            return None
        if operation == "d" and not schema.kept:
            raise ValueError(f"rows of {schema.name}, a stream, only come")
        exact: dict[str, Any] = {}
        row: list[Stored] = []
        for column in schema.columns:
            given: object = value.get(column.name)
            if isinstance(given, float) and column.type.name == "DECIMAL":
                exact = exact or json.loads(line, parse_float=Decimal)
                given = exact[column.name]
            elif isinstance(given, int) and column.type.name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
                given *= self._unit
            if given is None and not column.nullable and (operation == "u" or column.name in schema.key):
                raise ValueError(f"{column.name} is missing")
            try:
                row.append(store(given, column.type))
            except ValueError as error:
                raise ValueError(f"{column.name}: {error}") from error
        return _entry(operation, schema.name, row)

    def _schema(self, value: Mapping[str, Any]) -> TableSchema | None:
        """Which table a line belongs to; None for tables that are not asked for."""
        if self._table_field is None:
            [schema] = self._by_tag.values()
            return schema
        tag = value.get(self._table_field)
        if tag is None:
            raise ValueError(f"{self._table_field} is missing")
        return self._by_tag.get(str(tag))


class _Quick:
    """One table's structure, and how its objects become entries. Values are taken and converted column by column."""

    def __init__(self, schema: TableSchema, tag: str, rows: JsonRows) -> None:
        self.schema = schema
        self._operation = rows.operation_field
        required: list[Any] = []
        optional: list[Any] = []
        self._columns: list[tuple[Callable[[Any], Any], _Convert | None]] = []
        for index, column in enumerate(schema.columns):
            kind, convert = _quick_type(column.type, rows.microseconds)
            named = f"c{index}"
            self._columns.append((operator.attrgetter(named), convert))
            if column.name in schema.key or (self._operation is None and not column.nullable):
                required.append((named, kind, msgspec.field(name=column.name)))
            else:
                # A row that goes may leave out all but its key; whether one that comes must not is checked there.
                optional.append((named, kind | None, msgspec.field(name=column.name, default=None)))
        if self._operation is not None:
            optional.append(("operation", str, msgspec.field(name=self._operation, default="c")))
        options: dict[str, Any] = {"gc": False}
        if rows.table_field is not None:
            options |= {"tag_field": rows.table_field, "tag": tag}
        self.structure = msgspec.defstruct("Line", [*required, *optional], **options)
        self._required = [
            index
            for index, column in enumerate(schema.columns)
            if self._operation is not None and not column.nullable and column.name not in schema.key
        ]

    def entries(self, objects: Sequence[Any]) -> list[Entry]:
        """Raises _NotExact where a line needs the careful way."""
        columns = [
            map(get, objects) if convert is None else convert(list(map(get, objects)))
            for get, convert in self._columns
        ]
        rows = list(zip(*columns, strict=True))
        entries = (
            [rows_entry(self.schema.name, rows)]
            if self._operation is None
            else self._by_operation(objects, rows)
        )
        if self._required and any(None in row for row in rows):
            self._require(entries)
        return entries

    def _require(self, entries: Iterable[Entry]) -> None:
        """A row that comes has every value that it must have."""
        for _, _, _, row in single_rows(entries):
            if row is not None and any(row[index] is None for index in self._required):
                raise _NotExact

    def _by_operation(self, objects: Sequence[Any], rows: list[tuple[Stored, ...]]) -> list[Entry]:
        """Neighbouring upserts become one entry; the order of all is kept."""
        name = self.schema.name
        entries: list[Entry] = []
        run: list[tuple[Stored, ...]] = []
        for operation, row in zip(map(_operation_of, objects), rows, strict=True):
            if operation in _UPSERTS:
                run.append(row)
            elif operation in _DELETES:
                if not self.schema.kept:
                    raise _NotExact
                if run:
                    entries.append(rows_entry(name, run))
                    run = []
                entries.append(("d", name, row, None))
            elif operation not in _IGNORED:
                raise _NotExact
        if run:
            entries.append(rows_entry(name, run))
        return entries


_operation_of: Final = operator.attrgetter("operation")

_Convert = Callable[[list[Any]], list[Stored]]
"""Brings a column's decoded values to their stored form, NULLs as they are. Raises _NotExact."""


def _quick_type(kind: SqlType, unit: int) -> tuple[Any, _Convert | None]:
    """What msgspec decodes a column's values to, and how those become stored forms; None where they are that already."""
    match kind.name:
        case "SMALLINT" | "INT" | "BIGINT":
            limit = _RANGES[kind.name]
            return Annotated[int, msgspec.Meta(ge=-limit, le=limit - 1)], None
        case "FLOAT" | "DOUBLE":
            return float, None
        case "BOOLEAN":
            return bool, lambda values: [None if value is None else int(value) for value in values]
        case "STRING":
            return str, None
        case "DECIMAL" if kind.is_scaled:
            return float | str, _scaled(kind)
        case "DECIMAL":
            return Decimal, lambda values: [_stored(value, kind) for value in values]
        case "TIMESTAMP" | "TIMESTAMP_LTZ":
            return int | str, _times(kind, unit)
        case _:
            return Any, lambda values: [_stored(value, kind) for value in values]


def _times(kind: SqlType, unit: int) -> _Convert:
    most = FOREVER // unit

    def times(values: list[Any]) -> list[Stored]:
        return [
            value * unit if type(value) is int and -most <= value <= most else _time(value)
            for value in values
        ]

    def _time(value: int | str | None) -> Stored:
        return _stored(value * unit if isinstance(value, int) else value, kind)

    return times


def _scaled(kind: SqlType) -> _Convert:
    """DECIMALs as scaled integers. A number with no more decimals than the scale is, after scaling, off from a whole number by two roundings
    at most; as long as it has no more than 51 bits it is then rounded exactly. Any other is read again as text."""
    factor, limit = 10 ** (kind.scale or 0), min(float(10 ** (kind.precision or 0)), _EXACT_IN_A_DOUBLE)

    def scaled(values: list[Any]) -> list[Stored]:
        try:
            many = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            return [one if one is None else _one(one) for one in values]
        if None in values or not all(map(_is_number, values)):
            return [one if one is None else _one(one) for one in values]
        many *= factor
        whole = np.rint(many)
        if not (np.abs(many - whole) <= _TWO_ROUNDINGS * np.abs(many)).all() or (np.abs(many) >= limit).any():
            raise _NotExact
        return whole.astype(np.int64).tolist()

    def _one(value: float | str) -> Stored:
        if isinstance(value, str):
            return _stored(value, kind)
        many = value * factor
        whole = round(many)
        if abs(many) >= limit or abs(many - whole) > _TWO_ROUNDINGS * abs(many):
            raise _NotExact
        return whole

    return scaled


def _is_number(value: object) -> bool:
    return type(value) is float


def _stored(value: object, kind: SqlType) -> Stored:
    try:
        return store(value, kind)
    except ValueError as error:
        raise _NotExact from error


def _operation(given: object) -> str | None:
    """``u`` or ``d``; None for the old row of an update, which the new one replaces. Raises ValueError."""
    if given in _UPSERTS:
        return "u"
    if given in _DELETES:
        return "d"
    if given in _IGNORED:
        return None
    raise ValueError(f"{given!r} is no operation; c, u, r, d and insert, update, delete, +I, +U, -D are")


def _entry(operation: str, table: str, row: list[Stored]) -> Entry:
    return ("d", table, row, None) if operation == "d" else ("r", table, None, row)


def _union(kinds: Sequence[Any]) -> Any:
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union
