"""Publication and slot: what must exist in the database before streaming, and whether the stream can go on.

The publication names exactly the tables asked for, never FOR ALL TABLES: a table without a key in a publication makes the
UPDATEs of its users fail.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg2

from springline.core.position import PostgresPosition
from springline.errors import SourceError, SourceLost, SourceUnavailable
from springline.sources.postgres.catalog import Capture, Shape
from springline.sources.postgres.connection import Connection, Connector, execute_until, literal, quoted, rows

OLDEST_VERSION: Final = 140_000
"""PostgreSQL 14: logical messages in pgoutput."""

_COLUMN_LISTS: Final = 150_000
_CONNECT_S: Final = 10.0
_RELEASE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Identity:
    """Which server this is. Positions of another system or timeline mean nothing here."""

    system: str
    timeline: int

    def to_json(self) -> dict[str, object]:
        return {"system": self.system, "timeline": self.timeline}


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot as the server has it. ``retained_bytes``: the WAL that it keeps; ``limit_mb``: max_slot_wal_keep_size."""

    plugin: str
    database: str
    active_pid: int | None
    active_by: str
    confirmed: PostgresPosition | None
    wal_status: str
    retained_bytes: int
    limit_mb: int


def identity(connector: Connector) -> Identity:
    """The server's system identifier and timeline. Raises SourceError where replication is not permitted."""
    connection = connector.replication()
    try:
        [(system, timeline, *_)] = rows(connection, "IDENTIFY_SYSTEM")
    except psycopg2.Error as error:
        raise connector.error(error) from error
    finally:
        connection.close()
    return Identity(str(system), int(str(timeline)))


def read_slot(connection: Connection, name: str) -> Slot | None:
    found: list[Any] = rows(
        connection,
        """SELECT s.plugin, s.database, s.active_pid,
                  coalesce(a.application_name || ' of ' || a.usename || coalesce(' from ' || a.client_addr::text, ''), ''),
                  s.confirmed_flush_lsn::text, coalesce(s.wal_status, ''),
                  coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn), 0)::bigint,
                  (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size')
           FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
           WHERE s.slot_name = %s""",
        (name,),
    )
    if not found:
        return None
    plugin, database, active_pid, active_by, confirmed, status, retained, limit = found[0]
    position = PostgresPosition.from_text(confirmed) if confirmed else None
    return Slot(
        plugin or "", database or "", active_pid, active_by, position, status, int(retained), int(limit)
    )


def require_continuity(
    source: str,
    slot_name: str,
    position: PostgresPosition | None,
    saved: Mapping[str, object] | None,
    now: Identity,
    slot: Slot | None,
) -> None:
    """Raises SourceLost where the changes behind ``position`` are not, or may not be, all still to come. Pure."""
    if position is None:
        return
    reason = _gap(slot_name, position, saved, now, slot)
    if reason is not None:
        raise SourceLost(
            f"Source {source!r} cannot go on from {position}: {reason}.",
            hint=f"Run `springline resnapshot {source}`: every table is read again, nothing else is lost.",
        )


def _gap(
    slot_name: str,
    position: PostgresPosition,
    saved: Mapping[str, object] | None,
    now: Identity,
    slot: Slot | None,
) -> str | None:
    if saved is not None and saved.get("system") != now.system:
        return f"this is another server (system identifier {now.system}, before {saved.get('system')})"
    if saved is not None and saved.get("timeline") != now.timeline:
        return (
            f"the server was promoted or restored (timeline {now.timeline}, before {saved.get('timeline')})"
        )
    if slot is None:
        return f"its replication slot {slot_name!r} does not exist any more"
    if slot.wal_status == "lost":
        return f"the server has removed the WAL that slot {slot_name!r} needs (max_slot_wal_keep_size)"
    if slot.confirmed is not None and slot.confirmed > position:
        return f"slot {slot_name!r} has moved on to {slot.confirmed}: the log is an older copy, or another program used the slot"
    return None


