"""Dead letters as one relation: inputs that could not be processed, and rows that views leave out.

The first are rows of ``_dead_letters``, the second of each view's own table (``sql/dead_letters.py``), which is built, exchanged and
dropped with the view. Queries read both as ``springline.dead_letters``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import apsw

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING, TIMESTAMP_LTZ
from springline.runtime.embedded.sharing import hidden_inputs
from springline.runtime.embedded.state import Relation
from springline.runtime.embedded.tables import quote
from springline.sql.dead_letters import count_table, letters_table
from springline.sql.program import QueryProgram
from springline.sql.sharing import is_shared

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


def letters_of(connection: apsw.Connection, relations: Mapping[str, Relation]) -> dict[str, list[str]]:
    """The views of which rows can be left out, sorted, each with those whose tables say which: itself, and the hidden views that it reads
    in place of subqueries."""
    tables = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name GLOB 's:*:letters'"
        )
    }

    def inputs(name: str) -> tuple[str, ...]:
        return relations[name].inputs if name in relations else ()

    found: dict[str, list[str]] = {}
    for name in sorted(relations):
        one = relations[name]
        if one.kind == "view" and one.state == "live" and not is_shared(name):
            parts = [part for part in (name, *hidden_inputs(name, inputs)) if letters_table(part) in tables]
            if parts:
                found[name] = parts
    return found


def left_out(connection: apsw.Connection, relations: Mapping[str, Relation]) -> dict[str, int]:
    """How many rows each view leaves out, for those of which it can be some."""
    counts: dict[str, int] = {}
    for name, parts in letters_of(connection, relations).items():
        counted = " UNION ALL ".join(f"SELECT rows FROM main.{quote(count_table(part))}" for part in parts)
        counts[name] = sum(int(rows) for (rows,) in connection.execute(counted))
    return counts


def every_letter(views: Mapping[str, Sequence[str]]) -> str:
    """SQL for all dead letters, in the columns of ``DEAD_LETTERS``. ``views``: those of ``letters_of``."""
    selected = [
        "SELECT what, name, '' AS operator, key, reason, NULL AS row, tick, at_us AS at FROM main._dead_letters"
    ]
    for view, parts in views.items():
        name = "'" + view.replace("'", "''") + "'"
        for number, part in enumerate(parts):
            # A row that fails in a subquery and in the view is listed once, as it is where the view has the subquery to itself.
            others = "".join(
                f" AND (key, operator) NOT IN (SELECT key, operator FROM main.{quote(letters_table(other))})"
                for other in parts[:number]
            )
            selected.append(
                f"SELECT 'view', {name}, operator, key, reason, row, tick, at_us "
                f"FROM main.{quote(letters_table(part))} WHERE 1{others}"
            )
    return " UNION ALL ".join(selected)


def with_dead_letters(
    program: QueryProgram, connection: apsw.Connection, relations: Mapping[str, Relation]
) -> QueryProgram:
    """A query that may read ``springline.dead_letters``, for the views that there are."""
    if DEAD_LETTERS.name not in program.relations:
        return program
    rows = every_letter(letters_of(connection, relations))
    return replace(program, sql=program.sql.replace(_PLACE, f"({rows})"))
