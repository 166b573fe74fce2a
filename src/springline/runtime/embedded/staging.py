"""Brings views that were built in a file of their own into ``state.db``, in slices that are part of running ticks.

The file holds the views and copies of their inputs as of some tick. The views' tables are copied under names that begin with
``new:``; then they are brought forward from the inputs' change lists; and when nothing is left to bring, the same tick gives them
their names and lets the engine maintain them. Until then nothing that anybody reads has changed, and whatever is there when the process
dies is dropped at the next start.

SQLite makes an index in one statement, which takes a third of a second for each million rows. So a large input on which the views need a
new index is copied too, with its indexes, and takes the place of the table that was there.

Everything here runs on the writing connection inside a tick. A tick may be rolled back and its slice applied again: what a slice
needs is read from the files or given to it, never remembered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.runtime.embedded.catalog import Relations
from springline.runtime.embedded.changelists import APPLICATION
from springline.runtime.embedded.changing import (
    components,
    outer_inputs,
)
from springline.runtime.embedded.indexes import IndexStep, ensure_index, indexes_on, shared_indexes
from springline.runtime.embedded.shadow import STAGED, Group, Shadow, staged
from springline.runtime.embedded.tables import quote
from springline.runtime.embedded.views import View
from springline.sql.sharing import is_shared

BUILD: Final = "build"
"""The holder of the change lists that a build catches up from."""

GONE: Final = "gone:"
"""Begins the names of tables that nobody reads any more and that are emptied in slices."""

DROPPED_AT_ONCE_ROWS: Final = 100_000

_DROPPED: Final = re.compile(r'^DROP TABLE IF EXISTS main\."((?:[^"]|"")*)"$')
_INDEX: Final = re.compile(r'^CREATE (UNIQUE )?INDEX "((?:[^"]|"")*)" ON "(?:[^"]|"")*"')
_NUMBERED: Final = re.compile(r"^(\d+:)+")
_TABLE: Final = re.compile(r'^CREATE TABLE "(?:[^"]|"")*"')


class Outdated(Exception):
    """What was being built is no longer what is wanted, or what it reads has changed its shape."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """How to walk through a table: by its key where it has no rowid."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Empty for a table with a rowid that is none of its columns."""

    @staticmethod
    def of(connection: apsw.Connection, schema: str, name: str) -> TableShape:
        rows = connection.execute(f"PRAGMA {schema}.table_info({quote(name)})").fetchall()
        [(without_rowid,)] = connection.execute(
            "SELECT wr FROM pragma_table_list WHERE schema = ? AND name = ?", (schema, name)
        )
        key = sorted((place, column) for _, column, _, _, _, place in rows if place)
        is_rowid = len(key) == 1 and any(row[1] == key[0][1] and row[2] == "INTEGER" for row in rows)
        names = tuple(column for _, column in key) if without_rowid or is_rowid else ()
        return TableShape(name, tuple(row[1] for row in rows), names)

    def copy_statement(self, source: str, target: str, *, is_empty: bool, verb: str = "INSERT") -> str:
        """Copies the next ``:rows`` rows behind the last one that the target has."""
        names = ", ".join(map(quote, self.columns))
        key = ", ".join(map(quote, self.key)) or "rowid"
        into = names if self.key else f"rowid, {names}"
        descending = ", ".join(f"{part} DESC" for part in key.split(", "))
        last = f"SELECT {key} FROM {target} ORDER BY {descending} LIMIT 1"
        behind = "" if is_empty else f"WHERE ({key}) > ({last})"
        return f"{verb} INTO {target}({into}) SELECT {into} FROM {source} {behind} ORDER BY {key} LIMIT :rows"


