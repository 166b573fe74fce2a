"""How things are printed: aligned columns for people, nothing but the data when piped."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

NARROWEST: Final = 8
"""Columns are not shortened below this many cells."""


def is_terminal() -> bool:
    return sys.stdout.isatty()


def terminal_width() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def print_json(data: object, *, compact: bool = False) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=None if compact else 2, default=str)
    click.echo(text)


def width(text: str) -> int:
    """Cells that a text takes on a terminal: East Asian wide characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def shorten(text: str, cells: int) -> str:
    """At most ``cells`` cells, with … where something is left out."""
    if width(text) <= cells:
        return text
    taken, used = "", 1
    for one in text:
        used += width(one)
        if used > cells:
            break
        taken += one
    return taken.rstrip() + "…"


@dataclass(frozen=True)
class Table:
    """Rows of texts under headings. ``right``: indexes of columns that are aligned to the right. ``flexible``: the columns that give
    way, in this order, when the terminal is too narrow; all others stay whole."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    flexible: Sequence[int] = field(default=())

    def lines(self, available: int | None) -> list[str]:
        """The table as text. ``available`` is the terminal's width; None: nothing is shortened."""
        cells = [[_one_line(cell) for cell in row] for row in (self.headings, *self.rows)]
        widths = [max(width(row[index]) for row in cells) for index in range(len(self.headings))]
        if available is not None:
            excess = sum(widths) + 2 * (len(widths) - 1) - available
            for index in self.flexible:
                given = min(max(0, excess), max(0, widths[index] - max(NARROWEST, width(cells[0][index]))))
                widths[index] -= given
                excess -= given
        return [
            "  ".join(self._cell(cell, index, widths) for index, cell in enumerate(row)).rstrip()
            for row in cells
        ]

    def fits(self, available: int, narrowest: int) -> bool:
        """Whether the table needs no more than ``available`` cells when its flexible columns have ``narrowest`` at least."""
        cells = [[_one_line(cell) for cell in row] for row in (self.headings, *self.rows)]
        widths = [max(width(row[index]) for row in cells) for index in range(len(self.headings))]
        for index in self.flexible:
            widths[index] = min(widths[index], max(narrowest, width(cells[0][index])))
        return sum(widths) + 2 * (len(widths) - 1) <= available

    def records(self) -> list[str]:
        """Each row as lines of heading and value, with an empty line between two rows: for more columns than a terminal has room
        for."""
        widest = max(map(width, self.headings), default=0)
        lines: list[str] = []
        for row in self.rows:
            lines += [""] if lines else []
            pairs = zip(self.headings, row, strict=True)
            lines += [
                f"{name}{' ' * (widest - width(name))}  {_one_line(cell)}".rstrip() for name, cell in pairs
            ]
        return lines

    def _cell(self, cell: str, index: int, widths: Sequence[int]) -> str:
        shown = shorten(cell, widths[index])
        padding = " " * (widths[index] - width(shown))
        return padding + shown if index in self.right else shown + padding

    def print(self) -> None:
        """Prints the table, its headings in bold on a terminal."""
        lines = self.lines(terminal_width() if is_terminal() else None)
        click.echo(click.style(lines[0], bold=True))
        for line in lines[1:]:
            click.echo(line)


def _one_line(text: str) -> str:
    """Control characters of data never reach the terminal."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else {"\n": "⏎", "\t": " "}.get(one, "�") for one in text)


def plain_text(text: str) -> str:
    """Text of several lines without control characters."""
    return "".join(one for one in text if one.isprintable() or one in "\n\t")


def wrapped(text: str, cells: int) -> list[str]:
    """Lines of at most ``cells`` cells, broken at spaces and between East Asian characters."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for piece in pieces(paragraph):
            if line and width(line) + width(piece.rstrip()) > cells:
                lines.append(line.rstrip())
                line = ""
            line += piece if line else piece.lstrip()
        lines.append(line.rstrip())
    return lines


def pieces(text: str) -> Iterable[str]:
    """Where a line may be broken: after spaces, and after each wide character."""
    piece = ""
    for one in text:
        piece += one
        if one == " " or unicodedata.east_asian_width(one) in "WF":
            yield piece
            piece = ""
    if piece:
        yield piece


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180; NULL is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if value is None else _csv_value(value) for value in row] for row in rows])
    return out.getvalue()


def _csv_value(value: Any) -> Any:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, list | dict)
        else str(value).lower()
        if isinstance(value, bool)
        else value
    )


def shown(value: object) -> str:
    """A value in a table."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def age(milliseconds: float | None) -> str:
    """How long, for people: 3 ms, 1.2 s, 5 min, 7 h, 3 d."""
    if milliseconds is None:
        return "–"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    if seconds < 3_570:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 48 * 3_600 else f"{seconds / 86_400:.0f} d"


def size(count: float | None) -> str:
    """Bytes, for people."""
    if count is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"


def number(count: float) -> str:
    return f"{count:,.0f}"
