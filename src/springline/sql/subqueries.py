"""Subqueries in expressions as joins: IN, NOT IN, EXISTS, NOT EXISTS, and queries used as values.

A subquery becomes an intermediate with one row for each value it can be asked for (its columns that WHERE compares with columns of
the query around it, and, for IN, the column that is searched), which is joined by these values. A conjunct ``x IN (…)`` or
``EXISTS (…)`` of WHERE is an inner join with it; everywhere else it is a LEFT JOIN, and the subquery's value is an expression
over what is found. SQL's three-valued logic is kept: ``x NOT IN`` a set with a NULL is never true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from springline.core.types import BOOLEAN
from springline.errors import SqlError
from springline.sql import operators
from springline.sql.check import SEVERAL_ROWS, Checker, has_one_row
from springline.sql.check_calls import AGGREGATES, contains_aggregate
from springline.sql.clauses import CommonTables
from springline.sql.correlation import REWRITTEN, Correlated, Correlation
from springline.sql.dialect import Tree
from springline.sql.guarded import conditions, guarded, settled
from springline.sql.interval_joins import range_conjuncts
from springline.sql.rows import Occurrence, Rows
from springline.sql.scope import Item, Scope
from springline.sql.shapes import Columns, NotIncremental, Project, Shape
from springline.sql.trees import derived_table, has_subquery, named
from springline.sql.typed import Guard, Typed, failures_of, is_wide, literal_text, report

if TYPE_CHECKING:
    from springline.sql.plan import Planner

_OF_NOTHING: Final = frozenset({"COUNT", "SUM", "AVG", "MIN", "MAX"})
"""Aggregates that are 0 or NULL of no rows."""

_PLACE: Final = " subquery"
"""What the table of subqueries' values goes by: no name of SQL, which has no blank at its start."""


