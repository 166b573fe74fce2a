"""Keys, what a program looks like, how it is maintained, and what happens when a declared key does not hold."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING
from springline.sql import compile_view, explain, explain_json
from springline.testing.scenarios import parse_scenario
from springline.testing.sql_harness import SqlHarness
from tests.unit.sql.sql_tables import CATALOG, FLIGHTS, TABLES

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.md"))

KEYS = [
    ("SELECT id, status FROM flights WHERE delay > 3", ("id",)),
    ("SELECT f.status, f.id AS flight FROM flights f", ("flight",)),
    ("SELECT b.reference, f.status FROM air.bookings b JOIN flights f ON f.id = b.flight", ("reference",)),
    ("SELECT b.reference, f.status FROM flights f JOIN air.bookings b ON f.id = b.flight", ("reference",)),
    ("SELECT l.reference, l.number, f.status FROM legs l JOIN flights f ON f.id = l.flight", ("reference", "number")),
    ("SELECT l.number, b.reference, b.seats FROM legs l JOIN air.bookings b ON b.reference = l.reference", ("reference", "number")),
    ("SELECT f.id, b.reference FROM flights f LEFT JOIN air.bookings b ON b.flight = f.id", ("id", "reference")),
    ("SELECT b.reference, f.status FROM air.bookings b LEFT JOIN flights f ON f.id = b.flight", ("reference",)),
    ("SELECT f.id FROM flights f LEFT JOIN air.bookings b ON b.flight = f.id WHERE b.reference IS NULL", ("id",)),
    ("SELECT f.id, g.id AS other FROM flights f, flights g WHERE f.delay < g.delay", ("id", "other")),
    ("SELECT f.id FROM flights f JOIN flights g ON f.id = g.id", ("id",)),
    ("SELECT status, COUNT(*) AS n FROM flights GROUP BY status", ("status",)),
    ("SELECT COUNT(*) AS n, delay + 1 AS d, status FROM flights GROUP BY status, delay + 1", ("status", "d")),
    ("SELECT DISTINCT status, delay FROM flights", ("status", "delay")),
    ("SELECT MAX(delay) AS m, COUNT(*) AS n FROM flights", ("n",)),
    ("SELECT x.id FROM (SELECT id, status FROM flights WHERE delay > 1) AS x WHERE x.status = 'a'", ("id",)),
    ("WITH x AS (SELECT flight, SUM(seats) AS s FROM air.bookings GROUP BY flight) SELECT f.id, x.s FROM flights f LEFT JOIN x ON x.flight = f.id", ("id",)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "key"), KEYS)
def test_keys_are_inferred(text: str, key: tuple[str, ...]) -> None:
    assert compile_view("v", text, CATALOG).schema.key == key


def test_using_shows_the_column_once() -> None:
    text = "SELECT * FROM (SELECT reference, number FROM legs) AS l JOIN air.bookings USING (reference)"
    program = compile_view("v", text, CATALOG)
    assert program.schema.names == ("reference", "number", "flight", "seats")
    assert program.schema.key == ("reference", "number")


def test_types_and_nullability() -> None:
    program = compile_view(
        "v",
        "SELECT id, COUNT(*) AS n, SUM(delay) AS s, AVG(price) AS a, MIN(leaves) AS first_, SUM(exact) AS e FROM flights GROUP BY id",
        CATALOG,
    )
    shown = [(column.name, str(column.type), column.nullable) for column in program.schema.columns]
    assert shown == [
        ("id", "INT", False),
        ("n", "BIGINT", False),
        ("s", "BIGINT", True),
        ("a", "DECIMAL(12, 6)", True),
        ("first_", "TIMESTAMP_LTZ", True),
        ("e", "DECIMAL", True),
    ]


def test_statements_are_the_same_each_time() -> None:
    text = "SELECT status, COUNT(*) AS n, MAX(delay) AS m FROM flights GROUP BY status"
    assert compile_view("v", text, CATALOG) == compile_view("v", text, CATALOG)


# -- key violations ----------------------------------------------------------------------------------------------------


def test_a_second_row_of_a_declared_key_raises_and_names_view_and_key() -> None:
    """The same row twice: found when the change is netted."""
    harness = SqlHarness([FLIGHTS])
    harness.add_view("v", "SELECT status FROM flights", key=["status"])
    rows = [(number, "late", None, None, None, None, None, None) for number in (1, 2)]
    with pytest.raises(apsw.ConstraintError, match=r"view 'v' has two rows with the same key \(status\)"):
        harness.tick({"air.flights": [(row, 1) for row in rows]})


@pytest.mark.parametrize("status", ["late", None])
def test_different_rows_of_a_declared_key_raise(status: str | None) -> None:
    """Found by the unique index of the view's table, NULLs included."""
    harness = SqlHarness([FLIGHTS])
    harness.add_view("v", "SELECT status, delay FROM flights", key=["status"])
    harness.tick({"air.flights": [((1, status, 5, None, None, None, None, None), 1)]})
    with pytest.raises(apsw.ConstraintError):
        harness.tick({"air.flights": [((2, status, 6, None, None, None, None, None), 1)]})


