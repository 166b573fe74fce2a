"""Functions of generated SQL over texts, dates and JSON. Pure; called with arguments that are not NULL."""

from __future__ import annotations

import calendar
import datetime as dt
import hashlib
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from springline.core.types import SqlType, Stored, load, parse_type, store
from springline.sql.exact import WIDE, wide_text
from springline.sql.json_functions import json_exists, json_query, json_value

_DAY_US = 86_400_000_000
_RANGES = {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}
_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
_NUMBER = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?")


def parse_value(value: Stored, type_: SqlType) -> Stored:
    """CAST of a text, or of a double or wide DECIMAL, to another type; None where it is not one."""
    try:
        if type_.is_integer:
            return _integer(value, _RANGES[type_.name])
        if type_.name in ("DOUBLE", "FLOAT"):
            number = float(str(value).strip())
            return "NaN" if math.isnan(number) else number
        if type_.name == "DECIMAL":
            return _decimal(value, type_)
        if type_.is_temporal and isinstance(value, int):
            return value
        text = str(value).strip()
        if type_.name == "BOOLEAN":
            lowered = text.lower()
            return 1 if lowered in _TRUE else 0 if lowered in _FALSE else None
        if type_.name == "BYTES":
            return str(value).encode()
        return _temporal(text, type_)
    except (ValueError, InvalidOperation, OverflowError):
        return None


def _integer(value: Stored, limit: int) -> int | None:
    if isinstance(value, float):
        number = int(value)
    else:
        found = _NUMBER.fullmatch(str(value).strip())
        if found is None or not (found[2] or found[3]):
            return None
        number = int(found[1] + (found[2] or "0"))
    return number if -limit <= number < limit else None


def _decimal(value: Stored, type_: SqlType) -> Stored:
    number = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
    if not number.is_finite():
        return None
    if type_.precision is None:
        return wide_text(number)
    rounded = number.quantize(Decimal(1).scaleb(-(type_.scale or 0)), ROUND_HALF_UP, WIDE)
    if rounded.copy_abs() >= Decimal(10) ** (type_.precision - (type_.scale or 0)):
        return None
    return int(rounded.scaleb(type_.scale or 0)) if type_.is_scaled else wide_text(rounded)


def _temporal(text: str, type_: SqlType) -> Stored:
    if type_.name == "DATE":
        return store(text[:10], type_)
    if type_.name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        moment = dt.datetime.fromisoformat(text)
        if type_.name == "TIMESTAMP" and moment.tzinfo is not None:
            return None
        return store(moment, type_)
    return store(text, type_)


def _parse_temporal(text: str, name: str) -> Stored:
    return parse_value(text, SqlType(name))


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


def java_double(value: float) -> str:
    """A double as Java (and so Flink) writes it: 1.0, 1.0E10, NaN, Infinity."""
    if not math.isfinite(value):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits))
    return f"{'-' if sign else ''}{written[0]}.{written[1:] or '0'}E{exponent + len(digits) - 1}"


def _substring(text: str, start: int, length: int | None = None) -> str | None:
    """SUBSTRING: from 1; negative starts count from the end; 0 is the beginning."""
    if length is not None and length < 0:
        return None
    first = start - 1 if start > 0 else (len(text) + start if start < 0 else 0)
    last = len(text) if length is None else first + length
    return text[max(first, 0) : max(last, 0)]


