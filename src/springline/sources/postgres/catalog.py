"""What PostgreSQL's catalog says of a table: its :class:`Shape`.

Rows are read by a shape. It carries what relation messages do not: the columns' numbers, which survive a rename, the
defaults of added columns, and a fingerprint that tells whether the table was rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from springline.core.schema import Column, TableSchema
from springline.sources.postgres.connection import Connection, quoted, rows
from springline.sources.postgres.pgoutput import Relation
from springline.sources.postgres.values import (
    Converter,
    Mask,
    PgType,
    converter,
    masked,
    parse_array,
    sql_type,
)


@dataclass(frozen=True, slots=True)
class ShapeColumn:
    """``number`` is the catalog's attnum. ``type_oid`` and ``typmod`` are as relation messages give them. ``type_sql`` is the
    type's name for a cast, ``type_schema`` where its operators are. ``initial``: see ``core.schema.Column``."""

    name: str
    number: int | None
    type_oid: int
    typmod: int
    type: PgType
    type_sql: str = "text"
    type_schema: str = "pg_catalog"
    nullable: bool = True
    initial: Any = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A table at one moment, without the columns that replication never sends (generated ones).

    ``kind`` is pg_class's relkind, or ``u`` for a table without WAL. ``key`` is what an old row is known by: the primary key, or the index that REPLICA IDENTITY names; empty for a table
    that has only REPLICA IDENTITY FULL. ``files`` changes when the table is rewritten (ALTER, VACUUM FULL, TRUNCATE),
    ``attributes`` when a column is altered.
    """

    oid: int
    namespace: str
    relation: str
    kind: str
    replica_identity: str
    columns: tuple[ShapeColumn, ...]
    key: tuple[str, ...]
    files: str = ""
    attributes: str = ""
    rows_estimated: int = 0
    generated: tuple[str, ...] = ()
    has_children: bool = False
    """Other tables inherit from it; their rows are not its rows here."""

    @property
    def sql(self) -> str:
        """The table as statements name it."""
        name = f"{quoted(self.namespace)}.{quoted(self.relation)}"
        return f"ONLY {name}" if self.has_children else name

    def to_json(self) -> dict[str, Any]:
        return msgspec.to_builtins(self, builtin_types=(bytes,))

    @staticmethod
    def from_json(data: object) -> Shape:
        return msgspec.convert(data, Shape)

    def published(self) -> tuple[tuple[str, int, int], ...]:
        """The columns as a relation message describes them."""
        return tuple((column.name, column.type_oid, column.typmod) for column in self.columns)


def described(relation: Relation) -> tuple[tuple[str, int, int], ...]:
    """A relation message in the form of :meth:`Shape.published`."""
    return tuple((column.name, column.type_oid, column.typmod) for column in relation.columns)


@dataclass(frozen=True, slots=True)
class Capture:
    """What was asked for of one table. ``relation`` is Springline's name, ``namespace`` and ``table`` PostgreSQL's."""

    relation: str
    namespace: str
    table: str
    exclude: frozenset[str] = frozenset()
    mask: Mapping[str, Mask] = field(default_factory=dict[str, Mask])

    def kept(self, shape: Shape) -> tuple[ShapeColumn, ...]:
        return tuple(column for column in shape.columns if column.name not in self.exclude)

    def schema(self, shape: Shape) -> TableSchema:
        """The table as Springline's log describes it."""
        return TableSchema(
            self.relation,
            tuple(
                Column(
                    column.name,
                    sql_type(column.type, self.mask.get(column.name)),
                    column.nullable and column.name not in shape.key,
                    column.number,
                    column.initial if column.name not in self.mask else None,
                )
                for column in self.kept(shape)
            ),
            shape.key,
        )

    def converters(self, shape: Shape, mask_key: bytes) -> list[Converter | None]:
        """How to read each column of the shape; None for one that is not kept."""
        return [self._converter(column, mask_key) for column in shape.columns]

    def _converter(self, column: ShapeColumn, mask_key: bytes) -> Converter | None:
        if column.name in self.exclude:
            return None
        convert = converter(column.type)
        mask = self.mask.get(column.name)
        return convert if mask is None else masked(convert, mask, mask_key)


_TABLES = """
SELECT c.oid, n.nspname, c.relname, CASE c.relpersistence WHEN 'p' THEN c.relkind::text ELSE 'u' END, c.relreplident::text,
       coalesce((SELECT sum(greatest(l.reltuples, 0)) FROM pg_partition_tree(c.oid) p
                 JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf), greatest(c.reltuples, 0))::bigint,
       coalesce((SELECT string_agg(l.relfilenode::text, ',' ORDER BY l.oid) FROM pg_partition_tree(c.oid) p
                 JOIN pg_class l ON l.oid = p.relid WHERE p.isleaf), c.relfilenode::text),
       (SELECT string_agg(a.attnum || ':' || a.xmin::text, ',' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
       (SELECT i.indkey::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid
        AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END LIMIT 1),
       c.relhassubclass AND c.relkind = 'r'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND """

