"""Views over large tables are built beside the running ticks: read as before meanwhile, then switched in by one tick."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from springline.context.knowledge import KnowledgeDefinition
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.errors import ViewBuilding
from springline.language import LANGUAGE
from springline.runtime.embedded import building, staging
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.runtime.embedded.shadow import CannotStage, Group
from springline.runtime.embedded.staging import Staging, TableShape
from springline.storage import DataFolder
from springline.testing.memory_source import MemorySource
from springline.testing.models import FakeEmbedder
from tests.unit.runtime.running import ORDERS, TOTALS, runtime

NOTES = TableSchema("shop.notes", (Column("customer", BIGINT), Column("text", STRING)), ())
CUSTOMERS = TableSchema(
    "shop.customers", (Column("id", BIGINT), Column("region", STRING), Column("name", STRING)), ("id",)
)
BESIDE = Options(inline_rows=0)
"""Every view over a table with rows is built beside the ticks."""

VIEWS = (
    TOTALS,
    ViewDefinition(
        "regions",
        "SELECT c.region, COUNT(*) AS n, MAX(o.amount) AS largest FROM shop.orders o "
        "LEFT JOIN shop.customers c ON c.id = o.customer GROUP BY c.region",
    ),
    ViewDefinition("big", "SELECT t.customer, t.total, t.n FROM totals t WHERE t.total > 100"),
    ViewDefinition(
        "said", "SELECT o.id, n.text, COUNT(*) AS times FROM shop.orders o JOIN shop.notes n ON n.customer = o.customer "
        "GROUP BY o.id, n.text"
    ),
    ViewDefinition("shares", "SELECT o.id, o.customer, 1000 / o.amount AS share FROM shop.orders o"),
)  # fmt: skip
"""The last one leaves rows out, those with an amount of 0."""


def shop() -> MemorySource:
    return MemorySource("shop", [ORDERS, CUSTOMERS, NOTES])


def fill(source: MemorySource, orders: int = 3_000) -> None:
    for start in range(0, orders, 500):
        with source.transaction():
            for number in range(start, start + 500):
                source.put("shop.orders", {"id": number, "customer": number % 97, "amount": number % 13})
    with source.transaction():
        for number in range(80):
            source.put("shop.customers", {"id": number, "region": f"r{number % 5}", "name": str(number)})
            source.put("shop.notes", {"customer": number % 40, "text": f"t{number % 3}"})


class Writer:
    """Changes all tables until it is stopped, in every way that rows change."""

    def __init__(self, source: MemorySource) -> None:
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.transactions = 0

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            one = number * 7 % 3_500
            with self._source.transaction():
                self._source.put("shop.orders", {"id": one, "customer": number % 90, "amount": number % 17})
                self._source.delete("shop.orders", {"id": (one + 1_000) % 3_500})
                self._source.put(
                    "shop.customers", {"id": number % 85, "region": f"r{number % 6}", "name": "x"}
                )
                note = {"customer": number % 40, "text": f"t{number % 3}"}
                self._source.put("shop.notes", note)
                self._source.delete("shop.notes", note) if number % 2 else None
            self.transactions += 1
            time.sleep(0.002)


def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def states(made: EmbeddedRuntime) -> Mapping[str, tuple[str, bool]]:
    """State of each view, and whether a version of it is being built."""
    return {
        one.name: (one.state, one.building is not None)
        for one in made.status().relations
        if one.kind == "view"
    }


def all_live(made: EmbeddedRuntime, views: Sequence[ViewDefinition]) -> Callable[[], bool]:
    return lambda: all(states(made).get(view.name) == ("live", False) for view in views)


def assert_equal_to_batch(made: EmbeddedRuntime, views: Sequence[ViewDefinition]) -> None:
    """Every view holds what its SELECT gives over the present tables, all in one snapshot."""
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        for view in views:
            columns = ", ".join(snapshot.schemas[view.name].names)
            held = snapshot.query(f"SELECT {columns} FROM {view.name}").rows
            text = view.text + " WHERE o.amount <> 0" if view.name == "shares" else view.text
            assert sorted(held, key=repr) == sorted(snapshot.query(text).rows, key=repr), view.name
            assert held, view.name
            if view.name == "shares":
                [left] = snapshot.query("SELECT COUNT(*) AS n FROM shop.orders WHERE amount = 0").rows
                letters = "SELECT COUNT(*) AS n FROM springline.dead_letters WHERE name = 'shares'"
                assert [left] == snapshot.query(letters).rows


def leftovers(made: EmbeddedRuntime) -> list[Any]:
    with made.read() as snapshot:
        return snapshot.connection.execute(
            """SELECT name FROM main.sqlite_schema WHERE name GLOB 'new:*' OR name GLOB 'gone:*' OR name GLOB 'c:*'
               UNION ALL SELECT relation FROM _change_lists"""
        ).fetchall()


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Builds wait before they move in until the event is set."""
    go_on = threading.Event()
    bring_in = building.Builder.__dict__["_bring_in"]

    def waiting(self: building.Builder, *rest: Any) -> None:
        assert go_on.wait(30)
        bring_in(self, *rest)

    monkeypatch.setattr(building.Builder, "_bring_in", waiting)
    yield go_on
    go_on.set()


