"""From a view's text to its plan: nodes, each maintained on its own, the last one being the view.

A query over joined and filtered rows (inner joins only) is one ``Project`` node. GROUP BY and DISTINCT are an ``Aggregate``,
LEFT JOINs an ``Outer`` node. Derived tables and WITH queries that are joins and filters become part of the query around them;
others, and LEFT JOINs below an aggregate, are nodes of their own whose rows are kept in the view's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from springline.sql.aggregates import Slots, group_output
from springline.sql.catalog import Catalog
from springline.sql.check import Checker
from springline.sql.check_calls import Grouping, contains_aggregate
from springline.sql.clauses import (
    CommonTables,
    alias_columns,
    join_condition,
    join_kind,
    joins,
    projections,
    refuse_clauses,
    refuse_order,
    resolve,
    row_conditions,
    written_name,
)
from springline.sql.dialect import Text, Tree
from springline.sql.full import full_key
from springline.sql.guarded import guarded, of_aggregation, of_columns, of_join
from springline.sql.keys import row_key
from springline.sql.over import contains_window
from springline.sql.query import Translator, group_key
from springline.sql.rows import Occurrence, Rows, determined, join
from springline.sql.scope import Item, Scope, relation_columns, relation_qualifiers
from springline.sql.shapes import (
    Aggregate,
    Columns,
    Full,
    Node,
    NotIncremental,
    Outer,
    Plan,
    Project,
    Shape,
    node_schema,
)
from springline.sql.typed import NULL, Typed, describe, quote
from springline.sql.windows import window_call, windowed
from springline.sql.windows_plan import PlannedWindows, session_shape, session_window
from springline.sql.windows_syntax import WindowTable


class Planner:
    """Plans one view."""

    def __init__(self, where: Text, catalog: Catalog, view: str, *, live: bool = False) -> None:
        self.where = where
        self.catalog = catalog
        self.view = view
        self.nodes: list[Node] = []
        self.inputs: dict[str, None] = {}
        self.warnings: list[str] = []
        self.windows = PlannedWindows(view, live=live)
        self._aliases = 0

    def plan(self, query: Tree, key: Sequence[str] | None) -> Plan:
        shape = self._shape(query, CommonTables())
        if isinstance(shape, Outer) and not shape.anchor_columns:
            shape = self._over(shape)
        untyped = next((name for name, typed in shape.columns if typed.type == NULL), None)
        if untyped is not None:
            raise self.where.error(
                query, f"Column {untyped!r} is always NULL.", "CAST(NULL AS STRING) gives it a type."
            )
        chosen = self._view_key(query, shape, key)
        self.nodes.append(
            Node(
                self.view,
                shape,
                node_schema(self.view, shape.columns, chosen, self.windows.event_time(shape)),
            )
        )
        return Plan(self.nodes, tuple(self.inputs), self.warnings)

    def _view_key(self, query: Tree, shape: Shape, declared: Sequence[str] | None) -> tuple[str, ...]:
        names = [name for name, _ in shape.columns]
        if declared is not None:
            unknown = [name for name in declared if name not in names]
            if unknown or not declared:
                what = (
                    f"{unknown[0]!r} is not a column of view {self.view!r}" if unknown else "The key is empty"
                )
                raise self.where.error(None, f"{what}.", f"Columns: {', '.join(names)}.")
            return tuple(declared)
        if shape.key is None:
            missing = ", ".join(shape.missing)
            add = (
                f"Add {missing} to the SELECT list" if missing else "Read tables that have keys, or GROUP BY"
            )
            raise self.where.error(
                query,
                f"View {self.view!r} has no key that can be inferred.",
                f"{add}, or declare one with key=.",
            )
        return shape.key

    # -- queries ---------------------------------------------------------------------------------------------------

    def _shape(self, node: Tree, tables: CommonTables) -> Shape:
        """The shape of a query; the whole of it is computed again where a part of it has no operator."""
        before = (len(self.nodes), dict(self.inputs), list(self.warnings))
        try:
            return self._incremental(node, tables)
        except NotIncremental as reason:
            del self.nodes[before[0] :]
            self.inputs, self.warnings = before[1], before[2]
            return self._full(node, tables, reason)

    def _incremental(self, node: Tree, tables: CommonTables) -> Shape:
        tables = CommonTables(tables, node)
        refuse_order(self.where, node)
        if isinstance(node, exp.Subquery):
            if node.args.get("limit") or node.args.get("offset"):
                raise NotIncremental("LIMIT", "")
            return self._shape(node.this, tables)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, tables)
        if not isinstance(node, exp.Select):
            raise self.where.error(node, f"{self.where.quote(node)} is not a query.", "Write SELECT ….")
        return self._select(node, tables)

    def probe(self) -> Planner:
        """Another planner over the same catalog, to try something out."""
        return Planner(self.where, self.catalog, self.view)

    def _full(self, node: Tree, tables: CommonTables, reason: NotIncremental) -> Shape:
        translator = Translator(self.where, self.catalog, ad_hoc=False)
        sql, columns = translator.query(node, None, tables)
        for relation in translator.relations:
            self.inputs[relation] = None
        self.warnings.append(
            f"{reason.what}: the query that has it is computed again as a whole with every change. {reason.hint}".rstrip()
        )
        shape = Full(sql, columns, tuple(translator.relations), reason.what)
        shape.key, shape.missing = full_key(self, node, tables)
        return shape

    def checker(self, scope: Scope, grouping: Grouping | None = None) -> Checker:
        """Checks expressions of which every part has an operator."""

        def subquery(query: Tree, _: Scope) -> tuple[str, Columns]:
            raise NotIncremental(
                self.where.quote(query), "A subquery is cheaper as a conjunct of WHERE, or as a join."
            )

        return Checker(scope, grouping=grouping, subquery=subquery)

    def _select(self, node: exp.Select, tables: CommonTables) -> Shape:
        refuse_clauses(self.where, node)
        if node.args.get("limit") or node.args.get("offset"):
            raise NotIncremental("LIMIT", "")
        scope = Scope(self.where)
        rows = self.from_clause(node, scope, tables)
        checker = self.checker(scope)
        if (clause := node.args.get("where")) is not None:
            rows.filters.extend(guarded(row_conditions(checker, clause.this)))
        if any(map(contains_window, node.expressions)):
            raise NotIncremental("OVER", "")
        group = node.args.get("group")
        grouped = (
            group is not None
            or node.args.get("having") is not None
            or any(map(contains_aggregate, node.expressions))
        )
        if grouped and node.args.get("distinct"):
            raise NotIncremental(
                "DISTINCT with GROUP BY", "Groups that are selected whole are distinct already."
            )
        if not grouped and not node.args.get("distinct"):
            guards, columns = of_columns(self._columns(checker, node))
            rows.filters.extend(guards)
            if rows.has_left:
                return _with_anchor(rows, columns)
            shape = Project([(rows, columns)])
            shape.key, shape.missing = row_key(rows, columns)
            return shape
        if rows.has_left:
            rows, scope = self._below(node, rows, scope, grouped=grouped)
        return self._aggregate(node, [rows], self.checker(scope), grouped=grouped)

    def _columns(self, checker: Checker, node: exp.Select) -> Columns:
        return [
            (name, checker.check(expression) if known is None else known)
            for name, expression, known in projections(checker, node, ad_hoc=False)
        ]

    def _aggregate(
        self, node: exp.Select, branches: list[Rows], rows: Checker, *, grouped: bool
    ) -> Aggregate:
        group = node.args.get("group")
        if grouped:
            keys: list[Tree] = [] if group is None else group.expressions
            groups = [group_key(rows, one) for one in keys]
        else:
            groups = [typed for _, typed in self._columns(rows, node)]
        slots = Slots(self.where, groups)
        columns: Columns = []
        checker = self.checker(rows.scope, slots)
        for index, (name, expression, known) in enumerate(projections(rows, node, ad_hoc=False)):
            if not grouped:
                columns.append((name, group_output(slots, index)))
            else:
                found = None if known is None else slots.grouped(known.sql)
                columns.append((name, found or checker.check(expression)))
        having = node.args.get("having")
        of_groups = [] if having is None else guarded([checker.boolean(having.this, "HAVING")])
        guards, columns = of_columns(columns)
        for one in branches:
            one.filters.extend(of_aggregation(groups, slots.calls))
        shape = Aggregate(branches, slots, columns, [*of_groups, *guards])
        if any(
            call.name == "AVG" and call.argument is not None and call.argument.type.is_integer
            for call in slots.calls
        ):
            self.warnings.append(
                "AVG of an integer is an integer, as in Flink; CAST to DOUBLE or DECIMAL for fractions."
            )
        shape.key, shape.missing = self._group_key(slots, columns)
        shape.closing = self.windows.closing(shape, rows.scope, self.nodes)
        return shape

    def _group_key(self, slots: Slots, columns: Columns) -> tuple[tuple[str, ...] | None, list[str]]:
        if not slots.groups:
            # One row for ever: any column identifies it.
            return (next((name for name, typed in columns if not typed.nullable), columns[0][0]),), []
        by_text = {_bare(typed): name for name, typed in reversed(columns)}
        outputs = [_bare(slots.grouped(one.sql) or one) for one in slots.groups]
        missing: list[str] = []
        for index, one in enumerate(outputs):
            if one not in by_text:
                column = slots.groups[index].column
                missing.append(f"GROUP BY expression {index + 1}" if column is None else column[1])
        return (None if missing else tuple(dict.fromkeys(by_text[one] for one in outputs))), missing

    def _set_operation(self, node: exp.SetOperation, tables: CommonTables) -> Shape:
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            raise NotIncremental(type(node).__name__.upper(), "")
        if node.args.get("limit") or node.args.get("offset"):
            raise NotIncremental("LIMIT", "")
        branches: list[tuple[Rows, Columns]] = []
        for side in (node.left, node.right):
            shape = self._shape(side, tables)
            branches.extend(shape.branches if isinstance(shape, Project) else [self._materialised(shape)])
        first = branches[0][1]
        for _, columns in branches[1:]:
            if len(columns) != len(first):
                raise self.where.error(
                    node, f"UNION ALL of {len(first)} and {len(columns)} columns.", "Select the same columns."
                )
            for (name, one), (_, other) in zip(first, columns, strict=True):
                if one.type != other.type:
                    raise self.where.error(
                        node,
                        f"Column {name!r} of UNION ALL is {describe(one.type)} and {describe(other.type)}.",
                        "CAST one of them to the other's type.",
                    )
        nullable = [any(columns[index][1].nullable for _, columns in branches) for index in range(len(first))]
        named = [
            (
                rows,
                [(first[i][0], replace(typed, nullable=nullable[i])) for i, (_, typed) in enumerate(columns)],
            )
            for rows, columns in branches
        ]
        return Project(named)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def from_clause(self, node: exp.Select, scope: Scope, tables: CommonTables) -> Rows:
        clause = node.args.get("from_")
        if clause is None:
            raise self.where.error(node, "A view reads from something.", "Add FROM.")
        rows = Rows()
        self._add(rows, scope, clause.this, tables, None)
        for one in joins(node):
            self._add(rows, scope, one.this, tables, one)
        virtual = {one.name for one in self.nodes if one.virtual}
        if len(rows.occurrences) > 1 and any(one.relation in virtual for one in rows.occurrences):
            raise self.where.error(
                node,
                "A derived table without a key cannot be joined in a view: its rows cannot be kept.",
                "Show its tables' keys in its SELECT list, GROUP BY in it, or make it a view with key=.",
            )
        return rows

    def _add(self, rows: Rows, scope: Scope, node: Tree, tables: CommonTables, join: exp.Join | None) -> None:
        """Adds one table of FROM, or what a derived table is made of."""
        kind = "inner" if join is None else join_kind(self.where, join)
        if kind in ("right", "full"):
            raise NotIncremental(f"{kind.upper()} JOIN", "")
        found, item = self._source(node, tables, nullable=kind == "left")
        scope.add(node, item)
        conditions = [] if join is None else join_condition(self.checker(scope), join, item)
        on, obeyed = of_join(kind, conditions, item.columns.values())
        if kind == "inner":
            rows.occurrences.extend(found.occurrences)
            rows.filters.extend([*found.filters, *on])
            return
        [occurrence] = found.occurrences
        rows.occurrences.append(replace(occurrence, kind="left", on=(*found.filters, *on)))
        rows.filters.extend(obeyed)

    def _source(self, node: Tree, tables: CommonTables, *, nullable: bool) -> tuple[Rows, Item]:
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise self.where.error(node, "A query in FROM needs a name.", "(SELECT …) AS some_name.")
            return self._derived(node, node.alias, self._shape(node.this, tables), nullable=nullable)
        if isinstance(node, WindowTable):
            return self._windowed(node, tables, nullable=nullable)
        if not isinstance(node, exp.Table):
            raise self.where.error(
                node,
                f"{self.where.quote(node)} cannot stand in FROM.",
                "Table functions are not yet in this version.",
            )
        if (common := tables.find(node)) is not None:
            cte, seen = common
            if cte.args["alias"].columns:
                raise self.where.error(
                    cte, "WITH t(a, b) is not supported.", "Name the columns in its SELECT: … AS a."
                )
            return self._derived(
                node, node.alias or node.name, self._shape(cte.this, seen), nullable=nullable
            )
        schema = resolve(self.where, self.catalog, node)
        self.inputs[schema.name] = None
        occurrence = Occurrence(self._alias(), schema)
        qualifiers = relation_qualifiers(schema.name, written_name(node), node.alias)
        return Rows([occurrence]), Item(
            qualifiers, relation_columns(schema, occurrence.alias, nullable=nullable)
        )

    def _windowed(self, node: WindowTable, tables: CommonTables, *, nullable: bool) -> tuple[Rows, Item]:
        """A windowing table function: the rows of its data, with their windows."""
        call = window_call(self.where, node)
        rows, item = self._source(call.data, tables, nullable=False)
        if call.kind == "SESSION":
            shape = session_shape(self.where, call, rows, item, row_key(rows, list(item.columns.items())))
            rows, columns = self._materialised(shape)
            window, item = session_window(call, columns, item, self.nodes[-1])
        else:
            rows, item, window = windowed(self.where, call, rows, item, self._alias())
        self.windows.add(window)
        if not nullable:
            return rows, item
        columns = list(item.columns.items())
        key, missing = row_key(rows, columns)
        return self._derived(node, item.name, Project([(rows, columns)], key, missing), nullable=True)

    def _derived(self, node: Tree, name: str, shape: Shape, *, nullable: bool) -> tuple[Rows, Item]:
        rows, columns = _inlined(shape, nullable=nullable) or self._materialised(shape)
        given = alias_columns(self.where, node, [column for column, _ in columns])
        made = {
            shown: replace(typed, nullable=typed.nullable or nullable)
            for shown, (_, typed) in zip(given, columns, strict=True)
        }
        return rows, Item((name,), made)

    # -- intermediates ---------------------------------------------------------------------------------------------

    def _materialised(self, shape: Shape) -> tuple[Rows, Columns]:
        """Makes a node of its own of a shape, and reads it."""
        visible = [name for name, _ in shape.columns]
        if isinstance(shape, Outer) and not shape.anchor_columns:
            shape = self._with_hidden_anchor(shape)
        elif isinstance(shape, Aggregate) and shape.key is None:
            hidden = [
                (f"_g{index}", group_output(shape.slots, index)) for index in range(len(shape.slots.groups))
            ]
            shape = replace(shape, columns=[*shape.columns, *hidden], key=tuple(name for name, _ in hidden))
        name = f"s:{self.view}:{len(self.nodes) + 1}"
        schema = node_schema(name, shape.columns, shape.key or (), self.windows.event_time(shape))
        computed = _union_text(shape) if isinstance(shape, Project) and shape.key is None else ""
        self.nodes.append(Node(name, shape, schema, virtual=bool(computed)))
        occurrence = Occurrence(self._alias(), schema, computed=computed)
        columns = relation_columns(schema, occurrence.alias)
        made = [(column, columns[column]) for column in visible]
        self.windows.follow(shape.columns[: len(made)], made)
        return Rows([occurrence]), made

    def _with_hidden_anchor(self, shape: Outer) -> Outer:
        anchor = shape.rows.occurrence(shape.anchor)
        every = relation_columns(anchor.schema, anchor.alias)
        key = anchor.schema.key or anchor.schema.names
        hidden = [(f"_k{index}", every[column]) for index, column in enumerate(key)]
        return replace(
            shape, columns=[*shape.columns, *hidden], anchor_columns=tuple(name for name, _ in hidden)
        )

    def _over(self, shape: Outer) -> Project:
        """A LEFT JOIN that does not show its anchor's key is kept in state with that key; the view shows its columns."""
        rows, columns = self._materialised(shape)
        return Project([(rows, columns)], shape.key, shape.missing)

    def _below(self, node: exp.Select, rows: Rows, scope: Scope, *, grouped: bool) -> tuple[Rows, Scope]:
        """The LEFT JOIN below an aggregate, as a node with the columns that the aggregate uses."""
        scope.used.clear()
        checker = self.checker(scope)
        self._aggregate(node, [replace(rows, filters=[])], checker, grouped=grouped)
        used = sorted(scope.used)
        by_item = {item.name: item for item in scope.items}
        columns = [(f"c{index}", by_item[item].columns[column]) for index, (item, column) in enumerate(used)]
        if not columns:
            columns = [("c0", Typed("1", next(iter(scope.items[0].columns.values())).type, False))]
        kept, made = self._materialised(_with_anchor(rows, columns))
        places = {pair: made[index][1] for index, pair in enumerate(used)}
        below = Scope(self.where)
        for item in scope.items:
            shown = {column: typed for (owner, column), typed in places.items() if owner == item.name}
            below.items.append(Item(item.qualifiers, shown, item.merged))
        return kept, below

    def _alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"


