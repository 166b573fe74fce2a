"""How far partitions were read, what is loading, and what a look at the broker means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from springline.core.position import KafkaPosition
from springline.sources.json_rows import JsonTable, schema_of
from springline.sources.kafka.directory import Topic
from springline.sources.kafka.places import Places, must_load

T, P, Q = Topic("t", "one", (0, 1)), ("t", 0), ("t", 1)
NONE = {P: 0, Q: 0}


def reading(first: int = 10, second: int = 20) -> Places:
    """Of a topic that was loaded and read."""
    places = Places()
    places.adopt(T, NONE, NONE, [])
    places.reach(P, first)
    places.reach(Q, second)
    return places


def test_a_table_is_loaded_when_all_ends_of_its_beginning_are_reached() -> None:
    places = Places()
    places.adopt(T, NONE, {P: 2, Q: 1}, ["a", "b"])
    assert places.loaded() == []
    assert [places.reach(P, 2), places.reach(P, 2), places.reach(P, 1)] == [True, False, False]
    assert places.loaded() == []
    places.reach(Q, 5)
    assert places.loaded() == ["a", "b"]
    assert places.loaded() == []
    assert str(places.position) == "t/0=2,1=5"


def test_what_is_loaded_again_is_read_from_the_beginning_and_the_position_stays() -> None:
    places = reading()
    assert places.reload(T, {P: 3, Q: 0}, {P: 12, Q: 20}, ["a"]) == ["a"]
    assert (places.following(P), places.following(Q)) == (3, 0)
    assert str(places.position) == "t/0=10,1=20"
    assert places.is_repeated(P, 9)
    assert not places.is_repeated(P, 10)
    places.reach(P, 9)
    assert str(places.position) == "t/0=10,1=20"
    places.reach(P, 12)
    assert not places.is_repeated(P, 3)
    assert str(places.position) == "t/0=12,1=20"
    assert places.loaded() == []
    places.reach(Q, 20)
    assert places.loaded() == ["a"]


def test_what_was_loading_begins_again_with_another_of_its_topic() -> None:
    places = reading()
    places.reload(T, NONE, {P: 10, Q: 20}, ["a"])
    places.reach(P, 8)
    assert places.reload(T, NONE, {P: 10, Q: 20}, ["b"]) == ["a", "b"]
    assert places.following(P) == 0


@pytest.mark.parametrize(
    ("topic", "earliest", "ends", "message", "is_other"),
    [
        (None, {}, {}, "'t' was deleted", True),
        (Topic("t", "two", (0, 1)), NONE, {P: 10, Q: 20}, "deleted and made anew", True),
        (Topic("t", "one", (0,)), NONE, {P: 10}, "no longer has partition 1", True),
        (T, NONE, {P: 9, Q: 20}, "partition 0 of topic 't' ends at 9 and was read up to 10", True),
        (T, {P: 15, Q: 0}, {P: 15, Q: 20}, "begins at 15 and was read up to 10: 5 offsets", False),
        (T, {P: 10, Q: 20}, {P: 10, Q: 20}, None, False),
        (Topic("t", "", (0, 1)), NONE, {P: 10, Q: 20}, None, False),
        (Topic("t", "one", (0, 1, 2)), {**NONE, ("t", 2): 0}, {P: 10, Q: 20, ("t", 2): 1}, None, False),
    ],
)
def test_what_was_lost(topic: Any, earliest: Any, ends: Any, message: str | None, is_other: bool) -> None:
    loss = reading().loss(topic, "t", earliest, ends)
    if message is None:
        assert loss is None
    else:
        assert loss is not None
        assert message in loss.message
        assert loss.is_other == is_other


def test_after_retention_the_position_is_what_can_still_come() -> None:
    places, earliest, ends = reading(), {P: 15, Q: 5}, {P: 18, Q: 20}
    loss = places.loss(T, "t", earliest, ends)
    assert loss is not None
    assert places.recover(T, loss, earliest, ends, ["a"]) == ["a"]
    assert str(places.position) == "t/0=15,1=20"
    assert (places.following(P), places.following(Q)) == (15, 5)
    assert places.loss(T, "t", earliest, ends) is None


def test_a_topic_that_was_made_anew_is_a_later_generation() -> None:
    places = reading()
    old = places.position
    other = Topic("t", "two", (0,))
    loss = places.loss(other, "t", {P: 0}, {P: 500})
    assert loss is not None
    places.recover(other, loss, {P: 0}, {P: 500}, ["a"])
    assert str(places.position) == "t#2/0=0"
    assert places.position >= old
    assert not old >= places.position
    assert places.following(P) == 0


def test_new_partitions_are_read_from_their_beginning() -> None:
    places = reading()
    wide = Topic("t", "one", (0, 1, 2))
    assert places.extend(wide, {**NONE, ("t", 2): 0}) == [("t", 2)]
    assert places.extend(wide, {**NONE, ("t", 2): 0}) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from([P, Q]), st.integers(0, 40)), max_size=20), st.booleans())
def test_what_is_saved_is_what_was_and_the_position_never_goes_back(
    steps: list[tuple[Any, int]], reloads: bool
) -> None:
    places = reading()
    if reloads:
        places.reload(T, NONE, {P: 10, Q: 20}, ["a"])
    for partition, following in steps:
        before, was = places.position, places.following(partition)
        assert places.reach(partition, following) == (following > was)
        assert places.position >= before
        assert places.following(partition) == max(was, following)
        places.loaded()
        assert Places.from_saved(places.position, places.to_saved()) == places


def schema(columns: dict[str, str], key: tuple[str, ...] = ("id",), kept: bool = True) -> Any:
    return schema_of("s.t", JsonTable(columns, key, kept))


@pytest.mark.parametrize(
    ("known", "declared", "expected"),
    [
        (None, schema({"id": "INT"}), True),
        (schema({"id": "INT"}), schema({"id": "INT"}), False),
        (schema({"id": "INT"}), schema({"id": "INT", "n": "INT"}), False),
        (schema({"id": "INT", "n": "INT"}), schema({"id": "INT"}), False),
        (schema({"id": "INT", "n": "INT"}), schema({"id": "INT", "n": "BIGINT"}), True),
        (schema({"id": "INT", "n": "INT"}), schema({"id": "INT", "n": "INT"}, ("id", "n")), True),
        (schema({"id": "INT"}, ()), schema({"id": "INT", "n": "INT"}, ()), True),
        (schema({"id": "INT"}, kept=False), schema({"id": "INT"}), True),
    ],
)
def test_which_declarations_need_the_rows_again(known: Any, declared: Any, expected: bool) -> None:
    assert must_load(known, declared) == expected


def test_a_position_that_is_not_kafkas_is_none() -> None:
    assert Places.from_saved(None, None) == Places()
    assert Places.from_saved(KafkaPosition({P: 3}), None).following(P) == 3
