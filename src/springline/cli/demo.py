"""``springline demo``."""

from __future__ import annotations

from pathlib import Path

import click

from springline.errors import ConfigurationError


@click.command("demo")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run on the tau airline data set in this folder instead of the blizzard.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".demo"),
    show_default=True,
    help="Where the demo keeps its database and its data.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8400,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help="How many times faster than the clock the storm goes.",
)
@click.option("--paused", is_flag=True, help="Start with the storm standing still.")
@click.option("--fresh", is_flag=True, help="Forget what an earlier demo left and start over.")
@click.option(
    "--embedder", type=click.Choice(["auto", "local", "hashing"]), help="What turns passages into vectors."
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Run it on Kafka and Flink: those that the settings name, or its own (in a checkout, with Java 17 and Maven).",
)
@click.option("--no-browser", is_flag=True, help="Do not open the page in a browser.")
def command(
    data: Path | None,
    folder: Path,
    host: str,
    port: int,
    speed: float | None,
    paused: bool,
    fresh: bool,
    embedder: str | None,
    cluster: bool,
    no_browser: bool,
) -> int:
    """Run the live travel assistant: a real PostgreSQL with an airline in it, the February 2013 blizzard, policies, and a page.

    Ctrl-C stops everything; a second start goes on where it was.
    """
    if data is not None and not data.is_dir():
        raise ConfigurationError(
            f"There is no folder {data}.", hint="Name the folder of the tau airline data set."
        )
    from springline.demo import run

    options = run.Options(
        folder=folder,
        data=data,
        host=host,
        port=port,
        speed=speed,
        fresh=fresh,
        paused=paused,
        embedder=embedder,
        cluster=cluster,
    )
    if not no_browser:
        _open_when_ready(folder)
    return run.main(options)


def _open_when_ready(folder: Path) -> None:
    """Opens the page when the demo says its address, if this machine has a screen."""
    import os
    import sys
    import threading
    import time
    import webbrowser

    from springline.cli.client import running_url
    from springline.storage import DataFolder

    if not sys.stdout.isatty() or (
        sys.platform == "linux" and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY")
    ):
        return

    def watch() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            for found in folder.glob("*/springline"):
                if (url := running_url(DataFolder(found))) is not None:
                    webbrowser.open(url)
                    return
            time.sleep(0.5)

    threading.Thread(target=watch, name="browser", daemon=True).start()
