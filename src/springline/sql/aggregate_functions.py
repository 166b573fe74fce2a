"""The aggregates whose values come from all values of a group together, in order: LISTAGG, ARRAY_AGG, PERCENTILE …

Each takes (value, n, …) once for each distinct value or entry (``entries.py``) of a group, ``n`` being how many rows have it. The
generated SQL of a view reads them from the group's table; a whole query gives every row with 1. What is handed over is sorted
here, so that the result depends on nothing but the rows.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import apsw

from springline.core.types import SqlType, Stored, load, parse_type, render
from springline.sql.entries import entry, entry_values
from springline.sql.exact import WIDE, DoubleSum, average, half_up, wide_average, wide_sum_text
from springline.sql.failures import confined
from springline.sql.json_functions import json_part, json_text
from springline.sql.typed import INTEGER_RANGES

Counted = tuple[Any, int]


class _Collected:
    """Values and how often each is there."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.details: tuple[Any, ...] = ()

    def step(self, value: Any, count: int, *details: Any) -> None:
        self.details = details
        if value is not None:
            self.counts[value] = self.counts.get(value, 0) + count

    def sorted(self) -> list[Counted]:
        return sorted(((value, count) for value, count in self.counts.items() if count > 0), key=_position)


def _position(counted: Counted) -> tuple[bool, Any]:
    """NaN, which is kept as a text, is above every number."""
    value = counted[0]
    return value == "NaN", 0 if value == "NaN" else value


def _repeated(values: Sequence[Counted]) -> Iterator[Any]:
    for value, count in values:
        for _ in range(count):
            yield value


def _last_part(value: Any, directions: str) -> Any:
    """The value itself, or what stands last in an entry."""
    return entry_values(value, directions)[-1] if directions else value


def _distinct(values: Sequence[Counted], directions: str) -> list[Counted]:
    """Each last part once, in the order of its first appearance."""
    return [(value, 1) for value in dict.fromkeys(_last_part(one, directions) for one, _ in values)]


def _parts(values: Sequence[Counted], directions: str, distinct: int) -> Iterator[Any]:
    if distinct:
        return (value for value, _ in _distinct(values, directions))
    return (_last_part(value, directions) for value in _repeated(values))


def _listagg(values: list[Counted], directions: str, distinct: int, separator: str) -> str | None:
    parts = [str(part) for part in _parts(values, directions, distinct)]
    return separator.join(parts) if parts else None


def _array_agg(values: list[Counted], directions: str, distinct: int, type_: str) -> str | None:
    kind = parse_type(type_)
    parts = [render(part, kind) for part in _parts(values, directions, distinct)]
    return json.dumps(parts, ensure_ascii=False) if parts else None


def _first(values: list[Counted], directions: str) -> Stored:
    return _last_part(values[0][0], directions) if values else None


def _last(values: list[Counted], directions: str) -> Stored:
    return _last_part(values[-1][0], directions) if values else None


def _percentile(
    values: list[Counted], directions: str, type_: str, wanted: float | str
) -> float | str | None:
    """The value below which a share of the values lies, interpolated between neighbours: Flink's PERCENTILE. An entry's last two
    parts are the value and its frequency."""
    numbers: list[tuple[float, int]] = []
    kind = parse_type(type_)
    for value, count in values:
        times = 1
        if directions:
            *_, value, times = entry_values(value, directions)
        if value is not None and isinstance(times, int) and times > 0:
            number: Any = load(value, kind)
            numbers.append((float(number), count * times))
    if not numbers:
        return None
    if isinstance(wanted, str):
        return json.dumps([_shown(_interpolated(numbers, float(share))) for share in json.loads(wanted)])
    made = _interpolated(numbers, float(wanted))
    return "NaN" if made != made else made


def _shown(value: float) -> float | str:
    rendered = render("NaN" if value != value else value, parse_type("DOUBLE"))
    assert isinstance(rendered, float | str)
    return rendered


