"""Functions OVER a window of rows: ROW_NUMBER and its kin, LAG and LEAD, and aggregates.

What depends on the order of rows must not depend on chance: rows that tie in ORDER BY are taken in the order of the columns
that the SELECT list uses, left to right. Rows that tie there too cannot be told apart in the answer. ``TIES`` stands in the
text where these columns belong, until all of them are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlglot import exp

from springline.core.types import BIGINT, DOUBLE, SqlType
from springline.sql import scalars
from springline.sql.aggregate_calls import SIMPLE as AGGREGATES
from springline.sql.aggregate_calls import AggregateCall
from springline.sql.aggregate_types import aggregate_type, average_shift
from springline.sql.dialect import Tree
from springline.sql.guards import of_argument
from springline.sql.scope import Scope
from springline.sql.typed import (
    DAY_US,
    INTERVAL_MICROSECONDS,
    NULL,
    Guard,
    Typed,
    exact_operand,
    failures_of,
    is_wide,
    literal_text,
    may_be_nan,
    report,
)

if TYPE_CHECKING:
    from springline.sql.check import Checker

GROUPS: Final = "_groups"
"""What the derived table of a query's own groups goes by (``groups_below.py``)."""

TIES: Final = "\x00ties\x00"

_RANKS: Final = {
    "ROW_NUMBER": BIGINT,
    "RANK": BIGINT,
    "DENSE_RANK": BIGINT,
    "PERCENT_RANK": DOUBLE,
    "CUME_DIST": DOUBLE,
}
_PEERS: Final = frozenset({"RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST"})
"""Rows that tie are equal to these."""
_VALUES: Final = ("FIRST_VALUE", "LAST_VALUE")
_NAMES: Final = (*_RANKS, "NTILE", "LAG", "LEAD", *_VALUES, *AGGREGATES)


@dataclass(frozen=True, slots=True)
class WindowUse:
    """One OVER of a SELECT: its function, by what it is partitioned, and its ORDER BY as text without ties."""

    function: str
    partition: tuple[Typed, ...]
    order: tuple[str, ...]
    ordered_columns: tuple[tuple[tuple[str, str] | None, bool], ...]
    """Of each entry of ORDER BY: the column, and whether it is descending; None where it is no plain column or moves NULLs."""
    guards: tuple[Guard, ...] = ()
    """What must hold for PARTITION BY and ORDER BY not to fail."""


def contains_window(node: Tree) -> bool:
    """Whether a function OVER a window (not one of a subquery) stands in an expression."""
    found = any(
        isinstance(one, exp.Window) for one in node.walk(prune=lambda one: isinstance(one, exp.Query))
    )
    return found and not isinstance(node, exp.Query)


def window(checker: Checker, node: exp.Window) -> Typed:
    """The typed expression of a call with OVER. Its use is added to ``checker.windows``."""
    call = node.this.this if isinstance(node.this, exp.Filter) else node.this
    name = call.name.upper() if isinstance(call, exp.Anonymous) else ""
    if name not in _NAMES:
        raise checker.where.error(
            node, f"{checker.where.quote(node)} is not supported.", f"OVER takes {', '.join(_NAMES)}."
        )
    if node.args.get("alias") is not None:
        raise checker.where.error(
            node, "Named windows are not supported.", "Write OVER (PARTITION BY … ORDER BY …)."
        )
    partition = tuple(checker.check(one) for one in node.args.get("partition_by") or ())
    order = node.args.get("order")
    entries: list[exp.Ordered] = [] if order is None else order.expressions
    if not entries and name not in AGGREGATES:
        raise checker.where.error(
            node, f"{name} needs an order.", f"{name}(…) OVER (… ORDER BY some_column)."
        )
    use = _use(checker, name, partition, entries)
    checker.windows.append(use)
    if name in AGGREGATES:
        return _aggregate(checker, node, call, use, entries)
    if isinstance(node.this, exp.Filter):
        raise checker.where.error(node, f"FILTER belongs to an aggregate ({', '.join(AGGREGATES)}).")
    if name in _VALUES:
        return _value(checker, node, call, use, entries)
    if node.args.get("spec"):
        raise checker.where.error(node, f"{name} has no ROWS or RANGE.", "Leave the frame out.")
    over = _over(use, ties=name not in _PEERS)
    if name in _RANKS:
        if call.expressions:
            raise checker.where.error(node, f"{name} takes no arguments.")
        return Typed(f"{name.lower()}() {over}", _RANKS[name], False, _refs(use), guards=use.guards)
    operands = [checker.check(one) for one in call.expressions]
    if name == "NTILE":
        if len(operands) != 1 or not isinstance(operands[0].value, int) or operands[0].value < 1:
            raise checker.where.error(node, "NTILE takes a positive whole number.")
        return Typed(f"ntile({operands[0].sql}) {over}", BIGINT, False, _refs(use), guards=use.guards)
    return _shifted(checker, node, name, operands, use, over)


