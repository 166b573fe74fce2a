"""The typed analysis: resolves every name and gives every expression its SQL type, or says what is wrong and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sqlglot import exp

from springline.core.types import BIGINT, BOOLEAN, BYTES, DOUBLE, INT, STRING, TIMESTAMP_LTZ, SqlType, decimal
from springline.sql import operators, scalars, temporal
from springline.sql.casts import cast, read_type
from springline.sql.catalog import near_misses
from springline.sql.dialect import JsonCall, Text
from springline.sql.scope import Scope
from springline.sql.typed import NULL, Typed, derived, describe, is_wide, literal_text

AGGREGATES: Final = ("COUNT", "SUM", "AVG", "MIN", "MAX")
_LATER: Final = frozenset(
    """LISTAGG COLLECT ARRAY_AGG FIRST_VALUE LAST_VALUE STDDEV STDDEV_POP STDDEV_SAMP VAR_POP VAR_SAMP VARIANCE PERCENTILE
    APPROX_COUNT_DISTINCT JSON_OBJECTAGG JSON_ARRAYAGG PROCTIME ROW MAP""".split()
)
_CLOCK: Final = frozenset(
    """NOW CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP CURRENT_ROW_TIMESTAMP PROCTIME RAND RAND_INTEGER
    UUID UNIX_TIMESTAMP""".split()
)
_NOW: Final = frozenset({"NOW", "CURRENT_TIMESTAMP", "CURRENT_ROW_TIMESTAMP"})
_WINDOWED: Final = {
    "ROW_NUMBER": 0,
    "RANK": 0,
    "DENSE_RANK": 0,
    "LAG": 1,
    "LEAD": 1,
}


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate of a grouped query, over the rows' expressions. ``argument`` is None for COUNT(*)."""

    name: str
    argument: Typed | None
    filter: Typed | None
    distinct: bool
    text: str


class Grouping(Protocol):
    """What an aggregate and a grouped expression are in the text that is being made."""

    def grouped(self, sql: str) -> Typed | None:
        """The group column that equals this row expression."""
        ...

    def aggregate(self, call: AggregateCall) -> Typed: ...


SubqueryCompiler = Callable[[exp.Expression, Scope], tuple[str, Sequence[tuple[str, Typed]]]]


