"""Streams: views over rows that are not stored equal the same views over a table that has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING, TIMESTAMP
from springline.errors import SqlError
from springline.testing.sql_harness import Row, SqlHarness

AUCTIONS = TableSchema(
    "n.auctions",
    (
        Column("id", BIGINT, nullable=False),
        Column("seller", BIGINT),
        Column("category", BIGINT),
        Column("note", STRING),
        Column("at", TIMESTAMP),
    ),
    ("id",),
)
PERSONS = TableSchema(
    "n.persons",
    (Column("id", BIGINT, nullable=False), Column("name", STRING), Column("state", STRING)),
    ("id",),
)
CATEGORIES = TableSchema(
    "n.categories", (Column("id", BIGINT, nullable=False), Column("title", STRING)), ("id",)
)

VIEWS = {
    "filtered": "SELECT id, seller FROM n.auctions WHERE category = 1",
    "joined": "SELECT a.id, p.name FROM n.auctions a JOIN n.persons p ON a.seller = p.id WHERE a.category = 1 AND p.state <> 'x'",
    "with_a_table": "SELECT a.id, c.title FROM n.auctions a JOIN n.categories c ON c.id = a.category",
    "left_of_a_table": "SELECT a.id, a.note, c.title FROM n.auctions a LEFT JOIN n.categories c ON c.id = a.category",
    "left_of_a_stream": "SELECT p.id AS person, a.id AS auction FROM n.persons p LEFT JOIN n.auctions a ON a.seller = p.id AND a.category > 0",
    "with_itself": "SELECT a.id, b.id AS other FROM n.auctions a JOIN n.auctions b ON a.seller = b.seller AND a.id < b.id",
    "grouped": "SELECT seller, COUNT(*) AS n, MAX(category) AS top, COUNT(DISTINCT note) AS notes FROM n.auctions GROUP BY seller",
    "extremes": "SELECT MIN(category) AS low, MAX(note) AS late, MAX(category) FILTER (WHERE seller = 1) AS high FROM n.auctions",
    "extremes_of_groups": """SELECT p.state, MIN(a.note) AS first, MAX(a.category) AS high FROM n.auctions a
        JOIN n.persons p ON a.seller = p.id GROUP BY p.state""",
    "grouped_join": "SELECT p.state, COUNT(*) AS n FROM n.auctions a JOIN n.persons p ON a.seller = p.id GROUP BY p.state",
    "grouped_left": "SELECT p.state, COUNT(a.id) AS n FROM n.persons p LEFT JOIN n.auctions a ON a.seller = p.id GROUP BY p.state",
    "of_groups": "SELECT p.id, g.n FROM n.persons p JOIN (SELECT seller, COUNT(*) AS n FROM n.auctions GROUP BY seller) g ON g.seller = p.id",
    "known": "SELECT id FROM n.persons WHERE id IN (SELECT seller FROM n.auctions WHERE category = 2)",
    "union": "SELECT id, note AS text FROM n.auctions UNION SELECT id, name FROM n.persons",
    "windows": """SELECT window_start, window_end, COUNT(*) AS n
        FROM TABLE(HOP(TABLE n.auctions, DESCRIPTOR(at), INTERVAL '1' SECOND, INTERVAL '3' SECOND)) GROUP BY window_start, window_end""",
}

some = st.one_of(st.none(), st.integers(0, 4))
auctions = st.lists(st.tuples(some, some, st.sampled_from([None, "a", "b"]), st.integers(0, 9)), max_size=4)
persons = st.lists(st.tuples(st.sampled_from([None, "a"]), st.sampled_from(["x", "y", None])), max_size=2)
categories = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["t", "u"]), st.sampled_from([1, -1])), max_size=2
)


@pytest.mark.parametrize("view", VIEWS)
@given(ticks=st.lists(st.tuples(auctions, persons, categories), min_size=1, max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_view_over_streams_equals_the_view_over_tables(
    view: str,
    ticks: list[tuple[list[tuple[object, ...]], list[tuple[object, ...]], list[tuple[int, str, int]]]],
) -> None:
    tables = SqlHarness([AUCTIONS, PERSONS, CATEGORIES])
    streams = SqlHarness([replace(AUCTIONS, kept=False), replace(PERSONS, kept=False), CATEGORIES])
    for harness in (tables, streams):
        harness.add_view(view, VIEWS[view])
    known: dict[int, str] = {}
    auction = person = 0
    for new_auctions, new_persons, changes in ticks:
        came: list[tuple[Row, int]] = []
        for seller, category, note, second in new_auctions:
            auction += 1
            came.append(((auction, seller, category, note, second * 1_000_000), 1))  # type: ignore[operator, arg-type]
        people: list[tuple[Row, int]] = []
        for name, state in new_persons:
            people.append(((person, name, state), 1))  # type: ignore[arg-type]
            person += 1
        titles: Counter[Row] = Counter()
        for key, title, weight in changes:
            if key in known:
                titles[key, known.pop(key)] -= 1
            if weight > 0:
                known[key] = title
                titles[key, title] += 1
        given_changes = {"n.auctions": came, "n.persons": people, "n.categories": list(titles.items())}
        for harness in (tables, streams):
            harness.tick(given_changes)
        assert Counter(streams.rows(view)) == Counter(tables.rows(view)) == Counter(tables.batch(view))
    assert streams.rows("n.auctions") == []


def test_only_what_is_needed_again_is_kept() -> None:
    harness = SqlHarness([replace(AUCTIONS, kept=False), replace(PERSONS, kept=False)])
    program = harness.add_view("joined", VIEWS["joined"])
    harness.tick(
        {
            "n.auctions": [((1, 7, 1, "long", 0), 1), ((2, 7, 2, "other category", 0), 1)],
            "n.persons": [((7, "Ann", "y"), 1), ((8, "Bob", "x"), 1)],
        }
    )
    kept = [step.sql.split('"')[1] for step in program.state if step.sql.startswith("CREATE TABLE")]
    rows = [harness.connection.execute(f'SELECT * FROM main."{name}"').fetchall() for name in kept]
    assert sorted(rows) == [[(1, 7)], [(7, "Ann")]]
    assert [one.operator for one in program.levels if one.operator.startswith("STREAM")] == [
        "STREAM n.auctions",
        "STREAM n.persons",
    ]


def test_what_needs_all_rows_of_a_stream_is_refused() -> None:
    harness = SqlHarness([replace(AUCTIONS, kept=False)])
    with pytest.raises(SqlError, match="a stream whose rows are not kept"):
        harness.add_view(
            "later",
            "SELECT id FROM n.auctions AS a WHERE EXISTS (SELECT 1 FROM n.auctions AS b WHERE b.id < a.id)",
        )
    with pytest.raises(SqlError, match="is a stream"):
        harness.query("SELECT COUNT(*) AS n FROM n.auctions")
