"""``springline verify``."""

from __future__ import annotations

from typing import Any

import click

from springline.cli.client import connect
from springline.cli.main import DIFFERENT_STATUS, UNKNOWN_STATUS
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import plain_text, print_json, shown
from springline.settings import Settings


@click.command("verify")
@click.argument("receipt")
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, receipt: str, url: str | None, as_json: bool) -> int:
    """Rebuild the context of an answer from the log, and compare it with the answer's receipt.

    Exit status: 0 the same; 65 different; 66 the log no longer holds what is needed.
    """
    found = connect(settings, url).post(f"/v1/receipts/{receipt}/verify")
    verified = found["verified"]
    if as_json:
        print_json(found)
    else:
        words, colour = {True: ("verified", "green"), False: ("DIFFERENT", "red")}.get(
            verified, ("cannot tell", "yellow")
        )
        click.echo(f"{found['receipt']}  {click.style(words, fg=colour, bold=True)}")
        click.echo(plain_text(found["detail"]))
        differences: list[dict[str, Any] | str] = found["differences"]
        for one in differences:
            click.echo(f"  - {plain_text(one if isinstance(one, str) else one.get('detail', shown(one)))}")
    if verified is True:
        return 0
    return DIFFERENT_STATUS if verified is False else UNKNOWN_STATUS