def ensure_slot(
    connector: Connector, connection: Connection, name: str, stop: threading.Event
) -> PostgresPosition | None:
    """Creates the slot unless it exists; where it begins. The server first waits for the transactions that are open now to
    end; None where ``stop`` was set meanwhile."""
    slot = read_slot(connection, name)
    if slot is None:
        statement = f"SELECT lsn::text FROM pg_create_logical_replication_slot({literal(name)}, 'pgoutput')"
        own = connector.asynchronous(time.monotonic() + _CONNECT_S)
        try:
            row = execute_until(own, statement, stop)
        except psycopg2.Error as error:
            raise _slot_error(connector, error) from error
        finally:
            own.close()
        return PostgresPosition.from_text(str(row[0])) if row is not None else None
    require_usable(connector, slot, name)
    assert slot.confirmed is not None
    return slot.confirmed


def foreign_slot(connector: Connector, slot: Slot, name: str) -> SourceError | None:
    """The error of a slot that was made for something else."""
    if slot.plugin == "pgoutput" and slot.confirmed is not None:
        return None
    return SourceError(
        f"Replication slot {name!r} of {connector.where} belongs to something else (plugin {slot.plugin or 'none'!r}).",
        hint="Give the source another slot name (slot=…).",
    )


def require_usable(connector: Connector, slot: Slot, name: str) -> None:
    """Raises where the slot is not ours to use now."""
    if (foreign := foreign_slot(connector, slot, name)) is not None:
        raise foreign
    if slot.active_pid is not None:
        by = f" ({slot.active_by})" if slot.active_by else ""
        raise SourceUnavailable(
            f"Replication slot {name!r} of {connector.where} is in use by process {slot.active_pid}{by}.",
            hint=f"Stop the other program, give the source another slot name (slot=…), or run: SELECT pg_terminate_backend({slot.active_pid});",
        )


def _slot_error(connector: Connector, error: psycopg2.Error) -> SourceError:
    text = str(error).strip().splitlines()[0]
    if isinstance(error, psycopg2.errors.InsufficientPrivilege):
        return SourceError(
            f"Role {connector.user!r} may not create a replication slot in {connector.where}.",
            hint=f"Run as superuser: ALTER ROLE {quoted(connector.user)} REPLICATION;",
        )
    if "wal_level" in text:
        return SourceError(
            f"PostgreSQL {connector.where} does not write logical information into its WAL.",
            hint="Run as superuser: ALTER SYSTEM SET wal_level = logical; then restart the server.",
        )
    if "all replication slots are in use" in text:
        return SourceError(
            f"PostgreSQL {connector.where} has no free replication slot.",
            hint="Drop an unused one (SELECT pg_drop_replication_slot('…');) or raise max_replication_slots and restart.",
        )
    return connector.error(error)


def narrowed(capture: Capture, shape: Shape, version: int) -> Shape:
    """The shape without the columns that a column list keeps in the database: excluded ones, from PostgreSQL 15 on, unless REPLICA
    IDENTITY FULL forbids a list. Without a list they are dropped on receipt."""
    if not uses_column_list(capture, shape, version):
        return shape
    return replace(shape, columns=capture.kept(shape))


def uses_column_list(capture: Capture, shape: Shape, version: int) -> bool:
    return bool(capture.exclude) and version >= _COLUMN_LISTS and shape.replica_identity != "f"


def publication_sql(
    name: str, captures: Sequence[tuple[Capture, Shape]], version: int, *, exists: bool
) -> str:
    tables = ", ".join(_published_table(capture, shape, version) for capture, shape in captures)
    if exists:
        return f"ALTER PUBLICATION {quoted(name)} SET TABLE {tables}"
    return f"CREATE PUBLICATION {quoted(name)} FOR TABLE {tables} WITH (publish_via_partition_root = true)"


