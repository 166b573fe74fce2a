"""The Python functions that generated SQL calls, and their registration on a connection.

Integers and scaled DECIMALs are handled by SQLite's own operators; these are called once for a row only for doubles, wide
DECIMALs, strings and casts, or once for a group. All are pure. ``sl_error`` is the exception: it reports a value that could
not be computed (overflow, division by zero, a failed CAST) to ``on_error`` and is NULL.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Decimal,
    DivisionByZero,
    InvalidOperation,
)
from typing import Any

import apsw

from springline.core.types import Stored, parse_type
from springline.sql.aggregate_functions import register_ordered_aggregates
from springline.sql.array_functions import ARRAY_FUNCTIONS_WITH_NULLS
from springline.sql.exact import (
    WIDE,
    DoubleSum,
    average,
    half_up,
    merge_packed,
    packed_average,
    packed_value,
    wide_average,
    wide_key,
    wide_sum_text,
    wide_text,
    wide_unkey,
)
from springline.sql.failures import FAILURE_FUNCTIONS, confined, parsed
from springline.sql.json_functions import JSON_FUNCTIONS_WITH_NULLS
from springline.sql.over_functions import register_over_functions
from springline.sql.string_functions import elt
from springline.sql.text_functions import TEXT_FUNCTIONS
from springline.sql.user_functions import Functions, register_user_functions

ErrorHook = Callable[[str], None]
"""Called with the reason whenever an expression has no value."""


MOST_REASONS = 1_000
_logger = logging.getLogger("springline.sql")


class _Errors:
    """Hands reasons to the hook; without one, each goes to the log once for each connection."""

    def __init__(self, hook: ErrorHook | None) -> None:
        self._hook = hook
        self._logged: set[str] = set()

    def report(self, reason: str) -> None:
        if self._hook is not None:
            self._hook(reason)
        elif reason not in self._logged and len(self._logged) < MOST_REASONS:
            self._logged.add(reason)
            _logger.warning("a value is NULL because it cannot be computed: %s", reason)


def _double(stored: float | int | str) -> float:
    return math.nan if isinstance(stored, str) else float(stored)


def _stored(value: float) -> float | str:
    return "NaN" if value != value else value


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL where an argument is NULL."""

    def call(*arguments: Any) -> Any:
        return None if None in arguments else function(*arguments)

    return call


def _add(one: float | str, other: float | str) -> float | str:
    return _stored(_double(one) + _double(other))


def _subtract(one: float | str, other: float | str) -> float | str:
    return _stored(_double(one) - _double(other))


def _multiply(one: float | str, other: float | str) -> float | str:
    return _stored(_double(one) * _double(other))


def _divide(one: float | str, other: float | str) -> float | str:
    """IEEE division, as in Java: x / 0 is infinite, 0 / 0 is NaN."""
    left, right = _double(one), _double(other)
    if right == 0:
        if left == 0 or math.isnan(left):
            return "NaN"
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    return _stored(left / right)


def _remainder(one: float | str, other: float | str) -> float | str:
    left, right = _double(one), _double(other)
    if right == 0 or math.isinf(left) or left != left or right != right:
        return "NaN"
    return math.fmod(left, right)


def _power(one: float | str, other: float | str) -> float | str:
    try:
        return _stored(math.pow(_double(one), _double(other)))
    except OverflowError:
        return math.inf if _double(one) > 0 or _double(other) % 2 == 0 else -math.inf
    except ValueError:
        return math.inf if _double(one) == 0 else "NaN"


def _math(name: str, stored: float | str) -> float | str:
    value = _double(stored)
    if value != value:
        return "NaN"
    if name == "sign":
        return 0.0 if value == 0 else math.copysign(1.0, value)
    if name in ("floor", "ceil", "ceiling"):
        if math.isinf(value):
            return value
        return float(math.floor(value) if name == "floor" else math.ceil(value))
    if value == 0 and name.startswith("log"):
        return -math.inf
    if name == "cot":
        return math.inf if value == 0 else 1 / math.tan(value)
    try:
        return float(getattr(math, name)(value))
    except OverflowError:
        return math.inf
    except ValueError:
        return "NaN"


