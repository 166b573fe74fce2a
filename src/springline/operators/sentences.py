"""Where sentences, clauses and words begin. English, Chinese, Japanese and whatever ends its sentences as they do."""

from __future__ import annotations

import re
from typing import Final

from springline.core.text import CJK

_CLOSING: Final = "\"'”’」』）】〉》〕］｝)\\]"
_SENTENCE_END = re.compile(rf"(?:[。！？｡…‥]+|[.!?]+(?=[{_CLOSING}]*\s))[{_CLOSING}]*\s*")
_CLAUSE_END = re.compile(r"[,;:]\s+|[，；：、]\s*|\s+[-–—]\s+|\s*——\s*")
_WORD_END = re.compile(rf"\s+|(?<=[{CJK}])(?=[{CJK}])")
_LAST_WORD = re.compile(r"[^\s(\[\"“‘'（「]+\Z")
_QUOTED_ON = frozenset("とっなのはがをにもでへやか、，,")
"""After a closing quotation mark these continue the sentence: 「行きます。」と言った."""

_ABBREVIATIONS: Final = frozenset(
    "mr mrs ms dr prof sr jr st mt no nos vol fig figs eq sec ch pp approx incl excl max min dept est ext tel inc ltd co"
    " corp vs cf al e.g i.e etc a.m p.m u.s u.k jan feb mar apr jun jul aug sep sept oct nov dec".split()
)


def sentence_starts(text: str) -> list[int]:
    """Offsets in ``text`` (never 0 or its end) where a sentence begins."""
    starts: list[int] = []
    for match in _SENTENCE_END.finditer(text):
        start = match.end()
        if start < len(text) and _ends_sentence(text, match):
            starts.append(start)
    return starts


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark = match[0]
    following = text[match.end()]
    if mark[0] in ".!?":
        if following.islower():
            return False
        if mark[0] == "." and (mark[1:2] != ".") and mark[-1].isspace():
            word = _LAST_WORD.search(text, max(0, match.start() - 24), match.start())
            if word is not None:
                return not _is_abbreviation(word[0])
        return True
    closed = mark.rstrip()[-1] not in "。！？｡…‥"
    return not (closed and following in _QUOTED_ON)


def _is_abbreviation(word: str) -> bool:
    """``No``, ``e.g``, a single initial (``J``, but not ``I``)."""
    return word.lower() in _ABBREVIATIONS or (
        len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
    )


def clause_starts(text: str) -> list[int]:
    return [match.end() for match in _CLAUSE_END.finditer(text) if 0 < match.end() < len(text)]


def word_starts(text: str) -> list[int]:
    """Between CJK characters any place will do."""
    return [match.end() for match in _WORD_END.finditer(text) if 0 < match.end() < len(text)]
