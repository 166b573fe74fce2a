"""``springline version``."""

from __future__ import annotations

import click

from springline.cli.options import json_option
from springline.cli.output import print_json


@click.command("version")
@json_option
def command(as_json: bool) -> None:
    """Print the versions of Springline and of what it stands on; part of every report of a problem."""
    found = versions()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:<11} {value}")


def versions() -> dict[str, str]:
    """Name → version."""
    import platform

    import apsw

    from springline import __version__
    from springline.log.sqlite import LOG_FORMAT
    from springline.runtime.embedded.state import STATE_FORMAT

    return {
        "springline": __version__,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "log.db": f"format {LOG_FORMAT.version}",
        "state.db": f"format {STATE_FORMAT.version}",
        "platform": platform.platform(),
    }
