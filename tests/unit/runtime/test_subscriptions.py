"""Subscribers that come and go are sent every change once: none is missing, none comes twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from springline.core.position import Tick
from springline.errors import ConfigurationError, NotFound
from springline.language import LANGUAGE
from springline.runtime.base import ChangeBatch, RelationChange
from springline.runtime.embedded import maintenance, subscriptions
from springline.runtime.embedded.changelists import Retained
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime
from springline.storage import DataFolder
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import TOTALS, orders

KEPT = {"totals": Retained(3_600.0)}
BIG = ViewDefinition("totals", TOTALS.text + " HAVING SUM(amount) > 5")


@contextmanager
def running(
    folder: Path,
    source: MemorySource,
    view: ViewDefinition = TOTALS,
    *,
    kept: dict[str, Retained] = KEPT,
) -> Iterator[EmbeddedRuntime]:
    made = EmbeddedRuntime(Definition("test", [source], [view], retained=kept), DataFolder(folder), LANGUAGE)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def settle(made: EmbeddedRuntime) -> int:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return snapshot.tick


class Subscriber:
    """Holds what it was sent, as a table; fails on a change that does not fit what it holds."""

    def __init__(self) -> None:
        self.rows: dict[object, dict[str, object]] = {}
        self.token: str | None = None
        self.resets: list[str] = []
        self.batches = 0

    def take(self, batch: ChangeBatch) -> None:
        self.batches += batch.event == "changes"
        if batch.event == "reset":
            self.rows.clear()
            self.resets.append(batch.reason or "")
        for change in batch.changes:
            key = change.row["customer"]
            if change.weight > 0:
                assert key not in self.rows, f"{change} came twice"
                self.rows[key] = change.row
            else:
                assert self.rows.pop(key, None) == change.row, f"{change} was not there"
        self.token = batch.token or self.token

    def follow(self, made: EmbeddedRuntime, tick: int) -> None:
        """Takes everything up to the end of a tick."""
        stop = threading.Event()
        for batch in made.subscribe("totals", self.token, stop=stop, timeout_s=0.05):
            self.take(batch)
            if batch.token is not None and batch.tick >= tick:
                return

    def assert_equal(self, made: EmbeddedRuntime) -> None:
        with made.read(require="now", deadline_ms=20_000) as snapshot:
            held = snapshot.query("SELECT customer, n, total FROM totals").dictionaries()
        assert sorted(self.rows.values(), key=repr) == sorted(held, key=repr)


def put(source: MemorySource, start: int, count: int) -> None:
    for number in range(start, start + count):
        source.put("shop.orders", {"id": number % 50, "customer": number % 7, "amount": number})
        if number % 5 == 0:
            source.delete("shop.orders", {"id": (number + 3) % 50})


def test_a_new_subscriber_has_the_whole_relation_first_and_then_what_follows(tmp_path: Path) -> None:
    source = orders()
    with running(tmp_path, source) as made:
        put(source, 0, 40)
        one = Subscriber()
        one.follow(made, settle(made))
        one.assert_equal(made)
        assert one.resets == ["From the beginning."]
        put(source, 40, 40)
        one.follow(made, settle(made))
        one.assert_equal(made)
        assert len(one.resets) == 1
        later = next(iter(made.subscribe("totals", "now", timeout_s=0.05)))
        assert (later.event, later.changes) == ("idle", ())


def test_a_subscriber_that_comes_back_is_sent_what_it_missed_also_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "BATCH_CHANGES", 5)
    source, one, slow = orders(), Subscriber(), Subscriber()
    with running(tmp_path, source) as made:
        put(source, 0, 30)
        tick = settle(made)
        one.follow(made, tick)
        slow.follow(made, tick)
        with source.transaction():
            put(source, 30, 60)
        settle(made)
    with running(tmp_path, source) as made:
        put(source, 90, 30)
        one.follow(made, settle(made))
        one.assert_equal(made)
        put(source, 120, 30)
        slow.follow(made, settle(made))
        slow.assert_equal(made)
    assert one.resets == slow.resets == ["From the beginning."]
    assert slow.batches > 10


def test_a_batch_without_a_token_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber that dies within a tick goes on with that tick's beginning."""
    monkeypatch.setattr(subscriptions, "BATCH_CHANGES", 3)
    source, one = orders(), Subscriber()
    with running(tmp_path, source) as made:
        settle(made)
        one.follow(made, 1)
        with source.transaction():
            for number in range(20):
                source.put("shop.orders", {"id": number, "customer": number, "amount": 1})
        tick = settle(made)
        token = one.token
        first = next(batch for batch in made.subscribe("totals", token) if batch.changes)
        assert (first.token, len(first.changes)) == (None, 3)
        one.follow(made, tick)
        one.assert_equal(made)


