"""What becomes of an application on a cluster when something bad happens while it runs: nothing is lost, no old answer is given for a new one, and it
is said what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from springline.app import App, Running
from springline.cluster import Capture
from springline.errors import ConfigurationError, NotFresh, SpringlineError
from springline.sources.json_rows import JsonTable
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.postgres import PostgresServer
from tests.cluster.kafka_harness import Topic
from tests.cluster.local import Local, rows, write

PATIENCE_S = 240.0
TOTALS = "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM shop.orders GROUP BY customer"


def order(number: int, amount: str = "1.00") -> dict[str, object]:
    return {"op": "u", "id": number, "customer": "Ada", "amount": amount}


def orders(kafka: KafkaBroker, flink: FlinkCluster, folder: Path) -> Local:
    """An application of orders in a file, two of them there."""
    lines = folder / "shop.jsonl"
    columns = {"id": "BIGINT", "customer": "STRING", "amount": "DECIMAL(12, 2)"}
    write(lines, order(1), order(2))

    def declare(app: App) -> None:
        app.jsonl("shop", lines, tables={"orders": JsonTable(columns, ["id"])}, operation_field="op")
        app.view("totals", TOTALS)

    return Local(kafka, flink, folder, declare)


@pytest.fixture
def shop(kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path) -> Iterator[Local]:
    local = orders(kafka, flink, tmp_path)
    yield local
    local.end_jobs()


def counted(node: Running) -> object:
    """How many orders the view has, with everything that was written before."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            [row] = rows(node, "SELECT n FROM totals")
        except NotFresh:
            assert time.monotonic() < deadline
        else:
            return row["n"]


def here(node: Running) -> object:
    """What it has without asking."""
    with node.runtime.read() as snapshot:
        [row] = snapshot.query("SELECT n FROM totals").dictionaries()
    return row["n"]


def age_us(node: Running) -> int:
    with node.runtime.read() as snapshot:
        as_of_us = snapshot.ages()["shop"].as_of_us
    assert as_of_us is not None
    return time.time_ns() // 1_000 - as_of_us


def refused(node: Running) -> str:
    """Why an answer that covers everything is not given."""
    with pytest.raises(NotFresh) as found, node.runtime.read(require="now", deadline_ms=1_500):
        pass
    return str(found.value)


def said(find: Callable[[], SpringlineError | None], text: str) -> SpringlineError:
    """An error that has a text, once there is one."""
    deadline = time.monotonic() + PATIENCE_S
    while (error := find()) is None or text not in str(error):
        assert time.monotonic() < deadline, error
        time.sleep(0.1)
    return error


def cuts(capture: Capture) -> Callable[[], SpringlineError | None]:
    """Why there is no cut."""
    coordinator = capture.coordinator
    assert coordinator is not None
    return lambda: coordinator.error


def publishing(capture: Capture) -> Callable[[], SpringlineError | None]:
    """Why nothing is handed over."""
    publishing = capture.runtime.publishing
    assert publishing is not None
    return lambda: publishing.error


# -- a broker that goes away -------------------------------------------------------------------------------------------


def test_while_kafka_is_down_answers_go_on_and_grow_old(
    have_kafka: None, flink: FlinkCluster, tmp_path: Path
) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        local = orders(broker, flink, tmp_path)
        try:
            local.deploy()
            with local.capture() as capture, local.node() as node:
                assert counted(node) == 2
                broker.stop()
                write(tmp_path / "shop.jsonl", order(3))
                error = said(publishing(capture), f"Kafka at {broker.bootstrap} cannot be used now, while ")
                assert error.transient
                assert error.hint == "It is tried again; nothing is lost."
                assert here(node) == 2
                before_us = age_us(node)
                assert "cluster" in refused(node)
                assert age_us(node) > before_us
                capture.check()
                broker.start()
                assert counted(node) == 3
                assert publishing(capture)() is None
        finally:
            local.end_jobs()


# -- topics that are deleted -------------------------------------------------------------------------------------------


def test_a_deleted_derived_topic_is_named_and_a_deployment_makes_it_anew(
    shop: Local, kafka: KafkaBroker
) -> None:
    first = shop.deploy().deployed
    lines = shop.folder / "shop.jsonl"
    with shop.capture() as capture, shop.node() as node:
        assert counted(node) == 2
        topic = next(one.topic for one in first.relations if one.schema.name == "totals")
        Topic(kafka, 0, name=topic).delete()
        write(lines, order(3))
        error = said(cuts(capture), topic)
        assert error.transient
        assert here(node) == 2
        again = shop.deploy()
        assert (again.action, again.deployed.generation) == ("start", 2)
        assert counted(node) == 3
        capture.check()


def test_deleted_control_topics_give_no_old_answer_and_a_deployment_goes_on(
    shop: Local, kafka: KafkaBroker
) -> None:
    shop.deploy()
    lines = shop.folder / "shop.jsonl"
    with shop.capture() as capture, shop.node() as node:
        for number in range(3, 6):
            write(lines, order(number))
            assert counted(node) == number
        for name in ("deployments", "barriers", "cuts"):
            Topic(kafka, 0, name=f"{shop.name}.{name}").delete()
        write(lines, order(6))
        said(cuts(capture), f"Application {shop.name!r} is not deployed. Run `springline deploy`.")
        assert here(node) == 5
        refused(node)
        shop.end_jobs()
        again = shop.deploy()
        # The topics of the first generation are there, and are not mixed with this one's.
        assert (again.action, again.deployed.generation) == ("start", 2)
    with shop.capture() as capture, shop.node() as node:
        assert counted(node) == 6
        write(lines, order(7))
        assert counted(node) == 7


