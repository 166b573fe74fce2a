"""Dead letters as one relation: inputs that could not be processed, and rows that views leave out.

The first are rows of ``_dead_letters``, the second of each view's own table (``sql/dead_letters.py``), which is built, exchanged and
dropped with the view. Queries read both as ``springline.dead_letters``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import apsw

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING, TIMESTAMP_LTZ
from springline.runtime.embedded.state import Relation
from springline.runtime.embedded.tables import quote
from springline.sql.dead_letters import count_table, letters_table
from springline.sql.program import QueryProgram

DEAD_LETTERS: Final = TableSchema(
    "springline.dead_letters",
    (
        Column("what", STRING, nullable=False),
        Column("name", STRING, nullable=False),
        Column("operator", STRING, nullable=False),
        Column("key", STRING, nullable=False),
        Column("reason", STRING, nullable=False),
        Column("row", STRING),
        Column("tick", BIGINT, nullable=False),
        Column("at", TIMESTAMP_LTZ, nullable=False),
    ),
    (),
)
"""``what`` is view, row, or document; ``name`` that of the view, table or knowledge base; ``key`` and ``row`` are JSON for views;
``tick`` and ``at`` say when it came."""

_PLACE: Final = f"main.{quote(DEAD_LETTERS.name)}"


def views_with_letters(connection: apsw.Connection, relations: Mapping[str, Relation]) -> list[str]:
    """The views of which rows can be left out, sorted."""
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name GLOB 's:*:letters'"
        )
    }
    return sorted(
        name
        for name, one in relations.items()
        if one.kind == "view" and one.state == "live" and letters_table(name) in tables
    )


def left_out(connection: apsw.Connection, relations: Mapping[str, Relation]) -> dict[str, int]:
    """How many rows each view leaves out, for those of which it can be some."""
    counts: dict[str, int] = {}
    for name in views_with_letters(connection, relations):
        found = connection.execute(f"SELECT rows FROM main.{quote(count_table(name))}").fetchall()
        counts[name] = int(found[0][0]) if found else 0
    return counts


def every_letter(views: Iterable[str]) -> str:
    """SQL for all dead letters, in the columns of ``DEAD_LETTERS``."""
    parts = [
        "SELECT what, name, '' AS operator, key, reason, NULL AS row, tick, at_us AS at FROM main._dead_letters"
    ]
    for view in views:
        name = "'" + view.replace("'", "''") + "'"
        listed = f"SELECT 'view', {name}, operator, key, reason, row, tick, at_us"
        parts.append(f"{listed} FROM main.{quote(letters_table(view))}")
    return " UNION ALL ".join(parts)


def with_dead_letters(
    program: QueryProgram, connection: apsw.Connection, relations: Mapping[str, Relation]
) -> QueryProgram:
    """A query that may read ``springline.dead_letters``, for the views that there are."""
    if DEAD_LETTERS.name not in program.relations:
        return program
    rows = every_letter(views_with_letters(connection, relations))
    return replace(program, sql=program.sql.replace(_PLACE, f"({rows})"))
