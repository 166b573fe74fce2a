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
DECIMAL(p, s)       p <= 18: INTEGER scaled by 10**s; wider: canonical TEXT with s decimals ('-12.50');
                    without p: TEXT as written, also 'Infinity'; NaN is the TEXT 'NaN'
STRING              TEXT (also uuid, json, enums and every type without one of its own)
BYTES               BLOB
DATE                INTEGER days since 1970-01-01
TIME                INTEGER microseconds since midnight ('24:00:00' is 86,400,000,000)
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
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException
from typing import Final, TypeAlias, TypeVar, cast

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
_DAY_US: Final = 86_400_000_000
_CYCLE_DAYS: Final = 146_097
_CYCLE_START: Final = (dt.date(2000, 1, 1) - _EPOCH_DATE).days
_INTEGER_BITS: Final = {"SMALLINT": 15, "INT": 31, "BIGINT": 63}
_SPECIAL_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_WIDE: Final = Context(prec=2_000)
"""PostgreSQL's DECIMAL has up to 1,000 digits where it has a precision; Python's default context would round to 28."""

_MOST_DIGITS: Final = 131_072
_MOST_DECIMALS: Final = 16_383
"""PostgreSQL's limits for a DECIMAL without a precision. ``1e999999999`` is a short text, its digits are not."""

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
        return (
            self.name == "DECIMAL"
            and self.precision is not None
            and self.precision <= LARGEST_SCALED_PRECISION
        )

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
    """The stored form of a Python value, or of its rendered form. Raises ``ValueError`` where the value is not of the type."""
    if value is None:
        return None
    try:
        return _store(value, type_)
    except (TypeError, ValueError, DecimalException, OverflowError) as error:
        raise ValueError(f"{value!r} is not a {type_}: {error}") from error


def _store(value: object, type_: SqlType) -> Stored:
    match type_.name:
        case "BOOLEAN":
            if value not in (0, 1):
                raise ValueError("neither true nor false")
            return int(_expect(value, bool, int))
        case "SMALLINT" | "INT" | "BIGINT":
            return _store_integer(value, type_)
        case "FLOAT" | "DOUBLE":
            special = isinstance(value, str) and value in _SPECIAL_NUMBERS
            number = float(_expect(value, str) if special else _expect(value, int, float, Decimal))
            return "NaN" if math.isnan(number) else number
        case "DECIMAL":
            return store_decimal(Decimal(str(value)), type_)
        case "BYTES":
            if isinstance(value, str):
                return base64.b64decode(value, validate=True)
            return bytes(_expect(value, bytes, bytearray, memoryview))
        case "ARRAY":
            return _store_array(value, type_)
        case "STRING":
            return _store_text(value)
        case "DATE":
            return _store_date(value)
        case "TIME":
            return _store_time(value)
        case _:
            return _store_timestamp(value, zoned=type_.name == "TIMESTAMP_LTZ")


def _expect(value: object, *kinds: type[_T]) -> _T:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"got {type(value).__name__}")
    return value


def _store_integer(value: object, type_: SqlType) -> int:
    number = int(_expect(value, int))
    bits = _INTEGER_BITS[type_.name]
    if not -(1 << bits) <= number < 1 << bits:
        raise ValueError(f"out of range for {bits + 1} bits")
    return number


def _store_whole(value: object) -> int:
    """Days or microseconds."""
    number = _expect(value, int)
    if not NEVER <= number <= FOREVER:
        raise ValueError("out of range for 64 bits")
    return number


