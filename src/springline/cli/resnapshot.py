"""``springline resnapshot``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from springline.cli import client
from springline.cli.application import DEFAULT_FILE, load_app
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import print_json
from springline.errors import ConfigurationError
from springline.settings import Settings, given
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App


@click.command("resnapshot")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option(
    "--app",
    "target",
    default=DEFAULT_FILE,
    show_default=True,
    metavar="APP",
    help="The application's file; read when it does not run.",
)
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, tables: Sequence[str], target: str, url: str | None, as_json: bool) -> None:
    """Load tables (as Springline names them: source.table, or a source for all of its; default: all) again from their source.

    A running application does it while it serves; rows stay readable and say that they are loading. One that does not run does it at
    its next start: needed when a source has lost the changes after our position, or is another server.
    """
    folder = DataFolder(settings.data)
    if url is not None or client.running_url(folder) is not None:
        found = client.connect(settings, url).post("/v1/resnapshot", {"tables": list(tables)})
        done, when = [str(one) for one in found.get("tables", tables)], "now"
    else:
        with given({"data": str(settings.data)}, beside=Path(target).parent):
            done, when = prepare(load_app(target), folder, tables), "at the next start"
    if as_json:
        print_json({"tables": done, "when": when})
    else:
        click.echo(f"Loaded again {when}: {', '.join(done) or 'all tables'}.")


def prepare(app: App, folder: DataFolder, tables: Sequence[str]) -> list[str]:
    """Marks tables in the log, so that the next start loads them again; the names of those marked."""
    chosen = _by_source(app, tables)
    from springline.log.sqlite import SqliteLog

    folder.lock()
    done: list[str] = []
    try:
        with contextlib.closing(SqliteLog(folder.log_path)) as log:
            for name, wanted in chosen.items():
                source: Any = app.sources[name]
                with contextlib.closing(log.open_writer(name)) as writer:
                    source.resnapshot(writer, wanted)
                done += wanted or [f"{name}.*"]
    finally:
        folder.unlock()
    return done


def _by_source(app: App, tables: Sequence[str]) -> dict[str, list[str] | None]:
    """Source → its tables; None means all of them. Sources that load themselves anew at each start need nothing."""
    able = {name for name, source in app.sources.items() if hasattr(source, "resnapshot")}
    if not tables:
        return dict.fromkeys(sorted(able))
    chosen: dict[str, list[str] | None] = {}
    for table in tables:
        name = table.partition(".")[0]
        if name not in able:
            raise ConfigurationError(
                f"{table!r} is not a table that can be loaded again.",
                hint=f"Name it with its source ({', '.join(sorted(able)) or 'there is none'}): source.table.",
            )
        if table == name:
            chosen[name] = None
        elif (listed := chosen.setdefault(name, [])) is not None:
            listed.append(table)
    return chosen
