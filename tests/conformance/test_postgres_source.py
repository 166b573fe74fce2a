"""The PostgreSQL source against a real server: what it promises, checked by comparing its log with the database."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from springline.core.change import UNCHANGED
from springline.core.position import PostgresPosition
from springline.errors import ConfigurationError, SourceError, SourceLost, SourceUnavailable, StorageFull
from springline.sources.postgres import PostgresSource, reader
from springline.sources.postgres.stream import FRAGMENT_ENTRIES
from springline.testing.capture import MemoryLog
from tests.conformance.postgres_harness import Running, Workload, rows
from tests.conftest import PostgresDatabase

Run = Callable[..., Running]


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sources.postgres.capture.LOOK_EVERY_S", 0.3)


@pytest.fixture
def dsn(postgres_database: PostgresDatabase) -> str:
    return postgres_database.dsn


@pytest.fixture
def cursor(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


@pytest.fixture
def run(dsn: str) -> Iterator[Run]:
    started: list[Running] = []

    def start(tables: list[str], **options: Any) -> Running:
        started.append(Running(dsn, tables, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def confirmed(cursor: Any) -> PostgresPosition:
    cursor.execute(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'springline_crm'"
    )
    return PostgresPosition.from_text(cursor.fetchone()[0])


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
    assert 0 <= transaction.committed_at_us - before < 10_000_000
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


def test_resnapshot_repairs_what_the_log_has_wrong(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    running = run(["t"])
    running.settle()
    running.stop()
    running.source.resnapshot(running.log.open_writer(), ["t"])
    running.start()
    folded = running.settle()
    assert folded.table("crm.t") == [(1, "a"), (2, "b")]
    loads = [entry[3] for entry in running.log.entries() if entry[0] == "l"]
    assert loads == [["loading"], ["live"], ["loading"], ["live"]]


def test_a_lost_slot_is_told_and_resnapshot_starts_again(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    running = run(["t"])
    running.settle()
    running.stop()
    running.source.drop()
    cursor.execute("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, 'c')")
    running.start()
    running.thread.join(10)
    assert isinstance(running.error, SourceLost)
    assert "does not exist" in running.error.message
    assert "springline resnapshot crm" in str(running.error.hint)
    running.source.resnapshot(running.log.open_writer())
    running.start()
    assert running.settle().table("crm.t") == [(2, "b"), (3, "c")]


def test_a_log_older_than_the_slot_is_refused(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    running.stop()
    older = MemoryLog()
    older.position, older.saved = running.log.position, dict(running.log.saved)
    running.start()
    cursor.execute("INSERT INTO t VALUES (1)")
    running.settle()
    deadline = time.monotonic() + 10
    while confirmed(cursor) <= older.position:  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.stop()
    running.log = older
    running.start()
    running.thread.join(10)
    assert isinstance(running.error, SourceLost)
    assert "older copy" in running.error.message


def test_another_server_is_refused(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    running.stop()
    for name, value, word in (("system", "1", "another server"), ("timeline", 9, "promoted")):
        saved = dict(running.log.saved["server"])
        running.log.saved["server"] = {**saved, name: value}
        running.start()
        running.thread.join(10)
        assert isinstance(running.error, SourceLost)
        assert word in running.error.message
        running.log.saved["server"] = saved
    running.start()
    running.settle()


def test_a_slot_in_use_is_told(run: Run, cursor: Any, dsn: str) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    second = PostgresSource("crm", dsn, tables=["t"])
    with pytest.raises(SourceUnavailable, match="in use by process") as raised:
        second.run(MemoryLog().open_writer(), threading.Event())
    assert "pg_terminate_backend" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("ddl", "names"),
    [
        ("ALTER TABLE t ADD c int DEFAULT 42", ("id", "a", "b", "c")),
        ("ALTER TABLE t ADD c timestamptz DEFAULT '2020-01-01 00:00+00'", ("id", "a", "b", "c")),
        ("ALTER TABLE t ADD c uuid DEFAULT gen_random_uuid()", ("id", "a", "b", "c")),
        ("ALTER TABLE t DROP a", ("id", "b")),
        ("ALTER TABLE t RENAME a TO z", ("id", "z", "b")),
        ("ALTER TABLE t ALTER b TYPE bigint USING b * 100", ("id", "a", "b")),
        ("ALTER TABLE t ALTER b TYPE int USING b + 1", ("id", "a", "b")),
        ("ALTER TABLE t ALTER a TYPE varchar(50)", ("id", "a", "b")),
        ("ALTER TABLE t ADD c int DEFAULT 1; VACUUM FULL t", ("id", "a", "b", "c")),
        (
            "ALTER TABLE t DROP CONSTRAINT t_pkey; UPDATE t SET b = id; ALTER TABLE t ADD PRIMARY KEY (b)",
            ("id", "a", "b"),
        ),
        ("ALTER TABLE t RENAME TO renamed", ("id", "a", "b")),
        (
            "ALTER TABLE t ADD c int DEFAULT 1; ALTER TABLE t DROP a; ALTER TABLE t RENAME b TO bb",
            ("id", "bb", "c"),
        ),
        ("VACUUM FULL t", ("id", "a", "b")),
    ],
)
@pytest.mark.parametrize("followed_by_rows", [True, False])
def test_a_change_of_shape_is_followed(
    run: Run, cursor: Any, ddl: str, names: tuple[str, ...], followed_by_rows: bool
) -> None:
    if "DROP CONSTRAINT" in ddl:
        ddl = ddl.replace(
            "DROP CONSTRAINT t_pkey;", "REPLICA IDENTITY FULL; ALTER TABLE t DROP CONSTRAINT t_pkey;"
        )
        ddl += "; ALTER TABLE t REPLICA IDENTITY DEFAULT"
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b int)")
    cursor.execute("INSERT INTO t SELECT g, 'a', g * 10 FROM generate_series(1, 20) g")
    running = run(["t"])
    running.settle()
    for statement in ddl.split(";"):
        cursor.execute(statement)
    table = "renamed" if "renamed" in ddl else "t"
    if followed_by_rows:
        cursor.execute(f"UPDATE {table} SET id = id WHERE id = 3")
        cursor.execute(f"DELETE FROM {table} WHERE id = 4")

    def as_expected() -> bool:
        folded = running.settle()
        return folded.schemas["crm.t"].names == names and _same(folded.table("crm.t"), rows(cursor, table))

    deadline = time.monotonic() + 15
    while not as_expected():
        assert time.monotonic() < deadline, (running.log.folded().table("crm.t")[:3], rows(cursor, table)[:3])
        time.sleep(0.2)


def _same(stored: list[tuple[Any, ...]], read: list[tuple[Any, ...]]) -> bool:
    def plain(value: Any) -> Any:
        return int(value.timestamp() * 1_000_000) if hasattr(value, "timestamp") else value

    return stored == sorted((tuple(plain(value) for value in row) for row in read), key=repr)


def test_a_change_of_shape_while_it_was_down(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'a')")
    running = run(["t"])
    running.settle()
    running.stop()
    cursor.execute("INSERT INTO t VALUES (2, 'before')")
    cursor.execute("ALTER TABLE t ADD b int DEFAULT 5; INSERT INTO t VALUES (3, 'between', 6)")
    cursor.execute("ALTER TABLE t DROP a; ALTER TABLE t RENAME b TO c; INSERT INTO t VALUES (4, 7)")
    running.start()
    deadline = time.monotonic() + 15
    while running.settle().table("crm.t") != [(1, 5), (2, 5), (3, 6), (4, 7)]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert running.log.folded().schemas["crm.t"].names == ("id", "c")


def test_shapes_change_while_a_table_loads(run: Run, cursor: Any, dsn: str) -> None:
    cursor.execute(Workload.TABLE.format(name="t"))
    cursor.execute("INSERT INTO t SELECT g, 0, 'old', '' FROM generate_series(1, 3000) g")
    writer = Workload(dsn, ["t"], 5, 3000)
    running = run(["t"], chunk_rows=50)
    for statement in (
        "ALTER TABLE t ADD extra int DEFAULT 9",
        "ALTER TABLE t ALTER extra TYPE text USING 'e' || extra",
        "ALTER TABLE t RENAME extra TO more",
    ):
        time.sleep(0.15)
        cursor.execute(statement)
    writer.stop()
    deadline = time.monotonic() + 30
    while (folded := running.settle()).table("crm.t") != rows(cursor, "t"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert folded.schemas["crm.t"].names[-1] == "more"


def test_a_dropped_table_is_dropped(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)")
    running = run(["t", "u"])
    running.settle()
    cursor.execute("DROP TABLE u")
    running.wait(lambda: any(entry[0] == "x" for entry in running.log.entries()))
    assert set(running.log.folded().schemas) == {"crm.t"}


def test_truncate(run: Run, cursor: Any) -> None:
    cursor.execute(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (t int REFERENCES t, id int PRIMARY KEY)"
    )
    cursor.execute("INSERT INTO t VALUES (1); INSERT INTO u VALUES (1, 1)")
    running = run(["t", "u"])
    running.settle()
    cursor.execute("BEGIN; TRUNCATE t CASCADE; INSERT INTO t VALUES (2); COMMIT")
    folded = running.settle()
    assert (folded.table("crm.t"), folded.table("crm.u")) == ([(2,)], [])


def test_a_partitioned_table_is_one_table(run: Run, cursor: Any) -> None:
    cursor.execute(
        """CREATE TABLE p (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
           CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
           CREATE TABLE p2 (day date NOT NULL, id int NOT NULL);
           ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
           INSERT INTO p VALUES (1, '2020-05-05'), (2, '2021-05-05')"""
    )
    running = run(["p"])
    running.settle()
    cursor.execute("INSERT INTO p VALUES (3, '2021-06-06'); UPDATE p SET day = '2021-07-07' WHERE id = 1")
    assert [row[0] for row in running.settle().table("crm.p")] == [1, 2, 3]
    assert len(running.log.folded().table("crm.p")) == 3


def test_keys_of_several_and_unusual_types(run: Run, cursor: Any) -> None:
    cursor.execute(
        """CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN code AS text;
           CREATE TABLE k (a mood, b code, c timestamptz, d numeric(8, 2), e bytea, f char(4), v int, big text,
                           PRIMARY KEY (a, b, c, d, e, f));
           ALTER TABLE k ALTER big SET STORAGE EXTERNAL;
           INSERT INTO k SELECT (ARRAY['sad', 'happy'])[g % 2 + 1]::mood, 'it''s \\ ' || g, '2020-01-01'::timestamptz + g * '1.000001 s'::interval,
                  g / 100.0, decode(lpad(to_hex(g), 6, '0'), 'hex'), 'x', g, repeat('y', 3000) FROM generate_series(1, 500) g"""
    )
    running = run(["k"], chunk_rows=37)
    for _ in range(5):
        cursor.execute("UPDATE k SET v = v + 1 WHERE v % 3 = 0")
    folded = running.settle()
    cursor.execute("SELECT b, v, big FROM k")
    assert sorted((row[1], row[6], row[7]) for row in folded.table("crm.k")) == sorted(cursor.fetchall())


def test_excluded_and_masked_values_never_arrive(run: Run, cursor: Any) -> None:
    cursor.execute(
        """CREATE TABLE t (id int PRIMARY KEY, secret text, mail text, phone text, born date);
           INSERT INTO t VALUES (1, 'secret', 'a@b', '123', '2000-01-01'), (2, 'secret', 'a@b', NULL, NULL)"""
    )
    running = run(
        ["t"], exclude={"t": ["secret"]}, mask={"t": {"mail": "hash", "phone": "redact", "born": "null"}}
    )
    running.settle()
    cursor.execute("INSERT INTO t VALUES (3, 'secret', 'c@d', '456', '2001-01-01')")
    cursor.execute("ALTER TABLE t ADD more int; UPDATE t SET more = 4 WHERE id = 3")
    deadline = time.monotonic() + 15
    while running.settle().schemas["crm.t"].names != ("id", "mail", "phone", "born", "more"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first, second, third = running.settle().table("crm.t")
    assert first[1] == second[1] != third[1]
    assert (first[2:], second[2:], third[2:]) == (("***", None, None), (None, None, None), ("***", None, 4))
    assert "secret" not in repr(running.log.entries())
    assert "a@b" not in repr(running.log.entries())
    cursor.execute("SELECT attnames FROM pg_publication_tables WHERE pubname = 'springline_crm'")
    assert "secret" not in str(cursor.fetchone())


def test_a_server_that_is_killed(dsn: str, run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'springline crm'"
    )
    cursor.execute("INSERT INTO t VALUES (1)")
    assert running.settle().table("crm.t") == [(1,)]


def test_drop_leaves_nothing_behind(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    running = run(["t"])
    running.settle()
    running.stop()
    running.source.drop()
    running.source.drop()
    cursor.execute("SELECT count(*) FROM pg_publication")
    assert cursor.fetchone() == (0,)
    cursor.execute(
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'springline_crm' AND database = current_database()"
    )
    assert cursor.fetchone() == (0,)


def test_errors_of_kind(dsn: str) -> None:
    assert issubclass(SourceLost, SourceError)
    with pytest.raises(ConfigurationError, match="names no tables"):
        PostgresSource("crm", dsn, tables=[])


def test_tables_that_inherit_are_tables_of_their_own(run: Run, cursor: Any) -> None:
    cursor.execute(
        """CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child (PRIMARY KEY (id)) INHERITS (t);
           INSERT INTO t VALUES (1); INSERT INTO child VALUES (2)"""
    )
    running = run(["t"])
    running.settle()
    cursor.execute("INSERT INTO t VALUES (3); INSERT INTO child VALUES (4)")
    assert running.settle().table("crm.t") == [(1,), (3,)]


def test_two_applications_on_one_database_do_not_see_each_others_tokens(run: Run, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    first, second = run(["t"]), run(["t"], slot="other", publication="other")
    first.settle()
    second.settle()
    logged = len(second.log.transactions)
    for _ in range(10):
        first.source.current_position(5)
    cursor.execute("INSERT INTO t VALUES (1)")
    assert second.settle().table("crm.t") == [(1,)]
    assert len(second.log.transactions) <= logged + 2


def test_it_stops_while_the_server_waits(run: Run, cursor: Any, dsn: str) -> None:
    """A slot is made only when the transactions that are open have ended."""
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int)")
    with contextlib.closing(psycopg2.connect(dsn)) as holding, holding.cursor() as own:
        own.execute("INSERT INTO u VALUES (1)")
        running = run(["t"])
        time.sleep(0.5)
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 1.5
    running.start()
    running.settle()
    # And while a chunk waits for a lock.
    with contextlib.closing(psycopg2.connect(dsn)) as holding, holding.cursor() as own:
        own.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        running.source.request_reload()
        time.sleep(0.5)
        started = time.monotonic()
        running.stop()
        assert time.monotonic() - started < 1.5


def test_nothing_is_confirmed_behind_our_back(
    run: Run, cursor: Any, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for a sign of life must not learn a position that the log does not have: psycopg2 would answer with
    what it received."""
    monkeypatch.setattr("springline.sources.postgres.stream._ADVANCE_EVERY_S", 1_000.0)
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (a text)")
    running = Running(f"{dsn}&options=-c%20wal_sender_timeout%3D1s", ["t"])
    try:
        running.settle()
        for _ in range(4):
            cursor.execute("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
            time.sleep(0.4)
            assert confirmed(cursor) <= running.log.position  # type: ignore[operator]
        cursor.execute("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'springline crm'")
        assert cursor.fetchone() == (1,), "the connection was not kept alive"
    finally:
        running.stop()


def test_a_row_moved_behind_the_snapshot_survives_a_kill(
    run: Run, cursor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves from where the snapshot has not come yet to where it has been, without its large value; then the process dies."""
    cursor.execute(Workload.TABLE.format(name="t"))
    cursor.execute(
        "INSERT INTO t SELECT g, 0, 'old', repeat(lpad(g::text, 8, '0'), 400) FROM generate_series(1, 400) g"
    )
    gate, read = threading.Event(), reader.read_chunk
    chunks = iter(range(1_000_000))

    def gated(*arguments: Any) -> Any:
        if next(chunks) >= 5:
            gate.wait(20)
        return read(*arguments)

    monkeypatch.setattr(reader, "read_chunk", gated)
    running = run(["t"], chunk_rows=20)
    running.wait(lambda: running.log.saved.get("table:crm.t", {}).get("last") == ["100"])
    running.crash_at(1, durable=True)
    cursor.execute("UPDATE t SET id = id - 1000 WHERE id BETWEEN 300 AND 310")
    running.thread.join(0.5)
    gate.set()
    running.wait_for_crash()
    running.start()
    assert running.settle().table("crm.t") == rows(cursor, "t")
