"""``springline backup``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from springline.cli.offline import open_state
from springline.cli.options import json_option, with_settings
from springline.cli.output import print_json, size
from springline.errors import ConfigurationError, StateError
from springline.log.sqlite import LogReader
from springline.runtime.embedded.state import check_resume, read_resume
from springline.settings import Settings
from springline.storage import DataFolder, backup_to, connect


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@json_option
@with_settings("data")
def command(settings: Settings, target: Path, as_json: bool) -> None:
    """Copy the data folder into TARGET, a new or empty folder, while everything runs.

    The copy is one moment of the state, with a log that reaches at least as far. It holds the data of your sources: keep it as you
    keep those.
    """
    folder, copied = DataFolder(settings.data), DataFolder(target)
    tick = copy_folder(folder, copied)
    bytes_ = copied.state_path.stat().st_size + copied.log_path.stat().st_size
    if as_json:
        print_json({"from": str(folder.path), "to": str(copied.path), "tick": tick, "bytes": bytes_})
    else:
        click.echo(f"Copied {folder.path} at tick {tick} to {copied.path} ({size(bytes_)}).")


def copy_folder(source: DataFolder, target: DataFolder) -> int:
    """Copies state and log, the state first, so that the log always reaches at least as far; returns the tick. Works beside a
    running process, since SQLite's readers do not disturb its writer. Raises StateError, and leaves what was copied for a look."""
    if not source.state_path.exists() or not source.log_path.exists():
        raise StateError(f"{source.path} is no data folder.", hint="Name it with --data.")
    if target.path.exists() and (not target.path.is_dir() or any(target.path.iterdir())):
        raise ConfigurationError(
            f"{target.path} is not an empty folder.", hint="Choose a new one; a backup never overwrites."
        )
    try:
        target.path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"{target.path} cannot be made: {error.strerror}.", hint="Choose another place."
        ) from error
    with contextlib.closing(connect(source.state_path, read_only=True)) as state:
        backup_to(state, target.state_path)
    with contextlib.closing(LogReader(source.log_path)) as log:
        log.backup(target.log_path)
    return check_folder(target)


def check_folder(folder: DataFolder) -> int:
    """The tick of a folder whose two files belong together. Raises StateError where they do not."""
    with open_state(folder) as state, contextlib.closing(LogReader(folder.log_path)) as log:
        resume = read_resume(state)
        check_resume(resume, log_first=log.first_sequence(), log_last=log.newest_sequence())
        return int(resume.tick)
