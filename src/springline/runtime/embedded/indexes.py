"""Indexes that views want on the relations that they read: equal ones are shared, and go when no view needs them any more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import apsw

from springline.runtime.embedded.tables import quote
from springline.sql.program import Step, ViewProgram

_SHARED: Final = re.compile(r"(\d+:)?x:")
"""How the names of such indexes begin (``sql/rows.py``); those of a view that was built beside the ticks after the tick's number."""

_INDEX: Final = re.compile(
    r'^CREATE INDEX (?:IF NOT EXISTS )?(?:main\.)?"((?:[^"]|"")*)" ON (?:main\.)?"((?:[^"]|"")*)"\s*\((.*)\)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class IndexStep:
    """An index that a view wants, on a table of its own or on one that it reads. Equal ones are shared."""

    name: str = field(compare=False)
    relation: str
    columns: str

    @staticmethod
    def of(sql: str) -> IndexStep | None:
        found = _INDEX.match(sql)
        if found is None:
            return None
        return IndexStep(found[1].replace('""', '"'), found[2].replace('""', '"'), found[3])


def shared_indexes(state: Sequence[Step], relations: Iterable[str]) -> list[IndexStep]:
    """The indexes among the steps that stand on these relations."""
    known = set(relations)
    return [
        index for step in state if (index := IndexStep.of(step.sql)) is not None and index.relation in known
    ]


def indexes_on(connection: apsw.Connection, relation: str) -> list[IndexStep]:
    """The indexes that a table of the state has, its keys' own aside."""
    texts = connection.execute(
        "SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (relation,),
    )
    return [index for (sql,) in texts if (index := IndexStep.of(sql)) is not None]


def ensure_index(connection: apsw.Connection, index: IndexStep) -> None:
    """Makes an index, unless an equal one is there."""
    found = indexes_on(connection, index.relation)
    if index in found:
        return
    if connection.execute("SELECT 1 FROM main.sqlite_schema WHERE name = ?", (index.name,)).fetchone():
        index = replace(index, name=f"{index.name}:{len(found)}")
    connection.execute(
        f"CREATE INDEX IF NOT EXISTS main.{quote(index.name)} ON {quote(index.relation)}({index.columns})"
    )


def drop_unused_indexes(
    connection: apsw.Connection, relations: Iterable[str], programs: Iterable[ViewProgram]
) -> None:
    """Drops the shared indexes of these relations that none of the programs wants."""
    names = list(relations)
    wanted = {index for program in programs for index in shared_indexes(program.state, names)}
    for name in names:
        for index in indexes_on(connection, name):
            if _SHARED.match(index.name) and index not in wanted:
                connection.execute(f"DROP INDEX main.{quote(index.name)}")