def is_empty(connection: apsw.Connection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None


def next_group(relations: Relations, tick: Tick) -> Group | None:
    """The next views to build, with the change lists of what they read begun. Views over something that is stopped are stopped."""
    for names in components(relations.unbuilt, list(relations.unbuilt), relations.read_now()):
        programs = [relations.unbuilt[name] for name in names]
        outer = outer_inputs(programs)
        lost = [one for one in outer if one not in relations.schemas()]
        if lost:
            for name in names:
                told = f"View {name!r} is stopped: {lost[0]!r}, which it reads, is stopped."
                relations.give_up(name, relations.why_stopped(name, lost[0]) if is_shared(lost[0]) else told)
            continue
        places = {view.name: number for number, view in enumerate(relations.views_in_order, start=1)}
        ordered = sorted(outer, key=lambda name: (places.get(name, 0), name))
        for name in ordered:
            relations.lists.hold(relations.relations[name].schema, BUILD, tick)
        return Group(tuple(programs), tuple(relations.relations[name].schema for name in ordered), tick)
    return None


def check_current(relations: Relations, group: Group) -> None:
    """Raises Outdated where the group is not to be built any more, or not from these inputs."""
    for program in group.programs:
        if relations.unbuilt.get(program.name) is not program:
            raise Outdated(program.name)
    schemas = relations.schemas()
    for schema in group.inputs:
        is_held = relations.lists.is_held_by(schema.name, BUILD)
        if not is_held or schemas.get(schema.name) != schema:
            raise Outdated(schema.name)


class Staging:
    """One group on its way into ``state.db``. The file must be attached."""

    def __init__(self, connection: apsw.Connection, relations: Relations, group: Group) -> None:
        self._connection = connection
        self._relations = relations
        self.group = group
        self._replaced: list[str] = []
        self._shadow: Shadow | None = None
        self._views: list[View] = []

    def prepare(self, tick: Tick) -> list[TableShape]:
        """Makes the staged tables, empty; which tables there are to copy."""
        check_current(self._relations, self.group)
        inputs = [schema.name for schema in self.group.inputs]
        self._replaced = []
        self._replaced = [schema.name for schema in self.group.inputs if self._needs_replacement(schema)]
        found = self._connection.execute(
            "SELECT type, name, tbl_name, sql FROM building.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
        ).fetchall()
        found = [row for row in found if row[2] not in inputs or row[2] in self._replaced]
        for name in self._replaced:
            # Its other indexes are on the present table alone.
            own = set(indexes_on(self._connection, name))
            missing = own - {
                index for _, _, table, sql in found if table == name and (index := IndexStep.of(sql))
            }
            found += [
                ("index", one.name, name, f"CREATE INDEX {quote(one.name)} ON {quote(name)}({one.columns})")
                for one in missing
            ]
        shapes = [self._make(kind, name, table, sql, tick) for kind, name, table, sql in found]
        return [shape for shape in shapes if shape is not None]

    def _make(self, kind: str, name: str, table: str, sql: str, tick: Tick) -> TableShape | None:
        """A staged table, or an index of one."""
        if kind == "table":
            head = f"CREATE TABLE main.{quote(STAGED + name)}"
            self._connection.execute(_TABLE.sub(lambda _: head, sql, count=1))
            return TableShape.of(self._connection, "building", name)
        if (index := _INDEX.match(sql)) is not None:
            # Names of indexes stay for good, and those of the present version are taken.
            unique, new = index[1] or "", quote(f"{tick}:{_NUMBERED.sub('', name)}")
            head = f"CREATE {unique}INDEX main.{new} ON {quote(STAGED + table)}"
            self._connection.execute(head + sql[index.end() :])
        return None

    def _needs_replacement(self, schema: TableSchema) -> bool:
        """Whether making the indexes on the present table would hold a tick up for long."""
        there = indexes_on(self._connection, schema.name)
        lacking = any(one.relation == schema.name and one not in there for one in self.indexes())
        return lacking and bool(schema.key) and self._is_large(schema.name)

    def copy(self, shape: TableShape, rows: int) -> int:
        """Copies the next rows of a table; how many."""
        check_current(self._relations, self.group)
        source, target = f"building.{quote(shape.name)}", f"main.{quote(STAGED + shape.name)}"
        statement = shape.copy_statement(source, target, is_empty=is_empty(self._connection, target))
        self._connection.execute(statement, {"rows": rows})
        return self._connection.changes()

    def indexes(self) -> list[IndexStep]:
        """What the views need on the relations that they read, but for those that are replaced."""
        names = [schema.name for schema in self.group.inputs if schema.name not in self._replaced]
        return list(
            dict.fromkeys(
                one for program in self.group.programs for one in shared_indexes(program.state, names)
            )
        )

    def ensure_index(self, index: IndexStep) -> None:
        check_current(self._relations, self.group)
        ensure_index(self._connection, index)

    def open(self) -> None:
        """Makes the staged views ready to be brought forward."""
        check_current(self._relations, self.group)
        copies = {
            schema.name: f"main.{quote(STAGED + schema.name)}"
            if schema.name in self._replaced
            else f"building.{quote(schema.name)}"
            for schema in self.group.inputs
        }
        self._views = [
            View(self._connection, staged(program, self.group, copies), shown=program.name)
            for program in self.group.programs
        ]
        for view in self._views:
            view.attach()
        self._shadow = Shadow(self._connection, self._views, self.group.inputs, copies=copies, lists="main")

    def advance(self, tick: Tick, after: int, most: int) -> int:
        """Brings the views forward by about ``most`` changes; up to the end of which tick. When that is the running one, they are
        switched in. Raises ViewFailed."""
        check_current(self._relations, self.group)
        assert self._shadow is not None
        reached = self._shadow.next_stop(after, tick, most)
        self._shadow.advance(after, reached)
        if reached == tick:
            self._switch(tick)
        return reached

    def _switch(self, tick: Tick) -> None:
        """From this tick on the views are the new ones."""
        relations, connection = self._relations, self._connection
        for view in self._views:
            view.detach()
        for program in reversed(self.group.programs):
            self._take_away(program.name, tick)
        for name in self._replaced:
            self._put_aside(name, tick)
        for (name,) in _tables(connection, STAGED):
            connection.execute(f"ALTER TABLE main.{quote(name)} RENAME TO {quote(name[len(STAGED) :])}")
        for program in self.group.programs:
            view = View(connection, program)
            view.attach()
            relations.record_view(program)
            relations.add_view(view)
            if program.name in relations.lists:
                relations.lists.restart(program.schema, tick)
        _release(relations, self.group)
        names = self.group.names
        relations.unbuilt = {name: one for name, one in relations.unbuilt.items() if name not in names}
        relations.hold_lists((), tick)
        relations.drop_unused()

    def _take_away(self, name: str, tick: Tick) -> None:
        """Takes the present version of a view away; its large tables get other names, to be emptied later."""
        relation = self._relations.relations.get(name)
        if relation is None:
            return
        for step in relation.drop_steps:
            if (found := _DROPPED.match(step)) is not None:
                table = found[1].replace('""', '"')
                if self._is_large(table):
                    self._put_aside(table, tick)
        # A list that subscribers follow goes on; it is begun anew with the new version.
        self._relations.drop_view(name, keep_list=self._relations.lists.is_held_by(name, APPLICATION))

    def _put_aside(self, table: str, tick: Tick) -> None:
        """Gives a table another name, and frees those of its indexes."""
        indexes = self._connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
            (table,),
        ).fetchall()
        for (index,) in indexes:
            self._connection.execute(f"DROP INDEX main.{quote(index)}")
        self._connection.execute(
            f"ALTER TABLE main.{quote(table)} RENAME TO {quote(f'{GONE}{tick}:{table}')}"
        )

    def _is_large(self, table: str) -> bool:
        exists = self._connection.execute(
            "SELECT 1 FROM main.sqlite_schema WHERE name = ?", (table,)
        ).fetchone()
        if exists is None:
            return False
        [(rows,)] = self._connection.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM main.{quote(table)} LIMIT {DROPPED_AT_ONCE_ROWS + 1})"
        )
        return rows > DROPPED_AT_ONCE_ROWS


