"""``springline init``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from springline.cli.doctor import print_findings
from springline.cli.options import json_option
from springline.cli.output import number, print_json
from springline.cli.scaffold import DSN_VARIABLE, Plan, app_file, settings_file
from springline.errors import ConfigurationError, SourceUnavailable
from springline.settings import FILE_NAME, Settings
from springline.sources.base import Finding

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
@json_option
def command(
    dsn: str,
    name: str | None,
    tables: Sequence[str],
    role: str | None,
    folder: Path,
    force: bool,
    as_json: bool,
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
    grants = _grants(survey, plan, role)
    findings = survey.findings(plan)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in zip(written, (app_file(plan), settings_file()), strict=True):
        path.write_text(text)
    if as_json:
        print_json(
            {
                "database": survey.where,
                "platform": survey.platform,
                "tables": [table.name for table in chosen],
                "without_key": [table.name for table in survey.tables if not table.key],
                "grants": grants.splitlines(),
                "findings": [dataclasses.asdict(one) for one in findings],
                "files": [str(path) for path in written],
            }
        )
        return
    _print_survey(survey, plan)
    _print_needs(grants, findings)
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
    try:
        return survey(dsn, tables)
    except SourceUnavailable as error:
        raise SourceUnavailable(
            error.message, hint="Check host and port in the DSN, and that the server runs."
        ) from error


def _identifier(database: str) -> str:
    name = re.sub(r"\W+", "_", database.lower()).strip("_")
    return name if name.isidentifier() else f"db_{name}".rstrip("_")


def _print_survey(survey: Survey, plan: Plan) -> None:
    click.echo(f"PostgreSQL {survey.version} at {survey.where}, as {survey.user!r} ({survey.platform}).\n")
    chosen = {table.name for table in plan.tables}
    for table in survey.tables:
        if table.name in chosen:
            about = f", about {number(table.rows)} rows" if table.rows else ""
            click.echo(f"  + {table.name}  key ({', '.join(table.key)}){about}")
        elif not table.key:
            click.echo(f"  - {table.name}  has no primary key, so its rows cannot be told apart")
        else:
            click.echo(f"  - {table.name}  left out; name it with --table")


def _grants(survey: Survey, plan: Plan, role: str | None) -> str:
    from springline.sources.postgres.permissions import permission_sql

    names = [table.name for table in plan.tables]
    publication = f"springline_{plan.source}"
    return permission_sql(survey.platform, role=role or survey.user, tables=names, publication=publication)


def _print_needs(grants: str, findings: Sequence[Finding]) -> None:
    click.echo("\nWhat an administrator of the database runs once (skip what is there already):\n")
    for line in grants.splitlines():
        click.echo(f"  {line}")
    problems = [one for one in findings if one.severity != "ok"]
    if problems:
        click.echo("\nAs it is now:\n")
        print_findings(problems)
    else:
        click.echo("\nFor the role that connected, all of that is in place.")
