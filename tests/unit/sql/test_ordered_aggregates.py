"""Aggregates made of all values of a group: their order, overflow, and that views agree with queries whatever happens below them."""

from __future__ import annotations

import random

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, INT, STRING, Stored
from springline.testing.sql_harness import SqlHarness

ITEMS = TableSchema(
    "items",
    (Column("k", INT, nullable=False), Column("g", STRING), Column("b", BIGINT), Column("s", STRING)),
    ("k",),
)
PARTS = TableSchema(
    "parts", (Column("p", STRING, nullable=False), Column("item", INT), Column("n", INT)), ("p",)
)
VIEWS = (
    "SELECT i.g, LISTAGG(p.p) AS l, FIRST_VALUE(p.n) AS x, ARRAY_AGG(p.n) AS a FROM items i LEFT JOIN parts p ON p.item = i.k GROUP BY i.g",
    "SELECT p.n, LISTAGG(i.g) AS l, LAST_VALUE(i.b) AS x FROM items i JOIN parts p ON p.item = i.k GROUP BY p.n",
    "SELECT i.g, LISTAGG(p.p) AS l FROM parts p FULL JOIN items i ON p.item = i.k GROUP BY i.g",
    "SELECT t.g, LISTAGG(t.n) AS l FROM (SELECT g, CAST(b AS STRING) AS n FROM items WHERE b > 0) AS t GROUP BY t.g",
    "SELECT t.n, LISTAGG(t.g) AS l FROM (SELECT g, COUNT(*) AS n FROM items GROUP BY g) AS t GROUP BY t.n",
    "SELECT LISTAGG(s) AS l, SUM(DISTINCT b) AS d, PERCENTILE(b, 0.5) AS p, COLLECT(s) AS c, VAR_SAMP(b) AS v FROM items",
    "SELECT g, JSON_OBJECTAGG(KEY s VALUE b) AS j FROM items WHERE s IS NOT NULL GROUP BY g HAVING LISTAGG(s) <> 'x'",
    "SELECT g, LISTAGG(s, '') WITHIN GROUP (ORDER BY b DESC NULLS FIRST, s) AS l, ARRAY_AGG(s ORDER BY b NULLS LAST, k DESC) AS a FROM items GROUP BY g",
)


@pytest.mark.parametrize("seed", range(3))
def test_views_equal_queries(seed: int) -> None:
    chance = random.Random(seed)
    harness = SqlHarness([ITEMS, PARTS])
    for index, text in enumerate(VIEWS):
        harness.add_view(f"v{index}", text)
    items: dict[int, tuple[Stored, ...]] = {}
    parts: dict[int, tuple[Stored, ...]] = {}
    for _ in range(25):
        changes: dict[str, list[tuple[tuple[Stored, ...], int]]] = {"items": [], "parts": []}
        for name, rows in (("items", items), ("parts", parts)):
            for key in chance.sample(range(8), 3):
                if key in rows:
                    changes[name].append((rows.pop(key), -1))
                if chance.random() < 0.7:
                    some = chance.choice([None, 1, 2, 7])
                    item = (key, chance.choice(["a", "b", None]), some, chance.choice(["x", "y", None]))
                    rows[key] = item if name == "items" else (f"p{key}", chance.choice([None, 0, 1, 2]), some)
                    changes[name].append((rows[key], 1))
        harness.tick(changes)
        for index, text in enumerate(VIEWS):
            found, batch = harness.rows(f"v{index}"), harness.batch(f"v{index}")
            assert sorted(map(str, found)) == sorted(map(str, batch)), text


def test_order_by_decides() -> None:
    harness = SqlHarness([ITEMS])
    harness.tick({"items": [((1, "a", 5, "x"), 1), ((2, "a", None, "y"), 1), ((3, "a", 7, "z"), 1)]})
    [found] = harness.query(
        "SELECT LISTAGG(s, '') AS k, LISTAGG(s, '') WITHIN GROUP (ORDER BY b) AS up, "
        "LISTAGG(s, '') WITHIN GROUP (ORDER BY b DESC) AS down, LISTAGG(s, '') WITHIN GROUP (ORDER BY b NULLS LAST) AS l, "
        "LISTAGG(s, '') WITHIN GROUP (ORDER BY b DESC NULLS FIRST) AS f FROM items"
    )
    assert found == ("xyz", "yxz", "zxy", "xzy", "yzx")


def test_a_group_whose_sum_of_distinct_values_is_beyond_bigint_is_left_out() -> None:
    harness = SqlHarness([ITEMS])
    harness.add_view("v", "SELECT g, SUM(DISTINCT b) AS s FROM items GROUP BY g")
    half = 2**62
    rows = [(1, "a", half, None), (2, "a", half, None), (3, "b", 5, None), (4, "c", None, None)]
    harness.tick({"items": [(row, 1) for row in rows]})
    expected = [("a", half), ("b", 5), ("c", None)]
    assert sorted(harness.rows("v")) == expected
    harness.tick({"items": [((5, "a", half + 1, None), 1)]})
    assert sorted(harness.rows("v")) == expected[1:] == sorted(harness.batch("v"))
    harness.tick({"items": [((5, "a", half + 1, None), -1)]})
    assert sorted(harness.rows("v")) == expected
