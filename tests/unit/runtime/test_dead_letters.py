"""Rows on which an expression fails: the view goes on without them, and they are listed until they are corrected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from springline.errors import SqlError
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import EmbeddedRuntime
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import orders, runtime

SHARES = ViewDefinition("shares", "SELECT id, 100 / amount AS share FROM shop.orders")
PER_CUSTOMER = ViewDefinition(
    "per_customer",
    "SELECT customer, SUM(100 / amount) AS shares, COUNT(*) AS n FROM shop.orders GROUP BY customer",
)
OF_SHARES = ViewDefinition("of_shares", "SELECT share, COUNT(*) AS n FROM shares GROUP BY share")

LETTERS = (
    "SELECT what, name, operator, `key`, reason, `row` FROM springline.dead_letters ORDER BY name, `key`"
)


def put(source: MemorySource, key: int, customer: int | None, amount: int | None) -> None:
    source.put("orders", {"id": key, "customer": customer, "amount": amount})


def rows(made: EmbeddedRuntime, text: str) -> list[tuple[object, ...]]:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return list(snapshot.query(text).rows)


def left_out(made: EmbeddedRuntime) -> dict[str, int]:
    return {one.name: one.left_out for one in made.status().relations}


def test_a_failing_row_is_a_dead_letter_until_it_is_corrected(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source], views=[SHARES, OF_SHARES]) as made:
        put(source, 1, 7, 50)
        put(source, 2, 7, 0)
        put(source, 3, 7, None)
        assert rows(made, "SELECT id, share FROM shares ORDER BY id") == [(1, 2), (3, None)]
        assert rows(made, "SELECT share, n FROM of_shares ORDER BY share") == [(None, 1), (2, 1)]
        [(what, name, operator, key, reason, row)] = rows(made, LETTERS)
        assert (what, name, operator) == ("view", "shares", "row of shop.orders")
        assert (key, reason) == ('{"id": 2}', "division by zero in 100 / amount")
        assert json.loads(str(row)) == {"id": 2, "customer": 7, "amount": 0}
        assert made.status().dead_letters == 1
        assert left_out(made) == {"shop.orders": 0, "shares": 1, "of_shares": 0}
        assert {one.state for one in made.status().relations} == {"live"}

        put(source, 2, 7, 10)
        assert rows(made, "SELECT id, share FROM shares ORDER BY id") == [(1, 2), (2, 10), (3, None)]
        assert rows(made, LETTERS) == []
        assert made.status().dead_letters == 0

        put(source, 1, 7, 0)
        assert len(rows(made, LETTERS)) == 1
        source.delete("orders", {"id": 1})
        assert rows(made, LETTERS) == []


def test_letters_come_with_a_new_view_and_go_with_it(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source]) as made:
        put(source, 1, 7, 0)
        assert rows(made, LETTERS) == []
    with runtime(tmp_path, [source], views=[SHARES, PER_CUSTOMER]) as made:
        assert [row[1] for row in rows(made, LETTERS)] == ["per_customer", "shares"]
        assert rows(made, "SELECT * FROM per_customer") == []
    with runtime(tmp_path, [source], views=[PER_CUSTOMER]) as made:
        assert [row[1] for row in rows(made, LETTERS)] == ["per_customer"]
        put(source, 1, 7, 5)
        assert rows(made, "SELECT customer, shares, n FROM per_customer") == [(7, 20, 1)]
        assert rows(made, LETTERS) == []


def test_no_more_than_a_limit_is_listed_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from springline.sql import dead_letters

    monkeypatch.setattr(dead_letters, "MOST_LISTED", 3)
    source = orders()
    with runtime(tmp_path, [source], views=[SHARES]) as made:
        with source.transaction():
            for number in range(10):
                put(source, number, 7, 0)
        assert len(rows(made, LETTERS)) == 3
        assert left_out(made)["shares"] == 10
        with source.transaction():
            for number in range(8):
                put(source, number, 7, 1)
        assert rows(made, "SELECT COUNT(*) AS n FROM shares") == [(8,)]
        assert left_out(made)["shares"] == 2


def test_a_view_cannot_read_the_dead_letters(tmp_path: Path) -> None:
    over = ViewDefinition("over", "SELECT name, COUNT(*) AS n FROM springline.dead_letters GROUP BY name")
    with pytest.raises(SqlError, match="no table or view"), runtime(tmp_path, [orders()], views=[over]):
        pass


def test_an_ad_hoc_query_gives_null(tmp_path: Path) -> None:
    source = orders()
    with runtime(tmp_path, [source]) as made:
        put(source, 1, 7, 0)
        assert rows(made, "SELECT id, 100 / amount AS share FROM orders") == [(1, None)]
        with made.read() as snapshot, pytest.raises(SqlError):
            snapshot.query("SELECT nothing FROM springline.dead_letters")
