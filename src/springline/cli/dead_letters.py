"""``springline dead-letters``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from springline.cli import client, offline
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import plain_text, print_json
from springline.settings import Settings
from springline.storage import DataFolder

_SELECT = """SELECT what, name, operator, `key`, reason, `row`, tick, `at` FROM springline.dead_letters
    WHERE name = :name ORDER BY tick DESC, name, `key`"""


@click.command("dead-letters")
@click.argument("name", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Most of them to print."
)
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, name: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List what could not be processed, the newest first: rows that views leave out because an expression fails on them,
    documents that a model refused, changes that cannot be applied. NAME: only those of this view, table or knowledge base.

    A running application is asked; without one, the state is read as the last tick left it.
    """
    folder = DataFolder(settings.data)
    sql = _SELECT if name is not None else _SELECT.replace("WHERE name = :name ", "")
    parameters: dict[str, object] = {} if name is None else {"name": name}
    if url is None and client.running_url(folder) is None:
        found: Mapping[str, Any] = offline.query(folder, sql, parameters, limit)
    else:
        request = {"sql": sql, "parameters": parameters, "limit": limit}
        found = client.connect(settings, url).post("/v1/query", request)
    if as_json:
        print_json({"dead_letters": found["rows"], "truncated": found["truncated"]})
        return
    for one in found["rows"]:
        print_letter(one)
    if not found["rows"]:
        click.echo("There are no dead letters.", err=True)
    if found["truncated"]:
        click.echo(f"There are more than {limit}; --limit shows up to 1000.", err=True)


def print_letter(letter: Mapping[str, Any]) -> None:
    """One dead letter for people: what and why, then the row."""
    place = f"{letter['what']} {letter['name']}" + (f", {letter['operator']}" if letter["operator"] else "")
    head = click.style(plain_text(f"{place} {letter['key']}"), bold=True)
    click.echo(f"{head}: {plain_text(letter['reason'])}")
    when = click.style(f"  tick {letter['tick']}, {letter['at']}", dim=True)
    click.echo(f"{when}  {plain_text(letter['row'] or '')}".rstrip())
