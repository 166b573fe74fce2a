"""The log on SQLite: reopening, retention, checkpoints, backups, a full disk."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.core.change import Entry
from springline.core.position import SequencePosition
from springline.errors import NotFound, StorageFull
from springline.log.sqlite import SqliteLog
from springline.storage import connect
from tests.unit.log.harness import entry, fragment_count, rows, transaction

# -- reopening and retention ---------------------------------------------------------------------------------------


def test_reopening_continues_the_sequence(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.commit()
    log.close()
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert again.last_sequence() == 1
        writer = again.open_writer("s")
        writer.append(transaction(2))
        writer.commit()
        assert rows(again) == [(1, [1]), (2, [2])]


def test_trim_forgets_what_is_older_and_nothing_else(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(1, 6):
        writer.append(transaction(number))
    writer.commit()
    [old, *_] = log.read(0, 1)
    assert log.first_sequence() == 1
    assert log.trim(3) == 2
    assert log.trim(3) == 0
    assert (log.first_sequence(), [number for number, _ in rows(log)]) == (3, [3, 4, 5])
    with pytest.raises(NotFound, match="begins at 3"):
        list(log.entries(old))


def test_trim_works_in_portions(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(1, 6):
        writer.append(transaction(number))
    writer.commit()
    assert [log.trim(6, most=2) for _ in range(4)] == [2, 2, 1, 0]
    assert log.first_sequence() == 6


def test_an_emptied_log_keeps_its_counters_and_positions(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    for number in (1, 2):
        writer.append(transaction(number))
    writer.commit()
    log.trim(100)
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert (rows(again), again.last_sequence(), again.first_sequence()) == ([], 2, 3)
        writer = again.open_writer("s")
        assert writer.position() == SequencePosition(2)
        writer.append(transaction(3))
        writer.commit()
        assert rows(again) == [(3, [3])]


def test_trim_takes_a_spilled_transaction_with_its_fragments_and_spares_one_that_still_arrives(
    log: SqliteLog, path: Path
) -> None:
    first, second = log.open_writer("s"), log.open_writer("t")
    first.append(transaction(1, entry(1), last=False))
    second.append(transaction(1, entry(10), last=False, source="t"))
    first.commit()
    second.commit()
    first.append(transaction(1, entry(2)))
    first.commit()
    assert log.trim(100) == 1
    assert fragment_count(path) == 1
    second.append(transaction(1, entry(11), source="t"))
    second.commit()
    assert rows(log) == [(2, [10, 11])]


def test_the_size_is_that_of_what_is_held(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(1, 200):
        writer.append(transaction(number, ("c", "s.t", None, ["x" * 4_000])))
    writer.commit()
    full = log.size_bytes()
    log.trim(200)
    assert log.size_bytes() < full / 4


def test_sequence_at_finds_the_first_captured_since(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.commit()
    captured_us = log.read(0, 1)[0].captured_at_us
    assert log.sequence_at(captured_us) == 1
    assert log.sequence_at(captured_us + 1) == 2


def test_a_busy_writer_does_not_keep_the_wal_growing(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springline.log.sqlite.WAL_LIMIT_BYTES", 100_000)
    writer = log.open_writer("s")
    for number in range(1, 60):
        writer.append(transaction(number, ("c", "s.t", None, ["x" * 20_000])))
        writer.commit()
        log.checkpoint()
    assert path.with_name("log.db-wal").stat().st_size < 1_000_000
    log.checkpoint()


def test_a_backup_is_a_log_of_its_own(log: SqliteLog, tmp_path: Path) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.commit()
    log.backup(tmp_path / "copy.db")
    with contextlib.closing(SqliteLog(tmp_path / "copy.db")) as copied:
        assert rows(copied) == [(1, [1])]
        assert copied.positions() == log.positions()


# -- a full disk ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes, as under a quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("is_spilled", [False, True])
def test_a_full_disk_loses_nothing_and_the_same_commit_succeeds_later(
    log: SqliteLog, path: Path, is_spilled: bool
) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.commit()
    big: Entry = ("c", "s.t", None, [2, "x" * 500_000])
    if is_spilled:
        writer.append(transaction(2, big, last=False))
    writer.append(transaction(2, big))
    writer.save("cursor", 2)
    with files_at_most(300_000):
        for _ in range(2):
            with pytest.raises(StorageFull):
                writer.commit()
            assert (rows(log), log.last_sequence()) == ([(1, [1])], 1)
            assert (writer.position(), writer.progress()) == (SequencePosition(1), {})
    assert writer.commit() == SequencePosition(2)
    assert rows(log) == [(1, [1]), (2, [2, 2] if is_spilled else [2])]
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert again.open_writer("s").progress() == {"cursor": 2}
        assert len(rows(again)) == 2


def test_another_writer_goes_on_after_one_met_a_full_disk(log: SqliteLog) -> None:
    writer, other = log.open_writer("s"), log.open_writer("t")
    writer.append(transaction(1, ("c", "s.t", None, [1, "x" * 500_000])))
    with files_at_most(300_000), pytest.raises(StorageFull):
        writer.commit()
    other.append(transaction(1, source="t"))
    other.commit()
    writer.commit()
    assert [one.source for one in log.read(0, 100)] == ["t", "s"]


def test_rows_are_found_by_their_sequence_alone(path: Path, log: SqliteLog) -> None:
    """The plan of the read statements; another one would read the whole log for each tick."""
    with contextlib.closing(connect(path, read_only=True)) as connection:
        plan = connection.execute(
            """EXPLAIN QUERY PLAN SELECT t.sequence, s.name, t.entries FROM transactions t JOIN sources s ON s.id = t.source
               WHERE t.sequence > 5 ORDER BY t.sequence LIMIT 10"""
        ).fetchall()
    steps = [row[3] for row in plan]
    assert steps == [
        "SEARCH t USING INTEGER PRIMARY KEY (rowid>?)",
        "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)",
    ]
