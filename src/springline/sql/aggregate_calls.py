"""How calls of aggregates are read: their arguments, DISTINCT, ORDER BY, and what they give.

An aggregate is linear (COUNT, SUM, AVG, the variances), an extreme (MIN, MAX), or *collected*: made of all the values of its
group (``aggregate_functions.py``). Where the order of rows matters (FIRST_VALUE, LISTAGG, ARRAY_AGG, …) and the call has no ORDER
BY, rows stand in the order of their tables' keys, the tables in the order of FROM; of a derived table, of all its columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from sqlglot import exp

from springline.core.types import BYTES, DOUBLE, STRING, SqlType, array
from springline.sql import operators
from springline.sql.dialect import JsonCall, Text, Tree
from springline.sql.typed import NULL, Typed, derived, describe, is_wide, literal_text

VARIANCES: Final = {
    "STDDEV_POP": "STDDEV_POP",
    "STDDEV_SAMP": "STDDEV_SAMP",
    "STDDEV": "STDDEV_SAMP",
    "VAR_POP": "VAR_POP",
    "VAR_SAMP": "VAR_SAMP",
    "VARIANCE": "VAR_SAMP",
}
SIMPLE: Final = ("COUNT", "SUM", "AVG", "MIN", "MAX")
COLLECTED: Final = (
    "LISTAGG",
    "ARRAY_AGG",
    "COLLECT",
    "FIRST_VALUE",
    "LAST_VALUE",
    "PERCENTILE",
    "JSON_OBJECTAGG",
    "JSON_ARRAYAGG",
)
AGGREGATES: Final = (*SIMPLE, *VARIANCES, *COLLECTED)
_ORDERED: Final = frozenset({"LISTAGG", "ARRAY_AGG", "FIRST_VALUE", "LAST_VALUE", "JSON_ARRAYAGG"})


@dataclass(frozen=True, slots=True)
class Collected:
    """A collected aggregate: ``function(value, n, details)`` over its group's values, or over entries with ``directions``."""

    function: str
    type: SqlType
    details: str
    directions: str = ""
    empty: str | None = None
    """What it is of no row, where that is not NULL."""


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """One aggregate of a grouped query, over the rows' expressions. ``argument`` is None for COUNT(*)."""

    name: str
    argument: Typed | None
    filter: Typed | None
    distinct: bool
    text: str
    collected: Collected | None = None


class RowChecker(Protocol):
    """What reading needs of the checker of expressions over single rows."""

    @property
    def where(self) -> Text: ...

    def check(self, node: Tree) -> Typed: ...

    def boolean(self, node: Tree, place: str) -> Typed: ...

    def row_order(self) -> Sequence[Typed]:
        """The columns that rows are ordered by where a call does not say."""
        ...


def is_aggregate(node: object) -> bool:
    """Whether a node is a call of an aggregate."""
    return isinstance(node, exp.Anonymous | JsonCall) and node.name.upper() in AGGREGATES


@dataclass(slots=True)
class _Arguments:
    values: list[Tree]
    distinct: bool = False
    order: list[exp.Ordered] = field(default_factory=list[exp.Ordered])


def _arguments(call: Tree) -> _Arguments:
    """The arguments without DISTINCT and ORDER BY, which may stand around them."""
    made = _Arguments([])
    for one in call.expressions:
        value: Tree = one
        if isinstance(value, exp.Order):
            made.order.extend(value.expressions)
            value = value.this
        if isinstance(value, exp.Distinct):
            made.distinct = True
            made.values.extend(value.expressions)
        else:
            made.values.append(value)
    return made


