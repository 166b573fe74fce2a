"""Temporal joins: versions that the table holds, versions that the view keeps, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import INT, STRING, TIMESTAMP
from springline.errors import SqlError
from springline.sql import compile_query, compile_view
from springline.testing.sql_harness import Row, SqlHarness

SECOND = 1_000_000
ORDERS = TableSchema(
    "s.orders", (Column("id", INT, nullable=False), Column("k", STRING), Column("placed", TIMESTAMP)), ("id",)
)
COLUMNS = (
    Column("k", STRING, nullable=False),
    Column("since", TIMESTAMP, nullable=False),
    Column("rate", INT),
)
RATES = TableSchema("s.rates", COLUMNS, ("k", "since"), event_time=EventTime("since"))
PRICES = TableSchema("s.prices", COLUMNS, ("k",), event_time=EventTime("since"))
UNTIMED = TableSchema("s.untimed", COLUMNS, ("k",))
CATALOG = {one.name: one for one in (ORDERS, RATES, PRICES, UNTIMED)}
JOIN = "SELECT o.id, r.rate FROM orders AS o JOIN {} FOR SYSTEM_TIME AS OF o.placed AS r ON o.k = r.k"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (JOIN.format("untimed"), "no declared event time", 'app.event_time("s.untimed"'),
        (JOIN.format("rates").replace("o.k = r.k", "o.id = r.rate"), "whole key of 's.rates'", "r.k ="),
        (JOIN.format("rates").replace("AS OF o.placed", "AS OF o.id"), "wants a timestamp", "column"),
        (JOIN.format("rates").replace("AS OF o.placed", "AS OF r.since"), "a time of the left table", ""),
        (JOIN.format("rates").replace("JOIN", "RIGHT JOIN"), "stands in a JOIN or LEFT JOIN", "FROM o JOIN"),
        (
            "SELECT * FROM rates FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-01 00:00:00'",
            "stands in a JOIN",
            "FROM o JOIN",
        ),
        ("WITH w AS (SELECT * FROM rates) " + JOIN.format("w"), "not a query", "a view"),
        (JOIN.format("rate"), "no table or view 'rate'", "'rates'"),
    ],
)
def test_what_is_refused(text: str, message: str, hint: str) -> None:
    for compiled in (lambda one: compile_view("v", one, CATALOG), lambda one: compile_query(one, CATALOG)):
        with pytest.raises(SqlError) as caught:
            compiled(text)
        assert message in caught.value.message
        assert hint in (caught.value.hint or "")
        assert caught.value.line == 1


def test_queries_know_the_versions_that_a_table_holds() -> None:
    harness = SqlHarness([ORDERS, RATES, PRICES])
    harness.tick(
        {
            "s.orders": [((1, "a", 5 * SECOND), 1), ((2, "a", 15 * SECOND), 1)],
            "s.rates": [(("a", 0, 10), 1), (("a", 10 * SECOND, 20), 1)],
        }
    )
    assert sorted(harness.query(JOIN.format("rates"))) == [(1, 10), (2, 20)]
    with pytest.raises(SqlError, match="keeps one row for each key"):
        harness.query(JOIN.format("prices"))


def test_the_end_of_a_version_is_not_a_column() -> None:
    program = compile_view("v", JOIN.format("rates").replace("o.id, r.rate", "o.id, r.*"), CATALOG)
    assert program.schema.names == ("id", "k", "since", "rate")
    assert program.schema.key == ("id",)


def test_a_view_keeps_the_versions_that_it_sees() -> None:
    harness = SqlHarness([ORDERS, PRICES])
    harness.tick({"s.prices": [(("a", 1 * SECOND, 10), 1)]})
    program = harness.add_view("v", JOIN.format("prices"))
    assert any("versions that it has seen" in warning for warning in program.warnings)
    harness.tick({"s.orders": [((at, "a", at * SECOND), 1) for at in (0, 1, 5, 9)]})
    assert sorted(harness.rows("v")) == [(1, 10), (5, 10), (9, 10)]
    harness.tick({"s.prices": [(("a", 1 * SECOND, 10), -1), (("a", 5 * SECOND, 11), 1)]})
    assert sorted(harness.rows("v")) == [(1, 10), (5, 11), (9, 11)]
    # The row goes: its version ends at the largest time that the table has shown.
    harness.tick({"s.prices": [(("b", 8 * SECOND, 1), 1)]})
    harness.tick({"s.prices": [(("a", 5 * SECOND, 11), -1)]})
    assert sorted(harness.rows("v")) == [(1, 10), (5, 11)]
    harness.tick({"s.orders": [((2, "a", 2 * SECOND), 1), ((7, "a", 7 * SECOND), 1), ((1, "a", SECOND), -1)]})
    assert sorted(harness.rows("v")) == [(2, 10), (5, 11), (7, 11)]


@st.composite
def ticks(draw: Callable[..., object]) -> list[dict[str, list[tuple[Row, int]]]]:
    held: dict[str, dict[object, Row]] = {"s.orders": {}, "s.prices": {}}
    made: list[dict[str, list[tuple[Row, int]]]] = []
    for _ in range(draw(st.integers(1, 7))):
        tick: dict[str, list[tuple[Row, int]]] = {}
        for name, keys in (("s.orders", [1, 2, 3, 4]), ("s.prices", ["a", "b"])):
            for key in draw(st.lists(st.sampled_from(keys), max_size=3, unique=True)):
                at = draw(st.integers(0, 6)) * SECOND
                row = (
                    (key, draw(st.sampled_from(["a", "b", None])), at)
                    if name == "s.orders"
                    else (key, at, draw(st.integers(1, 3)))
                )
                old = held[name].pop(key, None)
                changes = [] if old is None else [(old, -1)]
                if draw(st.integers(0, 3)) and row != old:
                    held[name][key] = row
                    changes.append((row, 1))
                elif row == old:
                    held[name][key] = row
                    changes = []
                tick.setdefault(name, []).extend(changes)
        made.append(tick)
    return made


@settings(max_examples=120, deadline=None, database=None)
@given(ticks(), st.sampled_from(["JOIN", "LEFT JOIN"]))
def test_kept_versions_are_the_models(changes: list[dict[str, list[tuple[Row, int]]]], kind: str) -> None:
    harness = SqlHarness([ORDERS, PRICES])
    harness.add_view("v", JOIN.format("prices").replace("JOIN", kind))
    versions: dict[tuple[object, object], list[object]] = {}
    orders: set[Row] = set()
    seen = -(2**62)
    for tick in changes:
        harness.tick(tick)
        came = {row[0] for row, weight in tick.get("s.prices", []) if weight > 0}
        seen = max([seen, *(row[1] for row, weight in tick.get("s.prices", []) if weight > 0)])
        for row, weight in sorted(tick.get("s.prices", []), key=lambda one: one[1]):
            if weight > 0:
                versions[row[0], row[1]] = [row[2], None]
            elif row[0] not in came:
                versions[row[0], row[1]][1] = seen
        for row, weight in sorted(tick.get("s.orders", []), key=lambda one: one[1]):
            (orders.add if weight > 0 else orders.remove)(row)
        expected: list[Row] = []
        for key, k, placed in orders:
            begun = [since for one, since in versions if one == k and since <= placed]
            rate, ends = versions[k, max(begun)] if begun else (None, None)
            valid = bool(begun) and (ends is None or placed < ends)
            if valid or kind == "LEFT JOIN":
                expected.append((key, rate if valid else None))
        assert sorted(harness.rows("v"), key=repr) == sorted(expected, key=repr)
