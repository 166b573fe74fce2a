"""``springline serve --from-kafka``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from springline.cli import logs
from springline.cli.application import DEFAULT_FILE, load_app, split_target
from springline.cli.run import all_settings, serve, stopped_by_signals
from springline.errors import ConfigurationError, SourceUnavailable
from springline.secret import redact
from springline.settings import Settings, given

AGAIN_S = 2.0


@click.command("serve")
@click.argument("app", default=DEFAULT_FILE)
@click.option("--from-kafka", is_flag=True, help="Follow the topics that the application's Flink job writes.")
@all_settings
def command(app: str, from_kafka: bool, config: Path | None, **flags: Any) -> None:
    """Answer from the topics of an application that runs on a cluster, until Ctrl-C. Any number of nodes may.

    A node has the same interfaces as `springline run`, and a data folder of its own. One that knows nothing yet waits until Kafka answers and the application is deployed.
    """
    from springline.cluster import serving

    if not from_kafka:
        raise ConfigurationError(
            "Say where the node's data comes from.",
            hint="springline serve --from-kafka app.py; or `springline run app.py` for everything in one process.",
        )
    path, _ = split_target(app)
    with given(flags, config=config, beside=path.parent), stopped_by_signals() as stop:
        settings = Settings.load()
        logs.configure(settings)
        application = load_app(app)
        while not stop.is_set():
            try:
                serve(application, settings, stop, definition=serving(application))
                return
            except SourceUnavailable as error:
                # Only a node that knows nothing yet cannot start without Kafka: it is started by what starts services, and has nobody who would start it again.
                click.echo(f"Waiting: {redact(str(error))}", err=True)
                stop.wait(AGAIN_S)
