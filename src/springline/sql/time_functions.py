"""Functions of generated SQL over dates and timestamps. Pure; called with arguments that are not NULL."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from springline.core.types import SqlType, Stored, load, store
from springline.sql.parsing import parse_date, parse_moment, parse_value

_DAY_US = 86_400_000_000
_MILLISECOND_US = 1_000
_DEFAULT_PATTERN = "yyyy-MM-dd HH:mm:ss"
_UNPARSED = -(2**63)
"""UNIX_TIMESTAMP of a text that is no timestamp, as in Flink."""


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
    """Whole months from one moment to another. Days decide first, then the time of day, as in Flink."""
    first_day, first_time = divmod(start, _DAY_US)
    second_day, second_time = divmod(end, _DAY_US)
    months = _months_of_days(first_day, second_day)
    if months is None:
        return None
    if _add_months(first_day, months, "DAY") == second_day and second_time < first_time:
        months -= 1
    return months


def _months_of_days(start: int, end: int) -> int | None:
    if end < start:
        months = _months_of_days(end, start)
        return None if months is None else -months
    first, second = _moment(start * _DAY_US), _moment(end * _DAY_US)
    if first is None or second is None:
        return None
    months = (second.year - first.year) * 12 + second.month - first.month
    return months - 1 if _shifted(first, months) > second else months


def _extract(value: int, unit: str) -> int | None:
    moment = _moment(value)
    if moment is None:
        return None
    match unit:
        case "QUARTER":
            return (moment.month + 2) // 3
        case "WEEK":
            return moment.isocalendar().week
        case "ISOYEAR":
            return moment.isocalendar().year
        case "ISODOW":
            return moment.isoweekday()
        case "DECADE":
            return moment.year // 10
        case "CENTURY":
            return (moment.year + 99) // 100
        case "MILLENNIUM":
            return (moment.year + 999) // 1000
        case _:
            return moment.isoweekday() % 7 + 1


def _floor_moment(moment: dt.datetime, unit: str) -> dt.datetime:
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "WEEK":
        return day - dt.timedelta(days=day.isoweekday() % 7)
    if unit == "MONTH":
        return day.replace(day=1)
    if unit == "QUARTER":
        return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
    if unit == "DECADE":
        return day.replace(year=max(day.year // 10 * 10, 1), month=1, day=1)
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
            else _shifted(floor, {"MONTH": 1, "QUARTER": 3, "YEAR": 12, "DECADE": 120}[unit])
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
        case "y" | "u":
            return f"{moment.year % 100:02d}" if length == 2 else f"{moment.year:0{length}d}"
        case "M" | "L":
            return (
                calendar.month_abbr[moment.month]
                if length == 3
                else calendar.month_name[moment.month]
                if length > 3
                else f"{moment.month:0{length}d}"
            )
        case "d":
            return f"{moment.day:0{length}d}"
        case "H" | "k":
            hour = moment.hour if letter == "H" else moment.hour or 24
            return f"{hour:0{length}d}"
        case "K":
            return f"{moment.hour % 12:0{length}d}"
        case "D":
            return f"{moment.timetuple().tm_yday:0{length}d}"
        case "Q":
            quarter = (moment.month + 2) // 3
            return f"Q{quarter}" if length == 3 else f"{quarter:0{length}d}"
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
    "u": "year",
    "M": "month",
    "d": "day",
    "H": "hour",
    "m": "minute",
    "s": "second",
    "S": "microsecond",
}
_MONTHS = {name.lower(): index for index, name in enumerate(calendar.month_abbr) if name}


@lru_cache(maxsize=256)
def _parser(pattern: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """A pattern of y M d H m s S as a regular expression, and the fields of its groups."""
    made, fields = "", list[str]()
    for letter, length, literal in _pattern_parts(pattern):
        if letter == "M" and length >= 3:
            made += "([A-Za-z]{3})[a-z]*" if length > 3 else "([A-Za-z]{3})"
            fields.append("month")
        elif letter in _FIELDS:
            made += r"([0-9]{" + (f"{length}" if length > 1 else "1,6") + "})"
            fields.append(_FIELDS[letter])
        else:
            made += re.escape(literal or letter * length)
    return re.compile(made), tuple(fields)


def _fields(text: str, pattern: str) -> tuple[int, int, int, int, int, int, int] | None:
    """The year, month, day, hour, minute, second and microsecond that a text has by a pattern."""
    expression, fields = _parser(pattern)
    found = expression.fullmatch(text.strip())
    if found is None:
        return None
    values = {"year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    for name, digits in zip(fields, found.groups(), strict=True):
        if name == "month" and digits.isalpha():
            values[name] = _MONTHS.get(digits.lower(), 0)
            if not values[name]:
                return None
        else:
            values[name] = int(digits.ljust(6, "0")[:6]) if name == "microsecond" else int(digits)
    year, month, day, hour, minute, second, microsecond = values.values()
    return year, month, day, hour, minute, second, microsecond


def _parsed(text: str, pattern: str) -> dt.datetime | None:
    """The moment that a text means by a pattern. A day after the month's last one is the last one."""
    found = _fields(text, pattern)
    if found is None:
        return None
    year, month, day, hour, minute, second, microsecond = found
    if 1 <= day <= 31:
        day = min(day, calendar.monthrange(year, month)[1])
    return dt.datetime(year, month, day, hour, minute, second, microsecond)


