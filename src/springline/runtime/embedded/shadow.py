"""A group of views that is brought forward from retained change lists instead of from running ticks.

While views are built beside the engine, they stand on copies of their inputs, which lag behind. ``Shadow.advance`` carries the changes
of a range of ticks through copies and views, in the one fixed order (``sql/program.py``): to the views it looks like one tick.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.runtime.embedded.changelists import TICK_BITS, first_of, list_name, tick_of
from springline.runtime.embedded.tables import columns_of, quote
from springline.runtime.embedded.views import View
from springline.sql.program import Step, ViewProgram

STAGED: Final = "new:"
"""Begins the name of everything in ``state.db`` that belongs to a view's next version."""


@dataclass(frozen=True, slots=True)
class Group:
    """Views that are built together, in order, and what they read from outside, in the order of a tick."""

    programs: tuple[ViewProgram, ...]
    inputs: tuple[TableSchema, ...]
    tick: Tick
    """The inputs' change lists are complete after this tick."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(program.name for program in self.programs)


class Shadow:
    """``copies``: where the copy of each input is, as SQL. ``lists``: the attached database with their change lists."""

    def __init__(
        self,
        connection: apsw.Connection,
        views: Sequence[View],
        inputs: Sequence[TableSchema],
        *,
        copies: Mapping[str, str],
        lists: str,
    ) -> None:
        self._connection = connection
        self._views = views
        self._inputs = [Copy(connection, schema, copies[schema.name], lists) for schema in inputs]

    def next_stop(self, after: int, through: int, most: int) -> int:
        """Up to which tick, at least one further, the lists hold no more than ``most`` changes of an input."""
        stop = through
        for one in self._inputs:
            if (found := one.tick_beyond(after, most)) is not None:
                stop = min(stop, max(after + 1, found - 1))
        return stop

    def advance(self, after: int, through: int) -> None:
        """Brings copies and views from the end of tick ``after`` to that of ``through``. Raises ViewFailed."""
        tick, active = Tick(through), set[str]()
        for one in self._inputs:
            if one.fill(after, through):
                self._tell(one.schema.name, tick, active)
                one.bring(after, through)
        for view in self._views:
            if view.name in active and view.finish(tick):
                self._tell(view.name, tick, active)
                view.apply(tick)
        for one in self._inputs:
            one.clear()
        for view in self._views:
            if view.name in active:
                view.clear()

    def _tell(self, relation: str, tick: Tick, active: set[str]) -> None:
        for view in self._views:
            if relation in view.program.inputs:
                view.on_input(relation, tick)
                active.add(view.name)


class Copy:
    """The copy of one relation. Its delta is ``temp."d:relation"``, which must be empty between two uses."""

    def __init__(self, connection: apsw.Connection, schema: TableSchema, copy: str, lists: str) -> None:
        self._connection = connection
        self.schema = schema
        self._copy = copy
        self._list = f"{lists}.{quote(list_name(schema.name))}"
        self._delta = f"temp.{quote('d:' + schema.name)}"

    def tick_beyond(self, after: int, most: int) -> int | None:
        """The tick of the change that follows the next ``most`` ones; None where there are not so many."""
        found = self._connection.execute(
            f"SELECT _seq FROM {self._list} WHERE _seq > ? ORDER BY _seq LIMIT 1 OFFSET ?",
            (first_of(after + 1), most),
        ).fetchone()
        return None if found is None else tick_of(found[0])

    def fill(self, after: int, through: int) -> bool:
        """Fills the delta with the net change of the ticks; whether there is any."""
        execute, columns = self._connection.execute, columns_of(self.schema.names)
        execute(
            f"""INSERT INTO {self._delta} SELECT {columns}, sum(_w) FROM {self._list} WHERE _seq > ? AND _seq < ?
                GROUP BY {columns} HAVING sum(_w) <> 0""",
            (first_of(after + 1), first_of(through + 1)),
        )
        if not (found := self._connection.changes()):
            return False
        if not self.schema.key:
            # Equal rows of a table without a key are rows of their own, each with its weight.
            several = execute(f"SELECT * FROM {self._delta} WHERE abs(_w) > 1").fetchall()
            execute(f"UPDATE {self._delta} SET _w = sign(_w) WHERE abs(_w) > 1")
            places = ", ".join("?" * (len(self.schema.columns) + 1))
            for *row, weight in several:
                for _ in range(abs(weight) - 1):
                    execute(f"INSERT INTO {self._delta} VALUES ({places})", (*row, 1 if weight > 0 else -1))
        return found > 0

    def bring(self, after: int, through: int) -> None:
        """Brings the copy from the end of tick ``after`` to that of ``through``; a keyed one also where it is further for some keys: of every
        key that the list names it gets the last row. A table without a key needs the delta filled."""
        execute, columns, key = self._connection.execute, columns_of(self.schema.names), self.schema.key
        if not key:
            for *row, _ in execute(f"SELECT * FROM {self._delta} WHERE _w < 0").fetchall():
                same = " AND ".join(f"{quote(name)} IS ?" for name in self.schema.names)
                execute(
                    f"DELETE FROM {self._copy} WHERE rowid = (SELECT rowid FROM {self._copy} WHERE {same} LIMIT 1)",
                    row,
                )
            execute(
                f"INSERT INTO {self._copy}({columns}, _tick) SELECT {columns}, ? FROM {self._delta} WHERE _w > 0",
                (through,),
            )
            return
        keys, span = columns_of(key), (first_of(after + 1), first_of(through + 1))
        named = f"SELECT {keys} FROM {self._list} WHERE _seq > ? AND _seq < ?"
        if any(self.schema.column(part).nullable for part in key):
            same = " AND ".join(f"r.{quote(part)} IS k.{quote(part)}" for part in key)
            gone = f"rowid IN (SELECT r.rowid FROM ({named}) k CROSS JOIN {self._copy} r ON {same})"
        else:
            gone = f"({keys}) IN ({named})"
        execute(f"DELETE FROM {self._copy} WHERE {gone}", span)
        # With max(), SQLite takes the other columns from the row that holds the maximum.
        execute(
            f"""INSERT INTO {self._copy}({columns}, _tick) SELECT {columns}, last >> {TICK_BITS} FROM (
                    SELECT {columns}, _w, max(_seq) AS last FROM {self._list} WHERE _seq > ? AND _seq < ? GROUP BY {keys})
                WHERE _w > 0""",
            span,
        )

    def clear(self) -> None:
        self._connection.execute(f"DELETE FROM {self._delta}")


# -- names ---------------------------------------------------------------------------------------------------------

_TEXT_OR_NAME: Final = re.compile(
    r"""'(?:[^']|'')*'|(?P<schema>\b(?:main|temp)\.)"(?P<name>(?:[^"]|"")*)"|"(?P<plain>(?:[^"]|"")*)\""""
)
_MADE: Final = re.compile(
    r'^(?P<head>\s*CREATE (?:TEMP TABLE|(?:UNIQUE )?INDEX|TABLE) (?:IF NOT EXISTS )?)(?:(?:main|temp)\.)?"(?P<name>(?:[^"]|"")*)"'
)

