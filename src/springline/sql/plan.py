"""From a view's text to its plan: nodes, each maintained on its own, the last one being the view.

Rows of inner joins are one ``Project`` node, GROUP BY and DISTINCT an ``Aggregate``, LEFT JOINs an ``Outer`` node or, like FULL JOINs and
subqueries, sums of inner joins (``outer_joins.py``, ``subqueries.py``); functions OVER windows and LIMIT are an ``Over`` node
(``over_plan.py``). What has no operator is ``Full``. Derived tables and WITH queries that are joins and filters become part of the query
around them; others are nodes of their own, which keep what is looked up (``layout.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.errors import SqlError
from springline.sql import outer_joins
from springline.sql.aggregate_calls import VARIANCES
from springline.sql.aggregates import Slots, group_output
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
    refuse_windows,
    resolve,
    written_name,
)
from springline.sql.dialect import Tree
from springline.sql.full import full_key
from springline.sql.groups_below import needs_groups_below, over_groups
from springline.sql.guarded import guarded, of_aggregation, of_columns, of_join
from springline.sql.intermediates import Intermediates, inlined, with_anchor
from springline.sql.keys import row_key
from springline.sql.lateral import beside, is_lateral, unpacked
from springline.sql.layout import laid_out
from springline.sql.over import contains_window
from springline.sql.over_plan import absorbed, limited, over, push_filters, warn
from springline.sql.query import Translator, group_key, make_nullable
from springline.sql.rewrite import signature
from springline.sql.rows import Occurrence, Rows
from springline.sql.scope import Item, Scope, relation_columns, relation_qualifiers
from springline.sql.set_operations import set_operation
from springline.sql.shapes import (
    Aggregate,
    Columns,
    FailedRows,
    Full,
    Node,
    NotIncremental,
    Outer,
    Over,
    Plan,
    Project,
    Shape,
    node_schema,
)
from springline.sql.streams import keep_streams, only_come
from springline.sql.subqueries import Subqueries
from springline.sql.temporal_joins import Versions, versions
from springline.sql.typed import NULL, Typed
from springline.sql.windows import window_call, windowed
from springline.sql.windows_plan import session_shape, session_window
from springline.sql.windows_syntax import WindowTable

MOST_OCCURRENCES: Final = 8
"""Of one table in a join. The change of a join of n has 2**n - 1 parts."""


class Planner(Intermediates):
    """Plans one view."""

    def plan(self, query: Tree, key: Sequence[str] | None) -> Plan:
        shape = self.shape(query, CommonTables())
        if (isinstance(shape, Over) and len(shape.partition_columns) < len(shape.partition)) or (
            isinstance(shape, Outer) and not shape.anchor_columns
        ):
            shape = self._over(shape)
        untyped = next((name for name, typed in shape.columns if typed.type == NULL), None)
        if untyped is not None:
            raise self.where.error(
                query, f"Column {untyped!r} is always NULL.", "CAST(NULL AS STRING) gives it a type."
            )
        chosen = self._view_key(query, shape, key)
        self._add_failed_rows()
        self.nodes.append(
            Node(
                self.view,
                shape,
                node_schema(self.view, shape.columns, chosen, self.windows.event_time(shape)),
            )
        )
        for node in self.nodes:
            warn(self, node.shape)
        inputs = [self.catalog[name] for name in self.inputs if name in self.catalog]
        nodes = keep_streams(self.view, laid_out(self, self.nodes), inputs, self.where)
        return Plan(nodes, tuple(self.inputs), self.warnings)

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

    def shape(self, node: Tree, tables: CommonTables) -> Shape:
        """The shape of a query; the whole of it is computed again where a part of it has no operator."""
        before = (len(self.nodes), dict(self.inputs), list(self.warnings), self.failures.mark())
        try:
            return self._incremental(node, tables)
        except NotIncremental as reason:
            del self.nodes[before[0] :]
            self.inputs, self.warnings = before[1], before[2]
            self.failures.back_to(before[3])
            return self._full(node, tables, reason)

    def _incremental(self, node: Tree, tables: CommonTables) -> Shape:
        tables = CommonTables(tables, node)
        refuse_order(self.where, node)
        if node.args.get("limit") or node.args.get("offset"):
            return limited(self, node, tables)
        if isinstance(node, exp.Subquery):
            return self.shape(node.this, tables)
        if isinstance(node, exp.SetOperation):
            return set_operation(self, node, tables)
        if not isinstance(node, exp.Select):
            raise self.where.error(node, f"{self.where.quote(node)} is not a query.", "Write SELECT ….")
        return self._select(node, tables)

    def probe(self) -> Planner:
        """Another planner over the same catalog, to try something out."""
        made = Planner(self.where, self.catalog, self.view)
        made.shared = self.shared
        return made

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
        self.failures.note_whole(translator.left_out, shape)
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
        if needs_groups_below(node):
            return self._over_groups(node, tables)
        scope = Scope(self.where)
        rows = self.from_clause(node, scope, tables)
        has_left = rows.has_left
        subqueries = Subqueries(self, scope, rows, tables)
        if (clause := node.args.get("where")) is not None:
            refuse_windows(self.where, clause.this)
            subqueries.filters(clause.this)
        group = node.args.get("group")
        grouped = (
            group is not None
            or node.args.get("having") is not None
            or any(map(contains_aggregate, node.expressions))
        )
        windowed = any(map(contains_window, node.expressions))
        if not grouped:
            node = subqueries.select(node)
        if windowed:
            return self._windows(node, rows, scope)
        push_filters(self, rows, clause and clause.this)
        if not grouped and not node.args.get("distinct"):
            columns = self.columns(self.checker(scope), node)
            return absorbed(self, rows, columns) or self._rows(rows, columns, of_user=has_left)
        branches, joined = [rows], rows
        if rows.has_left:
            expanded = outer_joins.branches(self, rows)
            if expanded is None:
                self.failures.note(rows)
                rows, scope = self._below(node, rows, scope, grouped=grouped)
                joined = rows
            branches = expanded or [rows]
        shape = self._aggregate(node, branches, self.checker(scope), grouped=grouped)
        self.failures.note(joined, of_aggregation(shape.slots.groups, shape.slots.calls))
        return shape

    def _over_groups(self, node: exp.Select, tables: CommonTables) -> Shape:
        try:
            return self._select(over_groups(node), tables)
        except SqlError as error:
            raise NotIncremental(self.where.quote(node), "Group in a derived table.") from error

    def _rows(self, rows: Rows, columns: Columns, *, of_user: bool) -> Shape:
        """Rows as they are: joins, filters and expressions. LEFT JOINs of the text are joined again where they are touched; those
        that look subqueries up are taken apart."""
        columns = self.guarded_columns(rows, columns)
        return self.shape_of(rows, columns, of_user=of_user)

    def _windows(self, node: exp.Select, rows: Rows, scope: Scope) -> Shape:
        shape = over(self, node, rows, scope)
        if not node.args.get("distinct"):
            return shape
        read, columns = self.materialised(shape)
        return self.distinct([read], columns)

    def _add_failed_rows(self) -> None:
        """Nodes of the rows that the view leaves out because an expression fails on them."""
        seen: set[str] = set()
        for number, query in enumerate(self.failures.queries(), start=1):
            shape = self.shape_of(query.rows, query.columns, of_user=True)
            if isinstance(shape, Outer) and not shape.anchor_columns:
                shape = self.with_hidden_anchor(shape)
            if (text := signature(shape)) not in seen:
                seen.add(text)
                name = f"s:{self.view}:e{number}"
                schema = node_schema(name, shape.columns, [column for column, _ in shape.columns])
                self.nodes.append(FailedRows(name, shape, schema))
        for number, whole in enumerate(self.failures.wholes, start=1):
            name = f"s:{self.view}:f{number}"
            schema = node_schema(name, whole.columns, [])
            self.nodes.append(FailedRows(name, whole, schema))

    def columns(self, checker: Checker, node: exp.Select) -> Columns:
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
            groups = [typed for _, typed in self.columns(rows, node)]
        slots = Slots(self.where, groups, only_comes=only_come(branches))
        columns: Columns = []
        checker = self.checker(rows.scope, slots)
        for index, (name, expression, known) in enumerate(projections(rows, node, ad_hoc=False)):
            if not grouped:
                columns.append((name, group_output(slots, index)))
            else:
                found = None if known is None else slots.grouped(known.sql)
                if known is not None and found is not None:
                    found = replace(found, type=known.type)
                columns.append((name, found or checker.check(expression)))
        having = node.args.get("having")
        of_groups = [] if having is None else guarded([checker.boolean(having.this, "HAVING")])
        guards, columns = of_columns(columns)
        of_rows = of_aggregation(groups, slots.calls)
        branches = [replace(one, filters=[*one.filters, *of_rows]) for one in branches]
        shape = Aggregate(branches, slots, columns, [*of_groups, *guards])
        if any(
            call.name in ("AVG", *VARIANCES) and call.argument is not None and call.argument.type.is_integer
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

    # -- FROM ------------------------------------------------------------------------------------------------------

    def from_clause(self, node: exp.Select, scope: Scope, tables: CommonTables) -> Rows:
        clause = node.args.get("from_")
        if clause is None:
            raise self.where.error(node, "A view reads from something.", "Add FROM.")
        rows = Rows()
        self._add(rows, scope, clause.this, tables, None)
        for one in joins(node):
            self._add(rows, scope, one.this, tables, one)
        counted = Counter(one.relation for one in rows.occurrences if one.kind == "inner")
        relation, times = counted.most_common(1)[0]
        if times > MOST_OCCURRENCES:
            raise NotIncremental(
                f"{relation}, joined {times} times", "Join fewer of them in a derived table."
            )
        return rows

    def _add(self, rows: Rows, scope: Scope, node: Tree, tables: CommonTables, join: exp.Join | None) -> None:
        """Adds one table of FROM, or what a derived table is made of."""
        if join is not None and is_lateral(node):
            made = unpacked(self.checker(scope), join, self.alias())
            if made.occurrence.beside & {one.alias for one in rows.occurrences if one.kind == "left"}:
                # It is made of a row that may be missing: of the joined row, then, once that is there.
                self.settle(rows, scope)
                made = unpacked(self.checker(scope), join, self.alias())
            scope.add(node, made.item)
            beside(rows, made)
            return
        kind = "inner" if join is None else join_kind(self.where, join)
        asked = versions(self.where, self.catalog, tables, node, None if join is None else kind)
        if asked is None:
            found, item = self._source(node, tables, nullable=kind in ("left", "full"))
        else:
            found, item = self._versions(asked, tables, nullable=kind == "left")
        if kind in ("right", "full"):
            outer_joins.single(self, rows, scope)
            make_nullable(scope)
        scope.add(node, item)
        conditions = [] if join is None else join_condition(self.checker(scope), join, item)
        if asked is not None:
            conditions += asked.valid(self.checker(scope), item, conditions)
        on, obeyed = of_join(kind, conditions, item.columns.values())
        if kind == "inner":
            rows.occurrences.extend(found.occurrences)
            rows.filters.extend([*found.filters, *on])
            return
        if kind == "right":
            outer_joins.right_join(rows, found, on)
        elif kind == "full":
            outer_joins.full_join(self, rows, scope, found, on, obeyed)
            return
        else:
            [occurrence] = found.occurrences
            rows.occurrences.append(replace(occurrence, kind="left", on=(*found.filters, *on)))
        rows.filters.extend(obeyed)

    def _source(self, node: Tree, tables: CommonTables, *, nullable: bool) -> tuple[Rows, Item]:
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise self.where.error(node, "A query in FROM needs a name.", "(SELECT …) AS some_name.")
            return self._derived(node, node.alias, node.this, tables, nullable=nullable)
        if isinstance(node, WindowTable):
            return self._windowed(node, tables, nullable=nullable)
        if not isinstance(node, exp.Table):
            raise self.where.error(
                node,
                f"{self.where.quote(node)} cannot stand in FROM.",
                "FROM t CROSS JOIN LATERAL TABLE(f(t.x)) AS u(a), or CROSS JOIN UNNEST(t.tags) AS u(a).",
            )
        if (common := tables.find(node)) is not None:
            cte, seen = common
            if cte.args["alias"].columns:
                raise self.where.error(
                    cte, "WITH t(a, b) is not supported.", "Name the columns in its SELECT: … AS a."
                )
            return self._derived(node, node.alias or node.name, cte.this, seen, nullable=nullable)
        schema = resolve(self.where, self.catalog, node)
        self.inputs[schema.name] = None
        occurrence = Occurrence(self.alias(), schema)
        qualifiers = relation_qualifiers(schema.name, written_name(node), node.alias)
        return Rows([occurrence]), Item(
            qualifiers, relation_columns(schema, occurrence.alias, nullable=nullable), order=schema.key
        )

    def _versions(self, asked: Versions, tables: CommonTables, *, nullable: bool) -> tuple[Rows, Item]:
        """The versions of a table for a temporal join, of which one goes with each row of the left side at most."""
        if asked.is_kept:
            self.inputs[asked.relation] = None
            self.warnings.append(asked.warning)
            found, columns = self.materialised(asked.history(self.catalog))
            made = {name: replace(typed, nullable=typed.nullable or nullable) for name, typed in columns}
            item = Item((asked.rows.alias,), made)
        else:
            found, item = self._source(asked.rows, tables, nullable=nullable)
        return Rows([replace(one, single=True) for one in found.occurrences], found.filters), item

    def _windowed(self, node: WindowTable, tables: CommonTables, *, nullable: bool) -> tuple[Rows, Item]:
        """A windowing table function: the rows of its data, with their windows."""
        call = window_call(self.where, node)
        rows, item = self._source(call.data, tables, nullable=False)
        if call.kind == "SESSION":
            shape = session_shape(self.where, call, rows, item, row_key(rows, list(item.columns.items())))
            rows, columns = self.materialised(shape)
            window, item = session_window(call, columns, item, self.nodes[-1])
        else:
            rows, item, window = windowed(self.where, call, rows, item, self.alias())
        self.windows.add(window)
        if not nullable:
            return rows, item
        columns = list(item.columns.items())
        key, missing = row_key(rows, columns)
        return self._named(node, item.name, Project([(rows, columns)], key, missing), nullable=True)

    def _derived(
        self, node: Tree, name: str, query: Tree, tables: CommonTables, *, nullable: bool
    ) -> tuple[Rows, Item]:
        if (read := self.read_shared(query, tables)) is not None:
            return self._item(node, name, *read, nullable=nullable)
        return self._named(node, name, self.shape(query, tables), nullable=nullable)

    def _named(self, node: Tree, name: str, shape: Shape, *, nullable: bool) -> tuple[Rows, Item]:
        rows, columns = inlined(shape, nullable=nullable) or self.materialised(shape)
        return self._item(node, name, rows, columns, nullable=nullable)

    def _item(
        self, node: Tree, name: str, rows: Rows, columns: Columns, *, nullable: bool
    ) -> tuple[Rows, Item]:
        given = alias_columns(self.where, node, [column for column, _ in columns])
        made = {
            shown: replace(typed, nullable=typed.nullable or nullable)
            for shown, (_, typed) in zip(given, columns, strict=True)
        }
        return rows, Item((name,), made)

    # -- intermediates ---------------------------------------------------------------------------------------------

    def _over(self, shape: Outer | Over) -> Project:
        """What does not show the key or partition by which it is computed again is kept in state with it; the view shows its columns."""
        rows, columns = self.materialised(shape)
        return Project([(rows, columns)], shape.key, shape.missing)

    def _below(self, node: exp.Select, rows: Rows, scope: Scope, *, grouped: bool) -> tuple[Rows, Scope]:
        """The LEFT JOIN below an aggregate, as a node with the columns that the aggregate uses."""
        scope.used.clear()
        checker = self.checker(scope)
        self._aggregate(node, [rows], checker, grouped=grouped)
        used = sorted(scope.used)
        by_item = {item.name: item for item in scope.items}
        columns = [(f"c{index}", by_item[item].columns[column]) for index, (item, column) in enumerate(used)]
        if not columns:
            columns = [("c0", Typed("1", next(iter(scope.items[0].columns.values())).type, False))]
        kept, made = self.materialised(with_anchor(rows, columns))
        places = {pair: made[index][1] for index, pair in enumerate(used)}
        below = Scope(self.where)
        for item in scope.items:
            shown = {column: typed for (owner, column), typed in places.items() if owner == item.name}
            below.items.append(Item(item.qualifiers, shown, item.merged, item.order or tuple(item.columns)))
        return kept, below


def _bare(typed: Typed) -> str:
    """The text of a group column, in parentheses or not."""
    return typed.raw.strip("()")