def _union_text(shape: Project) -> str:
    names = [quote(name) for name, _ in shape.columns]
    selects: list[str] = []
    for rows, columns in shape.branches:
        listed = ", ".join(f"{typed.sql} AS {name}" for name, (_, typed) in zip(names, columns, strict=True))
        selects.append(f"SELECT {listed} {join(rows, []).source}")
    return f"({' UNION ALL '.join(selects)})"


def _inlined(shape: Shape, *, nullable: bool) -> tuple[Rows, Columns] | None:
    """The joins and filters of a derived table, to become part of the query around it; None where they cannot. On the right of a
    LEFT JOIN it must be one table whose columns are shown as they are: an expression would not be NULL for a missing row."""
    if not isinstance(shape, Project) or len(shape.branches) != 1:
        return None
    rows, columns = shape.branches[0]
    plain = len(rows.occurrences) == 1 and all(typed.column for _, typed in columns)
    return (rows, columns) if plain or not nullable else None


def _bare(typed: Typed) -> str:
    """The text of a group column, in parentheses or not."""
    return typed.raw.strip("()")


def _with_anchor(rows: Rows, columns: Columns) -> Outer:
    """Chooses the preserved occurrence whose rows determine those of the other inner ones, so that as little as possible is
    recomputed; the first one if there is none."""
    inner = [one.alias for one in rows.occurrences if one.kind == "inner"]
    leading = [one for one in inner if determined(rows, [one]) >= set(inner)]
    anchor = (leading or inner)[0]
    occurrence = rows.occurrence(anchor)
    shown: list[str] = []
    for part in occurrence.schema.key or occurrence.schema.names:
        found = next((name for name, typed in columns if typed.column == (anchor, part)), None)
        if found is not None:
            shown.append(found)
    whole = len(shown) == len(occurrence.schema.key or occurrence.schema.names)
    shape = Outer(rows, columns, anchor, tuple(shown) if whole else ())
    shape.key, shape.missing = row_key(rows, columns, first=anchor)
    return shape
