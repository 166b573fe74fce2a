"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.storage import DataFolder
from springline.testing.fake_demo import Served, serve_fake
from tests.unit.cli.harness import CommandLine, served_folder, without_settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_settings(monkeypatch, tmp_path)


@pytest.fixture
def springline(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def fake() -> Iterator[Served]:
    served = serve_fake(demo=False)
    yield served
    served.close()


@pytest.fixture
def running(fake: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataFolder]:
    """The data folder of a running (fake) application; commands find it by SPRINGLINE_DATA."""
    with served_folder(tmp_path / "data", fake) as folder:
        monkeypatch.setenv("SPRINGLINE_DATA", str(folder.path))
        yield folder
