"""Exact sums: independent of order, without drift, under retraction.

A sum of doubles is kept as the exact dyadic number ``mantissa * 2**exponent`` (every finite double is one), with NaN and
infinities counted apart. Adding and taking away are exact, so the state after any changes is the state of the rows that
are left, and its value, rounded once, is ``math.fsum`` of them. Sums of integers and scaled DECIMALs are kept by the
generated SQL as two integer columns, the upper and the lower 32 bits; only the result is made here.
"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_HALF_UP, Context, Decimal

WIDE = Context(prec=2_000, rounding=ROUND_HALF_UP)
"""Enough digits for every sum and product that fits PostgreSQL's numeric in practice."""


class DoubleSum:
    """The exact sum of weighted doubles. ``special`` counts NaN, infinity and -infinity."""

    __slots__ = ("exponent", "mantissa", "special")

    def __init__(self) -> None:
        self.mantissa = 0
        self.exponent = 0
        self.special = [0, 0, 0]

    def add(self, value: float | str, weight: int = 1) -> None:
        """Adds a stored double (a float, or the text 'NaN') or an integer."""
        if isinstance(value, str):
            self.special[0] += weight
        elif isinstance(value, int):
            self._add(value * weight, 0)
        elif math.isinf(value):
            self.special[1 if value > 0 else 2] += weight
        elif value:
            numerator, denominator = float(value).as_integer_ratio()
            self._add(numerator * weight, 1 - denominator.bit_length())

    def add_square(self, value: float | str, weight: int = 1) -> None:
        """Adds the exact square of what ``add`` would add."""
        if isinstance(value, str) or math.isinf(value):
            self.add("NaN" if isinstance(value, str) else math.inf, weight)
        else:
            numerator, denominator = value.as_integer_ratio()
            self._add(numerator * numerator * weight, 2 * (1 - denominator.bit_length()))

    def merge(self, other: DoubleSum) -> None:
        self._add(other.mantissa, other.exponent)
        self.special = [one + two for one, two in zip(self.special, other.special, strict=True)]

    def _add(self, mantissa: int, exponent: int) -> None:
        if exponent < self.exponent:
            self.mantissa <<= self.exponent - exponent
            self.exponent = exponent
        self.mantissa += mantissa << (exponent - self.exponent)

    def value(self) -> float | str:
        """The stored double nearest to the sum."""
        nan, above, below = self.special
        if nan or (above and below):
            return "NaN"
        if above or below:
            return math.inf if above else -math.inf
        try:
            if self.exponent >= 0:
                return float(self.mantissa << self.exponent)
            return self.mantissa / (1 << -self.exponent)
        except OverflowError:
            return math.inf if self.mantissa > 0 else -math.inf

    def pack(self) -> bytes:
        """Equal sums have equal bytes: a flag, the exponent, the counts of special values if there are any, the mantissa."""
        if any(self.special):
            mantissa, exponent = _reduced(self.mantissa, self.exponent)
            return _SPECIAL.pack(1, exponent, *self.special) + _digits(mantissa)
        return _packed(self.mantissa, self.exponent)

    @staticmethod
    def unpack(data: bytes) -> DoubleSum:
        made = DoubleSum()
        if data[0]:
            _, made.exponent, *made.special = _SPECIAL.unpack_from(data)
            made.mantissa = int.from_bytes(data[_SPECIAL.size :], "big", signed=True)
        else:
            _, made.exponent = _PLAIN.unpack_from(data)
            made.mantissa = int.from_bytes(data[_PLAIN.size :], "big", signed=True)
        return made


_PLAIN = struct.Struct(">bi")
_SPECIAL = struct.Struct(">bi3q")


def _reduced(mantissa: int, exponent: int) -> tuple[int, int]:
    """The same number with an odd mantissa, so that it is written in one way only."""
    if not mantissa:
        return 0, 0
    zeros = (mantissa & -mantissa).bit_length() - 1
    return mantissa >> zeros, exponent + zeros


