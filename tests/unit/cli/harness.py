"""Runs the command line in this process, and makes data folders for it to look at."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from springline.cli.main import run
from springline.core.change import Entry, Transaction, load_entry, schema_entry
from springline.core.position import SequencePosition, Tick
from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING
from springline.log.sqlite import SqliteLog
from springline.runtime.embedded.state import (
    STATE_FORMAT,
    Relation,
    Resume,
    SourceProgress,
    write_progress,
    write_relation,
)
from springline.settings import PREFIX
from springline.storage import DataFolder, immediate, open_file
from springline.testing.fake_demo import Served

TRIPS = TableSchema(
    "crm.trips", (Column("id", INT, False), Column("city", STRING), Column("seats", INT)), ("id",)
)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Calls ``springline …`` as a shell would, without starting a process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        self._capsys.readouterr()
        status = run(arguments)
        captured = self._capsys.readouterr()
        return Outcome(status, captured.out, captured.err)


def without_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No setting of the machine takes part."""
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@contextlib.contextmanager
def served_folder(path: Path, served: Served) -> Iterator[DataFolder]:
    """A data folder whose owner is the fake application."""
    folder = DataFolder(path)
    folder.lock()
    folder.write_owner({"url": served.server.url})
    try:
        yield folder
    finally:
        folder.unlock()


def make_folder(path: Path, batches: Sequence[Sequence[Entry]] = ()) -> DataFolder:
    """A data folder with a log of these transactions, all of them applied to the table ``crm.trips``."""
    folder = DataFolder(path)
    path.mkdir(mode=0o700)
    first = [schema_entry(TRIPS), load_entry("crm.trips", loading=False)]
    with contextlib.closing(SqliteLog(folder.log_path)) as log:
        writer = log.open_writer("crm")
        for number, entries in enumerate([first, *batches], start=1):
            writer.append(
                Transaction("crm", SequencePosition(number), number * 1_000_000, list(entries), f"x{number}")
            )
        writer.commit()
    count = len(batches) + 1
    with contextlib.closing(open_file(folder.state_path, STATE_FORMAT)) as state, immediate(state):
        write_relation(state, Relation("crm.trips", "table", TRIPS, "live"))
        state.execute(
            'CREATE TABLE "crm.trips"(id INTEGER PRIMARY KEY, city TEXT, seats INTEGER, _tick INTEGER) STRICT'
        )
        for _, _, before, after in (entry for entries in batches for entry in entries):
            if before is not None:
                state.execute('DELETE FROM "crm.trips" WHERE id = ?', (before[0],))
            if after is not None:
                state.execute('INSERT OR REPLACE INTO "crm.trips" VALUES (?, ?, ?, 1)', tuple(after))
        applied = {"crm": SourceProgress(f"sequence:{count}", count * 1_000_000, count)}
        write_progress(state, Resume(Tick(5), count, 1, applied), applied, 9_000_000)
    return folder


def epoch(folder: DataFolder) -> int:
    with contextlib.closing(open_file(folder.state_path, STATE_FORMAT)) as state:
        [(found,)] = state.execute("SELECT epoch FROM _engine").fetchall()
        return int(found)


def assert_error(outcome: Outcome, status: int, *parts: str) -> None:
    """One clear error: its status, every part in the message, no traceback, nothing on standard output."""
    assert outcome.status == status, outcome
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    missing = [part for part in parts if part not in outcome.err]
    assert not missing, outcome.err
