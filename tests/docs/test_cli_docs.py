"""docs/cli.md and docs/settings.md say what is there: every command, every flag, every setting; and their examples run."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from springline.cli import main
from springline.errors import SpringlineError
from springline.settings import TABLE, Settings
from springline.storage import DataFolder
from springline.testing.fake_demo import Served, serve_fake
from tests.house.project import ROOT
from tests.unit.cli.harness import CommandLine, make_folder, without_settings

CLI = (ROOT / "docs" / "cli.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()


def section(name: str) -> str:
    _, found, rest = CLI.partition(f"\n### springline {name}\n")
    assert found, f"docs/cli.md has no section on {name}"
    return re.split(r"\n##+ ", rest, maxsplit=1)[0]


def command(name: str) -> click.Command:
    found = main.cli.get_command(click.Context(main.cli), name)
    assert found is not None
    return found


def flags(name: str) -> set[str]:
    return {
        flag
        for parameter in command(name).params
        if isinstance(parameter, click.Option)
        for flag in parameter.opts
        if flag.startswith("--")
    }


def test_the_document_has_every_command_and_no_other() -> None:
    assert sorted(re.findall(r"^### springline ([\w-]+)$", CLI, re.M)) == sorted(main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_flag_of_a_command_is_documented_and_no_other(name: str) -> None:
    text = section(name)
    named = set(re.findall(r"--[a-z][a-z-]+", text))
    # Those of every command that talks to a server stand once, with `ask`.
    expected = flags(name)
    shared = (
        {"--data", "--config", "--url", "--token", "--json"}
        if "as everywhere" in text or "those of `ask`" in text
        else set[str]()
    )
    assert expected - named - shared == set()
    assert named - expected - {"--fresh"} == set()


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_flag_and_command_says_what_it_does(name: str) -> None:
    silent = [
        parameter.name
        for parameter in command(name).params
        if isinstance(parameter, click.Option) and not parameter.help and not parameter.show_default
    ]
    assert not silent
    assert command(name).help


def test_every_exit_status_is_documented() -> None:
    statuses = {
        main.USAGE_STATUS,
        main.DIFFERENT_STATUS,
        main.UNKNOWN_STATUS,
        main.INTERNAL_STATUS,
        main.INTERRUPTED_STATUS,
    }
    named = {int(number) for number in re.findall(r"^\| (\d+) \|", CLI, re.M)}
    assert named == statuses | {0}
    kinds = {
        child.exit_status
        for child in SpringlineError.__subclasses__()
        if child.__module__ == "springline.errors"
    }
    assert kinds | {SpringlineError.exit_status} == set(range(1, 7))


def test_every_setting_is_documented_as_it_is() -> None:
    rows = [line for line in SETTINGS.splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{one.name}` | `{one.flag}` | `{one.variable}` | {one.expects} | {one.default_text} | {one.about.description} |"
        for one in TABLE
    ]


def test_help_says_of_every_setting_what_the_table_says() -> None:
    options = {
        parameter.name: parameter
        for parameter in command("run").params
        if isinstance(parameter, click.Option)
    }
    for one in TABLE:
        assert options[one.name].opts == [one.flag]
        assert (options[one.name].help or "").startswith(f"{one.about.description}  [{one.variable}")


def test_the_example_file_can_be_used(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", SETTINGS, re.S)
    path = tmp_path / "springline.toml"
    path.write_text(text)
    settings = Settings.load(config=path, environment={})
    assert set(tomllib.loads(text)) == set(settings.origins)


@pytest.fixture(scope="module")
def fake() -> Iterator[Served]:
    served = serve_fake(demo=False)
    yield served
    served.close()


def test_the_examples_run(
    fake: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those in ``console`` blocks, one after the other, on the data folder of a running application."""
    without_settings(monkeypatch, tmp_path)
    folder: DataFolder = make_folder(
        tmp_path / ".springline",
        [[("c", "crm.trips", None, [1, "Oslo", 2])], [("d", "crm.trips", [1, "Oslo", 2], None)]],
    )  # type: ignore[list-item]
    folder.lock()
    folder.write_owner({"url": fake.server.url})
    springline = CommandLine(capsys)
    examples = re.findall(r"^\$ springline (.*)$", CLI, re.M)
    assert len(examples) > 12
    try:
        for example in examples:
            outcome = springline(*shlex.split(example))
            assert outcome.status == 0, f"{example}\n{outcome.out}{outcome.err}"
            assert outcome.out, example
    finally:
        folder.unlock()
