"""The part of the typed analysis that reads CASE, casts, function calls, aggregates and OVER windows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from sqlglot import exp

from springline.core.types import BOOLEAN, STRING, TIMESTAMP_LTZ, SqlType
from springline.sql import arrays, operators, scalars, temporal
from springline.sql.aggregate_calls import AGGREGATES, AggregateCall, is_aggregate, read_aggregate
from springline.sql.casts import cast
from springline.sql.catalog import near_misses
from springline.sql.dialect import JsonCall, Text, Tree
from springline.sql.guards import has_value, of_branches
from springline.sql.json_calls import json_call
from springline.sql.scope import Scope
from springline.sql.string_functions import compiled
from springline.sql.typed import NULL, Guard, Typed, derived, literal_text
from springline.sql.user_functions import scalar_call

_JSON_INSTEAD: Final = "Keep it as JSON: JSON_OBJECT('a' VALUE x), JSON_VALUE(payload, '$.a')."
_INSTEAD: Final[Mapping[str, str]] = {
    "APPROX_COUNT_DISTINCT": "COUNT(DISTINCT x) is exact and as cheap.",
    "ANY_VALUE": "Write MIN(x).",
    "SINGLE_VALUE": "Write MIN(x).",
    "MEDIAN": "Write PERCENTILE(x, 0.5).",
    "PRINTF": "Join texts with ||, and CAST numbers to STRING.",
    "STR_TO_MAP": "Write STR_TO_MAP(text, ',', '=')['key'] for one of its values.",
    "CURRENT_WATERMARK": "Filter on the time column when reading the view.",
    "ML_PREDICT": "An enrichment calls a model once for each row.",
    **dict.fromkeys(("GROUP_ID", "GROUPING_ID"), "Add a literal column to each SELECT of a UNION ALL."),
    **dict.fromkeys(("PARSE_JSON", "TRY_PARSE_JSON"), "JSON is kept as STRING: JSON_VALUE(payload, '$.a')."),
    **dict.fromkeys(
        "ROW OBJECT_OF OBJECT_UPDATE MAP MAP_KEYS MAP_VALUES MAP_ENTRIES MAP_UNION".split(), _JSON_INSTEAD
    ),
    "MAP_FROM_ARRAYS": _JSON_INSTEAD,
}
"""Flink's functions that are not supported, and what to write instead."""
CLOCK: Final = frozenset(
    """NOW CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIME LOCALTIMESTAMP CURRENT_ROW_TIMESTAMP PROCTIME RAND RAND_INTEGER
    UUID UNIX_TIMESTAMP""".split()
)
_RANDOM: Final = frozenset({"RAND", "RAND_INTEGER", "UUID"})
_NOW: Final = frozenset({"NOW", "CURRENT_TIMESTAMP", "CURRENT_ROW_TIMESTAMP"})


class Grouping(Protocol):
    """What an aggregate and a grouped expression are in the text that is being made."""

    def grouped(self, sql: str) -> Typed | None:
        """The group column that equals this row expression."""
        ...

    def aggregate(self, call: AggregateCall) -> Typed: ...