def store_decimal(number: Decimal, type_: SqlType) -> Stored:
    """Rounds half away from zero to the type's scale, as Flink and PostgreSQL do. Raises ``ValueError`` on overflow.

    A DECIMAL without a precision keeps its digits as they are written, trailing zeros included.
    """
    if number.is_nan():
        return "NaN"
    if type_.precision is None:
        if (
            number.is_finite()
            and not -_MOST_DECIMALS <= cast("int", number.as_tuple().exponent) <= _MOST_DIGITS
        ):
            raise ValueError("too many digits")
        return format(abs(number) if number.is_zero() else number, "f")
    if not number.is_finite():
        raise ValueError("only a DECIMAL without a precision can be infinite")
    scale = type_.scale or 0
    unscaled = int(number.scaleb(scale, _WIDE).to_integral_value(ROUND_HALF_UP, _WIDE))
    if abs(unscaled) >= 10**type_.precision:
        raise ValueError("too many digits")
    return unscaled if type_.is_scaled else format(Decimal(unscaled).scaleb(-scale, _WIDE), "f")


def _store_text(value: object) -> str:
    is_json = isinstance(value, dict | list | tuple | bool | int | float)
    text = value if isinstance(value, str) else _as_json(cast("object", value)) if is_json else str(value)
    if not text.isascii():
        text.encode()  # half of a surrogate pair is text to Python, but neither to SQLite nor to JSON
    return text


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _store_array(value: object, type_: SqlType) -> str:
    if isinstance(value, str):
        if not isinstance(json.loads(value), list):
            raise ValueError("not a JSON array")
        return value
    return _as_json(_rendered_elements(value, type_))


def _rendered_elements(value: object, type_: SqlType) -> list[object]:
    """Arrays of several dimensions are lists of lists of one element type, as in PostgreSQL."""
    element = type_.element or STRING
    if not isinstance(value, list | tuple):
        raise TypeError(f"got {type(value).__name__}")
    rendered: list[object] = []
    for item in cast("Sequence[object]", value):
        if isinstance(item, list) and element.name != "ARRAY":
            rendered.append(_rendered_elements(cast("object", item), type_))
        else:
            rendered.append(render(store(cast("object", item), element), element))
    return rendered


def _store_date(value: object) -> int:
    if isinstance(value, str):
        return _infinite(value) or _parse_date(value)
    if isinstance(value, dt.datetime):
        raise TypeError("got datetime")
    return (value - _EPOCH_DATE).days if isinstance(value, dt.date) else _store_whole(value)


