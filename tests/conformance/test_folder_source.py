"""The folder source against real files: nothing lost, nothing half-written, nothing deleted by accident."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from springline.core.change import Operation
from springline.core.position import FolderPosition, Position
from springline.errors import ConfigurationError, SourceUnavailable
from springline.sources.files import FolderSource
from tests.conformance.mirroring import MirroringWriter, running, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    return folder


@pytest.fixture
def writer() -> MirroringWriter:
    return MirroringWriter()


def source_of(folder: Path, **options: object) -> FolderSource:
    return FolderSource("policies", folder, **{"empty_grace_s": 0.3, **options})  # type: ignore[arg-type]


def test_existing_files_first_then_changes(folder: Path, writer: MirroringWriter) -> None:
    (folder / "ja").mkdir()
    (folder / "refunds.md").write_text("# Refunds\n\nWithin seven days.\n")
    (folder / "ja" / "refunds.md").write_text("# 払い戻し\n\n七日以内。\n")
    (folder / "notes.txt").write_text("plain")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
        assert writer.state == "live"
        assert writer.contents() == {
            "refunds.md": "# Refunds\n\nWithin seven days.\n",
            "ja/refunds.md": "# 払い戻し\n\n七日以内。\n",
            "notes.txt": "plain",
        }
        row = writer.mirror["ja/refunds.md"]
        assert (row["format"], row["title"], row["error"]) == ("markdown", "払い戻し", None)
        assert (writer.mirror["notes.txt"]["format"], writer.mirror["notes.txt"]["title"]) == (
            "text",
            "notes",
        )
        assert writer.transactions[0].entries[0][0] == Operation.SCHEMA
        (folder / "refunds.md").write_text("# Refunds\n\nWithin two days.\n")
        until(lambda: writer.contents()["refunds.md"] == "# Refunds\n\nWithin two days.\n")
        (folder / "notes.txt").unlink()
        until(lambda: "notes.txt" not in writer.mirror)


def test_the_barrier_covers_every_completed_write(folder: Path, writer: MirroringWriter) -> None:
    """Without notifications and without rescans: only the barrier looks."""
    source = source_of(folder, watch=False, rescan_s=3600.0)
    with running(source, writer):
        for number in range(30):
            path = folder / f"d{number % 4}.md"
            if number % 7 == 6:
                path.unlink()
                expected = None
            elif number % 2:
                staged = folder / ".staged"
                staged.write_text(f"renamed {number}")
                staged.rename(path)
                expected = f"renamed {number}"
            else:
                path.write_text(f"written {number}")
                expected = f"written {number}"
            position = source.current_position(5)
            assert isinstance(position, FolderPosition)
            assert writer.contents().get(path.name) == expected
            assert writer.position() == position


def test_same_size_and_time_is_seen(folder: Path, writer: MirroringWriter) -> None:
    """Two writes within one tick of the file system's clock."""
    source = source_of(folder, watch=False, rescan_s=3600.0)
    path = folder / "a.md"
    with running(source, writer):
        for number in range(40):
            path.write_text(f"{number:04}")
            source.current_position(5)
            assert writer.contents()["a.md"] == f"{number:04}"