class Subqueries:
    """The subqueries of one SELECT. ``rows`` gains the joins; ``scope`` the values."""

    def __init__(self, planner: Planner, scope: Scope, rows: Rows, tables: CommonTables) -> None:
        self._planner = planner
        self._where = planner.where
        self._scope = scope
        self._rows = rows
        self._tables = tables
        self._correlation = Correlation(planner, scope, tables)
        self._values: dict[str, Typed] = {}

    # -- where they stand ------------------------------------------------------------------------------------------

    def filters(self, condition: Tree) -> None:
        """Adds the conjuncts of a WHERE to the rows."""
        node = condition.unnest()
        if isinstance(node, exp.And):
            self.filters(node.left)
            self.filters(node.right)
            return
        negated = isinstance(node, exp.Not)
        inner = node.this.unnest() if negated else node
        if isinstance(inner, exp.Exists):
            self._exists_filter(inner, negated=negated)
        elif isinstance(inner, exp.In) and inner.args.get("query") is not None:
            self._in_filter(inner, negated=negated)
        else:
            checker = self._checker()
            parts = range_conjuncts(self.replaced(node), checker.check)
            self._rows.filters.extend(guarded([checker.boolean(one, "WHERE") for one in parts]))

    def replaced(self, node: Tree) -> Tree:
        """An expression in which every subquery is a column of the joins that were added for it."""
        if not has_subquery(node):
            return node
        made = node.copy()
        made.parent = None
        return made.transform(self._replaced)

    def _replaced(self, node: Tree) -> Tree:
        typed: Typed | None = None
        if isinstance(node, exp.Exists):
            typed = self._exists_value(node)
        elif isinstance(node, exp.In) and node.args.get("query") is not None:
            typed = self._in_value(node)
        elif isinstance(node, exp.Subquery):
            typed = self._scalar_value(node)
        if typed is None:
            return node
        name = str(len(self._values))
        self._values[name] = typed
        if self._scope.outer is None:
            self._scope.outer = Scope(self._where, [Item((_PLACE,), self._values)])
        return exp.column(name, table=_PLACE)

    def select(self, node: exp.Select) -> exp.Select:
        """A SELECT whose list has columns in the place of subqueries."""
        if not any(map(has_subquery, node.expressions)):
            return node
        made = node.copy()
        made.set("expressions", [self.replaced(one) for one in node.expressions])
        return made

    def _checker(self) -> Checker:
        return self._planner.checker(self._scope)

    # -- EXISTS ----------------------------------------------------------------------------------------------------

    def _exists_filter(self, node: exp.Exists, *, negated: bool) -> None:
        found = self._existing(node)
        if negated:
            self._join(found, kind="left")
            self._rows.filters.append(_is_null(self._mark(found)))
        else:
            self._join(found, kind="inner")

    def _exists_value(self, node: exp.Exists) -> Typed:
        found = self._existing(node)
        self._join(found, kind="left")
        return _is_not_null(self._mark(found))

    def _existing(self, node: exp.Exists) -> _Joined:
        correlated = self._correlation.of(node.this)
        select = correlated.select
        if isinstance(select, exp.Select):
            bare = select.args.get("group") is None and select.args.get("having") is None
            if bare and any(map(contains_aggregate, select.expressions)):
                raise NotIncremental("EXISTS of an aggregate", "It is always TRUE: leave it out.")
            select.set("distinct", None)
            kept = select.expressions[: len(correlated.keys)]
            select.set("expressions", kept or [named(exp.Literal.number(1), "_one")])
        else:
            select = exp.select(named(exp.Literal.number(1), "_one")).from_(derived_table(select))
        return self._one_row_each(replace_select(correlated, select))

    # -- IN --------------------------------------------------------------------------------------------------------

    def _in_filter(self, node: exp.In, *, negated: bool) -> None:
        if has_subquery(node.this):
            typed = self._checker().boolean(self.replaced(node), "WHERE")
            wanted = operators.logical(self._where, node, "NOT", [typed]) if negated else typed
            self._rows.filters.extend(guarded([wanted]))
            return
        operand = self._checker().check(node.this)
        self._rows.filters.extend(conditions(operand.failures))
        operand = settled(operand)
        found, nullable, correlated = self._searched(node, operand)
        if not negated:
            self._join(found, kind="inner")
            return
        self._join(found, kind="left")
        self._rows.filters.append(_is_null(self._mark(found)))
        if nullable or operand.nullable:
            empty, has_null = self._emptiness(correlated)
            unknown = f"({operand.sql} IS NULL OR {has_null.sql})"
            parts = [operand, empty, has_null]
            self._rows.filters.append(_boolean(f"({empty.sql} OR NOT {unknown})", parts))

    def _in_value(self, node: exp.In) -> Typed:
        operand = self._checker().check(self.replaced(node.this))
        found, nullable, correlated = self._searched(node, operand)
        self._join(found, kind="left")
        mark = self._mark(found)
        if not nullable and not operand.nullable:
            return _is_not_null(mark)
        empty, has_null = self._emptiness(correlated)
        text = (
            f"CASE WHEN {empty.sql} THEN 0 WHEN {mark.sql} IS NOT NULL THEN 1 "
            f"WHEN {operand.sql} IS NULL OR {has_null.sql} THEN NULL ELSE 0 END"
        )
        return _boolean(text, [operand, mark, empty, has_null], nullable=True)

    def _searched(self, node: exp.In, operand: Typed) -> tuple[_Joined, bool, Correlated]:
        """The distinct values of IN, joined to the operand; whether one may be NULL; and the query that has them all."""
        correlated = self._correlation.of(node.args["query"], values=1)
        select = correlated.select
        assert isinstance(select, exp.Select)
        whole = replace_select(correlated, select.copy())
        value = select.expressions[-1].unalias()
        grouped = select.args.get("group") is not None or any(map(contains_aggregate, select.expressions))
        if grouped or select.args.get("distinct"):
            select = exp.select(*(exp.column(name) for name in (*correlated.keys, "_value"))).from_(
                derived_table(select)
            )
            value = exp.column("_value")
        try:
            searched = self._correlation.translated(select)[-1][1]
        except SqlError as error:
            raise NotIncremental(self._where.quote(select), REWRITTEN) from error
        nullable, kind = searched.nullable, searched.type
        if kind != operand.type or is_wide(kind):
            raise NotIncremental(self._where.quote(node), "CAST both sides of IN to the same type.")
        if nullable:
            select = select.where(exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null())))
        made = self._one_row_each(replace_select(correlated, select), operand=operand)
        return made, nullable, whole

    def _emptiness(self, whole: Correlated) -> tuple[Typed, Typed]:
        """(whether the values of IN are none, whether one of them is NULL)."""
        nulls = exp.Filter(
            this=exp.Anonymous(this="COUNT", expressions=[exp.Star()]),
            expression=exp.Where(this=exp.Is(this=exp.column("_value"), expression=exp.Null())),
        )
        has_null = named(exp.GT(this=nulls, expression=exp.Literal.number(0)), "_has_null")
        keys = [exp.column(name) for name in whole.keys]
        count = exp.Anonymous(this="COUNT", expressions=[exp.Star()])
        is_empty = named(exp.EQ(this=count, expression=exp.Literal.number(0)), "_is_empty")
        select = exp.select(*(one.copy() for one in keys), is_empty, has_null).from_(
            derived_table(whole.select)
        )
        if keys:
            select = select.group_by(*keys)
        found = self._one_row_each(replace_select(whole, select))
        self._join(found, kind="left" if keys else "inner")
        columns = found.columns
        empty = columns["_is_empty"] if not keys else _is_null(columns["_is_empty"])
        return empty, columns["_has_null"]

    # -- values ----------------------------------------------------------------------------------------------------

    def _scalar_value(self, node: exp.Subquery) -> Typed:
        correlated = self._correlation.of(node, values=1)
        select = correlated.select
        assert isinstance(select, exp.Select)
        if has_one_row(select) and (select.args.get("limit") is None or not correlated.keys):
            return self._single_value(correlated, select)
        return self._checked_value(correlated, select)

    def _single_value(self, correlated: Correlated, select: exp.Select) -> Typed:
        """Of an aggregate over all that the correlation leaves: one row for each key."""
        value = select.expressions[-1].unalias()
        if correlated.keys:
            others = [
                one
                for one in value.find_all(exp.Anonymous)
                if one.name.upper() in AGGREGATES and one.name.upper() not in _OF_NOTHING
            ]
            if select.args.get("having") is not None or others:
                raise NotIncremental(self._where.quote(select), REWRITTEN)
            select = select.group_by(*(one.unalias().copy() for one in select.expressions[:-1]))
        found = self._one_row_each(replace_select(correlated, select))
        single = not correlated.keys
        self._join(found, kind="inner" if single and select.args.get("having") is None else "left")
        typed = found.columns["_value"]
        if single or not counts(value):
            return replace(typed, nullable=True)
        # Where the correlation leaves no row there is no group; COUNT is 0 there and the other aggregates are NULL.
        empty = self._planner.checker(Scope(self._where)).check(value.transform(_of_nothing))
        brought = (
            operators.comparable(self._where, value, [empty, typed])[0] if empty.type != typed.type else empty
        )
        text = f"CASE WHEN {self._mark(found).sql} IS NULL THEN {brought.sql} ELSE {typed.sql} END"
        return Typed(text, typed.type, typed.nullable or brought.nullable, typed.refs)

    def _checked_value(self, correlated: Correlated, select: exp.Select) -> Typed:
        """Of rows: more than one for a key is a failure, as in Flink."""
        value, keys = exp.column("_value"), [exp.column(name) for name in correlated.keys]
        most = named(exp.Anonymous(this="MAX", expressions=[value]), "_value")
        count = named(exp.Anonymous(this="COUNT", expressions=[exp.Star()]), "_count")
        wrapped = exp.select(*(one.copy() for one in keys), most, count).from_(derived_table(select))
        if keys:
            wrapped = wrapped.group_by(*keys)
        found = self._one_row_each(replace_select(correlated, wrapped))
        self._join(found, kind="left" if keys else "inner")
        typed = found.columns["_value"]
        if is_wide(typed.type):
            raise NotIncremental("A query of DECIMALs used as a value", "CAST it to DECIMAL(18, 2), say.")
        count = found.columns["_count"].sql
        text = f"CASE WHEN {count} > 1 THEN {report(SEVERAL_ROWS)} ELSE {typed.sql} END"
        guard = Guard(f"(ifnull({count}, 0) <= 1)", literal_text(SEVERAL_ROWS), typed.refs)
        return Typed(text, typed.type, True, typed.refs, guards=(guard,))

    # -- intermediates ---------------------------------------------------------------------------------------------

    def _shape(self, select: Tree) -> Shape:
        """The shape of a subquery by itself. An error in it is one of the correlation, or else is found by the whole translation."""
        try:
            return self._planner.shape(select, self._tables)
        except SqlError as error:
            raise NotIncremental(self._where.quote(select), REWRITTEN) from error

    def _one_row_each(self, correlated: Correlated, operand: Typed | None = None) -> _Joined:
        """The subquery as an intermediate with one row for each key (and value, with an ``operand`` of IN)."""
        keys = list(correlated.keys) + (["_value"] if operand is not None else [])
        select = correlated.select
        if isinstance(select, exp.Select):
            for index, name in enumerate(correlated.keys):
                if not correlated.nulls_equal[index]:
                    expression = next(
                        one.unalias() for one in select.expressions if one.alias_or_name == name
                    )
                    if not contains_aggregate(expression):
                        select = select.where(
                            exp.Not(this=exp.Is(this=expression.copy(), expression=exp.Null()))
                        )
        shape = self._shape(select)
        if shape.key is None or not set(shape.key) <= set(keys or shape.key):
            read, columns = inlined_rows(shape) or self._planner.materialised(shape)
            shape = self._planner.distinct([read], columns)
        conditions: list[tuple[str, Typed, bool]] = []
        for name, outer, equal in zip(correlated.keys, correlated.outer, correlated.nulls_equal, strict=True):
            conditions.append((name, self._checker().check(outer), equal))
        if operand is not None:
            conditions.append(("_value", operand, False))
        strict = {name for name, _, equal in conditions if not equal}
        found = [
            (name, replace(one, nullable=one.nullable and name not in strict)) for name, one in shape.columns
        ]
        shape = _with_columns(shape, found)
        rows, columns = self._planner.materialised(shape)
        [occurrence] = rows.occurrences
        occurrence = replace(occurrence, single=not keys)
        named = dict(columns)
        on: list[Typed] = []
        for name, outer, equal in conditions:
            test = "IS" if equal else "="
            on.append(operators.compare(self._where, select, test, named[name], outer))
        on += [self._checker().boolean(one, "WHERE") for one in correlated.only_outer]
        return _Joined(occurrence, named, on, [name for name, _, equal in conditions if not equal])

    def _join(self, found: _Joined, *, kind: str) -> None:
        if kind == "inner":
            self._rows.occurrences.append(found.occurrence)
            self._rows.filters.extend(found.on)
            return
        self._rows.occurrences.append(replace(found.occurrence, kind="left", on=tuple(found.on)))
        found.columns = {name: replace(one, nullable=True) for name, one in found.columns.items()}

    def _mark(self, found: _Joined) -> Typed:
        """A column that is NULL exactly where nothing was found."""
        for name, typed in found.columns.items():
            column = found.occurrence.schema.column(name)
            if name in found.strict or not column.nullable:
                return typed
        raise NotIncremental("A correlation by IS NOT DISTINCT FROM alone", "Compare with =.")


