"""A source that has lost its place comes back by ``resnapshot``, in the running application."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg2

from springline.app import App, Running
from springline.settings import Settings
from tests.conftest import PostgresDatabase


def execute(database: PostgresDatabase, *statements: str) -> None:
    connection = psycopg2.connect(database.dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def application(database: PostgresDatabase) -> App:
    app = App("shop", settings=replace(Settings.load(), embedder="hashing"))
    app.postgres("shop", database.dsn, tables=["items"])
    app.view("names", "SELECT id, name FROM shop.items")
    return app


def names(running: Running) -> list[object]:
    with running.runtime.read(require="now", deadline_ms=30_000) as snapshot:
        return [row[0] for row in snapshot.query("SELECT name FROM names ORDER BY id").rows]


def test_a_lost_slot_stops_the_source_and_resnapshot_brings_it_back(
    postgres_database: PostgresDatabase, tmp_path: Path
) -> None:
    execute(
        postgres_database,
        "CREATE TABLE items(id bigint PRIMARY KEY, name text)",
        "INSERT INTO items VALUES (1, 'kept'), (2, 'deleted meanwhile')",
    )
    with application(postgres_database).start(data=tmp_path) as running:
        assert names(running) == ["kept", "deleted meanwhile"]
    execute(
        postgres_database,
        "SELECT pg_drop_replication_slot('springline_shop')",
        "DELETE FROM items WHERE id = 2",
        "INSERT INTO items VALUES (3, 'added meanwhile')",
    )
    with application(postgres_database).start(data=tmp_path) as running:
        until(lambda: running.runtime.status().sources["shop"].state == "stopped")
        assert "springline resnapshot" in str(running.runtime.status().sources["shop"].error)
        assert running.reload(["shop"]) == ["shop.items"]
        until(lambda: running.runtime.status().sources["shop"].state == "streaming")
        until(lambda: names(running) == ["kept", "added meanwhile"])
        execute(postgres_database, "UPDATE items SET name = 'followed' WHERE id = 1")
        assert names(running) == ["followed", "added meanwhile"]


def test_a_running_source_loads_a_table_again(postgres_database: PostgresDatabase, tmp_path: Path) -> None:
    execute(
        postgres_database,
        "CREATE TABLE items(id bigint PRIMARY KEY, name text)",
        "INSERT INTO items VALUES (1, 'a')",
    )
    with application(postgres_database).start(data=tmp_path) as running:
        assert names(running) == ["a"]
        loaded = running.runtime.status().sources["shop"].rows_loaded
        assert running.reload([]) == ["shop.items"]
        until(
            lambda: running.runtime.status().sources["shop"].rows_loaded > loaded or names(running) == ["a"]
        )
        execute(postgres_database, "INSERT INTO items VALUES (2, 'b')")
        assert names(running) == ["a", "b"]