def _pad(text: str, length: int, padding: str, left: int) -> str | None:
    if length < 0 or (not padding and length > len(text)):
        return None
    missing = length - len(text)
    if missing <= 0:
        return text[:length]
    filler = (padding * (missing // len(padding) + 1))[:missing]
    return filler + text if left else text + filler


def _split_index(text: str, separator: str, index: int) -> str | None:
    if index < 0 or not separator:
        return None
    parts = text.split(separator)
    return parts[index] if index < len(parts) else None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _regexp(text: str, pattern: str) -> int | None:
    found = _compiled(pattern)
    return None if found is None else int(found.search(text) is not None)


def _regexp_extract(text: str, pattern: str, group: int = 0) -> str | None:
    found = _compiled(pattern)
    match = None if found is None else found.search(text)
    if match is None or not 0 <= group <= (match.re.groups):
        return None
    return match[group]


def _regexp_replace(text: str, pattern: str, replacement: str) -> str | None:
    found = _compiled(pattern)
    return None if found is None else found.sub(re.sub(r"\$(\d)", r"\\\1", replacement), text)


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


# -- dates -------------------------------------------------------------------------------------------------------------


def _moment(microseconds: int) -> dt.datetime | None:
    value = load(microseconds, SqlType("TIMESTAMP"))
    return value if isinstance(value, dt.datetime) else None


def _micros(moment: dt.datetime) -> int:
    made = store(moment, SqlType("TIMESTAMP"))
    assert isinstance(made, int)
    return made


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """None for infinite timestamps and those beyond Python's calendar."""

    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except (OverflowError, ValueError, AttributeError, AssertionError):
            return None

    return call


def _shifted(moment: dt.datetime, months: int) -> dt.datetime:
    """Some months later, on the last day of the month where that is shorter."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _add_months(value: int, months: int, unit: str) -> int | None:
    scale = _DAY_US if unit == "DAY" else 1
    moment = _moment(value * scale)
    return None if moment is None else _micros(_shifted(moment, months)) // scale


def _months_between(start: int, end: int) -> int | None:
    first, second = _moment(start), _moment(end)
    if first is None or second is None:
        return None
    months = (second.year - first.year) * 12 + second.month - first.month
    if months > 0 and _shifted(first, months) > second:
        months -= 1
    elif months < 0 and _shifted(first, months) < second:
        months += 1
    return months


def _extract(value: int, unit: str) -> int | None:
    moment = _moment(value)
    if moment is None:
        return None
    if unit == "QUARTER":
        return (moment.month + 2) // 3
    return moment.isocalendar().week if unit == "WEEK" else moment.isoweekday() % 7 + 1


def _floor_moment(moment: dt.datetime, unit: str) -> dt.datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "WEEK":
        return day - dt.timedelta(days=day.isoweekday() % 7)
    if unit == "MONTH":
        return day.replace(day=1)
    if unit == "QUARTER":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    return day.replace(month=1, day=1)


def _floor_time(value: int, unit: str, up: int) -> int | None:
    moment = _moment(value)
    if moment is None:
        return value
    floor = _floor_moment(moment, unit)
    if up and floor < moment:
        floor = (
            floor + dt.timedelta(days=7)
            if unit == "WEEK"
            else _shifted(floor, {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit])
        )
    return _micros(floor)


def _floor_date(value: int, unit: str, up: int) -> int | None:
    made = _floor_time(value * _DAY_US, unit, up) if abs(value) < 10**8 else None
    return value if made is None else made // _DAY_US


_PATTERN = re.compile(r"'((?:[^']|'')*)'|([a-zA-Z])\2*|.", re.DOTALL)


@lru_cache(maxsize=256)
def _pattern_parts(pattern: str) -> list[tuple[str, int, str]]:
    """(letter, length, literal) for each part of a SimpleDateFormat pattern."""
    parts: list[tuple[str, int, str]] = []
    for found in _PATTERN.finditer(pattern):
        if found[2]:
            parts.append((found[2], len(found[0]), ""))
        else:
            parts.append(("", 0, found[0] if found[1] is None else (found[1].replace("''", "'") or "'")))
    return parts


def _date_format(value: int, pattern: str) -> str | None:
    moment = _moment(value)
    if moment is None:
        return None
    return "".join(
        literal or _field(moment, letter, length) for letter, length, literal in _pattern_parts(pattern)
    )


def _field(moment: dt.datetime, letter: str, length: int) -> str:
    match letter:
        case "y":
            return f"{moment.year % 100:02d}" if length == 2 else f"{moment.year:0{length}d}"
        case "M":
            return (
                calendar.month_abbr[moment.month]
                if length == 3
                else calendar.month_name[moment.month]
                if length > 3
                else f"{moment.month:0{length}d}"
            )
        case "d":
            return f"{moment.day:0{length}d}"
        case "H":
            return f"{moment.hour:0{length}d}"
        case "h":
            return f"{(moment.hour - 1) % 12 + 1:0{length}d}"
        case "m":
            return f"{moment.minute:0{length}d}"
        case "s":
            return f"{moment.second:0{length}d}"
        case "S":
            return f"{moment.microsecond:06d}".ljust(length, "0")[:length]
        case "a":
            return "AM" if moment.hour < 12 else "PM"
        case "E":
            return calendar.day_abbr[moment.weekday()] if length <= 3 else calendar.day_name[moment.weekday()]
        case _:
            return letter * length


_FIELDS = {
    "y": "year",
    "M": "month",
    "d": "day",
    "H": "hour",
    "m": "minute",
    "s": "second",
    "S": "microsecond",
}


def _parse_pattern(text: str, pattern: str, type_name: str) -> int | None:
    """TO_TIMESTAMP with a pattern of y M d H m s S."""
    made = ""
    fields: list[str] = []
    for letter, length, literal in _pattern_parts(pattern):
        if letter in _FIELDS:
            made += r"(\d{" + (f"{length}" if length > 1 else "1,6") + "})"
            fields.append(_FIELDS[letter])
        else:
            made += re.escape(literal or letter * length)
    found = re.fullmatch(made, text.strip())
    if found is None:
        return None
    values: dict[str, int] = {"year": 1970, "month": 1, "day": 1}
    for name, digits in zip(fields, found.groups(), strict=True):
        values[name] = int(digits.ljust(6, "0")[:6]) if name == "microsecond" else int(digits)
    moment = _micros(dt.datetime(**values))  # pyright: ignore[reportArgumentType]
    return moment // _DAY_US if type_name == "DATE" else moment


def _initcap(text: str) -> str:
    return re.sub(r"[^\W_]+", lambda found: found[0].capitalize(), text)


def _locate(part: str, text: str, start: int = 1) -> int:
    return text.find(part, max(start - 1, 0)) + 1


def _right(text: str, count: int) -> str:
    return text[-count:] if count > 0 else ""


def _repeat(text: str, count: int) -> str:
    return text * max(count, 0)


def _reverse(text: str) -> str:
    return text[::-1]


def _ends_with(text: str, end: str) -> int:
    return int(text.endswith(end))


def _ascii(text: str) -> int:
    return ord(text[0]) if text else 0


def _digest(text: str, name: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


TEXT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sl_upper": str.upper,
    "sl_lower": str.lower,
    "sl_initcap": _initcap,
    "sl_replace": str.replace,
    "sl_locate": _locate,
    "sl_substring": _substring,
    "sl_right": _right,
    "sl_pad": _pad,
    "sl_repeat": _repeat,
    "sl_reverse": _reverse,
    "sl_split_index": _split_index,
    "sl_regexp": _regexp,
    "sl_regexp_extract": _regexp_extract,
    "sl_regexp_replace": _regexp_replace,
    "sl_ends_with": _ends_with,
    "sl_ascii": _ascii,
    "sl_digest": _digest,
    "sl_like": _like,
    "sl_text": _text,
    "sl_parse_temporal": _guarded(_parse_temporal),
    "sl_add_months": _guarded(_add_months),
    "sl_months_between": _guarded(_months_between),
    "sl_extract": _guarded(_extract),
    "sl_floor_time": _guarded(_floor_time),
    "sl_floor_date": _guarded(_floor_date),
    "sl_date_format": _guarded(_date_format),
    "sl_parse_pattern": _guarded(_parse_pattern),
    "sl_json_value": json_value,
    "sl_json_query": json_query,
    "sl_json_exists": json_exists,
}
