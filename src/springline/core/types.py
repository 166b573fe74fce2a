"""SQL types, and how their values are kept in SQLite.

Names and meaning are Flink SQL's. Each value has one *stored* form, chosen so that SQLite compares and
groups it as SQL says; the same form travels in the log.

==================  ==============================================================================
type                stored form
==================  ==============================================================================
BOOLEAN             INTEGER 0 or 1
SMALLINT INT BIGINT INTEGER
FLOAT DOUBLE        REAL; infinities are REAL; NaN is the TEXT 'NaN' (sorts above every number,
                    as in PostgreSQL; SQLite would turn a REAL NaN into NULL)
DECIMAL(p, s)       p <= 18: INTEGER scaled by 10**s; wider, or without p: canonical TEXT ('-12.50');
                    NaN is the TEXT 'NaN'
STRING              TEXT (also uuid, json, enums and every type without one of its own)
BYTES               BLOB
DATE                INTEGER days since 1970-01-01
TIME                INTEGER microseconds since midnight
TIMESTAMP           INTEGER microseconds since 1970-01-01 00:00:00, no time zone
TIMESTAMP_LTZ       INTEGER microseconds since the epoch, an instant
ARRAY<t>            TEXT, a JSON array of *rendered* elements
==================  ==============================================================================

PostgreSQL's ``infinity`` and ``-infinity`` dates and timestamps are stored as the largest and the smallest
64-bit integer.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, TypeAlias, TypeVar

Stored: TypeAlias = int | float | str | bytes | None
"""A value as SQLite holds it."""

_T = TypeVar("_T")

FOREVER: Final = 2**63 - 1
"""Stored form of PostgreSQL's ``infinity`` for dates and timestamps; its negative neighbour is :data:`NEVER`."""

NEVER: Final = -(2**63)

LARGEST_SCALED_PRECISION: Final = 18
"""DECIMALs up to this precision are scaled integers: 10**18 fits 63 bits."""

_EPOCH_DATE = dt.date(1970, 1, 1)
_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)

SIMPLE_NAMES: Final = frozenset(
    "BOOLEAN SMALLINT INT BIGINT FLOAT DOUBLE STRING BYTES DATE TIME TIMESTAMP TIMESTAMP_LTZ".split()
)


