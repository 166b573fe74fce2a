"""The embedded runtime over sources in memory: views, feeds, changes of the application, restarts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from springline.core.change import load_entry, schema_entry
from springline.core.position import Position
from springline.core.schema import Column, TableSchema
from springline.core.types import STRING
from springline.errors import ConfigurationError, DataFolderLocked, NotFound, NotFresh, SourceUnavailable
from springline.runtime.embedded.catalog import ViewDefinition
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import ORDERS, TOTALS, orders, runtime, totals


def put(source: MemorySource, key: int, customer: int | None, amount: int) -> None:
    source.put("orders", {"id": key, "customer": customer, "amount": amount})


def test_a_view_follows_inserts_updates_and_deletes(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        put(source, 1, 7, 10)
        put(source, 2, 7, 5)
        put(source, 3, None, 1)
        assert totals(made) == [(7, 2, 15), (None, 1, 1)]
        put(source, 2, 8, 6)
        source.delete("orders", {"id": 3})
        assert totals(made) == [(7, 1, 10), (8, 1, 6)]
        source.truncate("orders")
        assert totals(made) == []


def test_a_transaction_is_seen_whole(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        put(source, 1, 1, 100)
        put(source, 2, 2, 0)
        assert totals(made)
        sums: set[object] = set()
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                with made.read() as snapshot:
                    sums.add(snapshot.query("SELECT SUM(total) AS s FROM totals").rows[0][0])

        looking = threading.Thread(target=look)
        looking.start()
        for step in range(1, 101):
            with source.transaction():
                put(source, 1, 1, 100 - step)
                put(source, 2, 2, step)
        assert totals(made) == [(1, 1, 0), (2, 1, 100)]
        stop.set()
        looking.join()
        assert sums == {100}


def test_views_are_added_changed_and_removed_between_starts(tmp_path: Path) -> None:
    source = orders()
    large = ViewDefinition("totals", TOTALS.text.replace("GROUP BY", "WHERE amount > 5 GROUP BY"))
    with runtime(tmp_path, [source]) as made:
        put(source, 1, 7, 10)
        put(source, 2, 7, 5)
        with made.read(require="now") as snapshot:
            assert set(snapshot.schemas) == {"shop.orders"}
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        assert totals(made) == [(7, 2, 15)]
    with runtime(tmp_path, [source], views=[large]) as made:
        assert totals(made) == [(7, 1, 10)]
    with runtime(tmp_path, [source]) as made, pytest.raises(ConfigurationError, match="totals"):
        totals(made)


def test_a_view_on_a_view_and_its_changes_as_a_feed(tmp_path: Path) -> None:
    source = orders()
    rich = ViewDefinition("rich", "SELECT customer, total FROM totals WHERE total > 10")
    with runtime(tmp_path, [source], views=[rich, TOTALS]) as made:
        put(source, 1, 7, 10)
        assert totals(made) == [(7, 1, 10)]
        stop = threading.Event()
        feed = made.changes(["rich"], stop, 10.0)
        changes: list[object] = []

        def listen() -> None:
            for change in feed:
                changes.append(change and (change.weight, change.row))
                if len(changes) == 3:
                    stop.set()

        listening = threading.Thread(target=listen)
        listening.start()
        while not made._feeds._subscribers:  # the feed begins with its first look
            pass
        put(source, 2, 7, 5)
        assert totals(made) == [(7, 2, 15)]
        put(source, 2, 7, 6)
        listening.join(20)
        assert changes == [
            (1, {"customer": 7, "total": 15}),
            (-1, {"customer": 7, "total": 15}),
            (1, {"customer": 7, "total": 16}),
        ]


def test_a_dropped_column_stops_the_views_that_read_it_and_no_others(tmp_path: Path) -> None:
    source = orders()
    counts = ViewDefinition("counts", "SELECT customer, COUNT(*) AS n FROM shop.orders GROUP BY customer")
    with runtime(tmp_path, [source], views=[TOTALS, counts]) as made:
        put(source, 1, 7, 10)
        assert totals(made) == [(7, 1, 10)]
        narrow = TableSchema(ORDERS.name, (*ORDERS.columns[:2], Column("note", STRING)), ("id",))
        source.control(schema_entry(narrow))
        with made.read(require="now") as snapshot:
            assert snapshot.query("SELECT customer, n FROM counts").rows == [(7, 1)]
            with pytest.raises(NotFound, match="amount"):
                snapshot.query("SELECT customer FROM totals")
        states = {one.name: one.state for one in made.status().relations}
        assert (states["totals"], states["counts"]) == ("stopped", "live")


def test_a_view_whose_key_is_not_unique_is_stopped_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = orders()
    bad = ViewDefinition("by_customer", "SELECT id, customer, amount FROM shop.orders", ("customer",))
    with runtime(tmp_path, [source], views=[TOTALS, bad]) as made:
        put(source, 1, 7, 10)
        put(source, 2, 7, 5)
        assert totals(made) == [(7, 2, 15)]
        status = {one.name: one for one in made.status().relations}["by_customer"]
        assert status.state == "stopped"
        assert "key is not unique" in str(status.error)


def test_a_table_that_loads_again_makes_now_wait_and_is_stated_otherwise(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        put(source, 1, 7, 10)
        put(source, 2, 8, 10)
        assert totals(made) == [(7, 1, 10), (8, 1, 10)]
        source.control(load_entry(ORDERS.name, loading=True))
        with (
            pytest.raises(NotFresh, match=r"being loaded: shop\.orders"),
            made.read(require="now", deadline_ms=200),
        ):
            pass
        with made.read(require="now", deadline_ms=200, on_miss="state_age") as snapshot:
            assert snapshot.ages()["shop"].loading == ("shop.orders",)
        put(source, 1, 7, 11)
        source.control(load_entry(ORDERS.name, loading=False))
        assert totals(made) == [(7, 1, 11)]


def test_a_refusal_says_why_a_source_has_no_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(self: MemorySource, timeout_s: float) -> Position:
        raise SourceUnavailable("Nobody answers at db:5432.", hint="Is it running?")

    with runtime(tmp_path, [orders()], views=[TOTALS]) as made:
        monkeypatch.setattr(MemorySource, "current_position", unknown)
        with (
            pytest.raises(NotFresh, match=r"behind: shop \(Nobody answers at db:5432\)"),
            made.read(require="now", deadline_ms=200),
        ):
            pass


def test_one_process_at_a_time_and_a_restart_resumes(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        put(source, 1, 7, 10)
        assert totals(made)
        with pytest.raises(DataFolderLocked), runtime(tmp_path, [source]):
            pass
        tick = made.status().tick
    put(source, 2, 7, 1)
    with runtime(tmp_path, [source], views=[TOTALS]) as made:
        assert totals(made) == [(7, 2, 11)]
        assert made.status().tick > tick


def test_names_that_do_not_exist(tmp_path: Path) -> None:
    with runtime(tmp_path, [orders()], views=[TOTALS]) as made:
        with pytest.raises(NotFound, match="totals"):
            made.explain("total")
        with pytest.raises(NotFound, match="nothing"):
            made.changes(["nothing"], threading.Event())
        with pytest.raises(NotFound, match="loaded again"):
            made.reload(["shop.orders"])
        assert "totals" in made.explain("totals")
