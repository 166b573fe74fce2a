"""Event time in the running application: watermarks and open windows outlive restarts, late rows can be read, declarations are checked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from springline.app import App
from springline.core.change import load_entry
from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import BIGINT, STRING, TIMESTAMP
from springline.errors import ConfigurationError, SqlError
from springline.language import LANGUAGE
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.storage import DataFolder
from springline.testing.memory_source import MemorySource

SECOND = 1_000_000
CLICKS = TableSchema(
    "web.clicks",
    (Column("id", BIGINT, nullable=False), Column("page", STRING), Column("at", TIMESTAMP)),
    ("id",),
)
AT = {"web.clicks": EventTime("at", delay_us=2 * SECOND)}
COUNTS = ViewDefinition(
    "counts",
    """SELECT window_start, window_end, COUNT(*) AS clicks
    FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end""",
)
VISITS = ViewDefinition(
    "visits",
    """SELECT window_start, window_end, page, COUNT(*) AS clicks
    FROM TABLE(SESSION(TABLE clicks PARTITION BY page, DESCRIPTOR(at), INTERVAL '5' SECOND))
    GROUP BY window_start, window_end, page""",
)


@contextmanager
def running(
    folder: Path,
    source: MemorySource,
    *views: ViewDefinition,
    event_times: Mapping[str, EventTime] = AT,
    options: Options | None = None,
) -> Iterator[EmbeddedRuntime]:
    definition = Definition("test", [source], views, event_times=event_times)
    made = EmbeddedRuntime(definition, DataFolder(folder), LANGUAGE, options)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def click(source: MemorySource, key: int, second: float, page: str = "home") -> None:
    source.put("clicks", {"id": key, "page": page, "at": int(second * SECOND)})


def ask(made: EmbeddedRuntime, sql: str) -> list[tuple[object, ...]]:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return [tuple(row) for row in snapshot.query(sql).rows]


def wait_for_rows(made: EmbeddedRuntime, rows: int) -> None:
    """Until so many clicks are there; a table that is loaded is not waited for with ``require``."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with made.read() as snapshot:
            if len(snapshot.query("SELECT id FROM clicks").rows) == rows:
                assert not snapshot.query("SELECT clicks FROM counts").rows
                return
        time.sleep(0.01)
    raise AssertionError(f"There are no {rows} clicks.")


def counts(made: EmbeddedRuntime) -> list[tuple[object, ...]]:
    return ask(made, "SELECT EXTRACT(EPOCH FROM window_start) AS s, clicks FROM counts ORDER BY s")


def late(made: EmbeddedRuntime) -> list[tuple[object, ...]]:
    return ask(made, "SELECT late_change, id FROM late.counts ORDER BY id")


def test_windows_close_and_late_rows_can_be_read(tmp_path: Path) -> None:
    source = MemorySource("web", [CLICKS])
    with running(tmp_path, source, COUNTS) as made:
        click(source, 1, 1)
        click(source, 2, 9)
        click(source, 3, 11.9)
        assert counts(made) == []
        click(source, 4, 12)
        assert counts(made) == [(0, 2)]
        click(source, 5, 3)
        source.delete("clicks", {"id": 1})
        assert counts(made) == [(0, 2)]
        assert late(made) == [(-1, 1), (1, 5)]
        status = {one.name: one for one in made.status().relations}
        assert (status["late.counts"].kind, status["late.counts"].rows) == ("late", 2)
        assert "close when the watermark passes their end" in made.explain("counts")


def test_watermarks_and_open_windows_outlive_a_restart(tmp_path: Path) -> None:
    source = MemorySource("web", [CLICKS])
    with running(tmp_path, source, COUNTS, VISITS) as made:
        click(source, 1, 5)
        click(source, 2, 13)
        click(source, 3, 14)
        assert counts(made) == [(0, 1)]
    click(source, 4, 6)
    with running(tmp_path, source, COUNTS, VISITS) as made:
        assert counts(made) == [(0, 1)]
        assert late(made) == [(1, 4)]
        click(source, 5, 30)
        assert counts(made) == [(0, 1), (10, 2)]
        assert ask(made, "SELECT clicks FROM visits ORDER BY window_start") == [(1,), (2,)]
        assert ask(made, "SELECT late_change, id FROM late.visits") == [(1, 4)]