def _use(
    checker: Checker, name: str, partition: tuple[Typed, ...], entries: Sequence[exp.Ordered]
) -> WindowUse:
    texts: list[str] = []
    columns: list[tuple[tuple[str, str] | None, bool]] = []
    ordered = [checker.check(entry.this) for entry in entries]
    for entry, typed in zip(entries, ordered, strict=True):
        text = checker.ordered(entry, typed)
        texts.append(text)
        plain = typed.column is not None and "NULLS" not in text and not is_wide(typed.type)
        columns.append((typed.column if plain else None, bool(entry.args.get("desc"))))
    return WindowUse(name, partition, tuple(texts), tuple(columns), failures_of([*partition, *ordered]))


def _refs(use: WindowUse) -> frozenset[str]:
    return frozenset[str]().union(*(one.refs for one in use.partition))


def partition_text(use: WindowUse) -> str:
    """Equal DECIMALs can be written with more or fewer zeros."""
    return ", ".join(f"sl_wide_key({one.sql})" if is_wide(one.type) else one.sql for one in use.partition)


def _over(use: WindowUse, *, ties: bool, frame: str = "") -> str:
    parts: list[str] = []
    if use.partition:
        parts.append(f"PARTITION BY {partition_text(use)}")
    if use.order:
        parts.append(f"ORDER BY {', '.join(use.order)}{TIES if ties else ''}")
    if frame:
        parts.append(frame)
    return f"OVER ({' '.join(parts)})"


def _shifted(
    checker: Checker, node: Tree, name: str, operands: list[Typed], use: WindowUse, over: str
) -> Typed:
    """LAG and LEAD."""
    where = checker.where
    if not 1 <= len(operands) <= 3:
        raise where.error(node, f"{name} takes a value, an offset and a default.", f"{name}(x, 1) OVER (…).")
    value, *others = operands
    if others and (not isinstance(others[0].value, int) or others[0].value < 0):
        raise where.error(node, f"The offset of {name} is a whole number.", f"{name}(x, 1) OVER (…).")
    nullable = True
    if len(others) == 2:
        [value, default], _ = scalars.unified(where, node, name, [value, others[1]])
        others = [others[0], default]
        nullable = value.nullable or default.nullable
    if value.type == NULL:
        raise where.error(node, f"{name} of NULL is not defined.")
    text = f"{name.lower()}({', '.join(one.sql for one in (value, *others))}) {over}"
    return _reading(Typed(text, value.type, nullable), use, [value, *others])


def _reading(
    typed: Typed, use: WindowUse, operands: Sequence[Typed], guards: Sequence[Guard] | None = None
) -> Typed:
    """A call that reads its operands; ``guards`` are theirs where they are not all evaluated."""
    refs = _refs(use).union(*(one.refs for one in operands))
    failing = failures_of(operands) if guards is None else guards
    return Typed(
        typed.raw, typed.type, typed.nullable, refs, guards=tuple(dict.fromkeys([*use.guards, *failing]))
    )


