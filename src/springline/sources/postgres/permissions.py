"""The SQL that gives a role what capture needs, for each kind of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from springline.sources.postgres.connection import quoted

Platform: TypeAlias = Literal["self-managed", "rds", "cloud-sql", "azure"]

PLATFORMS: Final[tuple[Platform, ...]] = ("self-managed", "rds", "cloud-sql", "azure")

_REPLICATION: Final[dict[Platform, tuple[str, ...]]] = {
    "self-managed": (
        "ALTER ROLE {role} WITH LOGIN REPLICATION;",
        "ALTER SYSTEM SET wal_level = logical;  -- then restart the server",
        "-- pg_hba.conf must allow the role to connect to this database, also with replication=database",
    ),
    "rds": (
        "GRANT rds_replication TO {role};",
        "-- RDS and Aurora: rds.logical_replication = 1 in the parameter group, then reboot",
    ),
    "cloud-sql": (
        "ALTER ROLE {role} WITH LOGIN REPLICATION;",
        "-- Cloud SQL: set the flag cloudsql.logical_decoding = on, then restart the instance",
    ),
    "azure": (
        "ALTER ROLE {role} WITH LOGIN REPLICATION;",
        "-- Azure flexible server: wal_level = logical in the server parameters, then restart",
    ),
}


def permission_sql(
    platform: Platform, *, role: str = "springline", tables: Sequence[str] = (), publication: str = ""
) -> str:
    """What an administrator runs once. ``tables`` are ``schema.table`` or ``table``. The publication is made here, by the owner
    of the tables, so that the role need own nothing."""
    lines = [line.format(role=quoted(role)) for line in _REPLICATION[platform]]
    names = [_qualified(table) for table in tables]
    schemas = dict.fromkeys(name.rpartition(".")[0] for name in names)
    lines += [f"GRANT USAGE ON SCHEMA {schema} TO {quoted(role)};" for schema in schemas]
    lines += [f"GRANT SELECT ON {name} TO {quoted(role)};" for name in names]
    if names and publication:
        lines.append(
            f"CREATE PUBLICATION {quoted(publication)} FOR TABLE {', '.join(names)} WITH (publish_via_partition_root = true);"
        )
    return "\n".join(lines)


def _qualified(table: str) -> str:
    namespace, dot, name = table.partition(".")
    return f"{quoted(namespace)}.{quoted(name)}" if dot else f"{quoted('public')}.{quoted(table)}"
