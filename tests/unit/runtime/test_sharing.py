"""What views share as an application comes, changes and goes: a hidden view lives as long as a view reads it, and disturbs none."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from springline.core.change import schema_entry
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, NotFound, SqlError
from springline.runtime.embedded import views as views_module
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.embedded.procedure import StepFailed
from springline.runtime.embedded.runtime import EmbeddedRuntime, Options
from springline.sql.program import Step
from springline.sql.sharing import SHARED, is_shared
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import ORDERS, runtime
from tests.unit.runtime.test_building import BESIDE, Writer, all_live, fill, shop, until

PER_CUSTOMER = "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM shop.orders GROUP BY customer"
MANY = ViewDefinition("many", f"SELECT t.customer, t.n FROM ({PER_CUSTOMER}) AS t WHERE t.n > 1")
DEAR = ViewDefinition("dear", f"SELECT t.customer, t.total FROM ({PER_CUSTOMER}) AS t WHERE t.total > 5")
SIZES = ViewDefinition("sizes", f"SELECT t.n, COUNT(*) AS k FROM ({PER_CUSTOMER}) AS t GROUP BY t.n")
OVER_MANY = ViewDefinition("over_many", "SELECT COUNT(*) AS k FROM many")


def orders(rows: int = 6) -> MemorySource:
    source = MemorySource("shop", [ORDERS])
    for number in range(rows):
        put(source, number, number % 4, 3)
    return source


def put(source: MemorySource, key: int, customer: int | None, amount: int | None) -> None:
    source.put("shop.orders", {"id": key, "customer": customer, "amount": amount})


def settled(made: EmbeddedRuntime) -> None:
    with made.read(require="now", deadline_ms=20_000):
        pass


def rows(made: EmbeddedRuntime, sql: str) -> list[tuple[object, ...]]:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return sorted(snapshot.query(sql).rows, key=repr)


def assert_right(made: EmbeddedRuntime, views: Sequence[ViewDefinition]) -> None:
    """Each view holds what its SELECT gives now."""
    for one in views:
        assert rows(made, f"SELECT * FROM {one.name}") == rows(made, one.text), one.name


def tables(folder: Path) -> dict[str, int]:
    """The tables of views and of what they share, with their places in the file: another place means another table."""
    file = apsw.Connection(str(folder / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = file.execute(
            "SELECT r.name, s.rootpage FROM _relations r JOIN sqlite_schema s ON s.name = r.name WHERE r.kind = 'view'"
        )
        return dict(found.fetchall())
    finally:
        file.close()


def hidden(folder: Path) -> list[str]:
    return [name for name in tables(folder) if is_shared(name)]


def run(folder: Path, source: MemorySource, *views: ViewDefinition) -> dict[str, int]:
    """Runs the application once, with a change; its tables afterwards."""
    with runtime(folder, [source], views=views) as made:
        put(source, 100, 1, 7)
        settled(made)
        assert_right(made, views)
    return tables(folder)


def test_two_views_read_one_hidden_view_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    source = orders()
    before = run(tmp_path, source, MANY, DEAR)
    assert len(hidden(tmp_path)) == 1
    assert run(tmp_path, source, MANY, DEAR) == before
    assert run(tmp_path, source, DEAR, MANY) == before, "in whatever order they are declared"


def test_a_second_view_does_not_touch_the_first(tmp_path: Path) -> None:
    source = orders()
    alone = run(tmp_path, source, MANY)
    assert not hidden(tmp_path), "nobody to share with"
    both = run(tmp_path, source, MANY, DEAR)
    assert both["many"] == alone["many"]
    assert len(hidden(tmp_path)) == 1, "the new view is ready to share"
    three = run(tmp_path, source, MANY, DEAR, SIZES)
    assert {name: three[name] for name in both} == both, "the third reads what the second made"
    changed = ViewDefinition("many", MANY.text.replace("> 1", "> 0"))
    moved = run(tmp_path, source, changed, DEAR, SIZES)
    assert {name: moved[name] for name in ("dear", "sizes", *hidden(tmp_path))} == {
        name: place for name, place in three.items() if name != "many"
    }


def test_what_is_shared_stays_for_the_last_reader_and_goes_with_it(tmp_path: Path) -> None:
    source = orders()
    both = run(tmp_path, source, MANY, DEAR)
    one = run(tmp_path, source, DEAR)
    assert one == {name: place for name, place in both.items() if name != "many"}
    assert run(tmp_path, source, DEAR) == one
    assert run(tmp_path, source, ViewDefinition("other", "SELECT id FROM shop.orders")).keys() == {"other"}


def test_one_reader_goes_while_another_comes(tmp_path: Path) -> None:
    source = orders()
    both = run(tmp_path, source, MANY, DEAR)
    now = run(tmp_path, source, DEAR, SIZES)
    [name] = hidden(tmp_path)
    assert (now["dear"], now[name]) == (both["dear"], both[name])
    assert run(tmp_path, source, SIZES, MANY)[name] == both[name]


def test_another_spelling_of_the_first_reader_rebuilds_only_that(tmp_path: Path) -> None:
    source = orders()
    both = run(tmp_path, source, MANY, DEAR)
    spelled = ViewDefinition("many", MANY.text.replace("(SELECT", "(  SELECT"))
    now = run(tmp_path, source, spelled, DEAR)
    assert now.keys() == both.keys()
    assert {name: now[name] for name in now if name != "many"} == {
        name: both[name] for name in both if name != "many"
    }


def test_hidden_views_are_not_shown(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[MANY, DEAR]) as made:
        settled(made)
        [name] = hidden(tmp_path)
        shown = {one.name for one in made.status().relations}
        assert shown == {"shop.orders", "many", "dear"}
        assert set(made.schemas()) == shown
        with made.read() as snapshot:
            assert set(snapshot.schemas) == shown
            assert list(snapshot.sources_of("many")) == ["shop"]
            with pytest.raises(SqlError, match="no table or view") as caught:
                snapshot.query(f"SELECT * FROM `{name}`")
            assert SHARED not in str(caught.value.hint)
        with pytest.raises(NotFound) as missing:
            next(iter(made.subscribe(name)))
        assert SHARED not in str(missing.value.hint)
        notices = made.ticks(threading.Event())
        put(source, 200, 3, 9)
        notice = next(one for one in notices if one is not None and one.touched)
        assert set(notice.touched) == {"shop.orders", "dear", "many"}
        made.sizes.measure()
        sizes = {one: made.sizes.bytes(one) for one in shown}
        assert all(size and size > 0 for size in sizes.values())
        assert made.sizes.bytes(name) is None
    taken = ViewDefinition(f"{SHARED}1", "SELECT id FROM shop.orders")
    with (
        pytest.raises(ConfigurationError, match="cannot name a view"),
        runtime(tmp_path, [source], views=[taken]),
    ):
        raise AssertionError


def test_explain_shows_what_is_shared_and_with_whom(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[MANY, DEAR, OVER_MANY]) as made:
        settled(made)
        [name] = hidden(tmp_path)
        text = made.explain("dear")
        assert f"when {name} changes" in text
        assert f"shared with many: {PER_CUSTOMER}" in text
        assert f"view {name}  key (customer)" in text
        assert "when shop.orders changes" in text
        assert "shared with" not in made.explain("over_many")
    with runtime(tmp_path, [source], views=[DEAR]) as made:
        assert "no other view reads it now" in made.explain("dear")
        with pytest.raises(NotFound, match="no view 'many'"):
            made.explain("many")


def test_dead_letters_of_what_is_shared_are_those_of_each_reader(tmp_path: Path) -> None:
    failing = "SELECT customer, SUM(100 / amount) AS s FROM shop.orders GROUP BY customer"
    one = ViewDefinition("one", f"SELECT t.customer, t.s FROM ({failing}) AS t WHERE t.s > 1")
    two = ViewDefinition("two", f"SELECT MAX(t.s) AS most FROM ({failing}) AS t")
    source = orders()
    letters = "SELECT name, operator, `key`, reason FROM springline.dead_letters"
    with runtime(tmp_path, [source], views=[one, two]) as made:
        put(source, 50, 1, 0)
        reason = ("row of shop.orders", '{"id": 50}', "division by zero in 100 / amount")
        assert rows(made, letters) == [("one", *reason), ("two", *reason)]
        assert {one.name: one.left_out for one in made.status().relations if one.kind == "view"} == {
            "one": 1,
            "two": 1,
        }
        assert made.status().dead_letters == 2
        put(source, 50, 1, 10)
        assert rows(made, letters) == []


def test_a_failure_of_what_is_shared_stops_its_readers_as_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = orders()
    plain = ViewDefinition("plain", "SELECT id FROM shop.orders")
    with runtime(tmp_path, [source], views=[MANY, DEAR, OVER_MANY, plain]) as made:
        settled(made)
        finish = views_module.View.finish

        def failing(self: views_module.View, *arguments: Any, **named: Any) -> int:
            if is_shared(self.name):
                step = Step("SELECT 1", "add the changes to the groups")
                failed = StepFailed(apsw.SQLError("no such table: lost"), step)
                raise views_module.ViewFailed(self.name, failed.error, failed.step.why)
            return finish(self, *arguments, **named)

        monkeypatch.setattr(views_module.View, "finish", failing)
        put(source, 300, 1, 1)
        assert rows(made, "SELECT COUNT(*) AS n FROM plain") == [(7,)]
        found = {one.name: (one.state, one.error) for one in made.status().relations if one.kind == "view"}
        assert {name: state for name, (state, _) in found.items()} == {
            "many": "stopped", "dear": "stopped", "over_many": "stopped", "plain": "live"
        }  # fmt: skip
        assert str(found["dear"][1]).startswith("View 'dear' cannot be maintained: no such table: lost")
        assert "view 'many', which it reads" in str(found["over_many"][1])
        assert not any(SHARED in error for error in made.status().errors)
        monkeypatch.undo()
    with runtime(tmp_path, [source], views=[MANY, DEAR, OVER_MANY, plain]) as made:
        settled(made)
        assert_right(made, [MANY, DEAR, OVER_MANY, plain])


def test_a_changed_table_changes_what_is_shared(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[MANY, DEAR]) as made:
        settled(made)
        before = hidden(tmp_path)
        without = TableSchema(
            ORDERS.name, tuple(one for one in ORDERS.columns if one.name != "amount"), ORDERS.key
        )
        source.control(schema_entry(without))
        settled(made)
        assert {one.name: one.state for one in made.status().relations if one.kind == "view"} == {
            "many": "stopped", "dear": "stopped"
        }  # fmt: skip
        assert hidden(tmp_path) == []
        source.control(schema_entry(ORDERS))
        settled(made)
        assert hidden(tmp_path) == before
        put(source, 1, 2, 50)
        assert_right(made, [MANY, DEAR])


def test_views_beside_the_ticks_are_switched_in_with_what_they_share(tmp_path: Path) -> None:
    source = shop()
    fill(source)
    with runtime(tmp_path, [source], options=BESIDE) as made:
        settled(made)
    with runtime(tmp_path, [source], views=[MANY, DEAR], options=BESIDE) as made, Writer(source) as writer:
        assert not any(SHARED in name for name in made.building())
        until(all_live(made, [MANY, DEAR]))
        until(lambda: writer.transactions > 20)
    first = tables(tmp_path)
    [name] = [one for one in first if is_shared(one)]
    with runtime(tmp_path, [source], views=[DEAR, SIZES, OVER_SIZES], options=BESIDE) as made:
        settled(made)
        assert_right(made, [DEAR])
        with Writer(source) as writer:
            until(all_live(made, [DEAR, SIZES, OVER_SIZES]))
            until(lambda: writer.transactions > 20)
        assert_right(made, [DEAR, SIZES, OVER_SIZES])
    now = tables(tmp_path)
    assert (now["dear"], now[name]) == (first["dear"], first[name])
    assert now.keys() == {"dear", "sizes", "over_sizes", name}


OVER_SIZES = ViewDefinition("over_sizes", "SELECT MAX(k) AS most FROM sizes")


def test_a_reader_is_replaced_while_its_old_version_goes_on(tmp_path: Path) -> None:
    """The only reader changes to another subquery, beside the ticks: what it read is there until the switch, and not after."""
    source = shop()
    fill(source, 1_000)
    with runtime(tmp_path, [source], views=[MANY, DEAR]) as made:
        settled(made)
    with runtime(tmp_path, [source], views=[DEAR]) as made:
        settled(made)
    [name] = hidden(tmp_path)
    other = ViewDefinition("dear", "SELECT customer, MAX(amount) AS total FROM shop.orders GROUP BY customer")
    with runtime(tmp_path, [source], views=[other], options=Options(inline_rows=0)) as made:
        until(lambda: rows(made, "SELECT * FROM dear") == rows(made, other.text))
    assert name not in tables(tmp_path)
    assert tables(tmp_path).keys() == {"dear"}


@pytest.mark.parametrize("name", ["s", "shared"])
def test_a_view_whose_name_begins_like_theirs_disturbs_none(tmp_path: Path, name: str) -> None:
    source = orders()
    quoted = ViewDefinition(name, "SELECT customer, MAX(amount) AS most FROM shop.orders GROUP BY customer")
    run_with = [MANY, DEAR, quoted]
    with runtime(tmp_path, [source], views=run_with) as made:
        settled(made)
        before = {one: place for one, place in tables(tmp_path).items() if one != name}
    changed = ViewDefinition(name, quoted.text.replace("MAX", "MIN"))
    for views in ([MANY, DEAR, changed], [MANY, DEAR]):
        with runtime(tmp_path, [source], views=views) as made:
            put(source, 400 + len(views), 2, 8)
            settled(made)
            assert_right(made, [MANY, DEAR])
        assert {one: place for one, place in tables(tmp_path).items() if one != name} == before
