"""When evaluating an expression fails, and when it is not evaluated."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, DOUBLE, INT, SMALLINT, STRING, Stored, decimal
from springline.sql import compile_view, explain
from springline.sql.dead_letters import count_table, letters_table
from springline.testing.sql_harness import SqlHarness

TABLE = TableSchema(
    "s.t",
    (
        Column("id", INT, nullable=False),
        Column("a", INT),
        Column("b", INT),
        Column("x", BIGINT),
        Column("d", decimal(8, 2)),
        Column("f", DOUBLE),
        Column("s", STRING),
        Column("n", SMALLINT, nullable=False),
    ),
    ("id",),
)
COLUMNS = TABLE.names[1:]
ROW: dict[str, Stored] = {"a": 6, "b": 3, "x": 5, "d": 150, "f": 0.5, "s": "12", "n": 2}


def harness(select: str, *rows: dict[str, Stored]) -> SqlHarness:
    """A view over rows that differ from ``ROW``; their ids count from 1."""
    made = SqlHarness([TABLE])
    made.add_view("v", select)
    given = [{**ROW, **row} for row in rows]
    made.tick(
        {
            "s.t": [
                ((number, *(row[name] for name in COLUMNS)), 1) for number, row in enumerate(given, start=1)
            ]
        }
    )
    return made


def left_out(select: str, *rows: dict[str, Stored]) -> list[tuple[int, str]]:
    """(id, reason) of the rows that are left out; the others are in the view, and the batch agrees."""
    made = harness(select, *rows)
    assert sorted(made.rows("v"), key=repr) == sorted(made.batch("v"), key=repr)
    letters = [(int(json.loads(key)["id"]), reason) for _, key, reason in made.dead_letters("v")]
    assert len(made.rows("v")) == len(rows) - len(letters)
    return letters


FAILING: list[tuple[str, dict[str, Stored], str]] = [
    ("a / b", {"b": 0}, "division by zero in a / b"),
    ("a % b", {"b": 0}, "division by zero in a % b"),
    ("MOD(a, b)", {"b": 0}, "division by zero in MOD(a, b)"),
    ("d / b", {"b": 0}, "division by zero in d / b"),
    ("a / d", {"d": 0}, "division by zero in a / d"),
    ("a % d", {"d": 0}, "division by zero in a % d"),
    ("CAST(d AS DECIMAL(30, 2)) / b", {"b": 0}, "division by zero, or arithmetic with infinity, in CAST(d AS DECIMAL(30, 2)) / b"),
    ("a + b", {"a": 2**31 - 1}, "INT overflow in a + b"),
    ("a - b", {"a": -(2**31)}, "INT overflow in a - b"),
    ("x * x", {"x": 2**40}, "BIGINT overflow in x * x"),
    ("-x", {"x": -(2**63)}, "BIGINT overflow in -x"),
    ("ABS(a)", {"a": -(2**31)}, "INT overflow in ABS(a)"),
    ("a / b", {"a": -(2**31), "b": -1}, "INT overflow in a / b"),
    ("n + n", {"n": 2**15 - 1}, "SMALLINT overflow in n + n"),
    ("CAST(s AS INT)", {"s": "x"}, "CAST(s AS INT) failed"),
    ("CAST(s AS INT)", {"s": ""}, "CAST(s AS INT) failed"),
    ("CAST(s AS DATE)", {"s": "2013-02-30"}, "CAST(s AS DATE) failed"),
    ("CAST(s AS DOUBLE)", {"s": "1,5"}, "CAST(s AS DOUBLE) failed"),
    ("CAST(x AS INT)", {"x": 2**31}, "CAST(x AS INT) failed"),
    ("CAST(x AS INT) + 1 - 1", {"x": 2**31}, "CAST(x AS INT) failed"),
    ("CAST(f AS BIGINT)", {"f": "NaN"}, "CAST(f AS BIGINT) failed"),
    ("CAST(d AS DECIMAL(3, 2))", {"d": 1000}, "CAST(d AS DECIMAL(3, 2)) failed"),
    ("d * 2", {"d": "NaN"}, "NaN in arithmetic (d)"),
    ("ROUND(d, 1)", {"d": "NaN"}, "NaN in arithmetic (d)"),
    ("UPPER(CAST(CAST(s AS INT) AS STRING))", {"s": "x"}, "CAST(s AS INT) failed"),
    ("COALESCE(CAST(s AS INT), 0)", {"s": "x"}, "CAST(s AS INT) failed"),
    ("CAST(s AS INT) IS NULL", {"s": "x"}, "CAST(s AS INT) failed"),
    ("TRY_CAST(CAST(CAST(s AS INT) AS STRING) AS INT)", {"s": "x"}, "CAST(s AS INT) failed"),
    ("CASE WHEN a / b > 1 THEN 1 END", {"b": 0}, "division by zero in a / b"),
    ("CASE a / b WHEN 2 THEN 1 END", {"b": 0}, "division by zero in a / b"),
    ("CASE WHEN b = 0 THEN 1 / b END", {"b": 0}, "division by zero in 1 / b"),
    ("CASE WHEN b > 0 THEN 1 ELSE 1 / b END", {"b": 0}, "division by zero in 1 / b"),
    ("NULLIF(a / b, 1)", {"b": 0}, "division by zero in a / b"),
    ("a > 0 AND a / b > 1", {"b": 0}, "division by zero in a / b"),
    ("a < 0 OR a / b > 1", {"b": 0}, "division by zero in a / b"),
    ("CAST(NULL AS BOOLEAN) AND a / b > 1", {"b": 0}, "division by zero in a / b"),
    ("a BETWEEN 0 AND a / b", {"b": 0}, "division by zero in a / b"),
    ("a IN (1, a / b)", {"b": 0}, "division by zero in a / b"),
    ("GREATEST(1, a / b)", {"b": 0}, "division by zero in a / b"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "row", "reason"), FAILING)
def test_a_row_on_which_it_fails_is_left_out(expression: str, row: dict[str, Stored], reason: str) -> None:
    assert left_out(f"SELECT id, {expression} AS e FROM t", {}, row) == [(2, reason)]


SAFE: list[tuple[str, dict[str, Stored]]] = [
    ("a / b", {"a": None, "b": 0}),
    ("a % b", {"a": None, "b": 0}),
    ("d / b", {"d": None, "b": 0}),
    ("a / b", {"b": None}),
    ("f / b", {"b": 0}),
    ("CASE WHEN b <> 0 THEN a / b END", {"b": 0}),
    ("CASE WHEN b = 0 THEN NULL ELSE a / b END", {"b": 0}),
    ("CASE WHEN b IS NULL THEN 1 WHEN b = 0 THEN 2 WHEN a / b > 1 THEN 3 END", {"b": 0}),
    ("CASE b WHEN 0 THEN 0 ELSE a / b END", {"b": 0}),
    ("IF(b <> 0, a / b, 0)", {"b": 0}),
    ("COALESCE(s, CAST(a / b AS STRING))", {"b": 0}),
    ("IFNULL(a, a / b)", {"b": 0}),
    ("a / NULLIF(b, 0)", {"b": 0}),
    ("b <> 0 AND a / b > 1", {"b": 0}),
    ("b = 0 OR a / b > 1", {"b": 0}),
    ("a BETWEEN 7 AND a / b", {"b": 0}),
    ("TRY_CAST(s AS INT)", {"s": "x"}),
    ("TO_DATE(s)", {"s": "x"}),
    ("CAST(s AS INT)", {"s": None}),
    ("CAST(f AS DECIMAL(8, 2))", {"f": None}),
    ("d > 1.505", {"d": "NaN"}),
    ("COALESCE(d, 0)", {"d": "NaN"}),
    ("CAST(d AS STRING)", {"d": "NaN"}),
]


@pytest.mark.parametrize(("expression", "row"), SAFE)
def test_what_is_not_evaluated_does_not_fail(expression: str, row: dict[str, Stored]) -> None:
    assert left_out(f"SELECT id, {expression} AS e FROM t", {}, row) == []


WHERE: list[tuple[str, list[int]]] = [
    ("a / b > 1", [2]),
    ("b <> 0 AND a / b > 1", []),
    ("a / b > 1 AND b <> 0", [2]),
    ("COALESCE(CAST(s AS INT), 1) = 1", [3]),
    ("CAST(s AS INT) IS NULL OR a / b > 1", [2, 3]),
    ("NOT (a / b = 1)", [2]),
    ("a < 0 AND a / b > 1", []),
]


@pytest.mark.parametrize(("condition", "failing"), WHERE)
def test_conditions_are_evaluated_from_the_left(condition: str, failing: Sequence[int]) -> None:
    made = harness(f"SELECT id FROM t WHERE {condition}", {}, {"b": 0}, {"s": "x", "b": 1})
    assert [json.loads(key)["id"] for _, key, _ in made.dead_letters("v")] == list(failing)
    assert not {row[0] for row in made.rows("v")} & set(failing)
    assert sorted(made.rows("v")) == sorted(made.batch("v"))


def test_the_first_reason_is_told() -> None:
    letters = left_out("SELECT id, CAST(s AS INT) AS i, a / b AS q FROM t", {"s": "x", "b": 0})
    assert letters == [(1, "CAST(s AS INT) failed")]


@pytest.mark.parametrize(
    "select",
    [
        "SELECT id, UPPER(s) AS s, a, f * 2 AS f FROM t WHERE a > 1",
        "SELECT a, SUM(b) AS s, AVG(f) AS f, COUNT(DISTINCT s) AS n, SUM(d) AS d FROM t GROUP BY a",
        "SELECT id, TRY_CAST(s AS INT) AS i, a / 2 AS h FROM t",
    ],
)
def test_what_cannot_fail_costs_nothing(select: str) -> None:
    program = compile_view("v", select, {TABLE.name: TABLE})
    assert letters_table("v") not in explain(program)
    assert count_table("v") not in explain(program)


def test_a_dead_letter_shows_the_row() -> None:
    made = harness("SELECT id, a / b AS q FROM t", {"b": 0, "d": "NaN", "s": "x" * 5_000})
    [(row,)] = made.connection.execute(f'SELECT row FROM "{letters_table("v")}"').fetchall()
    shown = json.loads(row)
    assert (shown["id"], shown["b"], shown["d"], shown["f"], shown["n"]) == (1, 0, "NaN", 0.5, 2)
    assert shown["s"] == "x" * 1_000 + "…"


def test_a_derived_table_reports_its_own_rows_once() -> None:
    made = harness(
        "SELECT id, q + 1 AS r FROM (SELECT id, a / b AS q FROM t) AS inner_ WHERE q > 0", {}, {"b": 0}
    )
    assert made.dead_letters("v") == [("row of s.t", '{"id": 2}', "division by zero in a / b")]
    assert made.left_out("v") == 1


def test_a_self_join_names_both_rows() -> None:
    made = harness(
        "SELECT o.id, p.id AS other, o.a / p.b AS q FROM t AS o JOIN t AS p ON p.n = o.n", {"b": 0}
    )
    assert made.dead_letters("v") == [
        ("join of s.t, s.t", '{"t.id": 1, "t#2.id": 1}', "division by zero in o.a / p.b")
    ]


NASTY: tuple[Stored, ...] = (
    None,
    "",
    "x",
    "NaN",
    "Infinity",
    -1,
    0,
    2**62,
    1e308,
    float("inf"),
    b"\xff",
    "[",
    "$.",
)


def test_no_function_raises() -> None:
    """Whatever it is given, a function gives a value or NULL: an exception would stop the view."""
    made = SqlHarness([TABLE])
    found = made.connection.execute(
        "SELECT DISTINCT name, narg FROM pragma_function_list WHERE name GLOB 'sl_*' AND type = 's' AND name <> 'sl_not_unique'"
    ).fetchall()
    assert len(found) > 50
    # These read what only our own statements write; those two could ask for all memory.
    others = {"sl_entry", "sl_entry_value", "sl_variance", "sl_repeat", "sl_pad"}
    for name, count in found:
        if name in others:
            continue
        for number in (1, 2, 3, 4) if count < 0 else (count,):
            for start in range(len(NASTY)):
                arguments = [NASTY[(start + 5 * index) % len(NASTY)] for index in range(number)]
                made.connection.execute(f"SELECT {name}({', '.join('?' * number)})", arguments).fetchall()
