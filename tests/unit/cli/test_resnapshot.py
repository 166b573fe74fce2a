"""``springline resnapshot`` where the application does not run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from springline.log.sqlite import SqliteLog
from springline.storage import DataFolder
from tests.unit.cli.harness import CommandLine, assert_error

APP = """
import springline as sl
from springline.core.schema import Column, TableSchema
from springline.core.types import INT
from springline.testing.memory_source import MemorySource


class Reloadable(MemorySource):
    def resnapshot(self, writer, tables):
        writer.save("asked", tables)
        writer.commit()


def schema(name):
    return TableSchema(name, (Column("id", INT, False),), ("id",))


app = sl.App("small")
app.source(Reloadable("crm", [schema("crm.trips"), schema("crm.people")]))
app.source(Reloadable("hr", [schema("hr.staff")]))
app.source(MemorySource("other", [schema("other.t")]))
"""


@pytest.fixture(autouse=True)
def _application(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)


def progress(tmp_path: Path, source: str) -> Mapping[str, object]:
    with contextlib.closing(SqliteLog(tmp_path / ".springline" / "log.db")) as log:
        return log.open_writer(source).progress()


def test_tables_are_marked_for_the_next_start(springline: CommandLine, tmp_path: Path) -> None:
    outcome = springline("resnapshot", "crm.trips", "--json")
    assert outcome.json == {"tables": ["crm.trips"], "when": "at the next start"}
    assert progress(tmp_path, "crm") == {"asked": ["crm.trips"]}
    assert progress(tmp_path, "hr") == {}
    assert not DataFolder(tmp_path / ".springline").is_locked()


def test_without_tables_all_of_them_are(springline: CommandLine, tmp_path: Path) -> None:
    springline("resnapshot", "crm.trips")
    outcome = springline("resnapshot", "--app", "app.py:app")
    assert outcome.out == "Loaded again at the next start: crm.*, hr.*.\n"
    assert progress(tmp_path, "hr") == {}
    assert progress(tmp_path, "crm") == {}


def test_what_cannot_be_loaded_again_is_told(springline: CommandLine) -> None:
    assert_error(springline("resnapshot", "other.t"), 2, "not a table that can be loaded again", "crm, hr")
    assert_error(springline("resnapshot", "--app", "absent.py"), 2, "There is no file absent.py")
    folder = DataFolder(".springline")
    folder.lock()
    assert_error(springline("resnapshot"), 4, "in use by process")
    folder.unlock()
