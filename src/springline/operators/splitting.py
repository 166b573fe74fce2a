"""Cuts a document into passages along its structure, so that an edit changes as few passages as it can.

Passages never cross a heading. Within a section, blocks (paragraphs, lists, tables, code, quotations) stay together as long as they fit;
an over-long section is cut at its most natural boundary: between blocks, then list items and table rows, then sentences,
clauses, words. Among equally natural boundaries the *content* that follows decides (a hash of its first words), not a
running count: so the cuts around an edit stay where they are. The same idea, for backups, is content-defined chunking
(Muthitacharoen et al., "A Low-bandwidth Network File System", SOSP 2001); the recursion is a treap over the boundaries (Seidel and Aragon,
1996), whose shape depends on the set of boundaries alone and not on how the document came to be.

Pure: the standard library and ``core`` only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from springline.core.text import Language, count_tokens, guess_language
from springline.operators.markdown import (
    CLAUSE,
    PIECE,
    SENTENCE,
    SKIPPED,
    WORD,
    Block,
    Section,
    parse_markdown,
    parse_text,
)
from springline.operators.sentences import clause_starts, sentence_starts, word_starts

SPLITTER_VERSION: Final = "1"
"""Part of every passage's hash: raised when the same document would be cut otherwise."""

Format = Literal["markdown", "text"]

_PIECE_CHARACTERS = 24
_OPENING_WORDS = 3


@dataclass(frozen=True, slots=True)
class SplitLimits:
    """Sizes in approximate tokens (``core.text.count_tokens``), without the heading path.

    No passage is longer than ``maximum_tokens``. A section is cut into parts of at least ``minimum_tokens`` where its boundaries
    allow; a section that is shorter as a whole stays short: passages of two sections are never merged.
    """

    maximum_tokens: int = 190
    minimum_tokens: int = 48

    def __post_init__(self) -> None:
        if not 0 < self.minimum_tokens * 2 <= self.maximum_tokens:
            raise ValueError(
                f"minimum_tokens ({self.minimum_tokens}) must be positive and at most half of maximum_tokens"
                f" ({self.maximum_tokens})."
            )


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage. ``start`` and ``end`` are character offsets in the document and enclose everything that it was made of.

    ``text`` is the document's text without HTML comments and quotation marks ``>``, and with a table's header repeated.
    ``hash`` is the SHA-256 of splitter version, heading path and text in hexadecimal: equal passages of one document share it and differ
    in ``ordinal``, which counts from 0.
    """

    ordinal: int
    heading_path: tuple[str, ...]
    text: str
    start: int
    end: int
    hash: str
    language: Language

    def model_input(self) -> str:
        return model_input(self.heading_path, self.text)


def model_input(heading_path: Sequence[str], text: str) -> str:
    """What is embedded: the heading path on one line, then the text."""
    return f"{' > '.join(heading_path)}\n{text}" if heading_path else text


def passage_hash(heading_path: Sequence[str], text: str) -> str:
    digest = hashlib.sha256(SPLITTER_VERSION.encode())
    for part in (*heading_path, "", text):
        digest.update(b"\x00" + part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def split(text: str, *, format: Format, limits: SplitLimits | None = None) -> list[Passage]:
    """Cuts ``text`` into passages, in document order. Deterministic; an empty document has none.

    Raises ValueError for an unknown format.
    """
    if format not in ("markdown", "text"):
        raise ValueError(f"The splitter reads 'markdown' and 'text', not {format!r}.")
    limits = limits or SplitLimits()
    masked, sections = parse_markdown(text) if format == "markdown" else parse_text(text)
    document_language = guess_language(text)
    passages: list[Passage] = []
    for index, section in enumerate(sections):
        follower = sections[index + 1] if index + 1 < len(sections) else None
        for start, end, content in _section_parts(masked, section, follower, limits):
            language = guess_language(content)
            if language == "zh" and document_language == "ja":
                language = "ja"
            passages.append(
                Passage(
                    ordinal=len(passages),
                    heading_path=section.heading_path,
                    text=content,
                    start=start,
                    end=end,
                    hash=passage_hash(section.heading_path, content),
                    language=language,
                )
            )
    return passages


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut again. ``strength`` belongs to the boundary before it; ``prefix_tokens`` to the block's prefix."""

    start: int
    end: int
    tokens: int
    strength: int
    block: Block
    prefix_tokens: int


def _section_parts(
    text: str, section: Section, follower: Section | None, limits: SplitLimits
) -> Iterator[tuple[int, int, str]]:
    units = [unit for block in section.blocks for unit in _units(text, block, limits.maximum_tokens)]
    if not units:
        # A heading with neither text nor sections under it still says something.
        if section.heading_path and (follower is None or follower.level <= section.level):
            yield section.start, section.end, section.heading_path[-1]
        return
    for first, stop in partition(text, units, limits):
        content = _assemble(text, units[first:stop])
        if content:
            yield (*_trimmed(text, units[first].start, units[stop - 1].end), content)