@pytest.mark.parametrize("deleted", ["shop.orders", "capture"])
def test_a_deleted_topic_of_captures_is_said_and_not_written_over(
    shop: Local, kafka: KafkaBroker, deleted: str
) -> None:
    with shop.capture(makes_cuts=False) as capture:
        publishing_ = capture.runtime.publishing
        assert publishing_ is not None
        assert publishing_.wait_published(2, PATIENCE_S)
    topic = f"{shop.name}.{deleted}"
    Topic(kafka, 0, name=topic).delete()
    with shop.capture(makes_cuts=False) as capture:
        error = said(publishing(capture), f"Topic {topic!r}")
        assert not error.transient
        assert "was deleted" in error.message
        assert "new name" in (error.hint or "")
        with pytest.raises(ConfigurationError):
            capture.check()


# -- records of somebody else ------------------------------------------------------------------------------------------

POISON = [
    b"\xff\x00",
    b"{}",
    b"null",
    b"[]",
    b'{"op": "z"}',
    b'{"op": "c", "after": null}',
    b'{"op": "c", "after": {"id": "x", "amount": "1"}}',
    b'{"op": "d", "before": {"customer": "Ada"}}',
]


def test_records_of_somebody_else_do_not_end_the_job_and_become_dead_letters(
    shop: Local, kafka: KafkaBroker
) -> None:
    job = shop.deploy().deployed.job_id
    lines = shop.folder / "shop.jsonl"
    with shop.capture() as capture, shop.node() as node:
        assert counted(node) == 2
        topic = Topic(kafka, 0, name=f"{shop.name}.shop.orders")
        for partition in range(2):
            # A compacted topic takes no record without a key.
            topic.send(*POISON, partition=partition, key="poison")
        # Behind them on both partitions.
        write(lines, *(order(number) for number in range(3, 23)))
        assert counted(node) == 22
        [row] = rows(node, "SELECT COUNT(*) AS n FROM shop.orders")
        assert row["n"] == 22
        with capture.runtime.read() as snapshot:
            found = snapshot.query("SELECT * FROM springline.dead_letters ORDER BY `key`").dictionaries()
    assert [(one["what"], one["name"]) for one in found] == [("record", topic.name)] * 2
    for partition, letter in enumerate(found):
        assert str(letter["key"]).startswith(f"partition {partition}, offset ")
        assert f"{len(POISON)} records that were not written by capture" in str(letter["reason"])
    assert shop.rest.exceptions(job) == [], "the job was restarted"


# -- tables of PostgreSQL ----------------------------------------------------------------------------------------------


def test_rows_that_are_too_large_and_tables_that_change(
    kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    with PostgresServer(tmp_path / "postgres") as server:
        dsn = server.create_database("desk")
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        run = connection.cursor().execute
        run("CREATE TABLE notes(id int PRIMARY KEY, size int, text text)")
        run("INSERT INTO notes VALUES (1, 1, 'small'), (2, 2, repeat('x', 20000000)), (3, 3, 'small')")

        def declare(app: App) -> None:
            app.postgres("desk", dsn, tables=["notes"])
            app.view("sizes", "SELECT id, size FROM desk.notes")

        local = Local(kafka, flink, tmp_path, declare)
        try:
            local.deploy()
            with local.capture() as capture, local.node() as node:
                _too_large(capture, node, run)
                _changed(local, capture, node, run)
        finally:
            connection.close()
            local.end_jobs()


def _sizes(node: Running) -> list[tuple[object, ...]]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return [tuple(one.values()) for one in rows(node, "SELECT id, size FROM sizes ORDER BY id")]
        except NotFresh:
            assert time.monotonic() < deadline


def _letters(capture: Capture) -> list[dict[str, object]]:
    with capture.runtime.read() as snapshot:
        return snapshot.query("SELECT name, `key`, reason FROM springline.dead_letters").dictionaries()


def _too_large(capture: Capture, node: Running, run: Callable[[str], object]) -> None:
    assert _sizes(node) == [(1, 1), (3, 3)]
    [letter] = _letters(capture)
    assert (letter["name"], letter["key"]) == ("desk.notes", "(2,)")
    assert "as a record; at most 16,777,216 are sent." in str(letter["reason"])
    run("INSERT INTO notes VALUES (4, 4, 'later')")
    assert _sizes(node) == [(1, 1), (3, 3), (4, 4)]
    run("UPDATE notes SET text = 'small' WHERE id = 2")
    assert _sizes(node) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert _letters(capture) == []


def _changed(local: Local, capture: Capture, node: Running, run: Callable[[str], object]) -> None:
    before = _sizes(node)
    run("ALTER TABLE notes ADD COLUMN more text")
    run("INSERT INTO notes VALUES (5, 5, 'x', 'more')")
    # A column more does not concern the job.
    assert _sizes(node) == [*before, (5, 5)]
    run("ALTER TABLE notes ALTER COLUMN size TYPE text USING 'about ' || size")
    run("INSERT INTO notes VALUES (6, 'about 6', 'x')")
    error = said(cuts(capture), "Table 'desk.notes' has changed since generation 1 was deployed")
    assert "column 'size' was INT and is STRING" in error.message
    assert "springline deploy" in (error.hint or "")
    refused(node)
    with node.runtime.read() as snapshot:
        found = snapshot.query("SELECT id, size FROM sizes ORDER BY id").rows
    assert [tuple(one) for one in found] == [*before, (5, 5)]
    assert local.deploy().deployed.generation == 2
    wanted = [(number, f"about {number}") for number in range(1, 7)]
    deadline = time.monotonic() + PATIENCE_S
    while _sizes(node) != wanted:
        assert time.monotonic() < deadline, _sizes(node)
    capture.check()
