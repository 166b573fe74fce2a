"""Which columns identify a row of a query."""

from __future__ import annotations

from springline.sql.rows import Rows, key_aliases, same_columns
from springline.sql.shapes import Columns


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
                missing.append(
                    part if schema.name.startswith("s:") else f"{schema.name.rsplit('.', 1)[-1]}.{part}"
                )
            else:
                key.append(name)
    return (None if missing else tuple(dict.fromkeys(key))), missing
