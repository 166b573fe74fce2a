"""The state of a group: which columns it has, how a delta changes them, and how an aggregate's value is read from them.

==========================  ================================================================================
aggregate                   state
==========================  ================================================================================
COUNT                       ``c``, a weighted count
SUM, AVG exact numbers      ``h`` and ``l``, weighted sums of the upper and lower 32 bits: no overflow before 2**31 rows
SUM, AVG doubles            ``x``, the exact sum (``exact.py``)
SUM, AVG wide DECIMALs      ``y``, a DECIMAL's text
STDDEV, VAR                 ``x`` and ``q``, the exact sums of the values and of their squares
COUNT DISTINCT              ``k``, the number of values, from a table (group, value, n)
MIN, MAX                    a table (group, value, n) in order of value: a retraction costs one index look-up
MIN, MAX over streams       ``i``, ``j``, the value so far: no row is ever taken back
FIRST_VALUE, LAST_VALUE     the same over entries (``entries.py``): what rows are ordered by, then the value
LISTAGG, ARRAY_AGG, …       the same; a touched group's values are all read again
==========================  ================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from springline.core.types import SqlType
from springline.sql.aggregate_calls import VARIANCES, AggregateCall, Collected
from springline.sql.aggregate_types import aggregate_type, average_shift
from springline.sql.check_calls import Grouping
from springline.sql.dialect import Text
from springline.sql.exact import DoubleSum
from springline.sql.guarded import of_sum
from springline.sql.typed import Typed, exact_operand, is_wide, literal_text, may_be_nan, report

STATE_MARK: Final = re.compile("\x00(\\d+)\x00")
"""Stands for a multiset's table until the node's name is known; no SQL text has a NUL."""

EMPTY_SUM: Final = f"x'{DoubleSum().pack().hex()}'"


@dataclass(frozen=True, slots=True)
class Slot:
    """One column of the group state. ``step`` computes its change over the rows (columns ``a<i>``, weight ``_w``) of a
    group; ``merge`` combines an old and a new value."""

    name: str
    sqlite: str
    step: str
    merge: str
    empty: str
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Multiset:
    """A table (group, value, n). ``counted`` is the slot that counts its values, for COUNT DISTINCT."""

    number: int
    argument: int
    value: str
    sqlite: str
    counted: str | None


@dataclass(slots=True)
class Slots(Grouping):
    """Collects what the aggregates of one query need. ``arguments`` are the SQL texts over a row whose values are summed."""

    where: Text
    groups: Sequence[Typed]
    arguments: list[str] = field(default_factory=list[str])
    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])
    multisets: dict[int, Multiset] = field(default_factory=dict[int, Multiset])
    calls: list[AggregateCall] = field(default_factory=list[AggregateCall])
    only_comes: bool = False
    """Whether rows are never taken back, so that the least and the greatest value are known without the others."""

    def grouped(self, sql: str) -> Typed | None:
        for index, group in enumerate(self.groups):
            if group.sql == sql:
                return group_output(self, index)
        return None

    def aggregate(self, call: AggregateCall) -> Typed:
        self.calls.append(call)
        kind = aggregate_type(call)
        if call.argument is None and call.filter is None:
            return Typed('s."n"', kind, False)
        argument = self._argument(call)
        if call.collected is not None:
            return self._collected(argument, call, call.collected)
        if call.distinct:
            return Typed(f's."{self._distinct(argument, call)}"', kind, False)
        count = self._count(call, argument)
        if call.name == "COUNT":
            return Typed(f's."{count}"', kind, False)
        if call.name in ("MIN", "MAX"):
            return self._extreme(call, argument)
        if call.name in VARIANCES:
            return self._variance(call, argument, count, kind)
        return self._sum(call, argument, count, kind)

    def _argument(self, call: AggregateCall) -> int:
        """The number of the column ``a<i>`` with the values that count; NULL for rows that do not."""
        sql = "1" if call.argument is None else call.argument.sql
        if call.argument is not None and call.name in ("SUM", "AVG"):
            sql = _summed(call.argument)
        if call.filter is not None:
            sql = f"CASE WHEN {call.filter.sql} THEN {sql} END"
        if sql not in self.arguments:
            self.arguments.append(sql)
        return self.arguments.index(sql)

    def _add(self, name: str, sqlite: str, step: str, merge: str, empty: str) -> str:
        self.slots.setdefault(name, Slot(name, sqlite, step, merge, empty))
        return name

    def _count(self, call: AggregateCall, argument: int) -> str:
        sums_decimals = (
            call.name in ("SUM", "AVG") and call.argument is not None and call.argument.type.name == "DECIMAL"
        )
        if (
            call.filter is None
            and call.argument is not None
            and not call.argument.nullable
            and not sums_decimals
        ):
            return "n"
        step = f"sum(CASE WHEN a{argument} IS NOT NULL THEN _w ELSE 0 END)"
        return self._add(f"c{argument}", "INTEGER", step, "{old} + {new}", "0")

    def _multiset(self, argument: int, kind: SqlType) -> Multiset:
        if argument not in self.multisets:
            value = f"sl_wide_key(a{argument})" if is_wide(kind) else f"a{argument}"
            sqlite = "TEXT" if is_wide(kind) else kind.sqlite
            self.multisets[argument] = Multiset(argument, argument, value, sqlite, None)
        return self.multisets[argument]

    def _distinct(self, argument: int, call: AggregateCall) -> str:
        assert call.argument is not None
        one = self._multiset(argument, call.argument.type)
        name = f"k{argument}"
        self.multisets[argument] = Multiset(one.number, argument, one.value, one.sqlite, name)
        return self._add(name, "INTEGER", "0", "{old} + {new}", "0")

    def _extreme(self, call: AggregateCall, argument: int) -> Typed:
        assert call.argument is not None
        kind = call.argument.type
        nullable = call.argument.nullable or call.filter is not None or not self.groups
        if self.only_comes and not is_wide(kind):
            return Typed(f's."{self._kept_extreme(call.name, argument, kind)}"', kind, nullable)
        one = self._multiset(argument, kind)
        same = " AND ".join(f"m.{name} = s.{name}" for name in self.group_names)
        order = "m.v" if call.name == "MIN" else "m.v DESC"
        table = f"\x00{one.number}\x00"
        text = f"(SELECT m.v FROM {table} AS m WHERE {same} ORDER BY {order} LIMIT 1)"
        return Typed(f"sl_wide_unkey({text})" if is_wide(kind) else text, kind, nullable)

    def _kept_extreme(self, call: str, argument: int, kind: SqlType) -> str:
        """The slot of the least or the greatest value so far; NULL before there is one."""
        name, keeps = (f"i{argument}", "<=") if call == "MIN" else (f"j{argument}", ">=")
        merge = f"CASE WHEN {{new}} IS NULL OR {{old}} {keeps} {{new}} THEN {{old}} ELSE {{new}} END"
        self.slots[name] = Slot(
            name, kind.sqlite, f"{call.lower()}(a{argument})", merge, "NULL", nullable=True
        )
        return name

    def _collected(self, argument: int, call: AggregateCall, collected: Collected) -> Typed:
        """A value made of the group's values, or of the first or last of them alone."""
        assert call.argument is not None
        one = self._multiset(argument, call.argument.type)
        same = " AND ".join(f"m.{name} = s.{name}" for name in self.group_names)
        source = f"FROM \x00{one.number}\x00 AS m WHERE {same}"
        if collected.function in ("sl_first", "sl_last"):
            order = "m.v" if collected.function == "sl_first" else "m.v DESC"
            text = f"sl_entry_value((SELECT m.v {source} ORDER BY {order} LIMIT 1), {collected.details})"
        else:
            details = f", {collected.details}" if collected.details else ""
            text = f"(SELECT {collected.function}(m.v, m.n{details}) {source})"
        if collected.empty is not None:
            text = f"ifnull({text}, {collected.empty})"
        some = f"EXISTS (SELECT 1 {source} AND typeof(m.v) = 'integer')"
        guards = of_sum(call, collected.type, f"(NOT {some} OR {text} IS NOT NULL)")
        return Typed(text, collected.type, collected.empty is None, guards=guards)

    def _packed(self, name: str, function: str, argument: int) -> str:
        return self._add(
            f"{name}{argument}",
            "BLOB",
            f"{function}(a{argument}, _w)",
            "sl_merge({old}, {new})",
            EMPTY_SUM,
        )

    def _variance(self, call: AggregateCall, argument: int, count: str, kind: SqlType) -> Typed:
        assert call.argument is not None
        total = self._packed("x", "sl_pack", argument)
        squares = self._packed("q", "sl_pack_squares", argument)
        scale = call.argument.type.scale or 0
        text = f'sl_variance(s."{total}", s."{squares}", s."{count}", {scale}, \'{call.name}\', \'{kind}\')'
        holds = f'(s."{count}" <= {int(call.name.endswith("SAMP"))} OR {text} IS NOT NULL)'
        return Typed(text, kind, True, guards=of_sum(call, kind, holds))

    def _sum(self, call: AggregateCall, argument: int, count: str, kind: SqlType) -> Typed:
        assert call.argument is not None
        source = call.argument.type
        some = f's."{count}"'
        reason = f"{kind} overflow in {call.text}"
        if source.name in ("DOUBLE", "FLOAT"):
            name = self._packed("x", "sl_pack", argument)
            value = f's."{name}"'
            text = (
                f"sl_packed_value({value})" if call.name == "SUM" else f"sl_packed_average({value}, {some})"
            )
            return Typed(f"CASE WHEN {some} > 0 THEN {text} END", kind, True)
        if is_wide(source):
            name = self._add(
                f"y{argument}", "TEXT", f"sl_pack_wide(a{argument}, _w)", "sl_wide_merge({old}, {new})", "'0'"
            )
            value = f's."{name}"'
            text = value if call.name == "SUM" else f"sl_wide_average({value}, {some})"
            return Typed(f"CASE WHEN {some} > 0 THEN {text} END", kind, True)
        value = f"a{argument}"
        upper = self._add(
            f"h{argument}", "INTEGER", f"ifnull(sum(_w * ({value} >> 32)), 0)", "{old} + {new}", "0"
        )
        lower = self._add(
            f"l{argument}", "INTEGER", f"ifnull(sum(_w * ({value} & 4294967295)), 0)", "{old} + {new}", "0"
        )
        if call.name == "AVG":
            details = f"{average_shift(source, kind)}, {literal_text(str(kind))}, {literal_text(reason)}"
            text = f'sl_average(s."{upper}", s."{lower}", {some}, {details})'
            return Typed(text, kind, True, guards=of_sum(call, kind, f"({some} = 0 OR {text} IS NOT NULL)"))
        high = f'(s."{upper}" + (s."{lower}" >> 32))'
        total = f'(({high} << 32) + (s."{lower}" & 4294967295))'
        fits = f"{high} BETWEEN -2147483648 AND 2147483647"
        if kind.is_scaled:
            limit = 10 ** (kind.precision or 0) - 1
            surely = (limit >> 32) - 1
            within = f"{fits} AND {total} BETWEEN -{limit} AND {limit}"
            fits = f"({high} BETWEEN -{surely} AND {surely} OR {within})" if surely > 0 else within
        text = f"CASE WHEN {some} = 0 THEN NULL WHEN {fits} THEN {total} ELSE {report(reason)} END"
        return Typed(text, kind, True, guards=of_sum(call, kind, f"({some} = 0 OR ({fits}))"))

    @property
    def group_names(self) -> list[str]:
        """The key columns of the state. A query without GROUP BY has one constant group."""
        return [f"g{index}" for index in range(max(1, len(self.groups)))]

    def group_definitions(self) -> list[str]:
        if not self.groups:
            return ["g0 INTEGER NOT NULL"]
        return [
            f"g{index} {'ANY' if group.nullable else group.type.sqlite} NOT NULL"
            for index, group in enumerate(self.groups)
        ]

    def group_values(self) -> list[str]:
        """The key of a row's group: never NULL, so that one index finds every group."""
        if not self.groups:
            return ["0"]
        return [_encoded(group) for group in self.groups]


def _summed(argument: Typed) -> str:
    """What SUM adds up. NaN and infinite DECIMALs could not be taken away again; they do not count."""
    if is_wide(argument.type):
        return f"CASE WHEN {argument.sql} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {argument.sql} END"
    return exact_operand(argument) if may_be_nan(argument) else argument.sql


def _encoded(group: Typed) -> str:
    sql = f"sl_wide_unkey(sl_wide_key({group.sql}))" if is_wide(group.type) else group.sql
    return f"ifnull({sql}, {_null_mark(group.type)})" if group.nullable else sql


def _null_mark(kind: SqlType) -> str:
    """A value that the type does not have: an empty blob, or an empty text among blobs."""
    return "''" if kind.name == "BYTES" else "x''"


def group_output(slots: Slots, index: int) -> Typed:
    """A group column as a value."""
    group = slots.groups[index]
    text = f"s.g{index}"
    if group.nullable:
        text = f"nullif({text}, {_null_mark(group.type)})"
    return Typed(text, group.type, group.nullable)
