"""Runs compiled views on a SQLite database in memory, tick by tick, exactly as ``sql/program.py`` says.

For tests of SQL without sources, log or threads: the law, scenario files, and users' own views.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import apsw

from springline.core.schema import TableSchema
from springline.core.types import Stored, load, store
from springline.language import language
from springline.runtime.embedded.changing import ViewDefinition, compile_all
from springline.runtime.embedded.sharing import hidden_inputs, shared_forms
from springline.runtime.embedded.tables import RelationStatements, create_relation, create_scratch, quote
from springline.runtime.embedded.watermarks import WATERMARKS_DDL, Watermarks
from springline.sql.compile import compile_view
from springline.sql.dead_letters import count_table, letters_table
from springline.sql.functions import ErrorHook, register_functions
from springline.sql.program import Step, ViewProgram, WindowMode
from springline.sql.query import compile_query
from springline.sql.user_functions import Functions

Row = tuple[Stored, ...]
Changes = Mapping[str, Iterable[tuple[Row, int]]]
"""For each table, stored rows that came (+1) or went (-1). An update is both."""


class SqlHarness:
    """Tables and views in memory. ``errors`` collects what expressions reported."""

    def __init__(
        self,
        tables: Iterable[TableSchema],
        *,
        on_error: ErrorHook | None = None,
        functions: Functions | None = None,
    ) -> None:
        self.connection = apsw.Connection(":memory:", statementcachesize=600)
        self.errors: list[str] = []
        register_functions(self.connection, on_error=on_error or self.errors.append, functions=functions)
        self._functions = functions
        self.connection.execute(WATERMARKS_DDL)
        self.schemas: dict[str, TableSchema] = {}
        self.views: dict[str, ViewProgram] = {}
        self.tick_number = 0
        self._statements: dict[str, RelationStatements] = {}
        for schema in tables:
            self._create(schema)
        event_times = {one.name: one.event_time for one in self.schemas.values() if one.event_time}
        self.watermarks = Watermarks(self.connection)
        self.watermarks.declare(event_times, self.schemas)

    def _create(self, schema: TableSchema) -> None:
        for statement in [*create_relation(schema), *create_scratch(schema)]:
            self.connection.execute(statement)
        self.schemas[schema.name] = schema
        self._statements[schema.name] = RelationStatements.of(schema)

    def add_view(
        self, name: str, text: str, *, key: Sequence[str] | None = None, windows: WindowMode = "closing"
    ) -> ViewProgram:
        """Compiles a view and fills it from the current rows."""
        program = compile_view(name, text, self.schemas, key=key, windows=windows, functions=self._functions)
        return self._add(program)

    def add_sharing_views(self, views: Mapping[str, str]) -> None:
        """Compiles views (their texts by name) that share common subqueries, as an application's do, and fills them from the current
        rows. What they share becomes hidden views among ``views``."""
        compiled = language(self._functions).compile_view
        definitions = [ViewDefinition(name, text) for name, text in views.items()]
        found = compile_all(definitions, self.schemas, compiled)
        for error in found.broken.values():
            raise error
        for form in shared_forms(definitions, found.programs, self.schemas, compiled).values():
            self._add(form.program)

    def _add(self, program: ViewProgram) -> ViewProgram:
        name = program.name
        self._create(program.schema)
        self.views[name] = program
        self._run(program.state)
        self._run(program.scratch)
        self._run(program.backfill)
        self._apply(name)
        self._run(program.clear)
        self._clear(name)
        return program

    def tick(self, changes: Changes, *, committed_at_us: int = 0) -> dict[str, list[tuple[Row, int]]]:
        """One tick: applies the changes and maintains all views. What changed in each relation: rows with -1 and +1; of the tables
        of late rows, what was added. ``committed_at_us``: when the sources committed it, for tables that may be idle."""
        self.tick_number += 1
        done: dict[str, list[tuple[Row, int]]] = {}
        active: set[str] = set()
        for name, schema in self.schemas.items():
            if name in self.views:
                continue
            net: Counter[Row] = Counter()
            for row, weight in changes.get(name, ()):
                net[row] += weight
            rows = [(row, weight) for row, weight in net.items() if weight]
            places = ", ".join("?" * (len(schema.columns) + 1))
            for row, weight in rows:
                for _ in range(abs(weight)):
                    self.connection.execute(
                        f"INSERT INTO temp.{quote('d:' + name)} VALUES ({places})",
                        (*row, 1 if weight > 0 else -1),
                    )
            if rows:
                self.watermarks.observe(schema, committed_at_us)
                done[name] = self._turn(name, active)
                self._apply_table(schema, rows)
        moved = self.watermarks.advance(committed_at_us)
        for name, program in self.views.items():
            closes = bool(program.close) and (name in moved or name in active)
            if name in active or closes:
                self._run(program.close if closes else program.finish)
                done |= {side.name: found for side in program.sides if (found := self._late(side))}
                if found := self._delta(name):
                    done[name] = self._turn(name, active)
                    assert done[name] == found
                    self._apply(name)
        for name in self.schemas:
            self._clear(name)
            if name in self.views:
                self._run(self.views[name].clear)
        self.watermarks.settle()
        return done

    @property
    def readable(self) -> dict[str, TableSchema]:
        """The schemas of everything that a query can read: also tables of late rows."""
        sides = {side.name: side for program in self.views.values() for side in program.sides}
        return {**self.schemas, **sides}

    def rows(self, name: str) -> list[Row]:
        """The rows that the relation holds, stored forms."""
        columns = ", ".join(quote(column) for column in self.readable[name].names)
        return self.connection.execute(f"SELECT {columns} FROM main.{quote(name)}").fetchall()

    def batch(self, name: str) -> list[Row]:
        """The view computed anew from the current tables."""
        return self.connection.execute(self.views[name].batch).fetchall()

    def dead_letters(self, view: str) -> list[tuple[str, str, str]]:
        """(operator, key, reason) of the rows that a view leaves out, in order."""
        found: dict[tuple[str, str], tuple[str, str, str]] = {}
        for part in filter(lambda one: self._has(letters_table(one)), self._parts(view)):
            for operator, key, reason in self.connection.execute(
                f"SELECT operator, key, reason FROM main.{quote(letters_table(part))}"
            ):
                found.setdefault((operator, key), (operator, key, reason))
        return sorted(found.values())

    def left_out(self, view: str) -> int:
        """How many rows a view leaves out."""
        parts = filter(lambda one: self._has(count_table(one)), self._parts(view))
        found = [
            self.connection.execute(f"SELECT rows FROM main.{quote(count_table(part))}").fetchall()
            for part in parts
        ]
        return sum(int(rows[0][0]) for rows in found if rows)

    def _parts(self, view: str) -> list[str]:
        """The view and the hidden views that it reads."""
        return [view, *hidden_inputs(view, lambda one: self.views[one].inputs if one in self.views else ())]

    def _has(self, table: str) -> bool:
        return bool(
            self.connection.execute("SELECT 1 FROM main.sqlite_schema WHERE name = ?", (table,)).fetchall()
        )

    def query(self, text: str, parameters: Mapping[str, object] | None = None) -> list[tuple[object, ...]]:
        """An ad-hoc query's rows as Python values."""
        program = compile_query(text, self.readable, parameters=parameters, functions=self._functions)
        found = (
            self.connection.execute(program.sql, dict(parameters))
            if parameters
            else self.connection.execute(program.sql)
        )
        types = [kind for _, kind in program.columns]
        return [
            tuple(load(value, kind) for value, kind in zip(row, types, strict=True))
            for row in found.fetchall()
        ]

    def store(self, table: str, values: Sequence[object]) -> Row:
        """A row of Python values in stored form."""
        columns = self.schemas[table].columns
        return tuple(store(value, column.type) for value, column in zip(values, columns, strict=True))

    def load(self, name: str, row: Row) -> tuple[object, ...]:
        columns = self.schemas[name].columns
        return tuple(load(value, column.type) for value, column in zip(row, columns, strict=True))

    def _turn(self, name: str, active: set[str]) -> list[tuple[Row, int]]:
        """A relation's delta is complete: everything that reads it sees it."""
        for view, program in self.views.items():
            if name in program.inputs:
                active.add(view)
                self._run(program.on_input[name])
        return self._delta(name)

    def _late(self, side: TableSchema) -> list[tuple[Row, int]]:
        names = ", ".join(quote(column) for column in side.names)
        rows = self.connection.execute(f"SELECT {names}, _w FROM temp.{quote('d:' + side.name)}").fetchall()
        return [(row[:-1], row[-1]) for row in rows]

    def _delta(self, name: str) -> list[tuple[Row, int]]:
        rows = self.connection.execute(self._statements[name].read_delta).fetchall()
        return [(row[:-1], row[-1]) for row in rows]

    def _apply_table(self, schema: TableSchema, rows: Sequence[tuple[Row, int]]) -> None:
        if not schema.kept:
            return
        statements = self._statements[schema.name]
        for row, weight in sorted(rows, key=lambda one: one[1]):
            for _ in range(abs(weight)):
                if weight > 0:
                    self.connection.execute(statements.upsert, (*row, self.tick_number))
                else:
                    key = tuple(row[index] for index in schema.key_indexes)
                    self.connection.execute(statements.delete, key)

    def _apply(self, name: str) -> None:
        statements = self._statements[name]
        for text in statements.apply(has_declared_key=self.views[name].has_declared_key):
            self.connection.execute(text, {"tick": self.tick_number} if ":tick" in text else None)

    def _clear(self, name: str) -> None:
        for statement in self._statements[name].clear:
            self.connection.execute(statement)

    def _run(self, steps: Iterable[Step]) -> None:
        for step in steps:
            try:
                if step.only_if and not self.connection.execute(f"SELECT 1 WHERE {step.only_if}").fetchone():
                    continue
                self.connection.execute(step.sql, {"tick": self.tick_number} if ":tick" in step.sql else None)
            except apsw.Error as error:
                error.add_note(f"while running ({step.why}): {step.sql}")
                raise
