"""The log as one SQLite file, ``log.db``.

``transactions`` holds one row for each whole source transaction, in commit order, with its entries inline. A transaction
that was spilled has its entries in ``fragments`` instead: they become visible when the ``transactions`` row, the
commit marker, is written. The source's position is updated in the same SQLite transaction.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from springline.core.change import Entry, Transaction, size_of
from springline.core.codec import decode_entries, decode_value, encode_entries, encode_value
from springline.core.position import Position, PositionVector, position_from_text, position_to_text
from springline.errors import ConfigurationError, NotFound, StateError
from springline.log.base import Logged
from springline.log.recent import Recent, Whole
from springline.storage import Format, backup_to, check_version, connect, immediate, open_file, reported


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

WAL_LIMIT_BYTES = 16 << 20

_COLUMNS = """t.sequence, s.name, t.position, t.committed_at_us, t.captured_at_us, t.identifier, t.actor, t.size,
              coalesce(t.first_fragment, 0), coalesce(t.last_fragment, 0)"""


class LogReader:
    """The reading half of a log. Alone it reads the log of another process, which goes on writing. Thread-safe."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """Raises StateError where ``path`` is not a log of this version."""
        self.path = path
        self._vfs = vfs
        self._readers = threading.local()
        self._reader_list: list[apsw.Connection] = []
        self._reader_lock = threading.Lock()
        self._closed = False
        with reported(path):
            check_version(self._reader(), path, LOG_FORMAT)

    def read(self, after: int, limit: int) -> list[Logged]:
        found: list[Logged] = []
        entries = 0
        cursor = self._reader().execute(
            f"""SELECT {_COLUMNS} FROM transactions t JOIN sources s ON s.id = t.source
                WHERE t.sequence > ? ORDER BY t.sequence LIMIT ?""",
            (after, limit),
        )
        for row in cursor:
            logged = Logged._make(row)
            if found and entries + logged.size > limit:
                cursor.close()
                break
            found.append(logged)
            entries += logged.size
        return found

    def entries(self, transaction: Logged) -> Iterator[list[Entry]]:
        """Raises NotFound where retention has dropped the transaction."""
        if not transaction.is_spilled:
            found = self._reader().execute(
                "SELECT entries FROM transactions WHERE sequence = ?", (transaction.sequence,)
            )
        else:
            found = self._reader().execute(
                """SELECT f.entries FROM fragments f JOIN sources s ON s.id = f.source
                   WHERE s.name = ? AND f.id BETWEEN ? AND ? ORDER BY f.id""",
                (transaction.source, transaction.first_fragment, transaction.last_fragment),
            )
        is_there = False
        for (data,) in found:
            is_there = True
            yield decode_entries(data)
        if not is_there:
            raise NotFound(
                f"{self.path} no longer holds transaction {transaction.sequence}; it begins at {self.first_sequence()}.",
                hint="Raise log_retention_s to keep changes for longer.",
            )

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
            logged = Logged._make(row[:10])
            if logged.is_spilled or (found and entries + logged.size > limit):
                cursor.close()
                break
            found.append((logged, decode_entries(row[10])))
            entries += logged.size
        return found

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

    def newest_sequence(self) -> int:
        """The newest committed transaction, read from the file; 0 if there is none."""
        [(following,)] = self._reader().execute("SELECT next FROM bounds").fetchall()
        return int(following) - 1

    def size_bytes(self) -> int:
        """Bytes of the file that hold something; without its WAL, and without pages that are free to be used again."""
        [(pages, free, size)] = (
            self._reader()
            .execute(
                "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            )
            .fetchall()
        )
        return (int(pages) - int(free)) * int(size)

    def sequence_at(self, captured_from_us: int) -> int:
        """The first sequence captured at or after a time; one beyond the last if there is none."""
        [(found,)] = (
            self._reader()
            .execute("SELECT min(sequence) FROM transactions WHERE captured_at_us >= ?", (captured_from_us,))
            .fetchall()
        )
        return int(found) if found is not None else self.newest_sequence() + 1

    def backup(self, target: Path) -> None:
        """Copies the log as of now. Raises StateError."""
        with contextlib.closing(connect(self.path, read_only=True, vfs=self._vfs)) as connection:
            backup_to(connection, target)

    def close(self) -> None:
        """Idempotent."""
        with self._reader_lock:
            self._closed = True
            connections, self._reader_list = self._reader_list, []
        for connection in connections:
            connection.close()

    def _reader(self) -> apsw.Connection:
        connection = getattr(self._readers, "connection", None)
        if connection is None or self._closed:
            if self._closed:
                raise StateError(
                    f"{self.path} is closed.", hint="The application is stopping; start it again."
                )
            connection = connect(self.path, read_only=True, vfs=self._vfs)
            self._readers.connection = connection
            with self._reader_lock:
                self._reader_list.append(connection)
        return connection


class SqliteLog(LogReader):
    """Implements ``log.base.Log`` on one file. One writing connection, shared by all sources under a lock."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self._connection = open_file(path, LOG_FORMAT, vfs=vfs)
        super().__init__(path, vfs=vfs)
        # Checkpoints sync the file; they are made beside the writer (``checkpoint``), which so waits for its own commits alone.
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        self._connection.pragma("journal_size_limit", WAL_LIMIT_BYTES)
        self._checkpointer = connect(path, vfs=vfs)
        self._wal_path = path.with_name(path.name + "-wal")
        self._write_lock = threading.Lock()
        self._committed = threading.Condition()
        self._woken = False
        self._open_sources: set[str] = set()
        # The counter outlives retention, which may empty the table.
        [(self._next_sequence,)] = self._connection.execute("SELECT next FROM bounds").fetchall()
        self.recent = Recent(self._committed, self._next_sequence - 1)

    def open_writer(self, source: str) -> SqliteCaptureWriter:
        with self._write_lock:
            if source in self._open_sources:
                raise ConfigurationError(
                    f"Two sources are named {source!r}.", hint="Give each source its own name."
                )
            with reported(self.path), immediate(self._connection):
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
        return SqliteCaptureWriter(
            self, source, number, position_from_text(position) if position else None, progress
        )

    def release_writer(self, source: str) -> None:
        """Lets the source be opened again. Idempotent."""
        with self._write_lock:
            self._open_sources.discard(source)

    def wait(self, after: int, timeout_s: float) -> bool:
        with self._committed:
            return self._committed.wait_for(
                lambda: self.recent.durable > after or self._closed, timeout_s
            ) and (self.recent.durable > after)

    def wait_or_wake(self, after: int, timeout_s: float) -> None:
        """Like ``wait``, and also ends when something is offered, or when ``wake`` is, or since the last wait was, called."""
        with self._committed:
            self._committed.wait_for(
                lambda: self._woken or self.recent.offered > after or self._closed, timeout_s
            )
            self._woken = False

    def wake(self) -> None:
        """Ends a ``wait_or_wake``; for a caller that waits for something else as well."""
        with self._committed:
            self._woken = True
            self._committed.notify_all()

    def last_sequence(self) -> int:
        return self.recent.durable

    def trim(self, before: int, *, most: int = 5_000) -> int:
        """Forgets transactions with ``sequence < before``, at most ``most`` of them; how many were forgotten."""
        with self._write_lock, reported(self.path), immediate(self._connection):
            [(first, target)] = self._connection.execute(
                """SELECT b.first, (SELECT max(sequence) FROM (
                       SELECT sequence FROM transactions WHERE sequence < ? ORDER BY sequence LIMIT ?))
                   FROM bounds b""",
                (before, most),
            ).fetchall()
            if target is None:
                return 0
            spilled = self._connection.execute(
                """SELECT source, first_fragment, last_fragment FROM transactions
                   WHERE sequence <= ? AND first_fragment IS NOT NULL""",
                (target,),
            ).fetchall()
            # By range of keys: fragments of a transaction that is still arriving lie outside all of them.
            self._connection.executemany(
                "DELETE FROM fragments WHERE source = ? AND id BETWEEN ? AND ?", spilled
            )
            self._connection.execute("DELETE FROM transactions WHERE sequence <= ?", (target,))
            self._connection.execute("UPDATE bounds SET first = ?", (target + 1,))
            return int(target) + 1 - int(first)

    def checkpoint(self) -> None:
        """Moves the WAL into the file as far as readers allow; for the maintenance thread. Writers go on meanwhile."""
        with reported(self.path), contextlib.suppress(apsw.BusyError):
            self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if _size(self._wal_path) > WAL_LIMIT_BYTES:
                # A WAL starts over only when all of it is in the file, and a busy writer always adds a little more. What is
                # left is short now, so the writer waits for it.
                with self._write_lock:
                    self._checkpointer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        with self._write_lock:
            if self._closed:
                return
            super().close()
            self._checkpointer.close()
            self._connection.close()
        self.wake()

    def commit(self, writer: SqliteCaptureWriter) -> None:
        """Writes what a writer has gathered; called by the writer."""
        with self._write_lock:
            whole = self._whole(writer)
            self.recent.offer(whole)
            try:
                with reported(self.path), immediate(self._connection):
                    sequence = self._write(writer, whole)
            except BaseException:
                self.recent.withdraw()
                raise
            self._next_sequence = sequence
            # Under the write lock, so that a slower thread never takes the newest sequence back.
            self.recent.settle(sequence - 1)

    def _whole(self, writer: SqliteCaptureWriter) -> list[Whole]:
        """The transactions that are here whole, with the sequences that they will have."""
        now_us = time.time_ns() // 1_000
        sequence, is_spilled = self._next_sequence, bool(writer.first_fragment)
        found: list[Whole] = []
        for one in writer.pending:
            if not one.last:
                is_spilled = True
                continue
            if not is_spilled:
                position, size = position_to_text(one.position), size_of(one.entries)
                logged = Logged(
                    sequence,
                    one.source,
                    position,
                    one.committed_at_us,
                    now_us,
                    one.identifier,
                    one.actor,
                    size,
                )
                found.append((logged, one.entries))
            sequence += 1
            is_spilled = False
        return found

    def _write(self, writer: SqliteCaptureWriter, whole: Sequence[Whole]) -> int:
        """Writes a writer's transactions, fragments, position and progress; the next sequence."""
        execute = self._connection.execute
        rows = [
            (one.sequence, writer.number, *one[2:8], None, None, encode_entries(entries))
            for one, entries in whole
        ]
        sequence = self._next_sequence + len(rows)
        writer.spilled = (writer.first_fragment, writer.fragments)
        if len(rows) < len(writer.pending):
            sequence = self._write_spilled(writer, rows)
        if rows:
            self._connection.executemany(
                "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            execute("UPDATE bounds SET next = ?", (sequence,))
        if (position := writer.pending_position()) is not None:
            execute(
                "UPDATE sources SET position = ? WHERE id = ?", (position_to_text(position), writer.number)
            )
        for name, value in writer.saved.items():
            if value is None:
                execute("DELETE FROM progress WHERE source = ? AND name = ?", (writer.number, name))
            else:
                execute(
                    "INSERT OR REPLACE INTO progress VALUES (?, ?, ?)",
                    (writer.number, name, encode_value(value)),
                )
        return sequence

    def _write_spilled(self, writer: SqliteCaptureWriter, rows: list[tuple[Any, ...]]) -> int:
        """Writes the fragments that are pending, adds the markers of those that end to ``rows``; the next sequence."""
        now_us = time.time_ns() // 1_000
        sequence, first, size = self._next_sequence, writer.first_fragment, writer.fragments
        for one in writer.pending:
            if one.last and not first:
                sequence += 1
                continue
            self._connection.execute(
                "INSERT INTO fragments(source, size, entries) VALUES (?, ?, ?)",
                (writer.number, size_of(one.entries), encode_entries(one.entries)),
            )
            identifier = self._connection.last_insert_rowid()
            first = first or identifier
            size += size_of(one.entries)
            if one.last:
                head = (sequence, writer.number, position_to_text(one.position), one.committed_at_us, now_us)
                rows.append((*head, one.identifier, one.actor, size, first, identifier, None))
                sequence += 1
                first, size = 0, 0
        writer.spilled = (first, size)
        return sequence


class SqliteCaptureWriter:
    """Implements ``log.base.CaptureWriter``: gathers in memory, writes in ``commit``."""

    def __init__(
        self,
        log: SqliteLog,
        source: str,
        number: int,
        position: Position | None,
        progress: Mapping[str, object],
    ) -> None:
        self._log = log
        self._source = source
        self._position = position
        self._progress = dict(progress)
        self._reached: Position | None = None
        self.number = number
        self.pending: list[Transaction] = []
        self.saved: dict[str, object | None] = {}
        self.first_fragment = 0
        self.fragments = 0
        self.spilled: tuple[int, int] = (0, 0)

    def position(self) -> Position | None:
        return self._position

    def progress(self) -> Mapping[str, object]:
        return self._progress

    def append(self, transaction: Transaction) -> None:
        self.pending.append(transaction)
        if transaction.last:
            self._reached = transaction.position

    def save(self, name: str, value: object | None) -> None:
        self.saved[name] = value

    def advance(self, position: Position) -> None:
        self._reached = position

    def pending_position(self) -> Position | None:
        """Where the source stands after the next commit; None if that does not change."""
        return self._reached

    def commit(self) -> Position | None:
        if self.pending or self.saved or self._reached is not None:
            self._log.commit(self)
            self.first_fragment, self.fragments = self.spilled
            self._position = self._reached or self._position
            for name, value in self.saved.items():
                if value is None:
                    self._progress.pop(name, None)
                else:
                    self._progress[name] = value
            self.pending, self.saved, self._reached = [], {}, None
        return self._position

    def wait_for_room(self, timeout_s: float) -> None:
        self._log.recent.wait_for_room(timeout_s)

    def discard(self) -> None:
        """Forgets what was not committed."""
        self.pending, self.saved, self._reached = [], {}, None

    def close(self) -> None:
        """Forgets what was not committed and lets the source be opened again."""
        self.discard()
        self._log.release_writer(self._source)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
