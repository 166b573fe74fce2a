"""CAST of a text, a double or a wide DECIMAL to another type: what Flink accepts as a number, a truth value, a date."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from springline.core.types import SqlType, Stored, store
from springline.sql.exact import WIDE, wide_text

_RANGES = {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}
_TRUE, _FALSE = {"t", "true", "y", "yes", "1"}, {"f", "false", "n", "no", "0"}
_NUMBER = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?")
_DOUBLE = re.compile(r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[dDfF]?)")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?: ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{0,9}))?)?"
)
_DATE = re.compile(r"\s*([0-9]{1,4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")


def parse_value(value: Stored, type_: SqlType) -> Stored:
    """The value as another type, in stored form; None where it is not one."""
    try:
        if type_.is_integer:
            return _integer(value, _RANGES[type_.name])
        if type_.name in ("DOUBLE", "FLOAT"):
            return parse_double(str(value).strip())
        if type_.name == "DECIMAL":
            return _decimal(value, type_)
        if type_.is_temporal and isinstance(value, int):
            return value
        if type_.name == "BOOLEAN":
            lowered = str(value).lower()
            return 1 if lowered in _TRUE else 0 if lowered in _FALSE else None
        if type_.name == "BYTES":
            return str(value).encode()
        return _temporal(str(value).strip(), type_)
    except (ValueError, InvalidOperation, OverflowError):
        return None


def parse_double(text: str) -> float | str | None:
    """A double as Java reads it."""
    if not _DOUBLE.fullmatch(text):
        return None
    number = float(text.rstrip("dDfF") if text[-1] in "dDfF" else text)
    return "NaN" if math.isnan(number) else number


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
    text = repr(value) if isinstance(value, float) else str(value).strip()
    number = Decimal(text)
    if not number.is_finite() or "_" in text:  # Python reads 1_000
        return None
    if type_.precision is None:
        return wide_text(number)
    rounded = number.quantize(Decimal(1).scaleb(-(type_.scale or 0)), ROUND_HALF_UP, WIDE)
    if rounded.copy_abs() >= Decimal(10) ** (type_.precision - (type_.scale or 0)):
        return None
    return int(rounded.scaleb(type_.scale or 0)) if type_.is_scaled else wide_text(rounded)


def parse_date(text: str) -> dt.date | None:
    """``2013-02-08``, ``2013-2-8``, ``2013-02``, ``2013``; what follows after a blank does not count."""
    found = _DATE.fullmatch(text.strip().split(" ")[0])
    if found is None:
        return None
    return dt.date(int(found[1]), int(found[2] or 1), int(found[3] or 1))


def parse_moment(text: str) -> dt.datetime | None:
    """``2013-02-08 17:30:00.123456``, ``2013-2-8 7:3:5``, ``2013-02-08``: what Flink reads without a pattern; None for other texts.
    Raises ValueError for a moment that there is not."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    return dt.datetime(year, month, day, hour, minute, second, int((found[7] or "").ljust(6, "0")[:6]))


def _temporal(text: str, type_: SqlType) -> Stored:
    if type_.name == "DATE":
        if (date := parse_date(text)) is not None:
            return store(date, type_)
        return store(text, type_)
    if type_.name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        if text in ("infinity", "-infinity"):
            return store(text, type_)
        moment = parse_moment(text) or dt.datetime.fromisoformat(text)
        if type_.name == "TIMESTAMP" and moment.tzinfo is not None:
            return None
        return store(moment, type_)
    return store(text, type_)
