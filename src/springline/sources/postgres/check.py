"""Looks for everything that would keep tables from being captured, without changing anything, and says what to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg2

from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.sources.base import Finding
from springline.sources.postgres import setup
from springline.sources.postgres.catalog import Capture, Shape, shapes_by_name, similar_names
from springline.sources.postgres.connection import Connection, Connector, quoted, rows
from springline.sources.postgres.permissions import permission_sql

_RETAINED_WARNING_BYTES: Final = 1 << 30
_KINDS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


def examine(connector: Connector, captures: Sequence[Capture], slot: str, publication: str) -> list[Finding]:
    """All findings, best news first. Raises SourceUnavailable where the server does not answer."""
    try:
        connection = connector.query()
    except SourceUnavailable:
        raise
    except SourceError as error:
        return [Finding("error", "connection", error.message, error.hint)]
    try:
        findings = [
            Finding(
                "ok", "connection", f"PostgreSQL {connection.server_version // 10000} at {connector.where}."
            )
        ]
        try:
            require_version(connector, connection)
        except SourceError as error:
            return [*findings, Finding("error", "server", error.message, error.hint)]
        findings += _server(connector, connection, slot)
        found = shapes_by_name(connection, [(capture.namespace, capture.table) for capture in captures])
        pairs: list[tuple[Capture, Shape]] = []
        for capture in captures:
            shape = found.get((capture.namespace, capture.table))
            if shape is None:
                error = table_not_found(connector, connection, capture)
                findings.append(Finding("error", capture.relation, error.message, error.hint))
            else:
                pairs.append((capture, shape))
        findings += examine_tables(connector, connection, pairs, publication)
        findings += _slot(connection, slot)
        return findings
    except psycopg2.Error as error:
        raise connector.error(error) from error
    finally:
        connection.close()


def require(connector: Connector, findings: Sequence[Finding]) -> None:
    """Raises the first error among findings."""
    for finding in findings:
        if finding.severity == "error":
            raise SourceError(finding.message, hint=f"Run: {finding.fix}" if finding.fix else None)


def require_version(connector: Connector, connection: Connection) -> None:
    if connection.server_version < setup.OLDEST_VERSION:
        raise SourceError(
            f"PostgreSQL {connector.where} is version {connection.server_version // 10000}; 14 is the oldest that works.",
            hint="Upgrade the server.",
        )


def table_not_found(connector: Connector, connection: Connection, capture: Capture) -> ConfigurationError:
    name = capture.table if capture.namespace == "public" else f"{capture.namespace}.{capture.table}"
    near = similar_names(connection, name)
    hint = (
        f"Did you mean {' or '.join(repr(one) for one in near)}?"
        if near
        else "Check its schema and spelling."
    )
    return ConfigurationError(f"There is no table {name!r} in {connector.where}.", hint=hint)


def examine_tables(
    connector: Connector, connection: Connection, captures: Sequence[tuple[Capture, Shape]], publication: str
) -> list[Finding]:
    findings: list[Finding] = []
    for capture, shape in captures:
        problems = _table(connector, connection, capture, shape)
        findings += problems or [
            Finding(
                "ok",
                capture.relation,
                f"Key ({', '.join(shape.key) or 'whole rows'}), about {shape.rows_estimated} rows.",
            )
        ]
    version = connection.server_version
    existing = setup.read_publication(connection, publication, version)
    if existing is None or not setup.publication_fits(existing, captures, version):
        statement = setup.publication_sql(publication, captures, version, exists=existing is not None)
        owned = all(_owns(connection, shape) for _, shape in captures)
        may = owned and _may_publish(connection, publication, exists=existing is not None)
        state = "does not hold what is needed" if existing is not None else "does not exist"
        findings.append(
            Finding("ok", "publication", f"Publication {publication!r} {state} and will be set up.")
            if may
            else Finding(
                "error",
                "publication",
                f"Publication {publication!r} {state}, and role {connector.user!r} may not set it up (it must own the tables).",
                f"{statement};",
            )
        )
    else:
        findings.append(Finding("ok", "publication", f"Publication {publication!r} holds the tables."))
    return findings


def _table(connector: Connector, connection: Connection, capture: Capture, shape: Shape) -> list[Finding]:
    where = f"{quoted(shape.namespace)}.{quoted(shape.relation)}"
    subject = capture.relation
    if shape.kind in _KINDS:
        return [
            Finding(
                "error", subject, f"{where} is {_KINDS[shape.kind]}; only tables send their changes.", None
            )
        ]
    found: list[Finding] = []
    if not shape.key and shape.replica_identity != "f":
        found.append(
            Finding(
                "error",
                subject,
                f"Table {where} has no key to tell its rows apart: publishing it would make every UPDATE and DELETE on it fail.",
                f"ALTER TABLE {where} ADD PRIMARY KEY (…);  or, to send whole old rows:  ALTER TABLE {where} REPLICA IDENTITY FULL;",
            )
        )
    names = {column.name for column in shape.columns}
    for option, columns in (("exclude", capture.exclude), ("mask", frozenset(capture.mask))):
        if unknown := sorted(columns - names):
            found.append(
                Finding(
                    "error",
                    subject,
                    f"{option} names column {unknown[0]!r}, which table {where} does not have.",
                )
            )
        if keys := sorted(columns & set(shape.key)):
            found.append(
                Finding(
                    "error",
                    subject,
                    f"{option} names column {keys[0]!r}, which is part of the key of {where}: rows could not be told apart.",
                )
            )
    [(may_read, security)] = rows(
        connection,
        """SELECT has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
                      SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND a.attname <> ALL(%s) AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')),
                  row_security_active(c.oid)
           FROM pg_class c WHERE c.oid = %s""",
        (sorted(capture.exclude), shape.oid),
    )
    if not may_read:
        found.append(
            Finding(
                "error",
                subject,
                f"Role {connector.user!r} may not read table {where}.",
                f"GRANT SELECT ON {where} TO {quoted(connector.user)};",
            )
        )
    if security:
        found.append(
            Finding(
                "error",
                subject,
                f"Row-level security hides rows of table {where} from role {connector.user!r}, but its changes would all arrive.",
                f"ALTER ROLE {quoted(connector.user)} BYPASSRLS;",
            )
        )
    if shape.generated and not found:
        found.append(
            Finding(
                "warning",
                subject,
                f"Generated columns are not captured: {', '.join(shape.generated)}. Compute them in a view.",
            )
        )
    return found


def _owns(connection: Connection, shape: Shape) -> bool:
    [(owns,)] = rows(
        connection, "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s", (shape.oid,)
    )
    return bool(owns)


def _may_publish(connection: Connection, publication: str, *, exists: bool) -> bool:
    if exists:
        [(may,)] = rows(
            connection,
            "SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = %s",
            (publication,),
        )
    else:
        [(may,)] = rows(connection, "SELECT has_database_privilege(current_database(), 'CREATE')")
    return bool(may)


def _server(connector: Connector, connection: Connection, slot: str) -> list[Finding]:
    [row] = rows(
        connection,
        """SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int,
                  (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::int,
                  (SELECT count(*) FROM pg_stat_replication),
                  (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
                  EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_name = %s),
                  current_setting('server_encoding'),
                  EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication'),
                  pg_is_in_recovery()""",
        (slot,),
    )
    level, slots, used, senders, sending, may_replicate, exists, encoding, is_rds, in_recovery = _any(row)
    found: list[Finding] = []
    if level != "logical":
        found.append(
            Finding(
                "error",
                "server",
                f"wal_level is {level!r}; logical replication needs 'logical'.",
                "rds.logical_replication = 1 in the parameter group, then reboot"
                if is_rds
                else "ALTER SYSTEM SET wal_level = logical;  -- then restart the server",
            )
        )
    if in_recovery:
        found.append(Finding("error", "server", "This server is a standby; connect to its primary."))
    if not exists and used >= slots:
        found.append(
            Finding(
                "error",
                "server",
                f"No replication slot is free ({used} of {slots} are taken).",
                f"ALTER SYSTEM SET max_replication_slots = {slots + 10};  -- then restart the server",
            )
        )
    if sending >= senders:
        found.append(
            Finding(
                "error",
                "server",
                f"No WAL sender is free ({sending} of {senders} are taken).",
                f"ALTER SYSTEM SET max_wal_senders = {senders + 10};  -- then restart the server",
            )
        )
    if not may_replicate and not (is_rds and _is_member(connection, "rds_replication")):
        found.append(
            Finding(
                "error",
                "permission",
                f"Role {connector.user!r} may not use replication.",
                permission_sql("rds" if is_rds else "self-managed", role=connector.user).splitlines()[0],
            )
        )
    if encoding == "SQL_ASCII":
        found.append(
            Finding(
                "warning", "server", "The database is in SQL_ASCII: bytes that are not UTF-8 are replaced."
            )
        )
    return found or [Finding("ok", "server", "Logical replication is on, and role and slots allow it.")]


def _any(row: tuple[object, ...]) -> tuple[Any, ...]:
    return row


def _is_member(connection: Connection, role: str) -> bool:
    [(member,)] = rows(connection, "SELECT pg_has_role(current_user, %s, 'MEMBER')", (role,))
    return bool(member)


def _slot(connection: Connection, name: str) -> list[Finding]:
    slot = setup.read_slot(connection, name)
    if slot is None:
        return [Finding("ok", "slot", f"Slot {name!r} does not exist and will be made.")]
    if slot.plugin != "pgoutput":
        return [
            Finding(
                "error",
                "slot",
                f"Slot {name!r} belongs to something else (plugin {slot.plugin!r}).",
                "slot='another_name'",
            )
        ]
    if slot.wal_status == "lost":
        return [
            Finding(
                "error",
                "slot",
                f"Slot {name!r} is lost: the server removed the WAL that it needs.",
                "springline resnapshot",
            )
        ]
    found: list[Finding] = []
    if slot.active_pid is not None:
        found.append(
            Finding(
                "warning",
                "slot",
                f"Slot {name!r} is in use by process {slot.active_pid} ({slot.active_by or 'unknown'}). That is right if this source runs.",
                f"SELECT pg_terminate_backend({slot.active_pid});",
            )
        )
    megabytes = slot.retained_bytes >> 20
    if slot.limit_mb < 0:
        found.append(
            Finding(
                "warning",
                "slot",
                f"Slot {name!r} keeps {megabytes} MB of WAL, without a limit: while Springline is stopped the server's disk can fill.",
                "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();",
            )
        )
    elif slot.retained_bytes > min(_RETAINED_WARNING_BYTES, slot.limit_mb << 19):
        found.append(
            Finding(
                "warning", "slot", f"Slot {name!r} keeps {megabytes} MB of WAL (limit {slot.limit_mb} MB)."
            )
        )
    return found or [Finding("ok", "slot", f"Slot {name!r} keeps {megabytes} MB of WAL.")]
