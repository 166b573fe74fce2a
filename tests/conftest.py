"""What all tests share: a PostgreSQL server for the session, a fresh database for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from springline.testing.postgres import PostgresServer

_numbers = count(1)


@dataclass(frozen=True)
class PostgresDatabase:
    """An empty database. ``dsn`` connects as superuser over the Unix socket, ``tcp_dsn`` over the loopback interface."""

    server: PostgresServer
    name: str
    dsn: str
    tcp_dsn: str


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One running server for all tests. A test that stops or kills it makes a server of its own instead."""
    # Not under tmp_path: when root runs the tests, the server's account must be able to come here.
    server = PostgresServer(Path(tempfile.mkdtemp(prefix="springline-tests-")))
    server.start()
    yield server
    server.remove()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """A fresh database; it is dropped at the end, with its slots and whoever is still connected."""
    name = f"test_{next(_numbers)}"
    dsn = postgres_server.create_database(name)
    yield PostgresDatabase(postgres_server, name, dsn, postgres_server.dsn(name, tcp=True))
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Debian's Chromium (or Chrome). Where there is none, the test is skipped with the reason; ``make test`` installs it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("no Chromium: install it with apt-get install chromium (make test does so as root)")