class Checker:
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
        self._rows = (
            self
            if grouping is None
            else Checker(scope, parameters=parameters, subquery=subquery, ad_hoc=ad_hoc)
        )

    def check(self, node: exp.Expression) -> Typed:
        """The typed expression of a node. Raises SqlError."""
        if self._grouping is not None and not isinstance(node, exp.Literal | exp.Boolean | exp.Null):
            if not contains_aggregate(node) and not isinstance(node, exp.Alias | exp.Paren):
                found = self._grouping.grouped(self._rows.check(node).sql)
                if found is not None:
                    return found
        for kind, method in _METHODS.items():
            if isinstance(node, kind):
                return method(self, node)
        raise self.where.error(
            node,
            f"{self.where.quote(node)} is not supported here.",
            "docs/sql.md lists the expressions that are.",
        )

    def boolean(self, node: exp.Expression, place: str) -> Typed:
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
        if not node.table and not node.this.args.get("quoted") and name in _CLOCK:
            return self._clock(node, name)
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
            return Typed(repr(float(text)), DOUBLE, False, constant=True, value=float(text))
        if "." in text:
            whole, _, fraction = text.partition(".")
            precision, scale = len(whole.lstrip("0")) + len(fraction), len(fraction)
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

    def _boolean(self, node: exp.Boolean) -> Typed:
        return Typed("1" if node.this else "0", BOOLEAN, False, constant=True, value=bool(node.this))

    def _null(self, node: exp.Null) -> Typed:
        return Typed("NULL", NULL, True, constant=True)

    def _bytes(self, node: exp.HexString) -> Typed:
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

    def _clock(self, node: exp.Expression, name: str) -> Typed:
        if not self._ad_hoc:
            raise self.where.error(
                node,
                f"{name} cannot stand in a view: its value changes although no row does.",
                "Keep the timestamp as a column and filter when reading the view (… WHERE ts > NOW() - INTERVAL '1' HOUR).",
            )
        microseconds = "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"
        if name in _NOW:
            return Typed(microseconds, TIMESTAMP_LTZ, False)
        if name == "LOCALTIMESTAMP":
            return Typed(microseconds, SqlType("TIMESTAMP"), False)
        if name == "CURRENT_DATE":
            return Typed("(unixepoch('now') / 86400)", SqlType("DATE"), False)
        raise self.where.error(node, f"{name} is not supported here.", "Use NOW() or CURRENT_DATE.")

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
        return derived(f"({operand.sql} {test})", BOOLEAN, [operand], nullable=False)

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
        if node.args.get("symmetric"):
            raise self.where.error(
                node, "BETWEEN SYMMETRIC is not supported.", "Write LEAST(…) and GREATEST(…)."
            )
        operand, low, high = (
            self.check(node.this),
            self.check(node.args["low"]),
            self.check(node.args["high"]),
        )
        above = operators.compare(self.where, node, ">=", operand, low)
        below = operators.compare(self.where, node, "<=", operand, high)
        return derived(f"({above.sql} AND {below.sql})", BOOLEAN, [operand, low, high])

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

    def _in_query(self, node: exp.In, operand: Typed, query: exp.Expression) -> Typed:
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
        return Typed(f"({sql})", columns[0][1].type, True)

    def _subselect(
        self, node: exp.Expression, query: exp.Expression
    ) -> tuple[str, Sequence[tuple[str, Typed]]]:
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
        if pattern.constant and isinstance(pattern.value, str) and escape is None:
            return derived(f"({operand.sql} GLOB {literal_text(as_glob(pattern.value))})", BOOLEAN, [operand])
        arguments = [operand, pattern] if escape is None else [operand, pattern, escape]
        return derived(
            f"sl_like({', '.join(one.sql for one in arguments)})", BOOLEAN, arguments, nullable=True
        )

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

    # -- CASE, casts and calls -------------------------------------------------------------------------------------

    def _case(self, node: exp.Case) -> Typed:
        subject = None if node.this is None else self.check(node.this)
        conditions: list[Typed] = []
        results: list[Typed] = []
        for branch in node.args["ifs"]:
            if subject is None:
                conditions.append(self.boolean(branch.this, "WHEN"))
            else:
                conditions.append(
                    operators.compare(self.where, branch, "=", subject, self.check(branch.this))
                )
            results.append(self.check(branch.args["true"]))
        default = node.args.get("default")
        results.append(Typed("NULL", NULL, True, constant=True) if default is None else self.check(default))
        brought, target = scalars.unified(self.where, node, "CASE", results)
        branches = " ".join(
            f"WHEN {condition.sql} THEN {result.sql}"
            for condition, result in zip(conditions, brought, strict=False)
        )
        nullable = any(one.nullable for one in brought)
        return derived(
            f"CASE {branches} ELSE {brought[-1].sql} END", target, [*conditions, *brought], nullable=nullable
        )

    def _if(self, node: exp.If) -> Typed:
        operands = [self.check(node.this), self.check(node.args["true"])]
        default = node.args.get("false")
        operands.append(Typed("NULL", NULL, True, constant=True) if default is None else self.check(default))
        return self._scalar(node, "IF", operands)

    def _cast(self, node: exp.Cast | exp.TryCast) -> Typed:
        for extra in ("format", "action", "default"):
            if node.args.get(extra):
                raise self.where.error(node, f"CAST … {extra.upper()} is not Flink SQL.")
        attempt = isinstance(node, exp.TryCast)
        return cast(self.where, node, self.check(node.this), node.args["to"], attempt=attempt)

    def _extract(self, node: exp.Extract) -> Typed:
        return temporal.extract(
            self.where, node, temporal.unit_of(self.where, node.this), self.check(node.expression)
        )

    def _rounding(self, node: exp.Floor | exp.Ceil) -> Typed:
        name, operand = type(node).__name__.upper(), self.check(node.this)
        if (unit := node.args.get("to")) is not None:
            up = isinstance(node, exp.Ceil)
            return temporal.floor_time(self.where, node, temporal.unit_of(self.where, unit), operand, up=up)
        if node.args.get("decimals") is not None:
            raise self.where.error(node, f"{name} takes one argument.", "Use TRUNCATE(x, digits).")
        return self._scalar(node, name, [operand])

    def _trim(self, node: exp.Trim) -> Typed:
        position = str(node.args.get("position") or "BOTH").upper()
        operands = [self.check(node.this)]
        if node.expression:
            operands.append(self.check(node.expression))
        return self._scalar(node, {"LEADING": "LTRIM", "TRAILING": "RTRIM"}.get(position, "BTRIM"), operands)

    def _position(self, node: exp.StrPosition) -> Typed:
        return self._scalar(node, "INSTR", [self.check(node.this), self.check(node.args["substr"])])

    def _substring(self, node: exp.Substring) -> Typed:
        parts = [node.this, node.args.get("start"), node.args.get("length")]
        return self._scalar(node, "SUBSTRING", [self.check(one) for one in parts if one is not None])

    def _json(self, node: JsonCall) -> Typed:
        operands = [self.check(one) for one in node.expressions]
        if len(operands) != 2 or any(one.type not in (STRING, NULL) for one in operands):
            raise self.where.error(
                node, "JSON_VALUE takes a STRING and a path.", "JSON_VALUE(payload, '$.name')."
            )
        found = derived(
            f"sl_json_value({operands[0].sql}, {operands[1].sql})", STRING, operands, nullable=True
        )
        target = node.args.get("to")
        if target is None or read_type(self.where, target)[0] == STRING:
            return found
        return cast(self.where, node, found, target, attempt=True)

    def _call(self, node: exp.Anonymous) -> Typed:
        name = node.name.upper()
        if name in AGGREGATES:
            return self._aggregate(node, node, None)
        if name in ("TIMESTAMPDIFF", "TIMESTAMPADD") and len(node.expressions) == 3:
            unit = temporal.unit_of(self.where, node.expressions[0])
            operands = [self.check(one) for one in node.expressions[1:]]
            function = temporal.difference if name == "TIMESTAMPDIFF" else temporal.add_units
            return function(self.where, node, unit, *operands)
        if name in _CLOCK and not (name == "UNIX_TIMESTAMP" and node.expressions):
            return self._clock(node, name)
        if any(isinstance(one, exp.Star | exp.Distinct) for one in node.expressions):
            raise self.where.error(node, f"{name} takes neither * nor DISTINCT.")
        return self._scalar(node, name, [self.check(one) for one in node.expressions])

    def _scalar(self, node: exp.Expression, name: str, operands: Sequence[Typed]) -> Typed:
        made = scalars.call(self.where, node, name, operands)
        if made is not None:
            return made
        if name in _LATER:
            raise self.where.error(
                node, f"{name} is not yet in this version.", "docs/sql.md lists the functions."
            )
        hint = near_misses(name, [*scalars.names(), *AGGREGATES]) or "docs/sql.md lists the functions."
        raise self.where.error(node, f"There is no function {name}.", hint)

    # -- aggregates ------------------------------------------------------------------------------------------------

    def _filter(self, node: exp.Filter) -> Typed:
        return self._aggregate(node, node.this, node.expression.this)

    def _aggregate(
        self, node: exp.Expression, call: exp.Expression, condition: exp.Expression | None
    ) -> Typed:
        if self._grouping is None:
            raise self.where.error(
                node,
                f"{self.where.quote(node)} cannot stand here.",
                "Aggregates stand in SELECT and HAVING; filter on them with HAVING.",
            )
        name = call.name.upper()
        if not isinstance(call, exp.Anonymous) or name not in AGGREGATES:
            raise self.where.error(node, f"FILTER belongs to an aggregate ({', '.join(AGGREGATES)}).")
        return self._grouping.aggregate(self.read_aggregate(node, call, condition))

    def read_aggregate(
        self, node: exp.Expression, call: exp.Anonymous, condition: exp.Expression | None
    ) -> AggregateCall:
        name, text = call.name.upper(), self.where.quote(node)
        wanted = None if condition is None else self._rows.boolean(condition, "FILTER")
        if len(call.expressions) != 1:
            raise self.where.error(node, f"{name} takes one argument.", "COUNT(*) counts rows.")
        [argument] = call.expressions
        if isinstance(argument, exp.Star):
            if name != "COUNT":
                raise self.where.error(node, f"{name}(*) is not defined.", f"Name a column: {name}(x).")
            return AggregateCall(name, None, wanted, False, text)
        distinct = isinstance(argument, exp.Distinct)
        if distinct:
            if len(argument.expressions) != 1:
                raise self.where.error(
                    node, "COUNT(DISTINCT …) of several columns is not supported.", "Use one column."
                )
            [argument] = argument.expressions
        typed = self._rows.check(argument)
        if distinct and name in ("SUM", "AVG"):
            raise self.where.error(node, f"{name}(DISTINCT …) is not yet in this version.")
        if name in ("SUM", "AVG") and not typed.type.is_numeric:
            raise self.where.error(
                node, f"{name} wants a number, not {describe(typed.type)}.", "CAST it to a number."
            )
        if typed.type == NULL or typed.type.element is not None:
            raise self.where.error(node, f"{name} of {describe(typed.type)} is not defined.")
        return AggregateCall(name, typed, wanted, distinct and name == "COUNT", text)

    def _window(self, node: exp.Window) -> Typed:
        name = node.this.name.upper()
        if not self._ad_hoc:
            raise self.where.error(
                node, "OVER windows are not yet in views.", "Ask it as a query over the view."
            )
        if name not in _WINDOWED or node.args.get("spec"):
            raise self.where.error(
                node, f"{self.where.quote(node)} is not supported.", f"OVER takes {', '.join(_WINDOWED)}."
            )
        operands = [self.check(one) for one in node.this.expressions]
        parts: list[str] = []
        if partition := node.args.get("partition_by"):
            parts.append("PARTITION BY " + ", ".join(self.check(one).sql for one in partition))
        if order := node.args.get("order"):
            parts.append("ORDER BY " + ", ".join(self.ordered(one) for one in order.expressions))
        kind = operands[0].type if _WINDOWED[name] and operands else BIGINT
        return Typed(
            f"{name.lower()}({', '.join(one.sql for one in operands)}) OVER ({' '.join(parts)})", kind, True
        )

    def ordered(self, node: exp.Ordered, typed: Typed | None = None) -> str:
        """One entry of an ORDER BY. NULLs come first, last when descending, as in Flink, unless it says otherwise."""
        [one] = operators.comparable(self.where, node, [typed or self.check(node.this)])
        descending = bool(node.args.get("desc"))
        text = one.sql + (" DESC" if descending else "")
        if bool(node.args.get("nulls_first")) == descending:
            text += " NULLS FIRST" if descending else " NULLS LAST"
        return text


