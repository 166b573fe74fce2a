"""Entries sort as the values in them do, and give them back."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from springline.core.types import Stored
from springline.sql.entries import entry, entry_values

VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.text("a\x00b")
    | st.binary()
)


def rank(value: Stored) -> tuple[int, object]:
    kinds = {type(None): 0, int: 1, float: 2, str: 3, bytes: 4}
    return kinds[type(value)], value.encode() if isinstance(value, str) else value


@given(st.lists(st.tuples(VALUES, VALUES), max_size=6), st.sampled_from(["aa", "ad", "da", "dd"]))
def test_values_come_back(pairs: list[tuple[Stored, Stored]], directions: str) -> None:
    for pair in pairs:
        assert entry_values(entry(directions, *pair), directions) == list(pair)


@given(st.lists(VALUES, min_size=2, max_size=8))
def test_entries_sort_as_their_values(values: list[Stored]) -> None:
    for one, other in pairwise(
        sorted(
            values,
            key=lambda value: (rank(value)[0], rank(value)[1] or 0 if value is None else rank(value)[1]),
        )
    ):
        assert entry("a", one) <= entry("a", other)
        assert entry("d", one) >= entry("d", other)
        assert (entry("aa", one, 1) < entry("aa", other, 0)) == (rank(one) != rank(other))


def test_decimals_that_are_equal_are_one_entry() -> None:
    assert entry("w", "1.50") == entry("w", "1.5")
    assert entry("w", "-2") < entry("w", "1.5") < entry("w", "NaN")
    assert entry("x", "-2") > entry("x", "1.5")
    assert entry_values(entry("wa", "1.50", None), "wa") == ["1.5", None]


def test_infinities_and_zeros() -> None:
    assert entry("a", -math.inf) < entry("a", -1e300) < entry("a", 0.0) < entry("a", math.inf)
    assert entry("a", -0.0) == entry("a", 0.0)
