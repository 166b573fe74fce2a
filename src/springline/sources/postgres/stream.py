"""The streaming loop: from replication messages to transactions in the log, and back the acknowledgement.

Guarantees:

* A position is acknowledged to PostgreSQL only after the log has committed it. psycopg2 answers keep-alives by itself,
  and may then acknowledge what it received; so the cursor that reads never confirms anything (its answers carry 0, which
  PostgreSQL ignores), and a second cursor of the same connection confirms what is durable.
* Everything available is read before one commit (one fsync for many small transactions), within bounds of rows and time.
* A transaction of more than ``FRAGMENT_ENTRIES`` changes goes into the log in fragments, so memory stays bounded.
* What is saved beside the log (shapes, snapshot cursors) becomes durable with the transaction that caused it, never
  with one of its earlier fragments: an unfinished transaction is delivered again, from its first message.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import msgspec

from springline.core.change import Entry, Transaction
from springline.core.position import PostgresPosition
from springline.errors import SourceError
from springline.log.base import CaptureWriter
from springline.sources.postgres import pgoutput
from springline.sources.postgres.connection import quoted
from springline.sources.postgres.pgoutput import BROKEN, Begin, Commit, Message, Relation, Truncate, malformed
from springline.sources.postgres.reader import PREFIX
from springline.sources.postgres.snapshot import BagLoad, KeyedLoad

FRAGMENT_ENTRIES: Final = 5_000
ACTOR_PREFIX: Final = "springline.actor"
"""A transactional logical message with this prefix names the actor of its transaction:
``SELECT pg_logical_emit_message(true, 'springline.actor', 'alice')``."""

_READ_AT_ONCE: Final = 1_000
_HOLD_AT_MOST_S: Final = 0.02
_ADVANCE_EVERY_S: Final = 1.0
_TELL_EVERY_S: Final = 0.1
_WAIT_S: Final = 0.2
_NO_STATUS_S: Final = 1_000_000_000

Readers = dict[int, dict[bytes, Callable[[bytes], Entry | None]]]


class Handler(Protocol):
    """What the loop calls for everything but rows; implemented by ``capture.Session``."""

    trackers: dict[bytes, KeyedLoad | BagLoad]
    readers: Readers

    def on_relation(self, relation: Relation, *, delivered_before: bool) -> list[Entry]:
        """A table's description, before its first row and after each change; the entries that it causes."""
        ...

    def on_token(self, content: dict[str, str]) -> Iterable[list[Entry]]:
        """One of our tokens; the entries that stand in its place, in batches."""
        ...

    def on_truncate(self, oids: tuple[int, ...]) -> list[tuple[bytes, Entry]]:
        """The entries of a TRUNCATE, with the tables' oids as row messages carry them."""
        ...

    def progress_to_save(self) -> dict[str, object | None]:
        """What must become durable with the transaction that just ended."""
        ...

    def on_pause(self, *, is_between_transactions: bool) -> None:
        """Called a few times a second at least, outside the decoding of a batch; only between transactions may it call
        ``append_now``. May raise."""
        ...