def test_the_same_row_again_in_a_later_tick_raises() -> None:
    harness = SqlHarness([FLIGHTS])
    harness.add_view("v", "SELECT status FROM flights", key=["status"])
    harness.tick({"air.flights": [((1, "late", 5, None, None, None, None, None), 1)]})
    with pytest.raises(apsw.ConstraintError):
        harness.tick({"air.flights": [((2, "late", 6, None, None, None, None, None), 1)]})


# -- cost --------------------------------------------------------------------------------------------------------------


def scanned_tables(harness: SqlHarness, sql: str) -> list[str]:
    """Tables of ``main`` that a statement reads whole."""
    aliases = {alias: name for name, alias in re.findall(r'main\."([^"]+)" AS (\w+)', sql)}
    known = {name for (name,) in harness.connection.execute("SELECT name FROM main.sqlite_schema").fetchall()}
    found: list[str] = []
    for _, _, _, detail in harness.connection.execute("EXPLAIN QUERY PLAN " + sql.replace(":tick", "1")):
        if " LIMIT " in sql and " USING COVERING INDEX " in detail:
            continue  # Read in order, and no further than LIMIT.
        if match := re.match(r"SCAN (\S+)", detail):
            name = aliases.get(match[1], match[1])
            # A view lists a bounded number of dead letters.
            if name in known and not name.endswith(":letters"):
                found.append(name)
    return found


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_tick_reads_no_table_whole(path: Path) -> None:
    scenario = parse_scenario(path.read_text())
    harness = SqlHarness(scenario.tables)
    for view in scenario.views:
        program = harness.add_view(view.name, view.text, key=view.key, windows=view.windows)
        steps = [step for steps in program.on_input.values() for step in steps]
        steps += [*program.finish, *program.close]
        for step in steps:
            found = scanned_tables(harness, step.sql)
            if " LIMIT " in view.text:
                # The view itself has no more rows than that.
                found = [name for name in found if name != view.name]
            if not program.warnings:
                assert not found, f"{view.name}: {step.why}: {step.sql}"


def test_a_join_without_an_equality_is_warned_of() -> None:
    program = compile_view(
        "v", "SELECT f.id, g.id AS other FROM flights f JOIN flights g ON f.delay < g.delay", CATALOG
    )
    assert any("without an equality" in warning for warning in program.warnings)


def test_indexes_serve_the_columns_that_are_joined_on() -> None:
    program = compile_view(
        "v", "SELECT b.reference, f.status FROM air.bookings b JOIN flights f ON f.id = b.flight", CATALOG
    )
    indexes = [step.sql for step in program.state if "INDEX" in step.sql]
    assert indexes == ['CREATE INDEX IF NOT EXISTS main."x:air.bookings:flight" ON "air.bookings"("flight")']


