"""The rules of loading a table while it changes, and of what a change of shape means; no server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from springline.core.change import UNCHANGED
from springline.core.position import PostgresPosition
from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING
from springline.errors import SourceLost
from springline.sources.postgres.catalog import Shape, ShapeColumn
from springline.sources.postgres.pgoutput import Relation, RelationColumn
from springline.sources.postgres.setup import Identity, Slot, require_continuity
from springline.sources.postgres.snapshot import BagLoad, KeyedLoad, TransactionSnapshot, precedes
from springline.sources.postgres.tables import decide
from springline.sources.postgres.values import PgType

KEYED = TableSchema("crm.t", (Column("id", INT), Column("v", INT), Column("big", STRING)), ("id",))
BAG = TableSchema("crm.bag", (Column("a", INT),))

SEEN, UNSEEN = 90, 105
SNAPSHOT = TransactionSnapshot.parse("95:110:105,107")
"""Sees 90 and 100; 105 and 107 run; 110 has not begun."""


def update(row: list[Any], before: list[Any] | None = None) -> Any:
    return ("u", "crm.t", before, row)


def key(value: int) -> list[Any]:
    return [value, UNCHANGED, UNCHANGED]


def test_what_a_snapshot_sees() -> None:
    assert [SNAPSHOT.sees(xid) for xid in (90, 100, 105, 107, 109, 110, 200)] == [
        True,
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert SNAPSHOT.is_settled(94)
    assert not SNAPSHOT.is_settled(95)


def test_transaction_ids_wrap_around() -> None:
    beyond = 1 << 32
    snapshot = TransactionSnapshot.parse(f"{beyond - 5}:{beyond + 5}:{beyond - 5},{beyond + 2}")
    assert snapshot.sees(beyond - 6)
    assert not snapshot.sees(beyond - 5)
    assert snapshot.sees(beyond - 1)
    assert snapshot.sees(1)
    assert not snapshot.sees(2)
    assert not snapshot.sees(5)
    assert precedes(beyond - 1, 3)
    assert not precedes(3, beyond - 1)


def merged(load: KeyedLoad, *rows: list[Any]) -> list[Any]:
    return [entry[3] for entry in load.merge(rows, SNAPSHOT)]


def test_a_row_changed_behind_the_read_is_left_out() -> None:
    load = KeyedLoad(KEYED)
    load.observe(update([1, 9, "new"]), UNSEEN)
    load.observe(update([2, 9, "seen"]), SEEN)
    load.observe(("d", "crm.t", key(3), None), UNSEEN)
    load.observe(("d", "crm.t", key(4), None), SEEN)
    rows = [[number, 0, "old"] for number in (1, 2, 3, 5)]
    assert merged(load, *rows) == [[2, 0, "old"], [5, 0, "old"]]


def test_a_moved_row_is_left_out_under_its_old_key() -> None:
    load = KeyedLoad(KEYED)
    load.observe(update([7, 1, "x"], key(1)), UNSEEN)
    assert merged(load, [1, 0, "x"], [2, 0, "y"]) == [[2, 0, "y"]]


def test_truncate_behind_the_read_leaves_nothing() -> None:
    load = KeyedLoad(KEYED)
    load.observe(("t", "crm.t", None, None), UNSEEN)
    assert merged(load, [1, 0, "x"]) == []
    load = KeyedLoad(KEYED)
    load.observe(("t", "crm.t", None, None), SEEN)
    assert merged(load, [1, 0, "x"]) == [[1, 0, "x"]]


def test_an_unsent_value_is_filled_from_the_read() -> None:
    load = KeyedLoad(KEYED)
    load.observe(update([1, 5, UNCHANGED]), UNSEEN)
    assert load.incomplete == {1}
    assert merged(load, [1, 0, "large"]) == [[1, 5, "large"]]
    assert load.incomplete == set()


def test_an_unsent_value_is_never_filled_from_what_it_replaced() -> None:
    load = KeyedLoad(KEYED)
    load.observe(update([1, 4, "newer"]), UNSEEN)
    load.observe(update([1, 5, UNCHANGED]), 107)
    assert merged(load, [1, 0, "older"]) == []
    assert load.incomplete == set()  # the log has the newer value already


def test_a_row_that_came_from_another_key_is_read_again() -> None:
    """Key 2 was deleted and 1 moved there: the chunk's row of key 2 is another row."""
    load = KeyedLoad(KEYED)
    load.observe(("d", "crm.t", key(2), None), UNSEEN)
    load.observe(update([2, 5, UNCHANGED], key(1)), UNSEEN)
    assert merged(load, [1, 0, "of one"], [2, 0, "of two"]) == []
    assert load.incomplete == {2}
    load.is_complete = True
    later = TransactionSnapshot.parse("120:120:")
    load.absent([2], [[2, 5, "of one"]], later)
    assert [entry[3] for entry in load.merge([[2, 5, "of one"]], later)] == [[2, 5, "of one"]]
    assert load.incomplete == set()


def test_an_incomplete_row_that_is_gone_is_forgotten() -> None:
    load = KeyedLoad(KEYED, incomplete=[1, 2])
    load.observe(update([2, 5, UNCHANGED]), UNSEEN)
    load.absent([1, 2], [], SNAPSHOT)
    assert load.incomplete == {2}


