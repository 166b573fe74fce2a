"""JSON objects as changes of declared tables.

The quick way decodes a block of lines at once into structures that have only the declared fields. Where a line does not fit them, the
block's lines are decoded one by one, with every value brought to its column's stored form by ``core.types.store``; only a line that
has no such form either is rejected.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

import msgspec

from springline.core.change import Entry, Operation
from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType, Stored, parse_type, store
from springline.errors import ConfigurationError

TimeUnit = Literal["s", "ms", "us"]

_MICROSECONDS: Final[Mapping[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_UPSERTS: Final = frozenset("c u r i I U R insert update upsert read INSERT UPDATE UPSERT +I +U".split())
_DELETES: Final = frozenset("d D delete DELETE -D".split())
_IGNORED: Final = frozenset(("-U",))
_RANGES: Final = {"SMALLINT": 1 << 15, "INT": 1 << 31, "BIGINT": 1 << 63}
_EXACT_IN_A_DOUBLE: Final = float(1 << 51)


@dataclass(frozen=True, slots=True)
class JsonTable:
    """One table whose rows are JSON objects.

    ``columns``: each field's SQL type, as text (``"BIGINT NOT NULL"``, ``"DECIMAL(12, 2)"``, ``"STRING"``); other fields are ignored.
    ``key``: the columns that identify a row; a later line with the same key replaces it. Without a key every line is a row of its own.
    ``tag``: the value of the source's ``table_field`` in its lines; the table's own name where none is given.
    """

    columns: Mapping[str, str]
    key: Sequence[str] = field(default=())
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
        return TableSchema(name, tuple(columns), tuple(table.key))
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
            by_structure = self._by_structure
            return [entry for one in objects for entry in by_structure[type(one)].entries((one,))], []
        except (msgspec.DecodeError, UnicodeDecodeError, _NotExact):
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
            except (ValueError, msgspec.DecodeError) as error:
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
    """One table's structure, and how its objects become entries."""

    def __init__(self, schema: TableSchema, tag: str, rows: JsonRows) -> None:
        self.schema = schema
        self._operation = rows.operation_field
        required: list[Any] = []
        optional: list[Any] = []
        self._converters: list[tuple[int, Callable[[Any], Stored]]] = []
        for index, column in enumerate(schema.columns):
            kind, convert = _quick_type(column.type, rows.microseconds)
            if convert is not None:
                self._converters.append((index, convert))
            named = f"c{index}"
            if column.name in schema.key:
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
        names = [f"c{index}" for index in range(len(schema.columns))]
        self._row: Callable[[Any], tuple[Any, ...]] = (
            operator.attrgetter(*names) if len(names) > 1 else lambda one: (getattr(one, names[0]),)
        )
        self._required = [
            index
            for index, column in enumerate(schema.columns)
            if not column.nullable and column.name not in schema.key
        ]

    def entries(self, objects: Sequence[Any]) -> list[Entry]:
        """Raises _NotExact where a line needs the careful way."""
        name, required = self.schema.name, self._required
        rows: list[Any] = list(map(self._row, objects))
        if self._converters:
            rows = [self._converted(row) for row in rows]
        if required and any(row[index] is None for row in rows for index in required):
            raise _NotExact
        if self._operation is None:
            upsert = Operation.READ.value
            return [(upsert, name, None, row) for row in rows]
        entries: list[Entry] = []
        for one, row in zip(objects, rows, strict=True):
            operation = one.operation
            if operation in _UPSERTS:
                entries.append(("u", name, None, row))
            elif operation in _DELETES:
                entries.append(("d", name, row, None))
            elif operation not in _IGNORED:
                raise _NotExact
        return entries

    def _converted(self, row: tuple[Any, ...]) -> list[Any]:
        made = list(row)
        for index, convert in self._converters:
            if made[index] is not None:
                made[index] = convert(made[index])
        return made


def _quick_type(kind: SqlType, unit: int) -> tuple[Any, Callable[[Any], Stored] | None]:
    """What msgspec decodes a column's values to, and how that becomes the stored form; None where it is that already."""
    match kind.name:
        case "SMALLINT" | "INT" | "BIGINT":
            limit = _RANGES[kind.name]
            if kind.name == "BIGINT":
                return int, _bigint
            return Annotated[int, msgspec.Meta(ge=-limit, lt=limit)], None
        case "FLOAT" | "DOUBLE":
            return float, None
        case "BOOLEAN":
            return bool, int
        case "STRING":
            return str, None
        case "DECIMAL" if kind.is_scaled:
            return float | str, _scaled(kind)
        case "TIMESTAMP" | "TIMESTAMP_LTZ":
            return int | str, lambda value: value * unit if isinstance(value, int) else _stored(value, kind)
        case _:
            return Any, lambda value: _stored(value, kind)


def _bigint(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise _NotExact
    return value


def _scaled(kind: SqlType) -> Callable[[Any], Stored]:
    """A DECIMAL as a scaled integer. A number with no more decimals than the scale is off by less than a quarter after scaling, as long as
    it has no more than 51 bits, and is then rounded exactly; any other is read again as text."""
    factor, limit = 10 ** (kind.scale or 0), float(10 ** (kind.precision or 0))

    def scaled(value: float | str) -> Stored:
        if isinstance(value, str):
            return _stored(value, kind)
        many = value * factor
        if not -_EXACT_IN_A_DOUBLE < many < _EXACT_IN_A_DOUBLE or abs(many) >= limit:
            raise _NotExact
        whole = round(many)
        if abs(many - whole) > 4e-16 * abs(many):
            raise _NotExact
        return whole

    return scaled


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
    return ("d", table, row, None) if operation == "d" else ("u", table, None, row)


def _union(kinds: Sequence[Any]) -> Any:
    union = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union
