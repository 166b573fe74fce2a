"""Expressions that fail on some rows: the view is what Python computes from the others, its batch query too, and what is left out
is listed, whatever the ticks.
"""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING, Stored
from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Change, law
from tests.law.check import assert_no_leftovers, assert_views_equal_batch, net, ticks
from tests.law.failing import RISKY, Condition, Failed, Risky, Row, conditions

T = TableSchema(
    "s.t", (Column("id", INT, False), Column("a", INT), Column("b", INT), Column("s", STRING)), ("id",)
)
U = TableSchema("s.u", (Column("id", INT, False), Column("k", INT), Column("n", INT)), ("id",))

NUMBERS = st.sampled_from([0, 0, 1, 2, -3, 2**31 - 1, -(2**31), None])
TEXTS = st.sampled_from(["1", " 2 ", "x", "", "2147483647", None])
ROWS_OF_T = st.tuples(st.integers(1, 4), NUMBERS, NUMBERS, TEXTS)
ROWS_OF_U = st.tuples(st.integers(1, 3), st.sampled_from([0, 1, 2, None]), NUMBERS)


@st.composite
def changelogs(draw: st.DrawFn) -> list[Change]:
    """Rows of both tables that come, change, and go."""
    made: list[Change] = []
    held: dict[tuple[str, Stored], tuple[Stored, ...]] = {}
    for _ in range(draw(st.integers(3, 12))):
        table = draw(st.sampled_from([T, T, U]))
        new: tuple[Stored, ...] = draw(ROWS_OF_T if table is T else ROWS_OF_U)
        old = held.pop((table.name, new[0]), None)
        if old is not None and draw(st.integers(0, 3)) == 0:
            made.append((table.name, old, None))
            continue
        held[table.name, new[0]] = new
        made.append((table.name, old, new))
    return made


def expected(
    rows: list[Row], where: Condition, columns: list[Risky]
) -> tuple[list[tuple[object, ...]], list[int]]:
    """The rows of ``SELECT id, … FROM t WHERE …``, and the ids of those on which it fails."""
    kept: list[tuple[object, ...]] = []
    failing: list[int] = []
    for row in rows:
        try:
            if where.accepts(row):
                kept.append((row["id"], *(one.value(row) for one in columns)))
        except Failed:
            failing.append(int(str(row["id"])))
    return sorted(kept, key=repr), sorted(failing)


CUTS = st.lists(st.integers(1, 4), min_size=1, max_size=8)


COMPUTED_AGAIN = "NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id + 1000 AND u.n > t.id)"
"""True of every row; a query that has it is computed again as a whole."""


@law(400)
@given(changelogs(), CUTS, conditions(RISKY), st.lists(RISKY, min_size=1, max_size=2), st.booleans())
def test_a_view_is_what_is_computed_of_the_rows_that_do_not_fail(
    changes: list[Change], cuts: list[int], where: Condition, columns: list[Risky], whole: bool
) -> None:
    listed = ", ".join(f"{one.sql} AS c{index}" for index, one in enumerate(columns))
    harness = SqlHarness([T, U])
    condition = f"({where.sql}) AND {COMPUTED_AGAIN}" if whole else where.sql
    program = harness.add_view("v", f"SELECT id, {listed} FROM t WHERE {condition}")
    assert any(one.level == "full" for one in program.levels) == whole
    for tick in ticks(changes, cuts):
        harness.tick(net(tick))
        rows: list[Row] = [dict(zip(T.names, row, strict=True)) for row in harness.rows("s.t")]  # type: ignore[misc]
        kept, failing = expected(rows, where, columns)
        assert sorted(harness.rows("v"), key=repr) == kept
        assert sorted(harness.batch("v"), key=repr) == kept
        assert sorted(json.loads(key)["id"] for _, key, _ in harness.dead_letters("v")) == failing
        assert harness.left_out("v") == len(failing)
        assert_no_leftovers(harness)


@st.composite
def views(draw: st.DrawFn) -> str:
    """Expressions that fail in the conditions of joins, in keys and arguments of groups, and above groups."""
    one, two = draw(RISKY).sql, draw(RISKY).sql
    condition = draw(conditions(RISKY)).sql
    residual = draw(
        st.sampled_from(["", f" AND {condition}", f" AND {one} < u.n", f" AND u.n / u.k < {one}"])
    )
    join = draw(st.sampled_from(["JOIN", "LEFT JOIN"]))
    key = draw(st.sampled_from(["t.a", one, one]))
    joined = f"FROM t {join} u ON u.k = {key}{residual}"
    source = draw(st.sampled_from(["FROM t", joined, joined]))
    where = draw(st.sampled_from(["", "", f" WHERE {COMPUTED_AGAIN}"]))
    if draw(st.booleans()):
        shown = "u.id AS u_id, u.n / u.k AS q, " if source is joined else ""
        return f"SELECT t.id, {shown}{two} AS c {source}{where}"
    over = draw(st.sampled_from(["COUNT(*)", "10 / (COUNT(*) - 1)", f"SUM({two}) / COUNT({one})"]))
    filtered = draw(st.sampled_from(["", f" FILTER (WHERE {condition})"]))
    having = draw(st.sampled_from(["", " HAVING 6 / (COUNT(*) - 2) > 0"]))
    return f"SELECT {one} AS g, SUM({two}){filtered} AS m, {over} AS o {source}{where} GROUP BY {one}{having}"


@law(400)
@given(changelogs(), CUTS, st.lists(views(), min_size=1, max_size=2))
def test_joins_and_groups_leave_out_the_same_rows_as_the_batch(
    changes: list[Change], cuts: list[int], texts: list[str]
) -> None:
    harness = SqlHarness([T, U])
    for number, text in enumerate(texts):
        harness.add_view(f"v{number}", text)
    for tick in ticks(changes, cuts):
        harness.tick(net(tick))
        assert_views_equal_batch(harness)
        assert_no_leftovers(harness)
    later = SqlHarness([T, U])
    later.tick(net(changes))
    for number, text in enumerate(texts):
        later.add_view(f"v{number}", text)
        assert later.dead_letters(f"v{number}") == harness.dead_letters(f"v{number}"), text
        assert later.left_out(f"v{number}") == harness.left_out(f"v{number}"), text
