"""The part of the typed analysis that reads CASE, casts, function calls, aggregates and OVER windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sqlglot import exp

from springline.core.types import STRING, TIMESTAMP_LTZ, SqlType
from springline.sql import operators, scalars, temporal
from springline.sql.casts import cast, read_type
from springline.sql.catalog import near_misses
from springline.sql.dialect import JsonCall, Text, Tree
from springline.sql.guards import of_branches
from springline.sql.typed import NULL, Typed, derived, describe

AGGREGATES: Final = ("COUNT", "SUM", "AVG", "MIN", "MAX")
_LATER: Final = frozenset(
    """LISTAGG COLLECT ARRAY_AGG FIRST_VALUE LAST_VALUE STDDEV STDDEV_POP STDDEV_SAMP VAR_POP VAR_SAMP VARIANCE PERCENTILE
    APPROX_COUNT_DISTINCT JSON_OBJECTAGG JSON_ARRAYAGG PROCTIME ROW MAP""".split()
)
CLOCK: Final = frozenset(
    """NOW CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP CURRENT_ROW_TIMESTAMP PROCTIME RAND RAND_INTEGER
    UUID UNIX_TIMESTAMP""".split()
)
_NOW: Final = frozenset({"NOW", "CURRENT_TIMESTAMP", "CURRENT_ROW_TIMESTAMP"})


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


class CallChecker:
    """What :class:`~springline.sql.check.Checker` knows of calls."""

    where: Text
    _grouping: Grouping | None
    _ad_hoc: bool

    @abstractmethod
    def check(self, node: Tree) -> Typed: ...

    @abstractmethod
    def boolean(self, node: Tree, place: str) -> Typed: ...

    @property
    @abstractmethod
    def rows(self) -> CallChecker:
        """The checker of expressions over single rows."""

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
        made = derived(
            f"CASE {branches} ELSE {brought[-1].sql} END", target, [*conditions, *brought], nullable=nullable
        )
        return replace(made, guards=of_branches(conditions, brought))

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
        if name in CLOCK and not (name == "UNIX_TIMESTAMP" and node.expressions):
            return self.clock(node, name)
        if any(isinstance(one, exp.Star | exp.Distinct) for one in node.expressions):
            raise self.where.error(node, f"{name} takes neither * nor DISTINCT.")
        return self._scalar(node, name, [self.check(one) for one in node.expressions])

    def _scalar(self, node: Tree, name: str, operands: Sequence[Typed]) -> Typed:
        made = scalars.call(self.where, node, name, operands)
        if made is not None:
            return made
        if name in _LATER:
            raise self.where.error(
                node, f"{name} is not yet in this version.", "docs/sql.md lists the functions."
            )
        hint = near_misses(name, [*scalars.names(), *AGGREGATES]) or "docs/sql.md lists the functions."
        raise self.where.error(node, f"There is no function {name}.", hint)

    def clock(self, node: Tree, name: str) -> Typed:
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

    # -- aggregates ------------------------------------------------------------------------------------------------

    def _filter(self, node: exp.Filter) -> Typed:
        return self._aggregate(node, node.this, node.expression.this)

    def _aggregate(self, node: Tree, call: Tree, condition: Tree | None) -> Typed:
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

    def read_aggregate(self, node: Tree, call: exp.Anonymous, condition: Tree | None) -> AggregateCall:
        name, text = call.name.upper(), self.where.quote(node)
        wanted = None if condition is None else self.rows.boolean(condition, "FILTER")
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
        typed = self.rows.check(argument)
        if distinct and name in ("SUM", "AVG"):
            raise self.where.error(node, f"{name}(DISTINCT …) is not yet in this version.")
        if name in ("SUM", "AVG") and not typed.type.is_numeric:
            raise self.where.error(
                node, f"{name} wants a number, not {describe(typed.type)}.", "CAST it to a number."
            )
        if typed.type == NULL or typed.type.element is not None:
            raise self.where.error(node, f"{name} of {describe(typed.type)} is not defined.")
        return AggregateCall(name, typed, wanted, distinct and name == "COUNT", text)

    def ordered(self, node: exp.Ordered, typed: Typed | None = None) -> str:
        """One entry of an ORDER BY. NULLs come first, last when descending, as in Flink, unless it says otherwise."""
        [one] = operators.comparable(self.where, node, [typed or self.check(node.this)])
        descending = bool(node.args.get("desc"))
        text = one.sql + (" DESC" if descending else "")
        if bool(node.args.get("nulls_first")) == descending:
            text += " NULLS FIRST" if descending else " NULLS LAST"
        return text


def contains_aggregate(node: Tree) -> bool:
    """Whether an aggregate of this query (not of a subquery in it) stands in an expression."""
    return any(
        isinstance(one, exp.Anonymous) and one.name.upper() in AGGREGATES
        for one in node.walk(prune=lambda one: isinstance(one, exp.Query | exp.Window))
    )
