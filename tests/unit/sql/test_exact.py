"""Exact sums and the order of DECIMALs."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from springline.sql.exact import (
    DoubleSum,
    half_up,
    merge_packed,
    packed_value,
    toward_zero,
    wide_key,
    wide_text,
    wide_unkey,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
quick = settings(max_examples=200, deadline=None, database=None)


def packed(values: list[float | str], weight: int = 1) -> bytes:
    made = DoubleSum()
    for value in values:
        made.add(value, weight)
    return made.pack()


@quick
@given(st.lists(finite))
def test_a_sum_is_the_exact_sum_rounded_once(values: list[float]) -> None:
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert packed_value(packed(list(values))) == expected


@quick
@given(st.lists(st.floats()), st.randoms())
def test_order_leaves_no_trace(values: list[float], shuffle: object) -> None:
    stored = ["NaN" if value != value else value for value in values]
    mixed = list(stored)
    shuffle.shuffle(mixed)
    assert packed(stored) == packed(mixed)


@quick
@given(st.lists(st.floats()), st.lists(st.floats()))
def test_what_is_taken_away_leaves_no_trace(kept: list[float], gone: list[float]) -> None:
    stay = ["NaN" if value != value else value for value in kept]
    leave = ["NaN" if value != value else value for value in gone]
    assert merge_packed(packed(stay + leave), packed(leave, -1)) == packed(stay)


def test_special_values() -> None:
    assert packed_value(packed([])) == 0.0
    assert packed_value(packed([math.inf, 1.0])) == math.inf
    assert packed_value(packed([math.inf, -math.inf])) == "NaN"
    assert packed_value(packed(["NaN", 1.0])) == "NaN"
    assert packed_value(packed([1.7e308, 1.7e308, -1.7e308])) == 1.7e308


@quick
@given(st.integers(), st.integers().filter(bool))
def test_division_rounds_half_away_from_zero_or_cuts(numerator: int, denominator: int) -> None:
    quotient = Fraction(numerator, denominator)
    assert abs(half_up(numerator, denominator) - quotient) <= Fraction(1, 2)
    assert toward_zero(numerator, denominator) == int(quotient)
    assert half_up(5, 2) == 3
    assert half_up(-5, 2) == -3


numbers = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)


@quick
@given(numbers, numbers)
def test_keys_of_decimals_have_their_order(one: Decimal, other: Decimal) -> None:
    left, right = wide_key(wide_text(one)), wide_key(wide_text(other))
    assert (left < right) == (one < other)
    assert (left == right) == (one == other)
    assert Decimal(wide_unkey(left)) == one


def test_keys_of_special_decimals() -> None:
    ordered = ["-Infinity", "-1e30", "-1.5", "-0.001", "0", "0.001", "1.50", "1e30", "Infinity", "NaN"]
    keys = [wide_key(text) for text in ordered]
    assert keys == sorted(keys)
    assert wide_key("1.5") == wide_key("1.50")
    assert wide_key("0") == wide_key("-0.00")
    assert [wide_unkey(wide_key(text)) for text in ("NaN", "Infinity", "-Infinity")] == [
        "NaN",
        "Infinity",
        "-Infinity",
    ]
