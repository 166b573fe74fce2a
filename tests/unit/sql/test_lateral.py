"""UNNEST and LATERAL TABLE: types of elements, Python table functions, failures, and what is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import BOOLEAN, DATE, DOUBLE, INT, STRING, array, decimal
from springline.errors import SqlError
from springline.sql import explain_json
from springline.sql.user_functions import Functions
from springline.testing.sql_harness import SqlHarness

NOTES = TableSchema(
    "s.notes",
    (
        Column("id", INT, False),
        Column("text", STRING),
        Column("days", array(DATE)),
        Column("prices", array(decimal(8, 2))),
        Column("flags", array(BOOLEAN)),
        Column("rates", array(DOUBLE)),
    ),
    ("id",),
)
DAY = dt.date(2013, 2, 8)


def words(text: str | None) -> Iterator[tuple[str, int]]:
    if text == "boom":
        raise ValueError("no words")
    for place, word in enumerate((text or "").split()):
        yield word, place


@pytest.fixture
def harness() -> SqlHarness:
    functions = Functions()
    functions.add_table("words", words, ["STRING"], {"word": "STRING", "place": "INT"})
    return SqlHarness([NOTES], functions=functions)


def note(harness: SqlHarness, number: int, text: str | None) -> tuple[object, ...]:
    return harness.store(
        NOTES.name, (number, text, [DAY, None], [Decimal("1.50")], [True, False], [0.5, float("inf")])
    )


def test_elements_have_their_types(harness: SqlHarness) -> None:
    harness.tick({NOTES.name: [(note(harness, 1, "a"), 1)]})
    for column, expected in (
        ("days", [DAY, None]),
        ("prices", [Decimal("1.50")]),
        ("flags", [True, False]),
        ("rates", [0.5, float("inf")]),
    ):
        found = harness.query(f"SELECT x FROM notes CROSS JOIN UNNEST({column}) AS t(x)")
        assert [one for (one,) in found] == expected, column


def test_a_table_function_follows_its_row(harness: SqlHarness) -> None:
    program = harness.add_view(
        "counted",
        "SELECT w.word, COUNT(*) AS n FROM notes AS n CROSS JOIN LATERAL TABLE(words(n.text)) AS w GROUP BY w.word",
    )
    assert explain_json(program)["level"] == "delta"
    harness.add_view(
        "every",
        "SELECT n.id, w.a, w.b FROM notes AS n LEFT JOIN LATERAL TABLE(words(n.text)) AS w(a, b) ON TRUE",
        key=["id", "b"],
    )
    first, second = note(harness, 1, "to be or not to be"), note(harness, 2, None)
    harness.tick({NOTES.name: [(first, 1), (second, 1)]})
    assert sorted(harness.rows("counted")) == [("be", 2), ("not", 1), ("or", 1), ("to", 2)]
    assert (2, None, None) in harness.rows("every")
    harness.tick({NOTES.name: [(first, -1), (note(harness, 1, "be"), 1)]})
    assert harness.rows("counted") == [("be", 1)]
    for name in ("counted", "every"):
        assert sorted(harness.rows(name), key=repr) == sorted(harness.batch(name), key=repr)


def test_a_row_on_which_the_function_raises_is_left_out(harness: SqlHarness) -> None:
    harness.add_view(
        "found",
        "SELECT n.id, w.word, w.place FROM notes n, LATERAL TABLE(words(n.text)) AS w",
        key=["id", "place"],
    )
    harness.tick({NOTES.name: [(note(harness, 1, "boom"), 1), (note(harness, 2, "fine"), 1)]})
    assert harness.rows("found") == [(2, "fine", 0)] == harness.batch("found")


REFUSED = [
    ("SELECT x FROM notes CROSS JOIN UNNEST(text) AS t(x)", "wants an ARRAY, not STRING", "ARRAY"),
    ("SELECT 1 AS x FROM notes CROSS JOIN UNNEST(days) AS t", "need a name", "AS t(tag)"),
    ("SELECT x FROM notes RIGHT JOIN UNNEST(days) AS t(x) ON TRUE", "RIGHT JOIN of", "CROSS JOIN"),
    ("SELECT x FROM notes JOIN UNNEST(days) AS t(x) ON t.x IS NULL", "joined ON TRUE", "WHERE"),
    ("SELECT x FROM notes, LATERAL TABLE(split(text)) AS t(x)", "no table function split", "words"),
    ("SELECT x FROM notes, LATERAL TABLE(words(id)) AS t(x, y)", "Argument 1 of words is INT", "CAST"),
    ("SELECT x FROM notes, LATERAL TABLE(words(text)) AS t(x)", "2 columns are called by 1", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), REFUSED)
def test_refused(harness: SqlHarness, text: str, message: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        harness.add_view("v", text, key=["x"])
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert caught.value.line == 1
