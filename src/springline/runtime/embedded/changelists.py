"""Retained change lists: what ticks did to a relation, kept in ``state.db`` for whoever comes back with a position.

The list of relation ``r`` is ``main."c:r"``: one row for each row that went (``_w`` = -1) or came (+1), rows of a tick that go first.
Its key ``_seq`` is the tick, shifted, plus a number within the tick, so that a range of ticks is a range of keys. A list is
written in the transaction of the tick itself; ``_change_lists`` says after which tick it is complete.

A list is kept for as long as somebody holds it: the application, because it was declared with ``retain_s``, or a view that is being
built beside the running ticks and will catch up from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.runtime.embedded.tables import columns_of, quote

TICK_BITS: Final = 31
MOST_RETAINED: Final = 5_000_000
APPLICATION: Final = "application"
"""The holder of lists that the application declares."""


def list_name(relation: str) -> str:
    return "c:" + relation


def first_of(tick: int) -> int:
    """A key below every entry of the tick, and above all of the ticks before."""
    return tick << TICK_BITS


def tick_of(sequence: int) -> int:
    return sequence >> TICK_BITS


@dataclass(frozen=True, slots=True)
class Retained:
    """How long the changes of a relation are kept for subscribers: the shorter of both."""

    age_s: float
    changes: int = MOST_RETAINED


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a list."""

    sequence: int
    weight: Literal[1, -1]
    row: tuple[Stored, ...]


class ChangeLists:
    """The lists on the writing connection. What it remembers can be read back, and is, when a tick is rolled back."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._holders: dict[str, set[str]] = {}
        self._append: dict[str, str] = {}

    def load(self, schemas: Mapping[str, TableSchema]) -> None:
        """Reads back which lists there are."""
        names = [name for (name,) in self._connection.execute("SELECT relation FROM _change_lists")]
        self._append = {name: _append_statement(schemas[name]) for name in names if name in schemas}
        self._holders = {name: held for name, held in self._holders.items() if name in self._append}

    def holders(self) -> dict[str, set[str]]:
        """Who holds which list; a copy."""
        return {name: set(held) for name, held in self._holders.items()}

    def restore(self, holders: Mapping[str, set[str]]) -> None:
        """After a rollback, before ``load``."""
        self._holders = {name: set(held) for name, held in holders.items()}

    def __contains__(self, relation: str) -> bool:
        return relation in self._append

    def hold(self, schema: TableSchema, holder: str, tick: Tick) -> None:
        """From the next tick on the relation's changes are kept, at least until ``release``. A list that is there goes on."""
        if schema.name not in self._append:
            self.restart(schema, tick)
        self._append[schema.name] = _append_statement(schema)
        self._holders.setdefault(schema.name, set()).add(holder)

    def restart(self, schema: TableSchema, tick: Tick) -> None:
        """The list begins anew after ``tick``: the relation's earlier changes do not lead to what it holds now, or have another shape."""
        columns = "".join(f", {quote(column.name)} {column.type.sqlite}" for column in schema.columns)
        name = quote(list_name(schema.name))
        self._connection.execute(f"DROP TABLE IF EXISTS main.{name}")
        self._connection.execute(
            f"CREATE TABLE main.{name}(_seq INTEGER PRIMARY KEY, _w INTEGER NOT NULL{columns}) STRICT"
        )
        self._connection.execute("INSERT OR REPLACE INTO _change_lists VALUES (?, ?)", (schema.name, tick))
        self._append[schema.name] = _append_statement(schema)

    def release(self, relation: str, holder: str) -> None:
        """The holder needs the list no longer; the last one takes it away. Idempotent."""
        holders = self._holders.get(relation, set())
        holders.discard(holder)
        if not holders and relation in self._append:
            self.drop(relation)

    def drop(self, relation: str) -> None:
        """The relation is gone. Idempotent."""
        self._connection.execute(f"DROP TABLE IF EXISTS main.{quote(list_name(relation))}")
        self._connection.execute("DELETE FROM _change_lists WHERE relation = ?", (relation,))
        self._append.pop(relation, None)
        self._holders.pop(relation, None)

    def drop_unheld(self) -> None:
        """At the start of a process, lists that nobody has asked for again are taken away."""
        for relation in [name for name in self._append if not self._holders.get(name)]:
            self.drop(relation)

    def is_held_by(self, relation: str, holder: str) -> bool:
        return holder in self._holders.get(relation, ())

    def held_only_by(self, relation: str, holder: str) -> bool:
        return self._holders.get(relation) == {holder}

    def append(self, relation: str, tick: Tick) -> None:
        """Keeps the running tick's delta, ``temp."d:relation"``."""
        self._connection.execute(self._append[relation], {"first": first_of(tick)})

    def forget_through(self, relation: str, tick: int, most: int) -> bool:
        """Forgets at most ``most`` changes of ticks up to ``tick``; whether there are more. The list is complete after that tick."""
        if relation not in self._append:
            return False
        name, end = quote(list_name(relation)), first_of(tick + 1)
        self._connection.execute(
            "UPDATE _change_lists SET since = max(since, ?) WHERE relation = ?", (tick, relation)
        )
        self._connection.execute(
            f"""DELETE FROM main.{name} WHERE _seq <= (
                    SELECT max(_seq) FROM (SELECT _seq FROM main.{name} WHERE _seq < ? ORDER BY _seq LIMIT ?))""",
            (end, most),
        )
        left = self._connection.execute(f"SELECT 1 FROM main.{name} WHERE _seq < ? LIMIT 1", (end,))
        return left.fetchone() is not None


def complete_after(connection: apsw.Connection, relation: str) -> int | None:
    """The tick after which the relation's list is complete; None where no list is kept. Of any snapshot."""
    found = connection.execute("SELECT since FROM _change_lists WHERE relation = ?", (relation,)).fetchone()
    return None if found is None else int(found[0])


def read_list(
    connection: apsw.Connection, schema: TableSchema, after: int, before: int, limit: int
) -> Iterator[Listed]:
    """Entries with ``after < sequence < before``, in order."""
    rows = connection.execute(
        f"""SELECT _seq, _w, {columns_of(schema.names)} FROM main.{quote(list_name(schema.name))}
            WHERE _seq > ? AND _seq < ? ORDER BY _seq LIMIT ?""",
        (after, before, limit),
    )
    for sequence, weight, *row in rows:
        yield Listed(sequence, weight, tuple(row))


def _append_statement(schema: TableSchema) -> str:
    name, columns = quote(list_name(schema.name)), columns_of(schema.names)
    last = f"(SELECT max(ifnull((SELECT max(_seq) FROM main.{name}), 0), :first))"
    return f"""INSERT INTO main.{name}(_seq, _w, {columns})
        SELECT {last} + row_number() OVER (ORDER BY _w), _w, {columns} FROM temp.{quote("d:" + schema.name)}"""
