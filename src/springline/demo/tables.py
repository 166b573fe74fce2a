"""Tables as data: from one declaration come the DDL, the column comments, the provenance and the loading."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from springline.demo.scenario import Provenance

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

Value = str | int | float | bool | Decimal | date | datetime | None
Row = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Column:
    """``type`` is SQL: a type with its constraints."""

    name: str
    type: str
    provenance: Provenance
    comment: str


@dataclass(frozen=True, slots=True)
class Table:
    """``constraints`` are SQL table constraints; the first one is the primary key."""

    name: str
    comment: str
    constraints: tuple[str, ...]
    columns: tuple[Column, ...]


def create_statements(table: Table) -> list[str]:
    """CREATE TABLE and the comments, in order of execution."""
    parts = [f"    {column.name} {column.type}" for column in table.columns]
    parts += [f"    {constraint}" for constraint in table.constraints]
    statements = [f"CREATE TABLE {table.name} (\n" + ",\n".join(parts) + "\n)"]
    statements.append(f"COMMENT ON TABLE {table.name} IS {_literal(table.comment)}")
    statements += [
        f"COMMENT ON COLUMN {table.name}.{column.name} IS {_literal(f'{column.comment} ({column.provenance})')}"
        for column in table.columns
    ]
    return statements


def provenance(tables: Iterable[Table]) -> Mapping[str, Provenance]:
    """``table.column`` to where its facts come from, for every column."""
    return {f"{table.name}.{column.name}": column.provenance for table in tables for column in table.columns}


def copy_rows(cursor: Cursor, table: Table, rows: Iterable[Row]) -> None:
    """Append rows, whose values are in the order of the table's columns, with COPY."""
    text = io.StringIO()
    for row in rows:
        text.write("\t".join(_copy_field(value) for value in row) + "\n")
    text.seek(0)
    names = ", ".join(column.name for column in table.columns)
    cursor.copy_expert(f"COPY {table.name} ({names}) FROM STDIN", text)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _copy_field(value: Value) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
