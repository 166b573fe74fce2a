"""What random queries have found: each of these was wrong once."""

from __future__ import annotations

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import DATE, INT, STRING, TIME, TIMESTAMP
from springline.testing.sql_harness import Row, SqlHarness
from tests.law.check import assert_no_leftovers, assert_views_equal_batch

T = TableSchema(
    "s.t",
    (Column("id", INT, False), Column("n", INT), Column("s", STRING), Column("d", DATE), Column("h", TIME), Column("at", TIMESTAMP)),
    ("id",),
)  # fmt: skip
BAG = TableSchema("s.bag", (Column("k", INT), Column("r", INT)))
HOUR = 3_600_000_000
FOREVER = 2**63 - 1

ROWS: list[Row] = [
    (1, 1, "ab", 15_744, 23 * HOUR, 0),
    (2, 0, "b", FOREVER, 1 * HOUR, HOUR),
    (3, None, None, None, None, None),
    (4, 1, "it's", 0, 12 * HOUR, -1),
]

FOUND: dict[str, tuple[str, list[Row]]] = {
    "NOT LIKE was LIKE": ("SELECT id FROM t WHERE s NOT LIKE 'a%'", [(2,), (4,)]),
    "NOT LIKE with ESCAPE": ("SELECT id FROM t WHERE s NOT LIKE 'a!%' ESCAPE '!'", [(1,), (2,), (4,)]),
    "an amount that is NULL moved nothing": ("SELECT id, TIMESTAMPADD(MINUTE, n, at) AS x FROM t WHERE id = 3 OR n = 0", [(2, HOUR), (3, None)]),
    "an infinite date moved out of its type": ("SELECT id, d + INTERVAL '1' DAY AS x, TIMESTAMPADD(WEEK, 2, d) AS y FROM t WHERE id = 2", [(2, FOREVER, FOREVER)]),
    "parentheses in GROUP BY": ("SELECT (n + 1) AS x, COUNT(*) AS c FROM t GROUP BY (n + 1)", [(2, 2), (1, 1), (None, 1)]),
    "a group that is shown twice": ("SELECT n AS x, n AS y, COUNT(*) AS c FROM t GROUP BY n, n", [(1, 1, 2), (0, 0, 1), (None, None, 1)]),
    "a group that SQLite finds constant": ("SELECT (FALSE AND n = 1) AS x, COUNT(*) AS c FROM t GROUP BY (FALSE AND n = 1)", [(0, 4)]),
    "TRY_CAST of a literal": ("SELECT DISTINCT TRY_CAST('a' AS DATE) AS x, CAST(CAST(NULL AS STRING) AS DATE) AS y FROM t", [(None, None)]),
    "ELT with a NULL that it does not choose": ("SELECT id, ELT(2, s, 'x') AS x FROM t WHERE id = 3", [(3, "x")]),
    "a TIME begins again at midnight": ("SELECT id FROM t WHERE h BETWEEN h + INTERVAL '2' HOUR AND TIME '23:59:59'", [(1,)]),
    "top-N over a key that may be NULL": (
        "SELECT n, c, r FROM (SELECT n, c, ROW_NUMBER() OVER (PARTITION BY c ORDER BY n) AS r FROM v0) AS x WHERE r <= 2",
        [(1, 2, 1), (None, 1, 1), (0, 1, 2)],
    ),
    "a variance beyond its type": ("SELECT VAR_POP(n * 2147483647) AS x, COUNT(*) AS c FROM t", []),
    "a FULL JOIN whose condition fails for a row": (
        "SELECT a.id, b.id AS other FROM t AS a FULL JOIN t AS b ON a.id = b.n AND 1 / a.n > 5",
        [(1, None), (3, None), (4, None), (None, 1), (None, 2), (None, 3), (None, 4)],
    ),
    "a LEFT JOIN of a FULL JOIN of bags": (
        "SELECT x, y, z, COUNT(*) AS c FROM (SELECT a.k AS x, b.k AS y, t.id AS z FROM bag AS a FULL JOIN bag AS b ON b.k = a.r "
        "LEFT JOIN t ON t.id = b.k) AS j GROUP BY x, y, z",
        [(1, 1, 1, 4), (2, 1, 1, 2), (None, 2, 2, 1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_it_stays_right(name: str) -> None:
    text, expected = FOUND[name]
    harness = SqlHarness([T, BAG])
    harness.add_view("v0", "SELECT n, COUNT(*) AS c FROM t GROUP BY n")
    harness.add_view("v", text)
    bags: list[Row] = [(1, 1), (1, 1), (2, 1)]
    for index, row in enumerate(ROWS):
        harness.tick({"s.t": [(row, 1)], "s.bag": [(one, 1) for one in bags[index : index + 1]]})
        assert_views_equal_batch(harness)
    harness.tick({"s.t": [(ROWS[0], -1)]})
    assert_views_equal_batch(harness)
    harness.tick({"s.t": [(ROWS[0], 1)]})
    assert_views_equal_batch(harness)
    assert_no_leftovers(harness)
    assert sorted(harness.rows("v"), key=repr) == sorted(expected, key=repr)
