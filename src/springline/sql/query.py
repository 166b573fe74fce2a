"""Whole queries: one SELECT of Flink SQL to one SELECT of SQLite, clause by clause.

This is how ad-hoc reads run, and it is also each view's ``batch``: the law compares it with what the delta statements
made, so it shares the analysis of scalar expressions with them and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from springline.core.schema import TableSchema
from springline.core.types import (
    STRING,
    SqlType,
)
from springline.errors import SqlError
from springline.sql.catalog import Catalog
from springline.sql.check import Checker
from springline.sql.check_calls import Grouping, contains_aggregate
from springline.sql.clauses import (
    CommonTables,
    alias_columns,
    is_preserved,
    join_condition,
    join_kind,
    joins,
    projections,
    refuse_clauses,
    refuse_intervals,
    resolve,
    row_conditions,
    written_name,
)
from springline.sql.dead_letters import Translated
from springline.sql.dialect import Flink, Text, Tree, parse_query, told_where_too_deep
from springline.sql.groups_below import needs_groups_below, over_groups
from springline.sql.guarded import Recorded, guarded, of_aggregation, of_columns, of_join, of_row
from springline.sql.lateral import is_lateral, unpacked
from springline.sql.over import contains_window, resolved, tie_columns, ties
from springline.sql.parameters import parameter_type
from springline.sql.program import QueryProgram
from springline.sql.scope import Item, Scope, relation_columns, relation_qualifiers
from springline.sql.temporal_joins import versions
from springline.sql.typed import (
    NULL,
    Typed,
    coerce,
    common_type,
    describe,
    quote,
)
from springline.sql.user_functions import Functions
from springline.sql.whole_groups import SqlGrouping, grouped_text, one_spelling
from springline.sql.windows import windowed_sql
from springline.sql.windows_syntax import WindowTable

Columns = list[tuple[str, Typed]]


def compile_query(
    text: str,
    catalog: Mapping[str, TableSchema],
    *,
    parameters: Mapping[str, object] | None = None,
    functions: Functions | None = None,
) -> QueryProgram:
    """An ad-hoc read. ``parameters`` gives each ``:name`` its SQL type, or a value from which the type is taken.

    Raises SqlError with the position in the text.
    """
    with told_where_too_deep(text):
        query, where = parse_query(text, functions)
        types = {name: parameter_type(value) for name, value in (parameters or {}).items()}
        translator = Translator(where, Catalog(catalog), parameters=types, ad_hoc=True)
        sql, columns = translator.query(query, None, CommonTables())
    visible = tuple((name, STRING if typed.type == NULL else typed.type) for name, typed in columns)
    return QueryProgram(text, sql, visible, tuple(translator.relations))


class Translator:
    """Translates one text. ``relations`` lists what was read, in order of appearance; ``left_out`` are queries for the rows that a view
    leaves out because an expression fails on them, those of correlated subqueries excepted."""

    def __init__(
        self, where: Text, catalog: Catalog, *, parameters: Mapping[str, SqlType] | None = None, ad_hoc: bool
    ) -> None:
        self.where = where
        self.catalog = catalog
        self.relations: list[str] = []
        self.left_out: list[str] = []
        self._parameters = parameters or {}
        self._ad_hoc = ad_hoc
        self._aliases = 0

    def query(self, node: Tree, outer: Scope | None, tables: CommonTables) -> tuple[str, Columns]:
        """A SELECT, a set operation, or one of them in parentheses."""
        tables = CommonTables(tables, node)
        if isinstance(node, exp.Subquery):
            if any(node.args.get(name) for name in ("order", "limit", "offset")):
                return self._wrapped(node, node.this, outer, tables)
            return self.query(node.this, outer, tables)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, outer, tables)
        if isinstance(node, exp.Select):
            return self._select(node, outer, tables)
        raise self.where.error(node, f"{self.where.quote(node)} is not a query.", "Write SELECT …")

    def source_scope(self, node: exp.Select, tables: CommonTables) -> Scope:
        """The names that the FROM of a SELECT gives."""
        scope = Scope(self.where)
        self._from(node, scope, CommonTables(tables, node))
        return scope

    def _select(self, node: exp.Select, outer: Scope | None, tables: CommonTables) -> tuple[str, Columns]:
        refuse_clauses(self.where, node)
        if any(map(contains_window, node.expressions)) and needs_groups_below(node):
            # An error is told in the words of the query as it was written.
            with contextlib.suppress(SqlError):
                return self._select(over_groups(node), outer, tables)
        ad_hoc = self._ad_hoc or outer is not None
        scope = Scope(self.where, outer=outer)
        source, conditions = self._from(node, scope, tables)
        rows = self._checker(scope, tables)
        if (clause := node.args.get("where")) is not None:
            conditions += self._guarded(row_conditions(rows, clause.this))
        group = node.args.get("group")
        keys: list[Tree] = [] if group is None else group.expressions
        having = node.args.get("having")
        grouped = bool(keys) or having is not None or any(map(contains_aggregate, node.expressions))
        texts = [group_key(rows, key) for key in keys]
        grouping = Recorded(SqlGrouping({one.sql: one_spelling(one) for one in texts}))
        checker = self._checker(scope, tables, grouping) if grouped else rows
        scope.used.clear()
        columns: Columns = []
        for name, expression, known in projections(rows, node, ad_hoc=ad_hoc):
            typed = checker.check(expression) if known is None or grouped else known
            columns.append((name, one_spelling(typed) if node.args.get("distinct") else typed))
        refuse_intervals(self.where, node, columns)
        of_groups = [] if having is None else self._guarded([checker.boolean(having.this, "HAVING")])
        if not self._ad_hoc:
            guards, columns = of_columns(columns)
            of_groups += guards if grouped else []
            conditions += of_aggregation(texts, grouping.calls) if grouped else guards
            (of_groups if grouped else conditions).extend(self._order_guards(node, checker, columns))
        if not ad_hoc:
            groups = [(key.sql(dialect=Flink), typed) for key, typed in zip(keys, texts, strict=True)]
            self.left_out += Translated(source, scope.items, conditions, groups, of_groups).failed()
        columns = resolved(columns, ties(texts if grouped else tie_columns(scope)))
        parts = [f"SELECT {'DISTINCT ' if node.args.get('distinct') else ''}{_listed(columns)}", source]
        if conditions:
            parts.append("WHERE " + " AND ".join(one.sql for one in conditions))
        if keys:
            parts.append("GROUP BY " + ", ".join(map(grouped_text, texts)))
        if of_groups:
            parts.append("HAVING " + " AND ".join(one.sql for one in of_groups))
        parts.append(self._tail(node, checker, columns))
        return " ".join(part for part in parts if part), columns

    def _guarded(self, conjuncts: list[Typed]) -> list[Typed]:
        """Conditions of a view leave out the rows on which they fail; those of an ad-hoc query are NULL there."""
        return conjuncts if self._ad_hoc else guarded(conjuncts)

    def _checker(self, scope: Scope, tables: CommonTables, grouping: Grouping | None = None) -> Checker:
        def subquery(query: Tree, inner: Scope) -> tuple[str, Columns]:
            return self.query(query, inner, tables)

        return Checker(
            scope,
            parameters=self._parameters,
            grouping=grouping,
            subquery=subquery,
            ad_hoc=self._ad_hoc,
        )

    def _tail(self, node: Tree, checker: Checker, columns: Columns) -> str:
        """ORDER BY, LIMIT and OFFSET. Where rows that tie are cut, all columns decide; a view's LIMIT is never left to chance."""
        parts: list[str] = []
        order = node.args.get("order")
        listed: list[exp.Ordered] = [] if order is None else order.expressions
        entries = [self._ordered(one, checker, columns) for one in listed]
        limited = node.args.get("limit") or node.args.get("offset")
        if limited and (entries or not self._ad_hoc):
            entries += [str(position) for position in range(1, len(columns) + 1)]
        if entries:
            parts.append("ORDER BY " + ", ".join(entries))
        limit, offset = node.args.get("limit"), node.args.get("offset")
        if limit is not None:
            if not isinstance(limit, exp.Limit | exp.Fetch):
                raise self.where.error(node, "This LIMIT is not understood.")
            count = limit.expression if isinstance(limit, exp.Limit) else limit.args.get("count")
            parts.append("LIMIT " + ("1" if count is None else self._whole(count, checker)))
        elif offset is not None:
            parts.append("LIMIT -1")
        if offset is not None:
            parts.append("OFFSET " + self._whole(offset.expression, checker))
        return " ".join(parts)

    def _order_guards(self, node: exp.Select, checker: Checker, columns: Columns) -> list[Typed]:
        """What must hold for the ORDER BY of a LIMIT not to fail, beside what must for the columns."""
        order = node.args.get("order")
        names = [name for name, _ in columns]
        entries: list[exp.Ordered] = [] if order is None else order.expressions
        computed: list[Typed] = []
        for one in entries:
            target: Tree = one.this
            shown = isinstance(target, exp.Column) and not target.table and target.name in names
            if not shown and not isinstance(target, exp.Literal):
                computed.append(checker.check(target))
        return of_row(computed)

    def _whole(self, node: Tree, checker: Checker) -> str:
        typed = checker.check(node)
        whole = typed.type.is_integer or (typed.parameter and typed.type == NULL)
        if not whole or not (typed.constant or typed.parameter):
            raise self.where.error(node, "LIMIT and OFFSET take a whole number or a :parameter.")
        return typed.sql

    def _ordered(self, node: exp.Ordered, checker: Checker, columns: Columns) -> str:
        target = node.this
        if isinstance(target, exp.Literal) and not target.is_string:
            position = int(target.name) if target.name.isdigit() else 0
            if not 1 <= position <= len(columns):
                raise self.where.error(node, f"ORDER BY {target.name}: there are {len(columns)} columns.")
            return checker.ordered(node, columns[position - 1][1])
        if isinstance(target, exp.Column) and not target.table:
            for name, typed in columns:
                if name == target.name:
                    return checker.ordered(node, typed)
        return checker.ordered(node)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def _from(self, node: exp.Select, scope: Scope, tables: CommonTables) -> tuple[str, list[Typed]]:
        """FROM, and the conditions that the rows on whose ON an expression fails do not meet. That of an inner join is among them,
        unless a join follows that gives rows of NULLs for what is before it."""
        clause = node.args.get("from_")
        if clause is None:
            if not self._ad_hoc:
                raise self.where.error(node, "A view reads from something.", "Add FROM.")
            return "", []
        versions(self.where, self.catalog, tables, clause.this, None)
        sql, item = self._table(clause.this, tables)
        scope.add(clause.this, item)
        parts = ["FROM " + sql]
        obeyed: list[Typed] = []
        for join in joins(node):
            if is_lateral(join.this):
                made = unpacked(self._checker(scope, tables), join, self._alias())
                scope.add(join.this, made.item)
                parts.append(f"JOIN {made.source} ON 1")
                obeyed += [] if self._ad_hoc else made.guards
                continue
            kind = join_kind(self.where, join)
            asked = versions(self.where, self.catalog, tables, join.this, kind, ad_hoc=self._ad_hoc)
            read = asked.rows if asked else join.this
            sql, item = self._table(read, tables, nullable=kind in ("left", "full"))
            if kind in ("right", "full"):
                make_nullable(scope)
            scope.add(join.this, item)
            conditions = join_condition(self._checker(scope, tables), join, item)
            if asked is not None:
                conditions += asked.valid(self._checker(scope, tables), item, conditions)
            if not self._ad_hoc:
                conditions, left_out = of_join(kind, conditions, item.columns.values())
                obeyed += left_out
                if (
                    kind == "inner"
                    and not is_preserved(node, join)
                    and any(one.failure for one in conditions)
                ):
                    obeyed, conditions = [*obeyed, *conditions], []
            condition = " AND ".join(one.sql for one in conditions) or "1"
            parts.append(f"{'' if kind == 'inner' else kind.upper()} JOIN {sql} ON {condition}".strip())
        return " ".join(parts), obeyed

    def _table(self, node: Tree, tables: CommonTables, *, nullable: bool = False) -> tuple[str, Item]:
        alias = self._alias()
        if isinstance(node, exp.Subquery):
            if not node.alias:
                raise self.where.error(node, "A query in FROM needs a name.", "(SELECT …) AS some_name.")
            sql, columns = self.query(node.this, None, tables)
            return f"({sql}) AS {alias}", self._derived(node, node.alias, alias, columns, nullable)
        if isinstance(node, WindowTable):
            return windowed_sql(
                self.where, node, lambda data: self._table(data, tables), alias, nullable=nullable
            )
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
            sql, columns = self.query(cte.this, None, seen)
            derived = self._derived(node, node.alias or node.name, alias, columns, nullable)
            return f"({sql}) AS {alias}", derived
        schema = resolve(self.where, self.catalog, node)
        if self._ad_hoc and not schema.kept:
            raise self.where.error(
                node,
                f"{schema.name} is a stream: its rows are not kept.",
                "Read a view over it, or keep them (kept=True).",
            )
        if schema.name not in self.relations:
            self.relations.append(schema.name)
        qualifiers = relation_qualifiers(schema.name, written_name(node), node.alias)
        columns_of = relation_columns(schema, alias, nullable=nullable)
        return f"main.{quote(schema.name)} AS {alias}", Item(qualifiers, columns_of, order=schema.key)

    def _derived(self, node: Tree, name: str, alias: str, columns: Columns, nullable: bool) -> Item:
        given = alias_columns(self.where, node, [column for column, _ in columns])
        made = {
            shown: Typed(
                f"{alias}.{quote(column)}",
                typed.type,
                typed.nullable or nullable,
                frozenset({alias}),
                (alias, column),
            )
            for shown, (column, typed) in zip(given, columns, strict=True)
        }
        return Item((name,), made)

    def _alias(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    # -- set operations --------------------------------------------------------------------------------------------

    def _set_operation(
        self, node: exp.SetOperation, outer: Scope | None, tables: CommonTables
    ) -> tuple[str, Columns]:
        name = type(node).__name__.upper()
        distinct = bool(node.args.get("distinct"))
        sides = [self.query(side, outer, tables) for side in (node.left, node.right)]
        (left_sql, left), (right_sql, right) = sides
        if len(left) != len(right):
            raise self.where.error(
                node,
                f"{name} of {len(left)} and {len(right)} columns.",
                "Select the same columns on both sides.",
            )
        columns: Columns = []
        for (column, one), (_, other) in zip(left, right, strict=True):
            target = common_type([one.type, other.type])
            if target is None:
                raise self.where.error(
                    node,
                    f"Column {column!r} of {name} is {describe(one.type)} and {describe(other.type)}.",
                    "CAST one of them.",
                )
            columns.append((column, Typed(quote(column), target, one.nullable or other.nullable)))
        targets = [typed.type for _, typed in columns]
        names = [column for column, _ in columns]
        # INTERSECT ALL and EXCEPT ALL are those of the rows with the equal ones numbered.
        numbered = not distinct and name != "UNION"
        brought = [
            self._brought(text, side, targets, names, distinct=distinct or numbered, numbered=numbered)
            for text, side in ((left_sql, left), (right_sql, right))
        ]
        sql = f" {name if distinct or numbered else 'UNION ALL'} ".join(brought)
        if numbered:
            sql = f"SELECT {', '.join(map(quote, names))} FROM ({sql})"
        if any(node.args.get(clause) for clause in ("order", "limit", "offset")):
            alias = self._alias()
            scope = Scope(self.where)
            shown = [(one, replace(typed, raw=f"{alias}.{quote(one)}")) for one, typed in columns]
            tail = self._tail(node, self._checker(scope, tables), shown)
            return f"SELECT {_listed(shown)} FROM ({sql}) AS {alias} {tail}", shown
        return sql, columns

    def _brought(
        self,
        sql: str,
        columns: Columns,
        targets: Sequence[SqlType],
        names: Sequence[str],
        *,
        distinct: bool,
        numbered: bool,
    ) -> str:
        """A side of a set operation, its columns brought to the common types."""
        alias = self._alias()
        made: Columns = []
        for name, (column, typed), target in zip(names, columns, targets, strict=True):
            plain = Typed(f"{alias}.{quote(column)}", typed.type, typed.nullable, column=(alias, column))
            brought = coerce(plain, target)
            assert brought is not None
            made.append((name, one_spelling(brought) if distinct else brought))
        listed = _listed(made)
        if numbered:
            listed += f", row_number() OVER (PARTITION BY {', '.join(one.sql for _, one in made)}) AS _n"
        return f"SELECT {listed} FROM ({sql}) AS {alias}"

    def _wrapped(
        self, node: exp.Subquery, inner: Tree, outer: Scope | None, tables: CommonTables
    ) -> tuple[str, Columns]:
        sql, columns = self.query(inner, outer, tables)
        alias = self._alias()
        shown = [
            (name, Typed(f"{alias}.{quote(name)}", typed.type, typed.nullable, column=(alias, name)))
            for name, typed in columns
        ]
        tail = self._tail(node, self._checker(Scope(self.where), tables), shown)
        return f"SELECT {_listed(shown)} FROM ({sql}) AS {alias} {tail}", shown


def make_nullable(scope: Scope) -> None:
    """The tables so far are on the left of a RIGHT or FULL JOIN: their columns may be NULL."""
    for item in scope.items:
        item.columns = {name: replace(typed, nullable=True) for name, typed in item.columns.items()}


def group_key(rows: Checker, node: Tree) -> Typed:
    """An expression of GROUP BY."""
    if isinstance(node, exp.GroupingSets | exp.Rollup | exp.Cube):
        raise rows.where.error(
            node,
            "GROUPING SETS, ROLLUP and CUBE are not supported.",
            "Write a UNION ALL with one SELECT for each set of columns.",
        )
    if isinstance(node, exp.Literal):
        raise rows.where.error(
            node, "GROUP BY takes columns, not positions.", "Repeat the expression of the SELECT list."
        )
    return rows.check(node.unnest())


def _listed(columns: Columns) -> str:
    return ", ".join(f"{typed.sql} AS {quote(name)}" for name, typed in columns)
