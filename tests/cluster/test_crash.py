"""One kill of each part, and a while without a broker, so that every change of the code meets them. ``make crash-cluster`` makes many.

And the crash runs notice a Springline that breaks a promise: if one of the mutants passed unnoticed, they would prove nothing.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from springline.errors import SpringlineError
from springline.log.kafka.clients import Kafka
from springline.log.kafka.names import capture_topic
from springline.log.kafka.reading import last_json
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from tests.cluster.crash.check import Found, check_table_topics
from tests.cluster.crash.declared import create
from tests.cluster.crash.load import Load
from tests.cluster.crash.parts import LATEST_S, capture, new_name, variables
from tests.cluster.crash.rounds import World, crash, database


@pytest.mark.timeout(1_800)
def test_no_kill_loses_doubles_or_mixes_anything(have_kafka: None, have_flink: None, tmp_path: Path) -> None:
    said: list[str] = []
    tally = crash(tmp_path, kills=5, seed=11, outage_s=60.0, say=said.append)
    assert tally.line() == (
        "kills=5 (taskmanager=1 jobmanager=1 broker=1 capture=1 node=1) lost=0 duplicated=0 stale=0 mixed=0 wrong=0"
    ), "\n".join(said)
    assert tally.checks == 7
    assert tally.answered > 0


# -- what breaks a promise is noticed ------------------------------------------------------------------------------------


def captured(broker: KafkaBroker, folder: Path, *, die_at: str, mutant: str = "", kills: int = 3) -> Found:
    """Captures under load, killed each time at the same place; then with nothing in its way, until all is published, and compares."""
    found = Found()
    with database(folder / "postgres") as server, contextlib.ExitStack() as closing:
        dsn = server.create_database("bank")
        create(dsn)
        name = new_name()
        part = capture(folder / "capture", variables(name, dsn, broker, None), "--no-cuts")
        closing.callback(part.kill)
        load = Load(dsn, seed=3)
        closing.callback(load.stop)
        kafka = Kafka(broker.bootstrap)
        part.start(mutant=mutant)
        _wait_until_published(kafka, name, part.said)
        load.start()
        for _ in range(kills):
            part.kill()
            part.start(die_at=die_at, mutant=mutant)
            assert part.wait_gone(LATEST_S), part.said()
        part.start(mutant=mutant)
        time.sleep(1.0)
        with load.held():
            deadline = time.monotonic() + LATEST_S
            while True:
                found = Found()
                check_table_topics(kafka, name, load.history, found)
                if not found.lost or time.monotonic() > deadline:
                    return found
                time.sleep(0.5)


def _wait_until_published(kafka: Kafka, name: str, said: Callable[[], str]) -> None:
    """Until the first rows are in the topics."""
    deadline = time.monotonic() + LATEST_S
    while time.monotonic() < deadline:
        with contextlib.suppress(SpringlineError):
            if last_json(kafka, capture_topic(name)) is not None:
                return
        time.sleep(0.5)
    raise AssertionError(f"nothing was published: {said()}")


PLACES = ["inside_a_publish:30", "before_a_publish_is_committed:2", "after_a_publish_is_committed:2"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("die_at", PLACES)
def test_capture_publishes_each_change_once_wherever_it_dies(
    kafka: KafkaBroker, tmp_path: Path, die_at: str
) -> None:
    found = captured(kafka, tmp_path, die_at=die_at)
    assert not found, found.notes


@pytest.mark.timeout(900)
def test_a_capture_that_ignores_its_record_in_the_topic_is_noticed(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    found = captured(
        kafka, tmp_path, die_at="after_a_publish_is_committed:2", mutant="resumes_from_its_own_outbox"
    )
    assert found.duplicated > 0, found.line()


@pytest.mark.timeout(900)
def test_a_capture_without_transactions_is_noticed(kafka: KafkaBroker, tmp_path: Path) -> None:
    found = captured(kafka, tmp_path, die_at="inside_a_publish:30", mutant="publishes_without_transactions")
    assert found.duplicated > 0, found.line()


@pytest.mark.timeout(900)
def test_a_node_that_stores_its_cut_apart_from_its_rows_is_noticed(
    kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    with World(tmp_path, kafka, flink, seed=5) as world:
        world.node.kill()
        world.node.start(mutant="stores_its_cut_apart_from_its_rows", die_at="between_a_nodes_commits:3")
        assert world.node.wait_gone(LATEST_S)
        world.node.start()
        world.check()
        tally = world.finish()
    assert tally.found.lost + tally.found.wrong > 0, tally.line()
