"""``springline capture``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from springline.cli import logs
from springline.cli.application import DEFAULT_FILE, load_app, split_target
from springline.cli.run import all_settings, stopped_by_signals
from springline.settings import Settings, given

LOOK_EVERY_S = 0.5


@click.command("capture")
@click.argument("app", default=DEFAULT_FILE)
@click.option("--no-cuts", is_flag=True, help="Only capture; another process asks the job for checkpoints.")
@all_settings
def command(app: str, no_cuts: bool, config: Path | None, **flags: Any) -> None:
    """Capture the application's sources into Kafka until Ctrl-C, and ask its Flink job for checkpoints.

    One process for each application; a second start resumes where the first stopped.
    """
    from springline.cluster import Capture

    path, _ = split_target(app)
    with given(flags, config=config, beside=path.parent), stopped_by_signals() as stop:
        settings = Settings.load()
        logs.configure(settings)
        application = load_app(app)
        with Capture(application, makes_cuts=not no_cuts) as capture:
            capture.runtime.folder.write_owner({"name": application.name})
            click.echo(
                f"{application.name} → {settings.kafka}  (data in {settings.data}; Ctrl-C stops)", err=True
            )
            while not stop.wait(LOOK_EVERY_S):
                capture.check()
            click.echo("Stopping …", err=True)
    click.echo("Stopped. The next start goes on where this one was.", err=True)
