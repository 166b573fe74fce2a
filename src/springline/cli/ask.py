"""``springline ask``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from springline.cli.output import (
    age,
    is_terminal,
    pieces,
    plain_text,
    print_json,
    shown,
    terminal_width,
    width,
    wrapped,
)
from springline.settings import Settings


@click.command("ask")
@click.argument("question")
@click.option(
    "--as",
    "subject",
    metavar="SUBJECT",
    help="Who asks, such as customer:42; decides which rows may be read.",
)
@require_option
@on_miss_option
@click.option("--language", metavar="CODE", help="Answer in this language; default: the question's.")
@url_option
@json_option
@with_settings("data", "token", "deadline_ms")
def command(
    settings: Settings,
    question: str,
    subject: str | None,
    require: str | None,
    on_miss: str,
    language: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Ask the running application's assistant.

    The answer reflects every change committed before the question (--require now, the default), cites its sources with their age,
    and names its receipt.
    """
    client = connect(settings, url)
    request = {
        "question": question,
        "subject": subject,
        "language": language,
        **freshness(settings, require, on_miss, default="now"),
    }
    if as_json:
        print_json(client.post("/v1/ask", request))
    elif is_terminal():
        _print_evidence(_stream(client, request))
    else:
        answer = client.post("/v1/ask", request)
        click.echo(plain_text(answer["answer"]))
        _print_evidence(answer)


def _stream(client: Client, request: Mapping[str, object]) -> dict[str, Any]:
    """Prints the answer as it comes; returns it whole."""
    answer: dict[str, Any] = {}
    writer = StreamWriter(min(terminal_width(), 100))
    for name, data in client.stream("/v1/ask", request):
        if name == "token":
            writer.write(str(data.get("text", "")))
        elif name == "answer":
            answer = data
    if writer.is_empty and answer:
        writer.write(answer["answer"])
    writer.end()
    return answer


class StreamWriter:
    """Prints text that comes in pieces, with lines broken between words."""

    def __init__(self, cells: int) -> None:
        self._cells = cells
        self._column = 0
        self._held = ""
        self._space = ""
        self.is_empty = True

    def write(self, text: str) -> None:
        self.is_empty = self.is_empty and not text
        parts = (self._held + plain_text(text)).split("\n")
        for index, line in enumerate(parts):
            if index:
                self._put(self._held)
                click.echo()
                self._column, self._space = 0, ""
            *whole, self._held = [*pieces(line)] or [""]
            for piece in whole:
                self._put(piece)
        if self._held.endswith(" ") or (self._held and width(self._held) == 2 * len(self._held)):
            self._put(self._held)
            self._held = ""

    def end(self) -> None:
        self._put(self._held)
        self._held = ""
        click.echo()

    def _put(self, piece: str) -> None:
        word = piece.rstrip(" ")
        if self._column and self._column + len(self._space) + width(word) > self._cells:
            click.echo()
            self._column = 0
        # A space is printed only before what follows it on the same line: at the last cell the terminal would break the line.
        if self._column == 0:
            word, self._space = word.lstrip(" "), ""
        if word:
            click.echo(self._space + word, nl=False)
            self._column += len(self._space) + width(word)
            self._space = ""
        self._space += " " * (len(piece) - len(piece.rstrip(" ")))


def _print_evidence(answer: Mapping[str, Any]) -> None:
    """What the answer rests on: citations with ages, freshness, receipt."""
    if not answer:
        return
    citations: Sequence[Mapping[str, Any]] = answer["citations"]
    if citations:
        click.echo()
    cells = terminal_width() if is_terminal() else None
    heads = [citation_line(citation) for citation in citations]
    widest = max((width(title) for title, _ in heads), default=0)
    longest = max((width(facts) for _, facts in heads), default=0)
    is_narrow = cells is not None and 5 + widest + 2 + longest > cells
    for citation, (title, facts) in zip(citations, heads, strict=True):
        mark = click.style(f"[{citation['id']}]".rjust(4), fg="cyan")
        told = click.style(facts, dim=True)
        if is_narrow:
            click.echo(f"{mark} {title}\n     {told}")
        else:
            click.echo(f"{mark} {title}{' ' * (widest - width(title))}  {told}")
    click.echo()
    for line in _closing(answer):
        for part in wrapped(line, cells) if cells else [line]:
            click.echo(click.style(part, dim=True))
    if answer.get("receipt"):
        click.echo(f"Receipt {click.style(answer['receipt'], bold=True)}")


def citation_line(citation: Mapping[str, Any]) -> tuple[str, str]:
    """Title and facts of one citation: what it is, how old, at which position."""
    if citation["kind"] == "row":
        columns: dict[str, Any] = citation.get("key") or {}
        key = ", ".join(f"{name}={shown(value)}" for name, value in columns.items())
        title = f"{citation.get('relation') or citation['title']} {key}".rstrip()
    else:
        title = " › ".join([citation.get("document") or citation["title"], *citation.get("section", [])])
    known = citation.get("age_ms")
    old = f"as of {age(known)} ago" if known is not None else "age unknown"
    return plain_text(title), f"{old}  {citation['source']} {citation.get('position') or ''}".rstrip()


def _closing(answer: Mapping[str, Any]) -> list[str]:
    freshness_, took = answer["freshness"], answer.get("took_ms", {})
    waited = f"waited {age(freshness_['waited_ms'])}"
    if freshness_["require"] == "none":
        state = "Taken as it was, without waiting"
    elif freshness_["met"]:
        state = f"Reflects every change committed before the question ({waited})"
    else:
        state = f"NOT up to date: {', '.join(freshness_['missing']) or 'a source'} was not reached in time ({waited})"
    total = f"; answered in {age(took['total'])}" if "total" in took else ""
    notice = [str(answer["notice"])] if answer.get("notice") else []
    return [*notice, f"{state}{total}."]
