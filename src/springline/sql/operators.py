"""Operators over typed expressions: arithmetic, comparison, logic, with Flink's meaning over our stored forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.core.types import BOOLEAN, DOUBLE, INT, STRING, SqlType, decimal, store
from springline.sql.dialect import Text, Tree
from springline.sql.guards import has_value, in_turn
from springline.sql.typed import (
    DAY_US,
    INTEGER_DIGITS,
    INTERVAL_MICROSECONDS,
    INTERVAL_MONTHS,
    NULL,
    Guard,
    Typed,
    adopt,
    as_decimal,
    as_double,
    as_wide,
    capped,
    chain,
    coerce,
    common_type,
    derived,
    describe,
    exact_operand,
    is_wide,
    literal_text,
    moved_to_scale,
    not_nan,
    null_of,
    report,
    rescaled,
)

COMPARISONS: Final[Mapping[type[Tree], str]] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
ARITHMETIC: Final[Mapping[type[Tree], str]] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}

_DOUBLE_FUNCTIONS = {
    "+": "sl_add",
    "-": "sl_subtract",
    "*": "sl_multiply",
    "/": "sl_divide",
    "%": "sl_remainder",
}


def comparable(where: Text, node: Tree, operands: list[Typed]) -> list[Typed]:
    """The operands brought to one type, in which SQLite compares them as Flink does."""
    types = [one.type for one in operands]
    if any(one.is_temporal for one in types):
        operands = [_temporal_text(where, node, one, types) for one in operands]
        types = [one.type for one in operands]
    known = [one for one in types if one != NULL]
    if len(set(known)) <= 1:
        operands = [adopt(one, known[0]) if known and one.type == NULL else one for one in operands]
        return [_comparison_key(one) for one in operands]
    target = common_type(types)
    if target is None:
        listed = " and ".join(dict.fromkeys(map(describe, types)))
        raise where.error(node, f"{listed} cannot be compared.", "CAST one side to the other's type.")
    if target.name == "DECIMAL" and not any(is_wide(one) for one in types):
        scale = max(one.scale or 0 for one in types)
        return [
            replace(derived(moved_to_scale(one, scale), target, [one]), column=_same(one, scale))
            for one in operands
        ]
    if target == DOUBLE and all(not is_wide(one) and not one.is_scaled for one in types):
        return operands  # SQLite compares INTEGER with REAL exactly.
    brought = [coerce(one, target) for one in operands]
    return [_comparison_key(one) for one in brought if one is not None]


def _same(typed: Typed, scale: int) -> tuple[str, str] | None:
    return typed.column if (typed.type.scale or 0) == scale else None


def _comparison_key(typed: Typed) -> Typed:
    """Texts of wide DECIMALs ('1.5', '1.50') are compared through a key that sorts and equals as their values do."""
    if is_wide(typed.type):
        return derived(f"sl_wide_key({typed.sql})", typed.type, [typed])
    return typed


def _temporal_text(where: Text, node: Tree, typed: Typed, types: list[SqlType]) -> Typed:
    """A string literal or parameter beside a date or timestamp is read as one, as in Flink."""
    if typed.type != STRING or not (typed.constant or typed.parameter):
        return typed
    target = next(one for one in types if one.is_temporal)
    if typed.constant:
        try:
            return Typed(str(store(str(typed.value).strip(), target)), target, False, constant=True)
        except ValueError as error:
            raise where.error(
                node, f"{typed.value!r} is not a {target}.", "Write it as '2026-01-31 23:59:59'."
            ) from error
    return derived(
        f"sl_parse_temporal({typed.sql}, {literal_text(target.name)})", target, [typed], nullable=True
    )


def compare(where: Text, node: Tree, operator: str, left: Typed, right: Typed) -> Typed:
    """``=``, ``<>``, ``<`` … ; also ``IS`` and ``IS NOT`` for [NOT] DISTINCT FROM."""
    one, other = comparable(where, node, [left, right])
    distinct = operator in ("IS", "IS NOT")
    if any(part.type.element is not None for part in (one, other)) and operator not in (
        "=",
        "<>",
        "IS",
        "IS NOT",
    ):
        raise where.error(node, "Arrays have no order.")
    nullable = not distinct and (left.nullable or right.nullable)
    made = derived(f"({one.sql} {operator} {other.sql})", BOOLEAN, [one, other], nullable=nullable)
    return replace(made, test=operator, parts=(one, other)) if operator not in ("<>", "IS NOT") else made


def logical(where: Text, node: Tree, operator: str, operands: list[Typed]) -> Typed:
    for operand in operands:
        if operand.type not in (BOOLEAN, NULL):
            raise where.error(
                node,
                f"{operator} wants BOOLEAN, not {describe(operand.type)}.",
                "Write a comparison, such as x <> 0.",
            )
    if operator == "NOT":
        return derived(f"(NOT {operands[0].sql})", BOOLEAN, operands)
    made = derived(chain(f" {operator} ", [one.sql for one in operands]), BOOLEAN, operands)
    return replace(made, guards=in_turn(operands, stop="1" if operator == "OR" else "0"))


def negate(where: Text, node: Tree, operand: Typed) -> Typed:
    kind = operand.type
    if operand.constant and isinstance(operand.value, int) and kind.is_integer:
        smallest = operand.value == 2**31
        return replace(
            operand, raw=f"(-{operand.raw})", value=-operand.value, type=INT if smallest else operand.type
        )
    if operand.constant and operand.value == 0:
        return operand
    if kind.name in ("DOUBLE", "FLOAT"):
        return derived(f"sl_negate({operand.sql})", kind, [operand])
    if is_wide(kind):
        return derived(f"sl_wide_arithmetic('-', '0', {operand.sql})", kind, [operand])
    if kind.is_integer or kind.is_scaled:
        made = derived(f"(-{exact_operand(operand)})", kind, [not_nan(operand)], nullable=True)
        return replace(made, unchecked=f"{kind} overflow in {where.quote(node)}")
    if kind in (INTERVAL_MICROSECONDS, INTERVAL_MONTHS):
        return derived(f"(-{operand.sql})", kind, [operand])
    raise where.error(node, f"{describe(kind)} has no negative.")


def arithmetic(where: Text, node: Tree, operator: str, left: Typed, right: Typed) -> Typed:
    """``+ - * / %``. Overflow and division by zero of exact numbers are failures (Flink fails or wraps around)."""
    intervals = (INTERVAL_MICROSECONDS, INTERVAL_MONTHS)
    if left.type.is_temporal or right.type.is_temporal or left.type in intervals or right.type in intervals:
        return _temporal(where, node, operator, left, right)
    for operand in (left, right):
        if not operand.type.is_numeric and operand.type != NULL:
            raise where.error(
                node,
                f"{operator} wants numbers, not {describe(operand.type)}.",
                "Use || to join strings, or CAST to a number." if operand.type == STRING else None,
            )
    if left.type == NULL and right.type == NULL:
        return null_of(NULL)
    left, right = (
        adopt(one, other.type) if one.type == NULL else one for one, other in ((left, right), (right, left))
    )
    if "DOUBLE" in (left.type.name, right.type.name) or "FLOAT" in (left.type.name, right.type.name):
        function = _DOUBLE_FUNCTIONS[operator]
        return derived(f"{function}({as_double(left)}, {as_double(right)})", DOUBLE, [left, right])
    if is_wide(left.type) or is_wide(right.type):
        reason = literal_text(f"in {where.quote(node)}")
        text = f"sl_wide_arithmetic('{operator}', {as_wide(left)}, {as_wide(right)}, {reason})"
        made = derived(text, decimal(), [left, right], nullable=True)
        failed = (
            "division by zero, or arithmetic with infinity,"
            if operator in "/%"
            else "arithmetic with infinity"
        )
        return replace(
            made,
            guards=(
                *made.guards,
                has_value(text, [left, right], literal_text(f"{failed} in {where.quote(node)}")),
            ),
        )
    if left.type.name == "DECIMAL" or right.type.name == "DECIMAL":
        return _exact(where, node, operator, left, right)
    return _integers(where, node, operator, left, right)


def _integers(where: Text, node: Tree, operator: str, left: Typed, right: Typed) -> Typed:
    kind = max(left.type, right.type, key=lambda one: INTEGER_DIGITS[one.name])
    overflow = f"{kind} overflow in {where.quote(node)}"
    if operator in "+-*":
        # A chain is checked once, at its end.
        unchecked = [replace(one, unchecked=None) for one in (left, right)]
        made = derived(f"({left.raw} {operator} {right.raw})", kind, unchecked, nullable=True)
        return replace(made, unchecked=overflow)
    text = f"({left.sql} {operator} {right.sql})"
    if right.constant and isinstance(right.value, int) and right.value not in (0, -1):
        return derived(text, kind, [left, right])
    made = _divided(where, node, text, kind, left, right)
    return replace(made, unchecked=overflow) if operator == "/" else made


def _divided(where: Text, node: Tree, text: str, kind: SqlType, left: Typed, right: Typed) -> Typed:
    """A quotient or remainder of integers. NULL divided by zero is NULL: Flink looks at NULLs first."""
    reason = f"division by zero in {where.quote(node)}"
    is_zero = f"{right.sql} = 0" + (f" AND {left.sql} IS NOT NULL" if left.nullable else "")
    made = derived(
        f"CASE WHEN {is_zero} THEN {report(reason)} ELSE {text} END", kind, [left, right], nullable=True
    )
    holds = f"(({is_zero}) IS NOT 1)" if left.nullable or right.nullable else f"({right.sql} <> 0)"
    return replace(made, guards=(*made.guards, Guard(holds, literal_text(reason), made.refs)))


def _exact(where: Text, node: Tree, operator: str, left: Typed, right: Typed) -> Typed:
    """Two DECIMALs or a DECIMAL and an integer. Result types are Flink's, within 18 digits."""
    left, right = not_nan(left), not_nan(right)
    one, other = as_decimal(left.type), as_decimal(right.type)
    assert one is not None
    assert other is not None
    p1, s1, p2, s2 = one.precision or 0, one.scale or 0, other.precision or 0, other.scale or 0
    quoted = where.quote(node)
    guards: tuple[Guard, ...] = ()
    if operator in "+-":
        scale = max(s1, s2)
        kind = capped(max(p1 - s1, p2 - s2) + scale + 1, scale)
        text = f"({rescaled(left, scale)} {operator} {rescaled(right, scale)})"
        if (kind.scale or 0) < scale:
            text = divided_half_up(text, 10 ** (scale - (kind.scale or 0)))
    elif operator == "*":
        kind = capped(p1 + p2 + 1, s1 + s2)
        text = f"({exact_operand(left)} * {exact_operand(right)})"
        if (kind.scale or 0) < s1 + s2:
            text = f"sl_scaled_multiply({left.sql}, {right.sql}, {s1 + s2 - (kind.scale or 0)})"
    elif operator == "/":
        scale = max(6, s1 + p2 + 1)
        kind = capped(p1 - s1 + s2 + scale, scale)
        shift = (kind.scale or 0) - s1 + s2
        text = f"sl_scaled_divide({left.sql}, {right.sql}, {shift}, {literal_text(f'in {quoted}')})"
        guards = _not_zero(quoted, left, right)
    else:
        scale = max(s1, s2)
        kind = capped(min(p1 - s1, p2 - s2) + scale, scale)
        text = f"({rescaled(left, scale)} % {rescaled(right, scale)})"
        text = f"CASE WHEN {right.sql} = 0 THEN {report(f'division by zero in {quoted}')} ELSE {text} END"
        guards = _not_zero(quoted, left, right)
    made = derived(text, kind, [left, right], nullable=True)
    return replace(made, unchecked=f"{kind} overflow in {quoted}", guards=(*made.guards, *guards))


