"""Sentences made from a row. A template is the developer's; values are only ever inserted, never interpreted.

===================  ==============================================================================================
``{column}``         the value; NULL is nothing
``{column:day}``     a date or time as ``8 February`` (2月8日); also ``:date`` (with the year), ``:time``,
                     ``:datetime`` (day and time)
``{column:word}``    the value in the reader's language, where the part's ``words`` have it
``[ … ]``            left out where a value in it is NULL or empty, or a condition in it does not hold
``{column?}``        prints nothing; a condition: not NULL, not empty, not zero, not false
``{column=value}``   prints nothing; a condition: the value is exactly this text
===================  ==============================================================================================

``[[``, ``]]``, ``{{`` and ``}}`` stand for the characters themselves. Groups do not nest.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from springline.context.language import base_language, choose
from springline.core.types import SqlType, Stored, load, render
from springline.errors import ConfigurationError

Cells: TypeAlias = Mapping[str, tuple[Stored, SqlType]]
"""A row: column → stored value and type."""

Words: TypeAlias = Mapping[str, Mapping[str, str]]
"""Language tag → value → how people of that language say it."""

FORMATS: Final = frozenset({"", "day", "date", "time", "datetime", "word"})
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_TOKEN = re.compile(r"\[\[|\]\]|\{\{|\}\}|[\[\]]|\{([^{}]*)\}|[{}]")
_FIELD = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:(\?)|=([^{}]*)|:\s*([a-z]+)\s*)?\Z")


@dataclass(frozen=True, slots=True)
class _Field:
    column: str
    format: str = ""
    truthy: bool = False
    equals: str | None = None

    @property
    def is_condition(self) -> bool:
        return self.truthy or self.equals is not None


_Piece: TypeAlias = str | _Field
_Group: TypeAlias = tuple[bool, tuple[_Piece, ...]]
"""Whether the group is optional, and what is in it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. Raises ConfigurationError for one that cannot be read."""

    text: str
    groups: tuple[_Group, ...]

    @staticmethod
    def parse(text: str) -> Template:
        return _parse(text)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(
            piece.column for _, pieces in self.groups for piece in pieces if isinstance(piece, _Field)
        )

    def render(self, cells: Cells, language: str, words: Words, zone: dt.tzinfo) -> str:
        """The text for one row. Raises ConfigurationError where the row has no such column. Deterministic."""
        if missing := sorted(self.columns - cells.keys()):
            raise ConfigurationError(
                f"The template {self.text!r} names the column {missing[0]!r}, which the rows do not have.",
                hint=f"Columns: {', '.join(cells)}.",
            )
        vocabulary = choose(words, language) if words else None
        parts = [
            _render_group(optional, pieces, cells, language, vocabulary or {}, zone)
            for optional, pieces in self.groups
        ]
        return " ".join("".join(parts).split())


def _render_group(
    optional: bool,
    pieces: Sequence[_Piece],
    cells: Cells,
    language: str,
    vocabulary: Mapping[str, str],
    zone: dt.tzinfo,
) -> str:
    """Nothing, where the group is optional and a value of it is missing or a condition does not hold."""
    parts: list[str] = []
    for piece in pieces:
        if isinstance(piece, str):
            parts.append(piece)
            continue
        stored, type_ = cells[piece.column]
        if optional and not _holds(piece, stored, type_):
            return ""
        if not piece.is_condition:
            parts.append(show(stored, type_, language, piece.format, vocabulary, zone))
    return "".join(parts)


def _holds(piece: _Field, stored: Stored, type_: SqlType) -> bool:
    if stored is None or stored == "":
        return False
    if piece.equals is not None:
        return str(render(stored, type_)) == piece.equals
    return not piece.truthy or stored != 0


def show(
    stored: Stored,
    type_: SqlType,
    language: str,
    format_: str,
    vocabulary: Mapping[str, str],
    zone: dt.tzinfo,
) -> str:
    """One value for people. Control characters of texts become spaces, so that a value stays on its line."""
    if stored is None:
        return ""
    value = load(stored, type_)
    if isinstance(value, dt.datetime):
        moment = value.astimezone(zone) if value.tzinfo is not None else value
        return _moment(moment, language, format_ or "datetime")
    if isinstance(value, dt.date):
        return _moment(
            dt.datetime.combine(value, dt.time()), language, format_ if format_ == "day" else "date"
        )
    if isinstance(value, dt.time):
        return f"{value:%H:%M}"
    text = str(render(stored, type_))
    if isinstance(value, bool):
        text = text.lower()
    if format_ == "word":
        text = vocabulary.get(text, text)
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _moment(moment: dt.datetime, language: str, format_: str) -> str:
    time = f"{moment:%H:%M}"
    if format_ == "time":
        return time
    if base_language(language) in ("zh", "ja"):
        day = f"{moment.month}月{moment.day}日"
        dated = f"{moment.year}年{day}"
    else:
        day = f"{moment.day} {MONTHS[moment.month - 1]}"
        dated = f"{day} {moment.year}"
    return {"day": day, "date": dated}.get(format_, f"{day} {time}")


@lru_cache(maxsize=512)
def _parse(text: str) -> Template:
    groups: list[_Group] = []
    pieces: list[_Piece] = []
    inside = False
    position = 0

    def close(optional: bool) -> None:
        if pieces:
            groups.append((optional, tuple(pieces)))
            pieces.clear()

    for token in _TOKEN.finditer(text):
        if token.start() > position:
            pieces.append(text[position : token.start()])
        position = token.end()
        mark = token[0]
        if mark in ("[[", "]]", "{{", "}}"):
            pieces.append(mark[0])
        elif mark in ("[", "]"):
            if (mark == "[") == inside:
                raise _broken(
                    text,
                    token.start(),
                    "groups in square brackets are opened and closed once, and do not nest",
                )
            close(inside)
            inside = not inside
        elif token[1] is None:
            raise _broken(text, token.start(), "a brace stands alone; write it twice to mean itself")
        else:
            field = _field(text, token)
            if field.is_condition and not inside:
                raise _broken(text, token.start(), f"the condition {token[0]} stands outside square brackets")
            pieces.append(field)
    if inside:
        raise _broken(text, len(text), "a square bracket was not closed")
    if position < len(text):
        pieces.append(text[position:])
    close(False)
    return Template(text, tuple(groups))


def _field(text: str, token: re.Match[str]) -> _Field:
    found = _FIELD.match(token[1])
    if found is None or (found[4] or "") not in FORMATS:
        raise _broken(text, token.start(), f"{token[0]!r} is no field")
    return _Field(found[1], found[4] or "", found[2] is not None, found[3])


def _broken(text: str, position: int, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The template {text!r} cannot be read at character {position + 1}: {what}.",
        hint="See springline.context.templates for what a template may hold.",
    )