_ON_TABLE: Final = re.compile(r'^(\s+ON\s+)(?:(?:main|temp)\.)?"((?:[^"]|"")*)"')


class CannotStage(Exception):
    """A view whose statements use more than its own tables and what it reads."""


def check_stageable(group: Group) -> None:
    """Raises CannotStage for views that have to be filled where they will be, within one tick."""
    for program in group.programs:
        if program.close or program.sides:
            raise CannotStage(f"{program.name!r} has windows that close")
        staged(program, group, {schema.name: quote(schema.name) for schema in group.inputs})


def staged(program: ViewProgram, group: Group, copies: Mapping[str, str]) -> ViewProgram:
    """The same program over copies of the inputs, with all tables of the group's views under names that begin with ``new:``."""
    rename = _Renaming(group, copies)
    view_inputs = {name: rename.relation(name) for name in program.inputs}
    return replace(
        program,
        name=STAGED + program.name,
        schema=replace(program.schema, name=STAGED + program.schema.name),
        inputs=tuple(view_inputs.values()),
        state=(),
        scratch=tuple(rename.step(step) for step in program.scratch),
        on_input={
            view_inputs[name]: tuple(map(rename.step, steps)) for name, steps in program.on_input.items()
        },
        finish=tuple(map(rename.step, program.finish)),
        backfill=(),
        clear=tuple(map(rename.step, program.clear)),
        drop=(),
    )


def staged_name(name: str) -> str:
    """A table's staged name; a delta stays one."""
    return f"d:{STAGED}{name[2:]}" if name.startswith("d:") else STAGED + name


class _Renaming:
    def __init__(self, group: Group, copies: Mapping[str, str]) -> None:
        self._copies = copies
        self._own = set(group.names)
        self._main = {*group.names}
        self._temp = {"d:" + name for name in group.names}
        for program in group.programs:
            for step in (*program.state, *program.scratch):
                if (made := _MADE.match(step.sql)) is not None and "INDEX" not in made["head"]:
                    (self._temp if "TEMP" in made["head"] else self._main).add(
                        made["name"].replace('""', '"')
                    )

    def relation(self, name: str) -> str:
        return STAGED + name if name in self._own else name

    def step(self, step: Step) -> Step:
        text = step.sql
        if (made := _MADE.match(text)) is not None:
            # An index says plainly which table it is on, and has the name of its scratch table otherwise.
            name = quote(staged_name(made["name"].replace('""', '"')))
            schema = "temp." if "INDEX" in made["head"] else ""
            rest = _ON_TABLE.sub(
                lambda on: on[1] + quote(staged_name(on[2].replace('""', '"'))), text[made.end() :], 1
            )
            return Step(made["head"] + schema + name + (rest if schema else text[made.end() :]), step.why)
        condition = _TEXT_OR_NAME.sub(self._token, step.only_if)
        return Step(_TEXT_OR_NAME.sub(self._token, text), step.why, condition)

    def _token(self, found: re.Match[str]) -> str:
        schema, name, plain = found["schema"], found["name"], found["plain"]
        if plain is not None:
            known = plain.replace('""', '"')
            if ":" in known and known in self._main | self._temp:
                raise CannotStage(f"{plain!r} is not qualified in: {found.string}")
            return found[0]
        if schema is None:
            return found[0]
        name = name.replace('""', '"')
        if schema == "main." and name in self._copies:
            return self._copies[name]
        if name in (self._main if schema == "main." else self._temp):
            return schema + quote(staged_name(name))
        if schema == "main.":
            raise CannotStage(f"{name!r} is no table of the view")
        return found[0]
