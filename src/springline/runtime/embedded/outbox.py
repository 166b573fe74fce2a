"""The outbox: what ticks did to tables, as records for another log, written in the transaction of the tick itself.

A thread of its own hands them over (``publishing``), in their order and whole transactions at a time, and has them removed when the other
log has them. So capture may stop anywhere: what a tick did is in the outbox or has arrived, and the other log says which.

A row that has no form there is left out, and is a dead letter until it changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.log.base import Commit, Foreign, Outgoing, Publisher, RowChange, Unfit
from springline.runtime.embedded.engine import Cause
from springline.runtime.embedded.tables import columns_of, quote

Row = tuple[Stored, ...]


class Outbox:
    """One table's way into the outbox; implements ``engine.Consumer``."""

    def __init__(self, schema: TableSchema, publisher: Publisher) -> None:
        self.relation = schema.name
        self._publisher = publisher
        self._letters: bool | None = None
        self.reshape(schema)

    def reshape(self, schema: TableSchema) -> None:
        self._schema = schema
        names = columns_of(schema.names)
        self._read = f"SELECT _w, {names} FROM temp.{quote('d:' + schema.name)} ORDER BY _w"
        self._read_all = f"SELECT {names} FROM main.{quote(schema.name)}"

    def follow(self, connection: apsw.Connection, tick: Tick, cause: Cause, *, loading: bool) -> None:
        """The running tick's delta of the table becomes records."""
        rows = connection.execute(self._read).fetchall()
        self._put(connection, tick, cause, row_changes(self._schema, rows, loading=loading))

    def begin(self, connection: apsw.Connection, tick: Tick, cause: Cause) -> None:
        """At every start. Rows that were here before there was an outbox are put in, once."""
        connection.execute("INSERT OR IGNORE INTO _outbox_tables VALUES (?)", (self.relation,))
        if connection.changes() and self._schema.kept and table_exists(connection, self.relation):
            self.put_all(connection, tick, cause)

    def put_all(self, connection: apsw.Connection, tick: Tick, cause: Cause) -> None:
        """Every row of the table once more: after a change of its shape."""
        rows: Iterator[Row] = connection.execute(self._read_all)
        self._put(connection, tick, cause, (RowChange("r", None, row) for row in rows))

    def undo(self, tick: Tick) -> None:
        """Only what may be set aside is remembered, and can be read again."""
        self._letters = None

    def _put(
        self, connection: apsw.Connection, tick: Tick, cause: Cause, changes: Iterator[RowChange]
    ) -> None:
        commit = _commit_of(cause)
        records: list[tuple[int, str, bytes | None, bytes | None]] = []
        for change in changes:
            for key, value in self._encoded(connection, tick, change, commit):
                records.append((cause.log_sequence, self.relation, key, value))
        if records:
            connection.execute(
                "INSERT OR IGNORE INTO _outbox_causes VALUES (?, ?, ?, ?, ?)", (cause.log_sequence, *commit)
            )
            connection.executemany(
                "INSERT INTO _outbox(cause, relation, key, value) VALUES (?, ?, ?, ?)", records
            )

    def _encoded(
        self, connection: apsw.Connection, tick: Tick, change: RowChange, commit: Commit
    ) -> Sequence[tuple[bytes | None, bytes | None]]:
        """The records of a change. A row that has no form there goes, if it was there, and is set aside."""
        try:
            records = self._publisher.records(self._schema, change, commit)
            if self._has_letters(connection):
                self._forget_letter(connection, self._key_text(change))
            return records
        except Unfit as error:
            before, after = self._without_unfit(connection, tick, change, str(error))
        if before is None and after is None:
            return ()
        operation = "u" if before and after else "c" if after else "d"
        return self._publisher.records(self._schema, RowChange(operation, before, after), commit)

    def _without_unfit(
        self, connection: apsw.Connection, tick: Tick, change: RowChange, reason: str
    ) -> tuple[Sequence[Stored] | None, Sequence[Stored] | None]:
        before = change.before if change.before and self._is_fit(change.before) else None
        after = change.after if change.after and self._is_fit(change.after) else None
        if change.after and after is None:
            connection.execute(
                "INSERT OR REPLACE INTO _dead_letters(what, name, key, reason, tick, at_us) VALUES ('row', ?, ?, ?, ?, ?)",
                (self.relation, self._key_text(change), reason, tick, time.time_ns() // 1_000),
            )
            self._letters = True
        else:
            self._forget_letter(connection, self._key_text(change))
        return before, after

    def _key_text(self, change: RowChange) -> str:
        row = change.after or change.before or ()
        return repr(tuple(row[index] for index in self._schema.key_indexes))

    def _has_letters(self, connection: apsw.Connection) -> bool:
        """Whether rows of the table may be set aside."""
        if self._letters is None:
            found = connection.execute(
                "SELECT 1 FROM _dead_letters WHERE what = 'row' AND name = ? LIMIT 1", (self.relation,)
            )
            self._letters = found.fetchone() is not None
        return self._letters

    def _forget_letter(self, connection: apsw.Connection, key: str) -> None:
        connection.execute(
            "DELETE FROM _dead_letters WHERE what = 'row' AND name = ? AND key = ?", (self.relation, key)
        )

    def _is_fit(self, row: Sequence[Stored]) -> bool:
        try:
            self._publisher.records(self._schema, RowChange("c", None, row), _NO_COMMIT)
        except Unfit:
            return False
        return True


def table_exists(connection: apsw.Connection, name: str) -> bool:
    found = connection.execute("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?", (name,))
    return found.fetchone() is not None


_NO_COMMIT: Final = Commit("", "", 0, "")


def _commit_of(cause: Cause) -> Commit:
    return Commit(cause.source, cause.position or "", cause.committed_at_us, cause.transaction)


def row_changes(
    schema: TableSchema, rows: Sequence[tuple[Any, ...]], *, loading: bool
) -> Iterator[RowChange]:
    """A delta, of which the rows that go come first, as changes of rows. A row that goes and comes again as it was is none. Pure."""
    new = "r" if loading else "c"
    if not schema.kept or not schema.key:
        for weight, *row in rows:
            yield RowChange(new, None, tuple(row)) if weight > 0 else RowChange("d", tuple(row), None)
        return
    places = schema.key_indexes
    old: dict[Row, Row] = {}
    for weight, *values in rows:
        row = tuple(values)
        key = tuple(row[place] for place in places)
        if weight < 0:
            old[key] = row
            continue
        before = old.pop(key, None)
        if before is None:
            yield RowChange(new, None, row)
        elif before != row:
            yield RowChange("u", before, row)
    for row in old.values():
        yield RowChange("d", row, None)


@dataclass(frozen=True, slots=True)
class Sent:
    """The other log has everything up to ``through``; applied in a tick, by the engine."""

    through: int

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        connection.execute("DELETE FROM _outbox WHERE number <= ?", (self.through,))
        connection.execute(
            "DELETE FROM _outbox_causes WHERE cause < ifnull((SELECT min(cause) FROM _outbox), (SELECT max(cause) FROM _outbox_causes))"
        )


@dataclass(frozen=True, slots=True)
class SetAside:
    """Somebody else's records are among ours; applied in a tick, by the engine."""

    found: Foreign

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        topic, place, records = self.found
        reason = (
            f"{records} {'record that was' if records == 1 else 'records that were'} not written by capture. What cannot be read there is left out; "
            "a row that it names may be wrong until it changes. Let nobody but capture write to this topic."
        )
        connection.execute(
            "INSERT OR REPLACE INTO _dead_letters(what, name, key, reason, tick, at_us) VALUES ('record', ?, ?, ?, ?, ?)",
            (topic, place, reason, tick, time.time_ns() // 1_000),
        )


def identity(connection: apsw.Connection) -> str:
    """What distinguishes this state's numbers from another's."""
    [(found,)] = connection.execute("SELECT identity FROM _outbox_identity").fetchall()
    return str(found)


def last_number(connection: apsw.Connection) -> int:
    """The number of the newest record ever put in, as of a snapshot; 0 for none."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = '_outbox'").fetchone()
    return 0 if found is None else int(found[0])


def first_number(connection: apsw.Connection) -> int:
    """The number of the oldest record that is still here, or of the next one where none is."""
    [(found,)] = connection.execute("SELECT min(number) FROM _outbox").fetchall()
    return last_number(connection) + 1 if found is None else int(found)


def waiting(connection: apsw.Connection) -> int:
    """How many records wait."""
    [(count,)] = connection.execute("SELECT count(*) FROM _outbox").fetchall()
    return int(count)


def read_outbox(connection: apsw.Connection, after: int, through: int, most: int) -> list[Outgoing]:
    """Records with ``after < number <= through``, in order, at most ``most``."""
    rows = connection.execute(
        """SELECT o.number, o.relation, o.key, o.value, c.source, c.position, c.committed_at_us, c.transaction_name
           FROM _outbox o JOIN _outbox_causes c ON c.cause = o.cause
           WHERE o.number > ? AND o.number <= ? ORDER BY o.number LIMIT ?""",
        (after, through, most),
    )
    return [Outgoing(row[0], row[1], row[2], row[3], Commit(row[4], row[5], row[6], row[7])) for row in rows]