@dataclass(frozen=True, slots=True)
class SqlType:
    """One SQL type. ``precision`` and ``scale`` belong to DECIMAL, ``element`` to ARRAY."""

    name: str
    precision: int | None = None
    scale: int | None = None
    element: SqlType | None = None

    def __str__(self) -> str:
        if self.name == "DECIMAL" and self.precision is not None:
            return f"DECIMAL({self.precision}, {self.scale or 0})"
        if self.element is not None:
            return f"ARRAY<{self.element}>"
        return self.name

    @property
    def is_scaled(self) -> bool:
        """Whether this is a DECIMAL kept as a scaled integer."""
        return self.name == "DECIMAL" and self.precision is not None and self.precision <= LARGEST_SCALED_PRECISION

    @property
    def is_integer(self) -> bool:
        return self.name in ("SMALLINT", "INT", "BIGINT")

    @property
    def is_numeric(self) -> bool:
        return self.is_integer or self.name in ("FLOAT", "DOUBLE", "DECIMAL")

    @property
    def is_temporal(self) -> bool:
        return self.name in ("DATE", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ")

    @property
    def sqlite(self) -> str:
        """The column type in a STRICT table."""
        if self.is_integer or self.is_temporal or self.name == "BOOLEAN":
            return "INTEGER"
        if self.name in ("FLOAT", "DOUBLE"):
            return "ANY"
        if self.name == "DECIMAL":
            return "ANY" if self.is_scaled else "TEXT"
        return "BLOB" if self.name == "BYTES" else "TEXT"


BOOLEAN: Final = SqlType("BOOLEAN")
SMALLINT: Final = SqlType("SMALLINT")
INT: Final = SqlType("INT")
BIGINT: Final = SqlType("BIGINT")
FLOAT: Final = SqlType("FLOAT")
DOUBLE: Final = SqlType("DOUBLE")
STRING: Final = SqlType("STRING")
BYTES: Final = SqlType("BYTES")
DATE: Final = SqlType("DATE")
TIME: Final = SqlType("TIME")
TIMESTAMP: Final = SqlType("TIMESTAMP")
TIMESTAMP_LTZ: Final = SqlType("TIMESTAMP_LTZ")


def decimal(precision: int | None = None, scale: int = 0) -> SqlType:
    """DECIMAL(precision, scale); without a precision it is unbounded and kept as text."""
    return SqlType("DECIMAL", precision, scale if precision is not None else None)


def array(element: SqlType) -> SqlType:
    return SqlType("ARRAY", element=element)


def parse_type(text: str) -> SqlType:
    """The inverse of ``str(type)``."""
    if text in SIMPLE_NAMES:
        return SqlType(text)
    if found := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", text):
        return decimal(int(found[1]), int(found[2]))
    if text == "DECIMAL":
        return decimal()
    if found := re.fullmatch(r"ARRAY<(.+)>", text):
        return array(parse_type(found[1]))
    raise ValueError(f"Unknown SQL type {text!r}.")


def store(value: object, type_: SqlType) -> Stored:
    """The stored form of a Python value. Raises ``ValueError`` where the value is not of the type."""
    if value is None:
        return None
    try:
        return _store(value, type_)
    except (TypeError, ValueError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"{value!r} is not a {type_}: {error}") from error


def _store(value: object, type_: SqlType) -> Stored:
    match type_.name:
        case "BOOLEAN":
            return int(_expect(value, bool, int))
        case "SMALLINT" | "INT" | "BIGINT":
            return int(_expect(value, int))
        case "FLOAT" | "DOUBLE":
            number = float(_expect(value, int, float, Decimal))
            return "NaN" if math.isnan(number) else number
        case "DECIMAL":
            return store_decimal(Decimal(str(value)), type_)
        case "BYTES":
            return bytes(_expect(value, bytes, bytearray, memoryview))
        case "ARRAY":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        case "STRING":
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        case _:
            return _store_temporal(value, type_)


def _expect(value: object, *kinds: type[_T]) -> _T:
    if not isinstance(value, kinds):
        raise TypeError(f"got {type(value).__name__}")
    return value


def store_decimal(number: Decimal, type_: SqlType) -> Stored:
    if number.is_nan():
        return "NaN"
    if not type_.is_scaled:
        return format(number, "f")
    return int(number.scaleb(type_.scale or 0).to_integral_value())


def _store_temporal(value: object, type_: SqlType) -> Stored:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        value = _TEMPORAL_READERS[type_.name](value)
    match type_.name, value:
        case "DATE", dt.date():
            return (value - _EPOCH_DATE).days
        case "TIME", dt.time():
            return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
        case "TIMESTAMP", dt.datetime():
            return (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        case "TIMESTAMP_LTZ", dt.datetime():
            aware = value if value.tzinfo is not None else value.replace(tzinfo=dt.UTC)
            return (aware.astimezone(dt.UTC).replace(tzinfo=None) - _EPOCH) // _MICROSECOND
        case _:
            raise TypeError(f"got {type(value).__name__}")


_TEMPORAL_READERS = {
    "DATE": dt.date.fromisoformat,
    "TIME": dt.time.fromisoformat,
    "TIMESTAMP": dt.datetime.fromisoformat,
    "TIMESTAMP_LTZ": dt.datetime.fromisoformat,
}


def load(stored: Stored, type_: SqlType) -> object:
    """The Python value of a stored one: bool, int, float, Decimal, str, bytes, date, time, datetime, list.

    Infinite dates and timestamps come back as the strings ``infinity`` and ``-infinity``.
    """
    if stored is None:
        return None
    if type_.is_temporal and stored in (FOREVER, NEVER):
        return "infinity" if stored == FOREVER else "-infinity"
    match type_.name:
        case "BOOLEAN":
            return bool(stored)
        case "FLOAT" | "DOUBLE":
            return math.nan if stored == "NaN" else float(stored)
        case "DECIMAL":
            if isinstance(stored, int) and type_.is_scaled:
                return Decimal(stored).scaleb(-(type_.scale or 0))
            return Decimal(str(stored))
        case "ARRAY":
            return json.loads(str(stored))
        case "DATE":
            return _EPOCH_DATE + dt.timedelta(days=int(stored))
        case "TIME":
            return (_EPOCH + int(stored) * _MICROSECOND).time()
        case "TIMESTAMP":
            return _EPOCH + int(stored) * _MICROSECOND
        case "TIMESTAMP_LTZ":
            return (_EPOCH + int(stored) * _MICROSECOND).replace(tzinfo=dt.UTC)
        case _:
            return stored


def render(stored: Stored, type_: SqlType) -> object:
    """A value that JSON can carry without loss: DECIMAL as text, BYTES as base64, temporals in ISO 8601."""
    value = load(stored, type_)
    match value:
        case Decimal():
            return format(value, "f")
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dt.datetime():
            return value.isoformat(timespec="microseconds" if value.microsecond else "seconds").replace("+00:00", "Z")
        case dt.date() | dt.time():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        case _:
            return value
