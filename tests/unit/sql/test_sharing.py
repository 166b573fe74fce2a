"""Subqueries that several views have in common are kept once; what only looks like one is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import BIGINT, STRING, TIMESTAMP_LTZ
from springline.language import language
from springline.runtime.embedded.changing import ViewDefinition, compile_all
from springline.runtime.embedded.sharing import Form, hidden_inputs, readers_of, shared_forms, spoken_of
from springline.runtime.embedded.sizes import spread
from springline.sql import Functions, compile_view
from springline.sql.sharing import is_shared
from springline.testing.sql_harness import SqlHarness

ORDERS = TableSchema(
    "shop.orders",
    (
        Column("id", BIGINT, False),
        Column("customer", BIGINT),
        Column("amount", BIGINT),
        Column("at", TIMESTAMP_LTZ),
    ),
    ("id",),
)
CUSTOMERS = TableSchema(
    "shop.customers", (Column("id", BIGINT, False), Column("name", STRING), Column("boss", BIGINT)), ("id",)
)
CLICKS = TableSchema("web.clicks", (Column("customer", BIGINT), Column("page", STRING)), ())
STREAM = replace(CLICKS, name="web.stream", kept=False)
TIMED = replace(ORDERS, name="shop.timed", event_time=EventTime("at"))
TABLES = {one.name: one for one in (ORDERS, CUSTOMERS, CLICKS, STREAM, TIMED)}

TOTALS = "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM shop.orders GROUP BY customer"
NAMES = f"SELECT c.id, c.name, t.total FROM shop.customers c JOIN ({TOTALS}) AS t ON t.customer = c.id"
LARGE = f"SELECT customer, n FROM ({TOTALS}) AS x WHERE total > 10"


def forms(*texts: str, functions: Functions | None = None) -> dict[str, Form]:
    """The views ``v0``, ``v1`` … and what they share."""
    definitions = [ViewDefinition(f"v{number}", text) for number, text in enumerate(texts)]
    compiler = language(functions).compile_view
    compiled = compile_all(definitions, TABLES, compiler)
    assert not compiled.broken, compiled.broken
    return shared_forms(definitions, compiled.programs, TABLES, compiler)


def read(made: dict[str, Form]) -> list[int]:
    """How many hidden views each view reads directly."""
    return [sum(map(is_shared, form.program.inputs)) for name, form in made.items() if not is_shared(name)]


def hidden(made: dict[str, Form]) -> list[str]:
    return [name for name in made if is_shared(name)]


SAME = {
    "written alike": (NAMES, LARGE),
    "spaces, comments and keywords in small letters": (
        NAMES,
        "SELECT x.n, x.customer FROM (select customer, COUNT(*) as n,\n SUM(amount) AS total -- all\n from shop.orders"
        " group by customer) x",
    ),
    "comments at the end of WITH queries": (
        f"WITH t AS ({TOTALS} -- once\n), u AS (SELECT DISTINCT n FROM t -- more\n) SELECT n FROM u WHERE n > 1",
        f"SELECT COUNT(*) AS k FROM (SELECT DISTINCT n FROM ({TOTALS}) AS t) AS q",
    ),
    "a WITH query in a WITH query": (
        f"WITH t AS ({TOTALS}), u AS (WITH w AS (SELECT n FROM t WHERE n > 1) SELECT DISTINCT n FROM w) SELECT n FROM u WHERE n > 2",
        f"WITH u AS (WITH t AS ({TOTALS}), w AS (SELECT n FROM t WHERE n > 1) SELECT DISTINCT n FROM w) SELECT n FROM u WHERE n > 3",
    ),
    "a WITH query": (NAMES, f"WITH t AS ({TOTALS}) SELECT customer, n FROM t WHERE n > 1"),
    "a WITH query that reads another": (
        f"WITH t AS ({TOTALS}), u AS (SELECT DISTINCT n FROM t) SELECT n FROM u WHERE n > 1",
        f"SELECT n + 1 AS m, COUNT(*) AS k FROM (SELECT DISTINCT n FROM ({TOTALS}) AS t) AS q GROUP BY n + 1",
    ),
    "another name of the table": (
        "SELECT customer, n FROM (SELECT customer, COUNT(*) AS n FROM shop.orders GROUP BY customer) AS t WHERE n > 1",
        "SELECT customer, n FROM (SELECT o.customer, COUNT(*) AS n FROM orders AS o GROUP BY o.customer) AS u WHERE n > 2",
    ),
    "within a subquery of WHERE": (
        NAMES,
        f"SELECT id FROM shop.customers WHERE id IN (SELECT t.customer FROM ({TOTALS}) AS t WHERE t.n > 2)",
    ),
    "one row for ever": (
        "SELECT o.id, o.amount - t.most AS below FROM shop.orders o CROSS JOIN (SELECT MAX(amount) AS most FROM shop.orders) AS t",
        "SELECT c.id, t.most FROM shop.customers c CROSS JOIN (SELECT MAX(amount) AS most FROM shop.orders) AS t",
    ),
    "a top-N": (
        "SELECT c.id, t.id AS latest FROM shop.customers c JOIN (SELECT id, customer FROM (SELECT id, customer, ROW_NUMBER() OVER "
        "(PARTITION BY customer ORDER BY amount DESC) AS n FROM shop.orders) AS r WHERE n = 1) AS t ON t.customer = c.id",
        "SELECT COUNT(*) AS n FROM (SELECT id, customer FROM (SELECT id, customer, ROW_NUMBER() OVER "
        "(PARTITION BY customer ORDER BY amount DESC) AS n FROM shop.orders) AS r WHERE n = 1) AS t",
    ),
    "a set operation": (
        "SELECT k, COUNT(*) AS n FROM (SELECT id AS k FROM shop.orders EXCEPT SELECT id AS k FROM shop.customers) AS t GROUP BY k",
        "SELECT k FROM (SELECT id AS k FROM shop.orders EXCEPT SELECT id AS k FROM shop.customers) AS u WHERE k > 3",
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_shared(case: str) -> None:
    first, second = SAME[case]
    made = forms(first, second)
    assert read(made) == [1, 1], case
    assert len(hidden(made)) == 1
    for name, form in made.items():
        if not is_shared(name):
            private = compile_view(name, form.definition.text, TABLES)
            assert form.program.schema == private.schema, "the same columns and key as without sharing"
            assert form.program.batch == private.batch


NOT_THE_SAME = {
    "another WHERE": TOTALS.replace("GROUP", "WHERE amount > 5 GROUP"),
    "another literal": TOTALS.replace("SUM(amount)", "SUM(amount + 1)"),
    "another aggregate": TOTALS.replace("SUM", "MAX"),
    "FILTER": TOTALS.replace("SUM(amount)", "SUM(amount) FILTER (WHERE id > 1)"),
    "DISTINCT in an aggregate": TOTALS.replace("SUM(", "SUM(DISTINCT "),
    "HAVING": TOTALS + " HAVING COUNT(*) > 1",
    "another group": TOTALS.replace("GROUP BY customer", "GROUP BY customer, id"),
    "other names of the columns": TOTALS.replace("AS n", "AS m").replace("total", "sum_of"),
    "columns in another order": "SELECT customer, SUM(amount) AS total, COUNT(*) AS n FROM shop.orders GROUP BY customer",
    "another table": TOTALS.replace("shop.orders", "shop.timed"),
}


@pytest.mark.parametrize("case", NOT_THE_SAME)
def test_a_query_that_differs_is_not_shared(case: str) -> None:
    other = f"SELECT COUNT(*) AS k FROM ({NOT_THE_SAME[case]}) AS t"
    assert read(forms(LARGE, other)) == [0, 0]


NOT_SHARED = {
    "a plain filter and projection": "SELECT id, amount FROM shop.orders WHERE amount > 3",
    "a plain join": "SELECT o.id, c.name AS amount FROM shop.orders o JOIN shop.customers c ON c.id = o.customer",
    "no key": "SELECT id FROM shop.orders UNION ALL SELECT id FROM shop.customers",
    "a stream, of which a view has the rows since it is there": "SELECT customer AS id, COUNT(*) AS n FROM web.stream GROUP BY customer",
    "windows over event time": (
        "SELECT window_start AS id, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE shop.timed, DESCRIPTOR(at), INTERVAL '1' HOUR)) "
        "GROUP BY window_start, window_end"
    ),
    "a Python function": "SELECT shout(name) AS id, COUNT(*) AS n FROM shop.customers GROUP BY shout(name)",
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_SHARED)
def test_what_costs_nothing_or_depends_on_more_than_rows_is_not_shared(case: str) -> None:
    functions = Functions()
    functions.add_scalar("shout", str.upper, ["STRING"], "STRING")
    inner = NOT_SHARED[case]
    texts = [f"SELECT COUNT(*) AS k FROM ({inner}) AS t", f"SELECT MAX(id) AS k FROM ({inner}) AS t"]
    assert read(forms(*texts, functions=functions)) == [0, 0]


def test_a_ranking_that_is_filtered_outside_stays_one_with_its_filter() -> None:
    ranked = (
        "SELECT id, customer, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY amount) AS n FROM shop.orders"
    )
    one, two = (f"SELECT t.customer, t.n, t.id FROM ({ranked}) AS t WHERE t.n <= {most}" for most in (1, 3))
    assert read(forms(one, two)) == [0, 0]


def test_views_with_windows_that_close_read_nothing_shared() -> None:
    closing = (
        f"SELECT w.window_start, w.window_end, COUNT(t.n) AS k FROM TABLE(TUMBLE(TABLE shop.timed, DESCRIPTOR(at), "
        f"INTERVAL '1' HOUR)) AS w JOIN ({TOTALS}) AS t ON t.customer = w.customer GROUP BY w.window_start, w.window_end"
    )
    assert read(forms(closing, LARGE)) == [0, 0]
    assert read(forms(closing, LARGE, NAMES)) == [0, 1, 1]


def test_a_subquery_twice_in_one_view_is_its_own() -> None:
    twice = f"SELECT a.customer, b.n FROM ({TOTALS}) AS a JOIN ({TOTALS}) AS b ON b.customer = a.customer"
    assert read(forms(twice)) == [0]
    assert read(forms(twice, LARGE)) == [1, 1]


def test_a_shared_subquery_reads_a_shared_subquery() -> None:
    counts = f"SELECT n, COUNT(*) AS k FROM ({TOTALS}) AS t GROUP BY n"
    one, two = (f"SELECT n, k FROM ({counts}) AS u WHERE k > {least}" for least in (1, 2))
    made = forms(one, two)
    assert (read(made), len(hidden(made))) == ([1, 1], 1), "what only the shared one reads is its own"
    made = forms(one, two, LARGE)
    assert (read(made), len(hidden(made))) == ([1, 1, 1], 2)
    inputs = {name: form.program.inputs for name, form in made.items()}
    assert len(hidden_inputs("v0", lambda name: inputs.get(name, ()))) == 2
    assert sorted(readers_of(name, inputs) for name in hidden(made)) == [["v0", "v1"], ["v0", "v1", "v2"]]
    for number, name in enumerate(made):
        assert set(filter(is_shared, inputs[name])) <= set(list(made)[:number]), (
            "each comes before its readers"
        )


def test_a_view_between() -> None:
    """A shared subquery may read a view, which comes first."""
    counts = "SELECT total, COUNT(*) AS k FROM v0 GROUP BY total"
    some, most = f"SELECT total FROM ({counts}) AS t WHERE k > 1", f"SELECT MAX(k) AS m FROM ({counts}) AS t"
    made = forms(NAMES, some, most)
    assert read(made) == [0, 1, 1]
    names = list(made)
    assert names.index("v0") < names.index(hidden(made)[0]) < names.index("v1")


def rows_of(harness: SqlHarness, view: str) -> list[tuple[object, ...]]:
    return sorted(harness.rows(view), key=repr)


def test_rows_and_dead_letters_are_those_without_sharing() -> None:
    failing = "SELECT customer, SUM(100 / amount) AS shares FROM shop.orders GROUP BY customer"
    views = {
        "plain": f"SELECT customer, shares FROM ({failing}) AS t WHERE shares > 1",
        "again": f"SELECT c.id, 7 / (t.shares - 2) AS q FROM shop.customers c JOIN ({failing}) AS t ON t.customer = c.id",
        "twice": f"SELECT o.id, 100 / o.amount AS s, t.shares FROM shop.orders o JOIN ({failing}) AS t ON t.customer = o.customer",
    }
    shared, private = SqlHarness([ORDERS, CUSTOMERS]), SqlHarness([ORDERS, CUSTOMERS])
    shared.add_sharing_views(views)
    for name, text in views.items():
        private.add_view(name, text)
    assert sum(map(is_shared, shared.views)) == 1
    people = {"shop.customers": [((1, "a", None), 1), ((2, "b", 1), 1)]}
    ticks = [
        people,
        {"shop.orders": [((1, 1, 50, 0), 1), ((2, 1, 0, 0), 1), ((3, 2, 0, 0), 1), ((4, 2, 10, 0), 1)]},
        {"shop.orders": [((2, 1, 0, 0), -1), ((2, 1, 25, 0), 1), ((1, 1, 50, 0), -1)]},
        {"shop.orders": [((3, 2, 0, 0), -1)]},
    ]
    seen = 0
    for tick in ticks:
        shared.tick(tick)
        private.tick(tick)
        for name in views:
            assert rows_of(shared, name) == rows_of(private, name), name
            assert shared.dead_letters(name) == private.dead_letters(name), name
            assert shared.left_out(name) == private.left_out(name), name
            seen += len(private.dead_letters(name))
    assert seen > 6


def test_errors_keep_their_place_in_the_users_text() -> None:
    wrong = LARGE.replace("total > 10", "totl > 10")
    definitions = [ViewDefinition("a", LARGE), ViewDefinition("b", wrong)]
    compiled = compile_all(definitions, TABLES, language().compile_view)
    error = compiled.broken["b"]
    assert (error.line, error.column) == (1, wrong.index("totl") + 1)
    made = shared_forms(definitions, compiled.programs, TABLES, language().compile_view)
    assert list(made) == ["a"]


def test_what_is_said_of_a_hidden_view_is_said_of_its_reader() -> None:
    [name] = hidden(forms(NAMES, LARGE))
    assert spoken_of(f"View {name!r} cannot be maintained", "v0") == "View 'v0' cannot be maintained"


def test_the_size_of_what_is_shared_is_counted_once() -> None:
    inputs: dict[str, Sequence[str]] = {
        "t": (), "s:shared:1": ("t",), "s:shared:2": ("s:shared:1",), "a": ("s:shared:2",), "b": ("s:shared:2", "t"), "c": ("s:shared:1",)
    }  # fmt: skip
    sizes = {"t": 100, "s:shared:1": 31, "s:shared:2": 9, "a": 1, "b": 2, "c": 3}
    found = spread(sizes, inputs)
    assert set(found) == {"t", "a", "b", "c"}
    assert sum(found.values()) == sum(sizes.values())
    assert (found["a"], found["b"], found["c"], found["t"]) == (1 + 11 + 5, 2 + 10 + 4, 3 + 10, 100)
