"""Bringing a mirrored table's rows into a new schema. Text only."""

from __future__ import annotations

from springline.core.schema import Column, TableSchema
from springline.core.types import Stored
from springline.runtime.embedded.tables import columns_of, create_relation, quote


def reshape_statements(old: TableSchema, new: TableSchema) -> list[str]:
    """Copies the rows into a table of the new shape. Columns are matched by identity, then by name; a new column holds its
    ``initial`` value in old rows; a column whose type changed holds NULL until the source has sent the rows again (it does:
    a type change rewrites the table, and capture then loads it anew). Where the key changed or is not kept, the table
    starts empty for the same reason.
    """
    aside = "old:" + new.name
    statements = [f"ALTER TABLE main.{quote(old.name)} RENAME TO {quote(aside)}"]
    statements += [f"DROP INDEX IF EXISTS main.{quote(kind + old.name)}" for kind in ("i:", "u:")]
    statements += create_relation(new)
    if _keeps_key(old, new):
        sources = ", ".join(_source(old, column) for column in new.columns)
        statements.append(
            f"INSERT INTO main.{quote(new.name)} ({columns_of(new.names)}, _tick) SELECT {sources}, _tick FROM main.{quote(aside)}"
        )
    statements.append(f"DROP TABLE main.{quote(aside)}")
    return statements


def same_shape(old: TableSchema, new: TableSchema) -> bool:
    """Whether nothing is to be done for the rows."""
    return (old.columns, old.key, old.kept) == (new.columns, new.key, new.kept)


def keeps_values(old: TableSchema, new: TableSchema) -> bool:
    """Whether ``reshape_statements`` leaves every row, and its values in all columns that have the same name before and after. What
    reads only such columns need not notice that the table changed its shape."""
    return _keeps_key(old, new) and all(
        (match := _match(old, column)) is not None and match.name == column.name and match.type == column.type
        for column in new.columns
        if column.name in old
    )


def _keeps_key(old: TableSchema, new: TableSchema) -> bool:
    sources = [_match(old, new.column(name)) for name in new.key]
    names = [column.name if column else None for column in sources]
    same_types = all(
        column is not None and column.type == new.column(name).type
        for name, column in zip(new.key, sources, strict=True)
    )
    return bool(new.key) and names == list(old.key) and same_types


def _match(old: TableSchema, column: Column) -> Column | None:
    for candidate in old.columns:
        if column.identity is not None and candidate.identity == column.identity:
            return candidate
    if column.name in old and (column.identity is None or old.column(column.name).identity is None):
        return old.column(column.name)
    return None


def _source(old: TableSchema, column: Column) -> str:
    match = _match(old, column)
    if match is None:
        return literal(column.initial)
    if match.type != column.type:
        return "NULL"
    return quote(match.name)


def literal(value: Stored) -> str:
    """A stored value as SQL text."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "9e999" if value > 0 else "-9e999"
    return repr(value)


__all__ = ["keeps_values", "literal", "reshape_statements", "same_shape"]
