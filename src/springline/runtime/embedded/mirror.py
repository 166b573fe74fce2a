"""Mirrored tables: from a tick's log entries to each table's delta, and the delta into the table.

``TableChanges`` folds the entries of one table to one final row per key, without touching the database. ``Mirror`` then
reads the old rows, fills ``temp."d:table"`` and applies it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import apsw

from springline.core.change import UNCHANGED, Row, Unchanged
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.runtime.embedded.tables import RelationStatements, key_names, quote

Key = Any
"""A key's value: the column's for a key of one column, otherwise a tuple."""


class TableChanges:
    """The net effect of some entries on one table: the last row of each key, or None where it is gone.

    A table without a key is a bag: ``added`` holds rows that only came, ``bag`` (row, weight) in order from the first that went.
    """

    __slots__ = ("_has_gone", "_key", "added", "bag", "missing", "net", "schema", "truncated")

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.net: dict[Key, Row | None] = {}
        self.added: list[Row] = []
        self.bag: list[tuple[Row, int]] = []
        self.truncated = False
        self._has_gone = False
        self.missing: list[Key] = []
        """Keys whose unchanged values are neither here nor in the table."""
        self._key: Callable[[Row], Key] | None = (
            operator.itemgetter(*schema.key_indexes) if schema.key and schema.kept else None
        )

    def __bool__(self) -> bool:
        return bool(self.net or self.added or self.bag or self.truncated)

    def __len__(self) -> int:
        return len(self.net) + len(self.added) + len(self.bag)

    def add_rows(self, rows: Sequence[Row]) -> None:
        """Folds whole rows in, each of which replaces the one with its key."""
        if self._key is not None:
            self.net.update(zip(map(self._key, rows), rows, strict=True))
        elif self.bag:
            self.bag.extend((row, 1) for row in rows)
        else:
            self.added.extend(rows)

    def gone(self) -> list[Key]:
        """The keys whose rows are no more."""
        return [key for key, row in self.net.items() if row is None] if self._has_gone else []

    def here(self) -> Iterable[Row]:
        """The rows that are, of a table with a key."""
        values = self.net.values()
        return [row for row in values if row is not None] if self._has_gone else cast("Iterable[Row]", values)

    def remove(self, keys: Iterable[Key]) -> None:
        """The rows of these keys are no more."""
        self._has_gone = True
        self.net.update(dict.fromkeys(keys))

    def add(
        self, operation: str, before: Row | None, after: Row | None, stored: Callable[[Key], Row | None]
    ) -> None:
        """Folds one entry in. ``stored(key)`` reads the row that the table holds; asked only for unchanged values."""
        key_of = self._key
        if key_of is None:
            self._add_to_bag(operation, before, after)
        elif operation == "d":
            if before is not None:
                self._has_gone = True
                self.net[key_of(before)] = None
        elif operation == "t":
            self.net.clear()
            self.truncated = True
        elif after is not None:
            key = old_key = key_of(after)
            if before is not None and (old_key := key_of(before)) != key:
                previous = self.net.get(old_key) if UNCHANGED in after else None
                self._has_gone = True
                self.net[old_key] = None
            else:
                previous = self.net.get(key)
            if UNCHANGED in after:
                previous = previous or (None if self.truncated else stored(old_key))
                if previous is None:
                    self.missing.append(key)
                    return
                after = [
                    old if isinstance(new, Unchanged) else new
                    for new, old in zip(after, previous, strict=True)
                ]
            self.net[key] = after

    def _add_to_bag(self, operation: str, before: Row | None, after: Row | None) -> None:
        if operation == "t":
            self.added.clear()
            self.bag.clear()
            self.truncated = True
            return
        if before is not None:
            self.bag.extend((row, 1) for row in self.added)
            self.added = []
            self.bag.append((before, -1))
        if after is not None:
            self.add_rows((after,))


class Mirror:
    """One relation's table on the writing connection."""

    def __init__(self, connection: apsw.Connection, schema: TableSchema) -> None:
        self.schema = schema
        self.statements = RelationStatements.of(schema)
        self._connection = connection
        self._single_key = len(schema.key) == 1
        self._width = len(schema.columns)

    def stored_row(self, key: Key) -> Row | None:
        """The row that the table holds for a key."""
        return self._connection.execute(self.statements.read_row, self._parameters(key)).fetchone()

    def fill_delta(self, changes: TableChanges) -> None:
        """Fills ``temp."d:table"`` with the rows that go (-1) and come (+1). The table still holds its old rows."""
        execute, many = self._connection.execute, self._connection.executemany
        if not self.schema.kept:
            many(self.statements.add_row, changes.added)
            return
        if changes.truncated:
            execute(self.statements.all_rows)
        if not self.schema.key:
            many(self.statements.add_row, changes.added)
            many(self.statements.add_delta, ((*row, weight) for row, weight in changes.bag))
            return
        gone = changes.gone()
        if len(gone) < len(changes.net):
            many(self.statements.add_row, changes.here())
            if not changes.truncated:
                execute(self.statements.old_rows)
        if gone and not changes.truncated:
            many(self.statements.take_row, map(self._parameters, gone))

    def apply(self, changes: TableChanges, tick: int, *, is_filled: bool = False) -> None:
        """Brings the table to its new rows; from the delta if that ``is_filled``. A stream keeps none."""
        if not self.schema.kept:
            return
        many = self._connection.executemany
        if changes.truncated:
            self._connection.execute(f"DELETE FROM main.{quote(self.schema.name)}")
        if not self.schema.key:
            if is_filled and not changes.bag:
                self._connection.execute(self.statements.upsert_delta, (tick,))
                return
            many(self.statements.upsert, ((*row, tick) for row in changes.added))
            for row, weight in changes.bag:
                if weight > 0:
                    self._connection.execute(self.statements.upsert, (*row, tick))
                else:
                    self._connection.execute(self.statements.delete, tuple(row))
            return
        gone = changes.gone()
        if gone and not changes.truncated:
            many(self.statements.delete, map(self._parameters, gone))
        if is_filled:
            self._connection.execute(self.statements.upsert_delta, (tick,))
        else:
            many(self.statements.upsert, ((*row, tick) for row in changes.here()))

    def begin_seen(self) -> None:
        """Makes the table of the keys that are seen while the table is loaded again, empty."""
        schema = self.schema
        names = key_names(schema)
        columns = ", ".join(f"{quote(part)} {schema.column(part).type.sqlite}" for part in names)
        key, seen = ", ".join(map(quote, names)), quote("seen:" + schema.name)
        self._connection.execute(f"DROP TABLE IF EXISTS main.{seen}")
        self._connection.execute(
            f"CREATE TABLE main.{seen}({columns}, PRIMARY KEY({key})) STRICT, WITHOUT ROWID"
        )

    def mark_seen(self, keys: Iterable[Key]) -> None:
        """Remembers that these keys exist in the source, while the table is loaded again."""
        seen = quote("seen:" + self.schema.name)
        places = ", ".join("?" * len(self.schema.key_indexes))
        self._connection.executemany(
            f"INSERT OR IGNORE INTO main.{seen} VALUES ({places})", map(self._parameters, keys)
        )

    def unseen_keys(self) -> list[Key]:
        """Keys of the table that were not seen while it was loaded again: their rows no longer exist."""
        key = ", ".join(quote(part) for part in self.schema.key)
        rows = self._connection.execute(
            f"""SELECT {key} FROM main.{quote(self.schema.name)}
                EXCEPT SELECT {key} FROM main.{quote("seen:" + self.schema.name)}"""
        ).fetchall()
        return [row[0] for row in rows] if self._single_key else rows

    def _parameters(self, key: Key) -> tuple[Stored, ...]:
        return (key,) if self._single_key else tuple(key)
