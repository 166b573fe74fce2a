"""The data folder and its files: lock, formats, refusals that touch nothing, migration, backups, a full disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from springline.errors import (
    ConfigurationError,
    DataFolderLocked,
    NewerFormat,
    StateError,
    StorageFull,
)
from springline.storage import (
    APPLICATION_ID,
    DataFolder,
    Format,
    backup_to,
    connect,
    immediate,
    open_file,
    storage_error,
)


def first(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE t(x); INSERT INTO t VALUES ('one')")


def second(connection: apsw.Connection) -> None:
    connection.execute("ALTER TABLE t ADD COLUMN y; UPDATE t SET y = 'two'")


def failing(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM t")
    raise RuntimeError("half way")


ONE = Format("test.db", (first,))
TWO = Format("test.db", (first, second))


def digest(folder: Path) -> dict[str, str]:
    """Every file of a folder and what it holds; but not SQLite's shared memory, which readers make."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.endswith("-shm") and not (path.name.endswith("-wal") and not path.stat().st_size)
    }


def select(path: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(connect(path, read_only=True)) as connection:
        return connection.execute(sql).fetchall()


# -- opening and migrating -----------------------------------------------------------------------------------------


def test_a_new_file_gets_its_format_and_is_durable(tmp_path: Path) -> None:
    with contextlib.closing(open_file(tmp_path / "test.db", TWO)) as connection:
        assert connection.pragma("user_version") == 2
        assert connection.pragma("application_id") == APPLICATION_ID
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
    with contextlib.closing(open_file(tmp_path / "test.db", TWO)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [("one", "two")]
    assert not list(tmp_path.glob("*.backup"))


def test_a_migration_leaves_a_backup_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    with contextlib.closing(open_file(path, ONE)) as connection:
        connection.execute("INSERT INTO t VALUES ('kept')")
    open_file(path, TWO).close()
    assert select(path, "SELECT * FROM t") == [("one", "two"), ("kept", "two")]
    backup = tmp_path / "test.db.v1.backup"
    assert select(backup, "SELECT * FROM t") == [("one",), ("kept",)]
    open_file(backup, ONE).close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    open_file(path, ONE).close()
    with pytest.raises(RuntimeError, match="half way"):
        open_file(path, Format("test.db", (first, failing)))
    with contextlib.closing(open_file(path, ONE)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [("one",)]
        assert connection.pragma("user_version") == 1


def test_a_newer_format_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    open_file(path, TWO).close()
    # As a backup has it; opening for writing would turn it into WAL mode.
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "DELETE")
    before = digest(tmp_path)
    with pytest.raises(NewerFormat, match=r"has format 2 of test\.db; this Springline knows up to 1"):
        open_file(path, ONE)
    assert digest(tmp_path) == before


def test_a_newer_format_whose_last_commits_are_in_the_wal_is_refused_too(tmp_path: Path) -> None:
    script = f"""
import os, springline.storage as s
c = s.open_file(__import__("pathlib").Path({str(tmp_path / "test.db")!r}), s.Format("test.db", (lambda c: c.execute("CREATE TABLE t(x)"),) * 1 + (lambda c: None,) * 4))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    before = digest(tmp_path)
    with pytest.raises(NewerFormat, match="has format 5"):
        open_file(tmp_path / "test.db", ONE)
    assert digest(tmp_path) == before


@pytest.mark.parametrize("pragma", ["application_id=77", "user_version=1", "page_size=4096"])
def test_a_file_of_another_program_is_refused_and_not_touched(tmp_path: Path, pragma: str) -> None:
    path = tmp_path / "test.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE theirs(x)")
        connection.commit()
    before = digest(tmp_path)
    with pytest.raises(StateError, match="another program"):
        open_file(path, ONE)
    assert digest(tmp_path) == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(b"not a database, but long enough to have a header of a hundred bytes. " * 20)
    before = digest(tmp_path)
    with pytest.raises(StateError, match="damaged or not a SQLite file") as caught:
        open_file(path, ONE)
    assert "springline restore" in (caught.value.hint or "")
    assert digest(tmp_path) == before


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "test.db").touch()
    open_file(tmp_path / "test.db", ONE).close()
    assert select(tmp_path / "test.db", "SELECT * FROM t") == [("one",)]


def test_a_missing_file_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be used"):
        connect(tmp_path / "absent.db", read_only=True)
    assert not (tmp_path / "absent.db").exists()


# -- transactions --------------------------------------------------------------------------------------------------


def test_a_body_that_raises_is_rolled_back(tmp_path: Path) -> None:
    with contextlib.closing(open_file(tmp_path / "test.db", ONE)) as connection:
        with pytest.raises(apsw.SQLError), immediate(connection):
            connection.execute("DELETE FROM t; SELECT absent")
        assert not connection.in_transaction
        assert connection.execute("SELECT * FROM t").fetchall() == [("one",)]


def test_a_commit_that_fails_is_rolled_back_too(tmp_path: Path) -> None:
    with contextlib.closing(open_file(tmp_path / "test.db", ONE)) as connection:
        connection.execute(
            "CREATE TABLE parent(id INTEGER PRIMARY KEY);"
            "CREATE TABLE child(id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.pragma("foreign_keys", 1)
        with pytest.raises(apsw.ConstraintError), immediate(connection):
            connection.execute("INSERT INTO child VALUES (5)")
        assert not connection.in_transaction
        with immediate(connection):
            connection.execute("INSERT INTO parent VALUES (5); INSERT INTO child VALUES (5)")


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes, as under a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    with contextlib.closing(open_file(tmp_path / "test.db", ONE)) as connection:
        with files_at_most(200_000):
            with pytest.raises(apsw.FullError) as caught, immediate(connection):
                connection.execute("INSERT INTO t VALUES (randomblob(900000))")
            assert not connection.in_transaction
        assert isinstance(storage_error(caught.value, tmp_path), StorageFull)
        with immediate(connection):
            connection.execute("INSERT INTO t VALUES (randomblob(900000))")


# -- backups -------------------------------------------------------------------------------------------------------


def test_a_backup_is_one_moment_while_others_write_all_the_time(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    open_file(path, ONE).close()
    with contextlib.closing(connect(path)) as connection, immediate(connection):
        # More pages than one step copies, so that writes come in between.
        connection.execute("CREATE TABLE big(x)")
        connection.executemany("INSERT INTO big VALUES (zeroblob(?))", [(1 << 20,)] * 24)
        connection.execute("CREATE TABLE pairs(a, b); INSERT INTO pairs VALUES (0, 0)")
    stop = threading.Event()
    written = threading.Event()

    def write() -> None:
        with contextlib.closing(connect(path)) as writing:
            while not stop.is_set():
                with immediate(writing):
                    writing.execute("UPDATE pairs SET a = a + 1")
                    writing.execute("UPDATE pairs SET b = b + 1; INSERT INTO t VALUES (randomblob(5000))")
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    written.wait(10)
    try:
        with contextlib.closing(connect(path, read_only=True)) as source:
            backup_to(source, tmp_path / "copy.db")
            assert not source.in_transaction
    finally:
        stop.set()
        writer.join()
    assert select(tmp_path / "copy.db", "SELECT a = b, a > 0 FROM pairs") == [(1, 1)]
    assert select(tmp_path / "copy.db", "PRAGMA integrity_check") == [("ok",)]
    assert sorted(found.name for found in tmp_path.glob("copy*")) == ["copy.db"]
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_a_backup_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("the one before")
    with contextlib.closing(open_file(tmp_path / "test.db", ONE)) as connection:
        connection.execute("INSERT INTO t VALUES (randomblob(900000))")
        with files_at_most(200_000), pytest.raises(StorageFull):
            backup_to(connection, target)
        assert not connection.in_transaction
        assert target.read_text() == "the one before"
        assert not list(tmp_path.glob("*.partial"))
        with pytest.raises(StateError, match="cannot be written"):
            backup_to(connection, tmp_path / "absent" / "copy.db")


# -- the data folder -----------------------------------------------------------------------------------------------

HOLD = """
import sys
from springline.storage import DataFolder
folder = DataFolder(sys.argv[1])
folder.lock()
folder.write_owner({"url": "http://127.0.0.1:1"})
print("locked", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_the_folder_of_another_process_is_refused_with_its_number(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    with held_by_another_process(folder.path) as process:
        assert folder.is_locked()
        assert folder.owner() == {"pid": process.pid, "url": "http://127.0.0.1:1"}
        with pytest.raises(DataFolderLocked, match=f"in use by process {process.pid}"):
            folder.lock()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not folder.is_locked()
        folder.lock()
    assert folder.owner() == {"pid": os.getpid()}
    folder.unlock()
    folder.unlock()
    assert not folder.is_locked()
    assert folder.owner() == {}


def test_only_the_owner_can_look_into_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.owner_path.stat().st_mode) == 0o600
    folder.unlock()


def test_asking_who_works_here_does_not_keep_anybody_out(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.lock()
    folder.unlock()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            DataFolder(folder.path).is_locked()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(50):
            folder.lock()
            folder.unlock()
    finally:
        stop.set()
        asking.join()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        DataFolder(tmp_path / "file" / "data").lock()


@pytest.mark.parametrize("text", ["", "[1]", "{half", "null"])
def test_a_damaged_owner_is_nobody(tmp_path: Path, text: str) -> None:
    folder = DataFolder(tmp_path)
    folder.owner_path.write_text(text)
    assert folder.owner() == {}
