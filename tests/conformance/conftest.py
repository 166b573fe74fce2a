"""What the PostgreSQL source's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.conformance.postgres_harness import Run, Running
from tests.conftest import PostgresDatabase


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sources.postgres.capture.LOOK_EVERY_S", 0.3)


@pytest.fixture
def dsn(postgres_database: PostgresDatabase) -> str:
    return postgres_database.dsn


@pytest.fixture
def cursor(dsn: str) -> Iterator[Any]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


@pytest.fixture
def run(dsn: str) -> Iterator[Run]:
    started: list[Running] = []

    def start(tables: list[str], **options: Any) -> Running:
        started.append(Running(dsn, tables, **options))
        return started[-1]

    yield start
    for running in started:
        running.stop()