_ROUNDING = {
    "round": ROUND_HALF_UP,
    "truncate": ROUND_DOWN,
    "floor": ROUND_FLOOR,
    "ceil": ROUND_CEILING,
    "ceiling": ROUND_CEILING,
}


def _round(stored: float | str, digits: int, mode: str) -> float | str:
    value = _double(stored)
    if not math.isfinite(value):
        return _stored(value)
    return float(Decimal(repr(value)).quantize(_unit(digits), _ROUNDING[mode], WIDE))


def _unit(digits: int) -> Decimal:
    """What a number is rounded to a multiple of. No double, and no DECIMAL of ours, has more digits before or after its point."""
    return Decimal(1).scaleb(-min(max(digits, -1_000), 1_000))


def _wide_round(text: str, digits: int, mode: str) -> str | None:
    number = Decimal(text)
    if not number.is_finite():
        return text
    return wide_text(number.quantize(_unit(digits), _ROUNDING[mode], WIDE))


def _wide(stored: int | str, scale: int) -> str:
    return stored if isinstance(stored, str) else wide_text(Decimal(stored).scaleb(-scale, WIDE))


def _wide_extreme(name: str, *texts: str) -> str:
    return (max if name == "GREATEST" else min)(texts, key=wide_key)


def _negate(one: float | str) -> float | str:
    return _stored(-_double(one))


def _log(base: float | str, value: float | str | None = None) -> float | str:
    """LOG(x), and LOG(base, x) as the quotient of two natural logarithms."""
    if value is None:
        return _math("log", base)
    return _divide(_math("log", value), _math("log", base))


def _atan2(one: float | str, other: float | str) -> float | str:
    return _stored(math.atan2(_double(one), _double(other)))


def _scaled_multiply(one: int, other: int, down: int) -> int | float:
    return _within(half_up(one * other, 10**down))


def _wide_to_double(text: str) -> float | str:
    return _stored(float(text))


def _wide_merge(one: str, other: str) -> str:
    return wide_sum_text(WIDE.add(Decimal(one), Decimal(other)))


def _within(number: int) -> int | float:
    """Beyond 64 bits it becomes a REAL, which the surrounding range check reports."""
    return number if -(2**63) <= number < 2**63 else float(number)


class _IntegerSum:
    """SUM and AVG of integers and scaled DECIMALs over plain rows, for whole queries."""

    def __init__(self) -> None:
        self.total = 0
        self.count = 0

    def step(self, value: Any, *_: Any) -> None:
        if isinstance(value, int):
            self.total += value
            self.count += 1


