"""``springline status``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from springline.cli.client import connect
from springline.cli.options import json_option, url_option, with_settings
from springline.cli.output import Table, age, is_terminal, number, plain_text, print_json, size
from springline.settings import Settings

GOOD = frozenset({"running", "streaming", "live"})


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3_600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
@url_option
@json_option
@with_settings("data", "token")
def command(settings: Settings, watch: bool, interval: float, url: str | None, as_json: bool) -> None:
    """Show the whole pipeline at a glance: sources, tables, views, knowledge bases, rates and sizes."""
    client = connect(settings, url)
    while True:
        found = client.get("/v1/status")
        if as_json:
            print_json(found, compact=watch)
        else:
            if watch and is_terminal():
                click.echo("\x1b[H\x1b[2J\x1b[3J", nl=False)
            print_status(found, time.time())
        if not watch:
            return
        time.sleep(interval)
        if not as_json and not is_terminal():
            click.echo()


def print_status(status: Mapping[str, Any], now_s: float) -> None:
    """The status for people. ``now_s``: the clock that ages are measured by."""
    click.echo(_headline(status, now_s))
    click.echo(_rates(status))
    for table in (_sources(status, now_s), _relations(status), _knowledge(status)):
        if table.rows:
            click.echo()
            table.print()
    click.echo()
    sizes = f"log {size(status['log_bytes'])} · state {size(status['state_bytes'])} · WAL {size(status['wal_bytes'])}"
    click.echo(f"{sizes} · {number(status['dead_letters'])} dead letters")
    for one in status["relations"]:
        if one.get("left_out"):
            rows = f"{number(one['left_out'])} row{'' if one['left_out'] == 1 else 's'}"
            text = f"view {one['name']} leaves out {rows}: `springline dead-letters {one['name']}`"
            click.echo(click.style("! ", fg="yellow", bold=True) + plain_text(text))
    for error in status["errors"]:
        click.echo(click.style("! ", fg="red", bold=True) + plain_text(error))


def _headline(status: Mapping[str, Any], now_s: float) -> str:
    state = click.style(status["state"], fg="green" if status["state"] in GOOD else "yellow", bold=True)
    up = age(max(0.0, (now_s - status["started_at_us"] / 1e6) * 1_000))
    return f"{state} for {up} · tick {number(status['tick'])} · {number(status['changes_total'])} changes"


def _rates(status: Mapping[str, Any]) -> str:
    latency = status["commit_to_visible_ms"]
    quick = " · ".join(
        f"{name} {latency[name]:.1f} ms" for name in ("p50", "p99") if latency.get(name) is not None
    )
    rates = f"{status['changes_per_second']:.1f} changes/s · {status['ticks_per_second']:.1f} ticks/s"
    return f"{rates} · commit to visible {quick}" if quick else rates


def _sources(status: Mapping[str, Any], now_s: float) -> Table:
    rows: list[list[str]] = []
    for name, source in status["sources"].items():
        heard_us = source["last_message_at_us"]
        heard = "–" if heard_us is None else f"{age(max(0.0, (now_s - heard_us / 1e6) * 1_000))} ago"
        loaded = ""
        if source["state"] == "snapshot":
            estimated = source["rows_estimated"]
            loaded = f" {number(source['rows_loaded'])}" + (f" of {number(estimated)}" if estimated else "")
        state = source["state"] + loaded
        position = source["position"] or "–"
        rows.append(
            [name, state, position, size(source["behind_bytes"]), size(source["retained_bytes"]), heard]
        )
    headings = ["SOURCE", "STATE", "POSITION", "BEHIND", "RETAINED", "HEARD"]
    return Table(headings, rows, frozenset({3, 4, 5}), (2, 0))


def _relations(status: Mapping[str, Any]) -> Table:
    rows = [
        [
            one["name"],
            one["kind"],
            one["state"] + (f" (next: {one['building']})" if one.get("building") else ""),
            number(one["rows"]),
            size(one.get("state_bytes")),
            number(one["tick"]),
        ]
        for one in status["relations"]
    ]
    return Table(["RELATION", "KIND", "STATE", "ROWS", "SIZE", "TICK"], rows, frozenset({3, 4, 5}), (0,))


def _knowledge(status: Mapping[str, Any]) -> Table:
    rows = [
        [
            one["name"],
            f"{number(one['searchable'])} of {number(one['documents'])}",
            number(one["passages"]),
            number(one["pending"]),
            number(one["failed"]),
            age(one["oldest_pending_ms"]),
        ]
        for one in status["knowledge"]
    ]
    headings = ["KNOWLEDGE", "SEARCHABLE", "PASSAGES", "PENDING", "FAILED", "OLDEST"]
    return Table(headings, rows, frozenset({1, 2, 3, 4, 5}), (0,))
