"""``springline restore``."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import click

from springline.cli.backup import check_folder, copy_folder
from springline.cli.options import json_option, with_settings
from springline.cli.output import print_json
from springline.errors import ConfigurationError, StateError
from springline.runtime.embedded.state import STATE_FORMAT
from springline.settings import Settings
from springline.storage import DataFolder, immediate, open_file, reported

FILES = ("state.db", "state.db-wal", "state.db-shm", "log.db", "log.db-wal", "log.db-shm")


@click.command("restore")
@click.argument("backup", type=click.Path(path_type=Path))
@click.option(
    "--force", is_flag=True, help="Restore over a folder that holds data; that is moved aside, not deleted."
)
@json_option
@with_settings("data")
def command(settings: Settings, backup: Path, force: bool, as_json: bool) -> None:
    """Bring the backup in folder BACKUP back into the data folder.

    The epoch rises by one, so that sinks tell the restored state's versions from those that came after the backup.
    """
    folder = DataFolder(settings.data)
    tick, epoch, aside = restore(DataFolder(backup), folder, force=force)
    if as_json:
        kept = None if aside is None else str(aside)
        print_json({"from": str(backup), "to": str(folder.path), "tick": tick, "epoch": epoch, "kept": kept})
        return
    click.echo(f"Restored {folder.path} to tick {tick}, epoch {epoch}.")
    if aside is not None:
        click.echo(f"What was there is in {aside}.")
    click.echo(
        "\nWhat happens at the next start: each source goes on from the position of the backup. A PostgreSQL slot that has moved\n"
        "past it no longer holds the changes in between; then the start says so, and `springline resnapshot` loads the tables again.\n"
        "Folders are compared with their files, so nothing is needed for them."
    )


def restore(backup: DataFolder, folder: DataFolder, *, force: bool) -> tuple[int, int, Path | None]:
    """Tick and epoch of the restored folder, and where its old files are. The old files are untouched until the new ones are whole."""
    if not backup.state_path.exists() or not backup.log_path.exists():
        raise StateError(
            f"{backup.path} is no backup: it lacks state.db or log.db.",
            hint="Name the folder that `springline backup` made.",
        )
    if backup.path.resolve() == folder.path.resolve():
        raise ConfigurationError(
            "The backup and the data folder are the same.", hint="Name the data folder with --data."
        )
    check_folder(backup)
    folder.lock()
    try:
        present = [folder.path / name for name in FILES if (folder.path / name).exists()]
        if present and not force:
            raise ConfigurationError(
                f"{folder.path} already holds data.",
                hint="Choose another folder with --data, or add --force; the old files are kept aside.",
            )
        made = DataFolder(folder.path / f"restoring-{time.time_ns()}")
        tick = copy_folder(backup, made)
        epoch = _raise_epoch(made)
        aside = _move_aside(folder.path, present) if present else None
        for path in (made.log_path, made.state_path):
            path.replace(folder.path / path.name)
        made.path.rmdir()
        return tick, epoch, aside
    finally:
        folder.unlock()


def _raise_epoch(folder: DataFolder) -> int:
    with (
        contextlib.closing(open_file(folder.state_path, STATE_FORMAT)) as connection,
        reported(folder.state_path),
    ):
        with immediate(connection):
            connection.execute("UPDATE _engine SET epoch = epoch + 1")
        [(epoch,)] = connection.execute("SELECT epoch FROM _engine").fetchall()
        return int(epoch)


def _move_aside(folder: Path, present: list[Path]) -> Path:
    aside = folder / time.strftime("before-restore-%Y%m%d-%H%M%S")
    aside.mkdir(mode=0o700)
    for path in present:
        path.replace(aside / path.name)
    return aside
