"""Folding a tick's entries to the last row of each key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from springline.core.change import UNCHANGED
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.runtime.embedded.mirror import TableChanges

ITEMS = TableSchema(
    "shop.items", (Column("id", BIGINT, False), Column("name", STRING), Column("note", STRING)), ("id",)
)
BAG = TableSchema("shop.bag", (Column("a", BIGINT), Column("b", STRING)))

STORED = {1: (1, "old", "a long text"), 2: (2, "two", None)}


def fold(entries: Sequence[tuple[str, Any, Any]], schema: TableSchema = ITEMS) -> TableChanges:
    changes = TableChanges(schema)
    for operation, before, after in entries:
        changes.add(operation, before, after, STORED.get)
    return changes


@pytest.mark.parametrize(
    ("entries", "net"),
    [
        ([("c", None, [3, "new", None])], {3: [3, "new", None]}),
        ([("c", None, [3, "x", None]), ("d", [3, UNCHANGED, UNCHANGED], None)], {3: None}),
        ([("d", [1, UNCHANGED, UNCHANGED], None), ("c", None, [1, "again", None])], {1: [1, "again", None]}),
        ([("u", None, [1, "new", UNCHANGED])], {1: [1, "new", "a long text"]}),
        ([("u", None, [1, "b", "short"]), ("u", None, [1, "c", UNCHANGED])], {1: [1, "c", "short"]}),
        (
            [("u", [1, UNCHANGED, UNCHANGED], [9, "moved", UNCHANGED])],
            {1: None, 9: [9, "moved", "a long text"]},
        ),
        (
            [("c", None, [5, "x", "kept"]), ("u", [5, UNCHANGED, UNCHANGED], [6, "y", UNCHANGED])],
            {5: None, 6: [6, "y", "kept"]},
        ),
        ([("c", None, [3, "x", None]), ("t", None, None)], {}),
        ([("t", None, None), ("c", None, [3, "x", None])], {3: [3, "x", None]}),
    ],
)
def test_the_last_row_of_each_key_remains(entries: list[Any], net: dict[int, Any]) -> None:
    assert fold(entries).net == net


def test_a_value_that_nobody_holds_is_reported() -> None:
    changes = fold([("u", None, [7, "new", UNCHANGED])])
    assert changes.missing == [7]
    assert changes.net == {}


def test_after_a_truncate_the_table_is_not_asked() -> None:
    changes = fold([("t", None, None), ("u", None, [1, "new", UNCHANGED])])
    assert changes.truncated
    assert changes.missing == [1]


def test_a_table_without_a_key_keeps_equal_rows_apart() -> None:
    changes = fold(
        [("c", None, [1, "x"]), ("c", None, [1, "x"]), ("d", [1, "x"], None), ("u", [1, "x"], [2, "y"])], BAG
    )
    assert [(list(row), weight) for row, weight in changes.bag] == [
        ([1, "x"], 1),
        ([1, "x"], 1),
        ([1, "x"], -1),
        ([1, "x"], -1),
        ([2, "y"], 1),
    ]
