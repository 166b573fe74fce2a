"""From PostgreSQL's text output to the stored forms of ``core.types``, exactly.

The same converters read the replication stream and ``COPY`` text, whose sessions run with the same settings
(``connection.SESSION_SETTINGS``), so that both give identical values.

============================================  ==================================================================
PostgreSQL                                    stored as
============================================  ==================================================================
boolean                                       BOOLEAN
smallint integer bigint                       SMALLINT INT BIGINT
real, double precision                        FLOAT, DOUBLE
numeric(p, s)                                 DECIMAL(p, s); a negative scale widens p, a scale above p raises p to s
numeric                                       DECIMAL, as PostgreSQL prints it; also 'NaN', 'Infinity', '-Infinity'
text varchar citext name uuid json jsonb xml  STRING
char(n)                                       STRING without the padding, as PostgreSQL's own cast to text does
bytea                                         BYTES
date time timestamp timestamptz               DATE TIME TIMESTAMP TIMESTAMP_LTZ
arrays of the above                           ARRAY<t>, nested for more dimensions; lower bounds are not kept
enums, and every other type                   STRING, PostgreSQL's own text (intervals in ISO 8601)
domains                                       as their base type
============================================  ==================================================================

Dates before the year 1 count down over the astronomical year 0 (= 1 BC) in the proleptic Gregorian calendar, as
PostgreSQL itself does. Timestamps after about the year 294246 do not fit 63 bits of microseconds since 1970 and
become the largest one that is not ``infinity``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from springline.core import types
from springline.core.types import FOREVER, NEVER, SqlType, Stored, render

Converter: TypeAlias = Callable[[str], Stored]
"""From a value's text to its stored form. ``int`` and ``str`` are converters too, and the fastest ones."""

Mask: TypeAlias = Literal["hash", "null", "redact"]

REDACTED: Final = "***"

