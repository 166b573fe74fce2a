"""Nexmark's queries, kept up to date tick by tick, equal the plain Python answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path

import pytest

from bench.nexmark.answers import ANSWERS, Streams
from bench.nexmark.generator import SIDE_KEYS, Configuration, value_of, write
from bench.nexmark.queries import QUERIES, SIDE, SOURCE, TABLES
from springline.core.change import Entry, single_rows
from springline.errors import SqlError
from springline.sources.json_rows import JsonRows, schema_of
from springline.sql.compile import compile_view
from springline.testing.sql_harness import Row, SqlHarness

EVENTS = 2_000
EVENTS_PER_SECOND = 40
TICKS = 8

SIDE_TABLE = "side.side"
SCHEMAS = {f"{SOURCE}.{name}": schema_of(f"{SOURCE}.{name}", one) for name, one in TABLES.items()} | {
    SIDE_TABLE: schema_of(SIDE_TABLE, SIDE)
}

NOT_RUN = {"q12"}
"""Refused on purpose, as ``queries.py`` says."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("nexmark")
    write(made, Configuration(EVENTS, EVENTS_PER_SECOND, seed=7))
    return made


@pytest.fixture(scope="module")
def streams(folder: Path) -> Streams:
    return Streams.read(folder / "events.jsonl")


@pytest.fixture(scope="module")
def entries(folder: Path) -> list[Entry]:
    rows = JsonRows(SOURCE, TABLES, table_field="type", operation_field=None, time_unit="ms")
    found, rejected = rows.entries((folder / "events.jsonl").read_bytes())
    assert rejected == []
    return list(single_rows(found))


def in_ticks(harness: SqlHarness, entries: list[Entry]) -> None:
    size = -(-len(entries) // TICKS)
    waiting = iter(entries)
    while part := list(islice(waiting, size)):
        changes: dict[str, list[tuple[Row, int]]] = {}
        for _, table, _, row in part:
            assert row is not None
            changes.setdefault(table, []).append((tuple(row), 1))  # pyright: ignore[reportArgumentType]
        harness.tick(changes)


def with_view(query: str, *, kept: bool) -> SqlHarness:
    one = QUERIES[query]
    assert one.sql is not None
    harness = SqlHarness(
        [replace(schema, kept=kept or schema.name == SIDE_TABLE) for schema in SCHEMAS.values()]
    )
    harness.add_view("answer", one.sql, key=one.key)
    harness.tick({SIDE_TABLE: [((key, value_of(key)), 1) for key in range(SIDE_KEYS)]})
    return harness


def answer_of(harness: SqlHarness) -> Counter[tuple[object, ...]]:
    assert harness.errors == []
    return Counter(harness.load("answer", row) for row in harness.rows("answer"))


@pytest.mark.parametrize("query", [name for name, one in QUERIES.items() if one.sql])
def test_a_query_over_streams_equals_its_answer(query: str, entries: list[Entry], streams: Streams) -> None:
    harness = with_view(query, kept=False)
    in_ticks(harness, entries)
    expected = Counter(ANSWERS[query](streams))
    assert expected, "the events give this query nothing to do"
    assert answer_of(harness) == expected


@pytest.mark.parametrize("query", [name for name, one in QUERIES.items() if one.sql])
def test_a_query_follows_rows_that_go_and_come_back(
    query: str, entries: list[Entry], streams: Streams
) -> None:
    harness = with_view(query, kept=True)
    in_ticks(harness, entries)
    taken: dict[str, list[Row]] = {}
    for _, table, _, row in entries[::7]:
        assert row is not None
        taken.setdefault(table, []).append(tuple(row))  # pyright: ignore[reportArgumentType]
    harness.tick({table: [(row, -1) for row in rows] for table, rows in taken.items()})
    assert Counter(harness.rows("answer")) == Counter(harness.batch("answer"))
    harness.tick({table: [(row, 1) for row in rows] for table, rows in taken.items()})
    assert answer_of(harness) == Counter(ANSWERS[query](streams))


def test_every_query_of_the_benchmark_is_here_or_refused_with_a_reason() -> None:
    assert list(QUERIES) == [f"q{number}" for number in range(24)]
    assert {name for name, one in QUERIES.items() if one.sql is None} == NOT_RUN
    assert all(QUERIES[name].note for name in NOT_RUN)
    assert set(ANSWERS) == set(QUERIES) - NOT_RUN


def test_processing_time_is_refused() -> None:
    text = """SELECT bidder, COUNT(*) AS bids FROM TABLE(TUMBLE(TABLE nexmark.bid, DESCRIPTOR(PROCTIME()), INTERVAL '10' SECOND))
              GROUP BY bidder, window_start, window_end"""
    with pytest.raises(SqlError):
        compile_view("answer", text, SCHEMAS)


def test_the_generator_is_deterministic_and_keeps_the_proportions(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, Configuration(EVENTS, EVENTS_PER_SECOND, seed=7))
    assert (tmp_path / "events.jsonl").read_bytes() == (folder / "events.jsonl").read_bytes()
    write(tmp_path, Configuration(EVENTS, EVENTS_PER_SECOND, seed=8))
    assert (tmp_path / "events.jsonl").read_bytes() != (folder / "events.jsonl").read_bytes()
    found = Streams.read(folder / "events.jsonl")
    assert (len(found.persons), len(found.auctions), len(found.bids)) == (
        EVENTS // 50,
        EVENTS // 50 * 3,
        EVENTS // 50 * 46,
    )
    for events in (found.persons, found.auctions, found.bids):
        assert len({one["id"] for one in events}) == len(events)
    times = [bid["dateTime"] for bid in found.bids]
    behind = max(newest - time for newest, time in zip(accumulate(times, max), times, strict=True))
    assert 0 < behind < 1_000, "slightly out of order"
