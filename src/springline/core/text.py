"""What scripts a text is written in, and how long it is for a language model. Pure; the standard library only.

Used by the splitter, the full-text index and retrieval, which must agree about both.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Language = Literal["en", "zh", "ja", "other"]
"""A guess by script: Latin letters count as English unless the words say otherwise, Han without kana as Chinese."""

HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f\u3005\u3007"
KANA: Final = "\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
CJK: Final = HAN + KANA
"""Character classes, to stand between brackets in a regular expression."""

_PIECE = re.compile(rf"[A-Za-z]+|[0-9]+|[{CJK}]|[^\W_]+|[^\w\s]|_")
_LONG_LATIN = re.compile(r"[A-Za-z]{7,}")
_LONG_DIGITS = re.compile(r"[0-9]{4,}")
_LONG_OTHER = re.compile(r"[^\W_A-Za-z0-9]{2,}")
_CJK_CHARACTER = re.compile(rf"[{CJK}]")

_HAN_CHARACTER = re.compile(f"[{HAN}]")
_KANA_CHARACTER = re.compile(f"[{KANA}]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_OTHER_LETTER = re.compile(rf"[^\W\d_A-Za-z\u00c0-\u024f{CJK}]")

_ENGLISH_MARKERS: Final = frozenset(
    "the of and to in is are was were be been you your it for on that this with as at by or from not have has had we our"
    " they their he she his her i my me if can may will must what when where which who how do does there".split()
)


def count_tokens(text: str) -> int:
    """About how many tokens a word-piece model (BERT's vocabulary) sees in ``text``.

    A CJK character, a punctuation mark and a short word count one each; longer words count one piece for each six
    letters more, numbers one for each three digits, words of other scripts half their letters.
    Meant to be an upper estimate on ordinary prose.
    """
    count = len(_PIECE.findall(text))
    for word in _LONG_LATIN.findall(text):
        count += (len(word) - 1) // 6
    for number in _LONG_DIGITS.findall(text):
        count += (len(number) - 1) // 3
    if not text.isascii():
        for word in _LONG_OTHER.findall(text):
            letters = len(word) - len(_CJK_CHARACTER.findall(word))
            count += letters // 2
    return count


def guess_language(text: str) -> Language:
    """The language of ``text`` by its script. A text of both kana and Han is Japanese; an empty one is ``other``."""
    han = len(_HAN_CHARACTER.findall(text))
    kana = len(_KANA_CHARACTER.findall(text))
    words = _LATIN_WORD.findall(text)
    other = len(_OTHER_LETTER.findall(text))
    cjk = han + kana
    if cjk and cjk * 2 >= len(words) and cjk * 2 >= other:
        return "ja" if kana * 20 >= cjk else "zh"
    if not words or other > sum(map(len, words)):
        return "other"
    if len(words) >= 12:
        markers = sum(word.lower() in _ENGLISH_MARKERS for word in words)
        if markers * 16 < len(words) and not all(word.isascii() for word in words):
            return "other"
    return "en"
