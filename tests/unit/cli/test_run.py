"""``springline run`` as a real process, and what works beside it and after it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.unit.cli.harness import CommandLine, assert_error

APP = """
import springline as sl
from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING
from springline.testing.memory_source import MemorySource

TRIPS = TableSchema("crm.trips", (Column("id", INT, False), Column("city", STRING)), ("id",))
source = MemorySource("crm", [TRIPS])
for number, city in enumerate(["Oslo", "Oslo", "Bergen"]):
    source.put("trips", {"id": number, "city": city})

app = sl.App("small")
app.source(source)
app.view("by_city", "SELECT city, COUNT(*) AS trips FROM crm.trips GROUP BY city", retain_s=3600)
"""


@pytest.fixture(autouse=True)
def _application(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "springline.cli.main", "run", "app.py", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def read_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with start("--port", "0") as running:
        assert "http://127.0.0.1:" in read_line(running.stdout)
        yield running
        running.kill()


def wait_for_rows(springline: CommandLine, sql: str, count: int) -> list[dict[str, Any]]:
    """Rows of a query, when there are so many."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        outcome = springline("query", sql, "--require", "now", "--json")
        if outcome.status == 0 and len(outcome.json["rows"]) >= count:
            return outcome.json["rows"]
        time.sleep(0.05)
    raise AssertionError(f"{sql} never had {count} rows")


def test_a_run_is_asked_stopped_and_read_afterwards(
    process: subprocess.Popen[str], springline: CommandLine, tmp_path: Path
) -> None:
    rows = wait_for_rows(springline, "SELECT city, trips FROM by_city ORDER BY city", 2)
    assert rows == [{"city": "Bergen", "trips": 1}, {"city": "Oslo", "trips": 2}]
    status = springline("status")
    assert re.search(r"^by_city +view +live +2", status.out, re.M)
    assert "delta" in springline("explain", "by_city").out
    assert springline("backup", "monday").status == 0
    assert_error(springline("restore", "monday", "--force"), 4, "in use by process")

    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "Stopped." in (process.stderr.read() if process.stderr else "")
    assert_error(springline("status"), 4, "No application runs")
    offline = springline("query", "SELECT city, trips FROM by_city ORDER BY city", "--json")
    assert offline.json["rows"] == rows
    assert "delta" in springline("explain", "by_city", "--app", "app.py").out
    assert springline("receipts").status == 0

    replayed = springline("replay", "app.py", "--to", "again", "--json")
    assert replayed.status == 0, replayed.err
    verdicts = {one["name"]: one["verdict"] for one in replayed.json}
    assert verdicts["by_city"] == verdicts["crm.trips"] == "same"

    assert springline("restore", "monday", "--data", "restored").status == 0
    assert (
        springline(
            "query", "SELECT city, trips FROM by_city ORDER BY city", "--data", "restored", "--json"
        ).json["rows"]
        == rows
    )


def test_changes_are_followed_from_a_token_on(
    process: subprocess.Popen[str], springline: CommandLine
) -> None:
    wait_for_rows(springline, "SELECT city, trips FROM by_city", 2)
    outcome = springline("changes", "by_city", "--until-idle")
    assert sorted(outcome.out.splitlines()) == ["+ city=Bergen  trips=1", "+ city=Oslo  trips=2"]
    assert "The whole relation follows: From the beginning." in outcome.err
    token = re.findall(r"token (\d+\.\d+)", outcome.err)[-1]
    after = springline("changes", "by_city", "--after", token, "--until-idle", "--json")
    [event] = [json.loads(line) for line in after.out.splitlines()]
    assert event["event"] == "position"
    now = springline("changes", "by_city", "--after", "now", "--until-idle", "--json")
    assert '"event": "position"' in now.out
    assert_error(springline("changes", "crm.trips"), 2, "The changes of 'crm.trips' are not kept", "Hint:")
    assert_error(
        springline("changes", "by_city", "--after", "x"), 2, "'x' is not a position in a change feed"
    )
    assert_error(springline("changes", "absent"), 5, "There is no relation 'absent'")


def test_a_changed_file_is_run_again_and_a_wrong_one_told(springline: CommandLine, tmp_path: Path) -> None:
    with start("--port", "0", "--reload") as process:
        try:
            url = read_line(process.stdout).split()[1]
            wait_for_rows(springline, "SELECT city, trips FROM by_city", 2)
            (tmp_path / "app.py").write_text("import springline as sl\napp = sl.App(")
            assert "app.py:2: '(' was never closed" in until_line(process.stderr, "Error:")
            wait_for_rows(springline, "SELECT city, trips FROM by_city", 2)
            (tmp_path / "app.py").write_text(APP.replace("SELECT city,", "SELECT town,"))
            assert "There is no column 'town'" in until_line(process.stderr, "Error:")
            assert read_line(process.stdout).split()[1] == url, "what ran before goes on"
            (tmp_path / "app.py").write_text(
                APP + 'app.view("cities", "SELECT DISTINCT city FROM crm.trips")'
            )
            assert wait_for_rows(springline, "SELECT city FROM cities", 2)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()


def until_line(stream: IO[str] | None, part: str) -> str:
    while part not in (line := read_line(stream)):
        assert line, f"nothing said {part!r}"
    return line


def test_ctrl_c_stops_cleanly_and_a_second_start_resumes(
    process: subprocess.Popen[str], springline: CommandLine
) -> None:
    wait_for_rows(springline, "SELECT id FROM crm.trips", 3)
    tick = springline("status", "--json").json["tick"]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    with start("--port", "0") as again:
        read_line(again.stdout)
        assert springline("status", "--json").json["tick"] >= tick
        again.send_signal(signal.SIGINT)
        assert again.wait(20) == 0


def test_a_second_process_on_the_folder_is_refused(process: subprocess.Popen[str]) -> None:
    with start("--port", "0", "--json") as other:
        out, err = other.communicate(timeout=30)
    # `run` prints no data, so it has no --json.
    assert (other.returncode, out) == (64, "")
    with start("--port", "0") as other:
        out, err = other.communicate(timeout=30)
    assert other.returncode == 4
    assert f"in use by process {process.pid}" in err
    assert "Traceback" not in err


def test_a_port_in_use_is_told_before_anything_starts(process: subprocess.Popen[str], tmp_path: Path) -> None:
    owner = json.loads((tmp_path / ".springline" / "owner.json").read_text())
    port = owner["url"].rpartition(":")[2]
    with start("--port", port, "--data", "other") as other:
        _, err = other.communicate(timeout=30)
    assert other.returncode == 2
    assert f"Port {port} on 127.0.0.1 is in use" in err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--host", "0.0.0.0", "--port", "0"), 2, "needs a token"),
        (("--port", "many"), 2, "--port: port must be a whole number from 0 to 65535; got 'many'"),
        (("--token", "plain-text-secret"), 2, "written here in plain text"),
    ],
)
def test_settings_that_cannot_be_are_told(arguments: tuple[str, ...], status: int, message: str) -> None:
    with start(*arguments) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == status
    assert message in err
    assert "Traceback" not in err
    assert "plain-text-secret" not in err
