"""The log on SQLite: order, atomicity with positions, fragments, two writers, readers."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from springline.core.change import UNCHANGED, Transaction
from springline.core.position import PostgresPosition, SequencePosition
from springline.errors import ConfigurationError, StateError
from springline.log.sqlite import LogReader, SqliteLog
from tests.unit.log.harness import entry, fragment_count, rows, transaction

# -- order, atomicity, positions -----------------------------------------------------------------------------------


def test_transactions_are_read_whole_and_in_the_order_of_their_commits(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1, entry(10), entry(11)))
    writer.append(transaction(2, entry(20)))
    assert rows(log) == []
    writer.commit()
    writer.append(transaction(3))
    writer.commit()
    assert rows(log) == [(1, [10, 11]), (2, [20]), (3, [3])]
    [first, *_] = log.read(0, 100)
    assert (first.source, first.position, first.identifier) == ("s", SequencePosition(1), "x1")
    assert (first.committed_at_us, first.size) == (1_001, 2)


def test_the_position_is_durable_with_the_records_that_it_covers(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    assert writer.position() is None
    writer.append(transaction(7))
    assert writer.position() is None
    assert writer.commit() == SequencePosition(7)
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert again.positions().to_json() == {"s": "sequence:7"}
        assert again.open_writer("s").position() == SequencePosition(7)


def test_what_was_appended_but_not_committed_is_lost_on_close(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.commit()
    writer.append(transaction(2))
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert rows(again) == [(1, [1])]
        assert again.open_writer("s").position() == SequencePosition(1)


def test_a_commit_of_nothing_changes_nothing(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    assert writer.commit() is None
    assert log.last_sequence() == 0


def test_the_last_of_append_and_advance_says_where_the_source_stands(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1))
    writer.advance(SequencePosition(5))
    assert writer.commit() == SequencePosition(5)
    writer.advance(SequencePosition(6))
    writer.append(transaction(8))
    assert writer.commit() == SequencePosition(8)
    assert log.positions()["s"] == SequencePosition(8)


def test_an_advance_alone_is_durable_and_adds_no_transaction(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.advance(PostgresPosition(0x16B3748))
    writer.commit()
    assert log.positions().to_json() == {"s": "postgres:0/16B3748"}
    assert log.last_sequence() == 0


def test_unchanged_values_and_every_stored_form_come_back(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    row = [1, -(2**63), 1.5, float("inf"), "文", b"\0\xff", None, UNCHANGED]
    writer.append(transaction(1, ("u", "s.t", row, row)))
    writer.commit()
    [[read]] = list(log.entries(log.read(0, 1)[0]))
    assert list(read[3] or ()) == row
    assert read[2][7] is UNCHANGED  # type: ignore[index]


def test_read_takes_about_the_limit_but_always_something(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(1, 4):
        writer.append(transaction(number, *[entry(number)] * 10))
    writer.commit()
    assert [one.sequence for one in log.read(0, 5)] == [1]
    assert [one.sequence for one in log.read(0, 20)] == [1, 2]
    assert [one.sequence for one in log.read(2, 100)] == [3]
    assert [logged.sequence for logged, _ in log.read_small(0, 25)] == [1, 2]
    assert log.read(3, 100) == []


# -- progress ------------------------------------------------------------------------------------------------------


def test_progress_is_durable_with_the_commit(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    writer.save("cursor", {"table": "t", "after": [1, "x"]})
    writer.save("gone", 1)
    assert writer.progress() == {}
    writer.commit()
    writer.save("gone", None)
    writer.save("lost", 2)
    writer.discard()
    writer.save("gone", None)
    writer.commit()
    log.close()
    with contextlib.closing(SqliteLog(path)) as again:
        assert again.open_writer("s").progress() == {"cursor": {"table": "t", "after": [1, "x"]}}
        assert again.open_writer("other").progress() == {}


# -- fragments -----------------------------------------------------------------------------------------------------


def test_fragments_are_invisible_until_their_last(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1, entry(1), entry(2), last=False))
    writer.commit()
    writer.append(transaction(1, entry(3), last=False))
    writer.commit()
    assert (rows(log), log.last_sequence(), writer.position()) == ([], 0, None)
    writer.append(transaction(1, entry(4)))
    assert writer.commit() == SequencePosition(1)
    assert rows(log) == [(1, [1, 2, 3, 4])]
    [one] = log.read(0, 10)
    assert (one.is_spilled, one.size) == (True, 4)
    assert log.read_small(0, 10) == []


def test_a_spilled_transaction_in_one_commit_and_what_follows_it(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1, entry(1), last=False))
    writer.append(transaction(1, entry(2)))
    writer.append(transaction(2, entry(3)))
    writer.append(transaction(3, entry(4), last=False))
    writer.append(transaction(3, entry(5)))
    writer.commit()
    assert rows(log) == [(1, [1, 2]), (2, [3]), (3, [4, 5])]
    assert [one.is_spilled for one in log.read(0, 100)] == [True, False, True]


def test_an_empty_first_fragment_belongs_to_its_transaction(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    writer.append(Transaction("s", SequencePosition(1), 0, [], last=False))
    writer.append(transaction(1, entry(1)))
    writer.append(transaction(2, entry(2), last=False))
    writer.append(transaction(2, entry(3)))
    writer.commit()
    assert rows(log) == [(1, [1]), (2, [2, 3])]


def test_fragments_without_their_last_are_dropped_when_the_source_is_opened_again(
    log: SqliteLog, path: Path
) -> None:
    writer, other = log.open_writer("s"), log.open_writer("other")
    writer.append(transaction(1, entry(1), last=False))
    writer.append(transaction(1, entry(2)))
    other.append(transaction(9, entry(90), last=False, source="other"))
    writer.commit()
    other.commit()
    writer.append(transaction(2, entry(20), last=False))
    writer.commit()
    writer.close()
    writer = log.open_writer("s")
    assert fragment_count(path) == 3
    writer.append(transaction(2, entry(20), entry(21)))
    writer.commit()
    other.append(transaction(9, entry(91), source="other"))
    other.commit()
    assert rows(log) == [(1, [1, 2]), (2, [20, 21]), (3, [90, 91])]


# -- two writers, readers, waiting ---------------------------------------------------------------------------------


def test_one_source_is_opened_once_at_a_time(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    with pytest.raises(ConfigurationError, match="Two sources are named 's'"):
        log.open_writer("s")
    writer.close()
    log.open_writer("s")


def test_writers_in_parallel_share_one_gapless_sequence_while_readers_read(log: SqliteLog) -> None:
    each = 60
    seen: list[int] = []
    done = threading.Event()

    def write(source: str) -> None:
        writer = log.open_writer(source)
        for number in range(1, each + 1):
            if number % 10 == 0:
                writer.append(transaction(number, last=False, source=source))
                writer.commit()
            writer.append(transaction(number, source=source))
            writer.commit()

    def read() -> None:
        after = 0
        while not (done.is_set() and after == log.last_sequence()):
            if log.wait(after, 0.05):
                for one in log.read(after, 7):
                    assert one.sequence == after + 1
                    list(log.entries(one))
                    seen.append(after := one.sequence)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    log.wake()
    reader.join(20)
    assert seen == list(range(1, 3 * each + 1))
    assert log.last_sequence() == log.newest_sequence() == 3 * each
    assert log.positions().to_json() == dict.fromkeys("abc", f"sequence:{each}")


def test_the_newest_sequence_never_goes_back(log: SqliteLog) -> None:
    """Whoever commits first may be told of it last."""
    newest: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.0001):
            newest.append(log.last_sequence())

    def write(source: str) -> None:
        writer = log.open_writer(source)
        for number in range(100):
            writer.append(transaction(number, source=source))
            writer.commit()

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert newest == sorted(newest)
    assert log.last_sequence() == 200


def test_wait_ends_with_a_commit_a_wake_or_the_end(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    assert not log.wait(0, 0.01)
    writer.append(transaction(1))
    writer.commit()
    assert log.wait(0, 0)
    log.wake()
    log.wait_or_wake(1, 60)
    waiting = threading.Thread(target=log.wait, args=(1, 60))
    waiting.start()
    log.close()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_reader_of_the_file_follows_another_process(log: SqliteLog, path: Path) -> None:
    writer = log.open_writer("s")
    with contextlib.closing(LogReader(path)) as reader:
        assert (rows(reader), reader.newest_sequence()) == ([], 0)
        writer.append(transaction(1))
        writer.commit()
        assert (rows(reader), reader.newest_sequence()) == ([(1, [1])], 1)
    with pytest.raises(StateError, match="is closed"):
        reader.read(0, 1)


def test_a_reader_in_the_middle_of_a_transaction_is_not_disturbed_by_retention(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(3):
        writer.append(transaction(1, entry(number), last=number == 2))
    writer.commit()
    reading = log.entries(log.read(0, 10)[0])
    first = next(reading)
    assert log.trim(2) == 1
    assert [first, *reading] == [[list(entry(number))] for number in range(3)]
