"""PostgreSQL as a source: :class:`PostgresSource`.

Supported are PostgreSQL 14 and newer, self-managed or as a service (RDS, Aurora, Cloud SQL, Azure), by logical replication
with ``pgoutput``; nothing is installed in the database. What is guaranteed:

* every committed transaction of the tables asked for, whole, in commit order, once in the log; its position is the end of
  its commit record;
* existing rows without gap or overlap with the changes (``snapshot.py``), interrupted and resumed at any moment;
* ``current_position`` is exact (``barrier.py``);
* all values exactly as PostgreSQL has them (``values.py``).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

import psycopg2

from springline.core.position import PostgresPosition
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.log.base import CaptureWriter
from springline.sources.base import Finding, SourceStatus
from springline.sources.postgres import check, setup
from springline.sources.postgres.barrier import Barrier
from springline.sources.postgres.capture import SERVER, Session, table_progress
from springline.sources.postgres.catalog import Capture, Shape, shapes_by_name, shapes_by_oid
from springline.sources.postgres.connection import Connection, Connector
from springline.sources.postgres.values import Mask

CHUNK_ROWS: Final = 10_000

_NAME: Final = re.compile(r"[^a-z0-9_]")


class PostgresSource:
    """One PostgreSQL database.

    ``dsn``: a URL or ``key=value`` pairs, as libpq takes them; TLS is set there (``sslmode=verify-full`` …).
    ``tables``: ``table`` (in schema ``public``) or ``schema.table``; in Springline they are ``name.table`` and
    ``name.schema.table``. ``exclude``: columns that never leave the database (PostgreSQL 15 and newer; before, and with
    REPLICA IDENTITY FULL, they are dropped on receipt). ``mask``: columns whose values are replaced on receipt, before the log:
    ``hash`` (keyed, equal values stay equal), ``null`` or ``redact``. A key column can be neither.

    A partitioned table is one table; rows that a partition already has when it is attached are not sent by PostgreSQL and need
    ``request_reload``. Tables that inherit from a table (the old way) are tables of their own.

    A table that is renamed in the database keeps its name here; after a restart it must be named as it is then.
    """

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"

    def __init__(
        self,
        name: str,
        dsn: str,
        *,
        tables: Sequence[str],
        publication: str | None = None,
        slot: str | None = None,
        exclude: Mapping[str, Sequence[str]] | None = None,
        mask: Mapping[str, Mapping[str, Mask]] | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self.name = name
        default = f"springline_{_NAME.sub('_', name.lower())}"[:63]
        self.publication = publication or default
        self.slot = slot or default
        self._captures = _captures(name, tables, exclude or {}, mask or {})
        self._chunk_rows = chunk_rows
        self._connector = Connector(name, dsn)
        self._barrier = Barrier(self._connector, self.slot)
        self._session: Session | None = None
        self._state: Literal["starting", "stopped"] = "stopped"
        self._error: str | None = None

    def __repr__(self) -> str:
        tables = ", ".join(capture.table for capture in self._captures)
        return f"PostgresSource({self.name!r}, {self._connector.where}, tables=[{tables}])"

    def check(self) -> Sequence[Finding]:
        return check.examine(self._connector, self._captures, self.slot, self.publication)

    def tables(self) -> Sequence[TableSchema]:
        connection = self._connector.query()
        try:
            version = connection.server_version
            return [
                capture.schema(setup.narrowed(capture, shape, version))
                for capture, shape in self._found(connection, {})
            ]
        except psycopg2.Error as error:
            raise self._connector.error(error) from error
        finally:
            connection.close()

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        self._state, self._error = "starting", None
        session: Session | None = None
        try:
            session = Session(
                self._connector,
                writer,
                slot=self.slot,
                publication=self.publication,
                chunk_rows=self._chunk_rows,
            )
            captures = self._examined(writer)
            if session.start(captures, stop):
                self._session = session
                session.run(stop)
        except psycopg2.Error as error:
            raise self._connector.error(error) from error
        except SourceError as error:
            self._error = str(error)
            raise
        finally:
            self._session, self._state = None, "stopped"
            if session is not None:
                session.close()

    def current_position(self, timeout_s: float) -> PostgresPosition:
        return self._barrier.position(timeout_s)

    def status(self) -> SourceStatus:
        session = self._session
        if session is None or session.stream is None:
            return SourceStatus(self._state, error=self._error)
        tables = list(session.tables.values())
        loading = [table for table in tables if table.phase != "live"]
        stream, slot = session.stream, session.slot
        behind = (
            None if session.server_position is None else max(0, session.server_position - stream.received)
        )
        return SourceStatus(
            "snapshot" if loading else "streaming",
            PostgresPosition(stream.durable),
            behind,
            None if slot is None else slot.retained_bytes,
            stream.last_message_at_us,
            sum(table.rows_loaded for table in tables),
            sum(max(table.rows_estimated, table.rows_loaded) for table in tables),
            details={
                "loading": [table.capture.relation for table in loading],
                "waiting_for_transactions": list(session.reader.waiting_for),
                "tables": {
                    table.capture.relation: {
                        "phase": table.phase,
                        "rows_loaded": table.rows_loaded,
                        "rows_estimated": table.rows_estimated,
                    }
                    for table in tables
                },
                "slot": self.slot,
                "publication": self.publication,
                "wal_status": None if slot is None else slot.wal_status,
                "barrier_tokens": self._barrier.tokens,
            },
        )

    def close(self) -> None:
        self._barrier.close()

    def request_reload(self, tables: Sequence[str] | None = None) -> None:
        """Loads tables (as they were named here; None: all) again while the source runs. Thread-safe. Rows stay readable
        meanwhile, and the tables say that they are loading."""
        session = self._session
        if session is None:
            raise SourceUnavailable(f"Source {self.name!r} does not run.", hint="Start it, then try again.")
        session.request_reload(capture.relation for capture in self._chosen(tables))

    def resnapshot(self, writer: CaptureWriter, tables: Sequence[str] | None = None) -> None:
        """Makes the next ``run`` load tables (None: all) again. While the source does not run. Where its slot was lost, or this is
        another server, a new slot is made, and all tables are loaded again whatever was asked."""
        connection = self._connector.query()
        try:
            now = setup.identity(self._connector)
            slot = setup.read_slot(connection, self.slot)
            position: Any = writer.position()
            server: Any = writer.progress().get(SERVER)
            chosen = self._chosen(tables)
            try:
                setup.require_continuity(self.name, self.slot, position, server, now, slot)
            except SourceError:
                chosen = self._captures
                if slot is not None:
                    setup.require_usable_or_lost(self._connector, slot, self.slot)
                    setup.drop_slot(connection, self.slot)
                captures = self._found(connection, writer.progress())
                setup.ensure_publication(self._connector, connection, self.publication, captures)
                begin = setup.ensure_slot(self._connector, connection, self.slot, threading.Event())
                assert begin is not None
                writer.advance(begin)
                writer.save(SERVER, now.to_json())
            for capture in chosen:
                writer.save(table_progress(capture.relation), None)
            writer.commit()
        except psycopg2.Error as error:
            raise self._connector.error(error) from error
        finally:
            connection.close()

    def drop(self) -> None:
        """Drops slot and publication. Idempotent; while the source does not run."""
        connection = self._connector.query()
        try:
            setup.drop_all(connection, self.slot, self.publication)
        except psycopg2.Error as error:
            raise self._connector.error(error) from error
        finally:
            connection.close()

    def _chosen(self, tables: Sequence[str] | None) -> list[Capture]:
        if tables is None:
            return list(self._captures)
        known = {name: capture for capture in self._captures for name in _names(self.name, capture)}
        if unknown := [table for table in tables if table not in known]:
            raise ConfigurationError(
                f"Source {self.name!r} has no table {unknown[0]!r}.",
                hint=f"It has: {', '.join(capture.table for capture in self._captures)}.",
            )
        return [known[table] for table in tables]

    def _examined(self, writer: CaptureWriter) -> list[tuple[Capture, Shape]]:
        """The tables, after everything was looked at that could keep them from being captured. Nothing was changed yet."""
        connection = self._connector.query()
        try:
            captures = self._found(connection, writer.progress())
            check.require(
                check.examine_tables(self._connector, connection, captures, self.slot, self.publication)
            )
            return captures
        finally:
            connection.close()

    def _found(self, connection: Connection, progress: Mapping[str, Any]) -> list[tuple[Capture, Shape]]:
        """Each table's shape. A table that was renamed while it was captured is found by its oid."""
        check.require_version(self._connector, connection)
        by_name = shapes_by_name(
            connection, [(capture.namespace, capture.table) for capture in self._captures]
        )
        found: list[tuple[Capture, Shape]] = []
        for capture in self._captures:
            shape = by_name.get((capture.namespace, capture.table))
            saved = progress.get(table_progress(capture.relation))
            if shape is None and saved is not None:
                oid = Shape.from_json(saved["shape"]).oid
                shape = shapes_by_oid(connection, [oid]).get(oid)
            if shape is None:
                raise check.table_not_found(self._connector, connection, capture)
            found.append((capture, shape))
        return found