def _interpolated(numbers: list[tuple[float, int]], share: float) -> float:
    numbers = sorted(numbers, key=lambda one: (one[0] != one[0], one[0]))
    place = share * (sum(count for _, count in numbers) - 1)
    lower, upper = _at(numbers, math.floor(place)), _at(numbers, math.ceil(place))
    if lower == upper:
        return lower
    return (math.ceil(place) - place) * lower + (place - math.floor(place)) * upper


def _at(numbers: list[tuple[float, int]], place: int) -> float:
    for number, count in numbers:
        if place < count:
            return number
        place -= count
    return numbers[-1][0]


def _json_array(values: list[Counted], directions: str, type_: str, absent: int) -> str:
    kind = parse_type(type_)
    parts = [_last_part(value, directions) for value in _repeated(values)]
    return json_text([json_part(part, kind) for part in parts if part is not None or not absent])


def _json_object(values: list[Counted], directions: str, type_: str, absent: int) -> str | None:
    """Of several values of one name the last one stays. Names come in the order of their text."""
    kind = parse_type(type_)
    made: dict[str, Any] = {}
    for value, _ in values:
        *_, name, part = entry_values(value, directions)
        if part is not None or not absent:
            made[str(name)] = json_part(part, kind)
    return json_text(dict(sorted(made.items()))) if values else None


def _sum_distinct(values: list[Counted], report: Callable[[str], None], details: Sequence[Any]) -> Stored:
    """SUM or AVG of each value once."""
    directions, name, source, kind, shift, reason = details
    parts = [_last_part(value, directions) for value, _ in values]
    from_type, to_type = parse_type(source), parse_type(kind)
    if not parts:
        return None
    if from_type.name in ("DOUBLE", "FLOAT"):
        exact = DoubleSum()
        for part in parts:
            exact.add(part)
        total = exact.value()
        return total if name == "SUM" or isinstance(total, str) else total / len(parts)
    if not (from_type.is_scaled or from_type.is_integer):
        finite = [Decimal(part) for part in parts if part not in ("NaN", "Infinity", "-Infinity")]
        wide = Decimal(0)
        for part in finite:
            wide = WIDE.add(wide, part)
        if not finite:
            return None
        return wide_sum_text(wide) if name == "SUM" else wide_average(wide_sum_text(wide), len(finite))
    whole = [part for part in parts if isinstance(part, int)]
    if not whole:
        return None
    made = sum(whole) if name == "SUM" else average(sum(whole), len(whole), shift)
    if not within(made, to_type):
        report(reason)
        return None
    return made


def within(number: int, type_: SqlType) -> bool:
    """Whether an integer, or a scaled DECIMAL's, is in the range of its type."""
    if type_.is_scaled:
        return abs(number) < 10 ** (type_.precision or 0)
    limit: int = INTEGER_RANGES[type_.name]
    return -limit <= number < limit


_ORDERED: dict[str, Callable[..., Stored]] = {
    "sl_listagg": _listagg,
    "sl_array_agg": _array_agg,
    "sl_first": _first,
    "sl_last": _last,
    "sl_percentile": _percentile,
    "sl_json_arrayagg": _json_array,
    "sl_json_objectagg": _json_object,
}


class _Squares:
    """The weighted sum of the squares of a delta, packed."""

    def __init__(self) -> None:
        self.sum = DoubleSum()

    def step(self, value: Any, weight: int = 1) -> None:
        if value is not None:
            self.sum.add_square(value, weight)


class _Values:
    def __init__(self) -> None:
        self.values: list[Any] = []
        self.details: tuple[Any, ...] = ()

    def step(self, value: Any, *details: Any) -> None:
        self.details = details
        if value is not None:
            self.values.append(value)


def _fraction(packed: DoubleSum) -> Fraction:
    return Fraction(packed.mantissa) * Fraction(2) ** packed.exponent