@dataclass(slots=True)
class _Joined:
    """An intermediate, its columns, the conditions by which it is joined, and its columns that an equality compares."""

    occurrence: Occurrence
    columns: dict[str, Typed]
    on: list[Typed]
    strict: list[str]


def inlined_rows(shape: Shape) -> tuple[Rows, Columns] | None:
    """The rows of a shape that is one join, to be read without keeping them."""
    return shape.branches[0] if isinstance(shape, Project) and len(shape.branches) == 1 else None


def replace_select(correlated: Correlated, select: Tree) -> Correlated:
    return replace(correlated, select=select)


def counts(value: Tree) -> bool:
    """Whether an expression over aggregates may be other than NULL where there are no rows."""
    return not (isinstance(value, exp.Anonymous) and value.name.upper() in _OF_NOTHING - {"COUNT"})


def _of_nothing(node: Tree) -> Tree:
    """An aggregate over no rows."""
    if isinstance(node, exp.Filter):
        return _of_nothing(node.this)
    if isinstance(node, exp.Anonymous) and node.name.upper() in AGGREGATES:
        if node.name.upper() == "COUNT":
            return exp.Cast(this=exp.Literal.number(0), to=exp.DataType(this=exp.DataType.Type.BIGINT))
        return exp.Null()
    return node


def _with_columns(shape: Shape, columns: Columns) -> Shape:
    if isinstance(shape, Project):
        return (
            replace(shape, branches=[(rows, columns) for rows, _ in shape.branches])
            if len(shape.branches) == 1
            else shape
        )
    return replace(shape, columns=columns)


def _boolean(text: str, parts: Sequence[Typed], *, nullable: bool = False) -> Typed:
    refs = frozenset[str]().union(*(one.refs for one in parts))
    return Typed(text, BOOLEAN, nullable, refs, guards=failures_of(parts))


def _is_null(typed: Typed) -> Typed:
    return Typed(f"({typed.sql} IS NULL)", BOOLEAN, False, typed.refs, test="NULL", parts=(typed,))


def _is_not_null(typed: Typed) -> Typed:
    return Typed(f"({typed.sql} IS NOT NULL)", BOOLEAN, False, typed.refs)