def test_drop_removes_all_state() -> None:
    harness = SqlHarness(TABLES)
    before = set(
        harness.connection.execute("SELECT name FROM sqlite_schema WHERE type <> 'index'").fetchall()
    )
    program = harness.add_view(
        "v",
        """SELECT f.status, COUNT(b.reference) AS n, MIN(b.seats) AS m, COUNT(DISTINCT b.seats) AS d
        FROM flights f LEFT JOIN air.bookings b ON b.flight = f.id GROUP BY f.status""",
    )
    for step in program.drop:
        harness.connection.execute(step.sql)
    harness.connection.execute('DROP TABLE main."v"')
    assert (
        set(harness.connection.execute("SELECT name FROM sqlite_schema WHERE type <> 'index'").fetchall())
        == before
    )


# -- explain -----------------------------------------------------------------------------------------------------------


def test_explain_shows_levels_cost_and_sql() -> None:
    program = compile_view(
        "busiest",
        "SELECT f.status, COUNT(*) AS n, MAX(b.seats) AS m, AVG(b.seats) AS a FROM flights f JOIN air.bookings b ON b.flight = f.id GROUP BY f.status",
        CATALOG,
    )
    text = explain(program)
    assert text.startswith("view busiest  key (status)  level group")
    assert re.search(r"JOIN air\.bookings +delta +one index look-up", text)
    assert re.search(r"MAX\(b\.seats\) +group +one index look-up for each touched group", text)
    assert "warning: AVG of an integer is an integer" in text
    assert "when air.flights changes" in text
    assert 'INSERT INTO temp."d:busiest"' in text
    data = explain_json(program)
    assert data["operators"][-2] == {
        "operator": "MAX(b.seats)",
        "level": "group",
        "cost": "one index look-up for each touched group",
    }
    assert set(data["on_input"]) == {"air.flights", "air.bookings"}


# -- values that cannot be computed ------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_computed_is_left_out() -> None:
    table = TableSchema(
        "s.t", (Column("id", INT, False), Column("a", INT), Column("b", INT), Column("s", STRING)), ("id",)
    )
    harness = SqlHarness([table])
    harness.add_view(
        "v", "SELECT id, a / b AS q, a + b AS s, CAST(s AS INT) AS n, TRY_CAST(s AS INT) AS t FROM t"
    )
    rows = [(1, 2**31 - 1, 1, "7"), (2, 5, 0, "x"), (3, 6, 3, None), (4, 6, 3, "x"), (5, None, 0, "5")]
    harness.tick({"s.t": [(row, 1) for row in rows]})
    assert sorted(harness.rows("v")) == [(3, 2, 9, None, None), (5, None, None, 5, 5)]
    assert sorted(harness.batch("v")) == sorted(harness.rows("v"))


def test_a_group_whose_sum_is_beyond_bigint_is_left_out_until_it_fits_again() -> None:
    from springline.core.types import BIGINT

    table = TableSchema("s.t", (Column("id", INT, False), Column("x", BIGINT)), ("id",))
    harness = SqlHarness([table])
    harness.add_view("v", "SELECT SUM(x) AS s, COUNT(*) AS n FROM t")
    harness.tick({"s.t": [((number, 2**63 - 1), 1) for number in range(3)]})
    assert harness.rows("v") == []
    assert harness.dead_letters("v") == [("group", "{}", "BIGINT overflow in SUM(x)")]
    harness.tick({"s.t": [((number, 2**63 - 1), -1) for number in range(2)]})
    assert harness.rows("v") == [(2**63 - 1, 1)]


def test_a_table_joined_with_itself_many_times_is_computed_again() -> None:
    """The change of a join of n occurrences has 2**n - 1 parts."""
    for times, level in ((8, "delta"), (12, "full")):
        joined = " ".join(f"JOIN flights AS f{n} ON f{n}.id = f{n - 1}.delay" for n in range(1, times))
        harness = SqlHarness(TABLES)
        program = harness.add_view("v", f"SELECT f0.id FROM flights AS f0 {joined}", key=["id"])
        assert {one.level for one in program.levels} == {level}
        row = harness.store("air.flights", (1, "late", 1, None, None, None, None, None))
        harness.tick({"air.flights": [(row, 1)]})
        assert harness.rows("v") == harness.batch("v") == [(1,)]