def _names(source: str, capture: Capture) -> tuple[str, ...]:
    return (
        capture.relation,
        capture.relation.removeprefix(source + "."),
        f"{capture.namespace}.{capture.table}",
    )


def _captures(
    source: str,
    tables: Sequence[str],
    exclude: Mapping[str, Sequence[str]],
    mask: Mapping[str, Mapping[str, Mask]],
) -> list[Capture]:
    if not tables:
        raise ConfigurationError(f"Source {source!r} names no tables.", hint="Give tables=[…].")
    known = {name: _split(name) for name in tables}
    for option, given in (("exclude", exclude), ("mask", mask)):
        for table in given:
            if table not in known:
                raise ConfigurationError(
                    f"Source {source!r}: {option} names table {table!r}, which is not among its tables.",
                    hint=f"Its tables are: {', '.join(tables)}.",
                )
    return [
        Capture(
            f"{source}.{table}" if namespace == "public" else f"{source}.{namespace}.{table}",
            namespace,
            table,
            frozenset(exclude.get(name, ())),
            dict(mask.get(name, {})),
        )
        for name, (namespace, table) in known.items()
    ]


def _split(name: str) -> tuple[str, str]:
    namespace, dot, table = name.partition(".")
    return (namespace, table) if dot else ("public", name)
