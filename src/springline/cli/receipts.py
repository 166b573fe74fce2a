"""``springline receipts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from springline.cli import client, offline
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import Table, plain_text, print_json, shown
from springline.settings import Settings
from springline.storage import DataFolder

SQL = """SELECT id, asked_at, subject, mode, fresh, question FROM `springline.receipts`
ORDER BY asked_at DESC, id LIMIT {limit}"""


@click.command("receipts")
@click.argument("receipt", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 1_000), default=20, show_default=True, help="Newest receipts to list."
)
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, receipt: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """List the newest answers; with a RECEIPT, show what that answer was based on."""
    if receipt is not None:
        found = client.connect(settings, url).get(f"/v1/receipts/{receipt}")
        if as_json:
            print_json(found)
        else:
            _print_receipt(found)
        return
    folder = DataFolder(settings.data)
    sql = SQL.format(limit=limit)
    if url is None and client.running_url(folder) is None:
        listed = offline.query(folder, sql, {}, limit)
    else:
        listed = client.connect(settings, url).post("/v1/query", {"sql": sql, "limit": limit})
    if as_json:
        print_json(listed["rows"])
        return
    rows = [
        [
            row["id"],
            _time(row["asked_at"]),
            row["subject"] or "–",
            row["mode"],
            "yes" if row["fresh"] else "no",
            row["question"],
        ]
        for row in listed["rows"]
    ]
    Table(["RECEIPT", "ASKED", "SUBJECT", "MODE", "FRESH", "QUESTION"], rows, flexible=(5, 2)).print()


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _print_receipt(found: Mapping[str, Any]) -> None:
    """The facts first, then the pieces; what else the receipt holds is in ``--json``."""
    for name in ("id", "asked_at", "question", "subject", "mode", "model", "prompt", "tick", "log_sequence"):
        if found.get(name) is not None:
            click.echo(f"{name.replace('_', ' '):<13} {plain_text(shown(found[name]))}")
    positions: dict[str, str] = found.get("positions") or {}
    for source, position in positions.items():
        click.echo(f"{'position':<13} {source} {position}")
    click.echo(f"\n{plain_text(str(found.get('answer', '')))}\n")
    pieces: list[dict[str, Any]] = found.get("pieces") or []
    rows = [
        [
            str(piece["number"]),
            piece["kind"],
            piece.get("relation") or piece.get("document") or "",
            ", ".join(f"{name}={shown(value)}" for name, value in piece["key"].items()),
            "yes" if piece["cited"] else "no",
        ]
        for piece in pieces
    ]
    if rows:
        Table(["PIECE", "KIND", "OF", "KEY", "CITED"], rows, frozenset({0}), (3, 2)).print()