def _units(text: str, block: Block, maximum: int) -> list[_Unit]:
    tokens = _tokens(text, block.start, block.end)
    if tokens <= maximum:
        return [_Unit(block.start, block.end, tokens, block.strength, block, 0)]
    prefix_tokens = count_tokens(block.prefix) if block.prefix else 0
    if prefix_tokens * 2 > maximum:
        block.prefix, prefix_tokens = "", 0
    pieces: list[tuple[int, int]] = [(block.start, block.strength), *block.cuts]
    levels = (SENTENCE, CLAUSE, WORD, PIECE) if block.prose else (WORD, PIECE)
    room = maximum - prefix_tokens
    for level in levels:
        pieces = _cut_long(text, pieces, block.end, level, room)
    ends = [start for start, _ in pieces[1:]] + [block.end]
    return [
        _Unit(
            start,
            end,
            _tokens(text, start, end),
            strength,
            block,
            prefix_tokens if start > block.start else 0,
        )
        for (start, strength), end in zip(pieces, ends, strict=True)
    ]


def _cut_long(
    text: str, pieces: list[tuple[int, int]], end: int, level: int, room: int
) -> list[tuple[int, int]]:
    """Cuts the pieces that are longer than ``room`` at boundaries of ``level``."""
    result: list[tuple[int, int]] = []
    ends = [start for start, _ in pieces[1:]] + [end]
    for (start, strength), stop in zip(pieces, ends, strict=True):
        result.append((start, strength))
        # A piece of as many characters as there is room for tokens cannot be too long.
        if stop - start > room and _tokens(text, start, stop) > room:
            result.extend((start + offset, level) for offset in _offsets(text[start:stop], level))
    return result


def _offsets(text: str, level: int) -> list[int]:
    if level == SENTENCE:
        return sentence_starts(text)
    if level == CLAUSE:
        return clause_starts(text)
    if level == WORD:
        return word_starts(text)
    return list(range(_PIECE_CHARACTERS, len(text), _PIECE_CHARACTERS))


def _tokens(text: str, start: int, end: int) -> int:
    part = text[start:end]
    return count_tokens(part.replace(SKIPPED, "") if SKIPPED in part else part)


def partition(text: str, units: Sequence[_Unit], limits: SplitLimits) -> list[tuple[int, int]]:
    """Groups units into runs of at most ``maximum_tokens``: ``[(first, stop), …]`` in order.

    A run that is too long is cut at the boundary of greatest (strength, priority) that leaves at least ``minimum_tokens`` on both sides. The
    priority comes from the words after the boundary, so an edit can move only cuts that are within about one passage of it.
    """
    total = [0, *accumulate(unit.tokens for unit in units)]

    def size(first: int, stop: int) -> int:
        return total[stop] - total[first] + units[first].prefix_tokens

    if size(0, len(units)) <= limits.maximum_tokens:
        return [(0, len(units))]
    priorities = [_priority(text, unit) for unit in units]
    runs: list[tuple[int, int]] = []
    waiting = [(0, len(units))]
    while waiting:
        first, stop = waiting.pop()
        if stop - first == 1 or size(first, stop) <= limits.maximum_tokens:
            runs.append((first, stop))
            continue
        low = total[first] + limits.minimum_tokens
        high = total[stop] - limits.minimum_tokens
        eligible = [index for index in range(first + 1, stop) if low <= total[index] <= high]
        if eligible:
            cut = max(eligible, key=priorities.__getitem__)
        else:
            middle = (total[first] + total[stop]) / 2
            cut = min(
                range(first + 1, stop), key=lambda index: (-units[index].strength, abs(total[index] - middle))
            )
        waiting.append((cut, stop))
        waiting.append((first, cut))
    return runs


def _priority(text: str, unit: _Unit) -> tuple[int, bytes, bytes]:
    """First by strength; then by the opening words alone, so that an edit further on in the unit moves nothing; then by all of it,
    for documents whose lines begin alike."""
    content = text[unit.start : unit.end].strip()
    opening = content[:48].split()[:_OPENING_WORDS]
    return unit.strength, _digest(" ".join(opening)[:24]), _digest(content)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _assemble(text: str, units: Sequence[_Unit]) -> str:
    pieces: list[str] = []
    index = 0
    while index < len(units):
        stop = index + 1
        while stop < len(units) and units[stop].block is units[index].block:
            stop += 1
        unit = units[index]
        piece = text[unit.start : units[stop - 1].end].replace(SKIPPED, "").replace("\r\n", "\n").rstrip()
        if unit.block.quoted:
            piece = "\n".join(
                line.lstrip(" ").removeprefix(">").removeprefix(" ") for line in piece.split("\n")
            )
        piece = piece.strip("\n") if not unit.block.prose else piece.strip()
        if piece and unit.prefix_tokens:
            piece = unit.block.prefix.replace("\r\n", "\n") + "\n" + piece
        if piece:
            pieces.append(piece)
        index = stop
    return "\n\n".join(pieces)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


__all__ = [
    "SPLITTER_VERSION",
    "Format",
    "Passage",
    "SplitLimits",
    "model_input",
    "passage_hash",
    "split",
]
