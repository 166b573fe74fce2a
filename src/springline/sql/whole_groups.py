"""Groups and aggregates of whole queries: as SQLite computes them over the rows of each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from springline.core.types import SqlType
from springline.sql.aggregate_calls import VARIANCES, AggregateCall
from springline.sql.aggregate_types import aggregate_type, average_shift
from springline.sql.check_calls import Grouping
from springline.sql.guarded import of_sum
from springline.sql.typed import Typed, is_wide, literal_text


class SqlGrouping(Grouping):
    """Aggregates as SQLite computes them over the rows of each group."""

    def __init__(self, groups: Mapping[str, Typed]) -> None:
        self._groups = groups

    def grouped(self, sql: str) -> Typed | None:
        return self._groups.get(sql)

    def aggregate(self, call: AggregateCall) -> Typed:
        sql, kind, nullable = self._text(call)
        if call.filter is not None:
            sql += f" FILTER (WHERE {call.filter.sql})"
        if is_wide(kind) and call.name in ("MIN", "MAX"):
            sql = f"sl_wide_unkey({sql})"
        if call.collected is not None and call.collected.empty is not None:
            sql = f"ifnull({sql}, {call.collected.empty})"
        condition = "" if call.filter is None else f" FILTER (WHERE {call.filter.sql})"
        numbers = (
            "1" if call.argument is None else f"CASE typeof({call.argument.sql}) WHEN 'integer' THEN 1 END"
        )
        few = int(call.name in VARIANCES and call.name.endswith("SAMP"))
        holds = f"(count({numbers}){condition} <= {few} OR {sql} IS NOT NULL)"
        return Typed(sql, kind, nullable, guards=of_sum(call, kind, holds))

    def _text(self, call: AggregateCall) -> tuple[str, SqlType, bool]:
        argument = call.argument
        kind = aggregate_type(call)
        if argument is None:
            return "count(*)", kind, False
        if (collected := call.collected) is not None:
            details = f", {collected.details}" if collected.details else ""
            return f"{collected.function}({argument.sql}, 1{details})", kind, collected.empty is None
        if call.name in VARIANCES:
            return (
                f"sl_variance_of({argument.sql}, {argument.type.scale or 0}, '{call.name}', '{kind}')",
                kind,
                True,
            )
        value = (
            f"sl_wide_key({argument.sql})"
            if is_wide(argument.type) and call.name != "COUNT"
            else argument.sql
        )
        if call.name == "COUNT":
            if call.distinct and is_wide(argument.type):
                return f"count(DISTINCT sl_wide_key({argument.sql}))", kind, False
            return f"count({'DISTINCT ' if call.distinct else ''}{argument.sql})", kind, False
        if call.name in ("MIN", "MAX"):
            return f"{call.name.lower()}({value})", kind, True
        name = call.name.lower()
        if kind.name in ("DOUBLE", "FLOAT"):
            return f"sl_{name}_double({argument.sql})", kind, True
        if is_wide(kind):
            return f"sl_{name}_wide({argument.sql})", kind, True
        reason = literal_text(f"{kind} overflow in {call.text}")
        shift = "" if name == "sum" else f", {average_shift(argument.type, kind)}"
        return f"sl_{name}({argument.sql}, {literal_text(str(kind))}, {reason}{shift})", kind, True


def one_spelling(typed: Typed) -> Typed:
    """Equal wide DECIMALs can be written with more or fewer zeros; of a group or a set they are written in one way."""
    return replace(typed, raw=f"sl_wide_unkey(sl_wide_key({typed.raw}))") if is_wide(typed.type) else typed


def grouped_text(key: Typed) -> str:
    """SQLite would take a constant, and what it finds to be one (FALSE AND x), for the number of a column."""
    if is_wide(key.type):
        return f"sl_wide_key({key.sql})"
    return key.sql if key.column else f"ifnull({key.sql}, NULL)"
