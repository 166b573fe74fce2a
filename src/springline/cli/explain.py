"""``springline explain``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from springline.cli import client
from springline.cli.application import DEFAULT_FILE, load_app
from springline.cli.offline import open_state
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import print_json
from springline.errors import NotFound
from springline.secret import redact
from springline.settings import Settings, given
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App


@click.command("explain")
@click.argument("view", required=False)
@click.option(
    "--runtime",
    type=click.Choice(["embedded", "flink"]),
    default="embedded",
    show_default=True,
    help="flink: the statements of the job that --app becomes there, all or those of the view.",
)
@click.option(
    "--plan", is_flag=True, help="With --runtime flink: also Flink's own plan of the job, by --flink-python."
)
@click.option(
    "--app",
    "target",
    metavar="APP",
    help="Explain the view as this file declares it, without a running process.",
)
@url_option
@json_option
@with_settings("data", "token", "kafka", "kafka_config", "flink_python", "flink_jars")
def command(
    settings: Settings,
    view: str | None,
    runtime: str,
    plan: bool,
    target: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Show how a view is maintained: each operator with its level (delta, group or full) and what a change costs; or what it is on Flink."""
    if runtime == "flink":
        text = _explain_job(settings, target or DEFAULT_FILE, view, plan=plan)
    elif view is None:
        raise click.UsageError("Missing argument 'VIEW'.")
    elif target is not None:
        with given({"data": str(settings.data)}, beside=Path(target).parent):
            text = _explain_declared(load_app(target), DataFolder(settings.data), view)
    else:
        text = client.connect(settings, url).get(f"/v1/explain/{view}")["text"]
    if as_json:
        print_json({"view": view, "text": text})
    else:
        click.echo(text.rstrip())


def _explain_job(settings: Settings, target: str, view: str | None, *, plan: bool) -> str:
    """The job that the application becomes. Its sources are asked for their tables; nothing is submitted."""
    from springline import cluster
    from springline.runtime.flink import submit

    chosen = {
        name: getattr(settings, name) for name in ("kafka", "kafka_config", "flink_python", "flink_jars")
    }
    with given({name: value for name, value in chosen.items() if value}, beside=Path(target).parent):
        app = load_app(target)
        job = cluster.compiled(app)
    if view is not None:
        statements = [one.sql for one in job.statements if one.about == view]
        if not statements:
            names = ", ".join(sorted({one.about for one in job.statements}))
            raise NotFound(f"There is no view {view!r}.", hint=f"The job has: {names}.")
        return without_secrets("\n\n".join(f"{sql};" for sql in statements))
    text = submit.explain_job(job)
    if plan:
        environment = cluster.flink_environment(settings)
        text += f"\n\nFlink's plan\n\n{submit.plan(job, environment)}"
    return without_secrets(text)


_SECRET_OPTION: Final = re.compile(r"('properties\.[^']*(?:jaas\.config|password)[^']*' = )'(?:[^']|'')*'")


def without_secrets(text: str) -> str:
    """Statements as they may be shown: the connection's secrets are not. Pure but for what is known to be secret."""
    return redact(_SECRET_OPTION.sub(r"\1'***'", text))


def _explain_declared(app: App, folder: DataFolder, view: str) -> str:
    """The view as the application makes it over the tables of the state."""
    from springline.language import language
    from springline.runtime.embedded.explaining import explained

    made = language(app.functions)
    with open_state(folder) as connection:
        return explained(view, app.views, connection, app.event_times, made.compile_view, made.explain)
