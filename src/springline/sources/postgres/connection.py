"""Connections to PostgreSQL, all with the same settings, and their errors as ours.

TLS is the DSN's business, as everywhere with libpq: ``sslmode=verify-full``, ``sslrootcert``, ``sslcert`` … A password
is never shown: neither in ``repr`` nor in an error.
"""

from __future__ import annotations

import getpass
import os
import select
import threading
import time
from typing import Final

import psycopg2
import psycopg2.extensions
from psycopg2.extras import LogicalReplicationConnection

from springline.errors import ConfigurationError, SourceError, SourceUnavailable

Connection = psycopg2.extensions.connection
Cursor = psycopg2.extensions.cursor

SESSION_SETTINGS: Final = {
    "datestyle": "ISO,YMD",
    "timezone": "UTC",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    # So that regclass and its like are printed with their schema in every session.
    "search_path": "pg_catalog",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # An error instead of rows silently left out by row-level security.
    "row_security": "off",
}
"""Text output depends on these; streaming, snapshots and catalog look-ups must agree."""

_DEFAULTS: Final = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_STOP_CHECK_S: Final = 0.1

_SECRETS: Final = frozenset(("password", "sslpassword", "passfile", "oauth_client_secret"))

_TERMINAL: Final[tuple[tuple[str, str], ...]] = (
    ("password authentication failed", "Check the user and the password in the DSN."),
    ("no password supplied", "Put the password into the DSN, PGPASSWORD or a password file."),
    ("role", "Create the role, or name another user in the DSN."),
    ("database", "Name an existing database in the DSN."),
    (
        "pg_hba.conf",
        "Allow this host, user and database in pg_hba.conf (for replication=database too), then reload.",
    ),
    ("permission denied to start WAL sender", "Run: ALTER ROLE {user} REPLICATION;"),
    ("must be superuser or replication role", "Run: ALTER ROLE {user} REPLICATION;"),
    ("SSL", "Check sslmode and the certificates that the DSN names."),
    ("certificate", "Check sslmode and the certificates that the DSN names."),
    ("could not translate host name", "Check the host in the DSN."),
)
"""Parts of libpq's messages that no retry will change, and what to do about them."""

_TRANSIENT: Final = (
    "starting up",
    "shutting down",
    "recovery mode",
    "too many",
    "remaining connection slots",
)


class Connector:
    """Opens connections to one database. Thread-safe."""

    def __init__(self, source: str, dsn: str) -> None:
        self.source = source
        try:
            given = psycopg2.extensions.parse_dsn(dsn)
        except psycopg2.Error:
            # libpq's message may quote the part that it could not read, which may be the password.
            raise ConfigurationError(
                f"The DSN of source {source!r} is not one that PostgreSQL understands.",
                hint="Write postgresql://user:password@host:5432/database or host=… dbname=… user=… password=….",
            ) from None
        options = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())
        self._arguments: dict[str, str] = {
            **_DEFAULTS,
            "application_name": f"springline {source}",
            **given,
            "options": f"{given.get('options', '')} {options}".strip(),
            "client_encoding": "UTF8",
        }
        self._shown = " ".join(
            f"{name}={'***' if name in _SECRETS else value}"
            for name, value in given.items()
            if name != "options"
        )

    def __repr__(self) -> str:
        return f"Connector({self._shown})"

    @property
    def where(self) -> str:
        """The database as errors name it."""
        host = self._arguments.get("host", "localhost")
        return f"{self._arguments.get('dbname', '')}@{host}:{self._arguments.get('port', '5432')}"

    @property
    def user(self) -> str:
        return self._arguments.get("user") or os.environ.get("PGUSER") or getpass.getuser()

    def query(self) -> Connection:
        """An ordinary connection in autocommit mode. Raises SourceUnavailable or SourceError."""
        try:
            connection = psycopg2.connect(self._dsn())
            connection.autocommit = True
        except psycopg2.Error as error:
            raise self.error(error) from error
        return connection

    def replication(self) -> LogicalReplicationConnection:
        """A connection that speaks the logical replication protocol."""
        try:
            return psycopg2.connect(self._dsn(), connection_factory=LogicalReplicationConnection)
        except psycopg2.Error as error:
            raise self.error(error) from error

    def asynchronous(self, deadline_s: float) -> Connection:
        """A connection for :func:`execute_by`, ready before ``deadline_s`` of the monotonic clock."""
        try:
            connection: Connection = psycopg2.connect(self._dsn(), async_=True)
            wait_by(connection, deadline_s)
        except psycopg2.Error as error:
            raise self.error(error) from error
        return connection

    def _dsn(self) -> str:
        return psycopg2.extensions.make_dsn(**self._arguments)

    def error(self, error: Exception) -> SourceError:
        """What a driver's error means: transient unless it is known not to be."""
        text = " ".join(str(error).split()) or type(error).__name__
        message = f"PostgreSQL {self.where} (source {self.source!r}): {text}"
        if not any(part in text for part in _TRANSIENT):
            for part, hint in _TERMINAL:
                if part in text and (part not in ("role", "database") or "does not exist" in text):
                    return SourceError(message, hint=hint.format(user=quoted(self.user)))
        # psycopg2 has no class of its own for a connection that breaks while it is streaming: "no message from the libpq".
        is_broken = type(error) is psycopg2.DatabaseError
        if is_broken or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
            return SourceUnavailable(message, hint="It is tried again; nothing is lost.")
        if isinstance(error, psycopg2.errors.QueryCanceled | psycopg2.errors.LockNotAvailable):
            return SourceUnavailable(message, hint="It is tried again; nothing is lost.")
        return SourceError(message, hint="Run `springline doctor` for what to change.")


def wait_by(connection: Connection, deadline_s: float) -> None:
    """Polls an asynchronous connection until it is idle. Raises ``OperationalError`` at the deadline."""
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        remaining = deadline_s - time.monotonic()
        if remaining <= 0:
            raise psycopg2.OperationalError("no answer in time")
        descriptor = [connection.fileno()]
        if state == psycopg2.extensions.POLL_READ:
            select.select(descriptor, [], [], remaining)
        else:
            select.select([], descriptor, [], remaining)


def execute_by(connection: Connection, statement: str, deadline_s: float) -> tuple[object, ...] | None:
    """Runs one statement on an asynchronous connection and returns its first row."""
    cursor = connection.cursor()
    cursor.execute(statement)
    wait_by(connection, deadline_s)
    return cursor.fetchone() if cursor.description is not None else None


def execute_until(connection: Connection, statement: str, stop: threading.Event) -> tuple[object, ...] | None:
    """The same for a statement that may take long: given up, and cancelled on the server, when ``stop`` is set."""
    cursor = connection.cursor()
    cursor.execute(statement)
    while connection.poll() != psycopg2.extensions.POLL_OK:
        if stop.is_set():
            connection.cancel()
            return None
        select.select([connection.fileno()], [], [], _STOP_CHECK_S)
    return cursor.fetchone()


def rows(connection: Connection, statement: str, parameters: object = None) -> list[tuple[object, ...]]:
    """All rows of one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description is not None else []


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string. Backslashes need no care: ``standard_conforming_strings`` is on in every supported version by
    default; an ``E`` string is used where there is one, so that the setting does not matter."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if "\\" not in text else " E'" + doubled.replace("\\", "\\\\") + "'"