_EPOCH: Final = dt.datetime(1970, 1, 1)
_EPOCH_ORDINAL: Final = dt.date(1970, 1, 1).toordinal()
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_DAY_US: Final = 86_400_000_000
_MOMENT: Final = re.compile(
    r"(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:\+00)?)?( BC)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class PgType:
    """A column's type with domains resolved. ``name`` is the name in ``pg_catalog``, empty for any type outside it.
    ``element`` and ``delimiter`` belong to arrays."""

    name: str
    typmod: int = -1
    element: PgType | None = None
    delimiter: str = ","


def sql_type(type_: PgType, mask: Mask | None = None) -> SqlType:
    """The type that values have in Springline."""
    if mask in ("hash", "redact"):
        return types.STRING
    if type_.element is not None:
        return types.array(sql_type(type_.element))
    if type_.name == "numeric":
        return _decimal_type(type_.typmod)
    return _SIMPLE_TYPES.get(type_.name, types.STRING)


def converter(type_: PgType) -> Converter:
    """The function that reads values of the type. Raises ``ValueError`` on text that PostgreSQL would not print."""
    if type_.element is not None:
        return _array_converter(type_)
    if type_.name == "numeric":
        sql = _decimal_type(type_.typmod)
        return _scaled_converter(sql.scale or 0) if sql.is_scaled else str
    return _CONVERTERS.get(type_.name, str)


def masked(inner: Converter, mask: Mask, key: bytes) -> Converter:
    """A converter that never lets the value through. ``hash`` is BLAKE2b keyed with ``key``: equal values stay equal within
    one source, and cannot be found by hashing guesses without the key."""
    if mask == "hash":
        return lambda text: hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()
    return (lambda _: REDACTED) if mask == "redact" else (lambda _: None)


def to_text(stored: Stored, type_: PgType) -> str:
    """The inverse of ``converter``, for values that go back into SQL: keys."""
    sql = sql_type(type_)
    match stored:
        case bytes():
            return "\\x" + stored.hex()
        case int() if sql.name == "BOOLEAN":
            return "t" if stored else "f"
        case int() if sql.name in ("DATE", "TIMESTAMP", "TIMESTAMP_LTZ"):
            return _moment_text(stored, sql.name)
        case _:
            return str(render(stored, sql))


def _decimal_type(typmod: int) -> SqlType:
    """PostgreSQL packs precision and scale, offset by 4; the scale is a signed 11-bit number since version 15."""
    if typmod < 4:
        return types.decimal()
    precision, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
    scale = (scale ^ 0x400) - 0x400
    return types.decimal(precision - scale, 0) if scale < 0 else types.decimal(max(precision, scale), scale)


def _boolean(text: str) -> int:
    return 1 if text == "t" else 0


def _real(text: str) -> float | str:
    return "NaN" if text == "NaN" else float(text)


def _bytes(text: str) -> bytes:
    if not text.startswith("\\x"):
        raise ValueError("A bytea that is not in hexadecimal form.")
    return bytes.fromhex(text[2:])


def _padded(text: str) -> str:
    return text.rstrip(" ")


def _scaled_converter(scale: int) -> Converter:
    if scale == 0:
        return _whole
    point = -scale - 1

    def scaled(text: str) -> int | str:
        # PostgreSQL prints exactly `scale` decimals; digits that are cut off elsewhere would silently shift the value.
        if text[point : point + 1] == ".":
            return int(text[:point] + text[point + 1 :])
        if text == "NaN":
            return text
        return int(Decimal(text).scaleb(scale).to_integral_value())

    return scaled


def _whole(text: str) -> int | str:
    return "NaN" if text == "NaN" else int(text)


def _date(text: str) -> int:
    if len(text) == 10:
        return dt.date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
    return _unusual_moment(text, _DAY_US)


def _timestamp(text: str) -> int:
    try:
        return (dt.datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
    except ValueError:
        return _unusual_moment(text, 1)


def _timestamp_utc(text: str) -> int:
    if text[-3:] == "+00":  # not so before the year 1, and for infinities
        try:
            return (dt.datetime.fromisoformat(text[:-3]) - _EPOCH) // _MICROSECOND
        except ValueError:
            pass
    return _unusual_moment(text, 1)


def _time(text: str) -> int:
    seconds = (int(text[0:2]) * 60 + int(text[3:5])) * 60 + int(text[6:8])
    return seconds * 1_000_000 + (int(text[9:].ljust(6, "0")) if len(text) > 8 else 0)


def _unusual_moment(text: str, unit_us: int) -> int:
    """Infinities, years before 1 and after 9999: what ``datetime`` cannot hold."""
    if text in ("infinity", "-infinity"):
        return FOREVER if text == "infinity" else NEVER
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"A date or time in an unexpected form of {len(text)} characters.")
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    days = _days_from_civil(1 - year if found[8] else year, month, day)
    if unit_us == _DAY_US:
        return days
    fraction = int((found[7] or "").ljust(6, "0"))
    return min(days * _DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction, FOREVER - 1)


def _days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date
    Algorithms")."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil_from_days(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def _moment_text(stored: int, kind: str) -> str:
    if stored in (FOREVER, NEVER):
        return "infinity" if stored == FOREVER else "-infinity"
    days, rest = (stored, 0) if kind == "DATE" else divmod(stored, _DAY_US)
    year, month, day = _civil_from_days(days)
    suffix = "" if year > 0 else " BC"
    date = f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}"
    if kind == "DATE":
        return date + suffix
    seconds, fraction = divmod(rest, 1_000_000)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"
    return f"{date} {clock}{'+00' if kind == 'TIMESTAMP_LTZ' else ''}{suffix}"


def _array_converter(type_: PgType) -> Converter:
    element = type_.element
    assert element is not None
    convert, sql, delimiter = converter(element), sql_type(element), type_.delimiter

    def leaf(text: str) -> object:
        return text if convert is str else render(convert(text), sql)

    def array(text: str) -> str:
        return json.dumps(parse_array(text, leaf, delimiter), ensure_ascii=False)

    return array


def parse_array(text: str, leaf: Callable[[str], object] = str, delimiter: str = ",") -> list[object]:
    """PostgreSQL's array text as nested lists; NULL elements become None. Raises ``ValueError`` on anything else."""
    if text.startswith("["):
        text = text[text.index("=") + 1 :]
    if text[:1] != "{" or text[-1:] != "}":
        raise ValueError("An array in an unexpected form.")
    if '"' not in text and text.find("{", 1) < 0 and text.find("}") == len(text) - 1:
        items = text[1:-1].split(delimiter) if len(text) > 2 else []
        return [None if item == "NULL" else leaf(item) for item in items]
    found, end = _parse_nested(text, 1, leaf, delimiter)
    if end != len(text):
        raise ValueError("An array in an unexpected form.")
    return found


def _parse_nested(
    text: str, at: int, leaf: Callable[[str], object], delimiter: str
) -> tuple[list[object], int]:
    """Reads elements up to the closing brace; ``at`` is behind the opening one. Returns them and where it ended."""
    found: list[object] = []
    while True:
        if at >= len(text):
            raise ValueError("An array that does not end.")
        character = text[at]
        if character == "}":
            return found, at + 1
        if character == delimiter:
            at += 1
        elif character == "{":
            inner, at = _parse_nested(text, at + 1, leaf, delimiter)
            found.append(inner)
        elif character == '"':
            value, at = _parse_quoted(text, at + 1)
            found.append(leaf(value))
        else:
            end = at
            while end < len(text) and text[end] not in (delimiter, "}"):
                end += 1
            found.append(None if text[at:end] == "NULL" else leaf(text[at:end]))
            at = end


def _parse_quoted(text: str, at: int) -> tuple[str, int]:
    parts: list[str] = []
    while True:
        end = at
        while end < len(text) and text[end] not in '"\\':
            end += 1
        parts.append(text[at:end])
        if end >= len(text):
            raise ValueError("A quoted array element that does not end.")
        if text[end] == '"':
            return "".join(parts), end + 1
        parts.append(text[end + 1 : end + 2])
        at = end + 2


_SIMPLE_TYPES: Final[dict[str, SqlType]] = {
    "bool": types.BOOLEAN,
    "int2": types.SMALLINT,
    "int4": types.INT,
    "int8": types.BIGINT,
    "float4": types.FLOAT,
    "float8": types.DOUBLE,
    "bytea": types.BYTES,
    "date": types.DATE,
    "time": types.TIME,
    "timestamp": types.TIMESTAMP,
    "timestamptz": types.TIMESTAMP_LTZ,
}

BOOLEAN_CONVERTER: Final = _boolean

_CONVERTERS: Final[dict[str, Converter]] = {
    "bool": _boolean,
    "int2": int,
    "int4": int,
    "int8": int,
    "float4": _real,
    "float8": _real,
    "bytea": _bytes,
    "bpchar": _padded,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamp_utc,
}
