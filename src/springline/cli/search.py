"""``springline search``."""

from __future__ import annotations

from typing import Any

import click

from springline.cli.client import Client, connect
from springline.cli.options import (
    freshness,
    json_option,
    on_miss_option,
    require_option,
    url_option,
    with_settings,
)
from springline.cli.output import is_terminal, plain_text, print_json, terminal_width, wrapped
from springline.errors import NotFound
from springline.settings import Settings


@click.command("search")
@click.argument("text")
@click.option(
    "--in", "knowledge_base", metavar="NAME", help="The knowledge base; needed where there are several."
)
@click.option(
    "--limit", type=click.IntRange(1, 50), default=5, show_default=True, help="Most passages to show."
)
@require_option
@on_miss_option
@url_option
@json_option
@with_settings("data", "token", "deadline_ms")
def command(
    settings: Settings,
    text: str,
    knowledge_base: str | None,
    limit: int,
    require: str | None,
    on_miss: str,
    url: str | None,
    as_json: bool,
) -> None:
    """Search a knowledge base of the running application, by meaning and by words."""
    client = connect(settings, url)
    name = knowledge_base or _only_knowledge_base(client)
    request = {
        "text": text,
        "knowledge_base": name,
        "limit": limit,
        **freshness(settings, require, on_miss, default="none"),
    }
    found = client.post("/v1/search", request)
    if as_json:
        print_json(found)
        return
    if not found["hits"]:
        click.echo(f"Nothing found in {name!r}.", err=True)
    for number, hit in enumerate(found["hits"], start=1):
        _print_hit(number, hit)


def _only_knowledge_base(client: Client) -> str:
    names = [one["name"] for one in client.get("/v1/status")["knowledge"]]
    if len(names) != 1:
        raise NotFound(
            f"The application has {len(names) or 'no'} knowledge bases.",
            hint=f"Name one with --in: {', '.join(names)}."
            if names
            else "Declare one with app.knowledge(…).",
        )
    return names[0]


def _print_hit(number: int, hit: dict[str, Any]) -> None:
    if number > 1:
        click.echo()
    place = " › ".join([hit["document"], *hit.get("heading_path", hit.get("section", []))])
    score = hit.get("score")
    click.echo(
        click.style(f"{number}  {plain_text(place)}", bold=True)
        + click.style(f"  {score:.3f}" if isinstance(score, float) else "", dim=True)
    )
    text = plain_text(hit["text"])
    for line in wrapped(text, min(terminal_width(), 100) - 3) if is_terminal() else text.splitlines():
        click.echo(f"   {line}".rstrip())