def _value(
    checker: Checker, node: exp.Window, call: Tree, use: WindowUse, entries: Sequence[exp.Ordered]
) -> Typed:
    """FIRST_VALUE and LAST_VALUE of a frame of ROWS, in which every row has its place."""
    name, where = use.function, checker.where
    spec = node.args.get("spec")
    if len(call.expressions) != 1:
        raise where.error(node, f"{name} takes one argument.")
    if (name == "LAST_VALUE" and spec is None) or (spec is not None and spec.args.get("kind") != "ROWS"):
        raise where.error(
            node,
            f"{name} wants a frame of ROWS: the last of several equal rows is not defined.",
            "Add ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW (or UNBOUNDED FOLLOWING).",
        )
    frame = "" if spec is None else _frame(checker, node, spec, entries)
    operand = checker.check(call.expressions[0])
    made = Typed(f"{name.lower()}({operand.sql}) {_over(use, ties=True, frame=frame)}", operand.type, True)
    return _reading(made, use, [operand])


def _frame(checker: Checker, node: Tree, spec: Tree, entries: Sequence[exp.Ordered]) -> str:
    kind = str(spec.args.get("kind") or "").upper()
    if kind not in ("ROWS", "RANGE") or spec.args.get("exclude"):
        raise checker.where.error(node, "A frame is ROWS or RANGE BETWEEN … AND ….")
    bounds = [
        _bound(checker, node, spec.args.get(which), spec.args.get(f"{which}_side"), kind, entries)
        for which in ("start", "end")
    ]
    return f"{kind} BETWEEN {bounds[0]} AND {bounds[1] or 'CURRENT ROW'}"


def _bound(
    checker: Checker, node: Tree, bound: object, side: object, kind: str, entries: Sequence[exp.Ordered]
) -> str:
    if bound is None:
        return ""
    if not isinstance(bound, Tree):
        return f"{bound} {side or ''}".strip().upper()
    typed = checker.check(bound)
    value = typed.value
    if kind == "RANGE" and isinstance(value, int):
        ordered = checker.check(entries[0].this).type if len(entries) == 1 else NULL
        if typed.type == INTERVAL_MICROSECONDS and ordered.name in ("TIMESTAMP", "TIMESTAMP_LTZ", "TIME"):
            return f"{value} {side}"
        if typed.type == INTERVAL_MICROSECONDS and ordered.name == "DATE" and value % DAY_US == 0:
            return f"{value // DAY_US} {side}"
        if typed.type.is_integer and ordered.is_integer:
            return f"{value} {side}"
        raise checker.where.error(
            node,
            "RANGE with a distance wants one ORDER BY column, whose type the distance has.",
            "An INTERVAL of days or less for timestamps, a whole number for integers.",
        )
    if not isinstance(value, int) or not typed.type.is_integer or value < 0:
        raise checker.where.error(
            node, "ROWS wants a whole number.", "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW."
        )
    return f"{value} {side}"


# -- aggregates --------------------------------------------------------------------------------------------------------


def _aggregate(
    checker: Checker, node: exp.Window, call: exp.Anonymous, use: WindowUse, entries: Sequence[exp.Ordered]
) -> Typed:
    condition = node.this.expression.this if isinstance(node.this, exp.Filter) else None
    if checker.is_grouped:
        raise checker.where.error(
            node,
            f"{use.function} OVER the groups of the same query is not supported.",
            "Group in a derived table, (SELECT … GROUP BY …) AS g, and use OVER above it.",
        )
    made = checker.read_aggregate(node, call, condition)
    if made.distinct or made.collected is not None:
        raise checker.where.error(
            node, "DISTINCT with OVER is not supported.", "Group in a derived table first."
        )
    spec = node.args.get("spec")
    frame = "" if spec is None else _frame(checker, node, spec, entries)
    over = _over(use, ties=frame.startswith("ROWS"), frame=frame)
    operands = [one for one in (made.argument, made.filter) if one is not None]
    return _reading(_aggregate_text(made, over), use, operands, of_argument(made.argument, made.filter))


