"""Positions order within their kind, never across kinds, and read back from their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.position import (
    FolderPosition,
    KafkaPosition,
    Position,
    PositionVector,
    PostgresPosition,
    SequencePosition,
    position_from_text,
    position_to_text,
)

numbers = st.integers(0, 2**64 - 1)
topics = st.sampled_from(["a", "b.c", "_D-9", "0"])
kafka_positions = st.builds(
    KafkaPosition,
    st.dictionaries(st.tuples(topics, st.integers(0, 3)), st.integers(0, 2**63 - 1), max_size=5),
    st.dictionaries(st.just("a"), st.integers(1, 3)),
)
positions = st.one_of(
    kafka_positions,
    numbers.map(PostgresPosition),
    st.integers(0, 2**63).map(FolderPosition),
    st.integers(0, 2**63).map(SequencePosition),
)


@given(positions)
def test_a_position_reads_back_from_its_text(position: Position) -> None:
    assert position_from_text(position_to_text(position)) == position


@given(numbers, numbers)
def test_postgres_positions_order_by_lsn_not_by_text(first: int, second: int) -> None:
    assert (PostgresPosition(first) < PostgresPosition(second)) == (first < second)
    assert PostgresPosition.from_text("0/FFFFFFFF") < PostgresPosition.from_text("1/0")
    assert PostgresPosition.from_text("9/0") < PostgresPosition.from_text("10/0")


def test_postgres_writes_it_the_same_way() -> None:
    assert str(PostgresPosition(0x16B3748)) == "0/16B3748"
    assert str(PostgresPosition(0xA_0000_0000)) == "A/0"


def test_positions_of_two_kinds_are_never_compared() -> None:
    with pytest.raises(TypeError):
        _ = FolderPosition(1) < SequencePosition(2)  # type: ignore[operator]
    assert FolderPosition(1) != SequencePosition(1)
    with pytest.raises(TypeError):
        PositionVector({"crm": FolderPosition(1)}).covers({"crm": SequencePosition(1)})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "16B3748",
        "kafka:1",
        "kafka:a/0",
        "kafka:a/x=1",
        "kafka:a#b/0=1",
        "queue:1",
        "postgres:",
        "postgres:0",
        "postgres:x/y",
        "folder:one",
    ],
)
def test_a_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        position_from_text(text)


vectors = st.dictionaries(st.sampled_from(["crm", "shop", "hub"]), numbers.map(PostgresPosition)).map(
    PositionVector
)


@given(vectors)
def test_a_vector_reads_back_from_json(vector: PositionVector) -> None:
    assert PositionVector.from_json(vector.to_json()) == vector


@given(vectors, vectors)
def test_covering_means_at_or_beyond_in_every_named_source(
    one: PositionVector, other: PositionVector
) -> None:
    assert one.covers(one)
    assert one.covers({})
    assert one.covers(other) == all(source in one and one[source] >= other[source] for source in other)  # type: ignore[operator]
    if one.covers(other) and other.covers(one):
        assert one == other


def test_advancing_leaves_the_old_vector_as_it_was() -> None:
    before = PositionVector({"crm": PostgresPosition(1)})
    after = before.with_position("crm", PostgresPosition(2)).with_position("shop", PostgresPosition(7))
    assert before == {"crm": PostgresPosition(1)}
    assert after.to_json() == {"crm": "postgres:0/2", "shop": "postgres:0/7"}
    assert after.covers(before)
    assert not before.covers(after)


def kafka(text: str) -> KafkaPosition:
    return KafkaPosition.from_text(text)


def test_kafka_positions_are_written_for_reading() -> None:
    position = KafkaPosition({("b", 0): 7, ("a.x", 1): 3, ("a.x", 0): 15}, {"b": 2, "a.x": 1})
    assert str(position) == "a.x/0=15,1=3;b#2/0=7"
    assert kafka("a.x/0=15,1=3;b#2/0=7") == position
    assert kafka("") == KafkaPosition({})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a/0=5", "a/0=5", True),
        ("a/0=5", "a/0=6", False),
        ("a/0=5,1=0", "a/0=5,1=1", False),
        ("a/0=5,1=9", "a/0=6,1=1", False),
        # A partition that nobody has read stands at its beginning.
        ("a/0=5", "a/0=5,1=0", True),
        ("a/0=5", "a/0=5,1=1", False),
        ("", "a/0=0", True),
        ("a/0=5;b/0=1", "a/0=5", True),
        # A topic that was made anew is behind none of the old one's records.
        ("a#2/0=0", "a/0=100", True),
        ("a/0=100", "a#2/0=0", False),
        ("a/0=100", "a#2/0=5", False),
    ],
)
def test_one_kafka_position_covers_another_in_every_partition(one: str, other: str, expected: bool) -> None:
    assert (kafka(one) >= kafka(other)) == expected
    assert (kafka(other) <= kafka(one)) == expected
    assert (kafka(one) < kafka(other)) == (not expected)
    assert (kafka(other) > kafka(one)) == (not expected)
    assert PositionVector({"k": kafka(one)}).covers({"k": kafka(other)}) == expected


@given(kafka_positions, kafka_positions, kafka_positions)
def test_covering_is_a_partial_order(one: KafkaPosition, other: KafkaPosition, third: KafkaPosition) -> None:
    assert one >= one
    if one >= other and other >= third:
        assert one >= third


def test_kafka_positions_that_are_each_ahead_somewhere_cover_neither_way() -> None:
    one, other = kafka("a/0=5,1=1"), kafka("a/0=1,1=5")
    assert one < other
    assert other < one
    assert one != other