class CallChecker:
    """What :class:`~springline.sql.check.Checker` knows of calls."""

    where: Text
    scope: Scope
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
        return self._aggregate(node, node, None) if is_aggregate(node) else json_call(self, node)

    def _json_document(self, node: Tree, operand: Typed) -> Typed:
        """JSON(text): the text as a part of JSON_OBJECT and JSON_ARRAY."""
        if operand.type not in (STRING, NULL):
            raise self.where.error(node, "JSON takes a STRING.", "JSON_OBJECT('a' VALUE JSON(payload)).")
        text = f"sl_json_normal({operand.sql})"
        made = derived(text, STRING, [operand], nullable=True)
        reason = literal_text(f"{self.where.quote(node)}: not JSON")
        return replace(made, guards=(*made.guards, has_value(text, [operand], reason)))

    def _array(self, node: exp.Array) -> Typed:
        return arrays.literal(self.where, node, [self.check(one) for one in node.expressions])

    def _bracket(self, node: exp.Bracket) -> Typed:
        """An element of an array, or STR_TO_MAP(…)[key]."""
        if len(node.expressions) != 1:
            if node.this.name.upper() == "MAP":
                raise self.where.error(node, "MAP is not supported.", _INSTEAD["MAP"])
            raise self.where.error(node, "One index stands in [].", "Write a[1].")
        [index] = node.expressions
        call = node.this
        if isinstance(call, exp.Anonymous) and call.name.upper() == "STR_TO_MAP":
            operands = [self.check(one) for one in [*call.expressions, index]]
            marks = [",", "="][len(call.expressions) - 1 :]
            if not 1 <= len(call.expressions) <= 3 or any(one.type not in (STRING, NULL) for one in operands):
                raise self.where.error(
                    node, "STR_TO_MAP takes STRINGs.", "STR_TO_MAP('a=1,b=2', ',', '=')['a']."
                )
            middle = [one.sql for one in operands[1:-1]] + [f"'{one}'" for one in marks]
            text = ", ".join([operands[0].sql, *middle, operands[-1].sql])
            made = derived(f"sl_map_value({text})", STRING, operands, nullable=True)
            if all(one.constant and compiled(str(one.value)) is not None for one in operands[1:-1]):
                return made
            reason = literal_text(f"{self.where.quote(node)}: no regular expression")
            guard = Guard(f"sl_succeeds('sl_map_value', {text})", reason, made.refs)
            return replace(made, guards=(*made.guards, guard))
        return arrays.element(self.where, node, self.check(call), self.check(index))

    def _similar(self, node: exp.SimilarTo, escape: Tree | None = None) -> Typed:
        operands = [self.check(one) for one in (node.this, node.expression, escape) if one is not None]
        if any(one.type not in (STRING, NULL) for one in operands):
            raise self.where.error(node, "SIMILAR TO compares STRINGs.", "CAST it to STRING.")
        text = f"sl_similar({', '.join(one.sql for one in operands)})"
        made = derived(text, BOOLEAN, operands, nullable=True)
        reason = literal_text(f"{self.where.quote(node)}: no such pattern")
        return replace(made, guards=(*made.guards, has_value(text, operands, reason)))

    def _overlay(self, node: exp.Overlay) -> Typed:
        parts = [node.this, node.expression, node.args.get("from_"), node.args.get("for_")]
        return self._scalar(node, "OVERLAY", [self.check(one) for one in parts if one is not None])

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
        if name == "JSON" and len(node.expressions) == 1:
            return self._json_document(node, self.check(node.expressions[0]))
        if any(isinstance(one, exp.Star | exp.Distinct) for one in node.expressions):
            raise self.where.error(node, f"{name} takes neither * nor DISTINCT.")
        return self._scalar(node, name, [self.check(one) for one in node.expressions])

    def _scalar(self, node: Tree, name: str, operands: Sequence[Typed]) -> Typed:
        made = scalars.call(self.where, node, name, operands)
        if made is not None:
            return made
        functions = self.where.functions
        if functions is not None and name in functions.scalars:
            return scalar_call(self.where, node, functions.scalars[name], operands)
        if name in _INSTEAD or name.startswith("BITMAP_"):
            hint = _INSTEAD.get(name, "COUNT(DISTINCT x) and ARRAY_AGG(DISTINCT x) are exact.")
            raise self.where.error(node, f"{name} is not supported.", hint)
        own = () if functions is None else functions.scalars
        hint = near_misses(name, [*scalars.names(), *AGGREGATES, *own]) or "docs/sql.md lists the functions."
        raise self.where.error(node, f"There is no function {name}.", hint)

    def _ignore_nulls(self, node: exp.IgnoreNulls | exp.RespectNulls) -> Typed:
        raise self.where.error(
            node,
            f"{self.where.quote(node)} is not Flink SQL.",
            "FIRST_VALUE and LAST_VALUE pass over NULLs; ARRAY_AGG keeps them, FILTER (WHERE x IS NOT NULL) leaves them out.",
        )

    def clock(self, node: Tree, name: str) -> Typed:
        if name in _RANDOM:
            raise self.where.error(
                node,
                f"{name} gives another value each time it is asked.",
                "Use a column, or MD5(CAST(id AS STRING)).",
            )
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
        order: Sequence[exp.Ordered] = ()
        if isinstance(call, exp.WithinGroup):
            call, order = call.this, call.expression.expressions
        if not is_aggregate(call):
            raise self.where.error(node, f"FILTER belongs to an aggregate ({', '.join(AGGREGATES)}).")
        return self._grouping.aggregate(read_aggregate(self.rows, node, call, condition, order))

    def _within_group(self, node: exp.WithinGroup) -> Typed:
        return self._aggregate(node, node, None)

    def read_aggregate(self, node: Tree, call: Tree, condition: Tree | None) -> AggregateCall:
        return read_aggregate(self.rows, node, call, condition)

    def row_order(self) -> Sequence[Typed]:
        return self.scope.row_order()

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
        is_aggregate(one) for one in node.walk(prune=lambda one: isinstance(one, exp.Query | exp.Window))
    )
