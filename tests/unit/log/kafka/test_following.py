"""What topics mean, decided without a broker: names, cuts, options, errors, entries of a node, offsets of a job."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError

from springline.core.change import UNCHANGED
from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType
from springline.errors import ConfigurationError, SourceUnavailable
from springline.log.kafka.clients import Connections, Kafka, mapped, read_options
from springline.log.kafka.cut import Cut, Deployed, DerivedRelation
from springline.log.kafka.follower import _entries, _opening
from springline.log.kafka.names import check_application, derived_topic, table_topic
from springline.log.kafka.reading import Received
from springline.log.kafka.topics import check_same
from springline.log.kafka.transactions import is_settled, newest_committed
from springline.runtime.flink.coordinator import (
    Mark,
    check_grown,
    check_tables,
    covers,
    first_number,
    lacking,
)
from springline.runtime.flink.deployment import unused_generation
from springline.runtime.flink.jobs import read_through

BIGINT, STRING = SqlType("BIGINT"), SqlType("STRING")
TRIPS = TableSchema("trips", (Column("id", BIGINT, nullable=False), Column("to", STRING)), ("id",))
TOTALS = TableSchema("totals", (Column("name", STRING), Column("n", BIGINT)), ("name",))


def test_names_of_topics() -> None:
    assert table_topic("travel", "crm.bookings") == "travel.crm.bookings"
    assert derived_topic("travel", 2, "trips") == "travel.derived-2.trips"
    check_application("travel-2_x")
    with pytest.raises(ConfigurationError, match="its topics cannot be"):
        check_application("my travel")


def test_a_cut_and_a_deployment_survive_json() -> None:
    cut = Cut(
        7,
        2,
        31,
        17,
        {"crm": ("postgres:0/1", 5)},
        {("a.b", 0): 3, ("a.b", 1): 0},
        9,
        ("crm.x",),
        {("a.crm.t", 0): 4},
    )
    import json

    assert Cut.from_json(json.loads(cut.to_json())) == cut
    deployed = Deployed(
        2, "j", "f", (DerivedRelation(TRIPS, "t"), DerivedRelation(TOTALS, "u", "_key")), "http://x", ("i",)
    )
    assert Deployed.from_json(json.loads(deployed.to_json())) == deployed


def test_options_from_a_file() -> None:
    text = "# a comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=env:P\n"
    assert read_options(text, lambda one: "secret" if one == "env:P" else one) == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "secret",
    }
    with pytest.raises(ConfigurationError, match="Line 2"):
        read_options("a=b\nnonsense\n", str)
    revealed: list[str] = []
    read_options(
        "sasl.password=plain\nsasl.username=env:U\nsecurity.protocol=SSL\n",
        lambda one: revealed.append(one) or "",
    )
    assert revealed == ["plain", "env:U"], "only secrets are kept out of messages"


def test_the_options_as_java_names_them_and_never_in_a_repr() -> None:
    kafka = Kafka(
        "h:1",
        {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "ann",
            "sasl.password": 'pa"ss',
            "ssl.ca.location": "/ca.pem",
        },
    )
    made = kafka.java()
    assert made["security.protocol"] == "SASL_SSL"
    assert made["sasl.jaas.config"].endswith('PlainLoginModule required username="ann" password="pa\\"ss";')
    assert (made["ssl.truststore.location"], made["ssl.truststore.type"]) == ("/ca.pem", "PEM")
    assert "pa" not in repr(kafka)


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (KafkaError._AUTHENTICATION, ConfigurationError, "refuses"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, ConfigurationError, "refuses"),
        (KafkaError.MSG_SIZE_TOO_LARGE, ConfigurationError, "this size"),
        (KafkaError._FENCED, ConfigurationError, "taken over"),
        (KafkaError._TRANSPORT, SourceUnavailable, "cannot be used now"),
        (KafkaError.NOT_LEADER_FOR_PARTITION, SourceUnavailable, "cannot be used now"),
    ],
)
def test_errors_of_kafka_are_ours(code: int, kind: type[Exception], word: str) -> None:
    error = mapped(KafkaError(code), "h:1", "writing")
    assert isinstance(error, kind)
    assert word in str(error)
    assert error.hint


RELATIONS = {"t": DerivedRelation(TRIPS, "t"), "u": DerivedRelation(TOTALS, "u", "_key")}


def test_records_as_a_nodes_entries() -> None:
    batch = [
        Received("t", 0, 0, b'{"id":1}', b'{"id":1,"to":"OSA"}'),
        Received("t", 0, 1, b'{"id":2}', b'{"id":2,"to":"NRT"}'),
        Received("t", 0, 2, b'{"id":1}', b'{"id":1,"to":"KIX"}'),
        Received("t", 0, 3, b'{"id":2}', None),
        Received("u", 0, 0, b'{"_key":"[null]"}', b'{"name":null,"n":3}'),
        Received("u", 1, 0, b'{"_key":"[\\"x\\"]"}', None),
    ]
    assert _entries(batch, RELATIONS) == [
        ("R", "trips", None, [(1, "KIX")]),
        ("d", "trips", [2, UNCHANGED], None),
        ("R", "totals", None, [(None, 3)]),
        ("d", "totals", ["x", UNCHANGED], None),
    ]


def test_a_generation_opens_with_its_relations_and_drops_what_it_has_not() -> None:
    deployed = Deployed(2, "j", "f", (RELATIONS["t"],))
    assert [entry[:2] for entry in _opening(deployed, ["trips", "old"])] == [
        ("x", "old"),
        ("s", "trips"),
        ("l", "trips"),
    ]


@pytest.mark.parametrize(
    ("states", "checkpoint", "settled", "newest"),
    [
        ([], 5, True, 0),
        ([(5, "CompleteCommit"), (6, "Ongoing")], 5, True, 5),
        ([(5, "Ongoing")], 5, False, 0),
        ([(5, "PrepareCommit"), (4, "CompleteCommit")], 5, False, 4),
        ([(4, "Ongoing"), (5, "CompleteCommit")], 5, False, 5),
        ([(5, "Empty"), (4, "CompleteAbort")], 5, True, 0),
        ([(6, "CompleteCommit")], 5, True, 6),
    ],
)
def test_when_a_checkpoint_is_committed(
    states: list[tuple[int, str]], checkpoint: int, settled: bool, newest: int
) -> None:
    assert is_settled(states, checkpoint) is settled
    assert newest_committed(states) == newest


def test_what_covers_what() -> None:
    wanted = {("a", 0): 3, ("a", 1): 0}
    assert covers({("a", 0): 3}, wanted)
    assert not covers({("a", 0): 2}, wanted)
    assert lacking({("a", 0): 2}, wanted) == "a[0] at 2 of 3"


def _metric(topic: str, partition: int) -> str:
    return f"Source__x[1].KafkaSourceReader.topic.{topic}.partition.{partition}.currentOffset"


def test_what_a_job_has_read_is_what_its_slowest_source_has() -> None:
    series = {
        "accounts": {
            _metric("app_crm_t", 0): 4.0,
            _metric("app_crm_t", 1): -1.0,
            _metric("app_crm_t", 2): 5.0,
            _metric("other", 0): 9.0,
            "numRecordsIn": 3.0,
        },
        "accounts once more": {_metric("app_crm_t", 0): 2.0, _metric("app_crm_t", 1): 8.0},
        "something else": {_metric("app_crm_u", 0): 0.0},
    }
    assert read_through(["app.crm.t", "app.crm.u"], series) == {("app.crm.t", 0): 3, ("app.crm.u", 0): 1}


# -- what is wrong with a cluster --------------------------------------------------------------------------------------

_DOWN, _DENIED = KafkaError(KafkaError._ALL_BROKERS_DOWN), KafkaError(KafkaError._AUTHENTICATION)
_REFUSED = KafkaError(KafkaError._TRANSPORT, "Connection refused")


@pytest.mark.parametrize(
    ("said", "problem", "is_down"),
    [
        ([], None, False),
        ([_REFUSED], _REFUSED, False),
        ([_REFUSED, _DOWN], _REFUSED, True),
        ([_DOWN], _DOWN, True),
        ([_DENIED, _DOWN], _DENIED, True),
        ([_DENIED, _REFUSED], _DENIED, False),
        ([_REFUSED, _DENIED], _DENIED, False),
    ],
)
def test_a_reason_is_kept_over_what_follows_from_it(
    said: list[KafkaError], problem: KafkaError | None, is_down: bool
) -> None:
    connections = Connections()
    for one in said:
        connections(one)
    assert (connections.problem, connections.is_down) == (problem, is_down)
    connections.answered()
    assert (connections.problem, connections.is_down) == (None, False)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"a.s.t": ["x", 2], "a.s.u": ["z", 1]}, None),
        ({}, "Topic 'a.s.t' was deleted, and with it rows"),
        ({"a.s.t": ["y", 2]}, "Topic 'a.s.t' was deleted and made anew"),
        ({"a.s.t": ["x", 4]}, "Topic 'a.s.t' had 2 partitions when it was first written, and has 4"),
    ],
)
def test_topics_that_were_written_are_the_same(now: dict[str, list[object]], said: str | None) -> None:
    if said is None:
        check_same({"a.s.t": ["x", 2]}, now)
        return
    with pytest.raises(ConfigurationError, match=re.escape(said)) as found:
        check_same({"a.s.t": ["x", 2]}, now)
    assert "new name" in (found.value.hint or "")


def test_derived_topics_only_grow() -> None:
    check_grown({("t", 0): 3}, {("t", 0): 3, ("t", 1): 1})
    with pytest.raises(SourceUnavailable, match="'t' ends at 2, and ended at 3 at the last cut") as found:
        check_grown({("t", 0): 3}, {("t", 0): 2})
    assert "springline deploy" in (found.value.hint or "")


def test_a_first_cut_whose_number_nodes_may_have_seen() -> None:
    mark = Mark(1_700_000_000_123_456, {}, (), {})
    deployed = Deployed(1, "j", "f", ())
    assert first_number(deployed, 1, mark) == 1
    assert first_number(deployed, 2, mark) == 1_700_000_000_123
    assert first_number(replace(deployed, generation=2), 1, mark) == 1_700_000_000_123


def _trips(*columns: tuple[str, str], key: str = "id") -> TableSchema:
    made = tuple(Column(name, SqlType(kind), nullable=name != key) for name, kind in columns)
    return TableSchema("crm.trips", made, (key,))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (_trips(("id", "BIGINT"), ("to", "STRING"), ("more", "STRING")), None),
        (_trips(("to", "STRING"), ("id", "BIGINT")), None),
        (_trips(("id", "BIGINT"), ("to", "BIGINT")), "column 'to' was STRING and is BIGINT."),
        (_trips(("id", "BIGINT")), "column 'to' was STRING and is gone."),
        (_trips(("id", "BIGINT"), ("to", "STRING"), key="to"), "its key was (id) and is (to)."),
        (None, None),
    ],
)
def test_a_table_that_is_no_longer_what_the_job_reads(now: TableSchema | None, said: str | None) -> None:
    before = _trips(("id", "BIGINT"), ("to", "STRING"))
    deployed = Deployed(3, "j", "f", (DerivedRelation(before, "t"), DerivedRelation(TOTALS, "u")))
    tables = {} if now is None else {"crm.trips": now}
    if said is None:
        check_tables(deployed, tables)
        return
    with pytest.raises(SourceUnavailable, match=re.escape(said)) as found:
        check_tables(deployed, tables)
    assert found.value.message.startswith("Table 'crm.trips' has changed since generation 3 was deployed: ")
    assert "springline deploy" in (found.value.hint or "")


def test_a_generation_that_no_topic_is_of() -> None:
    assert unused_generation("a", ["a.cuts", "a.derived-x.t", "ab.derived-7.t"]) == 1
    assert unused_generation("a", ["a.derived-1.t", "a.derived-12.u", "b.derived-99.t"]) == 13
