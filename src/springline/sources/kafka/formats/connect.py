"""Kafka Connect's and Debezium's names for what a value means, wherever a schema carries them: beside JSON, in Avro, in JSON Schema.

The names are those of ``org.apache.kafka.connect.data`` and of Debezium's "data types" pages, such as ``io.debezium.time.MicroTimestamp``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, cast

from springline.core.types import FOREVER, NEVER, SqlType, Stored, load, store
from springline.sources.kafka.values import Reader, day, instant, reader, temporal, time_of_day

_TIMES: Final[Mapping[str, tuple[str, int]]] = {
    "io.debezium.time.Time": ("TIME", 1_000_000),
    "io.debezium.time.MicroTime": ("TIME", 1_000),
    "io.debezium.time.NanoTime": ("TIME", 1),
    "io.debezium.time.Timestamp": ("TIMESTAMP", 1_000_000),
    "io.debezium.time.MicroTimestamp": ("TIMESTAMP", 1_000),
    "io.debezium.time.NanoTimestamp": ("TIMESTAMP", 1),
    "org.apache.kafka.connect.data.Time": ("TIME", 1_000_000),
    "org.apache.kafka.connect.data.Timestamp": ("TIMESTAMP", 1_000_000),
}
"""What the numbers of each type are, and how many nanoseconds one of them is."""

_DATES: Final = frozenset(("io.debezium.time.Date", "org.apache.kafka.connect.data.Date"))
_DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
_VARIABLE_DECIMAL: Final = "io.debezium.data.VariableScaleDecimal"
_ZONED: Final = "io.debezium.time.ZonedTimestamp"

# How Debezium writes PostgreSQL's infinite timestamps: the JDBC driver's largest and smallest milliseconds, as they come out in each unit.
_INFINITE_MS: Final = {9_223_372_036_825_200_000: FOREVER, -9_223_372_036_832_400_000: NEVER}
_INFINITE_YEARS: Final = {"+292278994": FOREVER, "-292275055": NEVER}


def named_reader(
    name: str | None, parameters: Mapping[str, Any], type_: SqlType, unit_ns: int | None
) -> Reader:
    """For a value whose type has this name, and a column of this type."""
    if name in _TIMES:
        kind, size_ns = _TIMES[name]
        if type_.is_integer:
            return reader(type_, None)
        return lambda value: temporal(_moment(value, kind, size_ns), kind, type_)
    if name in _DATES:
        return (
            reader(type_, None)
            if type_.is_integer
            else lambda value: temporal(day(_whole(value)), "DATE", type_)
        )
    if name == _DECIMAL:
        scale = int(parameters.get("scale", 0))
        plain = reader(type_, unit_ns)
        return lambda value: plain(scaled_decimal(value, scale))
    if name == _VARIABLE_DECIMAL:
        plain = reader(type_, unit_ns)
        return lambda value: plain(_variable(value))
    if name == _ZONED and type_.name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        return _zoned
    return reader(type_, unit_ns)


def list_reader(element: Callable[[SqlType], Reader], type_: SqlType, unit_ns: int | None) -> Reader:
    """For a list whose elements have a reader of their own."""
    inner = type_.element
    if inner is None:
        return reader(type_, unit_ns)
    each = element(inner)

    def read(value: Any) -> Stored:
        if not isinstance(value, list | tuple):
            raise TypeError("not an array")
        many = cast("list[Any]", value)
        return store([None if one is None else load(each(one), inner) for one in many], type_)

    return read


def scaled_decimal(value: Any, scale: int) -> Decimal:
    """Connect's Decimal: big-endian bytes in two's complement (base64 in JSON), or a number where ``decimal.format=NUMERIC``."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    data = base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(value)
    return Decimal(f"{int.from_bytes(data, 'big', signed=True)}E{-scale}")


def _variable(value: Any) -> Decimal:
    if not isinstance(value, Mapping):
        raise TypeError("not a decimal with its scale")
    fields = cast("Mapping[str, Any]", value)
    return scaled_decimal(fields["value"], int(fields["scale"]))


def _moment(value: Any, kind: str, size_ns: int) -> int:
    number = _whole(value)
    if kind == "TIME":
        return time_of_day(number * size_ns // 1_000)
    if (infinite := _INFINITE_MS.get(number)) is not None:
        return infinite
    return instant(number * size_ns // 1_000)


def _zoned(value: Any) -> Stored:
    """A TIMESTAMP takes it in UTC."""
    year = str(value)[:10]
    return _INFINITE_YEARS[year] if year in _INFINITE_YEARS else store(value, SqlType("TIMESTAMP_LTZ"))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is not a whole number")
    return value
