"""Which rows a query leaves out because an expression fails on them.

Guards (``guards.py``) become conditions of the query, each before what it guards, so that the maintained view and its batch query
leave out the same rows; ``dead_letters.py`` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from springline.core.types import BOOLEAN, SqlType
from springline.sql.aggregate_calls import VARIANCES
from springline.sql.guards import of_argument, unless
from springline.sql.typed import Guard, Typed, failures_of, literal_text

if TYPE_CHECKING:
    from springline.sql.check_calls import AggregateCall, Grouping

Columns = list[tuple[str, Typed]]
_LITERAL = re.compile(r"'(?:[^']|'')*'")


def settled(typed: Typed) -> Typed:
    """An expression whose failures are conditions of their own: where it is evaluated, it does not fail."""
    return replace(typed, guards=(), unchecked=None)


def conditions(guards: Iterable[Guard]) -> list[Typed]:
    """Guards as conditions."""
    return [Typed(one.sql, BOOLEAN, False, one.refs, failure=one.reason) for one in guards]


def guarded(conjuncts: Iterable[Typed]) -> list[Typed]:
    """Conditions that AND joins, each after what must hold for it not to fail."""
    made: list[Typed] = []
    for one in conjuncts:
        made += [*conditions(one.failures), settled(one)]
    return made


def of_row(columns: Iterable[Typed]) -> list[Typed]:
    """What must hold for a row's expressions not to fail."""
    return conditions(failures_of(columns))


def of_columns(columns: Columns) -> tuple[list[Typed], Columns]:
    """The columns of a SELECT list, and what must hold for them not to fail. A function OVER a window is computed after WHERE and
    HAVING: where an expression over one fails, it is NULL."""
    guards = [one for one in failures_of(typed for _, typed in columns) if not _is_windowed(one)]
    return conditions(guards), [
        (name, typed if any(map(_is_windowed, typed.failures)) else settled(typed)) for name, typed in columns
    ]


def _is_windowed(guard: Guard) -> bool:
    return " OVER (" in _LITERAL.sub("", guard.sql)


def of_join(kind: str, conjuncts: Sequence[Typed], right: Iterable[Typed]) -> tuple[list[Typed], list[Typed]]:
    """The condition of a join, guarded: (what belongs to ON, what the rows of the join must obey). ``right``: the columns of its right
    side. A pair of rows on which the condition fails does not match; a preserved row on which it fails whatever it is joined
    to is left out."""
    if kind == "inner":
        return guarded(conjuncts), []
    joined = frozenset[str]().union(*(one.refs for one in right))
    on: list[Typed] = []
    obeyed: list[Typed] = []
    before: list[Typed] = []
    for one in conjuncts:
        for guard in one.failures:
            side = (
                "right" if guard.refs and guard.refs <= joined else "both" if guard.refs & joined else "left"
            )
            if kind not in (side, "full") or side == "both":
                on += conditions([guard])
                continue
            earlier = [part for part in before if part.refs <= guard.refs]
            branches = "".join(f"WHEN {part.sql} IS 0 THEN 1 " for part in earlier)
            alone = conditions([unless(branches, guard, earlier)])
            obeyed += alone
            on += alone if kind == "full" else []
        on.append(settled(one))
        before.append(one)
    return on, obeyed


class Recorded:
    """A grouping that remembers which aggregates were asked for."""

    def __init__(self, inner: Grouping) -> None:
        self._inner = inner
        self.calls: list[AggregateCall] = []

    def grouped(self, sql: str) -> Typed | None:
        return self._inner.grouped(sql)

    def aggregate(self, call: AggregateCall) -> Typed:
        self.calls.append(call)
        return self._inner.aggregate(call)


def of_aggregation(groups: Iterable[Typed], calls: Iterable[AggregateCall]) -> list[Typed]:
    """What must hold for a row to take part in its group: its key and the arguments of the aggregates do not fail. An argument is
    not evaluated for a row that its FILTER passes over."""
    guards = list(failures_of(groups))
    for call in calls:
        guards += of_argument(call.argument, call.filter)
    return conditions(dict.fromkeys(guards))


def of_sum(call: AggregateCall, kind: SqlType, holds: str) -> tuple[Guard, ...]:
    """The failure of SUM, AVG or a variance of exact numbers: a result beyond its type. ``holds`` is where it has not. None where no
    group can be that large: 2**31 rows are."""
    argument = None if call.argument is None else call.argument.type
    if argument is None or call.name not in ("SUM", "AVG", *VARIANCES):
        return ()
    if call.name in VARIANCES:
        may_fail = argument.is_integer or argument.is_scaled
    elif argument.is_integer:
        may_fail = call.name == "SUM" and argument.name == "BIGINT"
    elif argument.is_scaled and kind.is_scaled:
        digits = (argument.precision or 0) - (argument.scale or 0) + (kind.scale or 0)
        may_fail = digits + (10 if call.name == "SUM" else 0) > (kind.precision or 0)
    else:
        may_fail = False
    return (Guard(holds, literal_text(f"{kind} overflow in {call.text}"), frozenset()),) if may_fail else ()
