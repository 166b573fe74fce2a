"""Help, exit statuses and the one error shape."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from springline import __version__
from springline.cli import main
from springline.errors import DataFolderLocked, NotFresh, SpringlineError
from springline.secret import Secret
from tests.unit.cli.harness import CommandLine, assert_error


def failing(error: BaseException) -> click.Command:
    @click.command("status")
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json: bool) -> None:
        click.echo("some data")
        raise error

    return command


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr("springline.cli.status.command", failing(error))


def test_help_lists_every_command_with_its_line(springline: CommandLine) -> None:
    outcome = springline("--help")
    assert outcome.status == 0
    assert not [line for line in main.COMMANDS.values() if line not in outcome.out]


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help_and_reads_as_one_sentence_first(name: str, springline: CommandLine) -> None:
    outcome = springline(name, "--help")
    assert outcome.status == 0
    assert f"springline {name}" in outcome.out


def test_help_loads_nothing_that_it_does_not_need() -> None:
    script = """
import sys
from springline.cli.main import run
run(["--help"])
heavy = {"apsw", "fastapi", "uvicorn", "numpy", "psycopg2", "sqlglot", "onnxruntime", "rich", "springline.app", "http.client"}
sys.exit(" ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_version(springline: CommandLine) -> None:
    assert springline("--version").out.strip() == __version__
    assert springline("version", "--json").json["springline"] == __version__
    assert "sqlite" in springline("version").out


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("status", "--nonsense"), ("query",), ("query", "SELECT 1", "--format", "xml")],
)
def test_wrong_usage_is_64(arguments: tuple[str, ...], springline: CommandLine) -> None:
    assert_error(springline(*arguments), 64, "Error")
    as_json = springline(*arguments, "--json")
    assert json.loads(as_json.err)["code"] == "usage"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpringlineError("It is so."), 1),
        (DataFolderLocked("It is so."), 4),
        (NotFresh("It is so.", hint="Wait."), 5),
    ],
)
def test_an_error_is_message_hint_and_status(
    error: SpringlineError, status: int, springline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, error)
    outcome = springline("status")
    assert outcome.status == status
    assert outcome.err.splitlines()[0] == "Error: It is so."
    assert ("Hint:  Wait." in outcome.err) == (error.hint is not None)
    assert "Traceback" not in outcome.err
    assert json.loads(springline("status", "--json").err) == error.to_json()


def test_an_unexpected_error_says_so_and_can_be_reported(
    springline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, ZeroDivisionError("by nothing"))
    outcome = springline("status")
    assert outcome.status == 70
    assert "unexpected ZeroDivisionError" in outcome.err
    assert "Traceback" in outcome.err
    assert json.loads(springline("status", "--json").err)["code"] == "internal"


def test_interruption_is_130_and_quiet(springline: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, KeyboardInterrupt())
    outcome = springline("status")
    assert (outcome.status, outcome.err.strip()) == (130, "Interrupted.")


def test_no_message_shows_a_secret(springline: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET", "hush-hush-hush")
    Secret.parse("env:MY_SECRET", what="test").reveal()
    for error in (SpringlineError("It was hush-hush-hush."), ValueError("hush-hush-hush")):
        fail(monkeypatch, error)
        assert "hush" not in springline("status").err
        assert "hush" not in springline("status", "--json").err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m springline.cli.main --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
