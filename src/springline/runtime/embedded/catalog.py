"""The relations of one state: which tables and views there are, in which order they are maintained, and their life.

Everything here runs on the writing connection, inside a tick's transaction; what it remembers in memory can be read back
from ``_relations`` and is, when a tick is rolled back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.types import render
from springline.errors import ConfigurationError, SqlError
from springline.runtime.base import RelationChange
from springline.runtime.embedded.mirror import Key, Mirror
from springline.runtime.embedded.procedure import drop_procedures
from springline.runtime.embedded.reshape import reshape_statements
from springline.runtime.embedded.state import (
    Relation,
    read_relations,
    remove_relation,
    write_relation,
)
from springline.runtime.embedded.tables import (
    create_relation,
    create_scratch,
    drop_relation,
    key_names,
    quote,
)
from springline.runtime.embedded.views import View, ViewFailed
from springline.sql.program import ViewProgram


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """A view as the application declares it."""

    name: str
    text: str
    key: tuple[str, ...] | None = None


Compiler = Callable[[ViewDefinition, Mapping[str, TableSchema]], ViewProgram]


class Relations:
    """Tables and views, on the writing connection."""

    def __init__(self, connection: apsw.Connection, compile_view: Compiler) -> None:
        self._connection = connection
        self._compile = compile_view
        self._definitions: dict[str, ViewDefinition] = {}
        self.relations: dict[str, Relation] = {}
        self.mirrors: dict[str, Mirror] = {}
        self.views_in_order: list[View] = []
        self.readers: dict[str, list[View]] = {}
        self._views: dict[str, View] = {}
        self.reloading: set[str] = set()
        # A table is renamed away when its shape changes; the procedures of the views that read it are made anew afterwards.
        connection.execute("PRAGMA legacy_alter_table=ON")
        self._load()

    # -- reading ---------------------------------------------------------------------------------------------------

    def schemas(self) -> dict[str, TableSchema]:
        """Every relation that can be read now."""
        return {
            name: relation.schema for name, relation in self.relations.items() if relation.state != "stopped"
        }

    def loading(self) -> frozenset[str]:
        """Tables whose snapshot is not complete."""
        return frozenset(
            name for name, one in self.relations.items() if one.kind == "table" and one.state == "loading"
        )

    def is_loading(self, table: str) -> bool:
        return self.relations[table].state == "loading"

    def feed(self, name: str, tick: Tick) -> Iterator[RelationChange]:
        """The running tick's delta as feeds deliver it, rows that go first."""
        schema = self.relations[name].schema
        mirror = self._views[name].mirror if name in self._views else self.mirrors[name]
        for *row, weight in self._connection.execute(mirror.statements.read_delta).fetchall():
            rendered = {
                column.name: render(value, column.type)
                for column, value in zip(schema.columns, row, strict=True)
            }
            yield RelationChange(tick, name, 1 if weight > 0 else -1, rendered)

    def clear(self, name: str) -> None:
        """Empties a relation's scratch tables."""
        if name in self._views:
            self._views[name].clear()
            return
        for statement in self.mirrors[name].statements.clear:
            self._connection.execute(statement)

    # -- tables ----------------------------------------------------------------------------------------------------

    def set_schema(self, schema: TableSchema, tick: Tick) -> None:
        """The table's schema from here on: makes the table, or brings its rows into the new shape, and its views with them."""
        known = self.relations.get(schema.name)
        if known is None:
            self._execute(create_relation(schema))
            write_relation(self._connection, Relation(schema.name, "table", schema, "loading"))
            self._attach_table(schema, "loading")
            return
        if known.schema.columns == schema.columns and known.schema.key == schema.key:
            return
        self._execute(reshape_statements(known.schema, schema))
        write_relation(self._connection, replace(known, schema=schema))
        self._attach_table(schema, known.state)
        self._rebuild_readers(schema.name, tick)

    def drop_table(self, table: str) -> None:
        if table in self.mirrors:
            self._stop_readers(table, f"table {table!r} is no longer captured")
            self._execute(drop_relation(table))
            remove_relation(self._connection, table)
            del self.mirrors[table], self.relations[table]

    def begin_loading(self, table: str) -> None:
        """A snapshot of the table begins. If it already has rows, those that the snapshot does not show will go at its end."""
        relation = self.relations[table]
        has_rows = self._connection.execute(f"SELECT 1 FROM main.{quote(table)} LIMIT 1").fetchone()
        if has_rows and relation.schema.key:
            columns = ", ".join(
                f"{quote(part)} {relation.schema.column(part).type.sqlite}"
                for part in key_names(relation.schema)
            )
            names = ", ".join(map(quote, key_names(relation.schema)))
            seen = quote("seen:" + table)
            self._execute(
                [
                    f"DROP TABLE IF EXISTS main.{seen}",
                    f"CREATE TABLE main.{seen}({columns}, PRIMARY KEY({names})) STRICT, WITHOUT ROWID",
                ]
            )
            self.reloading.add(table)
        self._set_state(table, "loading")

    def end_loading(self, table: str) -> list[Key]:
        """The snapshot is complete: the keys whose rows no longer exist, for the tick to delete."""
        return self.mirrors[table].unseen_keys() if table in self.reloading else []

    def finish_loading(self, table: str) -> None:
        if table in self.reloading:
            self._execute([f"DROP TABLE main.{quote('seen:' + table)}"])
            self.reloading.discard(table)
        self._set_state(table, "live")

    # -- views -----------------------------------------------------------------------------------------------------

    def install(
        self, definitions: Sequence[ViewDefinition], tables: Sequence[TableSchema], tick: Tick
    ) -> list[str]:
        """Brings the state to what the application declares: tables that are new are made, those no longer asked for dropped;
        new views are filled from the current tables, changed ones are built anew, removed ones dropped; nothing else is touched.
        Names of the views that were built."""
        for name in set(self.mirrors) - {schema.name for schema in tables}:
            self.drop_table(name)
        for schema in tables:
            if schema.name not in self.mirrors:
                self.set_schema(schema, tick)
        if len({one.name for one in definitions}) != len(definitions):
            raise ConfigurationError("Two views have the same name.", hint="Give each view its own name.")
        self._definitions = {definition.name: definition for definition in definitions}
        for name, relation in list(self.relations.items()):
            if relation.kind == "view" and name not in self._definitions:
                self._drop_view(name)
        built: list[str] = []
        schemas = {name: one.schema for name, one in self.relations.items() if one.kind == "table"}
        self.views_in_order = []
        for program in self._compile_all(schemas):
            if (view := self._installed(program, tick, built)) is not None:
                self.views_in_order.append(view)
        self._index_readers()
        return built

    def _installed(self, program: ViewProgram, tick: Tick, built: list[str]) -> View | None:
        """One view, attached as it is or built anew; None where it cannot be: it is stopped, and its name not among the built."""
        name, known = program.name, self.relations.get(program.name)
        if stopped := [one for one in program.inputs if self.relations[one].state == "stopped"]:
            self._drop_view(name)
            self._write_stopped(
                name, f"View {name!r} is stopped: view {stopped[0]!r}, which it reads, is stopped."
            )
            return None
        view = View(self._connection, program)
        is_same = known is not None and known.state != "stopped" and known.program == fingerprint(program)
        if is_same and not any(one in built for one in program.inputs):
            view.attach()
            return view
        self._drop_view(name)
        try:
            # A savepoint: a view whose key the rows violate takes what it made with it, and the others are built.
            with self._connection:
                self._build(view, tick)
        except ViewFailed as failure:
            self._write_stopped(name, str(failure))
            return None
        built.append(name)
        return view

    def stop_view(self, failure: ViewFailed) -> None:
        """Stops a view that cannot be maintained, and every view that reads it."""
        self._mark_stopped(failure.view, str(failure))
        self._stop_readers(failure.view, f"view {failure.view!r}, which it reads, is stopped")

    def _compile_all(self, tables: Mapping[str, TableSchema]) -> Iterator[ViewProgram]:
        """Compiles in an order in which every view comes after the views that it reads."""
        schemas = dict(tables)
        waiting = list(self._definitions.values())
        while waiting:
            errors: list[SqlError] = []
            ready: list[ViewProgram] = []
            for definition in waiting:
                try:
                    ready.append(self._compile(definition, schemas))
                except SqlError as error:
                    errors.append(error)
            if not ready:
                raise errors[0]
            for program in ready:
                schemas[program.name] = program.schema
                yield program
            done = {program.name for program in ready}
            waiting = [definition for definition in waiting if definition.name not in done]

    def _build(self, view: View, tick: Tick) -> None:
        view.create()
        view.attach()
        view.backfill(tick)
        drops = tuple(view.drop_statements())
        write_relation(
            self._connection,
            Relation(
                view.name,
                "view",
                view.program.schema,
                "live",
                fingerprint(view.program),
                drops,
                inputs=view.program.inputs,
            ),
        )
        self.relations = read_relations(self._connection)

    def _drop_view(self, name: str) -> None:
        if (relation := self.relations.get(name)) is not None:
            drop_procedures(self._connection, name)
            self._execute(relation.drop_steps)
            remove_relation(self._connection, name)
            del self.relations[name]

    def _rebuild_readers(self, table: str, tick: Tick) -> None:
        """After a table's schema changed: views that still compile are built anew, others are stopped with the reason."""
        affected = self._downstream(table)
        for name in reversed(affected):
            self._drop_view(name)
        self.views_in_order = [view for view in self.views_in_order if view.name not in affected]
        for name in affected:
            definition = self._definitions[name]
            try:
                view = View(self._connection, self._compile(definition, self.schemas()))
                with self._connection:
                    self._build(view, tick)
                self.views_in_order.append(view)
            except (SqlError, ViewFailed) as error:
                self._write_stopped(name, str(error))
        self._index_readers()

    def _downstream(self, relation: str) -> list[str]:
        """Names of the views that read a relation, directly or not, in maintenance order."""
        found = {relation}
        for view in self.views_in_order:
            if found & set(view.program.inputs):
                found.add(view.name)
        return [view.name for view in self.views_in_order if view.name in found]

    def _stop_readers(self, relation: str, reason: str) -> None:
        for name in self._downstream(relation):
            if name != relation:
                self._mark_stopped(name, f"View {name!r} is stopped: {reason}.")
        stopped = {name for name, one in self.relations.items() if one.state == "stopped"}
        self.views_in_order = [view for view in self.views_in_order if view.name not in stopped]
        self._index_readers()

    def _mark_stopped(self, name: str, reason: str) -> None:
        self._set_state(name, "stopped", reason)

    def _write_stopped(self, name: str, reason: str) -> None:
        empty = TableSchema(name, ())
        write_relation(self._connection, Relation(name, "view", empty, "stopped", error=reason))
        self.relations = read_relations(self._connection)

    # -- memory ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Reads everything back when a tick is rolled back: its schema changes went with it."""
        definitions, views = self._definitions, list(self.views_in_order)
        try:
            yield
        except BaseException:
            self._definitions = definitions
            self._clear_scratch(views)
            self._load()
            self.views_in_order = [view for view in views if self.relations[view.name].state == "live"]
            self._index_readers()
            raise

    def _load(self) -> None:
        self.relations = read_relations(self._connection)
        self.mirrors = {}
        for relation in list(self.relations.values()):
            if relation.kind == "table":
                self._attach_table(relation.schema, relation.state)
        seen = self._connection.execute(
            "SELECT substr(name, 6) FROM main.sqlite_schema WHERE name GLOB 'seen:*'"
        )
        self.reloading = {name for (name,) in seen}

    def _attach_table(self, schema: TableSchema, state: str) -> None:
        self._execute([f"DROP TABLE IF EXISTS temp.{quote('d:' + schema.name)}"])
        self._execute(create_scratch(schema))
        self.mirrors[schema.name] = Mirror(self._connection, schema)
        self.relations = read_relations(self._connection)

    def _clear_scratch(self, views: Sequence[View]) -> None:
        with contextlib.suppress(apsw.SQLError):
            for name in self.mirrors:
                self.clear(name)
            for view in views:
                view.clear()

    def _index_readers(self) -> None:
        self.readers = {}
        self._views = {view.name: view for view in self.views_in_order}
        for view in self.views_in_order:
            for name in view.program.inputs:
                self.readers.setdefault(name, []).append(view)

    def _set_state(self, name: str, state: str, error: str | None = None) -> None:
        self._connection.execute(
            "UPDATE _relations SET state = ?, error = ? WHERE name = ?", (state, error, name)
        )
        self.relations = read_relations(self._connection)

    def _execute(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)


def fingerprint(program: ViewProgram) -> str:
    """Changes when anything that the view's state depends on does."""
    parts = [
        program.text,
        program.schema.to_json(),
        [step.sql for step in (*program.state, *program.backfill)],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
