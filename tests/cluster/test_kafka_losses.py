"""The Kafka source where records or topics are gone, and where tables are loaded again."""

from __future__ import annotations

import pytest

from springline.errors import SourceLost
from springline.sources.base import Reloadable
from springline.testing.capture import Crash
from springline.testing.kafka import KafkaBroker
from tests.cluster.kafka_harness import BAG, Source, Topic, numbered, rows, table_of


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sources.kafka.capture.LOOK_EVERY_S", 0.3)


def test_what_retention_removed_before_it_was_read_is_said(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(10))
    tables = {"t": table_of(topic, **BAG)}
    with Source(kafka, tables) as source:
        assert source.rows() == rows(10)
    topic.send(*numbered(10, 10))
    topic.forget(before=15)
    with Source(kafka, tables, log=source.log) as again:
        error = again.wait_failed()
    assert isinstance(error, SourceLost)
    assert (
        f"partition 0 of topic {topic.name!r} begins at 15 and was read up to 10: 5 offsets" in error.message
    )
    assert error.hint is not None
    assert "resnapshot k" in error.hint
    # The operator asks for a reload, or it was allowed from the beginning.
    again.source.resnapshot(source.log.open_writer())
    with Source(kafka, tables, log=source.log) as third:
        assert third.rows() == rows(5, 15)


def test_a_loss_may_be_allowed(kafka: KafkaBroker) -> None:
    topic, other = Topic(kafka), Topic(kafka)
    topic.send(*numbered(10))
    other.send(*numbered(3))
    tables = {"t": table_of(topic), "u": table_of(other, **BAG)}
    with Source(kafka, tables, on_lost="reload") as source:
        assert source.rows() == rows(10)
    topic.send(*numbered(10, 10))
    topic.forget(before=15)
    with Source(kafka, tables, log=source.log, on_lost="reload") as again:
        assert again.rows() == rows(5, 15)
        assert again.rows("u") == rows(3)


@pytest.mark.parametrize("while_running", [True, False])
def test_a_topic_that_is_made_anew_is_not_taken_for_the_old_one(
    kafka: KafkaBroker, while_running: bool
) -> None:
    topic = Topic(kafka)
    topic.send(*numbered(10))
    tables = {"t": table_of(topic, **BAG)}
    with Source(kafka, tables) as source:
        assert source.rows() == rows(10)
        if not while_running:
            source.stop()
        topic.delete()
        topic.make()
        topic.send(*numbered(20, 100))
        if while_running:
            error = source.wait_failed()
    if not while_running:
        with Source(kafka, tables, log=source.log) as again:
            error = again.wait_failed()
    assert isinstance(error, SourceLost)
    assert topic.name in error.message
    with Source(kafka, tables, log=source.log, on_lost="reload") as third:
        assert third.rows() == rows(20, 100)
        # The old topic's positions are behind the new one's, though their numbers are not.
        assert str(third.log.position) == f"{topic.name}#2/0=20"


def test_tables_are_loaded_again_while_others_of_the_topic_see_each_record_once(kafka: KafkaBroker) -> None:
    topic = Topic(kafka)
    record = {"op": "c", "source": {"table": "a"}, "before": None}
    topic.send(*({**record, "after": {"id": number, "n": 0}} for number in range(20)))
    topic.send(
        *({**record, "source": {"table": "b"}, "after": {"id": number, "n": 0}} for number in range(5))
    )
    first = {"a": table_of(topic, format="debezium", tag="a", **BAG)}
    both = {**first, "b": table_of(topic, format="debezium", tag="b", **BAG)}
    with Source(kafka, first) as source:
        assert source.rows("a") == rows(20)
    # A table that is declared later has what came before it.
    with Source(kafka, both, log=source.log) as again:
        assert again.rows("b") == rows(5)
        assert again.rows("a") == rows(20)
        assert isinstance(again.source, Reloadable)
        before = len(again.log.entries())
        again.source.request_reload(["b"])
        again.wait(lambda: any(entry[0] == "t" for entry in again.log.entries()[before:]))
        assert again.rows("b") == rows(5)
        assert again.rows("a") == rows(20)
        topic.send({**record, "after": {"id": 20, "n": 0}})
        assert again.rows("a") == rows(21)
    # A table that is declared no more is gone.
    with Source(kafka, first, log=source.log) as last:
        assert last.rows("a") == rows(21)
        assert "k.b" not in last.log.folded().schemas


def test_a_reload_goes_on_after_a_crash(kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sources.kafka.capture._MOST_BYTES", 500)
    topic = Topic(kafka)
    topic.send(*numbered(100))
    tables = {"t": table_of(topic, **BAG)}
    with Source(kafka, tables) as source:
        assert source.rows() == rows(100)
        source.stop()
        source.source.resnapshot(source.log.open_writer())
    begun = source.log.commits

    def crash(commit: int) -> None:
        if commit == begun + 4 and not again.crashes:
            raise Crash

    source.log.before_commit = crash
    again = Source(kafka, tables, log=source.log)
    with again:
        again.wait(lambda: again.crashes == 1)
        assert again.rows() == rows(100)
