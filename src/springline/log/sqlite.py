"""The log as one SQLite file, ``log.db``.

``transactions`` holds one row for each whole source transaction, in commit order, with its entries inline. A transaction
that was spilled has its entries in ``fragments`` instead: they become visible when the ``transactions`` row, the
commit marker, is written. The source's position is updated in the same SQLite transaction.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import apsw

from springline.core.change import Entry, Transaction
from springline.core.codec import decode_entries, decode_value, encode_entries, encode_value
from springline.core.position import Position, PositionVector, position_from_text, position_to_text
from springline.errors import ConfigurationError
from springline.log.base import Logged
from springline.storage import Format, connect, immediate, open_file, storage_error


def _create(connection: apsw.Connection) -> None:
    connection.execute("""
        CREATE TABLE sources(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, position TEXT) STRICT;
        CREATE TABLE progress(
            source INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(source, name)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE fragments(
            id INTEGER PRIMARY KEY, source INTEGER NOT NULL, size INTEGER NOT NULL, entries BLOB NOT NULL
        ) STRICT;
        CREATE TABLE transactions(
            sequence INTEGER PRIMARY KEY, source INTEGER NOT NULL, position TEXT NOT NULL,
            committed_at_us INTEGER NOT NULL, captured_at_us INTEGER NOT NULL, identifier TEXT NOT NULL, actor TEXT,
            size INTEGER NOT NULL, first_fragment INTEGER, last_fragment INTEGER, entries BLOB
        ) STRICT;
        CREATE TABLE bounds(only INTEGER PRIMARY KEY CHECK (only = 1), first INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;
        INSERT INTO bounds VALUES (1, 1, 1);
    """)


LOG_FORMAT = Format("log.db", (_create,))

_COLUMNS = """t.sequence, s.name, t.position, t.committed_at_us, t.captured_at_us, t.identifier, t.actor, t.size,
              coalesce(t.first_fragment, 0), coalesce(t.last_fragment, 0)"""


class SqliteLog:
    """Implements ``log.base.Log`` on one file. One writing connection, shared by all sources under a lock."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self.path = path
        self._vfs = vfs
        self._connection = open_file(path, LOG_FORMAT, vfs=vfs)
        # Checkpoints sync the file; they are made beside the writer (``checkpoint``), which so waits for its own commits alone.
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._checkpointer = connect(path, vfs=vfs)
        self._write_lock = threading.Lock()
        self._committed = threading.Condition()
        self._woken = False
        self._open_sources: set[str] = set()
        self._readers = threading.local()
        self._reader_list: list[apsw.Connection] = []
        self._closed = False
        # The counter outlives retention, which may empty the table.
        [(self._next_sequence,)] = self._connection.execute("SELECT next FROM bounds").fetchall()
        self._last_sequence = self._next_sequence - 1

    def open_writer(self, source: str) -> SqliteCaptureWriter:
        with self._write_lock:
            if source in self._open_sources:
                raise ConfigurationError(f"Two sources are named {source!r}.", hint="Give each source its own name.")
            with immediate(self._connection):
                self._connection.execute("INSERT OR IGNORE INTO sources(name) VALUES (?)", (source,))
                [(number, position)] = self._connection.execute(
                    "SELECT id, position FROM sources WHERE name = ?", (source,)
                ).fetchall()
                # A transaction whose marker never came: the source delivers it again.
                self._connection.execute(
                    """DELETE FROM fragments WHERE source = ?1 AND id >
                       (SELECT coalesce(max(last_fragment), 0) FROM transactions WHERE source = ?1)""",
                    (number,),
                )
                progress = {
                    name: decode_value(value)
                    for name, value in self._connection.execute(
                        "SELECT name, value FROM progress WHERE source = ?", (number,)
                    )
                }
            self._open_sources.add(source)
        return SqliteCaptureWriter(self, source, number, position_from_text(position) if position else None, progress)

    def release_writer(self, source: str) -> None:
        """Lets the source be opened again. Idempotent."""
        with self._write_lock:
            self._open_sources.discard(source)

    def read(self, after: int, limit: int) -> list[Logged]:
        found: list[Logged] = []
        entries = 0
        cursor = self._reader().execute(
            f"""SELECT {_COLUMNS} FROM transactions t JOIN sources s ON s.id = t.source
                WHERE t.sequence > ? ORDER BY t.sequence LIMIT ?""",
            (after, limit),
        )
        for row in cursor:
            logged = _logged(row)
            if found and entries + logged.size > limit:
                cursor.close()
                break
            found.append(logged)
            entries += logged.size
        return found

    def entries(self, transaction: Logged) -> Iterator[list[Entry]]:
        if not transaction.is_spilled:
            [(data,)] = self._reader().execute(
                "SELECT entries FROM transactions WHERE sequence = ?", (transaction.sequence,)
            ).fetchall()
            yield decode_entries(data)
            return
        for (data,) in self._reader().execute(
            """SELECT f.entries FROM fragments f JOIN sources s ON s.id = f.source
               WHERE s.name = ? AND f.id BETWEEN ? AND ? ORDER BY f.id""",
            (transaction.source, transaction.first_fragment, transaction.last_fragment),
        ):
            yield decode_entries(data)

    def read_small(self, after: int, limit: int) -> list[tuple[Logged, list[Entry]]]:
        """Like ``read``, with the entries, in one statement; stops before a spilled transaction. The engine's fast path."""
        found: list[tuple[Logged, list[Entry]]] = []
        entries = 0
        cursor = self._reader().execute(
            f"""SELECT {_COLUMNS}, t.entries FROM transactions t JOIN sources s ON s.id = t.source
                WHERE t.sequence > ? ORDER BY t.sequence LIMIT ?""",
            (after, limit),
        )
        for row in cursor:
            logged = _logged(row)
            if logged.is_spilled or (found and entries + logged.size > limit):
                cursor.close()
                break
            found.append((logged, decode_entries(row[10])))
            entries += logged.size
        return found

    def wait(self, after: int, timeout_s: float) -> bool:
        with self._committed:
            return self._committed.wait_for(lambda: self._last_sequence > after or self._closed, timeout_s) and (
                self._last_sequence > after
            )

    def wait_or_wake(self, after: int, timeout_s: float) -> None:
        """Like ``wait``, and also ends when ``wake`` is, or since the last wait was, called."""
        with self._committed:
            self._committed.wait_for(lambda: self._woken or self._last_sequence > after or self._closed, timeout_s)
            self._woken = False

    def wake(self) -> None:
        """Ends a ``wait_or_wake``; for a caller that waits for something else as well."""
        with self._committed:
            self._woken = True
            self._committed.notify_all()

    def positions(self) -> PositionVector:
        return PositionVector(
            {
                name: position_from_text(position)
                for name, position in self._reader().execute(
                    "SELECT name, position FROM sources WHERE position IS NOT NULL"
                )
            }
        )

    def first_sequence(self) -> int:
        [(first,)] = self._reader().execute("SELECT first FROM bounds").fetchall()
        return int(first)

    def last_sequence(self) -> int:
        return self._last_sequence

    def size_bytes(self) -> int:
        """Size of the file, without its WAL."""
        return self.path.stat().st_size

    def trim(self, before: int, *, most: int = 5_000) -> int:
        """Forgets transactions with ``sequence < before``, at most ``most`` of them; how many were forgotten."""
        with self._write_lock, immediate(self._connection):
            [(first, target)] = self._connection.execute(
                """SELECT b.first, (SELECT max(sequence) FROM (
                       SELECT sequence FROM transactions WHERE sequence < ? ORDER BY sequence LIMIT ?))
                   FROM bounds b""",
                (before, most),
            ).fetchall()
            if target is None:
                return 0
            self._connection.execute(
                """DELETE FROM fragments WHERE EXISTS (
                       SELECT 1 FROM transactions t WHERE t.sequence <= ?1 AND t.source = fragments.source
                       AND fragments.id BETWEEN t.first_fragment AND t.last_fragment)""",
                (target,),
            ) if self._has_fragments() else None
            self._connection.execute("DELETE FROM transactions WHERE sequence <= ?", (target,))
            self._connection.execute("UPDATE bounds SET first = ?", (target + 1,))
            return int(target) + 1 - int(first)

    def sequence_at(self, captured_before_us: int) -> int:
        """The first sequence captured at or after a time; one beyond the last if there is none."""
        [(found,)] = self._reader().execute(
            "SELECT min(sequence) FROM transactions WHERE captured_at_us >= ?", (captured_before_us,)
        ).fetchall()
        return int(found) if found is not None else self._last_sequence + 1

    def checkpoint(self) -> None:
        """Moves the WAL into the file as far as readers allow; for the maintenance thread. Writers go on meanwhile."""
        with contextlib.suppress(apsw.BusyError):
            self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def backup(self, target: Path) -> None:
        from springline.storage import backup_to

        backup_to(self._reader(), target)

    def close(self) -> None:
        with self._write_lock:
            if self._closed:
                return
            self._closed = True
            for connection in [*self._reader_list, self._checkpointer, self._connection]:
                connection.close()
        self.wake()

    def commit(self, writer: SqliteCaptureWriter) -> None:
        """Writes what a writer has gathered; called by the writer."""
        with self._write_lock:
            sequence = self._next_sequence
            try:
                with immediate(self._connection):
                    sequence = self._write(writer, sequence)
            except apsw.Error as error:
                raise storage_error(error, self.path) from error
            self._next_sequence = sequence
            grew = sequence - 1 > self._last_sequence
        if grew:
            with self._committed:
                self._last_sequence = sequence - 1
                self._committed.notify_all()

    def _write(self, writer: SqliteCaptureWriter, sequence: int) -> int:
        execute = self._connection.execute
        now_us = time.time_ns() // 1_000
        first_fragment, fragments = writer.first_fragment, writer.fragments
        rows: list[tuple[Any, ...]] = []
        for transaction in writer.pending:
            data = encode_entries(transaction.entries)
            size = len(transaction.entries)
            position = position_to_text(transaction.position)
            head = (writer.number, position, transaction.committed_at_us, now_us, transaction.identifier)
            if transaction.last and not fragments:
                rows.append((sequence, *head, transaction.actor, size, None, None, data))
                sequence += 1
                continue
            execute("INSERT INTO fragments(source, size, entries) VALUES (?, ?, ?)", (writer.number, size, data))
            identifier = self._connection.last_insert_rowid()
            first_fragment = first_fragment or identifier
            fragments += size
            if transaction.last:
                rows.append((sequence, *head, transaction.actor, fragments, first_fragment, identifier, None))
                sequence += 1
                first_fragment, fragments = 0, 0
        if rows:
            self._connection.executemany("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            execute("UPDATE bounds SET next = ?", (sequence,))
        if (position := writer.pending_position()) is not None:
            execute("UPDATE sources SET position = ? WHERE id = ?", (position_to_text(position), writer.number))
        for name, value in writer.saved.items():
            if value is None:
                execute("DELETE FROM progress WHERE source = ? AND name = ?", (writer.number, name))
            else:
                execute("INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", (writer.number, name, encode_value(value)))
        writer.spilled = (first_fragment, fragments)
        return sequence

    def _has_fragments(self) -> bool:
        return self._connection.execute("SELECT 1 FROM fragments LIMIT 1").fetchone() is not None

    def _reader(self) -> apsw.Connection:
        connection = getattr(self._readers, "connection", None)
        if connection is None:
            connection = connect(self.path, read_only=True, vfs=self._vfs)
            self._readers.connection = connection
            self._reader_list.append(connection)
        return connection


class SqliteCaptureWriter:
    """Implements ``log.base.CaptureWriter``: gathers in memory, writes in ``commit``."""

    def __init__(
        self, log: SqliteLog, source: str, number: int, position: Position | None, progress: Mapping[str, object]
    ) -> None:
        self._log = log
        self._source = source
        self._position = position
        self._progress = dict(progress)
        self._advanced: Position | None = None
        self.number = number
        self.pending: list[Transaction] = []
        self.saved: dict[str, object | None] = {}
        self.first_fragment = 0
        self.fragments = 0
        self.spilled = (0, 0)

    def position(self) -> Position | None:
        return self._position

    def progress(self) -> Mapping[str, object]:
        return self._progress

    def append(self, transaction: Transaction) -> None:
        self.pending.append(transaction)

    def save(self, name: str, value: object | None) -> None:
        self.saved[name] = value

    def advance(self, position: Position) -> None:
        self._advanced = position

    def pending_position(self) -> Position | None:
        """Where the source stands after the next commit; None if that does not change."""
        ended = [transaction.position for transaction in self.pending if transaction.last]
        return self._advanced or (ended[-1] if ended else None)

    def commit(self) -> Position | None:
        if self.pending or self.saved or self._advanced is not None:
            self._log.commit(self)
            self.first_fragment, self.fragments = self.spilled
            self._position = self.pending_position() or self._position
            for name, value in self.saved.items():
                if value is None:
                    self._progress.pop(name, None)
                else:
                    self._progress[name] = value
            self.pending, self.saved, self._advanced = [], {}, None
        return self._position

    def discard(self) -> None:
        """Forgets what was not committed."""
        self.pending, self.saved, self._advanced = [], {}, None

    def close(self) -> None:
        """Forgets what was not committed and lets the source be opened again."""
        self.discard()
        self._log.release_writer(self._source)


def _logged(row: tuple[Any, ...]) -> Logged:
    return Logged(
        sequence=row[0],
        source=row[1],
        position=position_from_text(row[2]),
        committed_at_us=row[3],
        captured_at_us=row[4],
        identifier=row[5],
        actor=row[6],
        size=row[7],
        first_fragment=row[8],
        last_fragment=row[9],
    )
