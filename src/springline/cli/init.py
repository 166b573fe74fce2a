"""``springline init``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from springline.cli.doctor import print_findings
from springline.cli.scaffold import DSN_VARIABLE, Plan, app_file, settings_file
from springline.errors import ConfigurationError
from springline.settings import FILE_NAME, Settings

if TYPE_CHECKING:
    from springline.cli.survey import Survey

MOST_TABLES = 12


@click.command("init")
@click.argument("dsn")
@click.option("--name", help="What the source is called in Springline; default: the database's name.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE",
    help="Capture this table; again for another one. Default: all that have a key, at most 12.",
)
@click.option(
    "--role", metavar="ROLE", help="Print the grants for this role; default: the one that connects."
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where app.py is written; default: here.",
)
@click.option("--force", is_flag=True, help="Write over an app.py that is there.")
def command(
    dsn: str, name: str | None, tables: Sequence[str], role: str | None, folder: Path, force: bool
) -> None:
    """Look at a PostgreSQL database and write a first application for it.

    DSN is postgresql://user@host/database, key=value pairs, or env:NAME. Nothing in the database is changed: what it needs is printed,
    ready to be run by its administrator. The DSN is not written into any file.
    """
    written = [folder / "app.py", folder / FILE_NAME]
    present = [path for path in written if path.exists()]
    if present and not force:
        raise ConfigurationError(
            f"{present[0]} is already there.", hint="Choose another folder with --to, or add --force."
        )
    survey = _survey(Settings().reveal(dsn), tables)
    chosen = survey.chosen(tables, MOST_TABLES)
    plan = Plan(
        source=name or _identifier(survey.database),
        dsn=dsn if dsn.startswith(("env:", "file:")) else f"env:{DSN_VARIABLE}",
        tables=chosen,
        references=survey.references,
    )
    _print_survey(survey, plan)
    _print_needs(survey, plan, role)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(written, (app_file(plan), settings_file()), strict=True):
        path.write_text(text)
    click.echo(f"\nWrote {written[0]} and {written[1]}. Next:\n")
    if plan.dsn == f"env:{DSN_VARIABLE}":
        click.echo(f"  export {DSN_VARIABLE}='…'   # the DSN, with its password")
    click.echo(f"  springline doctor {written[0]}\n  springline run {written[0]}")


def _survey(dsn: str, tables: Sequence[str]) -> Survey:
    try:
        from springline.cli.survey import survey
    except ImportError as error:
        raise ConfigurationError(
            f"Reading PostgreSQL needs a library that is not installed: {error.name}.",
            hint='Install it with: pip install "springline[postgres]"',
        ) from error
    return survey(dsn, tables)


def _identifier(database: str) -> str:
    name = re.sub(r"\W+", "_", database.lower()).strip("_")
    return name if name.isidentifier() else f"db_{name}".rstrip("_")


def _print_survey(survey: Survey, plan: Plan) -> None:
    click.echo(f"PostgreSQL {survey.version} at {survey.where}, as {survey.user!r} ({survey.platform}).\n")
    chosen = {table.name for table in plan.tables}
    for table in survey.tables:
        if table.name in chosen:
            click.echo(f"  + {table.name}  key ({', '.join(table.key)}), about {table.rows} rows")
        elif not table.key:
            click.echo(f"  - {table.name}  has no primary key, so its rows cannot be told apart")
        else:
            click.echo(f"  - {table.name}  left out; name it with --table")


def _print_needs(survey: Survey, plan: Plan, role: str | None) -> None:
    from springline.sources.postgres.permissions import permission_sql

    names = [table.name for table in plan.tables]
    sql = permission_sql(
        survey.platform, role=role or survey.user, tables=names, publication=f"springline_{plan.source}"
    )
    click.echo("\nWhat an administrator of the database runs once (skip what is there already):\n")
    for line in sql.splitlines():
        click.echo(f"  {line}")
    problems = [one for one in survey.findings(plan) if one.severity != "ok"]
    if problems:
        click.echo("\nAs it is now:\n")
        print_findings(problems)
    else:
        click.echo("\nAll of that is in place for this role: nothing needs to be done.")
