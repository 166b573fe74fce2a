"""Joins, subqueries, set operations and windows: their level, their key, and that they equal the batch answer after every tick."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING, Stored, array, decimal
from springline.sql import explain_json
from springline.testing.sql_harness import Row, SqlHarness

A = TableSchema(
    "s.a",
    (
        Column("id", INT, False),
        Column("k", INT),
        Column("x", INT),
        Column("s", STRING),
        Column("w", decimal()),
        Column("tags", array(INT)),
    ),
    ("id",),
)
B = TableSchema(
    "s.b", (Column("id", INT, False), Column("k", INT), Column("y", INT), Column("s", STRING)), ("id",)
)
C = TableSchema("s.c", (Column("k", INT), Column("z", INT)), ())
VALUES: dict[str, Sequence[Stored]] = {
    "k": [None, 1, 2, 3],
    "x": [None, 0, 1, 2, 2],
    "y": [None, 0, 1, 2, 5],
    "z": [None, 1, 2],
    "s": [None, "a", "b", "B"],
    "w": [None, "1.5", "1.50", "20"],
    "tags": [None, "[]", "[1]", "[2,1,2]", "[null,3]"],
}

# (query, level, key or the declared key)
QUERIES = [
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a RIGHT JOIN b ON a.k = b.k", "full", "=id,bid"),
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a FULL JOIN b ON a.k = b.k AND b.y > 0", "full", "=id,bid"),
    ("SELECT id FROM a WHERE k IN (SELECT k FROM b)", "full", "id"),
    ("SELECT id FROM a WHERE k NOT IN (SELECT y FROM b)", "full", "id"),
    ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.y < a.x)", "full", "id"),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT id, k FROM a WHERE x > (SELECT MIN(y) FROM b)) AS t GROUP BY k",
        "full",
        "k",
    ),
    ("SELECT k FROM a UNION SELECT k FROM b", "full", "k"),
    ("SELECT k, x FROM a INTERSECT SELECT k, y FROM b", "full", "k,x"),
    ("SELECT w FROM a EXCEPT SELECT w FROM a WHERE x > 1", "full", "w"),
    ("SELECT id, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM a", "full", "id"),
    (
        "SELECT id, SUM(x) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM a",
        "full",
        "id",
    ),
    ("SELECT id, x FROM a ORDER BY x DESC LIMIT 3", "full", "id"),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT k FROM a INTERSECT ALL SELECT k FROM b) AS t GROUP BY k",
        "full",
        "k",
    ),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT k FROM a EXCEPT ALL SELECT k FROM b) AS t GROUP BY k",
        "full",
        "k",
    ),
]


def changelog(seed: int, ticks: int) -> Iterator[dict[str, list[tuple[Row, int]]]]:
    """Random rows that come, change and go; the first ticks bring more than they take."""
    chance = random.Random(seed)
    held: dict[str, list[Row]] = {schema.name: [] for schema in (A, B, C)}
    number = 0
    for tick in range(ticks):
        changes: dict[str, list[tuple[Row, int]]] = {}
        for _ in range(chance.choice([1, 1, 2, 5])):
            schema = chance.choice((A, A, B, B, C))
            rows = held[schema.name]
            made = changes.setdefault(schema.name, [])
            old = (
                rows.pop(chance.randrange(len(rows)))
                if rows and chance.random() < 0.3 + tick / ticks / 3
                else None
            )
            if old is not None:
                made.append((old, -1))
            if old is None or chance.random() < 0.5:
                number += 1
                new = tuple(
                    (number if old is None or not schema.key else old[0])
                    if name == "id"
                    else chance.choice(VALUES[name])
                    for name in schema.names
                )
                rows.append(new)
                made.append((new, 1))
        yield changes


def assert_equal(harness: SqlHarness, name: str) -> None:
    kept, batch = Counter(harness.rows(name)), Counter(harness.batch(name))
    assert kept == batch, f"\nkept, not in batch: {kept - batch}\nin batch, not kept: {batch - kept}"


@pytest.mark.parametrize(("text", "level", "key"), QUERIES, ids=[text for text, _, _ in QUERIES])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_the_batch_answer(text: str, level: str, key: str, seed: int) -> None:
    harness = SqlHarness([A, B, C])
    given = key.removeprefix("=").split(",") if key.startswith("=") else None
    program = harness.add_view("v", text, key=given)
    assert explain_json(program)["level"] == level
    assert program.schema.key == tuple(key.removeprefix("=").split(","))
    assert bool(program.warnings) == (level == "full") or "no equality" in str(program.levels)
    for changes in changelog(seed, 40):
        harness.tick(changes)
        assert_equal(harness, "v")


@pytest.mark.parametrize(
    ("text", "key"), [(text, key) for text, _, key in QUERIES], ids=[one[0] for one in QUERIES]
)
def test_a_later_backfill_and_other_cuts_give_the_same(text: str, key: str) -> None:
    given = key.removeprefix("=").split(",") if key.startswith("=") else None
    first, later = SqlHarness([A, B, C]), SqlHarness([A, B, C])
    first.add_view("v", text, key=given)
    ticks = list(changelog(3, 30))
    merged: dict[str, list[tuple[Row, int]]] = {}
    for number, changes in enumerate(ticks):
        for table, rows in changes.items():
            merged.setdefault(table, []).extend(rows)
        first.tick(changes)
        if number == 15:
            later.tick(merged)
            later.add_view("v", text, key=given)
            assert_equal(later, "v")
            merged = {}
    later.tick(merged)
    assert_equal(later, "v")
    assert Counter(later.rows("v")) == Counter(first.rows("v"))
    rest = {schema.name: [(row, -1) for row in first.rows(schema.name)] for schema in (A, B, C)}
    first.tick(rest)
    empty = SqlHarness([A, B, C])
    empty.add_view("v", text, key=given)
    for (name,) in first.connection.execute(
        "SELECT name FROM sqlite_schema WHERE name GLOB 's:*' AND type = 'table'"
    ).fetchall():
        left = first.connection.execute(f'SELECT * FROM main."{name}"').fetchall()
        assert left == empty.connection.execute(f'SELECT * FROM main."{name}"').fetchall(), name
