"""A growing file of JSON lines, read by the real runtime: existing lines, appended ones, restarts, rotation, damage."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from springline.app import App, Running
from springline.errors import ConfigurationError
from springline.sources.json_rows import JsonTable

ORDERS = JsonTable({"id": "BIGINT", "customer": "BIGINT", "amount": "DECIMAL(10, 2)"}, key=["id"])
CLICKS = JsonTable({"page": "STRING"})


@contextmanager
def running(folder: Path, table: JsonTable = ORDERS, **options: Any) -> Iterator[Running]:
    app = App("test")
    app.jsonl("shop", folder / "events.jsonl", tables={"events": table}, **options)
    with app.start(data=folder / "data") as started:
        yield started


def append(folder: Path, *objects: object, end: str = "\n") -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write("\n".join(json.dumps(one) for one in objects) + end)


def rows(
    running: Running, sql: str = "SELECT id, amount FROM shop.events ORDER BY id"
) -> list[tuple[Any, ...]]:
    with running.runtime.read(require="now", deadline_ms=20_000) as snapshot:
        return snapshot.query(sql).rows


def test_lines_that_are_there_and_lines_that_come(tmp_path: Path) -> None:
    append(tmp_path, {"id": 1, "amount": 1.5}, {"id": 2, "amount": 2})
    with running(tmp_path) as app:
        assert rows(app) == [(1, 150), (2, 200)]
        append(tmp_path, {"id": 2, "amount": 2.25}, {"id": 3, "amount": 3})
        assert rows(app) == [(1, 150), (2, 225), (3, 300)]


def test_a_line_counts_when_its_newline_is_written(tmp_path: Path) -> None:
    append(tmp_path, {"id": 1, "amount": 1}, end='\n{"id": 2, "am')
    with running(tmp_path) as app:
        assert rows(app) == [(1, 100)]
        with (tmp_path / "events.jsonl").open("a") as file:
            file.write('ount": 5}\n')
        assert rows(app) == [(1, 100), (2, 500)]


def test_a_restart_reads_on_where_it_was_and_nothing_twice(tmp_path: Path) -> None:
    append(tmp_path, {"page": "a"}, {"page": "a"})
    counted = "SELECT page, COUNT(*) AS n FROM shop.events GROUP BY page"
    with running(tmp_path, CLICKS) as app:
        assert rows(app, counted) == [("a", 2)]
    append(tmp_path, {"page": "a"})
    for _ in range(2):
        with running(tmp_path, CLICKS) as app:
            assert rows(app, counted) == [("a", 3)]


def test_a_file_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        assert rows(app) == []
        append(tmp_path, {"id": 1, "amount": 1})
        assert rows(app) == [(1, 100)]


def test_operations_and_lines_that_are_no_rows(tmp_path: Path) -> None:
    append(tmp_path, {"id": 1, "amount": 1, "op": "c"}, {"id": 2, "amount": 2, "op": "c"})
    with running(tmp_path, operation_field="op") as app:
        assert len(rows(app)) == 2
        append(tmp_path, {"id": 1, "op": "d"}, "no object", {"id": 3, "amount": "x", "op": "c"})
        assert rows(app) == [(2, 200)]
        rejected = rows(app, "SELECT `byte`, line, reason FROM shop.rejected_lines ORDER BY `byte`")
        data = (tmp_path / "events.jsonl").read_bytes()
        assert [data[at:].split(b"\n")[0].decode() for at, _, _ in rejected] == [
            line for _, line, _ in rejected
        ]
        assert rejected[0][2] == "not a JSON object"


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    append(tmp_path, {"id": 1, "amount": 1})
    with running(tmp_path) as app:
        assert rows(app) == [(1, 100)]
        append(tmp_path, {"id": 2, "amount": 2})
        (tmp_path / "events.jsonl").rename(tmp_path / "events.jsonl.1")
        append(tmp_path, {"id": 3, "amount": 3})
        assert rows(app) == [(1, 100), (2, 200), (3, 300)]
    append(tmp_path, {"id": 4, "amount": 4})
    with running(tmp_path) as app:
        assert len(rows(app)) == 4


@pytest.mark.parametrize("damage", ["replaced", "cut", "gone"])
def test_a_file_that_is_not_the_one_that_was_read_is_refused(tmp_path: Path, damage: str) -> None:
    append(tmp_path, *({"id": number, "amount": 1} for number in range(100)))
    with running(tmp_path) as app:
        assert len(rows(app)) == 100
    path = tmp_path / "events.jsonl"
    if damage == "replaced":
        path.write_text("\n".join('{"id": 7, "amount": 3}' for _ in range(1000)) + "\n")
    elif damage == "cut":
        os.truncate(path, 10)
    else:
        path.unlink()
    with running(tmp_path) as app:
        deadline = time.monotonic() + 20
        while app.runtime.status().sources["shop"].state != "stopped" and time.monotonic() < deadline:
            time.sleep(0.01)
        status = app.runtime.status().sources["shop"]
        assert "events.jsonl" in (status.error or "")


def test_a_table_with_a_column_of_ours_refuses_the_start_with_its_name(tmp_path: Path) -> None:
    app = App("test")
    columns = {"id": "BIGINT NOT NULL", "_tick": "BIGINT"}
    app.jsonl("shop", tmp_path / "orders.jsonl", tables={"orders": JsonTable(columns, key=["id"])})
    with pytest.raises(ConfigurationError, match=r"'shop\.orders' cannot be mirrored.*'_tick'"):
        app.start(data=tmp_path / "data").stop()
