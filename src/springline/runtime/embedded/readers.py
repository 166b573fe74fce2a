"""Read connections, and the care of the WAL.

A read transaction is a snapshot. SQLite cannot move the WAL into the file past the oldest reader, so readers are few, short
(``maximum_snapshot_age_s``), and held back for a moment when the WAL has grown beyond its limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import apsw

from springline.errors import SnapshotTooOld, StateError
from springline.storage import Memory, connect

CHECKPOINT_PATIENCE_MS = 250
"""How long a checkpoint that starts the WAL over may wait for the engine's running tick."""

START_OVER_BYTES = 8 << 20
PAGE_BYTES = 4096


class Readers:
    """A pool of read-only connections behind a gate. Thread-safe."""

    def __init__(
        self,
        path: Path,
        *,
        most: int = 8,
        maximum_snapshot_age_s: float = 10.0,
        prepare: Callable[[apsw.Connection], None] = lambda _: None,
        vfs: str | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory
        self._path = path
        self._vfs = vfs
        self._prepare = prepare
        self._most = most
        self._maximum_age_s = maximum_snapshot_age_s
        self._free: list[apsw.Connection] = []
        self._open: dict[apsw.Connection, float] = {}
        self._expired: set[apsw.Connection] = set()
        self._changed = threading.Condition()
        self._gate_closed = False
        self._closed = False

    @contextlib.contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """A connection inside a read transaction. Raises SnapshotTooOld where the body took too long."""
        connection = self._take()
        try:
            connection.execute("BEGIN")
            yield connection
        except (apsw.InterruptError, apsw.ConnectionClosedError) as error:
            if connection in self._expired:
                raise SnapshotTooOld(
                    f"This read took longer than {self._maximum_age_s:g} s, the longest that a snapshot may be held.",
                    hint="Ask for less at once, or raise maximum_snapshot_age_s.",
                ) from error
            raise
        finally:
            self._give_back(connection)

    def expire(self) -> None:
        """Ends readers that hold their snapshot for too long; called by the maintenance thread. One that runs a statement is interrupted;
        of one that merely holds its snapshot the connection is closed, so that its next statement cannot see another state."""
        now = time.monotonic()
        with self._changed:
            for connection, since in self._open.items():
                if now - since <= self._maximum_age_s:
                    continue
                self._expired.add(connection)
                with contextlib.suppress(apsw.ConnectionClosedError):
                    connection.interrupt()
                    with contextlib.suppress(apsw.ThreadingViolationError):
                        connection.close()

    @contextlib.contextmanager
    def held_back(self, patience_s: float) -> Iterator[bool]:
        """Closes the gate for new readers and waits until the others are gone; yields whether they are."""
        with self._changed:
            self._gate_closed = True
            empty = self._changed.wait_for(lambda: not self._open, patience_s)
        try:
            yield empty
        finally:
            with self._changed:
                self._gate_closed = False
                self._changed.notify_all()

    def open_count(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """Idempotent. Readers that are still open finish."""
        with self._changed:
            self._closed = True
            for connection in self._free:
                connection.close()
            self._free.clear()
            self._changed.notify_all()

    def _take(self) -> apsw.Connection:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (not self._gate_closed and len(self._open) < self._most)
            )
            if self._closed:
                raise StateError("The application is stopping.", hint="Start it again with `springline run`.")
            connection = self._free.pop() if self._free else None
            if connection is None:
                connection = connect(self._path, read_only=True, vfs=self._vfs, memory=self._memory)
                self._prepare(connection)
            self._open[connection] = time.monotonic()
            return connection

    def _give_back(self, connection: apsw.Connection) -> None:
        with contextlib.suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        with self._changed:
            self._open.pop(connection, None)
            expired = connection in self._expired
            self._expired.discard(connection)
            if self._closed or expired:
                connection.close()
            else:
                self._free.append(connection)
            self._changed.notify_all()


class Checkpointer:
    """Moves the WAL of ``state.db`` into the file, on a connection of its own. Used by the maintenance thread.

    ``between_ticks``: no tick runs while it is held. SQLite's own lock would do as well, but who waits for that sleeps in steps.
    """

    def __init__(
        self,
        path: Path,
        readers: Readers,
        between_ticks: AbstractContextManager[object],
        *,
        wal_limit_bytes: int = 64 << 20,
        vfs: str | None = None,
    ) -> None:
        self._between_ticks = between_ticks
        self._wal = path.with_name(path.name + "-wal")
        self._connection = connect(path, vfs=vfs)
        self._connection.set_busy_timeout(CHECKPOINT_PATIENCE_MS)
        self._readers = readers
        self.wal_limit_bytes = wal_limit_bytes

    def wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def run(self) -> None:
        """One passive checkpoint. A busy engine always adds a little more, so that the WAL never starts over by itself: beyond some
        size the engine waits for a second, short one, and writes the file from its beginning again, which syncs faster than a file
        that grows. Beyond its limit, it is truncated, with new readers held back for a moment."""
        with contextlib.suppress(apsw.BusyError):
            frames, _ = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self.wal_bytes() > self.wal_limit_bytes:
                # With a reader left it would wait for that one, and hold the engine back meanwhile.
                with self._readers.held_back(patience_s=0.5) as is_empty, self._between_ticks:
                    if is_empty:
                        self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            elif frames * PAGE_BYTES > START_OVER_BYTES:
                with self._between_ticks:
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        self._connection.close()
