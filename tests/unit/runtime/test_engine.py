"""Ticks on a real log and a real state file: tables equal their changes, whole transactions only, resume by one SELECT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from springline.core.change import UNCHANGED, Entry, Operation, Transaction, load_entry, schema_entry
from springline.core.position import PostgresPosition
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, INT, STRING
from springline.errors import StateError
from springline.log.sqlite import SqliteCaptureWriter, SqliteLog
from springline.runtime.embedded.catalog import Relations
from springline.runtime.embedded.engine import Engine, TickResult
from springline.runtime.embedded.state import STATE_FORMAT, Resume, check_resume, read_relations, read_resume
from springline.storage import open_file

ITEMS = TableSchema(
    "shop.items",
    (Column("id", BIGINT, False, 1), Column("name", STRING, True, 2), Column("n", INT, True, 3)),
    ("id",),
)


def no_views(*_: Any) -> Any:
    raise AssertionError("no view is declared here")


class Shop:
    """A log with one source, and an engine that follows it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = SqliteLog(folder / "log.db")
        self.writer: SqliteCaptureWriter = self.log.open_writer("shop")
        self.connection = open_file(folder / "state.db", STATE_FORMAT)
        self.engine = Engine(
            self.connection, Relations(self.connection, no_views), read_resume(self.connection)
        )
        self.lsn = 0

    def send(self, entries: Sequence[Entry], *, fragments: int = 1) -> None:
        """One source transaction, spilled into some fragments where asked."""
        self.lsn += 1
        size = max(1, -(-len(entries) // fragments))
        parts = [list(entries[start : start + size]) for start in range(0, len(entries), size)] or [[]]
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            self.writer.append(Transaction("shop", PostgresPosition(self.lsn), 0, part, last=last))
            self.writer.commit()

    def tick(self) -> TickResult | None:
        after = self.engine.resume.log_sequence
        if small := self.log.read_small(after, 10_000):
            return self.engine.run([(logged, [entries]) for logged, entries in small])
        if large := self.log.read(after, 1):
            return self.engine.run([(logged, self.log.entries(logged)) for logged in large])
        return None

    def rows(self, table: str = "shop.items") -> list[Any]:
        columns = ", ".join(f'"{name}"' for name in read_relations(self.connection)[table].schema.names)
        return sorted(self.connection.execute(f'SELECT {columns} FROM main."{table}"').fetchall())

    def close(self) -> None:
        self.connection.close()
        self.log.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    shop.send([schema_entry(ITEMS), load_entry(ITEMS.name, loading=False)])
    shop.tick()
    yield shop
    shop.close()


def row(operation: str, *values: Any) -> Entry:
    return (operation, ITEMS.name, None, list(values))


def gone(key: int) -> Entry:
    return ("d", ITEMS.name, [key, UNCHANGED, UNCHANGED], None)


def test_a_tick_applies_whole_transactions_and_moves_the_position(shop: Shop) -> None:
    shop.send([row("c", 1, "a", 1), row("c", 2, "b", 2)])
    shop.send([row("u", 1, "aa", 1), gone(2)])
    outcome = shop.tick()
    assert outcome is not None
    assert shop.rows() == [(1, "aa", 1)]
    assert outcome.changes == 4
    assert str(shop.engine.resume.vector()["shop"]) == "0/3"
    assert read_resume(shop.connection) == shop.engine.resume


def test_a_spilled_transaction_is_invisible_until_its_tick_commits(shop: Shop) -> None:
    shop.send([row("c", number, "x", number) for number in range(1_000)], fragments=7)
    reader = apsw.Connection(str(shop.folder / "state.db"))
    assert reader.execute('SELECT count(*) FROM "shop.items"').fetchall() == [(0,)]
    shop.tick()
    assert reader.execute('SELECT count(*) FROM "shop.items"').fetchall() == [(1_000,)]
    reader.close()


def test_a_fragment_whose_last_never_came_is_not_read(shop: Shop) -> None:
    shop.writer.append(Transaction("shop", PostgresPosition(9), 0, [row("c", 1, "x", 1)], last=False))
    shop.writer.commit()
    assert shop.tick() is None
    assert shop.rows() == []


def test_a_failed_tick_changes_nothing_and_can_be_repeated(shop: Shop) -> None:
    shop.send([row("c", 1, "a", 1)])
    shop.tick()
    before = shop.engine.resume
    shop.send([row("c", 2, "b", 2), row("c", 3, "c", "not a number")])
    with pytest.raises(apsw.ConstraintError):
        shop.tick()
    assert shop.rows() == [(1, "a", 1)]
    assert shop.engine.resume == before == read_resume(shop.connection)


def test_rows_that_a_second_snapshot_does_not_show_are_deleted_at_its_end(shop: Shop) -> None:
    shop.send([row("c", number, "x", 0) for number in (1, 2, 3, 4)])
    shop.tick()
    shop.send([load_entry(ITEMS.name, loading=True), row("r", 1, "y", 0)])
    shop.tick()
    assert read_relations(shop.connection)[ITEMS.name].state == "loading"
    assert len(shop.rows()) == 4
    shop.send([row("u", 3, "changed meanwhile", 0)])
    shop.send([row("r", 4, "y", 0), gone(4), row("c", 5, "new", 0), load_entry(ITEMS.name, loading=False)])
    shop.tick()
    assert shop.rows() == [(1, "y", 0), (3, "changed meanwhile", 0), (5, "new", 0)]
    assert read_relations(shop.connection)[ITEMS.name].state == "live"


def test_a_second_snapshot_goes_on_after_a_restart(shop: Shop, tmp_path: Path) -> None:
    shop.send([row("c", number, "x", 0) for number in (1, 2)])
    shop.send([load_entry(ITEMS.name, loading=True), row("r", 1, "y", 0)])
    shop.tick()
    shop.close()
    again = Shop(tmp_path)
    again.lsn = 3
    again.send([load_entry(ITEMS.name, loading=False)])
    again.tick()
    assert again.rows() == [(1, "y", 0)]
    again.close()


@pytest.mark.parametrize("fragments", [1, 3])
def test_a_truncate_keeps_what_comes_after_it(shop: Shop, fragments: int) -> None:
    shop.send([row("c", 1, "a", 1), row("c", 2, "b", 2)])
    shop.tick()
    truncate: Entry = (Operation.TRUNCATE.value, ITEMS.name, None, None)
    shop.send([row("c", 3, "c", 3), truncate, row("c", 4, "d", 4)], fragments=fragments)
    shop.tick()
    assert shop.rows() == [(4, "d", 4)]


def test_columns_follow_their_identity_through_renames_drops_and_defaults(shop: Shop) -> None:
    shop.send([row("c", 1, "a", 7)])
    shape = TableSchema(
        ITEMS.name,
        (
            Column("id", BIGINT, False, 1),
            Column("title", STRING, True, 2),
            Column("grade", STRING, True, 4, "new"),
        ),
        ("id",),
    )
    shop.send([schema_entry(shape), ("c", ITEMS.name, None, [2, "b", "old"])])
    shop.tick()
    assert shop.rows() == [(1, "a", "new"), (2, "b", "old")]


def test_an_update_without_its_large_values_for_an_unknown_row_is_a_dead_letter(shop: Shop) -> None:
    shop.send([row("u", 8, UNCHANGED, 1)])
    shop.tick()
    assert shop.rows() == []
    assert shop.connection.execute("SELECT what, name, key FROM _dead_letters").fetchall() == [
        ("row", ITEMS.name, "8")
    ]


def test_a_table_without_a_key_holds_equal_rows(shop: Shop) -> None:
    bag = TableSchema("shop.bag", (Column("a", BIGINT), Column("b", STRING)))
    shop.send([schema_entry(bag), load_entry(bag.name, loading=False)])
    entries: list[Entry] = [("c", bag.name, None, [1, None])] * 3
    shop.send([*entries, ("d", bag.name, [1, None], None), ("u", bag.name, [1, None], [2, "y"])])
    shop.tick()
    assert shop.rows("shop.bag") == [(1, None), (2, "y")]


@pytest.mark.parametrize(
    ("applied", "first", "last", "message"),
    [(5, 1, 5, None), (5, 6, 9, None), (6, 1, 5, "log.db ends at 5"), (4, 6, 9, "log.db begins at 6")],
)
def test_state_and_log_must_belong_together(applied: int, first: int, last: int, message: str | None) -> None:
    resume = Resume(read_resume_tick(), applied, 1, {})
    if message is None:
        check_resume(resume, log_first=first, log_last=last)
        return
    with pytest.raises(StateError, match=message):
        check_resume(resume, log_first=first, log_last=last)


def read_resume_tick() -> Any:
    return 1
