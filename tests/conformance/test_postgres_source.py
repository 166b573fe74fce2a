"""The PostgreSQL source against a real server: what it promises, checked by comparing its log with the database."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

import psycopg2
import pytest

from springline.core.change import UNCHANGED
from springline.core.position import PostgresPosition
from springline.errors import StorageFull
from springline.sources.postgres.stream import FRAGMENT_ENTRIES
from tests.conformance.postgres_harness import Run, Workload, confirmed, rows


def test_rows_then_changes(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    running = run(["t"])
    running.settle()
    cursor.execute(
        "BEGIN; INSERT INTO t VALUES (3, 'c'); UPDATE t SET name = 'B' WHERE id = 2; DELETE FROM t WHERE id = 1; COMMIT"
    )
    cursor.execute("UPDATE t SET id = 4 WHERE id = 3")
    folded = running.settle()
    assert folded.table("crm.t") == [(2, "B"), (4, "c")]
    changes = [one.entries for one in running.log.transactions if one.entries][-2:]
    assert [[tuple(entry) for entry in entries] for entries in changes] == [
        [
            ("c", "crm.t", None, [3, "c"]),
            ("u", "crm.t", None, [2, "B"]),
            ("d", "crm.t", [1, UNCHANGED], None),
        ],
        [("u", "crm.t", [3, UNCHANGED], [4, "c"])],
    ]


def test_a_transaction_carries_its_commit(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    cursor.execute(
        """BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'springline.actor', 'alice');
           SELECT pg_current_xact_id()::text"""
    )
    xid = cursor.fetchone()[0]
    before = time.time_ns() // 1_000
    cursor.execute("COMMIT")
    running.settle()
    [transaction] = [one for one in running.log.transactions if one.entries and one.entries[0][0] == "c"]
    assert transaction.identifier == xid
    assert transaction.actor == "alice"
    # To a minute: the server's clock and ours may differ a little.
    assert transaction.committed_at_us // 60_000_000 - before // 60_000_000 in (-1, 0, 1)
    positions = [one.position for one in running.log.transactions]
    assert positions == sorted(positions)


def test_a_rolled_back_transaction_leaves_nothing(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    cursor.execute("BEGIN; INSERT INTO t VALUES (1); ROLLBACK")
    cursor.execute(
        "BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a; COMMIT"
    )
    assert running.settle().table("crm.t") == [(2,)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_snapshot_under_concurrent_writers_ends_equal(run: Run, cursor: Any, dsn: str, seed: int) -> None:
    keys = 3_000
    for name in ("a", "b"):
        cursor.execute(Workload.TABLE.format(name=name))
        cursor.execute(
            f"INSERT INTO {name} SELECT g, 0, 'old', repeat('0123456789', 300) FROM generate_series(1, {keys}, 2) g"
        )
    writers = [
        Workload(dsn, ["a", "b"], seed * 10 + number, keys, truncates=seed == 3) for number in range(3)
    ]
    running = run(["a", "b"], chunk_rows=100)
    running.wait(running.loaded)
    time.sleep(0.3)
    running.source.request_reload(["b"])
    time.sleep(0.7)
    for writer in writers:
        writer.stop()
    folded = running.settle()
    assert folded.loading == set()
    for name in ("a", "b"):
        assert folded.table(f"crm.{name}") == rows(cursor, name)
    assert sum(writer.statements for writer in writers) > 500


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_anywhere_it_resumes_without_loss(run: Run, cursor: Any, dsn: str, seed: int) -> None:
    keys, chance = 2_000, random.Random(seed)
    cursor.execute(Workload.TABLE.format(name="a"))
    cursor.execute(
        f"INSERT INTO a SELECT g, 0, 'old', repeat('0123456789', 300) FROM generate_series(1, {keys}) g"
    )
    writers = [Workload(dsn, ["a"], seed * 10 + number, keys) for number in range(2)]
    running = run(["a"], chunk_rows=50)
    for _ in range(12):
        running.crash_at(chance.randint(1, 12), durable=chance.random() < 0.5)
        running.wait_for_crash()
        running.start()
    for writer in writers:
        writer.stop()
    assert running.settle().table("crm.a") == rows(cursor, "a")
    positions = [one.position for one in running.log.transactions if one.identifier]
    assert len(positions) == len(set(positions)), "a transaction is in the log twice"


def test_a_snapshot_goes_on_where_it_was_killed(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000)")
    running = run(["t"], chunk_rows=100)
    running.crash_at(5, durable=True)
    running.wait_for_crash()
    read = [entry for entry in running.log.entries() if entry[0] == "r"]
    assert 0 < len(read) < 1000
    running.start()
    running.settle()
    assert len([entry for entry in running.log.entries() if entry[0] == "r"]) == 1000


def test_an_unsent_large_value_of_a_row_not_loaded_yet_arrives(run: Run, cursor: Any, dsn: str) -> None:
    """UPDATEs that leave the large value out, on rows that the snapshot reads later, or, moved, never reads."""
    for name in ("t", "u"):
        cursor.execute(Workload.TABLE.format(name=name))
        cursor.execute(
            f"INSERT INTO {name} SELECT g, 0, 'old', repeat(lpad(g::text, 8, '0'), 400) FROM generate_series(1, 400) g"
        )
    running = run(["t"], chunk_rows=20)
    running.settle()
    with contextlib.closing(psycopg2.connect(dsn)) as holding, holding.cursor() as own:
        own.execute("UPDATE u SET version = 1 WHERE id = 399")  # the load of u waits for this transaction
        running.restart(tables=["t", "u"])
        running.wait(lambda: "crm.u" in running.log.folded().loading)
        for key in range(1, 400, 7):
            cursor.execute("UPDATE u SET version = 2 WHERE id = %s", (key,))
            cursor.execute("UPDATE u SET id = id + 1000 WHERE id = %s", (key,))
        cursor.execute("UPDATE u SET version = 3 WHERE id > 1000")
        running.source.current_position(5)
        partial = [entry for entry in running.log.entries() if entry[3] is not None and UNCHANGED in entry[3]]
        assert len(partial) > 100
        running.crash_at(1, durable=False)
        cursor.execute("UPDATE t SET version = 4 WHERE id = 1")
        running.wait_for_crash()
        running.start()
        holding.commit()
    assert running.settle().table("crm.u") == rows(cursor, "u")


def test_a_load_waits_for_transactions_that_wrote_to_the_table(run: Run, cursor: Any, dsn: str) -> None:
    cursor.execute(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)"
    )
    running = run(["t"])
    running.settle()
    with psycopg2.connect(dsn) as writer, writer.cursor() as writing:
        writing.execute("INSERT INTO u VALUES (2)")
        running.restart(tables=["t", "u"])
        deadline = time.monotonic() + 10
        while not running.source.status().details.get("waiting_for_transactions"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # Streaming is not held up.
        cursor.execute("INSERT INTO t VALUES (1)")
        position = running.source.current_position(5)
        running.wait(lambda: running.log.position >= position)  # type: ignore[operator]
        assert running.source.status().state == "snapshot"
    writer.close()
    assert running.settle().table("crm.u") == [(1,), (2,)]


def test_tables_are_added_and_removed_later(run: Run, cursor: Any, dsn: str) -> None:
    for name in ("a", "b"):
        cursor.execute(Workload.TABLE.format(name=name))
        cursor.execute(f"INSERT INTO {name} SELECT g, 0, 'old', '' FROM generate_series(1, 500) g")
    running = run(["a"], chunk_rows=50)
    running.settle()
    writer = Workload(dsn, ["a", "b"], 7, 500)
    running.restart(tables=["a", "b"])
    running.wait(running.loaded)
    writer.stop()
    folded = running.settle()
    assert folded.table("crm.a") == rows(cursor, "a")
    assert folded.table("crm.b") == rows(cursor, "b")
    running.restart(tables=["b"])
    folded = running.settle()
    assert set(folded.schemas) == {"crm.b"}
    cursor.execute("SELECT tablename FROM pg_publication_tables WHERE pubname = 'springline_crm'")
    assert cursor.fetchall() == [("b",)]


def test_a_table_without_a_key_is_a_bag(run: Run, cursor: Any, dsn: str) -> None:
    cursor.execute(
        """CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL;
           INSERT INTO bag SELECT g % 5, 'x' FROM generate_series(1, 12000) g"""
    )
    stop = threading.Event()

    def write() -> None:
        with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as own:
            connection.autocommit = True
            number = 0
            while not stop.is_set():
                number += 1
                own.execute("INSERT INTO bag VALUES (%s, 'y')", (number % 3,))
                own.execute("DELETE FROM bag WHERE ctid = (SELECT min(ctid) FROM bag)")
                own.execute("UPDATE bag SET b = 'z' WHERE ctid = (SELECT max(ctid) FROM bag)")

    thread = threading.Thread(target=write)
    thread.start()
    running = run(["bag"])
    running.wait(running.loaded)
    time.sleep(0.2)
    stop.set()
    thread.join()
    folded = running.settle()
    assert folded.schemas["crm.bag"].key == ()
    assert folded.table("crm.bag") == rows(cursor, "bag")


def test_a_huge_transaction_goes_in_fragments(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text)")
    running = run(["t"])
    running.settle()
    cursor.execute("INSERT INTO t SELECT g, 'row' FROM generate_series(1, 60000) g")
    folded = running.settle()
    assert len(folded.table("crm.t")) == 60_000
    [large_one] = [one for one in running.log.transactions if len(one.entries) > 1000]
    assert len(large_one.entries) == 60_000
    assert running.log.largest_batch <= FRAGMENT_ENTRIES + 1000


def test_a_huge_transaction_killed_half_way_is_delivered_again(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text)")
    running = run(["t"])
    running.settle()
    running.crash_at(4, durable=True)
    # The shape changes inside the transaction: what is saved of it must not outlive the lost fragments.
    cursor.execute(
        "BEGIN; ALTER TABLE t ADD b int DEFAULT 7; INSERT INTO t SELECT g, 'row', g FROM generate_series(1, 40000) g; COMMIT"
    )
    running.wait_for_crash()
    running.start()
    folded = running.settle()
    assert folded.table("crm.t") == rows(cursor, "t")
    assert folded.schemas["crm.t"].names == ("id", "a", "b")


def test_acknowledged_only_after_it_is_durable(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()

    def full(_: int) -> None:
        raise StorageFull("the disk is full")

    time.sleep(0.5)
    running.log.before_commit = full
    running.stop_event.clear()
    durable = running.log.position
    cursor.execute("INSERT INTO t VALUES (1)")
    cursor.execute("SELECT pg_current_wal_lsn()")
    time.sleep(1.5)
    assert confirmed(cursor) <= durable  # type: ignore[operator]
    running.log.before_commit = None
    assert running.settle().table("crm.t") == [(1,)]


def test_an_idle_source_lets_go_of_wal(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (a text)")
    running = run(["t"])
    running.settle()
    before = confirmed(cursor)
    logged = len(running.log.transactions)
    cursor.execute("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
    cursor.execute("SELECT pg_current_wal_lsn()::text")
    written = PostgresPosition.from_text(cursor.fetchone()[0])
    deadline = time.monotonic() + 10
    while confirmed(cursor) < written:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert before < written
    assert confirmed(cursor) <= running.log.position  # type: ignore[operator]
    assert len(running.log.transactions) == logged
    running.restart()
    cursor.execute("INSERT INTO t VALUES (1)")
    assert running.settle().table("crm.t") == [(1,)]


def test_a_server_that_shuts_down_is_not_held_up(run: Run, cursor: Any) -> None:
    """PostgreSQL waits at shutdown until its WAL senders' clients have confirmed everything."""
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    cursor.execute("SELECT pg_switch_wal()")
    cursor.execute("SELECT pg_current_wal_lsn()::text")
    written = PostgresPosition.from_text(cursor.fetchone()[0])
    deadline = time.monotonic() + 10
    while confirmed(cursor) < written:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_barrier_covers_what_was_committed(run: Run, cursor: Any, dsn: str) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    with contextlib.closing(psycopg2.connect(dsn)) as hasty, hasty.cursor() as own:
        hasty.autocommit = True
        own.execute("SET synchronous_commit = off")
        for number in range(50):
            own.execute("INSERT INTO t VALUES (%s)", (number,))
            position = running.source.current_position(5)
            running.wait(lambda position=position: running.log.position >= position)
            assert (number,) in running.log.folded().rows["crm.t"]


def test_barrier_callers_share_tokens(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    source = running.source
    source.current_position(5)
    before = source.status().details["barrier_tokens"]
    found: list[PostgresPosition] = []
    start = threading.Barrier(40)

    def ask() -> None:
        start.wait()
        found.append(source.current_position(5))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert source.status().details["barrier_tokens"] - before < 40  # type: ignore[operator]