def variance(
    total: bytes, squares: bytes, count: int, scale: int, name: str, kind: str
) -> int | float | str | None:
    """VAR_POP, VAR_SAMP, STDDEV_POP or STDDEV_SAMP from exact sums: nothing is lost to cancellation, and the result is rounded
    once. ``scale`` is that of the values, ``kind`` the type of the result."""
    less = 1 if name.endswith("SAMP") else 0
    if count <= less:
        return None
    one, two = DoubleSum.unpack(total), DoubleSum.unpack(squares)
    if any(one.special) or any(two.special):
        return "NaN"
    total_, squares_ = _fraction(one), _fraction(two)
    return _spread((squares_ - total_ * total_ / count) / (count - less), scale, name, kind)


def _spread(exact: Fraction, scale: int, name: str, kind: str) -> int | float | None:
    """Integers are cut and DECIMALs rounded half up, as their AVG; None beyond their type."""
    exact /= 10 ** (2 * scale)
    type_ = parse_type(kind)
    if type_.name == "DOUBLE":
        try:
            number = float(exact)
        except OverflowError:
            number = math.inf
        return math.sqrt(number) if name.startswith("STDDEV") else number
    digits = 0 if type_.is_integer else type_.scale or 0
    if name.startswith("STDDEV"):
        # The root of a number with one more digit than is shown tells on which side of a half it lies.
        root = math.isqrt(int(exact * 10 ** (2 * digits + 2)))
        made = root // 10 if type_.is_integer else (root + 5) // 10
    else:
        made = int(exact) if type_.is_integer else half_up(exact.numerator * 10**digits, exact.denominator)
    limit = INTEGER_RANGES.get(type_.name) or 10 ** (type_.precision or 0)
    return made if made < limit else None


def _variance_of(state: _Values) -> int | float | str | None:
    """The same over plain rows, from the deviations from the mean."""
    if not state.details:
        return None
    scale, name, kind = state.details
    less = 1 if name.endswith("SAMP") else 0
    if len(state.values) <= less:
        return None
    if any(
        isinstance(value, str) or (isinstance(value, float) and math.isinf(value)) for value in state.values
    ):
        return "NaN"
    exact = [Fraction(value) for value in state.values]
    return _spread(statistics.variance(exact) if less else statistics.pvariance(exact), scale, name, kind)


def _aggregate(make: Callable[[], Any], result: Callable[[Any], Any]) -> Callable[[], tuple[Any, Any, Any]]:
    def step(state: Any, *arguments: Any) -> None:
        state.step(*arguments)

    return lambda: (make(), step, result)


def _result(function: Callable[..., Stored]) -> Callable[[_Collected], Stored]:
    return lambda state: function(state.sorted(), *state.details) if state.details else None


def entry_value(data: bytes | None, directions: str) -> Stored:
    """What stands last in an entry."""
    return None if data is None else entry_values(data, directions)[-1]


def register_ordered_aggregates(connection: apsw.Connection, report: Callable[[str], None]) -> None:
    def sum_distinct(state: _Collected) -> Stored:
        return _sum_distinct(state.sorted(), report, state.details) if state.details else None

    connection.create_aggregate_function("sl_sum_distinct", _aggregate(_Collected, sum_distinct))
    connection.create_scalar_function("sl_entry", entry, -1, deterministic=True)
    connection.create_scalar_function("sl_entry_value", entry_value, 2, deterministic=True)
    connection.create_scalar_function("sl_variance", variance, 6, deterministic=True)
    for name, function in _ORDERED.items():
        result = confined(name, _result(function), report)
        connection.create_aggregate_function(name, _aggregate(_Collected, result))
    connection.create_aggregate_function("sl_pack_squares", _aggregate(_Squares, lambda one: one.sum.pack()))
    connection.create_aggregate_function("sl_variance_of", _aggregate(_Values, _variance_of))