def fill_now(relations: Relations, group: Group, tick: Tick) -> None:
    """Fills the views within the running tick."""
    check_current(relations, group)
    for program in reversed(group.programs):
        relations.drop_view(program.name)
    filled = [program.name for program in group.programs if relations.fill(program, tick)]
    _release(relations, group)
    relations.unbuilt = {name: one for name, one in relations.unbuilt.items() if name not in group.names}
    relations.hold_lists(filled, tick)
    relations.drop_unused()


def abandon(connection: apsw.Connection, relations: Relations, group: Group) -> None:
    """Drops what a build has staged. Idempotent."""
    drop_staged(connection)
    _release(relations, group)


def drop_staged(connection: apsw.Connection) -> None:
    """Drops everything that builds have left: at the start of a process, and of one that was given up. Idempotent."""
    views = connection.execute(
        "SELECT name FROM temp.sqlite_schema WHERE type = 'view' AND name GLOB 'run:new:*'"
    )
    for (name,) in views.fetchall():
        connection.execute(f"DROP VIEW temp.{quote(name)}")
    for schema, patterns in (("temp", ("new:*", "d:new:*")), ("main", ("new:*",))):
        for pattern in patterns:
            found = connection.execute(
                f"SELECT name FROM {schema}.sqlite_schema WHERE type = 'table' AND name GLOB ?", (pattern,)
            )
            for (name,) in found.fetchall():
                connection.execute(f"DROP TABLE {schema}.{quote(name)}")


def attach(connection: apsw.Connection, path: Path) -> None:
    """Opens the builds' file beside the state. Outside a transaction."""
    connection.execute("ATTACH ? AS building", (str(path),))
    # It is dropped when the process ends, however that is.
    connection.execute("PRAGMA building.synchronous=OFF")


def detach(connection: apsw.Connection) -> None:
    """Lets go of the builds' file. Idempotent. Outside a transaction."""
    if ("building",) in connection.execute("SELECT name FROM pragma_database_list").fetchall():
        connection.execute("DETACH building")


def empty_gone(connection: apsw.Connection, rows: int) -> bool:
    """Deletes some rows of a table that nobody reads any more, and the table with its last one; whether there is more to do."""
    for (name,) in _tables(connection, GONE):
        shape = TableShape.of(connection, "main", name)
        key = ", ".join(map(quote, shape.key)) or "rowid"
        connection.execute(
            f"DELETE FROM main.{quote(name)} WHERE ({key}) IN (SELECT {key} FROM main.{quote(name)} LIMIT ?)",
            (rows,),
        )
        if connection.changes() < rows:
            connection.execute(f"DROP TABLE main.{quote(name)}")
        return True
    return False


def _release(relations: Relations, group: Group) -> None:
    for schema in group.inputs:
        relations.lists.release(schema.name, BUILD)


def _tables(connection: apsw.Connection, prefix: str) -> Sequence[tuple[str]]:
    return connection.execute(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND substr(name, 1, ?2) = ?1",
        (prefix, len(prefix)),
    ).fetchall()
