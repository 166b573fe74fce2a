"""A PostgreSQL server for the crash tests: it is killed, so nobody else can use it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from springline.testing.postgres import PostgresServer
from tests.crash.run import database_server


@pytest.fixture(scope="package")
def server() -> Iterator[PostgresServer]:
    with database_server() as server:
        yield server