class _DoubleSum:
    """SUM and AVG of doubles over plain rows. ``math.fsum``, so that it is not the code that maintains views."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def step(self, value: Any, *_: Any) -> None:
        if value is not None:
            self.values.append(_double(value))

    def sum(self) -> float | str:
        try:
            return _stored(math.fsum(self.values))
        except ValueError:
            return "NaN"
        except OverflowError:
            exact = DoubleSum()
            for value in self.values:
                exact.add(_stored(value))
            return exact.value()


class _WideSum:
    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    def step(self, value: Any, weight: int = 1) -> None:
        if value is not None and value not in ("NaN", "Infinity", "-Infinity"):
            self.total = WIDE.add(self.total, WIDE.multiply(Decimal(value), Decimal(weight)))
            self.count += weight


class _PackedSum:
    """The weighted sum of doubles of a delta, packed. NULLs do not count."""

    def __init__(self) -> None:
        self.sum = DoubleSum()

    def step(self, value: Any, weight: int = 1) -> None:
        if value is not None:
            self.sum.add(value, weight)


def _integer_result(
    state: _IntegerSum, type_: str, reason: str, errors: _Errors, *, average_shift: int | None
) -> Stored:
    if not state.count:
        return None
    total = state.total
    if average_shift is not None:
        total = average(total, state.count, average_shift)
    return _fitting(total, type_, reason, errors)


def _fitting(number: int, type_: str, reason: str, errors: _Errors) -> int | None:
    kind = parse_type(type_)
    limit = (
        10 ** (kind.precision or 0)
        if kind.is_scaled
        else {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}[type_]
    )
    if -limit <= number < limit and not (kind.is_scaled and number == -limit):
        return number
    errors.report(reason)
    return None


def _register_aggregates(connection: apsw.Connection, errors: _Errors) -> None:
    def exact(shift_given: bool) -> Callable[[], tuple[Any, Any, Any]]:
        def factory() -> tuple[Any, Any, Any]:
            state = _IntegerSum()
            details: list[Any] = []

            def step(_: Any, value: Any, *rest: Any) -> None:
                if not details:
                    details.extend(rest)
                state.step(value)

            def final(_: Any) -> Stored:
                if not details:
                    return None
                shift = details[2] if shift_given else None
                return _integer_result(state, details[0], details[1], errors, average_shift=shift)

            return (None, step, final)

        return factory

    connection.create_aggregate_function("sl_sum", exact(False), 3)
    connection.create_aggregate_function("sl_avg", exact(True), 4)
    connection.create_aggregate_function(
        "sl_sum_double", _aggregate(_DoubleSum, lambda one: one.sum() if one.values else None)
    )
    connection.create_aggregate_function("sl_avg_double", _aggregate(_DoubleSum, _double_average))
    connection.create_aggregate_function(
        "sl_sum_wide", _aggregate(_WideSum, lambda one: wide_sum_text(one.total) if one.count else None)
    )
    connection.create_aggregate_function(
        "sl_avg_wide",
        _aggregate(
            _WideSum, lambda one: wide_average(wide_sum_text(one.total), one.count) if one.count else None
        ),
    )
    connection.create_aggregate_function("sl_pack", _aggregate(_PackedSum, lambda one: one.sum.pack()))
    connection.create_aggregate_function(
        "sl_pack_wide", _aggregate(_WideSum, lambda one: wide_sum_text(one.total))
    )


def _double_average(state: _DoubleSum) -> float | str | None:
    if not state.values:
        return None
    total = state.sum()
    return total if isinstance(total, str) else total / len(state.values)


def _aggregate(make: Callable[[], Any], result: Callable[[Any], Any]) -> Callable[[], tuple[Any, Any, Any]]:
    def factory() -> tuple[Any, Any, Any]:
        return make(), step, result

    def step(state: Any, *arguments: Any) -> None:
        state.step(*arguments)

    return factory


def register_functions(
    connection: apsw.Connection, *, on_error: ErrorHook | None = None, functions: Functions | None = None
) -> None:
    """Makes the functions of generated SQL known to a connection; every connection that runs such SQL needs it once.

    ``on_error`` hears why an expression became NULL, again each time it is computed. Without it each reason is logged once.
    ``functions``: the application's own.
    """
    errors = _Errors(on_error)

    def error(reason: str) -> None:
        errors.report(reason)

    def not_unique(view: str, key: str) -> None:
        raise apsw.ConstraintError(f"view {view!r} has two rows with the same key ({key})")

    def parse(value: Stored, type_: str, reason: str) -> Stored:
        if value is None:
            return None
        made = parsed(value, type_)
        if made is None and reason:
            errors.report(reason)
        return made

    def scaled_divide(one: Any, other: Any, shift: int, reason: str) -> int | float | None:
        if one is None or other is None:
            return None
        if other == 0 or isinstance(one, str) or isinstance(other, str):
            errors.report(f"division by zero {reason}" if other == 0 else f"NaN {reason}")
            return None
        return _within(half_up(one * 10**shift, other) if shift >= 0 else half_up(one, other * 10**-shift))

    def wide_arithmetic(operator: str, one: Any, other: Any, reason: str = "") -> str | None:
        if one is None or other is None:
            return None
        try:
            return wide_text(_WIDE_OPERATORS[operator](Decimal(one), Decimal(other)))
        except (InvalidOperation, DivisionByZero):
            errors.report(f"division by zero {reason}")
            return None

    def average_exact(high: int, low: int, count: int, shift: int, type_: str, reason: str) -> int | None:
        if not count:
            return None
        return _fitting(average((high << 32) + low, count, shift), type_, reason, errors)

    def scalar(name: str, function: Callable[..., Any], count: int, *, deterministic: bool = False) -> None:
        whole = confined(name, function, errors.report)
        connection.create_scalar_function(name, whole, count, deterministic=deterministic)

    connection.create_scalar_function("sl_error", error, 1)
    connection.create_scalar_function("sl_not_unique", not_unique, 2)
    scalar("sl_parse", parse, 3, deterministic=True)
    for name, function in FAILURE_FUNCTIONS.items():
        scalar(name, function, -1, deterministic=True)
    scalar("sl_scaled_divide", scaled_divide, 4)
    scalar("sl_wide_arithmetic", wide_arithmetic, -1)
    scalar("sl_average", average_exact, 6)
    for name, function in {**_PURE, **TEXT_FUNCTIONS}.items():
        scalar(name, _strict(function), -1, deterministic=True)
    scalar("sl_elt", elt, -1, deterministic=True)
    for name, function in {**ARRAY_FUNCTIONS_WITH_NULLS, **JSON_FUNCTIONS_WITH_NULLS}.items():
        scalar(name, function, -1, deterministic=True)
    scalar("sl_succeeds", succeeds, -1, deterministic=True)
    _register_aggregates(connection, errors)
    register_ordered_aggregates(connection, errors.report)
    if functions is not None:
        register_user_functions(connection, functions, errors.report)
    register_over_functions(connection, wide_average)


def succeeds(name: str, *arguments: Any) -> int:
    """Whether a function, called by its name, gives a value or NULL and does not fail."""
    strict = TEXT_FUNCTIONS.get(name)
    if strict is not None and None in arguments:
        return 1
    try:
        (strict or JSON_FUNCTIONS_WITH_NULLS[name])(*arguments)
    except ValueError:
        return 0
    return 1


def _wide_divide(one: Decimal, other: Decimal) -> Decimal:
    """Sixteen digits after the point, or as many as the operands have."""
    if not (one.is_finite() and other.is_finite()):
        return Decimal("NaN")
    digits = max(16, *(-int(number.as_tuple().exponent) for number in (one, other)))
    return WIDE.divide(one, other).quantize(Decimal(1).scaleb(-digits), context=WIDE)


def _wide_remainder(one: Decimal, other: Decimal) -> Decimal:
    return WIDE.remainder(one, other)


_WIDE_OPERATORS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": WIDE.add,
    "-": WIDE.subtract,
    "*": WIDE.multiply,
    "/": _wide_divide,
    "%": _wide_remainder,
}

_PURE: dict[str, Callable[..., Any]] = {
    "sl_add": _add,
    "sl_subtract": _subtract,
    "sl_multiply": _multiply,
    "sl_divide": _divide,
    "sl_remainder": _remainder,
    "sl_negate": _negate,
    "sl_power": _power,
    "sl_atan2": _atan2,
    "sl_log": _log,
    "sl_math": _math,
    "sl_round": _round,
    "sl_scaled_multiply": _scaled_multiply,
    "sl_wide": _wide,
    "sl_wide_to_double": _wide_to_double,
    "sl_wide_key": wide_key,
    "sl_wide_unkey": wide_unkey,
    "sl_wide_extreme": _wide_extreme,
    "sl_wide_round": _wide_round,
    "sl_wide_merge": _wide_merge,
    "sl_wide_average": wide_average,
    "sl_merge": merge_packed,
    "sl_packed_value": packed_value,
    "sl_packed_average": packed_average,
}
