"""The relations of one state: which tables and views there are, in which order they are maintained, and their life.

Everything here runs on the writing connection, inside a tick's transaction; what it remembers in memory can be read back
from ``_relations`` and is, when a tick is rolled back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import apsw

from springline.core.position import Tick
from springline.core.schema import EventTime, TableSchema
from springline.errors import SqlError
from springline.runtime.base import RelationChange
from springline.runtime.embedded.changelists import APPLICATION, ChangeLists
from springline.runtime.embedded.changing import (
    Compiled,
    Compiler,
    ViewDefinition,
    check_names,
    compile_all,
    components,
    downstream,
    fingerprint,
    in_order,
    outer_inputs,
    rows_up_to,
    to_build,
)
from springline.runtime.embedded.feeds import rendered_delta
from springline.runtime.embedded.indexes import drop_unused_indexes, ensure_index, shared_indexes
from springline.runtime.embedded.mirror import Key, Mirror
from springline.runtime.embedded.reshape import keeps_values, reshape_statements, same_shape
from springline.runtime.embedded.sharing import shared_forms, spoken_of
from springline.runtime.embedded.state import (
    Relation,
    read_definitions,
    read_relations,
    remove_relation,
    write_definition,
    write_relation,
)
from springline.runtime.embedded.tables import (
    create_relation,
    create_scratch,
    drop_relation,
    quote,
)
from springline.runtime.embedded.views import View, ViewFailed, as_relation
from springline.runtime.embedded.watermarks import Watermarks
from springline.sql.program import ViewProgram
from springline.sql.sharing import is_shared

__all__ = ["Compiler", "Relations", "ViewDefinition"]


class Relations:
    """Tables and views, on the writing connection.

    ``inline_rows``: views over inputs with no more rows than this together are filled within the tick that finds them new or changed;
    the others become ``unbuilt``, for somebody to build beside the running ticks and to ``switch`` in. None: all are filled at once.
    """

    def __init__(
        self, connection: apsw.Connection, compile_view: Compiler, *, inline_rows: int | None = None
    ) -> None:
        self._connection = connection
        self.watermarks = watermarks = Watermarks(connection)
        self._compile: Compiler = lambda definition, schemas: compile_view(
            definition, watermarks.timed(schemas)
        )
        self._inline_rows = inline_rows
        self.lists = ChangeLists(connection)
        self.retained: frozenset[str] = frozenset()
        """Relations whose changes are kept for subscribers."""
        self.filled_at_once: frozenset[str] = frozenset()
        """Views that are not built beside the ticks, however large what they read is."""
        self.unbuilt: dict[str, ViewProgram] = {}
        """Views that wait to be built, each after those that it reads. Replaced, never changed: other threads look at it."""
        self._definitions: dict[str, ViewDefinition] = {}
        self._forms: dict[str, ViewDefinition] = {}
        """As what views are maintained, with the hidden ones that they share (``sharing.py``)."""
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
        mirror = self._views[name].mirror if name in self._views else self.mirrors[name]
        return rendered_delta(
            self._connection, mirror.statements.read_delta, self.relations[name].schema, tick
        )

    def clear(self, name: str) -> None:
        """Empties a relation's scratch tables."""
        if name in self._views:
            self._views[name].clear()
            return
        for statement in self.mirrors[name].statements.clear:
            self._connection.execute(statement)

    # -- tables ----------------------------------------------------------------------------------------------------

    def set_schema(self, schema: TableSchema, tick: Tick) -> bool:
        """The table's schema from here on: makes the table, or brings its rows into the new shape, and its views with them; whether rows
        that were there have another shape now."""
        known = self.relations.get(schema.name)
        if known is None:
            self._execute(create_relation(schema))
            write_relation(self._connection, Relation(schema.name, "table", schema, "loading"))
            self._attach_table(schema, "loading")
            if any(self._is_broken(name) for name in self._definitions):
                self._reconcile(tick)
            return False
        if same_shape(known.schema, schema):
            return False
        self._execute(reshape_statements(known.schema, schema))
        write_relation(self._connection, replace(known, schema=schema))
        self._attach_table(schema, known.state)
        if schema.name in self.lists:
            self.lists.restart(schema, tick)
        self._reconcile(tick, () if keeps_values(known.schema, schema) else (schema.name,))
        return True

    def drop_table(self, table: str) -> None:
        if table in self.mirrors:
            self._stop_readers(table, f"table {table!r} is no longer captured")
            self._execute(drop_relation(table))
            remove_relation(self._connection, table)
            self.lists.drop(table)
            del self.mirrors[table], self.relations[table]

    def begin_loading(self, table: str) -> None:
        """A snapshot of the table begins. If it already has rows, those that the snapshot does not show will go at its end."""
        relation = self.relations[table]
        has_rows = self._connection.execute(f"SELECT 1 FROM main.{quote(table)} LIMIT 1").fetchone()
        if has_rows and relation.schema.key:
            self.mirrors[table].begin_seen()
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
        self,
        definitions: Sequence[ViewDefinition],
        tables: Sequence[TableSchema],
        tick: Tick,
        event_times: Mapping[str, EventTime] | None = None,
    ) -> list[str]:
        """Brings the state to what the application declares: tables that are new are made, those no longer asked for dropped;
        new views are filled from the current tables, changed ones are built anew, removed ones dropped; nothing else is touched.
        Names of the views that were built here; ``unbuilt`` has those that are to be built beside the ticks. Raises SqlError for a
        new definition that cannot be used; one that was in use before is stopped with the reason."""
        check_names(definitions, tables)
        self._definitions = {}
        for name in set(self.mirrors) - {schema.name for schema in tables}:
            self.drop_table(name)
        for schema in (one for one in tables if one.name not in self.mirrors):
            self.set_schema(schema, tick)
        self._definitions = {definition.name: definition for definition in definitions}
        mirrored = {name: mirror.schema for name, mirror in self.mirrors.items()}
        self.watermarks.declare(event_times or {}, mirrored)
        built = self._reconcile(tick, is_start=True)
        self.lists.drop_unheld()
        return built

    def _reconcile(self, tick: Tick, disturbed: Sequence[str] = (), *, is_start: bool = False) -> list[str]:
        """Brings the views to their definitions over the present tables. ``disturbed``: tables whose rows were changed beneath the
        views, without a delta. Names of the views that were filled here."""
        tables = {name: one.schema for name, one in self.relations.items() if one.kind == "table"}
        compiled = compile_all(self._definitions.values(), tables, self._compile)
        installed = read_definitions(self._connection)
        if is_start:
            for name, error in compiled.broken.items():
                if installed.get(name) != self._definitions[name]:
                    raise error.of_view(name)

        def is_current(one: ViewProgram) -> bool:
            return self._is_current(one) and not set(disturbed) & set(one.inputs)

        declared = self._definitions.values()
        forms = shared_forms(
            declared, compiled.programs, tables, self._compile, installed=installed, is_current=is_current
        )
        self._forms = {name: form.definition for name, form in forms.items()}
        programs = {name: form.program for name, form in forms.items()}
        wanted = to_build(programs, is_current)
        views = [self._attached(programs[name]) for name in programs if name not in wanted]
        old = [self._old_version(name, installed.get(name), disturbed) for name in wanted]
        views += [view for view in old if view is not None]
        self._drop_all_but(views, compiled)
        built = self._build_inline(programs, wanted, tick)
        self.hold_lists(built, tick)
        self.drop_unused()
        return built

    def hold_lists(self, built: Sequence[str], tick: Tick) -> None:
        """The changes of what the application has declared so are kept; those of a view that was filled anew from here on."""
        for name in self.retained:
            if name in self.relations and self.relations[name].state != "stopped":
                if name in built and name in self.lists:
                    self.lists.restart(self.relations[name].schema, tick)
                self.lists.hold(self.relations[name].schema, APPLICATION, tick)

    def _is_current(self, program: ViewProgram) -> bool:
        """Whether the state holds the view as the program maintains it."""
        known = self.relations.get(program.name)
        return known is not None and known.state == "live" and known.program == fingerprint(program)

    def _is_broken(self, name: str) -> bool:
        return name in self.relations and self.relations[name].state == "stopped"

    def _attached(self, program: ViewProgram) -> View:
        """A view whose state is there."""
        for index in shared_indexes(program.state, self.relations):
            ensure_index(self._connection, index)
        view = self._views.get(program.name)
        if view is None or view.program != program:
            if view is not None:
                view.detach()
            (view := View(self._connection, program)).attach()
        if self.relations[program.name].error is not None:
            self._set_state(program.name, "live")
        return view

    def _old_version(
        self, name: str, definition: ViewDefinition | None, disturbed: Sequence[str]
    ) -> View | None:
        """The view as its state holds it, which goes on being maintained while the new version is built; None where that is
        impossible, because there is none, or what it reads has changed."""
        known = self.relations.get(name)
        if known is None or known.state != "live" or definition is None or set(disturbed) & set(known.inputs):
            return None
        if any(one not in self.relations or self.relations[one].state == "stopped" for one in known.inputs):
            return None
        with contextlib.suppress(SqlError):
            program = self._compile(definition, {n: s for n, s in self.schemas().items() if n != name})
            if self._is_current(program):
                return self._attached(program)
        return None

    def _drop_all_but(self, views: Sequence[View], compiled: Compiled) -> None:
        """Drops what is no longer declared, unless an old version still reads it; says of what is broken why."""
        installed = read_definitions(self._connection)
        kept = {view.name: view for view in views}
        gone = [name for name, one in self.relations.items() if one.kind == "view" and name not in kept]
        waiting = list(kept.values())
        while waiting:
            for name in set(waiting.pop().program.inputs) & set(gone):
                if (old := self._old_version(name, installed.get(name), ())) is not None:
                    kept[name] = old
                    waiting.append(old)
                    gone.remove(name)
        for name in gone:
            self.drop_view(name)
        self.views_in_order = in_order(list(kept.values()), lambda view: view.program.inputs)
        self._index_readers()
        for name, error in compiled.broken.items():
            self._write_stopped(name, f"View {name!r} is stopped: {error}")

    def _build_inline(
        self, programs: Mapping[str, ViewProgram], wanted: Sequence[str], tick: Tick
    ) -> list[str]:
        """Fills the views over little data, and leaves the others as ``unbuilt``. Names of what was filled."""
        built: list[str] = []
        unbuilt: dict[str, ViewProgram] = {}
        for names in components(programs, wanted, self.read_now()):
            if not self._is_small([programs[name] for name in names]):
                unbuilt.update((name, programs[name]) for name in names)
                continue
            for name in reversed(names):
                self.drop_view(name)
            for name in names:
                if self.fill(programs[name], tick):
                    built.append(name)
        self.unbuilt = {name: unbuilt[name] for name in programs if name in unbuilt}
        return built

    def _is_small(self, programs: Sequence[ViewProgram]) -> bool:
        """Whether filling these views takes no longer than a tick may. Views that read one which waits wait with it."""
        if self._inline_rows is None or any(one.name in self.filled_at_once for one in programs):
            return True
        # Windows that close cannot be built beside the ticks: which rows are late depends on the ticks.
        if any(one.close for one in programs):
            return True
        names = [name for name in outer_inputs(programs) if name in self.relations]
        return rows_up_to(self._connection, names, self._inline_rows) <= self._inline_rows

    def fill(self, program: ViewProgram, tick: Tick) -> bool:
        """Fills a view now; whether that went well. Otherwise it is stopped with the reason."""
        name = program.name
        if stopped := [one for one in program.inputs if one not in self.relations or self._is_broken(one)]:
            self._write_stopped(name, self.why_stopped(name, stopped[0]))
            return False
        view = View(self._connection, program)
        try:
            # A savepoint: a view whose key the rows violate takes what it made with it, and the others are built.
            with self._connection:
                own = [step for step in program.state if not shared_indexes([step], self.relations)]
                view.create(own)
                for index in shared_indexes(program.state, self.relations):
                    ensure_index(self._connection, index)
                view.attach()
                view.backfill(tick)
        except ViewFailed as failure:
            view.detach()
            self._write_stopped(name, str(failure))
            return False
        self.record_view(program)
        self.add_view(view)
        return True

    def record_view(self, program: ViewProgram) -> None:
        """The state holds this view now."""
        write_relation(self._connection, as_relation(program))
        write_definition(self._connection, program.name, self._definition(program.name).to_json())
        self.relations = read_relations(self._connection)

    def add_view(self, view: View) -> None:
        """The view is maintained from now on, instead of another version that there may be."""
        others = [one for one in self.views_in_order if one.name != view.name]
        self.views_in_order = in_order([*others, view], lambda one: one.program.inputs)
        self._index_readers()

    def drop_view(self, name: str, *, keep_list: bool = False) -> None:
        """Takes a view away, whatever its state. Idempotent."""
        if (view := self._views.get(name)) is not None:
            view.detach()
            self.views_in_order = [one for one in self.views_in_order if one is not view]
            self._index_readers()
        if (relation := self.relations.get(name)) is not None:
            self._execute(relation.drop_steps)
            if not keep_list:
                self.lists.drop(name)
            remove_relation(self._connection, name)
            del self.relations[name]

    def read_now(self) -> dict[str, Sequence[str]]:
        """What each view that is maintained reads."""
        return {view.name: view.program.inputs for view in self.views_in_order}

    def give_up(self, name: str, reason: str) -> None:
        """A view that waits to be built cannot be: the version that there is goes on with the reason as its error, or else the view
        is stopped."""
        self.unbuilt = {one: program for one, program in self.unbuilt.items() if one != name}
        if is_shared(name):
            return
        reason = spoken_of(reason, name)
        if name in self._views:
            told = f"The new definition of view {name!r} is not used, the one before it goes on: {reason}"
            self._set_state(name, "live", told)
        else:
            self._write_stopped(name, reason)

    def drop_unused(self) -> None:
        """Drops views that are not declared and that no version of another one reads any more, and indexes that views shared and
        none needs."""
        awaited = {one for program in self.unbuilt.values() for one in program.inputs}
        for view in reversed(self.views_in_order):
            if view.name not in self._definitions and view.name not in {*self.readers, *awaited}:
                self.drop_view(view.name)
        programs = [*(view.program for view in self.views_in_order), *self.unbuilt.values()]
        drop_unused_indexes(self._connection, self.relations, programs)

    def stop_view(self, failure: ViewFailed) -> None:
        """Stops a view that cannot be maintained, and every view that reads it; for a hidden one those that share it have the reason."""
        self._mark_stopped(failure.view, str(failure))
        if not is_shared(failure.view):
            self._stop_readers(failure.view, f"view {failure.view!r}, which it reads, is stopped")
            return
        for view in self.readers.get(failure.view, ()):
            self.stop_view(failure.of_reader(view.name))

    def _stop_readers(self, relation: str, reason: str) -> None:
        for name in downstream(self.read_now(), relation):
            if name != relation:
                self._mark_stopped(name, f"View {name!r} is stopped: {reason}.")
        stopped = {name for name, one in self.relations.items() if one.state == "stopped"}
        self.views_in_order = [view for view in self.views_in_order if view.name not in stopped]
        self._index_readers()

    def why_stopped(self, name: str, read: str) -> str:
        """Why a view is stopped that reads a stopped one; for a hidden one that is its own reason."""
        known = self.relations.get(read)
        if is_shared(read) and known is not None and known.error is not None:
            return spoken_of(known.error, name)
        return f"View {name!r} is stopped: view {read!r}, which it reads, is stopped."

    def _mark_stopped(self, name: str, reason: str) -> None:
        self._set_state(name, "stopped", reason)

    def _write_stopped(self, name: str, reason: str) -> None:
        empty = TableSchema(name, ())
        write_relation(self._connection, Relation(name, "view", empty, "stopped", error=reason))
        write_definition(self._connection, name, self._definition(name).to_json())
        self.relations = read_relations(self._connection)

    def _definition(self, name: str) -> ViewDefinition:
        return self._forms.get(name) or self._definitions[name]

    # -- memory ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Reads everything back when a tick is rolled back: its schema changes went with it."""
        definitions, forms, views = self._definitions, self._forms, list(self.views_in_order)
        unbuilt, holders = self.unbuilt, self.lists.holders()
        try:
            yield
        except BaseException:
            self._definitions, self._forms, self.unbuilt = definitions, forms, unbuilt
            self.lists.restore(holders)
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
        self.lists.load({name: one.schema for name, one in self.relations.items()})

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
