"""The Kafka source on a real broker: what it promises, while either side fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from springline.app import App
from springline.errors import NotFresh, SourceError, SourceUnavailable
from springline.sources.kafka.registry import Registry
from springline.sources.kafka.source import KafkaSource
from springline.testing.capture import Crash, MemoryLog
from springline.testing.kafka import KafkaBroker
from tests.cluster.kafka_harness import BAG, PATIENCE_S, Source, Topic, numbered, rows, table_of
from tests.unit.sources.kafka.fake_registry import COLUMNS, ROW, STORED, VALUE, FakeRegistry, avro


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sources.kafka.capture.LOOK_EVERY_S", 0.3)


def test_what_is_there_and_what_comes_on_all_partitions(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, 3)
    for partition in range(3):
        topic.send(*numbered(100, partition * 100), partition=partition)
    with Source(kafka, {"t": table_of(topic, **BAG)}) as source:
        assert source.rows() == rows(300)
        topic.send(*numbered(5, 300), partition=1)
        assert source.rows() == rows(305)
        assert source.source.status().state == "streaming"


@pytest.mark.parametrize("moment", ["before_commit", "after_commit"])
def test_a_crash_at_any_commit_loses_nothing_and_doubles_nothing(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr("springline.sources.kafka.capture._MOST_BYTES", 500)
    topic = Topic(kafka, 2)
    topic.send(*numbered(60), partition=0)
    topic.transaction(*numbered(60, 60), partition=1)
    log = MemoryLog()
    crashed: set[int] = set()

    def crash(commit: int) -> None:
        # Each commit's number fails once: before, it is tried again; after, it was made and nobody knew.
        if commit not in crashed and len(crashed) < 12:
            crashed.add(commit)
            raise Crash

    setattr(log, moment, crash)
    with Source(kafka, {"t": table_of(topic, **BAG)}, log=log) as source:
        assert source.rows() == rows(120)
        topic.send(*numbered(30, 120), partition=0)
        assert source.rows() == rows(150)
        assert source.crashes >= 5


def test_a_restart_goes_on_from_the_log_and_not_from_a_group(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(10))
    tables = {"t": table_of(topic, **BAG)}
    with Source(kafka, tables) as source:
        assert source.rows() == rows(10)
    topic.send(*numbered(10, 10))
    with Source(kafka, tables, log=source.log) as again:
        assert again.rows() == rows(20)
    # Another log knows nothing of the first one's place.
    with Source(kafka, tables) as other:
        assert other.rows() == rows(20)


def test_a_killed_broker_comes_back_and_nothing_is_lost_or_doubled(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        topic = Topic(broker, 2)
        topic.send(*numbered(50))
        with Source(broker, {"t": table_of(topic, **BAG)}) as source:
            assert source.rows() == rows(50)
            broker.kill()
            with pytest.raises(SourceUnavailable):
                source.source.current_position(0.5)
            broker.start()
            topic.send(*numbered(50, 50), partition=1)
            assert source.rows() == rows(100)


def test_a_broker_that_is_down_at_the_start_is_waited_for(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        topic = Topic(broker)
        topic.send(*numbered(5))
        broker.stop()
        with Source(broker, {"t": table_of(topic, **BAG)}) as source:
            deadline = time.monotonic() + PATIENCE_S
            while not source.errors and time.monotonic() < deadline:
                time.sleep(0.05)
            assert source.errors[0].transient
            assert broker.bootstrap in str(source.errors[0])
            broker.start()
            assert source.rows() == rows(5)


def test_aborted_transactions_are_not_seen_and_the_position_passes_them(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    topic.transaction(*numbered(3))
    topic.transaction(*numbered(50, 100), commit=False)
    with Source(kafka, {"t": table_of(topic, **BAG)}) as source:
        assert source.rows() == rows(3)
        # Three records and a marker, fifty records and a marker.
        assert source.position().offsets == {(topic.name, 0): 55}
        assert source.log.position == source.position()
        topic.transaction(*numbered(50, 100), commit=False)
        assert source.rows() == rows(3)
        topic.transaction(*numbered(2, 3))
        assert source.rows() == rows(5)
        assert source.log.position == source.position()


def test_an_open_transaction_holds_nobody_up_and_its_end_brings_its_records(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(3))
    with Source(kafka, {"t": table_of(topic, **BAG)}) as source:
        assert source.rows() == rows(3)
        open_one = topic.begin(*numbered(2, 3))
        assert source.rows() == rows(3)
        open_one.commit_transaction(PATIENCE_S)
        assert source.rows() == rows(5)


def test_the_barrier_covers_every_record_that_was_acknowledged_before_it(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, 4)
    with Source(kafka, {"t": table_of(topic, **BAG)}) as source:
        source.settle()
        missed: list[int] = []
        for number in range(60):
            send = topic.transaction if number % 3 == 0 else topic.send
            send({"id": number, "n": 0}, partition=number % 4)
            position = source.position()
            source.wait(lambda position=position: source.covers(position))
            if not any(row[0] == number for row in source.log.folded().table("k.t")):
                missed.append(number)
        assert missed == []
        # A transaction's commit is promised before its records can be read; the broker was asked about that.
        assert source.source._commits._can_ask  # type: ignore[attr-defined]


def test_callers_that_ask_together_share_the_question(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, 2)
    topic.send(*numbered(5))
    with Source(kafka, {"t": table_of(topic, **BAG)}) as source:
        source.settle()
        barrier: Any = source.source._barrier
        before = barrier.questions
        ready = threading.Barrier(24)
        found: list[Any] = []

        def ask() -> None:
            ready.wait()
            found.append(source.position())

        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(found) == 24
        assert {str(one) for one in found} == {f"{topic.name}/0=5,1=0"}
        assert 0 < barrier.questions - before < 24


def test_new_partitions_are_read_from_their_beginning(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    with Source(kafka, {"t": table_of(topic, **BAG)}, start="latest") as source:
        source.settle()
        topic.widen(3)
        topic.send(*numbered(7), partition=2)
        assert source.rows() == rows(7)


def test_a_topic_that_does_not_exist_is_named_with_similar_ones_and_read_when_it_appears(
    kafka: KafkaBroker,
) -> None:
    here = Topic(kafka)
    here.send(*numbered(2))
    later = Topic(kafka, 0, name=here.name + "x")
    tables = {"t": table_of(here, **BAG), "u": table_of(later, **BAG)}
    with Source(kafka, tables, start="latest") as source:
        # The others go on, and nobody waits for what is not there.
        assert source.rows() == []
        status = source.status(lambda one: bool(one.error))
        assert f"There is no topic {later.name!r}" in status.error
        assert here.name in status.error
        later.make()
        later.send(*numbered(4))
        assert source.rows("u") == rows(4)
        source.status(lambda one: one.error is None)


def test_tombstones_and_changes_of_a_compacted_topic(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, config={"cleanup.policy": "compact"})
    topic.send({"id": 1, "n": 1}, key=1)
    topic.send({"id": 2, "n": 1}, key=2)
    with Source(kafka, {"t": table_of(topic)}) as source:
        assert source.rows() == [(1, 1), (2, 1)]
        topic.send(None, key=1)
        topic.send({"id": 2, "n": 5}, key=2)
        # What a producer writes twice changes nothing.
        topic.send({"id": 2, "n": 5}, key=2)
        assert source.rows() == [(2, 5)]


def test_a_record_of_twenty_megabytes(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, config={"max.message.bytes": "40000000"})
    text = "x" * 20_000_000
    topic.send({"id": 1, "text": text}, {"id": 2, "text": "small"}, {"id": 3, "text": text})
    with Source(kafka, {"t": table_of(topic, {"id": "BIGINT", "text": "STRING"})}) as source:
        assert [(key, len(value)) for key, value in source.rows()] == [
            (1, 20_000_000),
            (2, 5),
            (3, 20_000_000),
        ]


def test_a_record_that_is_too_large_for_a_row_is_set_aside(
    kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springline.sources.kafka.reading.LARGEST_RECORD_BYTES", 1_000)
    topic = Topic(kafka)
    topic.send({"id": 1, "n": 1}, {"id": 2, "text": "x" * 5_000}, {"id": 3, "n": 3})
    with Source(kafka, {"t": table_of(topic)}) as source:
        assert source.rows() == [(1, 1), (3, 3)]
        [row] = source.rows("rejected_records")
        assert row[:3] == (topic.name, 0, 1)
        assert "bytes are more than" in row[5]


@pytest.mark.parametrize(
    "poison", [b"\xff\x00", b"[" * 50_000, b"{}", b'{"id": "x"}', b'{"id": 1e999999999}', b"null"]
)
def test_a_poisonous_record_is_set_aside_and_the_rest_goes_on(kafka: KafkaBroker, poison: bytes) -> None:
    topic = Topic(kafka)
    topic.send({"id": 1, "n": 1}, poison, {"id": 3, "n": 3})
    with Source(kafka, {"t": table_of(topic)}) as source:
        assert source.rows() == [(1, 1), (3, 3)]
        [row] = source.rows("rejected_records")
        assert row[:3] == (topic.name, 0, 1)
        assert row[4] == poison[:2_000].decode(errors="replace")
        assert row[5]
        assert source.source.status().details["rejected_records"] == 1


def test_a_registry_that_is_down_is_waited_for_and_no_record_is_passed_over(kafka: KafkaBroker) -> None:
    registry = FakeRegistry()
    registry.status = 503
    topic = Topic(kafka)
    # The second one's schema is known to nobody.
    topic.send(avro(7, ROW, VALUE), avro(9, ROW, VALUE), avro(7, ROW, {**VALUE, "id": 2}))
    tables = {"t": table_of(topic, COLUMNS, format="avro")}
    try:
        with Source(kafka, tables, schemas=Registry("k", registry.url)) as source:
            source.wait(lambda: bool(source.errors))
            assert source.errors[0].transient
            assert "registry" in source.errors[0].message
            assert source.log.folded().table("k.t") == []
            registry.status = 200
            assert source.rows() == [tuple(STORED), (2, *STORED[1:])]
            [rejected] = source.rows("rejected_records")
            assert rejected[:3] == (topic.name, 0, 1)
    finally:
        registry.close()


@pytest.mark.parametrize(
    ("start", "expected"), [("earliest", rows(10)), ("latest", rows(2, 10)), ("offsets", rows(6, 6))]
)
def test_where_a_topic_is_begun(kafka: KafkaBroker, start: str, expected: Any) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(10))
    options: Any = {"start": {topic.name: {0: 6}} if start == "offsets" else start}
    with Source(kafka, {"t": table_of(topic, **BAG)}, **options) as source:
        source.settle()
        if start != "earliest":
            topic.send(*numbered(2, 10))
        assert source.rows() == expected


def test_a_topic_may_be_begun_at_a_time(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(10))
    time.sleep(0.02)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1_000) % 1_000:03d}Z"
    time.sleep(0.02)
    tables = {"t": table_of(topic, **BAG)}
    with Source(kafka, tables, start=at) as source:
        # There is no record that is not older yet.
        assert source.rows() == []
    topic.send(*numbered(2, 10))
    with Source(kafka, tables, start=at) as other:
        assert other.rows() == rows(2, 10)


def test_wrong_credentials_are_terminal_and_no_message_shows_them(
    have_kafka: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_KAFKA_PASSWORD", "open-sesame-4711")
    options = {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "shop",
        "sasl.password": "env:SHOP_KAFKA_PASSWORD",
    }
    with KafkaBroker(tmp_path / "kafka", users={"shop": "open-sesame-4711"}) as broker:
        topic = Topic(broker)
        topic.send(*numbered(3))
        tables = {"t": table_of(topic, **BAG)}
        with Source(broker.secured_bootstrap, tables, options=options) as source:
            assert source.rows() == rows(3)
        monkeypatch.setenv("SHOP_KAFKA_PASSWORD", "wrong-sesame-0815")
        with Source(broker.secured_bootstrap, tables, options=options) as wrong:
            error = wrong.wait_failed()
        assert isinstance(error, SourceError)
        assert not error.transient
        assert "sasl.password" in (error.hint or "")
        shown = f"{error} {wrong.source!r} {wrong.source.status()} {caplog.text}"
        assert "sesame" not in shown


def test_an_application_reads_topics_into_views(kafka: KafkaBroker, tmp_path: Path) -> None:
    topic = Topic(kafka, 2)

    def read(sql: str) -> list[tuple[Any, ...]]:
        with running.runtime.read(require="now", deadline_ms=30_000) as snapshot:
            return snapshot.query(sql).rows

    def app() -> App:
        made = App("test")
        made.kafka("k", kafka.bootstrap, tables={"t": table_of(topic)})
        made.view("sums", "SELECT COUNT(*) AS c, SUM(n) AS s FROM k.t")
        return made

    with app().start(data=tmp_path / "data") as running:
        for number in range(30):
            topic.send({"id": number, "n": number}, partition=number % 2)
            assert read("SELECT c FROM sums") == [(number + 1,)]
        topic.send(b"poison")
        topic.transaction({"id": 0, "n": 100})
        assert read("SELECT c, s FROM sums") == [(30, sum(range(30)) + 100)]
        assert read("SELECT topic, value FROM k.rejected_records") == [(topic.name, "poison")]
    topic.send({"id": 30, "n": 0})
    with app().start(data=tmp_path / "data") as running:
        assert read("SELECT c, s FROM sums") == [(31, sum(range(30)) + 100)]
        status = running.runtime.status().sources["k"]
        assert status.state == "streaming"
        assert "k.t" in running.reload(["k"])
        assert read("SELECT c, s FROM sums") == [(31, sum(range(30)) + 100)]


def test_the_doctor_says_what_is_there(kafka: KafkaBroker) -> None:
    topic = Topic(kafka, 2)
    topic.send(*numbered(3))
    source = KafkaSource("k", kafka.bootstrap, tables={"t": table_of(topic), "u": table_of(topic.name + "s")})
    found = source.check()
    assert [one.severity for one in found] == ["ok", "ok", "error"]
    assert found[1].message == f"Topic {topic.name!r}: 2 partitions, 3 offsets."
    assert topic.name in (found[2].fix or "")
    source.close()


def test_a_broker_that_is_not_there_makes_the_barrier_miss_and_says_so(tmp_path: Path) -> None:
    app = App("test")
    app.kafka("k", "127.0.0.1:1", tables={"t": table_of("nowhere")})
    with (
        app.start(data=tmp_path / "data") as running,
        pytest.raises(NotFresh, match="k"),
        running.runtime.read(require="now", deadline_ms=300),
    ):
        pass