def _published_table(capture: Capture, shape: Shape, version: int) -> str:
    if not uses_column_list(capture, shape, version):
        return shape.sql
    return f"{shape.sql} ({', '.join(quoted(column.name) for column in capture.kept(shape))})"


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the server has it: the tables' oids with their column numbers (None: all columns)."""

    tables: Mapping[int, frozenset[int] | None]
    all_tables: bool
    via_root: bool
    operations: bool
    """Whether inserts, updates, deletes and truncates are all published."""


def read_publication(connection: Connection, name: str, version: int) -> Publication | None:
    found: list[Any] = rows(
        connection,
        """SELECT oid, puballtables, pubviaroot, pubinsert AND pubupdate AND pubdelete AND pubtruncate
           FROM pg_publication WHERE pubname = %s""",
        (name,),
    )
    if not found:
        return None
    oid, all_tables, via_root, operations = found[0]
    attributes = "prattrs::text" if version >= _COLUMN_LISTS else "NULL"
    members: list[Any] = rows(
        connection, f"SELECT prrelid, {attributes} FROM pg_publication_rel WHERE prpubid = %s", (oid,)
    )
    tables = {
        table: None if numbers is None else frozenset(int(number) for number in numbers.split())
        for table, numbers in members
    }
    return Publication(tables, all_tables, via_root, operations)


def publication_fits(
    publication: Publication, captures: Sequence[tuple[Capture, Shape]], version: int
) -> bool:
    """Whether it holds what we need; other tables in it do no harm to us."""
    if not publication.operations or any(
        shape.kind == "p" and not publication.via_root for _, shape in captures
    ):
        return False
    return all(
        publication.all_tables
        or (
            shape.oid in publication.tables
            and publication.tables[shape.oid] == _wanted(capture, shape, version)
        )
        for capture, shape in captures
    )


def _wanted(capture: Capture, shape: Shape, version: int) -> frozenset[int] | None:
    if not uses_column_list(capture, shape, version):
        return None
    return frozenset(column.number for column in capture.kept(shape) if column.number is not None)


def ensure_publication(
    connector: Connector, connection: Connection, name: str, captures: Sequence[tuple[Capture, Shape]]
) -> None:
    """Makes the publication hold exactly these tables. Raises SourceError, with the statement to run, where we may not."""
    version = connection.server_version
    publication = read_publication(connection, name, version)
    fits = publication is not None and publication_fits(publication, captures, version)
    exact = publication is not None and set(publication.tables) == {shape.oid for _, shape in captures}
    if fits and (exact or (publication is not None and publication.all_tables)):
        return
    statement = publication_sql(name, captures, version, exists=publication is not None)
    try:
        rows(connection, statement)
        if publication is not None and not (publication.operations and publication.via_root):
            rows(
                connection,
                f"ALTER PUBLICATION {quoted(name)} SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)",
            )
    except psycopg2.errors.InsufficientPrivilege as error:
        if fits:
            return  # it holds more than we need, and is somebody else's to change
        raise SourceError(
            f"Role {connector.user!r} may not set up publication {name!r} in {connector.where}: {str(error).strip().splitlines()[0]}.",
            hint=f"Run as the tables' owner: {statement};",
        ) from error
    except psycopg2.Error as error:
        raise connector.error(error) from error


def drop_all(connection: Connection, slot: str, publication: str) -> None:
    """Drops slot and publication. Idempotent."""
    drop_slot(connection, slot)
    rows(connection, f"DROP PUBLICATION IF EXISTS {quoted(publication)}")


def drop_slot(connection: Connection, name: str) -> None:
    """Idempotent. The server may take a moment to see that the slot's last user is gone."""
    deadline = time.monotonic() + _RELEASE_S
    while read_slot(connection, name) is not None:
        try:
            rows(connection, "SELECT pg_drop_replication_slot(%s)", (name,))
        except psycopg2.errors.ObjectInUse:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


def require_usable_or_lost(connector: Connector, slot: Slot, name: str) -> None:
    """Like :func:`require_usable` for a slot that is about to be dropped."""
    if slot.wal_status != "lost":
        require_usable(connector, slot, name)
