"""Commands that work on a data folder: log, backup, restore, doctor."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from pathlib import Path

import pytest

from springline.log.sqlite import SqliteLog
from springline.storage import DataFolder, connect
from tests.unit.cli.harness import CommandLine, assert_error, epoch, make_folder

CHANGES = [
    [("c", "crm.trips", None, [1, "New York", 3]), ("c", "crm.trips", None, [2, "大阪", None])],
    [("u", "crm.trips", [1, "New York", 3], [1, "New York", 2])],
    [("d", "crm.trips", [2, "大阪", None], None)],
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("SPRINGLINE_DATA", str(tmp_path / "data"))
    return make_folder(tmp_path / "data", CHANGES)  # type: ignore[arg-type]


def rows(folder: DataFolder) -> list[tuple[object, ...]]:
    with contextlib.closing(connect(folder.state_path, read_only=True)) as state:
        return state.execute('SELECT id, city, seats FROM "crm.trips" ORDER BY id').fetchall()


# -- log -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
def test_the_log_is_printed_as_changes(springline: CommandLine) -> None:
    outcome = springline("log", "--from", "2")
    assert outcome.status == 0
    assert outcome.out == (
        "2  1970-01-01 00:00:02.000Z  crm sequence:2  x2\n"
        "  + crm.trips  id=1, city=New York, seats=3\n"
        "  + crm.trips  id=2, city=大阪, seats=NULL\n"
        "3  1970-01-01 00:00:03.000Z  crm sequence:3  x3\n"
        "  ~ crm.trips  seats: 3 → 2  (id=1, city=New York)\n"
        "4  1970-01-01 00:00:04.000Z  crm sequence:4  x4\n"
        "  - crm.trips  id=2, city=大阪, seats=NULL\n"
    )
    assert "· crm.trips  schema" in springline("log", "--to", "1").out
    assert springline("log", "--from", "3", "--to", "3", "--table", "crm.absent").out == ""


@pytest.mark.usefixtures("folder")
def test_the_log_as_json_is_one_change_a_line(springline: CommandLine) -> None:
    lines = [json.loads(line) for line in springline("log", "--from", "3", "--json").out.splitlines()]
    assert [line["operation"] for line in lines] == ["update", "delete"]
    assert lines[0]["before"]["seats"] == 3
    assert lines[0]["after"] == {"id": 1, "city": "New York", "seats": 2}
    assert lines[1]["position"] == "sequence:4"


def test_the_log_of_a_running_application_can_be_read(springline: CommandLine, folder: DataFolder) -> None:
    folder.lock()
    with contextlib.closing(SqliteLog(folder.log_path)):
        assert springline("log", "--from", "4").status == 0
    folder.unlock()


def test_no_log_no_state(springline: CommandLine, tmp_path: Path) -> None:
    for arguments in (("log",), ("backup", str(tmp_path / "b")), ("query", "SELECT 1"), ("receipts",)):
        assert_error(springline(*arguments, "--data", str(tmp_path / "absent")), 4, "absent", "--data")


# -- backup and restore --------------------------------------------------------------------------------------------


def test_a_backup_is_restored_elsewhere_with_a_higher_epoch(
    springline: CommandLine, folder: DataFolder, tmp_path: Path
) -> None:
    target, restored = tmp_path / "kept" / "monday", DataFolder(tmp_path / "restored")
    outcome = springline("backup", str(target))
    assert outcome.status == 0
    assert re.match(rf"Copied {folder.path} at tick 5 to {target} \(\d", outcome.out)
    outcome = springline("restore", str(target), "--data", str(restored.path))
    assert outcome.status == 0
    assert f"Restored {restored.path} to tick 5, epoch 2." in outcome.out
    assert "springline resnapshot" in outcome.out
    assert rows(restored) == rows(folder) == [(1, "New York", 2)]
    assert (epoch(folder), epoch(DataFolder(target)), epoch(restored)) == (1, 1, 2)
    assert sorted(path.name for path in restored.path.iterdir() if "-" not in path.name) == [
        "lock",
        "log.db",
        "state.db",
    ]


def test_a_backup_is_made_while_the_folder_is_in_use(
    springline: CommandLine, folder: DataFolder, tmp_path: Path
) -> None:
    folder.lock()
    with contextlib.closing(SqliteLog(folder.log_path)):
        found = springline("backup", str(tmp_path / "copy"), "--json").json
    folder.unlock()
    assert found["tick"] == 5
    assert rows(DataFolder(tmp_path / "copy")) == rows(folder)


@pytest.mark.usefixtures("folder")
def test_a_backup_never_overwrites(springline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    assert_error(springline("backup", str(tmp_path / "full")), 2, "not an empty folder")
    assert_error(springline("backup", str(tmp_path / "full" / "something")), 2, "not an empty folder")


def test_restore_keeps_what_was_there(springline: CommandLine, folder: DataFolder, tmp_path: Path) -> None:
    assert springline("backup", str(tmp_path / "copy")).status == 0
    with contextlib.closing(connect(folder.state_path)) as state:
        state.execute('DELETE FROM "crm.trips"')
    assert_error(springline("restore", str(tmp_path / "copy")), 2, "already holds data", "--force")
    assert rows(folder) == []
    found = springline("restore", str(tmp_path / "copy"), "--force", "--json").json
    assert found["epoch"] == 2
    assert rows(folder) == [(1, "New York", 2)]
    assert rows(DataFolder(found["kept"])) == []


def test_restore_refuses_what_is_no_backup_or_in_use(
    springline: CommandLine, folder: DataFolder, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    assert_error(springline("restore", str(tmp_path / "empty")), 4, "is no backup")
    assert_error(springline("restore", str(folder.path), "--force"), 2, "are the same")
    assert springline("backup", str(tmp_path / "copy")).status == 0
    folder.lock()
    assert_error(springline("restore", str(tmp_path / "copy"), "--force"), 4, "in use by process")
    folder.unlock()


def test_a_backup_whose_files_do_not_belong_together_is_refused(
    springline: CommandLine, folder: DataFolder, tmp_path: Path
) -> None:
    assert springline("backup", str(tmp_path / "copy")).status == 0
    make_folder(tmp_path / "other").log_path.replace(tmp_path / "copy" / "log.db")
    before = rows(folder)
    assert_error(springline("restore", str(tmp_path / "copy"), "--force"), 4, "log.db ends at 1")
    assert rows(folder) == before


# -- reading without a process -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
def test_a_query_is_answered_from_the_files(springline: CommandLine) -> None:
    outcome = springline("query", "SELECT city, seats FROM crm.trips")
    assert outcome.status == 0
    assert outcome.out.splitlines() == ["city      seats", "New York      2"]
    assert "1 row · tick 5 · crm as of" in outcome.err
    assert springline("query", "SELECT id FROM crm.trips WHERE id = :one", "-p", "one=1", "--json").json[
        "rows"
    ] == [{"id": 1}]
    assert_error(springline("query", "SELECT nonsense FROM crm.trips"), 2, "nonsense")


# -- doctor --------------------------------------------------------------------------------------------------------


def test_doctor_of_a_sound_folder(springline: CommandLine, folder: DataFolder) -> None:
    outcome = springline("doctor", "--port", "0")
    assert outcome.status == 0, outcome.out
    assert f"{folder.path}: nobody works on it." in outcome.out
    assert "belong together; the last tick was 5" in outcome.out
    assert "0 errors" in outcome.out


def findings(springline: CommandLine, *arguments: str) -> dict[str, str]:
    """Severity of each message that is not ok."""
    outcome = springline("doctor", "--json", "--port", "0", *arguments)
    found = {one["message"]: one["severity"] for one in outcome.json if one["severity"] != "ok"}
    assert outcome.status == (65 if "error" in found.values() else 0)
    return found


def test_doctor_finds_open_folders_unknown_variables_and_missing_secrets(
    springline: CommandLine, folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(springline) == {}
    folder.path.chmod(0o755)
    monkeypatch.setenv("SPRINGLINE_PROT", "1")
    found = findings(springline, "--token", "env:ABSENT")
    assert found == {
        f"Others can look into {folder.path}.": "warning",
        "The variable SPRINGLINE_PROT means nothing.": "warning",
        "The environment variable ABSENT holds a secret that is needed, but it is not set.": "error",
    }


@pytest.mark.usefixtures("folder")
def test_doctor_finds_a_port_in_use_and_a_model_that_does_not_answer(springline: CommandLine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = springline("doctor", "--port", str(port))
        assert outcome.status == 65
        assert re.search(rf"^error +port +Port {port} on 127\.0\.0\.1 cannot be used", outcome.out, re.M)
    found = findings(springline, "--model", "small", "--model-url", "http://127.0.0.1:1/v1")
    assert [message for message in found if message.startswith("http://127.0.0.1:1/v1 does not answer")]
    assert (
        "needs a token" in str(findings(springline, "--host", "0.0.0.0"))
        or findings(springline, "--host", "0.0.0.0") == {}
    )


def test_doctor_finds_files_that_do_not_belong_together(
    springline: CommandLine, folder: DataFolder, tmp_path: Path
) -> None:
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (folder.path / name).unlink(missing_ok=True)
    make_folder(tmp_path / "other").log_path.replace(folder.log_path)
    assert list(findings(springline).values()) == ["error"]


def test_doctor_looks_at_the_application(springline: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("""
import springline as sl
from springline.core.schema import Column, TableSchema
from springline.core.types import INT
from springline.testing.memory_source import MemorySource

app = sl.App("small")
app.source(MemorySource("crm", [TableSchema("crm.trips", (Column("id", INT, False),), ("id",))]))
app.view("good", "SELECT id FROM crm.trips")
app.view("bad", "SELECT absent FROM crm.trips")
""")
    found = findings(springline)
    assert list(found.values()) == ["error"]
    assert "absent" in next(iter(found))
    (tmp_path / "broken.py").write_text("x = 1\ny = nonsense\n")
    assert f"{tmp_path / 'broken.py'}:2: NameError: name 'nonsense' is not defined" in findings(
        springline, "broken.py"
    )