def test_a_token_that_is_too_old_resets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "TRIM_EVERY_S", 0.0)
    monkeypatch.setattr(maintenance, "CHECKPOINT_EVERY_S", 0.02)
    source, one = orders(), Subscriber()
    with running(tmp_path, source, kept={"totals": Retained(3_600.0, 10)}) as made:
        put(source, 0, 10)
        one.follow(made, settle(made))
        put(source, 10, 60)
        settle(made)
        deadline = time.monotonic() + 10
        while (length := list_length(made)) > 20:
            assert time.monotonic() < deadline, f"the list still has {length} changes"
            time.sleep(0.02)
        one.follow(made, settle(made))
        assert len(one.resets) == 2
        assert "is not kept any more" in one.resets[1]
        one.assert_equal(made)


def list_length(made: EmbeddedRuntime) -> int:
    with made.read() as snapshot:
        [(length,)] = snapshot.connection.execute('SELECT count(*) FROM "c:totals"').fetchall()
        return int(length)


def test_changes_go_when_they_are_older_than_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "TRIM_EVERY_S", 0.0)
    monkeypatch.setattr(maintenance, "CHECKPOINT_EVERY_S", 0.02)
    source = orders()
    with running(tmp_path, source, kept={"totals": Retained(0.3)}) as made:
        put(source, 0, 20)
        settle(made)
        assert list_length(made)
        deadline = time.monotonic() + 10
        while list_length(made):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_changed_view_and_a_restored_state_reset(tmp_path: Path) -> None:
    source, one = orders(), Subscriber()
    with running(tmp_path, source) as made:
        put(source, 0, 40)
        one.follow(made, settle(made))
    with running(tmp_path, source, BIG) as made:
        one.follow(made, settle(made))
        one.assert_equal(made)
        assert "was filled anew" in one.resets[1]
        epoch, tick = (one.token or "").split(".")
        one.token = f"{int(epoch) + 1}.{tick}"
        one.follow(made, settle(made))
        assert "its epoch is" in one.resets[2]
        one.assert_equal(made)
    with running(tmp_path, source, BIG, kept={}) as made:
        with made.read() as snapshot:
            found = snapshot.connection.execute("SELECT relation FROM _change_lists").fetchall()
        assert found == [], "nobody asks for it any more"


def test_what_cannot_be_followed_is_told(tmp_path: Path) -> None:
    source = orders()
    with running(tmp_path, source) as made:
        with pytest.raises(ConfigurationError, match=r"The changes of 'shop.orders' are not kept."):
            made.subscribe("shop.orders")
        with pytest.raises(NotFound, match=r"There is no relation 'total'."):
            made.subscribe("total")
        with pytest.raises(ConfigurationError, match="'yesterday' is not a position"):
            made.subscribe("totals", "yesterday")
    missing = pytest.raises(ConfigurationError, match="'sums' are to be kept, but there is no such relation")
    with missing, running(tmp_path, source, kept={"sums": Retained(1.0)}):
        raise AssertionError


PROGRAM = """
import json, sys, threading, time
from pathlib import Path
from tests.unit.runtime.running import orders
from tests.unit.runtime.test_subscriptions import put, running

source, before = orders(), int(sys.argv[3])
put(source, 0, before)

def go_on():
    for number in range(before, 3_000):
        put(source, number, 1)
        time.sleep(0.001)

with running(Path(sys.argv[1]), source) as made:
    threading.Thread(target=go_on, daemon=True).start()
    for batch in made.subscribe("totals", sys.argv[2] or None, timeout_s=0.05):
        rows = [[one.weight, one.row] for one in batch.changes]
        print(json.dumps([batch.event, batch.tick, batch.token, rows]), flush=True)
"""


def test_killed_processes_leave_no_gap_and_no_repeat(tmp_path: Path) -> None:
    """The application is killed again and again while ticks run; its subscriber goes on with its last token."""
    one = Subscriber()
    for kill in range(6):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), one.token or "", str(kill * 300)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                receive(process.stdout, one, batches=20 + 7 * kill)
            finally:
                os.kill(process.pid, signal.SIGKILL)
    assert one.resets == ["From the beginning."]
    assert one.batches >= 200
    source = orders()
    put(source, 0, 3_000)
    with running(tmp_path, source) as made:
        one.follow(made, settle(made))
        one.assert_equal(made)
    assert one.resets == ["From the beginning."]


def receive(lines: Iterable[str], one: Subscriber, *, batches: int) -> None:
    """Takes some batches of changes. What a subscriber does with a tick, it does at once and together with the token: of a tick of
    which it has only the beginning it keeps nothing."""
    end = one.batches + batches
    begun: list[ChangeBatch] = []
    for line in lines:
        event, tick, token, rows = json.loads(line)
        changes = tuple(RelationChange(Tick(tick), "totals", weight, row) for weight, row in rows)
        begun.append(
            ChangeBatch(
                "totals", event, Tick(tick), token, changes, "" if event != "reset" else "From the beginning."
            )
        )
        if token is not None:
            for batch in begun:
                one.take(batch)
            begun = []
        if one.batches >= end:
            return
