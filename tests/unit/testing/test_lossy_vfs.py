"""The lossy disk loses exactly what SQLite did not sync."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from springline.errors import StorageFull
from springline.storage import connect, immediate, storage_error
from springline.testing.lossy_vfs import LossyDisk


@pytest.fixture
def disk() -> Iterator[LossyDisk]:
    disk = LossyDisk()
    yield disk
    disk.close()


def open_items(path: Path, disk: LossyDisk, synchronous: str) -> apsw.Connection:
    connection = connect(path, vfs=disk.name)
    connection.execute(f"PRAGMA synchronous={synchronous}; PRAGMA wal_autocheckpoint=0")
    connection.execute("CREATE TABLE IF NOT EXISTS items(id INTEGER PRIMARY KEY, text TEXT)")
    return connection


def insert(connection: apsw.Connection, first: int, count: int = 1) -> None:
    with immediate(connection):
        connection.executemany(
            "INSERT INTO items VALUES (?, ?)", ((number, "x" * 300) for number in range(first, first + count))
        )


def count_items(path: Path) -> int:
    """Counted through the ordinary VFS, as another program would."""
    connection = apsw.Connection(str(path))
    try:
        assert connection.pragma("integrity_check") == "ok"
        [(count,)] = connection.execute("SELECT count(*) FROM items").fetchall()
        return int(count)
    finally:
        connection.close()


def test_a_commit_with_synchronous_full_survives_a_power_cut(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    insert(connection, 0, 50)
    connection.execute("BEGIN IMMEDIATE; INSERT INTO items VALUES (1000, 'never committed')")
    disk.crash()
    connection.close()
    disk.power_on()
    assert count_items(path) == 50


def test_a_commit_with_synchronous_off_does_not_survive_one(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    insert(connection, 0, 50)
    connection.execute("PRAGMA synchronous=OFF")
    insert(connection, 50, 50)
    assert connection.execute("SELECT count(*) FROM items").fetchall() == [(100,)]
    assert disk.unsynced_bytes() > 0
    disk.crash()
    connection.close()
    disk.power_on()
    assert count_items(path) == 50


def test_synchronous_normal_keeps_only_what_a_checkpoint_synced(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "NORMAL")
    insert(connection, 0, 10)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    insert(connection, 10, 10)
    disk.crash()
    connection.close()
    disk.power_on()
    assert count_items(path) == 10


@pytest.mark.parametrize("seed", range(12))
def test_any_part_of_the_unsynced_blocks_may_survive_and_full_does_not_mind(
    tmp_path: Path, disk: LossyDisk, seed: int
) -> None:
    """Checkpoints, truncated WALs and a transaction under way, at a random point of the workload."""
    path = tmp_path / "items.db"
    chance = random.Random(seed)
    connection = open_items(path, disk, "FULL")
    checkpointer = connect(path, vfs=disk.name)
    done = 0
    for _ in range(chance.randint(1, 40)):
        many = chance.choice((1, 5, 200))
        insert(connection, done, many)
        done += many
        if chance.random() < 0.3:
            checkpointer.wal_checkpoint(
                mode=chance.choice((apsw.SQLITE_CHECKPOINT_PASSIVE, apsw.SQLITE_CHECKPOINT_TRUNCATE))
            )
    connection.execute("PRAGMA cache_size=1; BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO items VALUES (?, 'uncommitted')", ((-1 - number,) for number in range(500))
    )
    disk.crash(kept=chance.choice((0.2, 0.5, 0.9)), random=chance)
    connection.close()
    checkpointer.close()
    disk.power_on()
    assert count_items(path) == done


def test_connections_of_one_process_share_the_disk(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    writer = open_items(path, disk, "OFF")
    reader = connect(path, read_only=True, vfs=disk.name)
    insert(writer, 0)
    assert reader.execute("SELECT count(*) FROM items").fetchall() == [(1,)]
    reader.execute("BEGIN; SELECT count(*) FROM items")
    insert(writer, 1)
    assert reader.execute("SELECT count(*) FROM items").fetchall() == [(1,)]
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM items").fetchall() == [(2,)]
    reader.close()
    writer.close()


def test_a_deleted_wal_comes_back_where_the_folder_was_not_synced(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    insert(connection, 0, 5)
    connection.close()
    wal = path.with_name("items.db-wal")
    assert not wal.exists()
    disk.crash()
    disk.power_on()
    assert wal.exists()
    assert count_items(path) == 5


def test_after_a_crash_nothing_works_until_all_is_closed(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    insert(connection, 0)
    disk.crash()
    with pytest.raises(apsw.Error):
        insert(connection, 1)
    with pytest.raises(apsw.Error):
        apsw.Connection(str(path), vfs=disk.name)
    with pytest.raises(RuntimeError, match="Still open"):
        disk.power_on()
    connection.close()
    disk.power_on()
    assert count_items(path) == 1


def test_a_full_disk_raises_what_sqlite_raises(tmp_path: Path, disk: LossyDisk) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    insert(connection, 0)
    disk.fill(10_000)
    with pytest.raises(apsw.FullError) as caught:
        insert(connection, 1, 500)
    assert isinstance(storage_error(caught.value, path), StorageFull)
    disk.free()
    insert(connection, 1, 500)
    connection.close()
    assert count_items(path) == 501


@pytest.mark.parametrize("writes", range(1, 60, 3))
def test_a_crash_in_the_midst_of_a_commit_or_a_checkpoint(
    tmp_path: Path, disk: LossyDisk, writes: int
) -> None:
    path = tmp_path / "items.db"
    connection = open_items(path, disk, "FULL")
    done = 0
    disk.crash_in(writes, kept=0.5, random=random.Random(writes))
    with contextlib.suppress(apsw.Error):
        while done < 1_000_000:
            insert(connection, done, 30)
            done += 30
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    assert done < 1_000_000
    connection.close()
    disk.power_on()
    # Whether the commit under way is there is open; that it is whole is not.
    assert count_items(path) in (done, done + 30)
