"""Transactions in memory between the log's writer and the engine: order, gaps, bounds, and a log that fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import apsw
import pytest

from springline.errors import SpringlineError
from springline.log import sqlite
from springline.log.base import Logged
from springline.log.recent import MOST_ENTRIES, NotDurable, Recent, Whole
from springline.log.sqlite import SqliteLog
from tests.unit.log.harness import entry, transaction


def whole(sequence: int, size: int = 1) -> Whole:
    return Logged(sequence, "s", "sequence:1", 0, 0, "", None, size), [entry(n) for n in range(size)]


def sequences(found: Sequence[Whole]) -> list[int]:
    return [logged.sequence for logged, _ in found]


@pytest.fixture
def recent() -> Recent:
    return Recent(threading.Condition(), 0)


def test_what_is_offered_is_taken_in_order_and_once_it_was_applied_not_again(recent: Recent) -> None:
    recent.offer([whole(1), whole(2), whole(3)])
    assert sequences(recent.take(0, 100)) == [1, 2, 3]
    assert sequences(recent.take(0, 100)) == [1, 2, 3]  # a tick that was rolled back
    assert sequences(recent.take(2, 100)) == [3]
    assert recent.take(3, 100) == []


def test_a_take_is_bounded_and_never_empty_where_something_follows(recent: Recent) -> None:
    recent.offer([whole(1, 60), whole(2, 60), whole(3, 1)])
    assert sequences(recent.take(0, 100)) == [1]
    assert sequences(recent.take(0, 10)) == [1]
    assert sequences(recent.take(1, 100)) == [2, 3]


def test_a_gap_sends_the_engine_to_the_file(recent: Recent) -> None:
    recent.offer([whole(1)])
    recent.settle(2)  # the second was spilled
    recent.offer([whole(3)])
    assert sequences(recent.take(0, 100)) == [1]
    assert recent.take(1, 100) == []
    assert sequences(recent.take(2, 100)) == [3]


def test_an_engine_that_is_far_behind_reads_the_file(recent: Recent) -> None:
    recent.offer([whole(1, MOST_ENTRIES)])
    recent.settle(1)
    recent.offer([whole(2, 1)])
    assert recent.take(0, 100) == []
    assert recent.offered == 1  # what is being committed cannot be read from the file yet
    recent.settle(2)
    assert recent.offered == 2


def test_a_tick_waits_until_the_log_has_committed(recent: Recent) -> None:
    recent.offer([whole(1)])
    recent.take(0, 100)
    waited = threading.Thread(target=recent.wait_durable, args=(1,), daemon=True)
    waited.start()
    waited.join(0.05)
    assert waited.is_alive()
    recent.settle(1)
    waited.join(10)
    assert not waited.is_alive()


def test_a_tick_on_what_was_withdrawn_is_refused_also_when_the_number_is_used_again(recent: Recent) -> None:
    recent.offer([whole(1)])
    recent.take(0, 100)
    recent.withdraw()
    assert (recent.offered, recent.take(0, 100)) == (0, [])
    recent.offer([whole(1)])
    recent.take(0, 100)
    recent.withdraw()
    recent.offer([whole(1, 2)])
    with pytest.raises(NotDurable):
        recent.wait_durable(1)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """While it holds something, commits of the log find the disk full."""
    original, failures = SqliteLog._write, list[int]()  # pyright: ignore[reportPrivateUsage]

    def write(self: SqliteLog, *arguments: object) -> int:
        if failures:
            raise apsw.FullError("full")
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite.SqliteLog, "_write", write)
    return failures


def test_a_commit_that_fails_takes_back_what_it_offered_and_may_be_repeated(
    log: SqliteLog, failing: list[int]
) -> None:
    writer = log.open_writer("s")
    writer.append(transaction(1, entry(10)))
    failing.append(1)
    with pytest.raises(SpringlineError):
        writer.commit()
    assert log.recent.take(0, 100) == []
    assert log.last_sequence() == 0
    failing.clear()
    writer.commit()
    assert sequences(log.recent.take(0, 100)) == [1]
    log.recent.wait_durable(1)
    assert [logged.sequence for logged in log.read(0, 10)] == [1]


def test_the_engine_is_given_the_same_entries_as_the_file_holds(log: SqliteLog) -> None:
    writer = log.open_writer("s")
    for number in range(3):
        writer.append(transaction(number + 1, entry(number), entry(number + 10)))
    writer.commit()
    taken, read = log.recent.take(0, 100), log.read_small(0, 100)
    assert [one for one, _ in taken] == [one for one, _ in read]
    assert [[list(part) for part in entries] for _, entries in taken] == [entries for _, entries in read]
