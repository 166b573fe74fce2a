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
    # outer joins
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a RIGHT JOIN b ON a.k = b.k", "group", "bid,id"),
    (
        "SELECT a.id, b.id AS bid, a.x, b.y FROM a RIGHT JOIN b ON a.k = b.k AND a.x > b.y WHERE b.y > 0",
        "group",
        "bid,id",
    ),
    (
        "SELECT a.id, b.id AS bid, d.y FROM a JOIN b AS d ON d.id = a.k RIGHT JOIN b ON a.k = b.k AND d.y > 0",
        "group",
        "=id,bid",
    ),
    ("SELECT a.s, COUNT(*) AS n FROM a RIGHT JOIN b ON a.k = b.k GROUP BY a.s", "delta", "s"),
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a FULL JOIN b ON a.k = b.k", "delta", "id,bid"),
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a FULL JOIN b ON a.k = b.k AND b.y > 0", "delta", "id,bid"),
    ("SELECT a.id, b.id AS bid, a.x, b.y FROM a FULL JOIN b ON a.k = b.k AND b.y > a.x", "delta", "id,bid"),
    (
        "SELECT a.id, t.id AS bid FROM a FULL JOIN (SELECT * FROM b WHERE y > 0) AS t ON a.k = t.k AND a.x > 0 WHERE a.id IS NULL OR t.id IS NULL",
        "delta",
        "id,bid",
    ),
    (
        "SELECT COALESCE(a.k, b.k) AS k, COUNT(*) AS n, SUM(a.x) AS x, MAX(b.y) AS y FROM a FULL JOIN b ON a.k = b.k GROUP BY COALESCE(a.k, b.k)",
        "group",
        "k",
    ),
    (
        "SELECT a.id, b.id AS bid, d.id AS did FROM a FULL JOIN b ON a.k = b.k LEFT JOIN b AS d ON d.y = a.x",
        "group",
        "id,bid,did",
    ),
    (
        "SELECT t.k, u.k AS k2, n, m FROM (SELECT k, COUNT(*) AS n FROM a WHERE k IS NOT NULL GROUP BY k) AS t FULL JOIN (SELECT k, COUNT(*) AS m FROM b GROUP BY k) AS u ON t.k = u.k",
        "delta",
        "=k,k2",
    ),
    (
        "SELECT a.k, COUNT(b.id) AS n, SUM(b.y) AS s FROM a LEFT JOIN b ON a.k = b.k GROUP BY a.k",
        "delta",
        "k",
    ),
    (
        "SELECT a.k, COUNT(*) AS n, SUM(b.y) AS s FROM a LEFT JOIN b ON a.k = b.k AND b.y > 0 AND a.x > 0 GROUP BY a.k",
        "delta",
        "k",
    ),
    (
        "SELECT a.k, COUNT(*) AS n, SUM(b.y) AS s FROM a LEFT JOIN b ON a.k = b.k AND b.y > a.x GROUP BY a.k",
        "delta",
        "k",
    ),
    ("SELECT a.s, COUNT(*) AS n, SUM(b.y) AS s2 FROM a LEFT JOIN b ON a.k = b.id GROUP BY a.s", "delta", "s"),
    (
        "SELECT a.s, COUNT(*) AS n, SUM(b.y) AS s2, MAX(c.z) AS m FROM a LEFT JOIN b ON a.k = b.id LEFT JOIN c ON c.k = b.k GROUP BY a.s",
        "group",
        "s",
    ),
    ("SELECT DISTINCT a.s, b.y FROM a LEFT JOIN b ON a.k = b.k WHERE b.y IS NULL OR b.y > 1", "delta", "s,y"),
    # IN and EXISTS
    ("SELECT id FROM a WHERE k IN (SELECT k FROM b)", "delta", "id"),
    ("SELECT id FROM a WHERE k IN (SELECT id FROM b WHERE y > 0)", "delta", "id"),
    ("SELECT id FROM a WHERE k NOT IN (SELECT y FROM b)", "delta", "id"),
    ("SELECT id FROM a WHERE k NOT IN (SELECT y FROM b WHERE y IS NOT NULL)", "delta", "id"),
    ("SELECT id FROM a WHERE id NOT IN (SELECT id FROM b)", "delta", "id"),
    ("SELECT id FROM a WHERE x NOT IN (SELECT y FROM b WHERE b.k = a.k)", "delta", "id"),
    ("SELECT id FROM a WHERE x IN (SELECT y FROM b WHERE b.k = a.k AND b.s = 'a')", "delta", "id"),
    ("SELECT id FROM a WHERE x IN (SELECT MAX(y) FROM b GROUP BY k)", "group", "id"),
    ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b)", "delta", "id"),
    ("SELECT id FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.y > 2)", "delta", "id"),
    ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.y > 0)", "delta", "id"),
    (
        "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.y > 0) AND x > 0",
        "delta",
        "id",
    ),
    ("SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.k)", "delta", "id"),
    (
        "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k IS NOT DISTINCT FROM a.k AND b.s = a.s)",
        "delta",
        "id",
    ),
    ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND a.x > 0)", "delta", "id"),
    ("SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND a.x > 0)", "delta", "id"),
    (
        "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b JOIN c ON c.k = b.k WHERE c.z = a.x AND b.y = a.k)",
        "delta",
        "id",
    ),
    (
        "SELECT id FROM a WHERE EXISTS (SELECT k FROM b WHERE b.s = a.s GROUP BY k HAVING COUNT(*) > 1)",
        "delta",
        "id",
    ),
    ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.y < a.x)", "full", "id"),
    ("SELECT id FROM a WHERE k IN (SELECT k FROM b) OR x > 1", "delta", "id"),
    ("SELECT id FROM a WHERE NOT (k IN (SELECT y FROM b) AND x = 1)", "delta", "id"),
    ("SELECT id, k IN (SELECT y FROM b WHERE b.s = a.s) AS found FROM a", "delta", "id"),
    (
        "SELECT id, EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AS found, CASE WHEN x NOT IN (SELECT z FROM c) THEN 'none' ELSE 'some' END AS c FROM a",
        "delta",
        "id",
    ),
    (
        "SELECT k, COUNT(*) AS n FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k) AND s NOT IN (SELECT s FROM b WHERE y > 1) GROUP BY k",
        "delta",
        "k",
    ),
    (
        "SELECT a.id, b.id AS bid FROM a JOIN b ON a.k = b.k WHERE a.x IN (SELECT z FROM c) AND NOT EXISTS (SELECT 1 FROM c WHERE c.k = b.k)",
        "delta",
        "id,bid",
    ),
    (
        "SELECT a.id, b.id AS bid FROM a LEFT JOIN b ON a.k = b.k WHERE a.x IN (SELECT z FROM c)",
        "group",
        "id,bid",
    ),
    # values
    ("SELECT id FROM a WHERE x >= (SELECT AVG(y) FROM b)", "delta", "id"),
    ("SELECT id, (SELECT MAX(y) FROM b) AS m FROM a", "group", "id"),
    (
        "SELECT id, (SELECT COUNT(*) FROM b WHERE b.k = a.k) AS n, (SELECT SUM(y) FROM b WHERE b.k = a.k AND b.s = a.s) AS s FROM a",
        "delta",
        "id",
    ),
    (
        "SELECT id, (SELECT COUNT(*) + COALESCE(SUM(y), 100) FROM b WHERE b.k = a.k) AS n FROM a",
        "delta",
        "id",
    ),
    ("SELECT id, (SELECT y FROM b WHERE b.id = a.k) AS y FROM a", "group", "id"),
    ("SELECT id, (SELECT y FROM b WHERE b.k = a.k) AS y FROM a", "group", "id"),
    ("SELECT id FROM a WHERE x = (SELECT MIN(y) FROM b WHERE b.k = a.k)", "group", "id"),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT id, k FROM a WHERE x > (SELECT MIN(y) FROM b)) AS t GROUP BY k",
        "group",
        "k",
    ),
    # sets
    ("SELECT k FROM a UNION SELECT k FROM b", "delta", "k"),
    ("SELECT x, s FROM a UNION SELECT y, s FROM b UNION SELECT z, 'c' FROM c", "delta", "x,s"),
    ("SELECT k, x FROM a INTERSECT SELECT k, y FROM b", "delta", "k,x"),
    ("SELECT k FROM a EXCEPT SELECT k FROM b WHERE y > 0", "delta", "k"),
    ("SELECT w FROM a EXCEPT SELECT w FROM a WHERE x > 1", "delta", "w"),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT k FROM a INTERSECT ALL SELECT k FROM b) AS t GROUP BY k",
        "delta",
        "k",
    ),
    (
        "SELECT k, COUNT(*) AS n FROM (SELECT k FROM a EXCEPT ALL SELECT k FROM b) AS t GROUP BY k",
        "delta",
        "k",
    ),
    (
        "SELECT a.id, t.k FROM a JOIN (SELECT k FROM b EXCEPT SELECT k FROM c) AS t ON t.k = a.k",
        "delta",
        "id",
    ),
    (
        "SELECT t.k, COUNT(*) AS n FROM (SELECT k FROM a UNION ALL SELECT k FROM b) AS t JOIN c ON c.k = t.k GROUP BY t.k",
        "delta",
        "k",
    ),
    (
        "SELECT t.k, COUNT(*) AS n FROM (SELECT k FROM a EXCEPT ALL SELECT k FROM b) AS t JOIN c ON c.k = t.k GROUP BY t.k",
        "delta",
        "k",
    ),
    # windows
    ("SELECT id, k, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM a", "group", "id"),
    ("SELECT id, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS n FROM a", "group", "id"),
    (
        "SELECT id, RANK() OVER (PARTITION BY k ORDER BY x) AS r, DENSE_RANK() OVER (PARTITION BY k ORDER BY x) AS d, PERCENT_RANK() OVER (PARTITION BY k ORDER BY x) AS p, NTILE(2) OVER (PARTITION BY k ORDER BY x) AS t FROM a",
        "group",
        "id",
    ),
    (
        "SELECT id, LAG(x) OVER (PARTITION BY k ORDER BY id) AS before_, LEAD(x, 2, -1) OVER (PARTITION BY k ORDER BY id) AS after_ FROM a WHERE x IS NOT NULL",
        "group",
        "id",
    ),
    (
        "SELECT id, SUM(x) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS n FROM a",
        "group",
        "id",
    ),
    (
        "SELECT id, SUM(x) OVER (PARTITION BY k) AS s, AVG(x) OVER (PARTITION BY k, s ORDER BY x) AS g, COUNT(*) OVER (PARTITION BY k) AS n, MAX(w) OVER (PARTITION BY k) AS m, SUM(w) OVER (PARTITION BY k ORDER BY id) AS ws FROM a",
        "group",
        "id",
    ),
    (
        "SELECT id, SUM(x) OVER (PARTITION BY w ORDER BY id RANGE BETWEEN 3 PRECEDING AND CURRENT ROW) AS n, FIRST_VALUE(s) OVER (PARTITION BY w ORDER BY x) AS f FROM a",
        "group",
        "id",
    ),
    (
        "SELECT id, AVG(CAST(x AS DOUBLE)) OVER (PARTITION BY UPPER(s) ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS m FROM a",
        "group",
        "id",
    ),
    ("SELECT id, COUNT(*) OVER (ORDER BY x) AS n FROM a", "full", "id"),
    (
        "SELECT k, id, x FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS rn FROM a) WHERE rn <= 2".replace(
            "a) WHERE", "a) AS t WHERE"
        ),
        "group",
        "id",
    ),
    (
        "SELECT k, rn, x FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC, s) AS rn FROM a WHERE x > 0) AS t WHERE rn <= 2",
        "group",
        "k,rn",
    ),
    (
        "SELECT k, x FROM (SELECT k, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS rn FROM a) AS t WHERE rn = 1",
        "group",
        "k",
    ),
    (
        "SELECT k, z FROM (SELECT k, z, ROW_NUMBER() OVER (PARTITION BY k ORDER BY z) AS rn FROM c) AS t WHERE rn = 1",
        "group",
        "k",
    ),
    (
        "SELECT id, x FROM (SELECT id, x, k, RANK() OVER (PARTITION BY k ORDER BY x DESC) AS r FROM a) AS t WHERE r < 3 AND x > 0",
        "group",
        "id",
    ),
    (
        "SELECT x, COUNT(*) AS n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS rn FROM a) AS t WHERE rn < 3 GROUP BY x",
        "group",
        "x",
    ),
    (
        "SELECT b.id, t.x FROM b JOIN (SELECT k, x, ROW_NUMBER() OVER (PARTITION BY k ORDER BY x DESC) AS rn FROM a) AS t ON t.k = b.k AND t.rn = 1",
        "group",
        "=id",
    ),
    (
        "SELECT t.id, t.y FROM (SELECT a.id, b.y, b.id AS bid, ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.y DESC) AS rn FROM a JOIN b ON a.k = b.k) AS t WHERE t.rn = 1",
        "group",
        "id",
    ),
    (
        "SELECT id, n, RANK() OVER (ORDER BY n) AS r FROM (SELECT k AS id, COUNT(*) AS n FROM a GROUP BY k) AS t",
        "full",
        "id",
    ),
    ("SELECT DISTINCT k, COUNT(*) OVER (PARTITION BY k) AS n FROM a", "group", "k,n"),
    # LIMIT
    ("SELECT id, x FROM a ORDER BY x DESC LIMIT 3", "group", "id"),
    ("SELECT id FROM a ORDER BY x DESC, s LIMIT 2 OFFSET 1", "group", "id"),
    ("SELECT k, COUNT(*) AS n FROM a GROUP BY k ORDER BY n DESC, k LIMIT 2", "group", "k"),
    ("SELECT k, SUM(x) AS s FROM a GROUP BY k ORDER BY COUNT(*) DESC LIMIT 2", "group", "k"),
    ("SELECT DISTINCT s FROM a ORDER BY 1 LIMIT 2", "group", "s"),
    ("SELECT x FROM a UNION SELECT y FROM b ORDER BY x DESC LIMIT 2", "group", "x"),
    ("SELECT t.k, COUNT(*) AS n FROM (SELECT k FROM a ORDER BY id LIMIT 4) AS t GROUP BY t.k", "group", "k"),
    ("SELECT a.id, b.id AS bid FROM a JOIN b ON a.k = b.k ORDER BY b.y LIMIT 3", "group", "id,bid"),
    ("SELECT id FROM b LIMIT 2", "group", "id"),
    ("SELECT id FROM a WHERE x = (SELECT y FROM b ORDER BY id LIMIT 1)", "group", "id"),
    # unnest
    ("SELECT tag, COUNT(*) AS n FROM a CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY tag", "delta", "tag"),
    (
        "SELECT a.id, t.tag, t.place FROM a, UNNEST(a.tags) WITH ORDINALITY AS t(tag, place) WHERE t.tag > 1 OR a.x = 1",
        "delta",
        "id,place",
    ),
    (
        "SELECT a.id, t.tag, t.place FROM a LEFT JOIN UNNEST(a.tags) WITH ORDINALITY AS t(tag, place) ON TRUE",
        "delta",
        "id,place",
    ),
    (
        "SELECT b.id, t.tag, COUNT(*) AS n FROM b JOIN a ON a.k = b.k CROSS JOIN UNNEST(a.tags) AS t(tag) JOIN b AS d ON d.id = t.tag GROUP BY b.id, t.tag",
        "delta",
        "id,tag",
    ),
    (
        "SELECT s, tag FROM (SELECT s, tag, COUNT(*) AS n, ROW_NUMBER() OVER (PARTITION BY s ORDER BY COUNT(*) DESC) AS rn FROM a CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY s, tag) AS u WHERE rn = 1",
        "group",
        "s",
    ),
    (
        "SELECT u.s, u.tag FROM (SELECT s, tag, ROW_NUMBER() OVER (PARTITION BY s ORDER BY n DESC) AS rn FROM (SELECT s, tag, COUNT(*) AS n FROM a CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY s, tag) AS g) AS u WHERE rn = 1",
        "group",
        "s",
    ),
    (
        "SELECT t.tag, COUNT(b.id) AS n FROM a CROSS JOIN UNNEST(a.tags) AS t(tag) LEFT JOIN b ON b.y = t.tag GROUP BY t.tag",
        "delta",
        "tag",
    ),
    # over groups
    (
        "SELECT k, COUNT(*) AS n, RANK() OVER (PARTITION BY MAX(x) ORDER BY COUNT(*) DESC) AS r FROM a GROUP BY k",
        "group",
        "k",
    ),
    (
        "SELECT a.s, a.k, SUM(x) AS x, SUM(SUM(x)) OVER (PARTITION BY s) AS total, ROW_NUMBER() OVER (PARTITION BY s ORDER BY COUNT(*)) AS n FROM a GROUP BY a.s, a.k",
        "group",
        "s,k",
    ),
    (
        "SELECT k, SUM(x) AS s FROM a GROUP BY k HAVING SUM(x) > (SELECT AVG(CAST(y AS DOUBLE)) FROM b)",
        "delta",
        "k",
    ),
    (
        "SELECT k + 1 AS k, COUNT(*) AS n FROM a GROUP BY k + 1 HAVING EXISTS (SELECT 1 FROM b WHERE b.k > 1) AND COUNT(*) > 1",
        "delta",
        "k",
    ),
    (
        "SELECT a.k, COUNT(*) AS n, (SELECT MAX(y) FROM b WHERE b.k = a.k) AS m FROM a GROUP BY a.k",
        "group",
        "k",
    ),
    ("SELECT DISTINCT COUNT(*) AS n, MAX(x) AS m FROM a GROUP BY k", "group", "n,m"),
    # intermediates
    (
        "SELECT t.k, MAX(t.n) AS m FROM (SELECT k, x, COUNT(*) AS n, SUM(id) AS unused FROM a GROUP BY k, x) AS t GROUP BY t.k",
        "group",
        "k",
    ),
    (
        "SELECT a.id, t.n FROM a JOIN (SELECT k, COUNT(*) AS n, SUM(y) AS unused FROM b GROUP BY k) AS t ON t.k = a.k",
        "delta",
        "id",
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
    assert bool(program.warnings) == (level == "full") or "without an equality" in str(program.warnings)
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
