"""``springline explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from springline.cli import client
from springline.cli.application import load_app
from springline.cli.offline import open_state
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import print_json
from springline.settings import Settings, given
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App


@click.command("explain")
@click.argument("view")
@click.option(
    "--app",
    "target",
    metavar="APP",
    help="Explain the view as this file declares it, without a running process.",
)
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, view: str, target: str | None, url: str | None, as_json: bool) -> None:
    """Show how a view is maintained: each operator with its level (delta, group or full) and what a change costs."""
    if target is not None:
        with given({"data": str(settings.data)}, beside=Path(target).parent):
            text = _explain_declared(load_app(target), DataFolder(settings.data), view)
    else:
        text = client.connect(settings, url).get(f"/v1/explain/{view}")["text"]
    if as_json:
        print_json({"view": view, "text": text})
    else:
        click.echo(text.rstrip())


def _explain_declared(app: App, folder: DataFolder, view: str) -> str:
    """The view as the application makes it over the tables of the state."""
    from springline.language import language
    from springline.runtime.embedded.explaining import explained

    made = language(app.functions)
    with open_state(folder) as connection:
        return explained(view, app.views, connection, app.event_times, made.compile_view, made.explain)