def _digits(mantissa: int) -> bytes:
    return mantissa.to_bytes(mantissa.bit_length() // 8 + 1, "big", signed=True)


def _packed(mantissa: int, exponent: int) -> bytes:
    mantissa, exponent = _reduced(mantissa, exponent)
    return _PLAIN.pack(0, exponent) + _digits(mantissa)


def merge_packed(one: bytes, other: bytes) -> bytes:
    """The sum of two packed sums."""
    if one[0] or other[0]:
        left = DoubleSum.unpack(one)
        left.merge(DoubleSum.unpack(other))
        return left.pack()
    _, exponent = _PLAIN.unpack_from(one)
    _, second = _PLAIN.unpack_from(other)
    mantissa = int.from_bytes(one[5:], "big", signed=True)
    addend = int.from_bytes(other[5:], "big", signed=True)
    if second < exponent:
        return _packed((mantissa << (exponent - second)) + addend, second)
    return _packed(mantissa + (addend << (second - exponent)), exponent)


def packed_value(data: bytes) -> float | str:
    return DoubleSum.unpack(data).value()


def packed_average(data: bytes, count: int) -> float | str:
    value = packed_value(data)
    return value if isinstance(value, str) else value / count


def half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded half away from zero."""
    sign = -1 if (numerator < 0) != (denominator < 0) else 1
    return sign * ((2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator)))


def toward_zero(numerator: int, denominator: int) -> int:
    quotient = abs(numerator) // abs(denominator)
    return -quotient if (numerator < 0) != (denominator < 0) else quotient


def wide_text(number: Decimal) -> str:
    """The stored form of an unbounded DECIMAL. A zero has no sign."""
    return "NaN" if number.is_nan() else format(number if number else number.copy_abs(), "f")


def wide_sum_text(number: Decimal) -> str:
    """The text of a sum: without trailing zeros, so that it does not tell which rows were once in it."""
    return wide_text(number.normalize(WIDE)) if number else "0"


def wide_key(text: str) -> str:
    """A text that sorts, and is equal, as the DECIMALs do: sign, magnitude, digits. NaN is above all, also above infinity."""
    number = Decimal(text)
    if not number.is_finite():
        return "4" if number.is_nan() else ("3" if number > 0 else "0!")
    if not number:
        return "1"
    sign, digits, exponent = number.normalize(WIDE).as_tuple()
    assert isinstance(exponent, int)
    magnitude = f"{exponent + len(digits) + 500_000:06d}"
    body = magnitude + "".join(map(str, digits))
    if not sign:
        return "2" + body
    return "0" + body.translate(_NINES) + "~"


def wide_unkey(key: str) -> str:
    """The DECIMAL of a key, without trailing zeros."""
    if key in _UNUSUAL:
        return _UNUSUAL[key]
    body = key[1:] if key[0] == "2" else key[1:-1].translate(_NINES)
    magnitude, digits = int(body[:6]) - 500_000, body[6:]
    number = Decimal(int(digits)).scaleb(magnitude - len(digits), WIDE)
    return wide_text(number.copy_negate() if key[0] == "0" else number)


_UNUSUAL = {"4": "NaN", "3": "Infinity", "0!": "-Infinity", "1": "0"}
_NINES = str.maketrans("0123456789", "9876543210")


def average(total: int, count: int, shift: int) -> int:
    """AVG of integers is truncated as in Flink (shift -1); of scaled DECIMALs it gets ``shift`` more digits, half up."""
    return toward_zero(total, count) if shift < 0 else half_up(total * 10**shift, count)


def wide_average(total: str, count: int) -> str:
    """AVG of unbounded DECIMALs: six digits more than the sum has."""
    number = Decimal(total)
    if not number.is_finite():
        return total
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return wide_text(
        WIDE.divide(number, Decimal(count)).quantize(Decimal(1).scaleb(min(exponent, 0) - 6), context=WIDE)
    )
