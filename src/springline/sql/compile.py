"""Compiles a view: text → plan → the statements of its :class:`~springline.sql.program.ViewProgram`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from springline.core.schema import TableSchema
from springline.errors import SqlError
from springline.sql.catalog import Catalog
from springline.sql.clauses import CommonTables
from springline.sql.dead_letters import dead_letters
from springline.sql.dialect import parse_query, told_where_too_deep
from springline.sql.full import full
from springline.sql.groups import aggregate
from springline.sql.history import maintain_history
from springline.sql.maintain import Parts, outer, project
from springline.sql.names import check_view_name
from springline.sql.over_maintain import over
from springline.sql.plan import Planner
from springline.sql.program import OperatorLevel, Step, ViewProgram, WindowMode
from springline.sql.query import Translator
from springline.sql.rows import Index, names_of
from springline.sql.sessions import maintain_sessions
from springline.sql.shapes import Full, History, Node, Outer, Over, Plan, Project, Sessions, Stream
from springline.sql.sharing import is_shared, shared_rows, subplans
from springline.sql.streams import maintain_stream
from springline.sql.typed import quote
from springline.sql.user_functions import Functions
from springline.sql.windows_close import follow_watermarks
from springline.sql.windows_plan import name_late_tables


def compile_view(
    name: str,
    text: str,
    catalog: Mapping[str, TableSchema],
    *,
    key: Sequence[str] | None = None,
    windows: WindowMode = "closing",
    functions: Functions | None = None,
    shared: Sequence[tuple[str, TableSchema]] = (),
) -> ViewProgram:
    """Compiles a view's SELECT over the relations of ``catalog``.

    The key is inferred (group columns; keys of the joined tables as far as they are shown) or declared with ``key``; a declared
    key is checked whenever rows change. ``windows="live"``: windows over event time do not close. Raises SqlError with line and
    column where the text cannot be used. ``functions``: the application's. ``shared``: texts of subqueries (``ViewProgram.subplans``), each
    with the hidden view that is read in its place; ``batch`` reads none.
    """
    with told_where_too_deep(text):
        return _compiled(name, text, catalog, key, windows, functions, shared)


def _compiled(
    name: str,
    text: str,
    catalog: Mapping[str, TableSchema],
    key: Sequence[str] | None,
    windows: WindowMode,
    functions: Functions | None,
    shared: Sequence[tuple[str, TableSchema]],
) -> ViewProgram:
    if not is_shared(name):
        check_view_name(name, catalog, text)
    query, where = parse_query(text, functions)
    relations = Catalog(catalog)
    planner = Planner(where, relations, name, live=windows == "live")
    planner.shared = shared_rows(shared, where)
    plan = planner.plan(query, key)
    if name in plan.inputs:
        raise SqlError(f"View {name!r} reads itself.", hint="Give the view another name.", statement=text)
    batch, _ = Translator(where, relations, ad_hoc=False).query(query, None, CommonTables())
    made = replace(
        _assemble(name, text, plan, batch),
        has_declared_key=key is not None,
        subplans=subplans(query, where, relations),
    )
    timed = [one for one in plan.inputs if one in relations and relations[one].event_time is not None]
    if not timed or not (made.close or made.schema.event_time):
        return made
    follow, forget = follow_watermarks(name, timed)
    return replace(made, state=(*made.state, follow), drop=(*made.drop, forget))


def _parts(node: Node, *, is_view: bool, view: str) -> Parts:
    shape = node.shape
    if isinstance(shape, Project):
        return project(node, shape, is_view=is_view, view=view)
    if isinstance(shape, Outer):
        return outer(node, shape, is_view=is_view, view=view)
    if isinstance(shape, Over):
        return over(node, shape, is_view=is_view, view=view)
    if isinstance(shape, Full):
        return full(node, shape, is_view=is_view, view=view)
    if isinstance(shape, Stream):
        return maintain_stream(node, shape)
    if isinstance(shape, History):
        return maintain_history(node, shape, view=view)
    if isinstance(shape, Sessions):
        return maintain_sessions(node, shape, view=view)
    return aggregate(node, shape, is_view=is_view, view=view)


def _assemble(name: str, text: str, plan: Plan, batch: str) -> ViewProgram:
    """Puts the nodes' statements together. A node that reads an intermediate runs when the intermediate is finished, still
    before its rows are applied: the order of a tick, continued inside the view."""
    name_late_tables(name, plan.nodes)
    *inner, last = plan.nodes
    parts = [(node, _parts(node, is_view=node is last, view=name)) for node in plan.nodes]
    own = {node.name for node in inner}
    state: list[Step] = []
    on_input: dict[str, list[Step]] = {relation: [] for relation in plan.inputs}
    finish: list[Step] = []
    close: list[Step] = []
    backfill: list[Step] = []
    levels: list[OperatorLevel] = []
    scans: list[str] = []
    for node, part in parts:
        state.extend(part.state)
        state.extend(_index_step(index) for index in dict.fromkeys(part.indexes))
        for relation in plan.inputs:
            on_input[relation].extend(part.on_input.get(relation, ()))
        finish.extend(part.finish)
        close.extend([*part.finish[:-1], *part.closing, *part.finish[-1:]])
        if node is not last:
            passed_on = [step for _, reader in parts for step in reader.on_input.get(node.name, ())]
            finish.extend([*passed_on, *part.apply])
            close.extend([*passed_on, *part.apply])
        backfill.extend(part.backfill)
        levels.extend(part.levels)
        scans.extend(part.scans)
    forget = [step for _, part in parts for step in part.forget]
    letters = dead_letters(name, parts)
    state.extend(letters.state)
    finish.extend(letters.finish)
    close.extend(letters.finish)
    backfill.extend(letters.backfill)
    levels.extend(letters.levels)
    warnings = [*plan.warnings]
    for relation in dict.fromkeys(one for one in scans if one not in own and not is_shared(one)):
        warnings.append(
            f"{relation} is joined without an equality that an index could serve: a change reads it whole."
        )
    return ViewProgram(
        name=name,
        text=text,
        schema=last.schema,
        inputs=plan.inputs,
        levels=tuple(dict.fromkeys(levels)),
        state=tuple(dict.fromkeys(state)),
        scratch=tuple(step for _, part in parts for step in part.scratch),
        on_input={relation: tuple(steps) for relation, steps in on_input.items()},
        finish=tuple(finish),
        backfill=(*backfill, *forget),
        clear=tuple(step for _, part in parts for step in part.clear),
        drop=(*(step for _, part in parts for step in part.drop), *letters.drop),
        batch=batch,
        warnings=tuple(warnings),
        close=(*close, *forget) if forget else (),
        sides=tuple(part.side for _, part in parts if part.side is not None),
    )


def _index_step(index: Index) -> Step:
    """Indexes on relations are shared between views, and stay when one of them goes."""
    return Step(
        f"CREATE INDEX IF NOT EXISTS main.{quote(index.name)} ON {quote(index.relation)}({names_of(index.columns)})",
        f"finds rows of {index.relation} by {', '.join(index.columns)}",
    )
