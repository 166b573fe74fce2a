"""``springline deploy``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from springline.cli import logs
from springline.cli.application import DEFAULT_FILE, load_app, split_target
from springline.cli.options import json_option
from springline.cli.run import all_settings
from springline.settings import Settings, given

DONE = {
    "keep": "already runs, unchanged",
    "resume": "was started again from a savepoint",
    "start": "was started",
}


@click.command("deploy")
@click.argument("app", default=DEFAULT_FILE)
@click.option("--runtime", type=click.Choice(["flink"]), default="flink", show_default=True, help="Where to.")
@click.option(
    "--restart", is_flag=True, help="Start an unchanged job again from a savepoint, for new settings."
)
@json_option
@all_settings
def command(app: str, runtime: str, restart: bool, as_json: bool, config: Path | None, **flags: Any) -> None:
    """Bring the application's views to a Flink cluster, as one job.

    An unchanged job goes on. A changed one starts beside the old one, with topics of its own; capture switches to it, and ends the old one, when it has caught up.
    """
    from springline.cluster import deploy

    path, _ = split_target(app)
    with given(flags, config=config, beside=path.parent):
        logs.configure(Settings.load())
        application = load_app(app)
        done = deploy(application, restart=restart)
    deployed = done.deployed
    if as_json:
        click.echo(
            json.dumps(
                {
                    "action": done.action,
                    "job": deployed.job_id,
                    "generation": deployed.generation,
                    "relations": {one.schema.name: one.topic for one in deployed.relations},
                }
            )
        )
        return
    click.echo(
        f"{click.style(application.name, bold=True)}: the job of generation {deployed.generation} {DONE[done.action]} ({deployed.job_id})."
    )
    for one in deployed.relations:
        click.echo(f"  {one.schema.name}  {click.style(one.topic, dim=True)}")