def _parsed_leniently(text: str, pattern: str) -> dt.datetime | None:
    """The same where too large a part counts on, as in Java's SimpleDateFormat: the 30th of February is a day in March."""
    found = _fields(text, pattern)
    if found is None:
        return None
    year, month, day, hour, minute, second, microsecond = found
    years, month = divmod(month - 1, 12)
    return dt.datetime(year + years, month + 1, 1) + dt.timedelta(
        days=day - 1, hours=hour, minutes=minute, seconds=second, microseconds=microsecond
    )


def _parse_pattern(text: str, pattern: str, type_name: str) -> int | None:
    """TO_TIMESTAMP and TO_DATE with a pattern. Timestamps have milliseconds."""
    moment = _parsed(text, pattern)
    if moment is None:
        return None
    value = _micros(moment)
    return value // _DAY_US if type_name == "DATE" else value // _MILLISECOND_US * _MILLISECOND_US


_LATE_DAY = re.compile(r"([0-9]{4}-[0-9]{1,2}-)(29|30|31)(?= |$)")


def _in_month(found: re.Match[str]) -> str:
    """A day after the month's last one is the last one."""
    year, month, _ = found[1].split("-")
    return f"{found[1]}{min(int(found[2]), calendar.monthrange(int(year), int(month))[1])}"


def _parse_plain(text: str, type_name: str) -> int | None:
    """TO_TIMESTAMP and TO_DATE without a pattern: ``2013-02-08``, ``2013-02-08 17:30:00[.123]``."""
    if type_name == "DATE":
        date = parse_date(text)
        made = store(date, SqlType("DATE")) if date is not None else None
        return made if isinstance(made, int) else None
    moment = parse_moment(_LATE_DAY.sub(_in_month, text.strip()))
    return None if moment is None else _micros(moment) // _MILLISECOND_US * _MILLISECOND_US


def _in_zone(text: str, pattern: str, zone: str) -> int | None:
    """TO_TIMESTAMP_LTZ of a text in a time zone."""
    moment = _parsed(text, pattern)
    if moment is None:
        return None
    return _micros(moment.replace(tzinfo=_zone(zone)).astimezone(dt.UTC).replace(tzinfo=None))


def _zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{name!r} is no time zone") from error


def _convert_tz(text: str, source: str, target: str) -> str | None:
    moment = _parsed(text, _DEFAULT_PATTERN)
    if moment is None:
        return None
    return f"{moment.replace(tzinfo=_zone(source)).astimezone(_zone(target)):%Y-%m-%d %H:%M:%S}"


def _from_unixtime(seconds: int, pattern: str = _DEFAULT_PATTERN) -> str | None:
    return _date_format(seconds * 1_000_000, pattern)


def _unix_timestamp(text: str, pattern: str = _DEFAULT_PATTERN) -> int:
    try:
        moment = _parsed_leniently(text, pattern)
    except (OverflowError, ValueError):  # beyond the years that Python has
        moment = None
    return _UNPARSED if moment is None else _micros(moment) // 1_000_000


def _parse_temporal(text: str, name: str) -> Stored:
    return parse_value(text, SqlType(name))


TIME_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sl_parse_temporal": _guarded(_parse_temporal),
    "sl_add_months": _guarded(_add_months),
    "sl_months_between": _guarded(_months_between),
    "sl_extract": _guarded(_extract),
    "sl_floor_time": _guarded(_floor_time),
    "sl_floor_date": _guarded(_floor_date),
    "sl_date_format": _guarded(_date_format),
    "sl_parse_pattern": _guarded(_parse_pattern),
    "sl_parse_plain": _guarded(_parse_plain),
    "sl_in_zone": _guarded(_in_zone),
    "sl_convert_tz": _guarded(_convert_tz),
    "sl_from_unixtime": _guarded(_from_unixtime),
    "sl_unix_timestamp": _unix_timestamp,
}
