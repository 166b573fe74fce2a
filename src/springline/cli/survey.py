"""What ``springline init`` finds in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg2

from springline.cli.scaffold import FoundTable, Plan
from springline.errors import ConfigurationError
from springline.sources.base import Finding
from springline.sources.postgres import PostgresSource
from springline.sources.postgres.catalog import shapes_by_name
from springline.sources.postgres.connection import Connection, Connector, rows
from springline.sources.postgres.permissions import Platform

_TABLES: Final = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname <> 'public', 1, 2 LIMIT 500"""

_REFERENCES: Final = """
SELECT n.nspname, c.relname, a.attname, fn.nspname, f.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
WHERE k.contype = 'f' AND cardinality(k.conkey) = 1 AND a.attnotnull"""

_PLATFORM_ROLES: Final[dict[str, Platform]] = {
    "rds_superuser": "rds",
    "cloudsqlsuperuser": "cloud-sql",
    "azure_pg_admin": "azure",
}


@dataclass(frozen=True)
class Survey:
    """A database as it is now."""

    dsn: str
    where: str
    database: str
    user: str
    version: int
    platform: Platform
    tables: Sequence[FoundTable]
    references: Mapping[tuple[str, str], str]

    def chosen(self, asked: Sequence[str], most: int) -> list[FoundTable]:
        """The tables to capture. Raises ConfigurationError where there is none, or one that was asked for has no key."""
        by_name = {table.name: table for table in self.tables}
        for name in asked:
            if not by_name[name].key:
                raise ConfigurationError(
                    f"Table {name!r} has no primary key, so its rows cannot be told apart.",
                    hint=f"ALTER TABLE {name} ADD PRIMARY KEY (…);",
                )
        chosen = [by_name[name] for name in asked] or [table for table in self.tables if table.key][:most]
        if not chosen:
            raise ConfigurationError(
                f"There is no table with a primary key in {self.where} that {self.user!r} can see.",
                hint="Check the database in the DSN, or give tables a primary key.",
            )
        return chosen

    def findings(self, plan: Plan) -> Sequence[Finding]:
        """What stands between the database as it is and the plan."""
        source = PostgresSource(plan.source, self.dsn, tables=[table.name for table in plan.tables])
        try:
            return source.check()
        finally:
            source.close()


def survey(dsn: str, asked: Sequence[str]) -> Survey:
    """Looks at the database. Raises SourceError, or ConfigurationError for a table that does not exist."""
    connector = Connector("init", dsn)
    connection = connector.query()
    try:
        return _survey(connector, connection, dsn, asked)
    except psycopg2.Error as error:
        raise connector.error(error) from error
    finally:
        connection.close()


def _survey(connector: Connector, connection: Connection, dsn: str, asked: Sequence[str]) -> Survey:
    found: list[Any] = rows(connection, _TABLES)
    shapes = shapes_by_name(connection, [(schema, table) for schema, table in found])
    tables = [
        FoundTable(
            _name(*pair),
            tuple(column.name for column in shapes[pair].columns),
            shapes[pair].key,
            shapes[pair].rows_estimated,
        )
        for pair in found
        if pair in shapes
    ]
    known = {table.name for table in tables}
    if missing := [name for name in asked if name not in known]:
        raise ConfigurationError(
            f"There is no table {missing[0]!r} in {connector.where}.",
            hint=f"There are: {', '.join(sorted(known)[:20])}.",
        )
    links: list[Any] = rows(connection, _REFERENCES)
    [(database, user)] = rows(connection, "SELECT current_database(), current_user")
    return Survey(
        dsn=dsn,
        where=connector.where,
        database=str(database),
        user=str(user),
        version=connection.server_version // 10_000,
        platform=_platform(connection),
        tables=tables,
        references={
            (_name(schema, table), column): _name(*target) for schema, table, column, *target in links
        },
    )


def _platform(connection: Connection) -> Platform:
    roles = {str(row[0]) for row in rows(connection, "SELECT rolname FROM pg_roles")}
    for role, platform in _PLATFORM_ROLES.items():
        if role in roles:
            return platform
    return "self-managed"


def _name(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"
