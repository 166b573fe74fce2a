"""Functions of generated SQL over texts, with those of other modules. Pure; called with arguments that are not NULL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from springline.core.types import Stored, load, parse_type
from springline.sql.array_functions import ARRAY_FUNCTIONS
from springline.sql.java_numbers import java_double
from springline.sql.json_functions import JSON_FUNCTIONS
from springline.sql.parsing import parse_value
from springline.sql.string_functions import STRING_FUNCTIONS, checked_length
from springline.sql.time_functions import TIME_FUNCTIONS

__all__ = ["TEXT_FUNCTIONS", "parse_value"]


def _text(stored: Stored, type_name: str) -> str | None:
    """CAST to STRING as Flink writes it."""
    type_ = parse_type(type_name)
    value = load(stored, type_)
    match value:
        case float():
            return java_double(value)
        case Decimal():
            return format(value, "f")
        case dt.datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S.%f").rjust(26, "0")
        case _:
            return str(value)


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    """SUBSTRING: from 1; negative starts count from the end, and give nothing beyond it; 0 is the beginning."""
    if length is not None and length < 0:
        return None
    first = start - 1 if start > 0 else (len(text) + start if start < 0 else 0)
    if first < 0:
        return ""
    last = len(text) if length is None else first + length
    return text[max(first, 0) : max(last, 0)]


def _pad(text: str, length: int, padding: str, left: int) -> str | None:
    if length < 0 or not padding:
        return None
    missing = length - len(text)
    if missing <= 0:
        return text[:length]
    checked_length(length)
    filler = (padding * (missing // len(padding) + 1))[:missing]
    return filler + text if left else text + filler


@lru_cache(maxsize=512)
def _like_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    made: list[str] = []
    letters = iter(pattern)
    for letter in letters:
        if escape and letter == escape:
            made.append(re.escape(next(letters, "")))
        else:
            made.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
    return re.compile("".join(made), re.DOTALL)


def _like(text: str, pattern: str, escape: str = "") -> int:
    return int(_like_pattern(pattern, escape).fullmatch(text) is not None)


def _locate(part: str, text: str, start: int = 1) -> int:
    return text.find(part, max(start - 1, 0)) + 1


def _right(text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


def _repeat(text: str, count: int) -> str:
    checked_length(len(text) * count)
    return text * max(count, 0)


def _reverse(text: str) -> str:
    return text[::-1]


def _ends_with(text: str, end: str) -> int:
    return int(text.endswith(end))


TEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **STRING_FUNCTIONS,
    **TIME_FUNCTIONS,
    **JSON_FUNCTIONS,
    **ARRAY_FUNCTIONS,
    "sl_upper": str.upper,
    "sl_lower": str.lower,
    "sl_locate": _locate,
    "sl_substring": _substring,
    "sl_right": _right,
    "sl_pad": _pad,
    "sl_repeat": _repeat,
    "sl_reverse": _reverse,
    "sl_ends_with": _ends_with,
    "sl_like": _like,
    "sl_text": _text,
}
