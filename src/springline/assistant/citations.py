"""Checks a model's answer against the context: markers must refer to pieces, and what they mark must have to do with them. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from springline.assistant.base import Flag
from springline.assistant.extractive import terms_of
from springline.context.pieces import Context, ContextPiece
from springline.core.text import guess_language
from springline.operators.sentences import sentence_starts

_MARKER = re.compile(r"[\[【［]\s*(\d{1,4}(?:\s*[,，、;–-]\s*\d{1,4})*)\s*[\]】］]")
_NUMBER = re.compile(r"\d{1,4}")
_RANGE = re.compile(r"(\d{1,4})\s*[–-]\s*(\d{1,4})")
_FIGURE = re.compile(r"\d[\d.,:/]*\d|\d")
_SPACE_BEFORE = re.compile(r"[ \t]+([.,;:!?。，；：！？])")
_LONGEST_MARKER: Final = 40
_SMALLEST_FIGURE: Final = 2
"""Digits that a figure has at least to be checked: "2 options" is not a quoted fact."""


@dataclass(frozen=True, slots=True)
class Checked:
    text: str
    cited: tuple[int, ...]
    flags: tuple[Flag, ...]


def check(text: str, context: Context) -> Checked:
    """The answer with markers in one form (``[2][5]``), without those that refer to nothing or to a piece that says nothing of the kind.

    A sentence's marker is unsupported if the piece shares neither a figure nor, in the same language, a single word with
    the sentence. That is a lower bound for nonsense, not a proof of sense. Figures that are nowhere in the context are flagged.
    """
    flags: list[Flag] = []
    cited: dict[int, None] = {}
    pieces = {piece.number: piece for piece in context.pieces}
    said: dict[int, _Said] = {}
    parts: list[str] = []
    for sentence in _sentences(text):
        words = _Said.of(_MARKER.sub(" ", sentence))

        def kept(marker: re.Match[str], words: _Said = words) -> str:
            numbers: list[int] = []
            for number in _numbers(marker[1]):
                piece = pieces.get(number)
                if piece is None:
                    flags.append(Flag("unknown_citation", f"[{number}]"))
                    continue
                if number not in said:
                    said[number] = _Said.of(_everything(piece))
                if not words.is_supported_by(said[number]):
                    flags.append(Flag("unsupported_citation", f"[{number}]"))
                    continue
                numbers.append(number)
                cited[number] = None
            return "".join(f"[{number}]" for number in numbers)

        parts.append(_MARKER.sub(kept, sentence))
    flags.extend(_invented(text, context))
    if not cited and context.pieces and text.strip():
        flags.append(Flag("uncited"))
    clean = _SPACE_BEFORE.sub(r"\1", "".join(parts))
    return Checked(
        re.sub(r"[ \t]+(?=\n|\Z)", "", clean).strip(), tuple(sorted(cited)), tuple(dict.fromkeys(flags))
    )


class MarkerFilter:
    """Lets a streamed answer through and holds back only what may become a marker; unknown numbers never get out."""

    def __init__(self, context: Context) -> None:
        self._known = {piece.number for piece in context.pieces}
        self._held = ""

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        text, self._held = self._held + piece, ""
        opened = max(text.rfind(mark) for mark in "[【［")
        rest = text[opened:] if opened >= 0 else ""
        if rest and not re.search(r"[\]】］]", rest) and len(rest) <= _LONGEST_MARKER:
            text, self._held = text[:opened], rest
        return _MARKER.sub(self._kept, text)

    def finish(self) -> str:
        text, self._held = self._held, ""
        return _MARKER.sub(self._kept, text)

    def _kept(self, marker: re.Match[str]) -> str:
        return "".join(f"[{number}]" for number in _numbers(marker[1]) if number in self._known)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a text says, as far as it can be compared."""

    language: str
    terms: frozenset[str]
    figures: frozenset[str]

    @staticmethod
    def of(text: str) -> _Said:
        return _Said(guess_language(text), terms_of(text), frozenset(_figures(text)))

    def is_supported_by(self, piece: _Said) -> bool:
        if not self.terms and not self.figures:
            return True
        if self.figures & piece.figures or self.terms & piece.terms:
            return True
        # Across languages words cannot be compared; a sentence that has figures must share one all the same.
        return self.language != piece.language and not self.figures


def _sentences(text: str) -> list[str]:
    """Cut where a sentence begins, but a marker belongs to the sentence before it."""
    cuts = [0]
    for start in sentence_starts(text):
        marker = _MARKER.match(text, start)
        end = start
        while marker is not None:
            end = marker.end()
            marker = _MARKER.match(text, end)
        cuts.append(end)
    cuts = sorted({*cuts, *(match.end() for match in re.finditer(r"\n", text)), len(text)})
    return [text[start:end] for start, end in itertools.pairwise(cuts)]


def _numbers(inside: str) -> list[int]:
    """``2``, ``2, 5`` and ``2-4``; a range is never longer than ten."""
    if (found := _RANGE.fullmatch(inside.strip())) and 0 <= int(found[2]) - int(found[1]) < 10:
        return list(range(int(found[1]), int(found[2]) + 1))
    return [int(number) for number in _NUMBER.findall(inside)]


def _everything(piece: ContextPiece) -> str:
    columns: Mapping[str, object] = piece.columns or {}
    return " ".join(
        (
            piece.title,
            *piece.section,
            piece.text,
            *(str(value) for value in columns.values() if value is not None),
        )
    )


def _figures(text: str) -> list[str]:
    """Numbers in one form: without separators of thousands and zeros after the point."""
    found: list[str] = []
    for number in _FIGURE.findall(text):
        plain = re.sub(r"(?<=\d),(?=\d{3}(?:\D|$))", "", number).strip(".,:/")
        if re.fullmatch(r"\d+\.0+", plain):
            plain = plain.partition(".")[0]
        found.append(plain)
    return found


def _invented(text: str, context: Context) -> list[Flag]:
    """Figures of at least two digits that no piece, nor the question, has."""
    known = set(_figures(context.question))
    for piece in context.pieces:
        known.update(_figures(_everything(piece)))
    joined = {part for figure in known for part in re.split(r"[:/.,-]", figure)}
    figures = _figures(_MARKER.sub(" ", text))
    unknown = [
        figure
        for figure in figures
        if len(re.sub(r"\D", "", figure)) >= _SMALLEST_FIGURE and figure not in known | joined
    ]
    return [Flag("unsupported_figure", figure) for figure in dict.fromkeys(unknown)]