def test_after_the_last_chunk_rows_are_whole() -> None:
    load = KeyedLoad(KEYED)
    load.is_complete = True
    load.observe(update([1, 5, UNCHANGED]), UNSEEN)
    assert load.incomplete == set()


def test_settled_changes_are_forgotten() -> None:
    load = KeyedLoad(KEYED)
    for number in range(100):
        load.observe(update([number, 1, "x"]), SEEN)
    load.merge([], SNAPSHOT)
    assert load._tracked == {}  # pyright: ignore[reportPrivateUsage]


def test_a_bag_holds_changes_back() -> None:
    load = BagLoad(BAG)
    assert load.observe(("c", "crm.bag", None, [1]), SEEN) is None
    assert load.observe(("c", "crm.bag", None, [2]), UNSEEN) is None
    entries = [entry for batch in load.merge([[[1], [1]]], SNAPSHOT) for entry in batch]
    assert entries == [
        ("t", "crm.bag", None, None),
        ("r", "crm.bag", None, [1]),
        ("r", "crm.bag", None, [1]),
        ("c", "crm.bag", None, [2]),
    ]


SHAPE = Shape(
    7,
    "public",
    "t",
    "r",
    "d",
    (ShapeColumn("id", 1, 23, -1, PgType("int4")), ShapeColumn("a", 2, 25, -1, PgType("text"))),
    ("id",),
    files="100",
    attributes="1:5,2:5",
)
ADDED = replace(
    SHAPE,
    columns=(*SHAPE.columns, ShapeColumn("b", 3, 23, -1, PgType("int4"), initial=4)),
    attributes="1:5,2:5,3:9",
)


def told(shape: Shape) -> Relation:
    columns = tuple(
        RelationColumn(name, oid, typmod, name in shape.key) for name, oid, typmod in shape.published()
    )
    return Relation(shape.oid, shape.namespace, shape.relation, shape.replica_identity, columns)


def retyped(oid: int, type_: PgType) -> Shape:
    return replace(
        SHAPE,
        columns=(SHAPE.columns[0], replace(SHAPE.columns[1], type_oid=oid, type=type_)),
        attributes="1:5,2:9",
    )


@pytest.mark.parametrize(
    ("relation", "catalog", "shape", "reload"),
    [
        (told(SHAPE), SHAPE, SHAPE, False),
        (None, SHAPE, SHAPE, False),
        (told(ADDED), ADDED, ADDED, False),
        (None, ADDED, ADDED, False),
        (told(ADDED), replace(ADDED, files="101"), replace(ADDED, files="101"), True),
        (None, replace(SHAPE, files="101"), replace(SHAPE, files="101"), False),  # VACUUM FULL
        (
            None,
            replace(SHAPE, files="101", attributes="1:5,2:9"),
            replace(SHAPE, files="101", attributes="1:5,2:9"),
            True,
        ),
        (None, retyped(1043, PgType("varchar", 54)), retyped(1043, PgType("varchar", 54)), False),
        (None, retyped(17, PgType("bytea")), retyped(17, PgType("bytea")), True),
        (told(SHAPE), ADDED, SHAPE, False),  # the catalog is ahead; rows still come as they were
        (None, replace(SHAPE, key=("a",)), replace(SHAPE, key=("a",)), True),
        (None, None, None, False),
        (told(SHAPE), None, SHAPE, False),
    ],
)
def test_what_a_description_means(
    relation: Relation | None, catalog: Shape | None, shape: Shape | None, reload: bool
) -> None:
    evolution = decide(SHAPE, relation, catalog)
    assert evolution.shape == shape
    assert evolution.reload is reload


def test_a_description_that_only_the_stream_knows_is_read_and_loaded_again() -> None:
    between = replace(SHAPE, columns=(*SHAPE.columns, ShapeColumn("gone", None, 23, -1, PgType("int4"))))
    evolution = decide(SHAPE, told(between), ADDED)
    assert evolution.reload
    assert evolution.shape is not None
    assert [column.name for column in evolution.shape.columns] == ["id", "a", "gone"]
    assert evolution.shape.columns[1].number == 2


POSITION = PostgresPosition(1000)
SERVER = Identity("system", 1)
SLOT = Slot("pgoutput", "db", None, "", PostgresPosition(1000), "reserved", 0, -1)


@pytest.mark.parametrize(
    ("server", "slot", "word"),
    [
        (Identity("other", 1), SLOT, "another server"),
        (Identity("system", 2), SLOT, "promoted or restored"),
        (SERVER, None, "does not exist"),
        (SERVER, replace(SLOT, wal_status="lost"), "removed the WAL"),
        (SERVER, replace(SLOT, confirmed=PostgresPosition(1001)), "older copy"),
    ],
)
def test_a_gap_is_refused(server: Identity, slot: Slot | None, word: str) -> None:
    with pytest.raises(SourceLost, match=word) as raised:
        require_continuity("crm", "slot", POSITION, SERVER.to_json(), server, slot)
    assert "springline resnapshot crm" in str(raised.value.hint)


def test_no_gap() -> None:
    require_continuity("crm", "slot", POSITION, SERVER.to_json(), SERVER, SLOT)
    require_continuity(
        "crm", "slot", POSITION, SERVER.to_json(), SERVER, replace(SLOT, confirmed=PostgresPosition(900))
    )
    require_continuity("crm", "slot", None, None, SERVER, None)
