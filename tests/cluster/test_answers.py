"""What nodes answer: everything that was committed before the question, of all relations as of one moment, also while a part of the job is slow."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from springline.app import App
from springline.log.kafka.cut import Cut, Deployed
from springline.log.kafka.topics import committed_ends, partitions_of
from springline.runtime.flink.coordinator import Coordinator
from springline.sources.json_rows import JsonTable
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.postgres import PostgresServer
from tests.cluster.local import DEADLINE_MS, Local, rows, write
from tests.cluster.slow_functions import slowly

TABLES = {
    "orders": JsonTable({"id": "BIGINT", "customer": "BIGINT", "amount": "DECIMAL(12, 2)"}, ["id"]),
    "customers": JsonTable({"id": "BIGINT", "name": "STRING"}, ["id"]),
}
TOTALS = """SELECT c.id, c.name, COUNT(*) AS n, SUM(o.amount) AS total
    FROM shop.orders o JOIN shop.customers c ON o.customer = c.id GROUP BY c.id, c.name"""


@pytest.fixture
def shop(kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path) -> Iterator[Local]:
    lines = tmp_path / "shop.jsonl"
    lines.touch()

    def declare(app: App) -> None:
        app.jsonl("shop", lines, tables=TABLES, table_field="type", operation_field="op")
        app.view("totals", TOTALS)

    local = Local(kafka, flink, tmp_path, declare)
    yield local
    local.end_jobs()


def order(number: int, customer: int, amount: str, operation: str = "u") -> dict[str, object]:
    return {"type": "orders", "op": operation, "id": number, "customer": customer, "amount": amount}


def test_no_answer_is_stale(shop: Local) -> None:
    lines = shop.folder / "shop.jsonl"
    write(lines, {"type": "customers", "op": "u", "id": 1, "name": "Ada"}, order(1, 1, "0.50"))
    shop.deploy()
    with shop.capture(), shop.node() as node:
        for number in range(30):
            write(lines, order(2, 1, str(number)), order(100 + number, 1, "1.00"))
            if number % 3 == 2:
                write(lines, order(100 + number, 1, "0", "d"))
            deleted = (number + 1) // 3
            wanted = {
                "id": 1,
                "name": "Ada",
                "n": 3 + number - deleted,
                "total": f"{number + 1 + number - deleted}.50",
            }
            assert rows(node, "SELECT * FROM totals") == [wanted]
            assert rows(node, "SELECT COUNT(*) AS n FROM shop.orders") == [{"n": wanted["n"]}]


def test_a_node_and_capture_go_on_where_they_were(shop: Local) -> None:
    lines = shop.folder / "shop.jsonl"
    write(lines, {"type": "customers", "op": "u", "id": 1, "name": "Ada"}, order(1, 1, "1.00"))
    shop.deploy()
    with shop.capture():
        with shop.node() as node:
            assert rows(node, "SELECT n FROM totals") == [{"n": 1}]
        write(lines, order(2, 1, "1.00"), order(1, 1, "0", "d"))
        with shop.node(2) as other:
            assert rows(other, "SELECT n FROM totals") == [{"n": 1}]
    write(lines, order(3, 1, "2.00"))
    with shop.capture(), shop.node() as node, shop.node(2) as other:
        for one in (node, other):
            assert rows(one, "SELECT n, total FROM totals") == [{"n": 2, "total": "3.00"}]
            assert rows(one, "SELECT id FROM shop.orders ORDER BY id") == [{"id": 2}, {"id": 3}]
        ages = node.runtime.status().sources["cluster"].details["sources"]
        assert list(ages) == ["shop"]  # type: ignore[call-overload]


def test_an_unchanged_job_stays_and_is_restarted_from_its_state(shop: Local) -> None:
    lines = shop.folder / "shop.jsonl"
    write(lines, {"type": "customers", "op": "u", "id": 1, "name": "Ada"}, order(1, 1, "1.00"))
    first = shop.deploy()
    assert first.action == "start"
    with shop.capture(), shop.node() as node:
        assert rows(node, "SELECT n FROM totals") == [{"n": 1}]
        assert shop.deploy().action == "keep"
        again = shop.deploy(restart=True)
        assert (again.action, again.deployed.generation) == ("resume", first.deployed.generation)
        assert again.deployed.job_id != first.deployed.job_id
        write(lines, order(2, 1, "1.00"))
        assert rows(node, "SELECT n FROM totals") == [{"n": 2}]


def test_a_changed_application_is_a_new_generation_that_takes_over(shop: Local) -> None:
    lines = shop.folder / "shop.jsonl"
    write(lines, {"type": "customers", "op": "u", "id": 1, "name": "Ada"}, order(1, 1, "1.00"))
    old = shop.deploy()
    with shop.capture(), shop.node() as node:
        assert rows(node, "SELECT n FROM totals") == [{"n": 1}]
        declare = shop.declare

        def declare_more(app: App) -> None:
            declare(app)
            app.view("rich", "SELECT id, name, total FROM totals WHERE total >= 1")

        shop.declare = declare_more
        new = shop.deploy()
        assert (new.action, new.deployed.generation) == ("start", old.deployed.generation + 1)
        deadline = time.monotonic() + 60
        while "rich" not in node.runtime.schemas() and time.monotonic() < deadline:
            write(lines, order(2, 1, "1.00"))
            rows(node, "SELECT n FROM totals")
        assert rows(node, "SELECT * FROM rich") == [{"id": 1, "name": "Ada", "total": "2.00"}]
        assert rows(node, "SELECT n FROM totals") == [{"n": 2}]
        shop.rest.wait_for(old.deployed.job_id, lambda state: state == "CANCELED", 30)


# -- a slow part -------------------------------------------------------------------------------------------------------


@pytest.fixture
def notes(kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path) -> Iterator[Local]:
    lines = tmp_path / "notes.jsonl"
    lines.touch()

    def declare(app: App) -> None:
        app.jsonl(
            "desk",
            lines,
            tables={"notes": JsonTable({"id": "BIGINT", "text": "STRING"}, ["id"])},
            operation_field="op",
        )
        app.function("slowly", slowly, arguments=["STRING"], returns="STRING")
        app.view("shown", "SELECT id, slowly(text) AS text FROM desk.notes")

    local = Local(kafka, flink, tmp_path, declare)
    yield local
    local.end_jobs()


def _ask_after_a_slow_one(notes: Local) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """A note that takes two seconds, and the two relations that show it."""
    lines = notes.folder / "notes.jsonl"
    write(lines, {"op": "u", "id": 1, "text": "quick"})
    notes.deploy()
    with notes.capture(), notes.node() as node:
        assert rows(node, "SELECT text FROM shown") == [{"text": "quick"}]
        write(lines, {"op": "u", "id": 1, "text": "slow one"})
        with node.runtime.read(require="now", deadline_ms=DEADLINE_MS) as snapshot:
            return tuple(  # type: ignore[return-value]
                snapshot.query(f"SELECT text FROM {one}").dictionaries() for one in ("desk.notes", "shown")
            )


def test_a_slow_part_of_the_job_is_waited_for(notes: Local) -> None:
    table, view = _ask_after_a_slow_one(notes)
    assert table == view == [{"text": "slow one"}]


def test_a_cut_by_lag_and_a_pause_is_found_out(notes: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: the job has read everything, and half a second later what is committed is taken for the answer."""
    honest = Coordinator._covering

    def by_lag(self: Coordinator, deployed: Deployed, barriers: int) -> Cut:
        if self._last is None:
            return honest(self, deployed, barriers)
        with self._standing() as mark:
            self._wait_read(deployed, mark.inputs)
        time.sleep(0.5)
        places = partitions_of(self._kafka, [one.topic for one in deployed.relations])
        return replace(
            self._last,
            number=self._last.number + 1,
            marked_at_us=mark.marked_at_us,
            positions=mark.positions,
            barriers=barriers,
            offsets=committed_ends(self._kafka, places),
        )

    monkeypatch.setattr(Coordinator, "_covering", by_lag)
    _, view = _ask_after_a_slow_one(notes)
    assert view == [{"text": "quick"}], "the mutant was not caught"


