"""What goes into the log comes out of it, value for value and type for type."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.change import UNCHANGED, Entry, Operation, load_entry, schema_entry
from springline.core.codec import decode_entries, decode_value, encode_entries, encode_value
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, BYTES, STRING

stored = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.just("NaN"),
    st.just(UNCHANGED),
)
rows = st.none() | st.lists(stored)
entries = st.lists(
    st.tuples(st.sampled_from([operation.value for operation in Operation]), st.text(), rows, rows)
)


def exactly(value: object) -> object:
    """Tells 1 from 1.0 and True, b"" from "", 0.0 from -0.0; tuples and lists are the same."""
    if isinstance(value, list | tuple):
        return [exactly(item) for item in value]
    sign = math.copysign(1, value) if isinstance(value, float) else None
    return type(value).__name__, value, sign


@given(entries)
def test_entries_come_back_as_they_were(written: list[Entry]) -> None:
    assert exactly(decode_entries(encode_entries(written))) == exactly(written)


def test_unchanged_is_one_object_before_and_after() -> None:
    ((_, _, before, after),) = decode_entries(encode_entries([("u", "t", [1, UNCHANGED], [1, UNCHANGED])]))
    assert before is not None
    assert after is not None
    assert before[1] is after[1] is UNCHANGED


@pytest.mark.parametrize(
    "value", [2**63 - 1, -(2**63), math.inf, -math.inf, "NaN", b"\x00\xff", "", b"", -0.0]
)
def test_edges(value: object) -> None:
    assert exactly(decode_value(encode_value(value))) == exactly(value)


@pytest.mark.parametrize("value", [object(), 2**64, "\ud800"])
def test_what_is_not_in_stored_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        encode_value([value])


def test_an_unknown_extension_is_refused() -> None:
    with pytest.raises(ValueError, match="extension 7"):
        decode_value(b"\xd4\x07\x00")


def test_a_schema_travels_in_the_log() -> None:
    schema = TableSchema(
        "airline.flights", (Column("id", BIGINT, False, 1), Column("note", STRING), Column("raw", BYTES, initial=b"\xff")), ("id",)
    )  # fmt: skip
    ((operation, table, _, after),) = decode_entries(encode_entries([schema_entry(schema)]))
    assert (operation, table) == (Operation.SCHEMA, "airline.flights")
    assert after is not None
    assert TableSchema.from_json(after[0]) == schema  # type: ignore[arg-type]


def test_a_load_mark_travels_in_the_log() -> None:
    marks = [load_entry("airline.flights", loading=True), load_entry("airline.flights", loading=False)]
    assert decode_entries(encode_entries(marks)) == [
        ["l", "airline.flights", None, ["loading"]],
        ["l", "airline.flights", None, ["live"]],
    ]