def _store_time(value: object) -> int:
    if isinstance(value, str):
        if value in ("24:00", "24:00:00"):
            return _DAY_US
        value = dt.time.fromisoformat(value)
    if isinstance(value, dt.time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    return _store_whole(value)


def _store_timestamp(value: object, *, zoned: bool) -> int:
    """A zone is dropped from a TIMESTAMP, as PostgreSQL does; a TIMESTAMP_LTZ without one is taken as UTC."""
    if isinstance(value, str):
        if (infinite := _infinite(value)) is not None:
            return infinite
        if (days := _far_date(re.split("[T ]", value)[0])) is not None:
            return _store_whole(days * _DAY_US + _store_time(re.split("[T ]", value)[1].removesuffix("Z")))
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime):
        if zoned and value.tzinfo is not None:
            value = value.astimezone(dt.UTC)
        return (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    return _store_whole(value)


def _infinite(text: str) -> int | None:
    return {"infinity": FOREVER, "-infinity": NEVER}.get(text)


def _parse_date(text: str) -> int:
    days = _far_date(text)
    return days if days is not None else (dt.date.fromisoformat(text) - _EPOCH_DATE).days


def _far_date(text: str) -> int | None:
    """Days since 1970-01-01 of a date that Python's own cannot hold, in ISO 8601's expanded form (``+12013-02-08``, ``-0043-03-15``;
    ``+0000`` is 1 BC); None for other texts."""
    if not (found := re.fullmatch(r"([+-]\d{4,})-(\d\d)-(\d\d)", text)):
        return None
    year, month, day = (int(part) for part in found.groups())
    cycles, year_in_cycle = divmod(year, 400)
    # The Gregorian calendar repeats every 400 years; 2000 stands for 0, which is a leap year too.
    return (dt.date(year_in_cycle + 2000, month, day) - _EPOCH_DATE).days + (cycles - 5) * _CYCLE_DAYS


def _date_text(days: int) -> str:
    """A date in ISO 8601, in its expanded form outside the years 1 to 9999."""
    cycles, rest = divmod(days - _CYCLE_START, _CYCLE_DAYS)
    date = _EPOCH_DATE + dt.timedelta(days=_CYCLE_START + rest)
    year = date.year + cycles * 400
    if 1 <= year <= 9999:
        return f"{year:04d}-{date:%m-%d}"
    return f"{year:+05d}-{date:%m-%d}"


def load(stored: Stored, type_: SqlType) -> object:
    """The Python value of a stored one: bool, int, float, Decimal, str, bytes, date, time, datetime, list.

    What Python's types cannot hold comes back as text: ``infinity`` and ``-infinity``, ``24:00:00``, and dates and
    timestamps outside the years 1 to 9999, in ISO 8601's expanded form. ``store`` takes all of these.
    """
    if stored is None:
        return None
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
            return _load_elements(json.loads(str(stored)), type_)
        case "DATE" | "TIME" | "TIMESTAMP" | "TIMESTAMP_LTZ":
            return _load_temporal(int(stored), type_)
        case _:
            return stored


def _load_temporal(stored: int, type_: SqlType) -> object:
    if stored in (FOREVER, NEVER):
        return "infinity" if stored == FOREVER else "-infinity"
    if type_.name == "TIME":
        return "24:00:00" if stored == _DAY_US else (_EPOCH + stored * _MICROSECOND).time()
    try:
        if type_.name == "DATE":
            return _EPOCH_DATE + dt.timedelta(days=stored)
        moment = _EPOCH + dt.timedelta(microseconds=stored)
        return moment.replace(tzinfo=dt.UTC) if type_.name == "TIMESTAMP_LTZ" else moment
    except OverflowError:
        if type_.name == "DATE":
            return _date_text(stored)
        days, microseconds = divmod(stored, _DAY_US)
        zone = "Z" if type_.name == "TIMESTAMP_LTZ" else ""
        return f"{_date_text(days)}T{_time_text((_EPOCH + microseconds * _MICROSECOND).time())}{zone}"


def _load_elements(rendered: list[object], type_: SqlType) -> list[object]:
    element = type_.element or STRING
    loaded: list[object] = []
    for item in rendered:
        if isinstance(item, list) and element.name != "ARRAY":
            loaded.append(_load_elements(cast("list[object]", item), type_))
        else:
            loaded.append(load(store(cast("object", item), element), element))
    return loaded


def _time_text(value: dt.time | dt.datetime) -> str:
    return value.isoformat(timespec="microseconds" if value.microsecond else "seconds")


_RENDERED_AS_STORED: Final = frozenset({"SMALLINT", "INT", "BIGINT", "STRING"})


def _scaled_text(stored: int, scale: int) -> str:
    """A DECIMAL that is stored as an integer, with all its digits after the point."""
    if not scale:
        return str(stored)
    digits = str(abs(stored)).rjust(scale + 1, "0")
    return f"{'-' if stored < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


def render(stored: Stored, type_: SqlType) -> object:
    """A value that JSON can carry without loss: DECIMAL as text, BYTES as base64, temporals in ISO 8601, an ARRAY as a list of such."""
    if stored is None or type_.name in _RENDERED_AS_STORED:
        return stored
    if type_.name == "ARRAY":
        return json.loads(str(stored))
    if isinstance(stored, int) and type_.is_scaled:
        return _scaled_text(stored, type_.scale or 0)
    value = load(stored, type_)
    match value:
        case Decimal():
            return format(value, "f")
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dt.datetime():
            return _time_text(value).replace("+00:00", "Z")
        case dt.time():
            return _time_text(value)
        case dt.date():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
        case _:
            return value