# -- whole transactions ------------------------------------------------------------------------------------------------


def test_a_transaction_over_two_tables_is_seen_as_a_whole(
    kafka: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    with PostgresServer(tmp_path / "postgres") as server:
        dsn = server.create_database("bank")
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE current(id int PRIMARY KEY, amount int NOT NULL); CREATE TABLE savings(id int PRIMARY KEY, amount int NOT NULL);"
                "INSERT INTO current SELECT n, 100 FROM generate_series(1, 20) n; INSERT INTO savings SELECT n, 100 FROM generate_series(1, 20) n"
            )
        connection.close()

        def declare(app: App) -> None:
            app.postgres("bank", dsn, tables=["current", "savings"])
            app.view(
                "everything",
                "SELECT amount, 1 AS kind, id FROM bank.current UNION ALL SELECT amount, 2, id FROM bank.savings",
                key=["kind", "id"],
            )

        local = Local(kafka, flink, tmp_path, declare)
        stop = threading.Event()
        moved = threading.Thread(target=_move_money, args=(dsn, stop))
        try:
            local.deploy()
            with local.capture(), local.node() as node:
                assert rows(node, "SELECT SUM(amount) AS total FROM everything") == [{"total": 4_000}]
                moved.start()
                seen: set[int] = set()
                for _ in range(15):
                    with node.runtime.read(require="now", deadline_ms=DEADLINE_MS) as snapshot:
                        totals = [
                            snapshot.query(f"SELECT SUM(amount) AS total FROM {one}").dictionaries()[0][
                                "total"
                            ]
                            for one in ("bank.current", "bank.savings", "everything")
                        ]
                    assert totals[0] + totals[1] == totals[2] == 4_000  # type: ignore[operator]
                    seen.add(int(str(totals[0])))
                stop.set()
                moved.join()
                assert len(seen) > 1, "nothing was moved"
        finally:
            stop.set()
            local.end_jobs()


def _move_money(dsn: str, stop: threading.Event) -> None:
    connection = psycopg2.connect(dsn)
    number = 0
    while not stop.is_set():
        number += 1
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE current SET amount = amount - 1 WHERE id = %s", (number % 20 + 1,))
            cursor.execute("UPDATE savings SET amount = amount + 1 WHERE id = %s", (number * 7 % 20 + 1,))
    connection.close()