def _not_zero(quoted: str, left: Typed, right: Typed) -> tuple[Guard, ...]:
    if right.constant and right.value:
        return ()
    missing = f" OR {left.sql} IS NULL" if left.nullable else ""
    holds = f"(ifnull({right.sql} <> 0, 1){missing})"
    return (Guard(holds, literal_text(f"division by zero in {quoted}"), left.refs | right.refs),)


def divided_half_up(text: str, divisor: int) -> str:
    """An integer divided and rounded half away from zero."""
    half = divisor // 2
    return (
        f"CASE WHEN {text} < 0 THEN -((-{text} + {half}) / {divisor}) ELSE ({text} + {half}) / {divisor} END"
    )


def _interval(operator: str, left: Typed, right: Typed, kind: SqlType) -> Typed:
    made = derived(f"({left.sql} {operator} {right.sql})", kind, [left, right])
    if not (left.constant and right.constant):
        return made
    one, other = int(str(left.value)), int(str(right.value))
    value = {"+": one + other, "-": one - other, "*": one * other}[operator]
    return replace(made, raw=f"({value})", constant=True, value=value)


def _temporal(where: Text, node: Tree, operator: str, left: Typed, right: Typed) -> Typed:
    """Dates and timestamps plus or minus intervals; intervals with intervals, or times a whole number."""
    intervals = (INTERVAL_MICROSECONDS, INTERVAL_MONTHS)
    if operator in "+-" and left.type == right.type and left.type in intervals:
        return _interval(operator, left, right, left.type)
    if operator == "*" and left.type.is_integer and right.type in intervals:
        left, right = right, left
    if operator == "*" and left.type in intervals and right.type.is_integer:
        return _interval(operator, left, right, left.type)
    if operator == "+" and right.type.is_temporal:
        left, right = right, left
    kind = left.type
    if not kind.is_temporal or operator not in "+-" or right.type.is_temporal:
        raise where.error(
            node,
            f"{describe(left.type)} {operator} {describe(right.type)} is not defined.",
            "Use TIMESTAMPDIFF(unit, earlier, later) for a difference, and timestamp + INTERVAL '1' DAY to move one.",
        )
    if right.type == INTERVAL_MONTHS and kind.name != "TIME":
        months = right.sql if operator == "+" else f"(-{right.sql})"
        unit = "DAY" if kind.name == "DATE" else "MICROSECOND"
        return derived(f"sl_add_months({left.sql}, {months}, '{unit}')", kind, [left, right], nullable=True)
    if right.type != INTERVAL_MICROSECONDS:
        raise where.error(
            node,
            f"{kind} {operator} {describe(right.type)} is not defined.",
            "Add an interval: + INTERVAL '1' DAY.",
        )
    if kind.name == "DATE":
        if not isinstance(right.value, int) or right.value % DAY_US:
            raise where.error(node, "A DATE moves by whole days.", "CAST the DATE to TIMESTAMP first.")
        finite = f"{left.sql} BETWEEN -99999999 AND 99999999"
        later = f"{left.sql} {operator} {right.value // DAY_US}"
        return derived(f"CASE WHEN {finite} THEN {later} ELSE {left.sql} END", kind, [left, right])
    if kind.name == "TIME":
        return derived(
            f"((({left.sql} {operator} {right.sql}) % {DAY_US}) + {DAY_US}) % {DAY_US}", kind, [left, right]
        )
    # Infinite timestamps stay infinite.
    later, finite = f"{left.sql} {operator} {right.sql}", f"BETWEEN -{10**18} AND {10**18}"
    if right.constant:
        return derived(f"CASE WHEN {left.sql} {finite} THEN {later} ELSE {left.sql} END", kind, [left, right])
    stays = f"CASE WHEN {right.sql} IS NOT NULL THEN {left.sql} END"
    moved = f"CASE WHEN {left.sql} NOT {finite} THEN {stays} WHEN {later} {finite} THEN {later} END"
    return derived(moved, kind, [left, right], nullable=True)
