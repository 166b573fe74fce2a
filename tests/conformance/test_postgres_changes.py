"""The PostgreSQL source when things change under it: shapes, slots, servers, keys, and its own end."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg2
import pytest

from springline.errors import ConfigurationError, SourceError, SourceLost, SourceUnavailable
from springline.sources.postgres import PostgresSource, reader
from springline.testing.capture import MemoryLog
from tests.conformance.postgres_harness import Run, Running, Workload, confirmed, rows


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
        running.stop(patience_s=1.5)
    running.start()
    running.settle()
    # And while a chunk waits for a lock.
    with contextlib.closing(psycopg2.connect(dsn)) as holding, holding.cursor() as own:
        own.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        running.source.request_reload()
        time.sleep(0.5)
        running.stop(patience_s=1.5)


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