def _aggregate_text(call: AggregateCall, over: str) -> Typed:
    """The aggregate by SQLite's own window functions; sums in two halves, so that they are exact."""
    kind = aggregate_type(call)
    value = "1" if call.argument is None else call.argument.sql
    if call.argument is not None and call.name in ("SUM", "AVG") and may_be_nan(call.argument):
        value = exact_operand(call.argument)
    if call.argument is not None and call.name in ("MIN", "MAX") and is_wide(kind):
        value = f"sl_wide_key({value})"
    if call.filter is not None:
        value = f"CASE WHEN {call.filter.sql} THEN {value} END"
    if call.name == "COUNT" or call.argument is None:
        return Typed(f"count({value}) {over}", kind, False)
    if call.name in ("MIN", "MAX"):
        text = f"{call.name.lower()}({value}) {over}"
        return Typed(f"sl_wide_unkey({text})" if is_wide(kind) else text, kind, True)
    form = "double" if kind.name in ("DOUBLE", "FLOAT") else "wide" if is_wide(kind) else ""
    if form:
        return Typed(f"sl_over_{call.name.lower()}_{form}({value}) {over}", kind, True)
    return Typed(_exact_sum(call, call.argument, kind, value, over), kind, True)


def _exact_sum(call: AggregateCall, argument: Typed, kind: SqlType, value: str, over: str) -> str:
    reason = f"{kind} overflow in {call.text}"
    some = f"count({value}) {over}"
    upper, lower = f"ifnull(sum(({value}) >> 32) {over}, 0)", f"ifnull(sum(({value}) & 4294967295) {over}, 0)"
    if call.name == "AVG":
        details = f"{average_shift(argument.type, kind)}, {literal_text(str(kind))}, {literal_text(reason)}"
        return f"sl_average({upper}, {lower}, {some}, {details})"
    high = f"({upper} + ({lower} >> 32))"
    total = f"(({high} << 32) + ({lower} & 4294967295))"
    fits = f"{high} BETWEEN -2147483648 AND 2147483647"
    if kind.is_scaled:
        limit = 10 ** (kind.precision or 0) - 1
        fits += f" AND {total} BETWEEN -{limit} AND {limit}"
    return f"CASE WHEN {some} = 0 THEN NULL WHEN {fits} THEN {total} ELSE {report(reason)} END"


# -- ties --------------------------------------------------------------------------------------------------------------


def ties(columns: Sequence[Typed]) -> str:
    """The rest of an ORDER BY, by which rows that tie are told apart."""
    return "".join(f", {one.sql}" for one in columns)


def tie_columns(scope: Scope) -> list[Typed]:
    """The columns by which rows that tie are told apart: of groups those of GROUP BY, else those that were asked for."""
    for item in scope.items:
        if item.name == GROUPS:
            names = [name for name in item.columns if name.startswith("_g")]
            scope.used.update((item.name, name) for name in names)
            return [item.columns[name] for name in names]
    return used_columns(scope)


def used_columns(scope: Scope) -> list[Typed]:
    """Columns of a scope that were asked for, in the order of its tables."""
    return [
        typed
        for item in scope.items
        for name, typed in item.columns.items()
        if (item.name, name) in scope.used
    ]


def resolved(columns: Sequence[tuple[str, Typed]], tie: str) -> list[tuple[str, Typed]]:
    """The columns with their ties filled in."""
    return [
        (name, replace(typed, raw=typed.raw.replace(TIES, tie)) if TIES in typed.raw else typed)
        for name, typed in columns
    ]
