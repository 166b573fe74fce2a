"""The typed analysis: resolves every name and gives every expression its SQL type, or says what is wrong and where."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.core.types import BIGINT, BOOLEAN, BYTES, DOUBLE, INT, STRING, SqlType, decimal
from springline.sql import operators, over, scalars, temporal
from springline.sql.catalog import near_misses
from springline.sql.check_calls import CLOCK, CallChecker, Grouping, contains_aggregate
from springline.sql.dialect import JsonCall, Text, Tree
from springline.sql.json_calls import is_json
from springline.sql.scope import Scope
from springline.sql.typed import NULL, Guard, Typed, derived, describe, is_wide, literal_text, quote, report

SubqueryCompiler = Callable[[Tree, Scope], tuple[str, Sequence[tuple[str, Typed]]]]


SEVERAL_ROWS: Final = "a query used as a value has more than one row"


class Checker(CallChecker):
    """Checks the expressions of one SELECT. With ``grouping``, expressions are those over groups (SELECT, HAVING)."""

    def __init__(
        self,
        scope: Scope,
        *,
        parameters: Mapping[str, SqlType] | None = None,
        grouping: Grouping | None = None,
        subquery: SubqueryCompiler | None = None,
        ad_hoc: bool = False,
    ) -> None:
        self.scope = scope
        self.where: Text = scope.where
        self._parameters = parameters or {}
        self._grouping = grouping
        self._subquery = subquery
        self._ad_hoc = ad_hoc
        self.windows: list[over.WindowUse] = []
        self._rows = (
            self
            if grouping is None
            else Checker(scope, parameters=parameters, subquery=subquery, ad_hoc=ad_hoc)
        )

    def check(self, node: Tree) -> Typed:
        """The typed expression of a node. Raises SqlError."""
        plain = isinstance(node, exp.Literal | exp.Boolean | exp.Null | exp.Alias | exp.Paren)
        plain = plain or over.contains_window(node)
        if self._grouping is not None and not plain and not contains_aggregate(node):
            row = self._rows.check(node)
            found = self._grouping.grouped(row.sql)
            if found is not None:
                # CAST(i AS BIGINT) has the text of i, and is not of its type.
                return replace(found, type=row.type)
        for kind, method in _METHODS.items():
            if isinstance(node, kind):
                return getattr(self, method)(node)
        raise self.where.error(
            node,
            f"{self.where.quote(node)} is not supported here.",
            "docs/sql.md lists the expressions that are.",
        )

    @property
    def rows(self) -> CallChecker:
        return self._rows

    @property
    def is_grouped(self) -> bool:
        return self._grouping is not None

    def _window(self, node: exp.Window) -> Typed:
        return over.window(self, node)

    def boolean(self, node: Tree, place: str) -> Typed:
        """A condition."""
        typed = self.check(node)
        if typed.type not in (BOOLEAN, NULL):
            raise self.where.error(
                node,
                f"{place} wants a condition, not {describe(typed.type)}.",
                "Write a comparison, such as x > 0.",
            )
        return typed

    # -- leaves ----------------------------------------------------------------------------------------------------

    def _column(self, node: exp.Column) -> Typed:
        name = node.name.upper()
        if isinstance(node.this, exp.Star):
            raise self.where.error(node, "A * stands alone in a SELECT list or in COUNT(*).")
        if not node.table and not node.this.args.get("quoted") and name in CLOCK:
            return self.clock(node, name)
        typed = self.scope.column(node)
        if self._grouping is not None:
            raise self.where.error(
                node,
                f"{node.name!r} is neither in GROUP BY nor inside an aggregate.",
                f"Add it to GROUP BY, or write MAX({node.name}).",
            )
        return typed

    def _literal(self, node: exp.Literal) -> Typed:
        text = node.name
        if node.is_string:
            return Typed(literal_text(text), STRING, False, constant=True, value=text)
        if "e" in text.lower():
            return self._double(node)
        if "." in text:
            whole, _, fraction = text.partition(".")
            digits_before = len(whole.lstrip("0")) or min(len(whole), 1)
            precision, scale = digits_before + len(fraction), len(fraction)
            if precision > 18:
                raise self.where.error(
                    node, f"{text} has more than 18 digits.", f"Write CAST('{text}' AS DECIMAL)."
                )
            digits = int((whole or "0") + fraction)
            return Typed(
                str(digits), decimal(max(precision, scale, 1), scale), False, constant=True, value=digits
            )
        number = int(text)
        if number >= 2**63:
            raise self.where.error(
                node, f"{text} is beyond BIGINT.", f"Write CAST('{text}' AS DECIMAL(38, 0))."
            )
        return Typed(text, INT if number < 2**31 else BIGINT, False, constant=True, value=number)

    def _double(self, node: exp.Literal) -> Typed:
        try:
            number = float(node.name)
        except ValueError:
            raise self.where.error(node, f"{node.name} is no number.", "1.5e3 is one.") from None
        if math.isinf(number):
            raise self.where.error(node, f"{node.name} is beyond DOUBLE.", "CAST('Infinity' AS DOUBLE).")
        return Typed(repr(number), DOUBLE, False, constant=True, value=number)

    def _boolean(self, node: exp.Boolean) -> Typed:
        return Typed("1" if node.this else "0", BOOLEAN, False, constant=True, value=bool(node.this))

    def _null(self, node: exp.Null) -> Typed:
        return Typed("NULL", NULL, True, constant=True)

    def _bytes(self, node: exp.HexString) -> Typed:
        if not re.fullmatch("([0-9A-Fa-f]{2})*", node.name):
            raise self.where.error(node, f"x'{node.name}' has no two digits for each byte.", "x'0A'.")
        return Typed(f"x'{node.name}'", BYTES, False, constant=True)

    def _parameter(self, node: exp.Placeholder) -> Typed:
        if not self._ad_hoc:
            raise self.where.error(
                node, "A view has no parameters.", "Write the value, or filter when reading the view."
            )
        if not node.this:
            raise self.where.error(node, "Parameters have names here.", "Write :name.")
        if node.name not in self._parameters:
            raise self.where.error(
                node,
                f"No value was given for :{node.name}.",
                near_misses(node.name, self._parameters) or None,
            )
        return Typed(f":{node.name}", self._parameters[node.name], True, parameter=True)

    def _interval(self, node: exp.Interval) -> Typed:
        return temporal.interval(self.where, node)

    # -- operators -------------------------------------------------------------------------------------------------

    def _arithmetic(self, node: exp.Binary) -> Typed:
        operator = operators.ARITHMETIC[type(node)]
        return operators.arithmetic(self.where, node, operator, self.check(node.left), self.check(node.right))

    def _comparison(self, node: exp.Binary) -> Typed:
        operator = operators.COMPARISONS[type(node)]
        for side in (node.left, node.right):
            if isinstance(side, exp.Any | exp.All):
                raise self.where.error(side, "ANY and ALL are not supported.", "Use IN, MIN or MAX.")
        return operators.compare(self.where, node, operator, self.check(node.left), self.check(node.right))

    def _distinct(self, node: exp.Binary) -> Typed:
        operator = "IS" if isinstance(node, exp.NullSafeEQ) else "IS NOT"
        return operators.compare(self.where, node, operator, self.check(node.left), self.check(node.right))

    def _logical(self, node: exp.Connector) -> Typed:
        name = "AND" if isinstance(node, exp.And) else "OR"
        return operators.logical(self.where, node, name, [self.check(one) for one in node.flatten()])

    def _not(self, node: exp.Not) -> Typed:
        inner = node.this
        if isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null):
            return self._null_test(inner, "IS NOT NULL")
        return operators.logical(self.where, node, "NOT", [self.check(inner)])

    def _is(self, node: exp.Is) -> Typed:
        if isinstance(node.expression, exp.Null):
            return self._null_test(node, "IS NULL")
        if isinstance(node.expression, exp.JSON):
            return is_json(self, node)
        if isinstance(node.expression, exp.Boolean):
            operand = self.boolean(node.this, "IS TRUE")
            return derived(
                f"({operand.sql} IS {1 if node.expression.this else 0})", BOOLEAN, [operand], nullable=False
            )
        raise self.where.error(
            node, f"{self.where.quote(node)} is not supported.", "Use IS [NOT] NULL, TRUE or FALSE."
        )

    def _null_test(self, node: exp.Is, test: str) -> Typed:
        operand = self.check(node.this)
        made = derived(f"({operand.sql} {test})", BOOLEAN, [operand], nullable=False)
        return replace(made, test="NULL", parts=(operand,)) if test == "IS NULL" else made

    def _paren(self, node: exp.Paren) -> Typed:
        inner = self.check(node.this)
        return (
            inner
            if inner.column or inner.constant
            else replace(inner, raw=f"({inner.raw})", unchecked=inner.unchecked)
        )

    def _alias(self, node: exp.Alias) -> Typed:
        return self.check(node.this)

    def _negate(self, node: exp.Neg) -> Typed:
        return operators.negate(self.where, node, self.check(node.this))

    def _between(self, node: exp.Between) -> Typed:
        operand, low, high = (
            self.check(node.this),
            self.check(node.args["low"]),
            self.check(node.args["high"]),
        )
        if node.args.get("symmetric"):
            low, high = (scalars.call(self.where, node, name, [low, high]) for name in ("LEAST", "GREATEST"))
            assert low is not None
            assert high is not None
        above = operators.compare(self.where, node, ">=", operand, low)
        below = operators.compare(self.where, node, "<=", operand, high)
        return operators.logical(self.where, node, "AND", [above, below])

    def _in(self, node: exp.In) -> Typed:
        operand = self.check(node.this)
        query = node.args.get("query")
        if query is not None:
            return self._in_query(node, operand, query)
        if not node.expressions:
            raise self.where.error(
                node, f"{self.where.quote(node)} is not supported.", "Write x IN (1, 2, 3)."
            )
        values = [self.check(one) for one in node.expressions]
        first, *rest = operators.comparable(self.where, node, [operand, *values])
        text = f"({first.sql} IN ({', '.join(one.sql for one in rest)}))"
        return derived(text, BOOLEAN, [operand, *values])

    def _in_query(self, node: exp.In, operand: Typed, query: Tree) -> Typed:
        sql, columns = self._subselect(node, query)
        if len(columns) != 1:
            raise self.where.error(node, f"The query of IN has {len(columns)} columns, not 1.")
        other = columns[0][1]
        if operand.type != other.type or is_wide(operand.type):
            raise self.where.error(
                node,
                f"{describe(operand.type)} IN (a query of {describe(other.type)}).",
                "CAST one side to the other's type.",
            )
        return derived(f"({operand.sql} IN ({sql}))", BOOLEAN, [operand], nullable=True)

    def _exists(self, node: exp.Exists) -> Typed:
        sql, _ = self._subselect(node, node.this)
        return Typed(f"EXISTS ({sql})", BOOLEAN, False)

    def _scalar_query(self, node: exp.Subquery) -> Typed:
        sql, columns = self._subselect(node, node)
        if len(columns) != 1:
            raise self.where.error(node, f"A query used as a value has one column, not {len(columns)}.")
        if has_one_row(node):
            return Typed(f"({sql})", columns[0][1].type, True)
        # Flink fails where there are more.
        value = f"SELECT CASE WHEN count(*) > 1 THEN {report(SEVERAL_ROWS)} ELSE max({quote(columns[0][0])}) END FROM ({sql})"
        holds = f"((SELECT count(*) FROM ({sql})) <= 1)"
        guard = Guard(holds, literal_text(SEVERAL_ROWS), frozenset())
        return Typed(f"({value})", columns[0][1].type, True, guards=(guard,))

    def _subselect(self, node: Tree, query: Tree) -> tuple[str, Sequence[tuple[str, Typed]]]:
        if self._subquery is None:
            raise self.where.error(
                node,
                "Subqueries in expressions are not yet in views.",
                "Write a JOIN (LEFT JOIN … WHERE x IS NULL for NOT EXISTS), or ask it as a query.",
            )
        return self._subquery(query, self.scope)

    def _like(self, node: exp.Like | exp.Escape) -> Typed:
        escape: Typed | None = None
        like = node
        if isinstance(node, exp.Escape):
            like, escape = node.this, self.check(node.expression)
        if not isinstance(like, exp.Like):
            raise self.where.error(node, "ILIKE is not Flink SQL.", "Write LOWER(x) LIKE '…'.")
        operand, pattern = self.check(like.this), self.check(like.expression)
        for one in (operand, pattern):
            if one.type not in (STRING, NULL):
                raise self.where.error(
                    node, f"LIKE wants STRING, not {describe(one.type)}.", "CAST it to STRING."
                )
        negated = "NOT " if like.args.get("negate") else ""
        if pattern.constant and isinstance(pattern.value, str) and escape is None:
            glob = literal_text(as_glob(pattern.value))
            return derived(f"({operand.sql} {negated}GLOB {glob})", BOOLEAN, [operand])
        arguments = [operand, pattern] if escape is None else [operand, pattern, escape]
        text = f"({negated}sl_like({', '.join(one.sql for one in arguments)}))"
        return derived(text, BOOLEAN, arguments, nullable=True)

    def _pipe(self, node: exp.DPipe) -> Typed:
        operands = [self.check(node.left), self.check(node.right)]
        for side, operand in zip((node.left, node.right), operands, strict=True):
            if operand.type not in (STRING, NULL):
                raise self.where.error(
                    side,
                    f"|| joins STRINGs, not {describe(operand.type)}.",
                    f"Write CAST({self.where.quote(side)} AS STRING).",
                )
        return derived(f"({operands[0].sql} || {operands[1].sql})", STRING, operands)


_METHODS: Final[Mapping[type[Tree], str]] = {
    exp.Column: "_column",
    exp.Literal: "_literal",
    exp.Boolean: "_boolean",
    exp.Null: "_null",
    exp.HexString: "_bytes",
    exp.Placeholder: "_parameter",
    exp.Interval: "_interval",
    exp.Alias: "_alias",
    exp.Paren: "_paren",
    exp.Neg: "_negate",
    exp.Not: "_not",
    exp.Connector: "_logical",
    exp.Is: "_is",
    exp.NullSafeEQ: "_distinct",
    exp.NullSafeNEQ: "_distinct",
    exp.DPipe: "_pipe",
    exp.Like: "_like",
    exp.ILike: "_like",
    exp.Escape: "_like",
    exp.Between: "_between",
    exp.In: "_in",
    exp.Exists: "_exists",
    exp.Subquery: "_scalar_query",
    exp.Case: "_case",
    exp.If: "_if",
    exp.Cast: "_cast",
    exp.Extract: "_extract",
    exp.Floor: "_rounding",
    exp.Ceil: "_rounding",
    exp.Trim: "_trim",
    exp.StrPosition: "_position",
    exp.Substring: "_substring",
    JsonCall: "_json",
    exp.Array: "_array",
    exp.Bracket: "_bracket",
    exp.SimilarTo: "_similar",
    exp.Overlay: "_overlay",
    exp.Filter: "_filter",
    exp.WithinGroup: "_within_group",
    exp.IgnoreNulls: "_ignore_nulls",
    exp.RespectNulls: "_ignore_nulls",
    exp.Window: "_window",
    exp.Anonymous: "_call",
    **dict.fromkeys(operators.COMPARISONS, "_comparison"),
    **dict.fromkeys(operators.ARITHMETIC, "_arithmetic"),
}


def has_one_row(query: Tree) -> bool:
    """Whether a query can be seen to have one row at most."""
    inner = query.this if isinstance(query, exp.Subquery) else query
    limit = inner.args.get("limit") or query.args.get("limit")
    if isinstance(limit, exp.Limit) and limit.expression.name == "1":
        return True
    return (
        isinstance(inner, exp.Select)
        and inner.args.get("group") is None
        and any(map(contains_aggregate, inner.expressions))
    )


def as_glob(pattern: str) -> str:
    """A LIKE pattern as one of GLOB, which distinguishes case as Flink's LIKE does."""
    return "".join(
        {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(letter, letter) for letter in pattern
    )
