"""Ad-hoc queries: what views have not, and parameters."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from springline.core.types import TIMESTAMP_LTZ
from springline.sql import compile_query
from springline.testing.sql_harness import SqlHarness
from tests.unit.sql.sql_tables import CATALOG, FLIGHTS, TABLES

NOON = 1_360_324_800_000_000


@pytest.fixture(scope="module")
def harness() -> SqlHarness:
    made = SqlHarness(TABLES)
    made.tick(
        {
            "air.flights": [
                ((1, "late", 95, 1050, NOON, 0.5, 1, "1.5"), 1),
                ((2, "late", None, 990, NOON + 3_600_000_000, "NaN", 0, "12345678901234567890.5"), 1),
                ((3, "gone", -7, None, None, -1.5, None, "1.50"), 1),
            ],
            "air.bookings": [(("AAA", 1, 2), 1), (("BBB", 1, 1), 1), (("CCC", 9, 4), 1)],
        }
    )
    return made


ANSWERS = [
    ("SELECT id FROM flights ORDER BY delay", [(2,), (3,), (1,)]),
    ("SELECT id FROM flights ORDER BY delay DESC", [(1,), (3,), (2,)]),
    ("SELECT id FROM flights ORDER BY delay NULLS LAST", [(3,), (1,), (2,)]),
    ("SELECT id FROM flights ORDER BY delay DESC NULLS FIRST, id LIMIT 1 OFFSET 1", [(1,)]),
    ("SELECT id, rate FROM flights ORDER BY rate DESC LIMIT 2 OFFSET 1", [(1, 0.5), (3, -1.5)]),
    ("SELECT id FROM flights ORDER BY exact DESC, id", [(2,), (1,), (3,)]),
    ("SELECT status, COUNT(*) AS n FROM flights GROUP BY status ORDER BY n DESC, status", [("late", 2), ("gone", 1)]),
    ("SELECT status FROM flights GROUP BY status HAVING MAX(delay) > 0", [("late",)]),
    ("SELECT id FROM flights WHERE id IN (SELECT flight FROM air.bookings)", [(1,)]),
    ("SELECT id FROM flights AS f WHERE NOT EXISTS (SELECT 1 FROM air.bookings WHERE flight = f.id) ORDER BY id", [(2,), (3,)]),
    ("SELECT id, (SELECT SUM(seats) FROM air.bookings AS b WHERE b.flight = f.id) AS s FROM flights AS f ORDER BY id", [(1, 3), (2, None), (3, None)]),
    ("SELECT id, ROW_NUMBER() OVER (PARTITION BY status ORDER BY id DESC) AS n FROM flights ORDER BY id", [(1, 2), (2, 1), (3, 1)]),
    ("SELECT id, LAG(id) OVER (ORDER BY id) AS before_ FROM flights ORDER BY id", [(1, None), (2, 1), (3, 2)]),
    ("SELECT status FROM flights UNION SELECT status FROM shop.bookings ORDER BY status", [("gone",), ("late",)]),
    ("SELECT status FROM flights EXCEPT SELECT 'late'", [("gone",)]),
    ("SELECT id FROM flights UNION ALL SELECT 2.5 ORDER BY id DESC LIMIT 2", [(Decimal("3.0"),), (Decimal("2.5"),)]),
    ("SELECT DISTINCT exact FROM flights WHERE exact < 2", [(Decimal("1.5"),)]),
    ("SELECT SUM(exact) AS s, AVG(price) AS a FROM flights", [(Decimal("12345678901234567893.5"), Decimal("10.2"))]),
    ("WITH late AS (SELECT * FROM flights WHERE status = 'late') SELECT COUNT(*) AS n FROM late", [(2,)]),
    ("SELECT n FROM (SELECT status, COUNT(*) AS n FROM flights GROUP BY status) AS s(x, n) WHERE x = 'gone'", [(1,)]),
    ("SELECT leaves < NOW() AS past, CURRENT_DATE > DATE '2020-01-01' AS later FROM flights WHERE id = 1", [(True, True)]),
    ("SELECT 1 AS one", [(1,)]),
    ("(SELECT id FROM flights) ORDER BY id LIMIT 1", [(1,)]),
    ("SELECT COUNT(*) AS n FROM flights, air.bookings", [(9,)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), ANSWERS, ids=[text for text, _ in ANSWERS])
def test_answers(harness: SqlHarness, text: str, rows: list[tuple[object, ...]]) -> None:
    assert harness.query(text) == rows


PARAMETERS = [
    ("SELECT id FROM flights WHERE id = :x", 2, [(2,)]),
    ("SELECT id FROM flights WHERE status = :x", "gone", [(3,)]),
    ("SELECT id FROM flights WHERE price > :x", 10, [(1,)]),
    ("SELECT id FROM flights WHERE price > :x", 9.95, [(1,)]),
    ("SELECT id FROM flights WHERE leaves > :x", "2013-02-08 12:30:00", [(2,)]),
    ("SELECT id FROM flights WHERE open = :x", True, [(1,)]),
    ("SELECT id FROM flights ORDER BY id LIMIT :x", 1, [(1,)]),
    ("SELECT id FROM flights WHERE status = :x OR :x IS NULL ORDER BY id", None, [(1,), (2,), (3,)]),
]


@pytest.mark.parametrize(("text", "value", "rows"), PARAMETERS)
def test_parameters(harness: SqlHarness, text: str, value: object, rows: list[tuple[object, ...]]) -> None:
    assert harness.query(text, {"x": value}) == rows


@pytest.mark.parametrize(("text", "value", "rows"), PARAMETERS)
def test_parameters_of_unknown_type(
    harness: SqlHarness, text: str, value: object, rows: list[tuple[object, ...]]
) -> None:
    """A caller that does not know the types yet gives None: the place of the parameter decides."""
    program = compile_query(text, harness.schemas, parameters={"x": None})
    found = harness.connection.execute(program.sql, {"x": value}).fetchall()
    assert found == rows


def test_a_parameter_may_be_declared_by_its_type(harness: SqlHarness) -> None:
    program = compile_query(
        "SELECT id FROM flights WHERE leaves > :since", CATALOG, parameters={"since": TIMESTAMP_LTZ}
    )
    assert harness.connection.execute(program.sql, {"since": NOON}).fetchall() == [(2,)]


def test_a_program_says_what_it_reads_and_gives() -> None:
    program = compile_query(
        "SELECT f.id, b.seats * 2 AS double_ FROM flights f LEFT JOIN air.bookings b ON b.flight = f.id",
        CATALOG,
    )
    assert program.relations == ("air.flights", "air.bookings")
    assert [(name, str(kind)) for name, kind in program.columns] == [("id", "INT"), ("double_", "INT")]


def test_python_values_of_parameters_have_types() -> None:
    values = {
        "a": Decimal("1.5"),
        "b": dt.datetime(2026, 1, 1),
        "c": dt.date(2026, 1, 1),
        "d": b"x",
        "e": 1.5,
    }
    program = compile_query("SELECT :a AS a, :b AS b, :c AS c, :d AS d, :e AS e", {}, parameters=values)
    assert [str(kind) for _, kind in program.columns] == ["DECIMAL", "TIMESTAMP", "DATE", "BYTES", "DOUBLE"]


def test_names_that_differ_by_capitals_are_two_columns() -> None:
    """SQLite would take the first for both."""
    harness = SqlHarness([FLIGHTS])
    harness.tick(
        {"air.flights": [(harness.store("air.flights", (1, "late", 5, None, None, None, None, None)), 1)]}
    )
    assert harness.query("SELECT t.id, t.ID0 FROM (SELECT id, delay AS ID FROM flights) AS t") == [(1, 5)]


@pytest.mark.parametrize("operator", [" OR ", " AND "])
def test_thousands_of_conditions(operator: str) -> None:
    """More than SQLite's expressions are deep."""
    conditions = operator.join(["delay = 5", *(f"id <> {number + 100}" for number in range(3_000))])
    harness = SqlHarness([FLIGHTS])
    harness.add_view("v", f"SELECT id FROM flights WHERE ({conditions}) IS TRUE")
    harness.tick(
        {"air.flights": [(harness.store("air.flights", (1, "late", 5, None, None, None, None, None)), 1)]}
    )
    assert harness.rows("v") == harness.batch("v") == [(1,)]