class Stream:
    """One replication connection, from its start to its end."""

    def __init__(
        self,
        source: str,
        slot: str,
        connection: Any,
        writer: CaptureWriter,
        handler: Handler,
        position: PostgresPosition,
    ) -> None:
        self._source = source
        self._slot = slot
        self._writer = writer
        self._handler = handler
        self._cursor = connection.cursor()
        self._feedback = connection.cursor()
        self._durable = position.lsn
        self.appended = position.lsn
        """End of the last transaction given to the log."""
        self._received = position.lsn
        self._uncommitted_since: float | None = None
        self._advanced_at = 0.0
        self._told = position.lsn
        self._told_at = 0.0
        self._transaction: Begin | None = None
        self._delivered_before = False
        self._entries: list[Entry] = []
        self._fragments = 0
        self._actor: str | None = None
        self._token: dict[str, str] | None = None
        self.last_message_at_us: int | None = None

    @property
    def durable(self) -> int:
        return self._durable

    @property
    def received(self) -> int:
        """How far the server has told us everything that there is."""
        return self._received

    def start(self, publication: str) -> None:
        position = PostgresPosition(self._durable)
        publications = quoted(publication).replace("'", "''")
        self._cursor.start_replication_expert(
            f"START_REPLICATION SLOT {quoted(self._slot)} LOGICAL {position} "
            f"(proto_version '1', publication_names '{publications}', messages 'true')",
            decode=False,
            status_interval=_NO_STATUS_S,
        )

    def run(self, stop: threading.Event) -> None:
        """Streams until ``stop`` is set; then everything whole that was read is durable."""
        while not stop.is_set():
            is_drained = self._read()
            if is_drained or self._must_commit():
                self._commit()
            self._handler.on_pause(is_between_transactions=self._transaction is None)
            self._tell()
            if is_drained:
                self._advance()
                select.select([self._cursor], [], [], _WAIT_S)
        self._commit()
        self._tell(at_once=True)

    def append_now(self, entries: list[Entry]) -> None:
        """Adds entries that no transaction of the source brought, at the current position. Only between transactions."""
        self._writer.append(
            Transaction(self._source, PostgresPosition(self.appended), time.time_ns() // 1_000, entries)
        )
        self._save()
        self._uncommitted_since = self._uncommitted_since or time.monotonic()

    def _read(self) -> bool:
        """Reads what is there, within bounds; whether nothing is left."""
        read, handler = self._cursor.read_message, self._handler
        readers, trackers = handler.readers, handler.trackers
        entries = self._entries
        for _ in range(_READ_AT_ONCE):
            message = read()
            if message is None:
                return True
            payload: bytes = message.payload
            by_oid = readers.get(payload[0])
            if by_oid is None:
                self._control(payload)
                entries, readers, trackers = self._entries, handler.readers, handler.trackers
                continue
            if self._delivered_before:
                continue
            try:
                entry = by_oid[payload[1:5]](payload)
            except BROKEN as error:
                raise malformed(payload, error) from error
            if trackers and entry is not None:
                tracker = trackers.get(payload[1:5])
                if tracker is not None and self._transaction is not None:
                    entry = tracker.observe(entry, self._transaction.xid)
            if entry is not None:
                entries.append(entry)
                if len(entries) >= FRAGMENT_ENTRIES:
                    self._add_fragment()
                    entries = self._entries
        return False

    def _control(self, payload: bytes) -> None:
        match pgoutput.decode(payload):
            case Begin() as begin:
                self._transaction = begin
                # The commit record begins before our position, a place between two records: it was logged with all before it.
                self._delivered_before = begin.final_lsn < self._durable
            case Commit() as commit:
                self._finish(commit)
            case Relation() as relation:
                self._entries += self._handler.on_relation(relation, delivered_before=self._delivered_before)
            case Truncate() as truncate:
                if not self._delivered_before:
                    self._truncate(truncate)
            case Message() as message:
                if message.is_transactional and not self._delivered_before:
                    self._message(message)
            case _:
                pass

    def _truncate(self, truncate: Truncate) -> None:
        assert self._transaction is not None
        for oid, truncated in self._handler.on_truncate(truncate.oids):
            tracker = self._handler.trackers.get(oid)
            entry = truncated if tracker is None else tracker.observe(truncated, self._transaction.xid)
            if entry is not None:
                self._entries.append(entry)

    def _message(self, message: Message) -> None:
        if message.prefix == ACTOR_PREFIX:
            self._actor = message.content.decode(errors="replace")
        elif message.prefix == PREFIX:
            try:
                token = msgspec.json.decode(message.content, type=dict[str, str])
            except msgspec.DecodeError:
                return  # somebody else's message under our prefix
            if token.get("for") == self._slot:
                self._token = token

    def _finish(self, commit: Commit) -> None:
        begin, self._transaction = self._transaction, None
        self._received = max(self._received, commit.end_lsn)
        if self._delivered_before or begin is None:
            self._delivered_before = False
            return
        if self._token is not None:
            for batch in self._handler.on_token(self._token):
                self._entries += batch
                if len(self._entries) >= FRAGMENT_ENTRIES:
                    self._append(PostgresPosition(begin.final_lsn), begin, last=False)
        if self._entries or self._fragments or self._token is not None:
            self._append(PostgresPosition(commit.end_lsn), begin, last=True)
            self.appended = commit.end_lsn
            self._uncommitted_since = self._uncommitted_since or time.monotonic()
            self._save()
        self._fragments = 0
        self._actor, self._token = None, None
        self.last_message_at_us = commit.committed_at_us

    def _add_fragment(self) -> None:
        """Part of a transaction whose end is not in sight goes to the disk."""
        begin = self._transaction
        if begin is None:
            raise SourceError(
                f"Source {self._source!r}: rows came outside a transaction.", hint="Please report it."
            )
        self._append(PostgresPosition(begin.final_lsn), begin, last=False)
        self._commit()

    def _append(self, position: PostgresPosition, begin: Begin, *, last: bool) -> None:
        self._writer.append(
            Transaction(
                self._source,
                position,
                begin.committed_at_us,
                self._entries,
                str(begin.xid),
                self._actor,
                last,
            )
        )
        self._entries = []
        self._fragments += not last

    def _save(self) -> None:
        for name, value in self._handler.progress_to_save().items():
            self._writer.save(name, value)

    def _must_commit(self) -> bool:
        since = self._uncommitted_since
        return since is not None and time.monotonic() - since >= _HOLD_AT_MOST_S

    def _commit(self) -> None:
        if self._uncommitted_since is None and not self._fragments:
            return
        self._confirm(self._writer.commit())
        self._uncommitted_since = None

    def _advance(self) -> None:
        """Records, then confirms, that there is nothing for us up to where the server has come: else it keeps its WAL for us."""
        if self._transaction is not None:
            return
        self._received = max(self._received, self._cursor.wal_end)
        now = time.monotonic()
        if self._received > self._durable and now - self._advanced_at >= _ADVANCE_EVERY_S:
            self._advanced_at = now
            self._writer.advance(PostgresPosition(self._received))
            self._confirm(self._writer.commit())

    def _confirm(self, position: object) -> None:
        if isinstance(position, PostgresPosition) and position.lsn > self._durable:
            self._durable = position.lsn
            self.appended = max(self.appended, position.lsn)

    def _tell(self, *, at_once: bool = False) -> None:
        """Tells the server what is durable, a few times a second: it only frees its disk by it, and nobody waits for that."""
        now = time.monotonic()
        if self._told < self._durable and (at_once or now - self._told_at >= _TELL_EVERY_S):
            self._told, self._told_at = self._durable, now
            self._feedback.send_feedback(
                write_lsn=self._durable, flush_lsn=self._durable, apply_lsn=self._durable, force=True
            )
