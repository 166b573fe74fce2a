"""Sources that fail: tried again where that can help, stopped with the reason where it cannot, and never silently."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from springline.errors import SourceError, SourceLost, SourceUnavailable, StorageFull
from springline.log.base import CaptureWriter
from springline.log.sqlite import SqliteCaptureWriter, SqliteLog
from springline.sources.postgres.connection import Connector
from springline.testing.memory_source import MemorySource
from tests.unit.bad_input import shop as application


class Troubled(MemorySource):
    """A source that fails as often as it was told to."""

    def __init__(self, failures: list[Exception]) -> None:
        super().__init__("shop", [application.ITEMS])
        self.failures = failures

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        if self.failures:
            raise self.failures.pop(0)
        super().run(writer, stop)


def test_a_source_that_does_not_answer_is_tried_again_and_then_says_that_it_streams(tmp_path: Path) -> None:
    shop = Troubled([SourceUnavailable("It does not answer."), SourceUnavailable("Still not.")])
    application.put(shop, range(5))
    with application.running(application.make(tmp_path, shop)) as runtime:
        assert application.totals(runtime) == (5, 5)
        status = runtime.status()
        assert (status.sources["shop"].state, status.sources["shop"].error) == ("streaming", None)
        assert not status.errors


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            SourceLost("The slot is gone.", hint="Run `springline resnapshot shop`."),
            "The slot is gone. Run `springline resnapshot",
        ),
        (KeyError("a defect"), "stopped on an unexpected error: KeyError('a defect')"),
    ],
)
def test_a_source_that_cannot_go_on_is_stopped_with_the_reason(
    tmp_path: Path, failure: Exception, message: str
) -> None:
    with application.running(application.make(tmp_path, Troubled([failure]))) as runtime:
        status = application.wait_for_status(
            runtime, lambda one: one.sources["shop"].state == "stopped" and bool(one.errors)
        )
        assert message in str(status.sources["shop"].error)
        assert status.state == "running"
        with runtime.read() as snapshot:
            assert snapshot.query("SELECT COUNT(*) AS n FROM shop.items").rows == [(0,)]


def test_a_log_that_cannot_be_opened_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = application.source(rows=7)
    opened: Callable[[SqliteLog, str], SqliteCaptureWriter] = SqliteLog.open_writer
    failures = [StorageFull("The disk is full."), StorageFull("The disk is still full.")]

    def open_writer(log: SqliteLog, source: str) -> SqliteCaptureWriter:
        if source == "shop" and failures:
            raise failures.pop(0)
        return opened(log, source)

    monkeypatch.setattr(SqliteLog, "open_writer", open_writer)
    with application.running(application.make(tmp_path, shop)) as runtime:
        assert application.totals(runtime) == (7, 7)
    assert not failures


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg2.OperationalError("server closed the connection unexpectedly"), SourceUnavailable),
        # What psycopg2 says when the server is killed while it streams.
        (
            psycopg2.DatabaseError("error with status PGRES_COPY_BOTH and no message from the libpq"),
            SourceUnavailable,
        ),
        (psycopg2.InterfaceError("connection already closed"), SourceUnavailable),
        (psycopg2.ProgrammingError("relation does not exist"), SourceError),
        (psycopg2.OperationalError("password authentication failed for user"), SourceError),
    ],
)
def test_what_a_drivers_error_means(error: Exception, expected: type[SourceError]) -> None:
    found = Connector("shop", "postgresql://reader@localhost:1/shop").error(error)
    assert type(found) is expected
    assert "source 'shop'" in found.message
    assert found.hint