_METHODS: Final[Mapping[type[exp.Expression], Callable[[Checker, exp.Expression], Typed]]] = {
    exp.Column: Checker._column,
    exp.Literal: Checker._literal,
    exp.Boolean: Checker._boolean,
    exp.Null: Checker._null,
    exp.HexString: Checker._bytes,
    exp.Placeholder: Checker._parameter,
    exp.Interval: Checker._interval,
    exp.Alias: Checker._alias,
    exp.Paren: Checker._paren,
    exp.Neg: Checker._negate,
    exp.Not: Checker._not,
    exp.Connector: Checker._logical,
    exp.Is: Checker._is,
    exp.NullSafeEQ: Checker._distinct,
    exp.NullSafeNEQ: Checker._distinct,
    exp.DPipe: Checker._pipe,
    exp.Like: Checker._like,
    exp.ILike: Checker._like,
    exp.Escape: Checker._like,
    exp.Between: Checker._between,
    exp.In: Checker._in,
    exp.Exists: Checker._exists,
    exp.Subquery: Checker._scalar_query,
    exp.Case: Checker._case,
    exp.If: Checker._if,
    exp.Cast: Checker._cast,
    exp.Extract: Checker._extract,
    exp.Floor: Checker._rounding,
    exp.Ceil: Checker._rounding,
    exp.Trim: Checker._trim,
    exp.StrPosition: Checker._position,
    exp.Substring: Checker._substring,
    JsonCall: Checker._json,
    exp.Filter: Checker._filter,
    exp.Window: Checker._window,
    exp.Anonymous: Checker._call,
    **dict.fromkeys(operators.COMPARISONS, Checker._comparison),
    **dict.fromkeys(operators.ARITHMETIC, Checker._arithmetic),
}


def contains_aggregate(node: exp.Expression) -> bool:
    """Whether an aggregate of this query (not of a subquery in it) stands in an expression."""
    return any(
        isinstance(one, exp.Anonymous) and one.name.upper() in AGGREGATES
        for one in node.walk(prune=lambda one: isinstance(one, exp.Query | exp.Window))
    )


def as_glob(pattern: str) -> str:
    """A LIKE pattern as one of GLOB, which distinguishes case as Flink's LIKE does."""
    return "".join(
        {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(letter, letter) for letter in pattern
    )
