"""Views' texts as Flink is given them: names, what fails, orders that tie."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import parse_type
from springline.errors import SqlError
from springline.runtime.flink.positions import Edits, parsed, span
from springline.runtime.flink.reading import read
from springline.runtime.flink.rewriting import rewritten
from springline.sql import Functions


def table(name: str, columns: str, key: str = "id") -> TableSchema:
    made = [one.strip().split(" ", 1) for one in columns.split(",")]
    return TableSchema(
        name,
        tuple(Column(one, parse_type(kind), nullable=one not in key.split()) for one, kind in made),
        tuple(key.split()),
    )


TABLES = [
    table("air.flights", "id INT, origin STRING, seats INT, sold INT, miles BIGINT, price DOUBLE"),
    table("air.bookings", "id INT, flight INT, code STRING"),
]


def flink(text: str, tables: Sequence[TableSchema] = TABLES, functions: Functions | None = None) -> str:
    reading = read(text, {one.name: one for one in tables}, functions)
    return " ".join(rewritten(reading, lambda schema: schema.name).split())


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("SELECT id FROM flights", "SELECT `id` FROM `air.flights` AS `flights`"),
        ("SELECT f.id FROM air.flights f", "SELECT `f`.`id` FROM `air.flights` `f`"),
        ("SELECT air.flights.id FROM air.flights", "SELECT `flights`.`id` FROM `air.flights` AS `flights`"),
        ("SELECT `id` AS `a b` FROM `air`.`flights`", "SELECT `id` AS `a b` FROM `air.flights` AS `flights`"),
        (
            "WITH w AS (SELECT id FROM flights) SELECT w.id FROM w",
            "WITH `w` AS (SELECT `id` FROM `air.flights` AS `flights`) SELECT `w`.`id` FROM `w`",
        ),
        (
            "WITH w AS (SELECT id FROM flights), unread AS (SELECT id FROM w) SELECT id FROM bookings",
            "WITH `w` AS (SELECT `id` FROM `air.flights` AS `flights`), `unread` AS (SELECT `id` FROM `w`)"
            " SELECT `id` FROM `air.bookings` AS `bookings`",
        ),
        (
            "SELECT 'flights' AS id FROM flights -- flights",
            "SELECT 'flights' AS `id` FROM `air.flights` AS `flights` -- flights",
        ),
        (
            "SELECT TIMESTAMPDIFF(DAY, DATE '2026-01-01', DATE '2026-01-02') AS `day` FROM flights",
            "SELECT TIMESTAMPDIFF(DAY, DATE '2026-01-01', DATE '2026-01-02') AS `day` FROM `air.flights` AS `flights`",
        ),
    ],
)
def test_names_are_edited_where_they_stand(written: str, given: str) -> None:
    assert flink(written) == given


@pytest.mark.parametrize(
    ("expression", "given", "condition"),
    [
        (
            "sold / seats",
            "`sold` / NULLIF(`seats`, 0)",
            "((`seats`) = 0 AND (`sold`) IS NOT NULL) IS NOT TRUE",
        ),
        ("sold / 2", "`sold` / 2", None),
        ("price / seats", "`price` / `seats`", None),
        ("MOD(7, seats)", "MOD(7, NULLIF(`seats`, 0))", "((`seats`) = 0) IS NOT TRUE"),
        (
            "CAST(origin AS INT)",
            "TRY_CAST(`origin` AS INT)",
            "((`origin`) IS NULL OR TRY_CAST(`origin` AS INT) IS NOT NULL)",
        ),
        ("CAST(seats AS STRING)", "CAST(`seats` AS STRING)", None),
        ("TRY_CAST(origin AS INT)", "TRY_CAST(`origin` AS INT)", None),
        ("CAST(1.5 AS DECIMAL(8, 2))", "CAST(1.5 AS DECIMAL(8, 2))", None),
        ("CAST((-5) AS SMALLINT)", "CAST((-5) AS SMALLINT)", None),
        ("CAST(NULL AS DATE)", "CAST(NULL AS DATE)", None),
        (
            "CAST(99.999 AS DECIMAL(4, 2))",
            "TRY_CAST(99.999 AS DECIMAL(4, 2))",
            "((99.999) IS NULL OR TRY_CAST(99.999 AS DECIMAL(4, 2)) IS NOT NULL)",
        ),
        ("GREATEST(seats, sold)", "GREATEST(`seats`, `sold`)", None),
        ("LEAST(seats, miles)", "LEAST(CAST(`seats` AS BIGINT), `miles`)", None),
        ("GREATEST(CAST(NULL AS INT), price)", "GREATEST(CAST(CAST(NULL AS INT) AS DOUBLE), `price`)", None),
        (
            "GREATEST(CAST(1.5 AS DECIMAL(8, 2)), CAST(NULL AS DECIMAL(8, 2)))",
            "GREATEST(CAST(CAST(1.5 AS DECIMAL(8, 2)) AS DECIMAL(8, 2)), CAST(CAST(NULL AS DECIMAL(8, 2)) AS DECIMAL(8, 2)))",
            None,
        ),
        ("POSITION('a' IN origin)", "POSITION('a' IN `origin`)", None),
        ("INSTR(origin, 'a', 1, 2)", "INSTR(`origin`, 'a', 1, 2)", None),
        ("SHA2(origin, 256)", "SHA2(`origin`, 256)", None),
        ("ENCODE(origin, 'UTF-8')", "ENCODE(`origin`, 'UTF-8')", None),
        (
            "CAST(miles AS INT)",
            "TRY_CAST(`miles` AS INT)",
            "((`miles`) > -2147483649 AND (`miles`) < 2147483648) IS NOT FALSE",
        ),
        (
            "seats + sold",
            "`seats` + `sold`",
            "((CAST(`seats` AS BIGINT) + CAST(`sold` AS BIGINT)) BETWEEN -2147483648 AND 2147483647) IS NOT FALSE",
        ),
        (
            "CASE WHEN seats <> 0 THEN sold / seats END",
            "CASE WHEN `seats` <> 0 THEN `sold` / NULLIF(`seats`, 0) END",
            "(CASE WHEN `seats` <> 0 THEN ((`seats`) = 0 AND (`sold`) IS NOT NULL) IS NOT TRUE ELSE TRUE END)",
        ),
        (
            "COALESCE(seats, CAST(origin AS INT))",
            "COALESCE(`seats`, TRY_CAST(`origin` AS INT))",
            "((`seats`) IS NOT NULL OR ((`origin`) IS NULL OR TRY_CAST(`origin` AS INT) IS NOT NULL))",
        ),
    ],
)
def test_what_can_fail_is_null_and_leaves_its_row_out(
    expression: str, given: str, condition: str | None
) -> None:
    where = "" if condition is None else f" WHERE {condition}"
    # What overflows for one pair of values only is not asked for.
    made = flink(f"SELECT id, {expression} AS x FROM flights")
    assert made.startswith(f"SELECT `id`, {given} AS `x` FROM `air.flights` AS `flights`")
    assert made.endswith(where)
    assert ("WHERE" in made) == (condition is not None)


def test_a_condition_joins_the_ones_that_are_written() -> None:
    made = flink("SELECT id FROM flights WHERE origin = 'A' OR sold / seats > 1")
    assert made.endswith(
        "WHERE (`origin` = 'A' OR `sold` / NULLIF(`seats`, 0) > 1)"
        " AND ((`origin` = 'A') IS TRUE OR ((`seats`) = 0 AND (`sold`) IS NOT NULL) IS NOT TRUE)"
    )


def test_an_argument_of_an_aggregate_leaves_its_row_out_and_a_group_its_group() -> None:
    made = flink(
        "SELECT origin, SUM(sold / seats) AS load, 10 / COUNT(*) AS share FROM flights GROUP BY origin"
    )
    assert made == (
        "SELECT `origin`, SUM(CAST(`sold` / NULLIF(`seats`, 0) AS BIGINT)) AS `load`, 10 / NULLIF(COUNT(*), 0) AS `share`"
        " FROM `air.flights` AS `flights` WHERE ((`seats`) = 0 AND (`sold`) IS NOT NULL) IS NOT TRUE GROUP BY `origin`"
        " HAVING ((COUNT(*)) = 0) IS NOT TRUE"
    )


def test_a_key_of_a_group_is_guarded_once_for_its_rows() -> None:
    made = flink("SELECT sold / seats AS load, COUNT(*) AS n FROM flights GROUP BY sold / seats")
    assert "HAVING" not in made
    assert made.count("IS NOT TRUE") == 1


def test_the_condition_of_a_left_join_leaves_out_its_row_or_its_pair() -> None:
    alone = flink(
        "SELECT b.id, f.id AS flight FROM bookings AS b LEFT JOIN flights AS f ON f.id = CAST(b.code AS INT)"
    )
    assert alone.endswith("WHERE ((`b`.`code`) IS NULL OR TRY_CAST(`b`.`code` AS INT) IS NOT NULL)")
    pair = flink(
        "SELECT b.id, f.id AS flight FROM bookings AS b LEFT JOIN flights AS f ON f.id = b.flight AND 7 / f.seats = b.id"
    )
    assert pair.endswith(
        "ON (`f`.`id` = `b`.`flight` AND 7 / NULLIF(`f`.`seats`, 0) = `b`.`id`) AND ((`f`.`seats`) = 0) IS NOT TRUE"
    )


def test_a_guard_within_a_subquery_stays_in_it() -> None:
    made = flink("SELECT id FROM flights WHERE id IN (SELECT CAST(code AS INT) AS x FROM bookings)")
    assert made.endswith(
        "IN (SELECT TRY_CAST(`code` AS INT) AS `x` FROM `air.bookings` AS `bookings`"
        " WHERE ((`code`) IS NULL OR TRY_CAST(`code` AS INT) IS NOT NULL))"
    )


def test_an_order_that_ties_is_completed() -> None:
    best = flink(
        "SELECT origin, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY origin ORDER BY sold DESC) AS n FROM flights) AS t WHERE n = 1"
    )
    assert "ORDER BY `sold` DESC, `id`)" in best
    assert flink("SELECT id, sold FROM flights ORDER BY sold LIMIT 3").endswith(
        "ORDER BY `sold`, `id` LIMIT 3"
    )
    assert flink("SELECT sold, id FROM flights LIMIT 3").endswith(
        "AS `flights` ORDER BY `sold`, `id` LIMIT 3"
    )


def half(value: int) -> int:
    return value // 2


def test_a_python_function_has_one_that_says_whether_it_raises() -> None:
    functions = Functions()
    functions.add_scalar("Half", half, ["INT"], "INT")
    made = flink("SELECT id, HALF(seats) AS x FROM flights", functions=functions)
    assert (
        made
        == "SELECT `id`, `half`(`seats`) AS `x` FROM `air.flights` AS `flights` WHERE (NOT `half_fails`(`seats`))"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "SELECT b.id, f.id AS f FROM bookings AS b FULL JOIN flights AS f ON f.id = CAST(b.code AS INT)",
            "conditions of FULL JOIN that fail",
        ),
        ("SELECT id, DECODE(ENCODE(origin, origin), 'UTF-8') AS x FROM flights", "expressions that fail"),
    ],
)
def test_what_cannot_be_made_safe_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(SqlError, match=f"On Flink there are no {said}") as caught:
        flink(text)
    assert caught.value.line == 1
    assert caught.value.hint


def test_edits_nest_and_one_can_be_left_out() -> None:
    text = "SELECT a / b AS x FROM t"
    edits = Edits(text)
    edits.wrap((11, 12), "NULLIF(", ", 0)", owner=7)
    edits.wrap((7, 12), "(", ")")
    edits.replace((11, 12), "`b`")
    edits.insert(len(text), " WHERE TRUE", (0, len(text)))
    assert edits.render() == "SELECT (a / NULLIF(`b`, 0)) AS x FROM t WHERE TRUE"
    assert edits.render((11, 12), without=7) == "`b`"
    assert edits.render((7, 12)) == "(a / NULLIF(`b`, 0))"


@pytest.mark.parametrize(
    "text",
    ["SELECT (a + 1) * b AS x FROM t", "SELECT CAST(a AS INT) AS x FROM t", "SELECT f(a, (b)) AS x FROM t"],
)
def test_the_place_of_an_expression_is_all_of_its_text(text: str) -> None:
    where = span(parsed(text).expressions[0].this)
    assert where is not None
    assert text[slice(*where)] == text[len("SELECT ") : text.index(" AS x")]


@pytest.mark.parametrize(
    "expression", ["INSTR(origin, 'a', 1, seats)", "SHA2(origin, 100)", "ENCODE(origin, origin)"]
)
def test_a_function_that_may_get_another_constant_is_refused(expression: str) -> None:
    with pytest.raises(SqlError, match="On Flink there are no expressions that fail"):
        flink(f"SELECT id, {expression} AS x FROM flights")
