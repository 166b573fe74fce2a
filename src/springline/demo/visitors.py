"""The visitor's desk: the demo's database as an ordinary client sees it, and a policy document of one's own."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errors as postgres_errors
from psycopg2 import sql as composed
from psycopg2.extensions import make_dsn

from springline.demo.fleet import FlightStatus, statuses
from springline.demo.flight_sql import FlightSql
from springline.demo.stage import Customer, Example, SqlOutcome
from springline.errors import NotFound, SourceUnavailable, SqlError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

VISITOR = "visitor"
STATEMENT_TIMEOUT_MS = 5_000
ROWS_SHOWN = 50
POLICY_FILE = "your-own-policy.md"


def create_visitor(dsn: str, tables: Sequence[str]) -> str:
    """Creates (again) a role that may read and write the demo's tables and nothing else, and returns its DSN.

    ``dsn`` is the owner's. The SQL box must never run as a superuser: that may start programs on the machine.
    """
    password = secrets.token_urlsafe(24)
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (VISITOR,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            cursor.execute(
                composed.SQL(
                    verb + " ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}"
                ).format(composed.Identifier(VISITOR), composed.Literal(password))
            )
            for table in tables:
                cursor.execute(
                    composed.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(
                        composed.Identifier(table), composed.Identifier(VISITOR)
                    )
                )
    finally:
        connection.close()
    return make_dsn(dsn, user=VISITOR, password=password)


class PostgresReader:
    """Reads flight statuses from PostgreSQL, each time in a transaction of its own. One thread at a time."""

    def __init__(self, dsn: str, sql: str) -> None:
        self._dsn = dsn
        self._sql = sql
        self._connection: Connection | None = None

    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]:
        try:
            connection = self._connection = self._connection or _connect(self._dsn, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(self._sql, {"customer": customer})
                return statuses(_dictionaries(cursor))
        except psycopg2.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class VisitorDesk:
    """See ``stage.Desk``. ``dsn`` should be that of :func:`create_visitor`."""

    def __init__(self, dsn: str, flight_sql: FlightSql, documents: Path) -> None:
        self._dsn = dsn
        self._sql = flight_sql
        self._documents = documents

    def customers(self, text: str, limit: int) -> Sequence[Customer]:
        pattern = "%" + text.strip().replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        with self._reading() as cursor:
            cursor.execute(self._sql.customers, {"pattern": pattern, "limit": limit})
            return [_customer(row) for row in _dictionaries(cursor)]

    def customer(self, subject: str) -> Customer:
        with self._reading() as cursor:
            cursor.execute(self._sql.customer, {"customer": subject})
            rows = _dictionaries(cursor)
            if not rows:
                raise NotFound(
                    f"There is no customer {subject!r}.", hint="Search by a part of the id or name."
                )
            cursor.execute(self._sql.truth, {"customer": subject})
            found = _dictionaries(cursor)
        flights = statuses(found)
        examples = tuple(Example(title, text) for title, text in self._sql.examples(found))
        known = _customer(rows[0])
        return Customer(known.subject, known.name, known.language, flights, examples)

    def truth(self, subject: str) -> tuple[FlightStatus, ...]:
        with self._reading() as cursor:
            cursor.execute(self._sql.truth, {"customer": subject})
            return statuses(_dictionaries(cursor))

    def run(self, sql: str) -> SqlOutcome:
        connection = _connect(self._dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
                cursor.execute(sql)
                columns = tuple(column.name for column in cursor.description or ())
                rows = tuple(cursor.fetchmany(ROWS_SHOWN)) if columns else ()
                command, affected = cursor.statusmessage or "", max(cursor.rowcount, 0)
            began = time.perf_counter_ns()
            connection.commit()
            took_us = (time.perf_counter_ns() - began) // 1_000
            return SqlOutcome(command, affected, took_us, time.time_ns() // 1_000, columns, rows)
        except psycopg2.Error as error:
            raise sql_error(error, sql) from error
        finally:
            connection.close()

    def write_policy(self, text: str) -> int:
        target = self._documents / POLICY_FILE
        if not text.strip():
            target.unlink(missing_ok=True)
            return time.time_ns() // 1_000
        # Written beside and renamed, so that no reader sees half of it.
        beside = self._documents / f".{POLICY_FILE}.{secrets.token_hex(4)}.tmp"
        beside.write_text(
            text if text.lstrip().startswith("#") else f"# Your own policy\n\n{text}\n", encoding="utf-8"
        )
        os.replace(beside, target)
        return time.time_ns() // 1_000

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        connection = _connect(self._dsn, autocommit=True)
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


def sql_error(error: psycopg2.Error, sql: str) -> SqlError:
    """PostgreSQL's complaint, with line and column in the visitor's text."""
    diagnosis = error.diag
    message = diagnosis.message_primary or str(error).strip() or type(error).__name__
    line = column = None
    if diagnosis.statement_position:
        before = sql[: int(diagnosis.statement_position) - 1]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    hint = diagnosis.message_hint or diagnosis.message_detail
    if isinstance(error, postgres_errors.QueryCanceled):
        hint = f"A statement may take {STATEMENT_TIMEOUT_MS // 1_000} seconds here."
    elif isinstance(error, postgres_errors.InsufficientPrivilege):
        hint = "The box may read and change the demo's own tables; nothing else."
    return SqlError(message, hint=hint, statement=sql, line=line, column=column)


def _connect(dsn: str, *, autocommit: bool = False) -> Connection:
    try:
        connection = psycopg2.connect(dsn, application_name="springline demo visitor", connect_timeout=5)
    except psycopg2.OperationalError as error:
        raise SourceUnavailable(
            f"The demo's database does not answer: {str(error).strip()}.", hint="Try again in a moment."
        ) from error
    connection.autocommit = autocommit
    return connection


def _dictionaries(cursor: Any) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _customer(row: dict[str, Any]) -> Customer:
    return Customer(str(row["subject"]), str(row["name"]), str(row["language"]))