def test_a_new_declaration_begins_at_what_the_rows_show(tmp_path: Path) -> None:
    source = MemorySource("web", [CLICKS])
    with running(tmp_path, source, COUNTS, event_times={}) as made:
        click(source, 1, 5)
        click(source, 2, 13)
        assert counts(made) == [(0, 1), (10, 1)]
        with pytest.raises(SqlError):
            late(made)
    with running(tmp_path, source, COUNTS) as made:
        assert counts(made) == [(0, 1)]
        click(source, 3, 7)
        assert late(made) == [(1, 3)]
    live = ViewDefinition(COUNTS.name, COUNTS.text, windows="live")
    with running(tmp_path, source, live) as made:
        assert counts(made) == [(0, 2), (10, 1)]


def test_rows_of_a_snapshot_come_in_no_order(tmp_path: Path) -> None:
    """While a table is loaded its watermark waits, so that no row of the snapshot is late."""
    source = MemorySource("web", [CLICKS])
    with running(tmp_path, source, COUNTS) as made:
        source.control(load_entry("web.clicks", loading=True))
        click(source, 1, 100)
        wait_for_rows(made, 1)
        click(source, 2, 5)
        wait_for_rows(made, 2)
        source.control(load_entry("web.clicks", loading=False))
        assert counts(made) == [(0, 1)]
        assert late(made) == []


def test_a_large_transaction_is_late_or_not_as_a_whole(tmp_path: Path) -> None:
    source = MemorySource("web", [CLICKS])
    with running(tmp_path, source, COUNTS) as made:
        with source.transaction():
            for key in range(50):
                click(source, key, 100 - key)
        assert counts(made)[0] == (50, 9)
        assert sum(row[1] for row in counts(made)) < 50
        assert late(made) == []


def test_views_follow_windows_that_close(tmp_path: Path) -> None:
    source = MemorySource("web", [CLICKS])
    minutes = ViewDefinition(
        "minutes",
        """SELECT window_start, window_end, SUM(clicks) AS clicks FROM TABLE(
            TUMBLE(TABLE timed, DESCRIPTOR(closed_at), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end""",
    )
    timed = ViewDefinition(
        "timed",
        """SELECT window_time AS closed_at, COUNT(*) AS clicks
        FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, window_time""",
        key=("closed_at",),
    )
    with running(tmp_path, source, timed, minutes) as made:
        for key, second in enumerate((1, 12, 33, 59, 61)):
            click(source, key, second)
        assert ask(made, "SELECT clicks FROM minutes") == []
        click(source, 9, 62)
        assert ask(made, "SELECT clicks FROM minutes") == [(4,)]


@pytest.mark.parametrize(("column", "message"), [("when", "not a column"), ("page", "which is STRING")])
def test_a_declaration_that_does_not_fit_is_refused(tmp_path: Path, column: str, message: str) -> None:
    source = MemorySource("web", [CLICKS])
    with (
        pytest.raises(ConfigurationError, match=message),
        running(tmp_path, source, event_times={"web.clicks": EventTime(column)}),
    ):
        pass


def test_the_application_declares_event_time() -> None:
    app = App("web")
    app.event_time("web.clicks", "at", delay_s=2.5, lateness_s=1, idle_after_s=60)
    app.view("counts", COUNTS.text, windows="live")
    definition = app.definition()
    assert definition.event_times == {
        "web.clicks": EventTime("at", delay_us=2_500_000, lateness_us=SECOND, idle_after_us=60 * SECOND)
    }
    assert [view.windows for view in definition.views] == ["live"]
    with pytest.raises(ConfigurationError, match="Two event times"):
        app.event_time("web.clicks", "seen")
    with pytest.raises(ConfigurationError, match="negative duration"):
        app.event_time("web.visits", "at", delay_s=-1)
