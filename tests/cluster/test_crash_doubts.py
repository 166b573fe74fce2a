"""Who may write, which number a cut has, and from where a node goes on: where two captures, an unknown commit or a long absence make that doubtful."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from springline import cluster
from springline.app import App
from springline.log.kafka.clients import Kafka
from springline.log.kafka.follower import ClusterFollower
from springline.log.kafka.names import derived_topic
from springline.log.kafka.reading import read_range
from springline.log.kafka.topics import committed_ends, partitions_of
from springline.sources.json_rows import JsonTable
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from tests.cluster.crash.check import Found, check_cuts
from tests.cluster.crash.parts import APP, LATEST_S, capture
from tests.cluster.crash.rounds import World
from tests.cluster.local import Local, rows, write


@pytest.mark.timeout(1_500)
def test_one_capture_writes_and_each_cut_has_its_own_number(
    kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    with World(tmp_path, kafka, flink, seed=7) as world:
        first = world.capture
        with world.load.held():
            first.end()
            copied = capture(tmp_path / "copy", world.environment)
            old = capture(tmp_path / "old", world.environment)
            other = capture(tmp_path / "other", world.environment)
            for one in (copied, old):
                shutil.copytree(first.folder / "data", one.folder / "data")
            first.start()
            world.node.wait_for("SELECT version FROM bank.marks")
            # The same application from another folder: it is refused, and shuts out nobody.
            other.start()
            assert other.wait_gone(LATEST_S)
            assert "were written from another data folder" in other.said()
            assert first.lives()
            # From a copy that can go on: the first one stops with the next change.
            copied.start()
            deadline = time.monotonic() + LATEST_S
            while "the other log holds everything" not in copied.said() and time.monotonic() < deadline:
                time.sleep(0.5)
            world.load.once()
            assert first.wait_gone(LATEST_S), copied.said()
            assert "Another process has taken over" in first.said()
            # What the first one has captured since is not in the copy, and PostgreSQL has forgotten it: tables are read again.
            copied.end()
            copied.tell("resnapshot", "--app", str(APP))
            copied.start()
            world.node.wait_for("SELECT version FROM bank.marks")
            asked_for_now, asked_for_nothing = world.questions
            assert not asked_for_now.found
            # While tables are read again, each is of its own moment to whoever does not ask for now.
            asked_for_nothing.found = Found()
        world.capture = copied
        assert world.check(), world.tally.found.notes
        # From a copy that is too old: it is refused, and shuts out nobody.
        old.start()
        assert old.wait_gone(LATEST_S)
        assert "and this data folder holds records" in old.said()
        assert copied.lives()
        # A cut that was committed, and whose coordinator never knew; and one of which nothing came.
        for place in ("after_a_cut_is_committed:2", "before_a_cut_is_committed:2", "after_a_checkpoint:2"):
            copied.kill()
            copied.start(die_at=place)
            assert copied.wait_gone(LATEST_S), copied.said()
        copied.start()
        assert world.check(), world.tally.found.notes
        found = Found()
        check_cuts(world.kafka, world.name, found)
        assert not found, found.notes
        assert found.compared > 5
        assert not world.finish().found


# -- a node that was away ------------------------------------------------------------------------------------------------

TABLES = {"orders": JsonTable({"id": "BIGINT", "amount": "BIGINT"}, ["id"])}


@pytest.fixture
def shop(kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path) -> Iterator[Local]:
    lines = tmp_path / "shop.jsonl"
    lines.touch()

    def declare(app: App) -> None:
        app.jsonl("shop", lines, tables=TABLES, table_field="type", operation_field="op")
        app.view("large", "SELECT id, amount FROM shop.orders WHERE amount > 10")

    local = Local(kafka, flink, tmp_path, declare)
    yield local
    local.end_jobs()


def order(number: int, amount: int, operation: str = "u") -> dict[str, object]:
    return {"type": "orders", "op": operation, "id": number, "amount": amount}


def _forget_deletions(shop: Local, kafka: KafkaBroker) -> None:
    """As Kafka does days later: compacts the derived topics, and drops the tombstones in them."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    short = {
        "delete.retention.ms": "1",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.0001",
        "max.compaction.lag.ms": "1",
    }
    topics = [derived_topic(shop.name, 1, name) for name in ("shop.orders", "large")]
    changed = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in short.items()
            ],
        )
        for topic in topics
    ]
    for future in admin.incremental_alter_configs(changed).values():
        future.result(60)


def _tombstones(shop: Local, kafka: KafkaBroker) -> int:
    connection = Kafka(kafka.bootstrap)
    topics = [derived_topic(shop.name, 1, name) for name in ("shop.orders", "large")]
    ends = committed_ends(connection, partitions_of(connection, topics))
    return sum(record.value is None for batch in read_range(connection, {}, ends) for record in batch)


@pytest.mark.timeout(900)
def test_a_node_that_was_away_for_too_long_loads_everything_anew(shop: Local, kafka: KafkaBroker) -> None:
    """It missed a deletion that Kafka no longer has. Whoever goes on from where it was keeps the row; whoever loads anew does not."""
    lines = shop.folder / "shop.jsonl"
    write(lines, *(order(number, number) for number in range(1, 21)))
    shop.deploy()
    with shop.capture():
        for number in (1, 2):
            with shop.node(number) as node:
                assert len(rows(node, "SELECT id FROM shop.orders")) == 20
        write(lines, order(7, 0, "d"), order(15, 0, "d"), order(16, 1), order(30, 30))
        wanted = {*range(1, 21), 30} - {7, 15}
        with shop.node(3) as node:
            assert {row["id"] for row in rows(node, "SELECT id FROM shop.orders")} == wanted
        _forget_deletions(shop, kafka)
        deadline = time.monotonic() + LATEST_S
        number = 100
        while _tombstones(shop, kafka):
            # Only what lies before the newest segment is compacted, and a record begins a new one.
            number += 1
            write(lines, order(number, number))
            wanted.add(number)
            assert time.monotonic() < deadline, "Kafka has not compacted its topics"
            time.sleep(1.0)
        app = shop.app()
        definition = cluster.serving(app)
        assert shop.settings.kafka is not None
        short = ClusterFollower(shop.name, Kafka(shop.settings.kafka), longest_absence_s=0.001)
        with app.start(data=shop.folder / "node1", definition=replace(definition, sources=(short,))) as anew:
            assert {row["id"] for row in rows(anew, "SELECT id FROM shop.orders")} == wanted
            large = {row["id"] for row in rows(anew, "SELECT id FROM large")}
            assert large == {one for one in wanted if one > 10 and one != 16}
        with shop.node(2) as kept:
            assert {row["id"] for row in rows(kept, "SELECT id FROM shop.orders")} == wanted | {7, 15}, (
                "the deletions are still there: this shows nothing"
            )
