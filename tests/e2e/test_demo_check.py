"""The demo's proof, and that it can fail: with the barrier off and capture half a second late, answers are stale."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springline.app import App
from springline.demo import check
from springline.demo.run import Options
from springline.log.base import CaptureWriter


@pytest.fixture
def options() -> Iterator[Options]:
    with tempfile.TemporaryDirectory(prefix="springline-check-", ignore_cleanup_errors=True) as folder:
        # The database's server may run as another account, which must be able to come here.
        Path(folder).chmod(0o755)
        yield Options(folder=Path(folder), port=0, speed=6_000.0, embedder="hashing", quiet=True)


class LateWriter:
    """A log that takes half a second longer to take anything in."""

    def __init__(self, writer: CaptureWriter) -> None:
        self._writer = writer

    def commit(self) -> object:
        time.sleep(0.5)
        return self._writer.commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


def late(app: App) -> None:
    source: Any = app.sources["airline"]
    run = source.run

    def run_late(writer: CaptureWriter, stop: threading.Event) -> None:
        run(LateWriter(writer), stop)

    source.run = run_late


def test_no_answer_is_stale_or_wrong(options: Options) -> None:
    outcome = check.run(options, asks=10)
    assert outcome.passed, outcome.problems
    assert outcome.line.startswith("stale=0/10 wrong=0/10 commit_to_context_ms p50=")


def test_without_the_barrier_and_half_a_second_late_the_check_fails(options: Options) -> None:
    outcome = check.run(options, asks=6, require="none", prepare=late)
    assert outcome.stale == 6
    assert not outcome.passed


def test_with_the_barrier_late_capture_makes_answers_slow_and_not_stale(options: Options) -> None:
    outcome = check.run(options, asks=3, prepare=late)
    assert outcome.passed, outcome.problems
