"""Cuts a passage into what can be quoted: sentences, items of lists with the words that introduce them, rows of tables. Pure."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from springline.core.text import CJK
from springline.operators.sentences import sentence_starts

_ITEM = re.compile(r"^\s{0,3}(?:[-*+]|\d{1,2}[.)])\s+(.*)$")
_CONTINUED = re.compile(r"^\s{2,}\S")
_TABLE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}[-|:\s]*$")
_EMPHASIS = re.compile(
    r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1|(?<![\w*])(\*|_)(?=[^\s*_])([^*_]+?)(?<=\S)\3(?![\w*])|`([^`]+)`"
)
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_ASIDE = re.compile(r"^(?:\*[^*].*[^*]\*|_[^_].*[^_]_)$", re.DOTALL)
_REFERENCE = re.compile(
    r"(?:see|read) [^.]{1,60}\.$|(?:詳見|请见|請見|参见|參見).{1,30}。$|.{1,24}をご覧ください。$",
    re.IGNORECASE,
)
_SHORT_CJK = 8
_SHORT_LATIN = 22


@dataclass(frozen=True, slots=True)
class Quotable:
    """``text`` can stand alone; ``lead`` are the words that introduce it (the sentence before a list), ending in a colon.
    ``group`` is the same for the items of one list or table and otherwise 0."""

    text: str
    lead: str = ""
    group: int = 0

    @property
    def whole(self) -> str:
        return f"{self.lead} {self.text}" if self.lead else self.text


def quotables(passage: str) -> list[Quotable]:
    """In the passage's order. Paragraphs wholly in italics (small print) and headings are left out."""
    found: list[Quotable] = []
    lead = ""
    for number, block in enumerate(_blocks(passage), 1):
        if block[0].lstrip().startswith("#") or _ASIDE.match("\n".join(block).strip()):
            continue
        if block[0].lstrip().startswith("|"):
            found.extend(Quotable(text, lead, number) for text in _table(block))
            continue
        prose: list[str] = []
        items: list[str] = []
        for line in block:
            if item := _ITEM.match(line):
                items.append(item[1])
            elif items and (_CONTINUED.match(line) or line.strip()):
                items[-1] += _joint(items[-1], line.strip()) + line.strip()
            else:
                prose.append(line.strip())
        sentences = [*_sentences(plain(_joined(prose)))]
        if sentences:
            lead = sentences[-1] if sentences[-1].endswith((":", "：")) else ""
            found.extend(Quotable(text) for text in sentences if text != lead and _answers(text))
        found.extend(Quotable(plain(item), lead, number) for item in items if plain(item))
    return found


def plain(markdown: str) -> str:
    """The words without the marks of emphasis, code and links; on one line."""
    text = _LINK.sub(lambda link: link[1], markdown)
    for _ in range(2):
        text = _EMPHASIS.sub(
            lambda mark: next(group for group in (mark[2], mark[4], mark[5]) if group is not None), text
        )
    return " ".join(text.split())


def _blocks(passage: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*passage.splitlines(), ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def _table(lines: list[str]) -> Iterator[str]:
    """``label: value`` for two columns; ``label, heading: value; …`` for more."""
    rows = [
        [plain(cell) for cell in line.strip().strip("|").split("|")]
        for line in lines
        if not _TABLE_RULE.match(line)
    ]
    has_heading = len(lines) > 1 and _TABLE_RULE.match(lines[1]) is not None
    heading = rows.pop(0) if has_heading and rows else []
    for row in rows:
        label, *values = row
        if not any(values):
            continue
        wide = len(values) > 1 and len(heading) == len(row)
        named = [
            f"{heading[index]}: {value}" if wide and heading[index] else value
            for index, value in enumerate(values, 1)
            if value
        ]
        yield f"{label}{' - ' if wide else ': '}{'; '.join(named)}"


def _sentences(text: str) -> Iterator[str]:
    starts = [0, *sentence_starts(text), len(text)]
    for start, end in itertools.pairwise(starts):
        if sentence := text[start:end].strip():
            yield sentence


def _joined(lines: list[str]) -> str:
    text = ""
    for line in lines:
        text += _joint(text, line) + line
    return text


def _joint(before: str, after: str) -> str:
    """Chinese and Japanese lines are joined without a space."""
    if not before or not after:
        return ""
    return "" if re.search(f"[{CJK}，。、；：]$", before) and re.match(f"[{CJK}「『（]", after) else " "


def _answers(text: str) -> bool:
    """Questions, very short sentences and mere references ("See Refunds.") answer nothing."""
    is_cjk = re.search(f"[{CJK}]", text) is not None
    if text.endswith(("?", "？")) or len(text) < (_SHORT_CJK if is_cjk else _SHORT_LATIN):
        return False
    return _REFERENCE.match(text) is None