_COLUMNS = """
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, NOT a.attnotnull,
       CASE WHEN a.atthasmissing THEN a.attmissingval::text END, a.attgenerated <> '',
       format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""

_TYPES = """
SELECT t.oid, t.typname, n.nspname, t.typtype::text, t.typbasetype, t.typtypmod, t.typelem, t.typcategory::text,
       t.typlen, coalesce(e.typdelim::text, ',')
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type e ON e.oid = t.typelem
WHERE t.oid = ANY(%s)"""

_NOT_ARRAYS = frozenset(("int2vector", "oidvector"))


def shapes_by_oid(connection: Connection, oids: Sequence[int]) -> dict[int, Shape]:
    """The tables as they are now; those that are gone are left out."""
    return {shape.oid: shape for shape in _shapes(connection, "c.oid = ANY(%s::oid[])", (list(oids),))}


def shapes_by_name(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Shape]:
    """The same by (schema, table)."""
    pairs = list(names)
    found = _shapes(
        connection,
        "(n.nspname::text, c.relname::text) IN (SELECT * FROM unnest(%s::text[], %s::text[]))",
        ([schema for schema, _ in pairs], [table for _, table in pairs]),
    )
    return {(shape.namespace, shape.relation): shape for shape in found}


def fingerprints(connection: Connection, oids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """(files, attributes) of each table; cheap enough to ask every few seconds."""
    found = rows(connection, _TABLES + "c.oid = ANY(%s::oid[])", (list(oids),))
    return {row[0]: (row[6] or "", row[7] or "") for row in found}  # type: ignore[misc]


def similar_names(connection: Connection, table: str) -> list[str]:
    """Tables whose names are near one that does not exist."""
    import difflib

    names = [
        str(row[0]) if row[1] == "public" else f"{row[1]}.{row[0]}"
        for row in rows(
            connection,
            """SELECT c.relname, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
               ORDER BY 1 LIMIT 5000""",
        )
    ]
    folded = {name.lower(): name for name in names} | {name.lower().split(".")[-1]: name for name in names}
    near = difflib.get_close_matches(table.lower(), folded, n=3, cutoff=0.6)
    near += difflib.get_close_matches(table.lower().split(".")[-1], folded, n=3, cutoff=0.6)
    return list(dict.fromkeys(folded[name] for name in near))[:3]


def _shapes(connection: Connection, condition: str, parameters: tuple[object, ...]) -> list[Shape]:
    tables: list[Any] = rows(connection, _TABLES + condition, parameters)
    if not tables:
        return []
    columns: dict[int, list[Any]] = {row[0]: [] for row in tables}
    for column in rows(connection, _COLUMNS, ([row[0] for row in tables],)):
        columns[column[0]].append(column)  # type: ignore[index]
    types = _Types(connection, {column[3] for found in columns.values() for column in found})
    return [_shape(row, columns[row[0]], types) for row in tables]


def _shape(table: Any, columns: list[Any], types: _Types) -> Shape:
    oid, namespace, relation, kind, identity, estimated, files, attributes, key_numbers, children = table
    made = [_column(column, types) for column in columns if not column[7]]
    by_number = {column.number: column.name for column in made}
    numbers = [int(number) for number in (key_numbers or "").split()]
    usable = identity != "n" and all(number in by_number for number in numbers)
    return Shape(
        oid,
        namespace,
        relation,
        kind,
        identity,
        tuple(made),
        tuple(by_number[number] for number in numbers) if usable else (),
        files or "",
        attributes or "",
        int(estimated or 0),
        tuple(column[2] for column in columns if column[7]),
        bool(children),
    )


def _column(column: Any, types: _Types) -> ShapeColumn:
    _, number, name, type_oid, typmod, nullable, missing, _, type_sql = column
    resolved = types.resolve(type_oid, typmod)
    initial = None
    if missing is not None:
        text = parse_array(missing)[0] if resolved.element is None else _inner_array(missing)
        initial = None if text is None else converter(resolved)(str(text))
    return ShapeColumn(
        name, number, type_oid, typmod, resolved, type_sql, types.schema(type_oid), nullable, initial
    )


def _inner_array(missing: str) -> str:
    """The one element of ``attmissingval`` where that is an array itself: quoted, as a composite or array element is."""
    found = parse_array(missing)[0]
    return str(found) if isinstance(found, str) else missing[1:-1]


class _Types:
    """Types by oid, with what they are made of."""

    def __init__(self, connection: Connection, oids: set[int]) -> None:
        self._rows: dict[int, Any] = {}
        wanted = set(oids)
        while wanted:
            for row in rows(connection, _TYPES, (list(wanted),)):
                self._rows[row[0]] = row  # type: ignore[index]
            wanted = {
                inner
                for row in self._rows.values()
                for inner in (row[4], row[6])
                if inner and inner not in self._rows
            }

    def resolve(self, oid: int, typmod: int) -> PgType:
        row = self._rows.get(oid)
        if row is None:
            return PgType("", typmod)
        _, name, schema, kind, base, base_typmod, element, category, length, delimiter = row
        if kind == "d":
            return self.resolve(base, base_typmod)
        if category == "A" and length == -1 and element and name not in _NOT_ARRAYS:
            return PgType("", -1, self.resolve(element, typmod), delimiter)
        return PgType(name if schema == "pg_catalog" else "", typmod)

    def schema(self, oid: int) -> str:
        """Where the operators of the type are: those of a domain are its base type's."""
        row = self._rows.get(oid)
        if row is None:
            return "pg_catalog"
        return self.schema(row[4]) if row[3] == "d" else str(row[2])
