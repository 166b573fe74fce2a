"""Read connections: snapshots, their longest age, the gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.errors import SnapshotTooOld, StateError
from springline.runtime.embedded.readers import Checkpointer, Readers
from springline.storage import connect


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "state.db"
    connection = connect(path)
    connection.execute("CREATE TABLE t(n INTEGER); INSERT INTO t VALUES (1)")
    yield path
    connection.close()


def test_a_read_does_not_see_what_is_committed_meanwhile(path: Path) -> None:
    readers, writer = Readers(path), connect(path)
    with readers.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
        writer.execute("INSERT INTO t VALUES (2)")
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    with readers.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
    readers.close()
    writer.close()


def test_a_reader_that_holds_its_snapshot_too_long_is_told(path: Path) -> None:
    readers = Readers(path, maximum_snapshot_age_s=0.0)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.005):
            readers.expire()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(SnapshotTooOld, match="longer than 0 s"), readers.read() as connection:
        connection.execute(endless).fetchall()
    watching.set()
    watcher.join()
    assert readers.open_count() == 0
    readers.close()


def test_a_snapshot_that_is_merely_held_too_long_ends_and_shows_nothing_newer(path: Path) -> None:
    readers, writer = Readers(path, maximum_snapshot_age_s=0.0), connect(path)

    def hold() -> list[object]:
        with readers.read() as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
            writer.execute("INSERT INTO t VALUES (2)")
            readers.expire()
            return list(connection.execute("SELECT count(*) FROM t").fetchall())

    with pytest.raises(SnapshotTooOld):
        hold()
    assert readers.open_count() == 0
    with readers.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
    readers.close()
    writer.close()


def test_a_reader_that_stays_does_not_make_the_engine_wait_for_a_truncation(path: Path) -> None:
    readers, writer = Readers(path), connect(path)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    checkpointer = Checkpointer(path, readers, threading.Lock(), wal_limit_bytes=1)
    with readers.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
        writer.execute("INSERT INTO t VALUES (2)")
        checkpointer.run()
        assert checkpointer.wal_bytes() > 0
        writer.set_busy_timeout(0)
        writer.execute("INSERT INTO t VALUES (3)")
    checkpointer.run()
    assert checkpointer.wal_bytes() == 0
    checkpointer.close()
    readers.close()
    writer.close()


def test_the_gate_holds_new_readers_back_until_the_others_are_gone(path: Path) -> None:
    readers = Readers(path)
    entered = threading.Event()

    def read() -> None:
        with readers.read():
            entered.set()

    with readers.held_back(patience_s=5.0) as empty:
        assert empty
        reader = threading.Thread(target=read)
        reader.start()
        assert not entered.wait(0.05)
    reader.join(5)
    assert entered.is_set()
    readers.close()


def test_a_wal_beyond_its_limit_is_truncated_although_readers_come_and_go(path: Path) -> None:
    readers, writer = Readers(path), connect(path)
    writer.execute("PRAGMA wal_autocheckpoint=0")
    checkpointer = Checkpointer(path, readers, threading.Lock(), wal_limit_bytes=10_000)
    writer.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) INSERT INTO t SELECT i FROM n"
    )
    assert checkpointer.wal_bytes() > 10_000
    with readers.read() as connection:
        connection.execute("SELECT count(*) FROM t").fetchall()
    checkpointer.run()
    assert checkpointer.wal_bytes() == 0
    checkpointer.close()
    readers.close()
    writer.close()


def test_readers_of_a_stopped_application_are_refused(path: Path) -> None:
    readers = Readers(path)
    readers.close()
    with pytest.raises(StateError, match="stopping"), readers.read():
        pass
