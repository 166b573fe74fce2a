"""The law for views that share subqueries: each equals its batch, and the same view without sharing, after every tick.

Random queries of which a part is common are written by the grammar of ``queries.py``: one of its views becomes a relation that the others
read as a derived table. What the views share is a hidden view, of which the law holds as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import INT
from springline.runtime.embedded import sharing
from springline.sql.program import Step, ViewProgram
from springline.sql.sharing import is_shared
from springline.testing import sql_harness
from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Case, Change, common_cases, law, made_common_case
from tests.law.check import (
    Reported,
    assert_no_leftovers,
    assert_same_views,
    assert_views_equal_batch,
    build,
    net,
    ticks,
)
from tests.law.choices import Seeded
from tests.law.test_failing import T, U, changelogs, views

CUTS = st.lists(st.integers(1, 5), min_size=1, max_size=16)
SEEDS: Final = range(24)


def build_sharing(case: Case) -> SqlHarness:
    harness = SqlHarness(case.tables)
    harness.add_sharing_views(dict(case.views))
    return harness


def assert_same(shared: SqlHarness, private: SqlHarness) -> None:
    """The views, their keys and their dead letters are those of the views that keep all for themselves."""
    assert_same_views(private, shared, "sharing")
    for name, program in private.views.items():
        assert shared.views[name].schema == program.schema, name
        assert shared.dead_letters(name) == private.dead_letters(name), f"{name}: {program.text}"
        assert shared.left_out(name) == private.left_out(name), f"{name}: {program.text}"


def check(case: Case, cuts: list[int]) -> None:
    private, shared = build(case), build_sharing(case)
    reported = Reported(shared)
    assert_same(shared, private)
    for tick in ticks(case.changes, cuts):
        private.tick(net(tick))
        reported.follow(shared.tick(net(tick)))
        assert_views_equal_batch(shared)
        reported.assert_equals_rows(shared)
        assert_same(shared, private)
        assert_no_leftovers(shared)
    later = SqlHarness(case.tables)
    later.tick(net(case.changes))
    later.add_sharing_views(dict(case.views))
    assert_same(later, private)


@law(60)
@given(common_cases(), CUTS)
def test_views_that_share_equal_their_batch_and_themselves_unshared(case: Case, cuts: list[int]) -> None:
    check(case, cuts)


GROUPS = views().filter(lambda text: " AS g" in text)
OVER: Final = (
    "SELECT COUNT(*) AS n, SUM(10 / (x.o - 2)) AS q FROM ({}) AS x",
    "SELECT x.g, x.m / (x.o - 3) AS r FROM ({}) AS x WHERE x.o > 0",
    "SELECT u.id, x.g, u.n / x.o AS r FROM u JOIN ({}) AS x ON x.o = u.k AND 6 / x.m < u.n",
    "SELECT u.id, x.g, 4 / x.o AS r FROM u LEFT JOIN ({}) AS x ON x.o = u.k",
    "SELECT x.o, SUM(x.m) AS m FROM ({}) AS x GROUP BY x.o HAVING 6 / (COUNT(*) - 1) > 0",
    "SELECT t.id, 100 / t.a AS r FROM t WHERE CAST(t.b AS BIGINT) IN (SELECT x.o FROM ({}) AS x)",
)
"""Queries over a common one, which fail on some of its rows too."""


@law(60)
@given(changelogs(), CUTS, GROUPS, st.lists(st.sampled_from(OVER), min_size=2, max_size=3, unique=True))
def test_rows_left_out_are_those_of_the_views_unshared(
    changes: list[Change], cuts: list[int], common: str, over: list[str]
) -> None:
    check(
        Case([T, U], [(f"v{number}", text.format(common)) for number, text in enumerate(over)], changes), cuts
    )


def failing_case() -> Case:
    common = "SELECT a AS g, SUM(6 / b) AS m, COUNT(*) AS o FROM t GROUP BY a"
    texts = [(f"v{number}", text.format(common)) for number, text in enumerate(OVER)]
    return Case([T, U], texts, [("s.t", None, (id_, id_ % 2, id_ % 3, "x")) for id_ in range(6)])


def try_the_law() -> int:
    """The law on a fixed sequence of cases; in how many of them views shared something."""
    found = 0
    for seed in SEEDS:
        case = made_common_case(Seeded(seed))
        check(case, [3] * 8)
        found += any(map(is_shared, build_sharing(case).views))
    return found


def test_the_cases_do_share() -> None:
    assert try_the_law() > len(SEEDS) // 4


# -- mistakes ------------------------------------------------------------------------------------------------------

NUMBERS: Final = TableSchema(
    "s.a", (Column("id", INT, nullable=False), Column("a0", INT), Column("ref", INT)), ("id",)
)


def near_misses() -> Case:
    """Two views whose subqueries differ in WHERE alone."""
    groups = "SELECT ref, SUM(a0) AS m FROM s.a{} GROUP BY ref"
    views = [
        (f"v{number}", f"SELECT COUNT(*) AS n, SUM(t.m) AS m FROM ({groups.format(where)}) AS t")
        for number, where in enumerate(("", " WHERE a0 > 1"))
    ]
    return Case([NUMBERS], views, [("s.a", None, (id_, id_ % 3, 1)) for id_ in range(5)])


def without_where(program: ViewProgram, named: Callable[[ViewProgram], str] = sharing.shared_name) -> str:
    """The name of a query as if WHERE did not belong to it."""
    steps = [Step(re.sub(r" WHERE \(t\d+\..*?\)(?=\))", "", one.sql), one.why) for one in program.backfill]
    return named(replace(program, backfill=tuple(steps)))


def test_without_a_mistake_near_misses_are_apart() -> None:
    check(near_misses(), [2])


def test_the_law_catches_that_where_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "shared_name", without_where)
    assert any(map(is_shared, build_sharing(near_misses()).views)), "the mutant changed nothing"
    with pytest.raises(AssertionError):
        check(near_misses(), [2])


def test_the_law_catches_that_readers_come_before_what_they_share(monkeypatch: pytest.MonkeyPatch) -> None:
    forms = sharing.shared_forms

    def turned(*given: Any, **named: Any) -> dict[str, sharing.Form]:
        return dict(reversed(forms(*given, **named).items()))

    monkeypatch.setattr(sql_harness, "shared_forms", turned)
    with pytest.raises((AssertionError, apsw.SQLError)):
        try_the_law()


def test_the_law_catches_that_dead_letters_of_what_is_shared_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(failing_case(), [2])

    def none(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(sql_harness, "hidden_inputs", none)
    with pytest.raises(AssertionError):
        check(failing_case(), [2])
