"""Reads chunks of tables in a thread of its own, and puts a token behind each into the write-ahead log."""

from __future__ import annotations

import contextlib
import queue
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import psycopg2

from springline.core.change import Row
from springline.errors import SpringlineError
from springline.sources.postgres.catalog import Shape, shapes_by_oid
from springline.sources.postgres.connection import Connection, Connector, literal, quoted, rows
from springline.sources.postgres.snapshot import TransactionSnapshot
from springline.sources.postgres.values import Converter

PREFIX: Final = "springline"
"""Prefix of the logical messages that are ours."""

LOCAL_COMMIT: Final = "SET synchronous_commit = local"
"""A token must reach the server's own disk, since only then is it streamed; it need not wait for standbys."""

SPOOLED_BATCH_ROWS: Final = 5_000
_SPOOL_MEMORY_BYTES: Final = 8 << 20
_LOCK_TIMEOUT_MS: Final = 10_000
_PAUSE_S: Final = 0.05

_WRITERS: Final = """
SELECT DISTINCT l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  AND (l.relation = %s OR l.relation IN (SELECT relid FROM pg_partition_tree(%s)))"""

_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Job:
    """What to read: rows after a key, rows with given keys, or (a table without a key) all rows. ``load`` numbers the load that
    it belongs to. Keys are PostgreSQL's text."""

    load: int
    shape: Shape
    converters: Sequence[Converter | None]
    limit: int
    after: tuple[str, ...] | None = None
    keys: tuple[tuple[str, ...], ...] = ()


@dataclass(slots=True)
class Chunk:
    """What was read. ``moved``: the table no longer has the job's shape, nothing was read. ``last`` is the key of the last
    row; ``is_final``: there are no rows behind it."""

    job: Job
    snapshot: TransactionSnapshot
    rows: list[Row] = field(default_factory=list[Row])
    last: tuple[str, ...] | None = None
    is_final: bool = True
    moved: bool = False
    spool: Spool | None = None


class Spool:
    """Rows of a table without a key, which are read in one transaction however many they are: on disk beyond 8 MiB."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_MEMORY_BYTES)  # noqa: SIM115
        self._sizes: list[int] = []
        self.count = 0

    def add(self, batch: list[Row]) -> None:
        self._sizes.append(self._file.write(msgspec.msgpack.encode(batch)))
        self.count += len(batch)

    def batches(self) -> Iterator[list[Row]]:
        self._file.seek(0)
        for size in self._sizes:
            yield msgspec.msgpack.decode(self._file.read(size))
        self._file.close()


class ChunkReader:
    """The thread and its connection. ``submit`` and ``take`` are for the streaming thread."""

    def __init__(self, connector: Connector, slot: str) -> None:
        self.run_id = uuid.uuid4().hex[:12]
        self.error: SpringlineError | None = None
        self.waiting_for: tuple[str, ...] = ()
        """Virtual transaction ids that a load waits for; see ``snapshot.py``."""
        self._connector = connector
        self._slot = slot
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._chunks: dict[str, Chunk] = {}
        self._writers: dict[int, set[str]] = {}
        self._count = 0
        self._stopped = threading.Event()
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"snapshot:{self._connector.source}", daemon=True
            )
            self._thread.start()
        self._jobs.put(job)

    def take(self, token: str) -> Chunk | None:
        """The chunk whose token arrived in the stream; None for a token of an earlier run."""
        return self._chunks.pop(token, None)

    def stop(self) -> None:
        """Returns when the thread has ended. Idempotent."""
        self._stopped.set()
        self._jobs.put(None)
        if self._thread is not None and self._thread.is_alive():
            if self._connection is not None:
                with contextlib.suppress(psycopg2.Error):
                    self._connection.cancel()
            self._thread.join(5.0)

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None and not self._stopped.is_set():
                connection = self._connection
                if connection is None:
                    connection = self._connection = self._connector.query()
                    rows(connection, LOCAL_COMMIT)
                if self._must_wait(connection, job):
                    self._jobs.put(job)
                    time.sleep(_PAUSE_S)
                    continue
                try:
                    chunk = read_chunk(connection, job)
                except (psycopg2.errors.LockNotAvailable, psycopg2.errors.QueryCanceled):
                    self._jobs.put(job)  # somebody holds the table exclusively: later
                    continue
                self._publish(connection, chunk)
        except psycopg2.Error as error:
            self.error = self._connector.error(error)
        except SpringlineError as error:
            self.error = error
        except Exception as error:  # the streaming thread raises it
            self.error = SpringlineError(
                f"The snapshot of source {self._connector.source!r} failed: {error!r}."
            )
        finally:
            if self._connection is not None:
                self._connection.close()

    def _must_wait(self, connection: Connection, job: Job) -> bool:
        """Whether a transaction that had written to the table when its load began is still open."""
        found = (
            {str(row[0]) for row in rows(connection, _WRITERS, (job.shape.oid, job.shape.oid))}
            if self._writers.get(job.load, True)
            else set[str]()
        )
        remaining = self._writers.get(job.load, found) & found
        self._writers[job.load] = remaining
        self.waiting_for = tuple(sorted(remaining))
        return bool(remaining)

    def _publish(self, connection: Connection, chunk: Chunk) -> None:
        self._count += 1
        token = f"{self.run_id}:{self._count}"
        self._chunks[token] = chunk
        emit(connection, self._slot, {"chunk": token})


def token_sql(slot: str, content: dict[str, str]) -> str:
    """The statement that puts a token into the write-ahead log, in a transaction of its own. It names the slot that it is for:
    every slot of the database receives it."""
    message = msgspec.json.encode({"for": slot, **content}).decode()
    return f"SELECT pg_logical_emit_message(true, '{PREFIX}', {literal(message)})::text"


def emit(connection: Connection, slot: str, content: dict[str, str]) -> None:
    rows(connection, token_sql(slot, content))


def read_chunk(connection: Connection, job: Job) -> Chunk:
    """One chunk and the transactions that it sees."""
    shape = job.shape
    operators = dict.fromkeys(column.type_schema for column in shape.columns if column.name in shape.key)
    path = ", ".join(quoted(schema) for schema in dict.fromkeys(("pg_catalog", *operators)))
    with connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}; SET LOCAL search_path = {path}")
            # Before the first query, hence before the snapshot: TRUNCATE and rewrites are not visible "as of" a snapshot.
            cursor.execute(f"LOCK TABLE {shape.sql} IN ACCESS SHARE MODE")
            cursor.execute("SELECT pg_current_snapshot()::text")
            [(text,)] = cursor.fetchall()
            chunk = Chunk(job, TransactionSnapshot.parse(text))
            now = shapes_by_oid(connection, [shape.oid]).get(shape.oid)
            if now is None or not _same_rows(now, shape):
                chunk.moved = True
                return chunk
            _copy(cursor, job, chunk)
            return chunk
        except psycopg2.errors.UndefinedTable:
            return Chunk(job, TransactionSnapshot(0, 0, frozenset()), moved=True)
        finally:
            cursor.execute("ROLLBACK")


def _same_rows(now: Shape, shape: Shape) -> bool:
    """Whether rows that are read now mean what the stream's rows mean. Columns that were not asked for may differ."""
    numbers = {column.number: (column.name, column.type_oid, column.typmod) for column in now.columns}
    return (
        all(
            numbers.get(column.number) == (column.name, column.type_oid, column.typmod)
            for column in shape.columns
        )
        and now.key == shape.key
        and (now.namespace, now.relation) == (shape.namespace, shape.relation)
    )


