"""What a PostgreSQL source says when something is wrong: one clear error each, what to do, and nothing changed."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

from springline.errors import ConfigurationError, SourceError, SourceUnavailable, SpringlineError
from springline.sources.postgres import PostgresSource
from springline.sources.postgres.permissions import PLATFORMS, permission_sql
from springline.testing.capture import MemoryLog
from springline.testing.postgres import PostgresServer
from tests.conftest import PostgresDatabase

PASSWORD = "s3cret-Pa55"


@pytest.fixture
def cursor(postgres_database: PostgresDatabase) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(postgres_database.dsn)) as connection:
        connection.autocommit = True
        yield connection.cursor()


@pytest.fixture
def role(cursor: Any, postgres_database: PostgresDatabase) -> Iterator[tuple[str, str]]:
    """A role that may log in and nothing else, and its DSN."""
    name = f"reader_{postgres_database.name}"
    cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    server = postgres_database.server
    yield name, f"postgresql://{name}:{PASSWORD}@127.0.0.1:{server.port}/{postgres_database.name}"
    cursor.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


def refusal(dsn: str, tables: list[str] | None = None, **options: Any) -> SpringlineError:
    """The error of ``run``; ``check`` must tell the same, and neither may show the password or change anything."""
    source = PostgresSource("crm", dsn, tables=tables or ["t"], **options)
    log = MemoryLog()
    with pytest.raises(SpringlineError) as raised:
        source.run(log.open_writer(), threading.Event())
    error = raised.value
    if error.transient:
        with pytest.raises(SourceUnavailable):
            source.check()
    else:
        errors = [finding for finding in source.check() if finding.severity == "error"]
        assert errors
        assert error.message in [finding.message for finding in errors]
        assert all(PASSWORD not in repr(finding) for finding in errors)
    assert error.hint
    assert PASSWORD not in str(error) + repr(source) + repr(error.to_json())
    assert log.position is None
    assert log.saved == {}
    return error


def nothing_changed(cursor: Any) -> bool:
    cursor.execute(
        """SELECT (SELECT count(*) FROM pg_publication),
                  (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())"""
    )
    return cursor.fetchone() == (0, 0)


@pytest.mark.parametrize(
    "dsn",
    ["postgresql://user:s3cret-Pa55@host:notaport/db", "s3cret-Pa55", "host=a password='s3cret-Pa55"],
)
def test_a_dsn_that_is_none(dsn: str) -> None:
    with pytest.raises(SpringlineError) as raised:
        PostgresSource("crm", dsn, tables=["t"]).run(MemoryLog().open_writer(), threading.Event())
    assert PASSWORD not in str(raised.value)
    assert raised.value.hint


def test_nobody_listens() -> None:
    error = refusal(f"postgresql://me:{PASSWORD}@127.0.0.1:1/db")
    assert isinstance(error, SourceUnavailable)
    assert "db@127.0.0.1:1" in error.message


def test_no_such_host() -> None:
    error = refusal(f"postgresql://me:{PASSWORD}@no-such-host.invalid/db")
    assert not error.transient
    assert "host" in str(error.hint)


def test_a_wrong_password(role: tuple[str, str]) -> None:
    error = refusal(role[1].replace(PASSWORD, quote("wrong")))
    assert "password authentication failed" in error.message
    assert "password" in str(error.hint)


def test_no_such_database(postgres_database: PostgresDatabase) -> None:
    error = refusal(postgres_database.tcp_dsn + "x")
    assert "does not exist" in error.message
    assert "Name an existing database" in str(error.hint)


def test_a_table_that_does_not_exist(postgres_database: PostgresDatabase, cursor: Any) -> None:
    cursor.execute(
        "CREATE TABLE customers (id int PRIMARY KEY); CREATE SCHEMA sales; CREATE TABLE sales.orders (id int PRIMARY KEY)"
    )
    error = refusal(postgres_database.dsn, ["Customer"])
    assert isinstance(error, ConfigurationError)
    assert error.hint == "Did you mean 'customers'?"
    assert "'sales.orders'" in str(refusal(postgres_database.dsn, ["orders"]).hint)
    assert nothing_changed(cursor)


def test_a_table_without_a_key(postgres_database: PostgresDatabase, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int)")
    error = refusal(postgres_database.dsn)
    assert "no key" in error.message
    assert 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL' in str(error.hint)
    assert nothing_changed(cursor)
    cursor.execute("ALTER TABLE t REPLICA IDENTITY FULL")
    source = PostgresSource("crm", postgres_database.dsn, tables=["t"])
    assert all(finding.severity != "error" for finding in source.check())


def test_what_is_not_a_table(postgres_database: PostgresDatabase, cursor: Any) -> None:
    cursor.execute("CREATE VIEW t AS SELECT 1 AS id")
    source = PostgresSource("crm", postgres_database.dsn, tables=["t"])
    with pytest.raises(SourceError, match="is a view"):
        source.run(MemoryLog().open_writer(), threading.Event())
    assert nothing_changed(cursor)


def test_a_role_without_replication(role: tuple[str, str], cursor: Any) -> None:
    cursor.execute(f"CREATE TABLE t (id int PRIMARY KEY); GRANT SELECT ON t TO {role[0]}")
    error = refusal(role[1])
    assert "may not use replication" in error.message
    assert f'ALTER ROLE "{role[0]}" WITH LOGIN REPLICATION;' in str(error.hint)
    assert nothing_changed(cursor)


def test_a_role_that_may_not_read_or_publish(role: tuple[str, str], cursor: Any) -> None:
    cursor.execute(f"CREATE TABLE t (id int PRIMARY KEY); ALTER ROLE {role[0]} REPLICATION")
    error = refusal(role[1])
    assert f'GRANT SELECT ON "public"."t" TO "{role[0]}";' in str(error.hint)
    cursor.execute(f"GRANT SELECT ON t TO {role[0]}")
    error = refusal(role[1])
    assert "may not set it up" in error.message
    assert 'CREATE PUBLICATION "springline_crm" FOR TABLE "public"."t"' in str(error.hint)
    assert nothing_changed(cursor)
    # Done as it says, by the owner, a role that owns nothing is enough.
    cursor.execute(str(error.hint).removeprefix("Run: "))
    cursor.execute("INSERT INTO t VALUES (1)")
    source, log, stop = PostgresSource("crm", role[1], tables=["t"]), MemoryLog(), threading.Event()
    thread = threading.Thread(target=source.run, args=(log.open_writer(), stop))
    thread.start()
    log.wait(lambda: any(entry[0] == "r" for entry in log.entries()))
    position = source.current_position(5)
    log.wait(lambda: log.position is not None and log.position >= position)  # type: ignore[operator]
    stop.set()
    thread.join()
    source.close()


def test_row_level_security(role: tuple[str, str], cursor: Any) -> None:
    cursor.execute(
        f"""CREATE TABLE t (id int PRIMARY KEY); GRANT SELECT ON t TO {role[0]}; ALTER ROLE {role[0]} REPLICATION;
            ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE PUBLICATION springline_crm FOR TABLE t"""
    )
    error = refusal(role[1])
    assert "BYPASSRLS" in str(error.hint)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exclude": {"t": ["id"]}}, "part of the key"),
        ({"mask": {"t": {"id": "hash"}}}, "part of the key"),
        ({"exclude": {"t": ["nmae"]}}, "does not have"),
        ({"mask": {"t": {"nmae": "null"}}}, "does not have"),
    ],
)
def test_columns_that_cannot_be_left_out(
    postgres_database: PostgresDatabase, cursor: Any, options: dict[str, Any], message: str
) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, name text)")
    assert message in refusal(postgres_database.dsn, **options).message
    assert nothing_changed(cursor)


def test_options_for_a_table_not_asked_for(postgres_database: PostgresDatabase) -> None:
    with pytest.raises(ConfigurationError, match="not among its tables"):
        PostgresSource("crm", postgres_database.dsn, tables=["t"], exclude={"u": ["a"]})


def test_a_slot_of_something_else(postgres_database: PostgresDatabase, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY)")
    cursor.execute("SELECT pg_create_logical_replication_slot('springline_crm', 'test_decoding')")
    error = refusal(postgres_database.dsn)
    assert "belongs to something else" in error.message
    assert "slot" in str(error.hint)


def test_a_server_without_logical_wal_or_a_free_slot() -> None:
    directory = Path(tempfile.mkdtemp(prefix="springline-tests-"))
    server = PostgresServer(directory, settings={"wal_level": "replica", "max_replication_slots": "1"})
    try:
        server.start()
        with contextlib.closing(server.connect()) as connection, connection.cursor() as own:
            own.execute("CREATE TABLE t (id int PRIMARY KEY)")
            error = refusal(server.dsn())
            assert "wal_level is 'replica'" in error.message
            assert "ALTER SYSTEM SET wal_level = logical" in str(error.hint)
            assert nothing_changed(own)
        server.settings["wal_level"] = "logical"
        server.restart()
        with contextlib.closing(server.connect()) as connection, connection.cursor() as own:
            own.execute("SELECT pg_create_physical_replication_slot('other')")
            error = refusal(server.dsn())
            assert "No replication slot is free" in error.message
            assert nothing_changed(own)
    finally:
        server.remove()


def test_check_warns_of_what_may_hurt_later(postgres_database: PostgresDatabase, cursor: Any) -> None:
    cursor.execute("CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    cursor.execute("SELECT pg_create_logical_replication_slot('springline_crm', 'pgoutput')")
    findings = PostgresSource("crm", postgres_database.dsn, tables=["t"]).check()
    warnings = {finding.subject: finding for finding in findings if finding.severity == "warning"}
    assert "twice" in warnings["crm.t"].message
    assert "max_slot_wal_keep_size" in str(warnings["slot"].fix)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_permission_sql(platform: Any) -> None:
    text = permission_sql(platform, role="springline", tables=["t", "sales.orders"], publication="p")
    assert 'GRANT SELECT ON "sales"."orders" TO "springline";' in text
    assert 'CREATE PUBLICATION "p" FOR TABLE "public"."t", "sales"."orders"' in text
    assert ("rds_replication" in text) == (platform == "rds")
