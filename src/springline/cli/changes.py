"""``springline changes``."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

import click

from springline.cli.client import connect
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import plain_text, print_json, shown
from springline.settings import Settings


@click.command("changes")
@click.argument("relation")
@click.option(
    "--after",
    metavar="TOKEN",
    help="Continue after this token; 'now': only what comes; without it, the whole relation comes first.",
)
@click.option(
    "--until-idle", is_flag=True, help="End when everything up to now has been printed, instead of going on."
)
@url_option
@json_option
@with_settings("data", "token")
def command(
    settings: Settings, relation: str, after: str | None, until_idle: bool, url: str | None, as_json: bool
) -> None:
    """Follow the changes of a table or view, each once and without a gap, until Ctrl-C.

    The changes of the relation must be kept: app.view(..., retain_s=3600). Each change is a line: + a row came, - a row went. After the
    last of a tick its token is printed, on standard error; --after TOKEN goes on there. With --json, one JSON object a line.
    """
    path = "/v1/changes/" + urllib.parse.quote(relation, safe="")
    parameters = {} if after is None else {"after": after}
    for name, data, token in connect(settings, url).follow(path, parameters):
        if as_json:
            print_json({"event": name, "token": token, **data}, compact=True)
        else:
            print_event(name, data, token)
        if until_idle and name == "position":
            return


def print_event(name: str, data: Mapping[str, Any], token: str | None) -> None:
    """One event for people."""
    if name == "reset":
        click.echo(
            click.style(f"The whole relation follows: {plain_text(data['reason'])}", dim=True), err=True
        )
    for change in data.get("changes", ()):
        row = "  ".join(f"{column}={plain_text(shown(value))}" for column, value in change["row"].items())
        sign, colour = ("+", "green") if change["weight"] > 0 else ("-", "red")
        click.echo(f"{click.style(sign, fg=colour)} {row}")
    if token is not None and name == "changes":
        click.echo(click.style(f"token {token}", dim=True), err=True)
