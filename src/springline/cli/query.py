"""``springline query``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from springline.cli import client, offline
from springline.cli.options import freshness, on_miss_option, require_option, url_option, with_settings
from springline.cli.output import Table, age, csv_text, is_terminal, print_json, shown, terminal_width
from springline.errors import ConfigurationError
from springline.settings import Settings
from springline.storage import DataFolder

NARROWEST: Final = 16
"""Where a column of a wide table would have fewer cells, its rows are printed one value a line."""

NUMERIC: Final = ("SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL")


@click.command("query")
@click.argument("sql")
@click.option(
    "--parameter",
    "-p",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A value for :NAME; again for another one.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=100, show_default=True, help="Most rows to print."
)
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json; errors are JSON too.")
@require_option
@on_miss_option
@url_option
@with_settings("data", "token", "deadline_ms")
def command(
    settings: Settings,
    sql: str,
    given: Sequence[str],
    limit: int,
    form: str,
    as_json: bool,
    require: str | None,
    on_miss: str,
    url: str | None,
) -> None:
    """Read tables and views with one SELECT, at one tick.

    A running application is asked; without one, the state is read as the last tick left it.
    """
    parameters = dict(map(_parameter, given))
    folder = DataFolder(settings.data)
    if url is None and client.running_url(folder) is None and require != "now":
        found: Mapping[str, Any] = offline.query(folder, sql, parameters, limit)
    else:
        request = {"sql": sql, "parameters": parameters, "limit": limit}
        fresh = freshness(settings, require, on_miss, default="none")
        found = client.connect(settings, url).post("/v1/query", {**request, **fresh})
    print_result(found, "json" if as_json else form)


def _parameter(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigurationError(
            f"--parameter {text!r} is not NAME=VALUE.", hint="For example: -p customer=42"
        )
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def print_result(found: Mapping[str, Any], form: str) -> None:
    """Prints rows; what is said about them goes to standard error."""
    if form == "json":
        print_json(found)
        return
    names = [column["name"] for column in found["columns"]]
    rows: list[list[object]] = [[row[name] for name in names] for row in found["rows"]]
    if form == "csv":
        click.echo(csv_text(names, rows), nl=False)
    else:
        right = frozenset(
            index for index, column in enumerate(found["columns"]) if column["type"].startswith(NUMERIC)
        )
        widest_first = sorted(
            range(len(names)), key=lambda index: -max((len(shown(row[index])) for row in rows), default=0)
        )
        table = Table(names, [[shown(value) for value in row] for row in rows], right, widest_first)
        if is_terminal() and not table.fits(terminal_width(), NARROWEST):
            click.echo("\n".join(table.records()))
        else:
            table.print()
        ages = found["snapshot"]["ages"]
        old = "".join(f" · {name} as of {age(one['age_ms'])} ago" for name, one in ages.items())
        count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        click.echo(click.style(f"{count} · tick {found['snapshot']['tick']}{old}", dim=True), err=True)
    if found["truncated"]:
        click.echo(f"There are more rows than {len(rows)}; --limit shows up to 1000.", err=True)