def test_callers_share_one_look(folder: Path, writer: MirroringWriter) -> None:
    source = source_of(folder)
    with running(source, writer):
        (folder / "a.md").write_text("a")
        threads = [threading.Thread(target=source.current_position, args=(5,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert writer.contents() == {"a.md": "a"}


def test_an_idle_barrier_writes_nothing(folder: Path, writer: MirroringWriter) -> None:
    (folder / "a.md").write_text("a")
    source = source_of(folder)
    with running(source, writer):
        first = source.current_position(5)
        count = len(writer.transactions)
        assert source.current_position(5) == first
        assert len(writer.transactions) == count


def test_a_restart_sends_only_differences(folder: Path, writer: MirroringWriter) -> None:
    for name in ("kept.md", "edited.md", "deleted.md"):
        (folder / name).write_text(name)
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    before = len(writer.transactions)
    (folder / "edited.md").write_text("edited while nobody looked")
    (folder / "deleted.md").unlink()
    (folder / "new.md").write_text("new")
    again = source_of(folder)
    with running(again, writer):
        again.current_position(5)
    assert [len(transaction.entries) for transaction in writer.transactions[before:]] == [3]
    assert writer.contents() == {
        "kept.md": "kept.md",
        "edited.md": "edited while nobody looked",
        "new.md": "new",
    }


def test_an_interrupted_load_goes_on(
    folder: Path, writer: MirroringWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springline.sources.files._TRANSACTION_BYTES", 1)
    for number in range(5):
        (folder / f"{number}.md").write_text(str(number))

    class Crash(Exception):
        pass

    class CrashingWriter(MirroringWriter):
        def commit(self) -> Position | None:
            if len(self.transactions) == 3:
                raise Crash
            return super().commit()

    crashing = CrashingWriter()
    with pytest.raises(Crash), running(source_of(folder), crashing) as thread:
        thread.join(5)
    assert crashing.state == "loading"
    writer.__dict__.update({**crashing.__dict__, "_pending": [], "_saved": {}})
    (folder / "0.md").unlink()
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    assert writer.state == "live"
    assert writer.contents() == {f"{number}.md": str(number) for number in range(1, 5)}
    assert sum(transaction.entries[0][0] == Operation.SCHEMA for transaction in writer.transactions) == 1


def test_a_rename_is_one_transaction_with_the_same_hash(folder: Path, writer: MirroringWriter) -> None:
    (folder / "old.md").write_text("the same")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
        content_hash = writer.mirror["old.md"]["content_hash"]
        (folder / "old.md").rename(folder / "new.md")
        source.current_position(5)
        assert [entry[0] for entry in writer.transactions[-1].entries] == ["d", "r"]
        assert writer.mirror["new.md"]["content_hash"] == content_hash


def test_a_half_written_file_is_never_shown(folder: Path, writer: MirroringWriter) -> None:
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
        with (folder / "long.md").open("w") as file:
            for _ in range(6):
                file.write("a part\n")
                file.flush()
                time.sleep(0.03)
                source.current_position(5)
                assert "long.md" not in writer.mirror
        source.current_position(5)
        assert writer.contents()["long.md"] == "a part\n" * 6
    assert [content for _, name, content in writer.history if name == "long.md"] == ["a part\n" * 6]


def test_a_file_that_stays_open_is_shown_when_it_rests(folder: Path, writer: MirroringWriter) -> None:
    source = source_of(folder)
    with running(source, writer), (folder / "journal.txt").open("w") as file:
        file.write("a line")
        file.flush()
        until(lambda: writer.contents().get("journal.txt") == "a line")


def test_without_leases_a_file_settles(
    folder: Path, writer: MirroringWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("springline.sources.folder_reading._being_written", lambda descriptor: None)
    source = source_of(folder, watch=False, rescan_s=3600.0)
    with running(source, writer):
        for number in range(5):
            (folder / "a.md").write_text(f"version {number}")
            source.current_position(5)
            assert writer.contents()["a.md"] == f"version {number}"


def test_truncate_then_write_never_shows_nothing(folder: Path, writer: MirroringWriter) -> None:
    path = folder / "a.md"
    path.write_text("first")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
        os.truncate(path, 0)
        time.sleep(0.1)
        source.current_position(5)
        assert writer.contents()["a.md"] == "first"
        path.write_text("second")
        source.current_position(5)
        assert writer.contents()["a.md"] == "second"
        os.truncate(path, 0)
        until(lambda: writer.contents()["a.md"] == "")
    assert [content for _, _, content in writer.history] == ["first", "second", ""]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"PK\x03\x04\x00\x00", "binary"),
        (b"caf\xe9 au lait", "not UTF-8 text: byte 4 (0xe9)"),
        ("text".encode("utf-16"), "UTF-16"),
        (b"x" * 2_001, "too large"),
    ],
)
def test_an_unreadable_version_keeps_the_last_good_one(
    folder: Path, writer: MirroringWriter, data: bytes, reason: str
) -> None:
    path = folder / "a.md"
    path.write_text("good")
    (folder / "never.md").write_bytes(data)
    source = source_of(folder, maximum_bytes=2_000)
    with running(source, writer):
        source.current_position(5)
        assert writer.mirror["never.md"]["content"] is None
        assert reason in str(writer.mirror["never.md"]["error"])
        path.write_bytes(data)
        source.current_position(5)
        row = writer.mirror["a.md"]
        assert row["content"] == "good"
        assert reason in str(row["error"])
        assert row["bytes"] == len(data)
        assert "a.md" in str(source.status().details["failed"])
        path.write_text("good")
        source.current_position(5)
        assert (writer.mirror["a.md"]["content"], writer.mirror["a.md"]["error"]) == ("good", None)


def test_a_huge_file_is_never_read(folder: Path, writer: MirroringWriter) -> None:
    with (folder / "huge.txt").open("wb") as file:
        file.truncate(200 * 1_048_576)
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    error = "The file is too large: 200.0 MiB, the limit is 20.0 MiB (maximum_bytes)."
    assert writer.mirror["huge.txt"]["error"] == error


def test_permission_denied_keeps_the_last_good_one(
    folder: Path, writer: MirroringWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "a.md"
    path.write_text("good")
    really_open = os.open

    def refuse(name: str, flags: int, *rest: int) -> int:
        if str(name).endswith("a.md"):
            raise PermissionError(13, "Permission denied")
        return really_open(name, flags, *rest)

    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
        monkeypatch.setattr("springline.sources.folder_reading.os.open", refuse)
        os.utime(path, (1, 1))
        source.current_position(5)
        assert writer.mirror["a.md"]["content"] == "good"
        assert writer.mirror["a.md"]["error"] == "The file cannot be opened: Permission denied."
        monkeypatch.undo()


def test_what_is_not_a_document(folder: Path, writer: MirroringWriter, tmp_path: Path) -> None:
    outside = tmp_path / "secret.md"
    outside.write_text("secret")
    (folder / "link.md").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.md").symlink_to(folder / "nowhere.md")
    (folder / "real.md").write_text("real")
    (folder / "inside.md").symlink_to(folder / "real.md")
    (folder / ".hidden.md").write_text("hidden")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("hidden")
    for name in (".#real.md", "real.md~", "#real.md#", ".real.md.swp"):
        (folder / name).write_text("an editor's")
    os.mkfifo(folder / "pipe.md")
    os.mkdir(folder / "folder.md")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    assert set(writer.mirror) == {"real.md", "inside.md"}


def test_odd_names(folder: Path, writer: MirroringWriter) -> None:
    names = ["a b'c\".md", "改簽.md", "line\nbreak.md", "[x].md"]
    for name in names:
        (folder / name).write_text(name)
    with open(os.fsencode(folder) + b"/latin\xe9.md", "w") as file:
        file.write("latin")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    assert set(writer.mirror) == {*names, "latin\\xe9.md"}
    assert writer.contents()["latin\\xe9.md"] == "latin"


def test_a_folder_that_never_was_there_is_a_mistake(tmp_path: Path, writer: MirroringWriter) -> None:
    source = source_of(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match=r"does not exist.*mkdir -p"):
        source.check()
    with pytest.raises(ConfigurationError), running(source, writer) as thread:
        thread.join(5)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is not a folder"):
        source_of(tmp_path / "file").check()


def test_a_folder_that_vanishes_deletes_nothing(
    folder: Path, writer: MirroringWriter, tmp_path: Path
) -> None:
    (folder / "a.md").write_text("a")
    source = source_of(folder)
    with running(source, writer, fails=SourceUnavailable) as thread:
        source.current_position(5)
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(SourceUnavailable, match="Nothing was deleted"):
            source.current_position(5)
        thread.join(5)
    assert source.status().state == "retrying"
    with pytest.raises(SourceUnavailable, match="is gone"), running(source, writer) as thread:
        thread.join(5)
    assert writer.contents() == {"a.md": "a"}
    (tmp_path / "elsewhere").rename(folder)
    (folder / "b.md").write_text("b")
    with running(source, writer):
        source.current_position(5)
        assert writer.contents() == {"a.md": "a", "b.md": "b"}


def test_a_share_that_is_not_mounted_deletes_nothing(
    folder: Path, writer: MirroringWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.md").write_text("a")
    source = source_of(folder)
    with running(source, writer):
        source.current_position(5)
    writer.progress()["device"] = -1
    (folder / "a.md").unlink()
    with pytest.raises(SourceUnavailable, match="not mounted"), running(source_of(folder), writer) as thread:
        thread.join(5)
    assert writer.contents() == {"a.md": "a"}


def test_a_folder_that_cannot_be_listed_deletes_nothing(
    folder: Path, writer: MirroringWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "closed").mkdir()
    (folder / "closed" / "a.md").write_text("a")
    (folder / "b.md").write_text("b")
    source = source_of(folder)
    really_scan = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return really_scan(path)  # type: ignore[call-overload]

    with running(source, writer):
        source.current_position(5)
        monkeypatch.setattr("springline.sources.folder_reading.os.scandir", refuse)
        (folder / "b.md").unlink()
        source.current_position(5)
        monkeypatch.undo()
    assert writer.contents() == {"closed/a.md": "a"}


def test_a_replaced_folder_is_followed(folder: Path, writer: MirroringWriter) -> None:
    (folder / "a.md").write_text("a")
    source = source_of(folder)
    with running(source, writer, fails=SourceUnavailable) as thread:
        source.current_position(5)
        shutil.copytree(folder, folder.with_name("copy"))
        folder.rename(folder.with_name("old"))
        folder.with_name("copy").rename(folder)
        thread.join(5)
    with running(source, writer):
        (folder / "b.md").write_text("b")
        until(lambda: writer.contents() == {"a.md": "a", "b.md": "b"})


def test_random_work_is_followed(folder: Path, writer: MirroringWriter) -> None:
    """Creates, edits, renames and deletes at random, with restarts; at every barrier the mirror equals the folder."""
    chance = random.Random(7)
    number = 0
    for _ in range(4):
        source = source_of(folder)
        with running(source, writer):
            for _ in range(40):
                existing = sorted(folder.glob("*.md"))
                number += 1
                path = folder / f"{chance.randrange(8)}.md"
                action = chance.random()
                if action < 0.2 and existing:
                    chance.choice(existing).unlink()
                elif action < 0.4 and existing:
                    chance.choice(existing).rename(path)
                else:
                    path.write_text(f"content {number}")
                if chance.random() < 0.4:
                    source.current_position(5)
                    assert writer.contents() == {file.name: file.read_text() for file in folder.glob("*.md")}
        for file in folder.glob("[0-3].md"):
            file.write_text(f"while down {number}")