@contextmanager
def filled(
    folder: Path, views: Sequence[ViewDefinition] = ()
) -> Iterator[tuple[EmbeddedRuntime, MemorySource]]:
    """A second start, over tables that have rows, with the views new to it."""
    source = shop()
    fill(source)
    with runtime(folder, [source], options=BESIDE) as made, made.read(require="now", deadline_ms=20_000):
        pass
    with runtime(folder, [source], views=views, options=BESIDE) as made:
        yield made, source


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is done in many more steps, so that changes come between any two of them."""
    for name, value in (
        ("COPY_ROWS", 150),
        ("MOST_ROWS", 150),
        ("ADVANCE_CHANGES", 40),
        ("SLICE_CHANGES", 15),
    ):
        monkeypatch.setattr(building, name, value)
    monkeypatch.setattr(building, "FEWEST_ROWS", 150)
    monkeypatch.setattr(staging, "DROPPED_AT_ONCE_ROWS", 500)
    copy_inputs = building.Builder.__dict__["_copy_inputs"]

    def slowly(self: building.Builder, *rest: Any) -> None:
        copy_inputs(self, *rest)
        time.sleep(0.2)

    monkeypatch.setattr(building.Builder, "_copy_inputs", slowly)


@pytest.mark.usefixtures("small_steps")
def test_new_views_are_filled_while_changes_flow(tmp_path: Path) -> None:
    with filled(tmp_path, VIEWS) as (made, source):
        with Writer(source) as writer:
            until(all_live(made, VIEWS))
            until(lambda: writer.transactions > 50)
        assert_equal_to_batch(made, VIEWS)
        until(lambda: not leftovers(made))
        assert not (tmp_path / building.FILE).exists()
        with Writer(source):
            time.sleep(0.2)
        assert_equal_to_batch(made, VIEWS)
    with runtime(tmp_path, [source], views=VIEWS, options=BESIDE) as made:
        assert not made.building()
        assert_equal_to_batch(made, VIEWS)


def test_a_new_view_cannot_be_read_before_it_is_whole(tmp_path: Path, held_up: threading.Event) -> None:
    with filled(tmp_path, [TOTALS]) as (made, _):
        until(lambda: "totals" in made.building())
        assert states(made) == {"totals": ("building", True)}
        with (
            made.read() as snapshot,
            pytest.raises(ViewBuilding, match=r"View 'totals' is being built \(\w+"),
        ):
            snapshot.query("SELECT * FROM totals")
        held_up.set()
        until(all_live(made, [TOTALS]))
        assert_equal_to_batch(made, [TOTALS])


def test_a_changed_view_serves_its_old_definition_until_the_switch(
    tmp_path: Path, held_up: threading.Event
) -> None:
    changed = ViewDefinition("totals", TOTALS.text.replace("SUM(amount)", "SUM(amount * 10)"))
    on_it = ViewDefinition("big", VIEWS[2].text)
    other = VIEWS[1]
    held_up.set()
    with filled(tmp_path, [TOTALS, on_it, other]) as (made, source):
        until(all_live(made, [TOTALS, on_it, other]))
    held_up.clear()
    with runtime(tmp_path, [source], views=[changed, on_it, other], options=BESIDE) as made:
        until(lambda: len(made.building()) == 2)
        source.put("shop.orders", {"id": 90_000, "customer": 4_000, "amount": 500})
        assert_equal_to_batch(made, [TOTALS, on_it, other])
        assert states(made) == {"totals": ("live", True), "big": ("live", True), "regions": ("live", False)}
        held_up.set()
        with Writer(source):
            until(all_live(made, [changed, on_it]))
        assert_equal_to_batch(made, [changed, on_it, other])
        until(lambda: not leftovers(made))


def test_killed_while_it_is_built_it_starts_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = Staging.copy

    def die_later(self: Staging, shape: TableShape, rows: int) -> int:
        if shape.name == "totals":
            raise SystemExit
        return copy(self, shape, rows)

    with monkeypatch.context() as patched:
        patched.setattr(Staging, "copy", die_later)
        with filled(tmp_path, VIEWS) as (made, source):
            until(lambda: made.life == "failed")
    with runtime(tmp_path, [source], views=VIEWS, options=BESIDE) as made:
        until(all_live(made, VIEWS))
        assert_equal_to_batch(made, VIEWS)
        until(lambda: not leftovers(made))


def test_a_key_that_is_not_unique_stops_the_new_view_or_keeps_the_old_one(tmp_path: Path) -> None:
    wrong = ViewDefinition("totals", "SELECT customer, amount FROM shop.orders", ("customer",))
    with filled(tmp_path, [wrong, VIEWS[1]]) as (made, source):
        until(all_live(made, [VIEWS[1]]))
        until(lambda: states(made).get("totals") == ("stopped", False))
        assert any("its key is not unique" in error for error in made.status().errors)
        assert not leftovers(made)
    with runtime(tmp_path, [source], views=[TOTALS], options=BESIDE) as made:
        until(all_live(made, [TOTALS]))
    with runtime(tmp_path, [source], views=[wrong], options=BESIDE) as made:
        until(lambda: bool(made.status().errors))
        assert "the one before it goes on" in made.status().errors[0]
        assert_equal_to_batch(made, [TOTALS])
    with runtime(tmp_path, [source], views=[TOTALS], options=BESIDE) as made:
        assert not made.status().errors
        assert_equal_to_batch(made, [TOTALS])


def test_a_view_that_cannot_be_built_elsewhere_is_filled_within_one_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(group: Group) -> None:
        raise CannotStage(group.names[0])

    monkeypatch.setattr(building, "check_stageable", refuse)
    with filled(tmp_path, VIEWS) as (made, source):
        with Writer(source):
            until(all_live(made, VIEWS))
        assert_equal_to_batch(made, VIEWS)
        until(lambda: not leftovers(made))


def test_a_view_that_a_knowledge_base_reads_is_filled_at_once_with_its_documents(tmp_path: Path) -> None:
    told = ViewDefinition("told", "SELECT CAST(id AS STRING) AS id, name FROM shop.customers", key=("id",))
    base = (KnowledgeDefinition("people", "told", "id", "name"), FakeEmbedder())
    source = shop()
    fill(source)
    with runtime(tmp_path, [source], options=BESIDE) as made, made.read(require="now", deadline_ms=20_000):
        pass
    made = EmbeddedRuntime(
        Definition("test", [source], [told, TOTALS], [base]), DataFolder(tmp_path), LANGUAGE, BESIDE
    )
    made.start()
    try:
        assert "told" not in made.building()
        until(lambda: made.status().knowledge[0].searchable == 80)
        until(all_live(made, [told, TOTALS]))
    finally:
        made.stop()