def read_aggregate(
    rows: RowChecker, node: Tree, call: Tree, condition: Tree | None, order: Sequence[exp.Ordered] = ()
) -> AggregateCall:
    """An aggregate call; ``order`` is that of WITHIN GROUP. Raises SqlError."""
    where, name, text = rows.where, call.name.upper(), rows.where.quote(node)
    wanted = None if condition is None else rows.boolean(condition, "FILTER")
    found = _arguments(call)
    found.order.extend(order)
    if found.order and (name not in _ORDERED or found.distinct):
        listed = ", ".join(sorted(_ORDERED))
        raise where.error(node, f"{text} has no use for ORDER BY.", f"It orders {listed} (without DISTINCT).")
    if any(isinstance(one, exp.Star) for one in found.values):
        if name != "COUNT" or len(found.values) > 1 or found.distinct:
            raise where.error(node, f"{name}(*) is not defined.", f"Name a column: {name}(x).")
        return AggregateCall(name, None, wanted, False, text)
    typed = [rows.check(one) for one in found.values]
    made = _Reader(rows, node, name, text, found, typed).call()
    return replace(made, filter=wanted)


class _Reader:
    def __init__(
        self, rows: RowChecker, node: Tree, name: str, text: str, found: _Arguments, typed: list[Typed]
    ) -> None:
        self.rows, self.where, self.node, self.name, self.text = rows, rows.where, node, name, text
        self.found, self.typed = found, typed

    def call(self) -> AggregateCall:
        if self.name in SIMPLE:
            return self._simple()
        if self.name in VARIANCES:
            argument = self._number(self._only())
            if is_wide(argument.type):
                raise self.where.error(
                    self.node, f"{self.name} of {argument.type} is not defined.", "CAST it to DOUBLE."
                )
            if self.found.distinct:
                raise self.where.error(self.node, f"{self.name}(DISTINCT …) is not supported.")
            return AggregateCall(VARIANCES[self.name], argument, None, False, self.text)
        return getattr(self, "_" + self.name.lower())()

    # -- arguments -------------------------------------------------------------------------------------------------

    def _counted(self, least: int, most: int, hint: str) -> None:
        if not least <= len(self.typed) <= most:
            wanted = (
                f"{least} argument{'s' * (least > 1)}" if least == most else f"{least} to {most} arguments"
            )
            raise self.where.error(self.node, f"{self.name} takes {wanted}.", hint)

    def _only(self) -> Typed:
        hint = "COUNT(*) counts rows." if self.name == "COUNT" else f"Write {self.name}(x)."
        self._counted(1, 1, hint)
        [argument] = self.typed
        if argument.type == NULL:
            raise self.where.error(
                self.node, f"{self.name} of NULL is not defined.", "CAST the NULL to a type."
            )
        return argument

    def _number(self, argument: Typed) -> Typed:
        if not argument.type.is_numeric:
            raise self.where.error(
                self.node,
                f"{self.name} wants a number, not {describe(argument.type)}.",
                "CAST it to a number.",
            )
        return argument

    def _simple(self) -> AggregateCall:
        if self.name == "COUNT" and self.found.distinct and len(self.typed) > 1:
            return AggregateCall("COUNT", self._together(), None, True, self.text)
        argument = self._only()
        if argument.type.element is not None and self.name != "COUNT":
            raise self.where.error(self.node, f"{self.name} of {describe(argument.type)} is not defined.")
        if self.name in ("SUM", "AVG"):
            self._number(argument)
            if self.found.distinct:
                return self._sum_distinct(argument)
        return AggregateCall(
            self.name, argument, None, self.found.distinct and self.name == "COUNT", self.text
        )

    def _together(self) -> Typed:
        """Several values counted as one; rows in which one is NULL do not count."""
        some = " AND ".join(f"{one.sql} IS NOT NULL" for one in self.typed)
        return derived(f"CASE WHEN {some} THEN {_entry(self.typed)} END", BYTES, self.typed)

    def _sum_distinct(self, argument: Typed) -> AggregateCall:
        from springline.sql.aggregate_types import aggregate_type, average_shift

        kind = aggregate_type(AggregateCall(self.name, argument, None, False, self.text))
        shift = average_shift(argument.type, kind) if self.name == "AVG" else 0
        reason = literal_text(f"{kind} overflow in {self.text}")
        details = (
            f"'{self.name}', {literal_text(str(argument.type))}, {literal_text(str(kind))}, {shift}, {reason}"
        )
        if is_wide(argument.type):
            return self._made(argument, "sl_sum_distinct", kind, details, parts=[argument])
        return self._made(argument, "sl_sum_distinct", kind, details)

    # -- what is collected -----------------------------------------------------------------------------------------

    def _made(
        self,
        argument: Typed,
        function: str,
        kind: SqlType,
        details: str,
        *,
        parts: Sequence[Typed] | None = None,
        order: str = "",
        nulls: bool = False,
        empty: str | None = None,
    ) -> AggregateCall:
        """``parts`` make an entry, with the directions ``order`` for all but the last ones. Rows whose argument is NULL are
        passed over unless ``nulls``."""
        if parts is None:
            collected = Collected(function, kind, f"'', {details}".removesuffix(", "), "", empty)
            return AggregateCall(self.name, argument, None, False, self.text, collected)
        ways = order + directions(parts[len(order) :])
        text = f"sl_entry({literal_text(ways)}, {', '.join(one.sql for one in parts)})"
        if not nulls and argument.nullable:
            text = f"CASE WHEN {argument.sql} IS NOT NULL THEN {text} END"
        made = derived(text, BYTES, parts, nullable=not nulls and argument.nullable)
        all_details = f"{literal_text(ways)}, {details}".removesuffix(", ")
        collected = Collected(function, kind, all_details, ways, empty)
        return AggregateCall(self.name, made, None, False, self.text, collected)

    def _in_order(
        self,
        argument: Typed,
        function: str,
        kind: SqlType,
        details: str,
        *,
        nulls: bool = False,
        empty: str | None = None,
    ) -> AggregateCall:
        """Over the values in the order that the call, or else the tables' keys say. DISTINCT ones are in order of value."""
        if self.found.distinct:
            return self._made(argument, function, kind, details, parts=[argument], nulls=nulls, empty=empty)
        parts: list[Typed] = []
        order = ""
        for one in self.found.order:
            [typed] = operators.comparable(self.where, one, [self.rows.check(one.this)])
            descending = bool(one.args.get("desc"))
            if bool(one.args.get("nulls_first")) == descending:
                parts.append(derived(f"({typed.sql} IS {'NOT ' if descending else ''}NULL)", BYTES, [typed]))
                order += "a"
            parts.append(typed)
            order += "d" if descending else "a"
        if not self.found.order:
            parts = [one for one in self.rows.row_order() if one.type.element is None]
            order = directions(parts)
        return self._made(
            argument, function, kind, details, parts=[*parts, argument], order=order, nulls=nulls, empty=empty
        )

    def _listagg(self) -> AggregateCall:
        self._counted(1, 2, "LISTAGG(name, ', ').")
        separator = self.typed[1] if len(self.typed) == 2 else Typed("','", STRING, False, constant=True)
        if self.typed[0].type != STRING or separator.type != STRING or not separator.constant:
            raise self.where.error(
                self.node,
                "LISTAGG takes a STRING, and a literal to put between.",
                "LISTAGG(CAST(x AS STRING), ', ').",
            )
        return self._in_order(
            self.typed[0], "sl_listagg", STRING, f"{int(self.found.distinct)}, {separator.sql}"
        )

    def _array_agg(self) -> AggregateCall:
        argument = self._element()
        return self._in_order(
            argument, "sl_array_agg", array(argument.type), self._array_details(argument), nulls=True
        )

    def _collect(self) -> AggregateCall:
        """A multiset has no order: its values stand in order of value."""
        argument = self._element()
        details = self._array_details(argument)
        return self._made(argument, "sl_array_agg", array(argument.type), details, parts=[argument])

    def _array_details(self, argument: Typed) -> str:
        return f"{int(self.found.distinct)}, {literal_text(str(argument.type))}"

    def _element(self) -> Typed:
        argument = self._only()
        if argument.type.element is not None:
            raise self.where.error(self.node, f"{self.name} of {describe(argument.type)} is not supported.")
        return argument

    def _first_value(self) -> AggregateCall:
        argument = self._only()
        if self.found.distinct:
            raise self.where.error(
                self.node, f"{self.name}(DISTINCT …) is not supported.", "Leave DISTINCT out."
            )
        function = "sl_first" if self.name == "FIRST_VALUE" else "sl_last"
        return self._in_order(argument, function, argument.type, "")

    _last_value = _first_value

    def _percentile(self) -> AggregateCall:
        self._counted(
            2, 3, "PERCENTILE(x, 0.5), PERCENTILE(x, ARRAY[0.25, 0.75]), PERCENTILE(x, 0.5, frequency)."
        )
        argument = self._number(self.typed[0])
        wanted, kind = self._shares(self.found.values[1])
        details = f"{literal_text(str(argument.type))}, {wanted}"
        if len(self.typed) == 2 and not is_wide(argument.type):
            return self._made(argument, "sl_percentile", kind, details)
        times = self.typed[2] if len(self.typed) == 3 else Typed("1", SqlType("INT"), False)
        if not times.type.is_integer:
            raise self.where.error(
                self.node, f"The frequency of PERCENTILE is {describe(times.type)}, not an integer."
            )
        return self._made(argument, "sl_percentile", kind, details, parts=[argument, times])

    def _shares(self, node: Tree) -> tuple[str, SqlType]:
        """The percentages, which are literals from 0 to 1."""
        many = isinstance(node, exp.Array)
        listed = node.expressions if isinstance(node, exp.Array) else [node]
        if not listed or not all(isinstance(one, exp.Literal) and not one.is_string for one in listed):
            raise self.where.error(
                node,
                "The percentage of PERCENTILE is a number or an ARRAY of numbers.",
                "PERCENTILE(x, 0.95).",
            )
        shares = [float(one.name) for one in listed]
        if not all(0 <= share <= 1 for share in shares):
            raise self.where.error(node, "A percentage of PERCENTILE is from 0 to 1.", "0.95 for 95 percent.")
        return (literal_text(json.dumps(shares)), array(DOUBLE)) if many else (repr(shares[0]), DOUBLE)

    # -- JSON ------------------------------------------------------------------------------------------------------

    def _absent(self, default: bool) -> str:
        call = self.node.find(JsonCall)
        option = "" if call is None else call.option("null")
        return str(int(option == "ABSENT" if option else default))

    def _json_arrayagg(self) -> AggregateCall:
        argument = self._only()
        details = f"{literal_text(str(argument.type))}, {self._absent(True)}"
        return self._in_order(
            argument, "sl_json_arrayagg", STRING, details, nulls=self._absent(True) == "0", empty="'[]'"
        )

    def _json_objectagg(self) -> AggregateCall:
        self._counted(2, 2, "JSON_OBJECTAGG(KEY name VALUE x).")
        name, value = self.typed
        if name.type != STRING:
            raise self.where.error(
                self.node,
                f"The names of JSON_OBJECTAGG are {describe(name.type)}, not STRING.",
                "CAST them to STRING.",
            )
        details = f"{literal_text(str(value.type))}, {self._absent(False)}"
        parts = [*(one for one in self.rows.row_order() if one.type.element is None), name, value]
        return self._made(
            name,
            "sl_json_objectagg",
            STRING,
            details,
            parts=parts,
            order=directions(parts[:-2]),
            empty="'{}'",
        )


def _entry(parts: Sequence[Typed]) -> str:
    return f"sl_entry({literal_text(directions(parts))}, {', '.join(one.sql for one in parts)})"


def directions(parts: Sequence[Typed]) -> str:
    """The directions (``entries.py``) of values in rising order."""
    return "".join("w" if is_wide(one.type) else "a" for one in parts)
