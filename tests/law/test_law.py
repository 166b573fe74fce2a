"""The law: after every tick a view equals its query run over the current tables, however the changes are cut into ticks.

Random schemas, queries and changelogs; the query is run by SQLite, from our translation, and by DuckDB, which knows nothing of us
(``peer.py``). ``test_crash.py`` adds crashes, ``test_mutants.py`` that mistakes are caught, ``test_coverage.py`` that all of the
language is tried, ``test_oracle.py`` aggregates and joins computed in Python.
"""

from __future__ import annotations

from functools import lru_cache

from hypothesis import given
from hypothesis import strategies as st

from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Case, cases, law
from tests.law.check import (
    Reported,
    assert_no_leftovers,
    assert_same_views,
    assert_views_equal_batch,
    build,
    comparable,
    net,
    ticks,
)
from tests.law.coverage import counted
from tests.law.duck import Duck
from tests.law.peer import Peer
from tests.law.user_functions import FUNCTIONS
from tests.law.written import reproduced

CUTS = st.lists(st.integers(1, 5), min_size=1, max_size=16)


@lru_cache(maxsize=1)
def duckdb() -> Duck:
    return Duck()


@law(900)
@given(cases(), CUTS)
def test_after_every_tick_views_equal_sqlite_and_duckdb(case: Case, cuts: list[int]) -> None:
    counted(case)
    with reproduced(case, cuts, "views_equal_batch"):
        harness = build(case)
        reported = Reported(harness)
        peer = Peer(duckdb(), case)
        for tick in ticks(case.changes, cuts):
            reported.follow(harness.tick(net(tick)))
            assert_views_equal_batch(harness)
            reported.assert_equals_rows(harness)
            assert_no_leftovers(harness)
            peer.assert_equal(harness)


@law(300)
@given(cases(), CUTS, st.integers(0, 16))
def test_other_cuts_and_later_backfill_give_the_same(case: Case, cuts: list[int], cut: int) -> None:
    counted(case)
    with reproduced(case, [1] * len(case.changes), "other_cuts"):
        one_by_one, at_once, otherwise = build(case), build(case), build(case)
        for change in case.changes:
            one_by_one.tick(net([change]))
        at_once.tick(net(case.changes))
        for tick in ticks(case.changes, cuts):
            otherwise.tick(net(tick))
        later = SqlHarness(case.tables, functions=FUNCTIONS)
        later.tick(net(case.changes[:cut]))
        for name, text in case.views:
            later.add_view(name, text)
        later.tick(net(case.changes[cut:]))
        assert_same_views(one_by_one, at_once, "all in one tick")
        assert_same_views(one_by_one, otherwise, f"cut by {cuts}")
        assert_same_views(one_by_one, later, f"views added after {cut} changes")
        assert_views_equal_batch(one_by_one)


@law(200)
@given(cases())
def test_state_is_that_of_the_rows_that_are_left(case: Case) -> None:
    """Taking every row away again leaves no view rows but those of an empty database, and no state of groups."""
    counted(case)
    with reproduced(case, [], "state_is_left"):
        harness, empty = build(case), build(case)
        harness.tick(net(case.changes))
        rest = {schema.name: [(row, -1) for row in harness.rows(schema.name)] for schema in case.tables}
        harness.tick(rest)
        for name, program in harness.views.items():
            assert comparable(harness.rows(name), program.schema) == comparable(
                empty.rows(name), program.schema
            )
        states = harness.connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 's:*'"
        ).fetchall()
        for (name,) in states:
            kept = harness.connection.execute(f'SELECT * FROM main."{name}"').fetchall()
            fresh = empty.connection.execute(f'SELECT * FROM main."{name}"').fetchall()
            assert kept == fresh, name
