"""The recency barrier's token: a position that covers every change committed before it was asked for."""

from __future__ import annotations

import threading
import time

import psycopg2

from springline.core.position import PostgresPosition
from springline.errors import SourceUnavailable
from springline.sources.postgres.connection import Connection, Connector, execute_by
from springline.sources.postgres.reader import LOCAL_COMMIT, token_sql


class Barrier:
    """Writes tokens on a connection of its own. Thread-safe.

    A token is a logical message in a committed transaction. Its place in the write-ahead log, which the function returns, is
    behind the commit record of every transaction that was committed before the call, with ``synchronous_commit = off`` too,
    and its commit makes all of them durable and streamed. It is a transaction like any other, so this works on an idle
    database. Callers that arrive while a token is under way cannot use it; they share the next one.
    """

    def __init__(self, connector: Connector, slot: str) -> None:
        self._connector = connector
        self._statement = token_sql(slot, {"barrier": ""})
        self._connection: Connection | None = None
        self._changed = threading.Condition()
        self._started = 0
        self._ended = 0
        self._is_under_way = False
        self._outcome: PostgresPosition | Exception | None = None
        self._is_closed = False

    @property
    def tokens(self) -> int:
        """How many were written."""
        return self._started

    def position(self, timeout_s: float) -> PostgresPosition:
        """Blocks for one round trip, two at most. Raises SourceUnavailable."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            needed = self._started + 1
            while self._ended < needed:
                if self._is_closed:
                    raise SourceUnavailable(f"Source {self._connector.source!r} is closed.")
                if not self._is_under_way:
                    self._is_under_way = True
                    self._started += 1
                    break
                if not self._changed.wait(deadline_s - time.monotonic()) and time.monotonic() >= deadline_s:
                    raise self._late(timeout_s)
            else:
                return self._result()
        outcome = self._write(deadline_s)
        with self._changed:
            self._outcome = outcome
            self._ended = self._started
            self._is_under_way = False
            self._changed.notify_all()
            return self._result()

    def close(self) -> None:
        """Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            if not self._is_under_way:
                self._drop()

    def _result(self) -> PostgresPosition:
        if isinstance(self._outcome, PostgresPosition):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome

    def _late(self, timeout_s: float) -> SourceUnavailable:
        return SourceUnavailable(
            f"PostgreSQL {self._connector.where} (source {self._connector.source!r}) did not tell its position within {timeout_s:.3g} s.",
            hint="See `springline status`; the answer may be given with its age instead.",
        )

    def _write(self, deadline_s: float) -> PostgresPosition | Exception:
        try:
            # A connection that broke since the last token costs one more try.
            for is_fresh in (self._connection is None, True):
                try:
                    if self._connection is None:
                        self._connection = self._connector.asynchronous(deadline_s)
                        execute_by(self._connection, LOCAL_COMMIT, deadline_s)
                    row = execute_by(self._connection, self._statement, deadline_s)
                    assert row is not None
                    return PostgresPosition.from_text(str(row[0]))
                except psycopg2.Error as error:
                    self._drop()
                    if is_fresh or time.monotonic() >= deadline_s:
                        return self._connector.error(error)
        except Exception as error:  # handed to every caller that waits for this token
            self._drop()
            return error
        return self._late(0.0)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
