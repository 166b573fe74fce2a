"""The law: after every tick a view equals its query run over the current tables, however the changes are cut into ticks.

Random schemas, queries and changelogs. What the query computes is checked by others: ``test_oracle.py`` computes aggregates
and joins in Python.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import event, given
from hypothesis import strategies as st

from springline.errors import SqlError
from springline.sql import compile_view
from springline.testing.sql_harness import SqlHarness
from tests.law.check import assert_no_leftovers, assert_views_equal_batch, build, comparable, net
from tests.law.generate import Case, Query, changes, law, tables

MOST_VIEWS = 3


@st.composite
def cases(draw: Callable[..., object]) -> Case:
    """Tables, one to three views (later ones may read earlier ones), and up to 24 changes."""
    schemas = draw(tables())
    case = Case(schemas)
    relations = list(schemas)
    for index in range(draw(st.integers(1, MOST_VIEWS))):
        name = f"v{index}"
        text = Query(draw, relations).text()
        try:
            program = compile_view(name, text, {schema.name: schema for schema in relations})
        except SqlError as error:
            # A key that cannot be inferred, or a comparison that types forbid: refused, as it should be.
            event(f"refused: {error.message.split('(')[0][:40]}")
            continue
        case.views.append((name, text))
        relations.append(program.schema)
    case.changes = changes(draw, schemas, draw(st.integers(4, 24)))
    return case


@law(250)
@given(cases(), st.lists(st.integers(1, 6), min_size=1, max_size=24))
def test_views_equal_batch_after_every_tick(case: Case, cuts: list[int]) -> None:
    harness = build(case)
    start = 0
    for size in [*cuts, len(case.changes)]:
        harness.tick(net(case.changes[start : start + size]))
        assert_views_equal_batch(harness)
        assert_no_leftovers(harness)
        start += size
    event(f"views: {len(case.views)}")


@law(100)
@given(cases(), st.integers(0, 24))
def test_other_cuts_and_later_backfill_give_the_same(case: Case, cut: int) -> None:
    one_by_one, at_once = build(case), build(case)
    for change in case.changes:
        one_by_one.tick(net([change]))
    at_once.tick(net(case.changes))
    later = SqlHarness(case.tables)
    later.tick(net(case.changes[:cut]))
    for name, text in case.views:
        later.add_view(name, text)
    later.tick(net(case.changes[cut:]))
    for name, program in one_by_one.views.items():
        expected = comparable(one_by_one.rows(name), program.schema)
        assert comparable(at_once.rows(name), program.schema) == expected
        assert comparable(later.rows(name), program.schema) == expected
        assert comparable(later.batch(name), program.schema) == expected


@law(100)
@given(cases())
def test_state_is_that_of_the_rows_that_are_left(case: Case) -> None:
    """Taking every row away again leaves no view rows but those of an empty database, and no state of groups."""
    harness, empty = build(case), build(case)
    harness.tick(net(case.changes))
    rest = {schema.name: [(row, -1) for row in harness.rows(schema.name)] for schema in case.tables}
    harness.tick(rest)
    for name, program in harness.views.items():
        assert comparable(harness.rows(name), program.schema) == comparable(empty.rows(name), program.schema)
    states = harness.connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 's:*'"
    ).fetchall()
    for (name,) in states:
        kept = harness.connection.execute(f'SELECT * FROM main."{name}"').fetchall()
        fresh = empty.connection.execute(f'SELECT * FROM main."{name}"').fetchall()
        assert kept == fresh, name