def _copy(cursor: psycopg2.extensions.cursor, job: Job, chunk: Chunk) -> None:
    shape = job.shape
    kept = [
        (column, convert)
        for column, convert in zip(shape.columns, job.converters, strict=True)
        if convert is not None
    ]
    names = [column.name for column, _ in kept]
    sink = _Sink([convert for _, convert in kept], [names.index(name) for name in shape.key])
    if not shape.key:
        sink.spool = chunk.spool = Spool()
    cursor.copy_expert(f"COPY ({_select(job, names)}) TO STDOUT", sink)
    sink.finish()
    chunk.rows = sink.rows
    chunk.last = sink.last_key()
    chunk.is_final = bool(job.keys) or not shape.key or len(sink.rows) < job.limit


def _select(job: Job, names: Sequence[str]) -> str:
    shape = job.shape
    columns = ", ".join(quoted(name) for name in names)
    statement = f"SELECT {columns} FROM {shape.sql}"
    if not shape.key:
        return statement
    types = {column.name: column.type_sql for column in shape.columns}
    key = ", ".join(quoted(name) for name in shape.key)

    def values(texts: Sequence[str]) -> str:
        return ", ".join(
            f"{literal(text)}::{types[name]}" for name, text in zip(shape.key, texts, strict=True)
        )

    if job.keys:
        return f"{statement} WHERE ({key}) IN ({', '.join(f'({values(texts)})' for texts in job.keys)})"
    condition = "" if job.after is None else f" WHERE ({key}) > ({values(job.after)})"
    return f"{statement}{condition} ORDER BY {key} LIMIT {job.limit}"


class _Sink:
    """Takes COPY's lines: text format, one row each."""

    def __init__(self, converters: Sequence[Converter], key: Sequence[int]) -> None:
        self.rows: list[Row] = []
        self.spool: Spool | None = None
        self._converters = converters
        self._key = key
        self._last: bytes | None = None

    def write(self, line: bytes) -> int:
        self._last = line
        self.rows.append(
            [
                None if text == "\\N" else convert(_unescaped(text) if "\\" in text else text)
                for text, convert in zip(_fields(line), self._converters, strict=True)
            ]
        )
        if self.spool is not None and len(self.rows) >= SPOOLED_BATCH_ROWS:
            self.finish()
        return len(line)

    def finish(self) -> None:
        if self.spool is not None and self.rows:
            self.spool.add(self.rows)
            self.rows = []

    def last_key(self) -> tuple[str, ...] | None:
        if self._last is None or not self._key:
            return None
        texts = _fields(self._last)
        return tuple(_unescaped(texts[index]) for index in self._key)


def _fields(line: bytes) -> list[str]:
    return line[:-1].decode("utf-8", "replace").split("\t")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)


def stored_rows(chunk: Chunk) -> Iterator[list[Row]]:
    """The chunk's rows in batches."""
    return chunk.spool.batches() if chunk.spool is not None else iter([chunk.rows])
