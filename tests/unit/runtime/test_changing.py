"""What an application's or a table's change does to views: no more than it must, and with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from springline.core.change import Operation, schema_entry
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.errors import NotFound, SqlError
from springline.runtime.embedded.changing import ViewDefinition, components, in_order
from springline.runtime.embedded.runtime import EmbeddedRuntime, Options
from springline.runtime.embedded.sizes import owner_of
from springline.storage import Memory
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import runtime

PEOPLE = TableSchema(
    "crm.people",
    (Column("id", BIGINT, False, 1), Column("name", STRING, True, 2), Column("city", STRING, True, 3)),
    ("id",),
)
NAMES = ViewDefinition("names", "SELECT id, name FROM crm.people")
CITIES = ViewDefinition("cities", "SELECT city, COUNT(*) AS n FROM crm.people GROUP BY city")
LARGE = ViewDefinition("large", "SELECT city, n FROM cities WHERE n > 1")
PAIRS = ViewDefinition(
    "pairs",
    "SELECT a.id, b.id AS other FROM crm.people a JOIN crm.people b ON b.city = a.city AND b.id > a.id",
)


def people() -> MemorySource:
    source = MemorySource("crm", [PEOPLE])
    for number, city in enumerate(["Oslo", "Oslo", "Bergen"]):
        source.put("crm.people", {"id": number, "name": f"n{number}", "city": city})
    return source


def without(name: str) -> TableSchema:
    return TableSchema("crm.people", tuple(one for one in PEOPLE.columns if one.name != name), ("id",))


def rows(made: EmbeddedRuntime, sql: str) -> list[tuple[object, ...]]:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return sorted(snapshot.query(sql).rows, key=repr)


def states(made: EmbeddedRuntime) -> dict[str, str]:
    with made.read(require="now", deadline_ms=20_000):
        return {one.name: one.state for one in made.status().relations if one.kind == "view"}


def roots(folder: Path, views: Sequence[str]) -> dict[str, int]:
    """Where the tables of views begin in the file: another place means another table."""
    file = apsw.Connection(str(folder / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return dict(
            file.execute(
                f"SELECT name, rootpage FROM sqlite_schema WHERE name IN ({', '.join('?' * len(views))})",
                tuple(views),
            ).fetchall()
        )
    finally:
        file.close()


def indexes(folder: Path) -> set[str]:
    file = apsw.Connection(str(folder / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {name for (name,) in file.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'x:*'")}
    finally:
        file.close()


def test_a_dropped_column_stops_the_views_that_read_it_until_it_comes_back(tmp_path: Path) -> None:
    source = people()
    with runtime(tmp_path, [source], views=[NAMES, CITIES, LARGE]) as made:
        assert rows(made, "SELECT city, n FROM large") == [("Oslo", 2)]
        before = roots(tmp_path, ["names", "cities"])
        source.control(schema_entry(without("city")))
        assert states(made) == {"names": "live", "cities": "stopped", "large": "stopped"}
        with pytest.raises(NotFound, match=r"View 'cities' is stopped: .*city") as caught:
            rows(made, "SELECT * FROM cities")
        assert "column" in str(caught.value)
        assert any("'large'" in one and "'cities'" in one for one in made.status().errors)
        assert roots(tmp_path, ["names"]) == {"names": before["names"]}, "what still fits is left alone"
    # The application starts all the same, and says so.
    with runtime(tmp_path, [source], views=[NAMES, CITIES, LARGE]) as made:
        assert states(made) == {"names": "live", "cities": "stopped", "large": "stopped"}
        source.control(schema_entry(PEOPLE))
        assert states(made) == {"names": "live", "cities": "live", "large": "live"}
        for number in range(3):
            source.put("crm.people", {"id": number, "name": "x", "city": "Moss"})
        assert rows(made, "SELECT city, n FROM large") == [("Moss", 3)]
        assert not made.status().errors
        assert rows(made, "SELECT id, name FROM names") == [(0, "x"), (1, "x"), (2, "x")]


def test_added_renamed_and_retyped_columns(tmp_path: Path) -> None:
    source = people()
    added = TableSchema("crm.people", (*PEOPLE.columns, Column("age", BIGINT, True, 4, 7)), ("id",))
    renamed = TableSchema(
        "crm.people", (PEOPLE.columns[0], Column("full_name", STRING, True, 2), PEOPLE.columns[2]), ("id",)
    )
    retyped = TableSchema("crm.people", (*PEOPLE.columns[:2], Column("city", BIGINT, True, 9)), ("id",))
    with runtime(tmp_path, [source], views=[NAMES, CITIES, LARGE]) as made:
        states(made)
        before = roots(tmp_path, ["names", "cities", "large"])
        source.control(schema_entry(added))
        assert set(states(made).values()) == {"live"}
        assert rows(made, "SELECT id, age FROM crm.people") == [(0, 7), (1, 7), (2, 7)]
        assert roots(tmp_path, list(before)) == before, "no view reads the new column"
        source.control(schema_entry(renamed))
        assert states(made) == {"names": "stopped", "cities": "live", "large": "live"}
        source.control(schema_entry(PEOPLE))
        assert set(states(made).values()) == {"live"}
        assert rows(made, "SELECT id, name FROM names") == [(0, "n0"), (1, "n1"), (2, "n2")]
        source.control(schema_entry(retyped))
        assert rows(made, "SELECT city, n FROM cities") == [(None, 3)], (
            "until the source sends the rows again"
        )
        source.control((Operation.READ.value, "crm.people", None, [1, "y", 5]))
        assert rows(made, "SELECT city, n FROM cities") == [(5, 1), (None, 2)]


def test_a_new_definition_that_cannot_be_used_refuses_the_start_and_changes_nothing(tmp_path: Path) -> None:
    source = people()
    with runtime(tmp_path, [source], views=[NAMES, CITIES]) as made:
        states(made)
    wrong = ViewDefinition("cities", "SELECT town, COUNT(*) AS n FROM crm.people GROUP BY town")
    with (
        pytest.raises(SqlError, match=r"^View 'cities': .*'town'.*line 1, column"),
        runtime(tmp_path, [source], views=[wrong]),
    ):
        raise AssertionError
    with runtime(tmp_path, [source], views=[NAMES, CITIES]) as made:
        assert states(made) == {"names": "live", "cities": "live"}


def test_indexes_go_with_the_last_view_that_needs_them(tmp_path: Path) -> None:
    source = people()
    other = ViewDefinition("again", PAIRS.text)
    with runtime(tmp_path, [source], views=[PAIRS, other]) as made:
        states(made)
        shared = indexes(tmp_path)
        assert len(shared) == 1
    with runtime(tmp_path, [source], views=[other]) as made:
        states(made)
        assert indexes(tmp_path) == shared
        source.control(schema_entry(without("name")))
        assert states(made) == {"again": "live"}
        assert indexes(tmp_path) == shared, "it is made again when the table gets another shape"
        assert rows(made, "SELECT id, other FROM again") == [(0, 1)]
    with runtime(tmp_path, [source], views=[CITIES]) as made:
        states(made)
        assert indexes(tmp_path) == set()


class Named:
    def __init__(self, name: str, *inputs: str) -> None:
        self.name = name
        self.inputs = inputs


def test_views_come_after_those_that_they_read() -> None:
    views = [Named("c", "b", "t"), Named("a", "t"), Named("b", "a")]
    assert [one.name for one in in_order(views, lambda one: one.inputs)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("reads", "now", "groups"),
    [
        ({"a": ["t"], "b": ["t"]}, {}, [["a"], ["b"]]),
        ({"a": ["t"], "b": ["a"], "c": ["t"], "d": ["c", "b"]}, {}, [["a", "b", "c", "d"]]),
        ({"a": ["t"], "b": ["t"]}, {"b": ["a"]}, [["a", "b"]]),
        ({"a": ["t"], "b": ["t"], "c": ["a"]}, {}, [["a", "c"], ["b"]]),
    ],
)
def test_views_that_read_one_another_change_together(
    reads: dict[str, list[str]], now: dict[str, list[str]], groups: list[list[str]]
) -> None:
    programs = {name: Named(name, *inputs) for name, inputs in reads.items()}
    assert components(programs, list(programs), now) == groups  # pyright: ignore[reportArgumentType]


def test_the_size_of_a_relation_counts_indexes_and_upkeep(tmp_path: Path) -> None:
    source = people()
    with source.transaction():
        for number in range(2_000):
            source.put("crm.people", {"id": number, "name": "x" * 100, "city": f"c{number}"})
    with runtime(tmp_path, [source], views=[CITIES, PAIRS]) as made:
        states(made)
        assert made.sizes.bytes("cities") is None or made.sizes.bytes("cities") == 4096
        made.sizes.measure()
        sizes = {one.name: one.state_bytes for one in made.status().relations}
        assert sizes["crm.people"] is not None
        assert sizes["crm.people"] > 2_000 * 100
        assert sizes["cities"] is not None
        assert 4 * 4096 < sizes["cities"] < 2_000 * 100
        with made.read() as snapshot:
            [(pages,)] = snapshot.connection.execute("PRAGMA page_count").fetchall()
        assert sum(size or 0 for size in sizes.values()) < pages * 4096


@pytest.mark.parametrize(
    ("table", "owner"),
    [
        ("cities", "cities"), ("s:cities:g", "cities"), ("c:crm.people", "crm.people"), ("seen:crm.people", "crm.people"),
        ("s:cities:old:g", "cities:old"), ("_engine", None), ("k:kb:documents", None),
    ],
)  # fmt: skip
def test_tables_belong_to_relations(table: str, owner: str | None) -> None:
    assert owner_of(table, ["cities", "cities:old", "crm.people"]) == owner


def test_memory_is_bounded_as_the_options_say(tmp_path: Path) -> None:
    options = Options(memory=Memory(page_cache_bytes=2 << 20, temp_bytes=3 << 20))
    with runtime(tmp_path, [people()], views=[CITIES], options=options) as made:
        with made.read(require="now", deadline_ms=20_000) as snapshot:
            names = ("cache_size", "temp.cache_size", "temp_store")
            read = [snapshot.connection.execute(f"PRAGMA {name}").fetchall()[0][0] for name in names]
        assert read == [-2048, -3072, 1]
