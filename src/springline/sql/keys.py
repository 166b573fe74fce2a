"""Which columns identify a row of a query."""

from __future__ import annotations

from dataclasses import replace

from springline.sql.rows import Rows, key_aliases, same_columns
from springline.sql.scope import relation_columns
from springline.sql.shapes import Columns, Project


def row_key(
    rows: Rows, columns: Columns, *, first: str | None = None
) -> tuple[tuple[str, ...] | None, list[str]]:
    """The output columns that identify a row of a join, or what is missing for that."""
    aliases = key_aliases(rows, first=first)
    if aliases is None:
        return None, []
    if first in aliases:
        aliases = [first, *(alias for alias in aliases if alias != first)]
    equal = same_columns(rows)
    shown = {typed.column: name for name, typed in reversed(columns) if typed.column is not None}
    key: list[str] = []
    missing: list[str] = []
    for alias in aliases:
        schema = rows.occurrence(alias).schema
        for part in schema.key:
            name = next((shown[one] for one in sorted(equal((alias, part))) if one in shown), None)
            if name is None:
                missing.append(_called(schema.name, part))
            else:
                key.append(name)
    return (None if missing else tuple(dict.fromkeys(key))), missing


def _called(relation: str, part: str) -> str:
    """A part of a key as the user knows it. Elements of an array have no relation, and intermediates no name."""
    if not relation:
        return "the number that UNNEST … WITH ORDINALITY gives"
    return part if relation.startswith("s:") else f"{relation.rsplit('.', 1)[-1]}.{part}"


def with_hidden_key(shape: Project) -> Project:
    """Rows of a join with the keys of its tables, for an intermediate; unchanged where there are none."""
    if len(shape.branches) != 1:
        return shape
    [(rows, columns)] = shape.branches
    aliases = key_aliases(rows)
    if aliases is None:
        return shape
    hidden: Columns = []
    for alias in aliases:
        occurrence = rows.occurrence(alias)
        every = relation_columns(occurrence.schema, alias, nullable=occurrence.kind == "left")
        hidden += [
            (f"_k{len(hidden) + index}", every[part]) for index, part in enumerate(occurrence.schema.key)
        ]
    columns = [*columns, *hidden]
    key, missing = row_key(rows, columns)
    return replace(shape, branches=[(rows, columns)], key=key, missing=missing)
