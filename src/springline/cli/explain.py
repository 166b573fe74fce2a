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
from springline.errors import NotFound
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
    """The view compiled against the tables of the state, and the views declared before it."""
    from springline.language import language
    from springline.runtime.embedded.state import read_relations
    from springline.runtime.embedded.watermarks import with_event_times

    with open_state(folder) as connection:
        relations = read_relations(connection)
    compiler = language(app.functions)
    tables = {name: one.schema for name, one in relations.items() if one.kind == "table"}
    schemas = with_event_times(tables, app.event_times)
    for definition in app.views:
        program = compiler.compile_view(definition, schemas)
        if definition.name == view:
            return compiler.explain(program)
        schemas[definition.name] = program.schema
    known = ", ".join(one.name for one in app.views) or "none"
    raise NotFound(f"There is no view {view!r}.", hint=f"Known: {known}.")
