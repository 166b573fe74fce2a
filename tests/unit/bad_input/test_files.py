"""Files of the data folder that are locked, missing, of another time, or not ours."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from springline.errors import ConfigurationError, DataFolderLocked, NewerFormat, StateError
from springline.log.sqlite import SqliteLog
from tests.unit.bad_input import shop as application


def remove(data: Path, name: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        (data / (name + suffix)).unlink(missing_ok=True)


def run_once(data: Path, *, rows: int) -> None:
    """An application that has applied some rows and was stopped."""
    with application.running(application.make(data, application.source(rows))) as runtime:
        assert application.totals(runtime) == (rows, rows)


def test_a_folder_in_use_is_refused_and_its_user_goes_on(tmp_path: Path) -> None:
    with application.running(application.make(tmp_path, application.source(3))) as first:
        with pytest.raises(DataFolderLocked, match="in use by process") as caught:
            application.make(tmp_path, application.source(5)).start()
        assert "--data" in str(caught.value.hint)
        assert application.totals(first) == (3, 3)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        application.make(tmp_path / "data", application.source()).start()
    assert "SPRINGLINE_DATA" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["log.db", "state.db"])
def test_a_newer_file_is_refused_and_the_folder_given_back(tmp_path: Path, name: str) -> None:
    run_once(tmp_path, rows=4)
    file = apsw.Connection(str(tmp_path / name))
    version = int(file.pragma("user_version"))
    file.execute("PRAGMA user_version=99")
    file.close()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(NewerFormat, match=rf"{name} has format 99") as caught:
        application.make(tmp_path, application.source(4)).start()
    assert "Upgrade Springline" in str(caught.value.hint)
    assert (tmp_path / name).read_bytes() == before
    file = apsw.Connection(str(tmp_path / name))
    file.execute(f"PRAGMA user_version={version}")
    file.close()
    run_once(tmp_path, rows=4)


def test_a_state_without_its_log_is_refused(tmp_path: Path) -> None:
    run_once(tmp_path, rows=4)
    remove(tmp_path, "log.db")
    with pytest.raises(
        StateError, match=r"state.db has applied the log up to \d+, but log.db ends at 0"
    ) as caught:
        application.make(tmp_path, application.source(4)).start()
    assert "springline restore" in str(caught.value.hint)


def test_a_log_without_its_state_builds_it_again(tmp_path: Path) -> None:
    run_once(tmp_path, rows=40)
    remove(tmp_path, "state.db")
    # The source has forgotten what it sent: everything comes from the log.
    silent = application.source()
    with application.running(application.make(tmp_path, silent)) as runtime:
        assert application.totals(runtime) == (40, 40)


def test_a_log_that_forgot_its_beginning_cannot_build_the_state_again(tmp_path: Path) -> None:
    run_once(tmp_path, rows=40)
    log = SqliteLog(tmp_path / "log.db")
    log.trim(2)
    log.close()
    remove(tmp_path, "state.db")
    with pytest.raises(StateError, match=r"state.db needs the log from 1, but log.db begins at 2") as caught:
        application.make(tmp_path, application.source(40)).start()
    assert "springline resnapshot" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["log.db", "state.db"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    run_once(tmp_path, rows=4)
    remove(tmp_path, name)
    (tmp_path / name).write_bytes(b"this was a database once" * 400)
    with pytest.raises(StateError, match="damaged or not a SQLite file") as caught:
        application.make(tmp_path, application.source(4)).start()
    assert "springline restore" in str(caught.value.hint)
