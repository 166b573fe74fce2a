"""Values as foreign systems write them, in their columns' stored form, exactly.

JSON is decoded so that numbers with a fraction are Decimals: no value passes through a double on its way to a DECIMAL. Where a value cannot be of
its column's type, ``ValueError`` says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec

from springline.core.types import FOREVER, NEVER, SqlType, Stored, render, store

Reader = Callable[[Any], Stored]
"""Brings a value that is not None to the stored form of its column. Raises ValueError and its like."""

ERRORS: Final = (ValueError, TypeError, ArithmeticError, DecimalException, LookupError)
"""What a reader may raise for a value that is not what it should be."""

DAY_US: Final = 86_400_000_000
_LAST_DAY: Final = (FOREVER - 1) // DAY_US
_WHOLE: Final = re.compile(r"[+-]?\d{1,40}")
_ZERO_DATE: Final = re.compile(r"0000-00-00([ T]00:00:00(\.0+)?)?")
_BOOLEANS: Final = {"true": 1, "t": 1, "1": 1, "false": 0, "f": 0, "0": 0}

decode_json: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(float_hook=Decimal).decode
"""Numbers with a fraction or an exponent are Decimals, whole ones ints of any size."""

_encode_json: Final[Callable[[Any], bytes]] = msgspec.json.Encoder(decimal_format="number").encode


def reader(type_: SqlType, unit_ns: int | None) -> Reader:
    """For a value of which nothing but its column is known. ``unit_ns``: nanoseconds in one unit of times that are numbers; None: they are refused."""
    match type_.name:
        case "BOOLEAN":
            return _boolean
        case "SMALLINT" | "INT" | "BIGINT":
            return lambda value: store(_whole(value), type_)
        case "FLOAT" | "DOUBLE":
            return lambda value: store(_floating(value), type_)
        case "DECIMAL":
            return lambda value: decimal(value, type_)
        case "STRING":
            return text
        case "DATE":
            return _date
        case "TIME":
            return lambda value: _time(value, unit_ns)
        case "TIMESTAMP" | "TIMESTAMP_LTZ":
            return lambda value: _timestamp(value, type_, unit_ns)
        case _:
            return lambda value: store(value, type_)


def text(value: Any) -> str:
    """Numbers as they were written; objects and arrays as compact JSON."""
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        value = str(value) if isinstance(value, Decimal) else _encode_json(value).decode()
    if not value.isascii():
        value.encode()  # half of a surrogate pair is text to Python, but neither to SQLite nor to JSON
    return value


def decimal(value: Any, type_: SqlType) -> Stored:
    if isinstance(value, float):
        value = repr(value)
    if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} is not a {type_}")
    return store(value, type_)


def instant(microseconds: int) -> int:
    """A timestamp in range. Raises ValueError."""
    if not NEVER < microseconds < FOREVER:
        raise ValueError(f"{microseconds} µs are out of range for a TIMESTAMP")
    return microseconds


def day(days: int) -> int:
    """A date in range: its first microsecond is a timestamp. Raises ValueError."""
    if not -_LAST_DAY <= days <= _LAST_DAY:
        raise ValueError(f"{days} days are out of range for a DATE")
    return days


def time_of_day(microseconds: int) -> int:
    """Raises ValueError for less than none or more than a day: MySQL's TIME may be either."""
    if not 0 <= microseconds <= DAY_US:
        raise ValueError(f"{microseconds} µs are not a time of day")
    return microseconds


def temporal(stored: int, kind: str, type_: SqlType) -> Stored:
    """A DATE, TIME or TIMESTAMP (``kind``) in its stored form, for a column that may have another type."""
    is_moment = type_.name in ("TIMESTAMP", "TIMESTAMP_LTZ")
    if type_.name == kind or (kind == "TIMESTAMP" and is_moment):
        return stored
    if kind == "DATE" and is_moment:
        return stored if stored in (FOREVER, NEVER) else stored * DAY_US
    if kind == "TIMESTAMP" and type_.name == "DATE":
        return stored if stored in (FOREVER, NEVER) else stored // DAY_US
    if type_.name == "STRING":
        return str(render(stored, SqlType(kind)))
    raise ValueError(f"a {kind} is not a {type_}")


def _boolean(value: Any) -> Stored:
    if isinstance(value, str):
        value = _BOOLEANS.get(value.lower(), value)
    return store(value, SqlType("BOOLEAN"))


def _whole(value: Any) -> Any:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal | float) and value == (whole := _floor(value)):
        return whole
    return value


def _floor(value: Decimal | float) -> int:
    # A short text such as 1e999999999 is no integer that anybody has; its digits would fill the memory.
    if abs(value) >= 1 << 64:
        raise ValueError(f"{value} is out of range")
    return math.floor(value)


def _floating(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity")):
        return value
    if isinstance(value, str | int | Decimal):
        number = float(Decimal(value))
        if math.isinf(number):
            raise ValueError(f"{value} is out of range for a DOUBLE")
        return number
    return value


def _date(value: Any) -> Stored:
    if isinstance(value, str):
        if _ZERO_DATE.fullmatch(value):
            return None
        if len(value) > 10 and value[10] in " T" and value[:1] not in "+-":
            value = value[:10]
        return store(value, SqlType("DATE"))
    return day(_number(value))


def _time(value: Any, unit_ns: int | None) -> Stored:
    stored = store(value, SqlType("TIME")) if isinstance(value, str) else _micros(value, unit_ns)
    return time_of_day(int(stored or 0))


def _timestamp(value: Any, type_: SqlType, unit_ns: int | None) -> Stored:
    if isinstance(value, str):
        return None if _ZERO_DATE.fullmatch(value) else store(value, type_)
    return instant(_micros(value, unit_ns))


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _micros(value: Any, unit_ns: int | None) -> int:
    if unit_ns is None:
        raise ValueError(f"{value!r} is a time without a unit; declare the table's time_unit")
    if isinstance(value, Decimal):
        return _floor(value * unit_ns / 1_000)
    return _number(value) * unit_ns // 1_000
