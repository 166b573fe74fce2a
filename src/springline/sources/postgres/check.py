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
WAL_SENDERS: Final = "wal senders"
"""Subject of the finding that goes away by itself when somebody disconnects."""

_KINDS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "u": "an unlogged table"}


def examine(connector: Connector, captures: Sequence[Capture], slot: str, publication: str) -> list[Finding]:
    """All findings, best news first. Raises SourceUnavailable where the server does not answer."""
    try:
        connection = connector.query()
    except SourceUnavailable:
        raise
    except SourceError as error:
        return [Finding("error", "connection", error.message, error.hint)]
    try:
        version = connection.server_version // 10000
        findings = [Finding("ok", "connection", f"PostgreSQL {version} at {connector.where}.")]
        try:
            require_version(connector, connection)
        except SourceError as error:
            return [*findings, Finding("error", "server", error.message, error.hint)]
        found = shapes_by_name(connection, [(capture.namespace, capture.table) for capture in captures])
        pairs: list[tuple[Capture, Shape]] = []
        for capture in captures:
            shape = found.get((capture.namespace, capture.table))
            if shape is None:
                missing = table_not_found(connector, connection, capture)
                findings.append(Finding("error", capture.relation, missing.message, missing.hint))
            else:
                pairs.append((capture, shape))
        return findings + examine_tables(connector, connection, pairs, slot, publication)
    except psycopg2.Error as error:
        raise connector.error(error) from error
    finally:
        connection.close()


def require(findings: Sequence[Finding]) -> None:
    """Raises the first error among findings."""
    for finding in findings:
        if finding.severity == "error":
            fix = finding.fix
            hint = f"Run: {fix}" if fix is not None and ";" in fix else fix
            kind = SourceUnavailable if finding.subject == WAL_SENDERS else SourceError
            raise kind(finding.message, hint=hint)


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
    connector: Connector,
    connection: Connection,
    captures: Sequence[tuple[Capture, Shape]],
    slot: str,
    publication: str,
) -> list[Finding]:
    """Server, role, tables, publication and slot, for tables that exist."""
    findings = _server(connector, connection, slot)
    for capture, shape in captures:
        key = ", ".join(shape.key) or "whole rows"
        fine = Finding("ok", capture.relation, f"Key ({key}), about {shape.rows_estimated} rows.")
        findings += _table(connector, connection, capture, shape) or [fine]
    if captures:
        findings.append(_publication(connector, connection, captures, publication))
    return findings + _slot(connector, connection, slot)


def _publication(
    connector: Connector, connection: Connection, captures: Sequence[tuple[Capture, Shape]], name: str
) -> Finding:
    version = connection.server_version
    existing = setup.read_publication(connection, name, version)
    if existing is not None and setup.publication_fits(existing, captures, version):
        return Finding("ok", "publication", f"Publication {name!r} holds the tables.")
    state = "does not hold what is needed" if existing is not None else "does not exist"
    owned = all(_owns(connection, shape) for _, shape in captures)
    if owned and _may_publish(connection, name, exists=existing is not None):
        return Finding("ok", "publication", f"Publication {name!r} {state} and will be set up.")
    return Finding(
        "error",
        "publication",
        f"Publication {name!r} {state}, and role {connector.user!r} may not set it up (it must own the tables).",
        setup.publication_sql(name, captures, version, exists=existing is not None) + ";",
    )


def _table(connector: Connector, connection: Connection, capture: Capture, shape: Shape) -> list[Finding]:
    subject, where = capture.relation, _quoted(shape)
    if shape.kind in _KINDS:
        message = f"{where} is {_KINDS[shape.kind]}; only tables send their changes."
        return [Finding("error", subject, message, "Name the tables behind it, and make it a view here.")]
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
    found += _left_out(capture, shape)
    found += _access(connector, connection, capture, shape)
    if shape.generated and not found:
        names = ", ".join(shape.generated)
        message = f"Generated columns are not captured: {names}. Compute them in a view."
        found.append(Finding("warning", subject, message))
    return found


def _left_out(capture: Capture, shape: Shape) -> list[Finding]:
    """Columns that are excluded or masked and cannot be."""
    found: list[Finding] = []
    names = {column.name for column in shape.columns}
    for option, columns in (("exclude", capture.exclude), ("mask", frozenset(capture.mask))):
        if unknown := sorted(columns - names):
            message = f"{option} names column {unknown[0]!r}, which table {_quoted(shape)} does not have."
            found.append(
                Finding("error", capture.relation, message, f"Its columns are: {', '.join(sorted(names))}.")
            )
        if keys := sorted(columns & set(shape.key)):
            message = f"{option} names column {keys[0]!r}, which is part of the key of {_quoted(shape)}: rows could not be told apart."
            found.append(Finding("error", capture.relation, message, f"Take it out of {option}=."))
    return found


def _access(connector: Connector, connection: Connection, capture: Capture, shape: Shape) -> list[Finding]:
    """What the role may not read, or would not see."""
    found: list[Finding] = []
    [(may_read, is_filtered)] = rows(
        connection,
        "SELECT has_table_privilege(%s::oid, 'SELECT'), row_security_active(%s::oid)",
        (shape.oid, shape.oid),
    )
    role, where = quoted(connector.user), _quoted(shape)
    if not may_read:
        message = f"Role {connector.user!r} may not read table {where}."
        found.append(Finding("error", capture.relation, message, f"GRANT SELECT ON {where} TO {role};"))
    if is_filtered:
        message = f"Row-level security hides rows of table {where} from role {connector.user!r}, but its changes would all arrive."
        found.append(Finding("error", capture.relation, message, f"ALTER ROLE {role} BYPASSRLS;"))
    return found


def _quoted(shape: Shape) -> str:
    return f"{quoted(shape.namespace)}.{quoted(shape.relation)}"


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
                WAL_SENDERS,
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


def _slot(connector: Connector, connection: Connection, name: str) -> list[Finding]:
    slot = setup.read_slot(connection, name)
    if slot is None:
        return [Finding("ok", "slot", f"Slot {name!r} does not exist and will be made.")]
    if (foreign := setup.foreign_slot(connector, slot, name)) is not None:
        return [Finding("error", "slot", foreign.message, foreign.hint)]
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
