"""Which language a question is answered in, and texts that exist in several.

Tags are those of BCP 47 as far as they are needed: ``en``, ``ja``, ``zh-TW`` (Traditional Chinese), ``zh-CN`` (Simplified). Others are
accepted from callers; texts that do not exist in them fall back to English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar

from springline.core.text import guess_language

Localised: TypeAlias = str | Mapping[str, str]
"""One text for all languages, or one for each language tag."""

_T = TypeVar("_T")

NAMES: Final[Mapping[str, str]] = {
    "en": "English",
    "ja": "Japanese",
    "zh-TW": "Traditional Chinese as written in Taiwan",
    "zh-CN": "Simplified Chinese",
}

_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*\Z")
_SIMPLIFIED: Final = frozenset("吗们么这个会时来说对发过还没为从国动车钱费订认请让处办门问间钟点电话号码")
_TRADITIONAL: Final = frozenset("嗎們麼這個會時來說對發過還沒為從國動車錢費訂認請讓處辦門問間鐘點電話號碼")
_CHINESE: Final[Mapping[str, str]] = {
    "zh": "zh-TW", "zh-hant": "zh-TW", "zh-hk": "zh-TW", "zh-mo": "zh-TW", "zh-tw": "zh-TW",
    "zh-hans": "zh-CN", "zh-sg": "zh-CN", "zh-cn": "zh-CN",
}  # fmt: skip


def answer_language(question: str, requested: str | None = None) -> str:
    """The tag of the language to answer in: the one that was asked for, otherwise the question's; ``en`` where that cannot be told."""
    if requested is not None and _TAG.match(requested):
        lowered = requested.lower()
        if lowered in _CHINESE:
            return _CHINESE[lowered]
        base, _, rest = lowered.partition("-")
        return base if not rest or base in ("en", "ja") else f"{base}-{rest.upper()}"
    guessed = guess_language(question)
    if guessed == "zh":
        simplified = sum(character in _SIMPLIFIED and character not in _TRADITIONAL for character in question)
        traditional = sum(
            character in _TRADITIONAL and character not in _SIMPLIFIED for character in question
        )
        return "zh-CN" if simplified > traditional else "zh-TW"
    return guessed if guessed == "ja" else "en"


def base_language(tag: str) -> str:
    """``zh-TW`` → ``zh``; the form in which passages carry their language."""
    return tag.partition("-")[0].lower()


def choose(texts: Mapping[str, _T], tag: str) -> _T | None:
    """The entry for a language: exactly, or another form of the same language, or English, or the first one."""
    if tag in texts:
        return texts[tag]
    base = base_language(tag)
    for candidate, text in texts.items():
        if base_language(candidate) == base:
            return text
    return texts.get("en", next(iter(texts.values()), None))


def localised(text: Localised, tag: str) -> str:
    return text if isinstance(text, str) else choose(text, tag) or ""
