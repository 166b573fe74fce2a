"""Rows as they stand in topics: the JSON that Flink's ``json`` and ``debezium-json`` formats read and write, without loss.

===================  =======================================================================
type                 in JSON
===================  =======================================================================
BOOLEAN, integers    ``true``, ``17``
FLOAT, DOUBLE        a number; ``"NaN"``, ``"Infinity"``, ``"-Infinity"``
DECIMAL              a string, ``"12.50"`` (Flink writes a number, which is read exactly too)
STRING               a string
BYTES                a string in base64
DATE                 ``"2026-02-08"``
TIME                 ``"09:30:00.000000"``
TIMESTAMP            ``"2026-02-08 09:30:00.000000"``
TIMESTAMP_LTZ        ``"2026-02-08 09:30:00.000000Z"``
ARRAY                a list of such
===================  =======================================================================

A key is the object of the key's columns. A change is Debezium's envelope without a schema. Some values that PostgreSQL knows have no form that Flink could read
(``infinity``, a DECIMAL ``NaN``, years beyond 9999, ``24:00:00``): ``log.base.Unfit`` says which.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType, Stored, load, render, store
from springline.log.base import Unfit

Encode = Callable[[Any], object]

_NOT_FINITE: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_EPOCH: Final = dt.datetime(1970, 1, 1)
_encode_json = msgspec.json.Encoder().encode


class RowCodec:
    """One schema's rows to and from JSON. Thread-safe. ``of`` keeps those that were made."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self._columns = [(column.name, _encoder(column.type)) for column in schema.columns]
        self._key = [(index, *self._columns[index]) for index in (schema.key_indexes if schema.key else ())]
        self._structure = _structure(schema.columns)
        self._row = msgspec.json.Decoder(self._structure)
        self._stores = [_decoder(column.type) for column in schema.columns]
        keys = [schema.column(name) for name in schema.key]
        self._key_of = msgspec.json.Decoder(_structure(keys))
        self._key_stores = [_decoder(column.type) for column in keys]

    @staticmethod
    def of(schema: TableSchema) -> RowCodec:
        return _codec(schema)

    def values(self, row: Sequence[Stored]) -> dict[str, object]:
        """A row as JSON can carry it. Raises Unfit."""
        return {
            name: value if encode is None or value is None else self._encoded(name, encode, value)
            for (name, encode), value in zip(self._columns, row, strict=True)
        }

    def encode_row(self, row: Sequence[Stored]) -> bytes:
        """A plain row: a stream's record. Raises Unfit."""
        return _encode_json(self.values(row))

    def encode_key(self, row: Sequence[Stored]) -> bytes | None:
        """The key of a row, which is in the order of the columns; None for a table without a key. Raises Unfit."""
        if not self._key:
            return None
        return _encode_json(
            {
                name: row[index]
                if encode is None or row[index] is None
                else self._encoded(name, encode, row[index])
                for index, name, encode in self._key
            }
        )

    def encode_change(
        self,
        operation: str,
        before: Sequence[Stored] | None,
        after: Sequence[Stored] | None,
        source: Mapping[str, object],
        ts_ms: int,
    ) -> bytes:
        """Debezium's envelope: ``operation`` is c, u, d or r. Raises Unfit."""
        return _encode_json(
            {
                "before": None if before is None else self.values(before),
                "after": None if after is None else self.values(after),
                "op": operation,
                "source": source,
                "ts_ms": ts_ms,
            }
        )

    def decode_row(self, data: bytes) -> tuple[Stored, ...]:
        """A row that ``encode_row`` or Flink wrote; a column that is missing is NULL. Raises Unfit."""
        return _decoded(data, self._row, self._stores, self.schema.name)

    def decode_key(self, data: bytes) -> tuple[Stored, ...]:
        """The key's values in the order of the key. Raises Unfit."""
        return _decoded(data, self._key_of, self._key_stores, self.schema.name)

    def decode_key_texts(self, data: bytes, column: str) -> tuple[Stored, ...]:
        """The same of a key that is one column, a JSON array of what Flink's ``CAST(… AS STRING)`` writes. Raises Unfit."""
        try:
            texts: list[str | None] = json.loads(json.loads(data)[column])
            types = [self.schema.column(one).type for one in self.schema.key]
            return tuple(_of_text(text, type_) for text, type_ in zip(texts, types, strict=True))
        except (ValueError, TypeError, KeyError) as error:
            raise Unfit(f"A record has no key of {self.schema.name!r}: {error}") from error

    def _encoded(self, name: str, encode: Encode, value: Stored) -> object:
        try:
            return encode(value)
        except Unfit as error:
            raise Unfit(f"Column {name!r} of {self.schema.name!r}: {error}") from None


@lru_cache(maxsize=1_000)
def _codec(schema: TableSchema) -> RowCodec:
    return RowCodec(schema)


def _decoded(
    data: bytes,
    decoder: msgspec.json.Decoder[Any],
    stores: Sequence[Callable[[Any], Stored] | None],
    name: str,
) -> tuple[Stored, ...]:
    try:
        values = msgspec.structs.astuple(decoder.decode(data))
        return tuple(
            value if value is None or make is None else make(value)
            for value, make in zip(values, stores, strict=True)
        )
    except (ValueError, msgspec.MsgspecError) as error:
        raise Unfit(f"A record is not a row of {name!r}: {error}") from error


def _structure(columns: Sequence[Column]) -> type[msgspec.Struct]:
    fields = [(f"c{index}", _python_type(column.type), None) for index, column in enumerate(columns)]
    names = {f"c{index}": column.name for index, column in enumerate(columns)}
    return msgspec.defstruct("Row", fields, rename=names)


def _python_type(type_: SqlType) -> Any:
    match type_.name:
        case "BOOLEAN":
            return bool | None
        case "SMALLINT" | "INT" | "BIGINT":
            return int | None
        case "FLOAT" | "DOUBLE":
            return float | str | None
        case "DECIMAL":
            return Decimal | None
        case "ARRAY":
            return list[Any] | None
        case _:
            return str | None


# -- encoding ----------------------------------------------------------------------------------------------------------


def _encoder(type_: SqlType) -> Encode | None:
    """None where the stored form is the one in JSON."""
    match type_.name:
        case "SMALLINT" | "INT" | "BIGINT" | "STRING":
            return None
        case "BOOLEAN":
            return bool
        case "FLOAT" | "DOUBLE":
            return lambda value: render(value, type_)
        case "DECIMAL":
            return lambda value: _decimal(value, type_)
        case "BYTES":
            return lambda value: base64.b64encode(value).decode("ascii")
        case "DATE":
            return _date
        case "TIME":
            return _time
        case "ARRAY":
            return lambda value: _array(json.loads(value), type_.element or SqlType("STRING"))
        case _:
            suffix = "Z" if type_.name == "TIMESTAMP_LTZ" else ""
            return lambda value: _timestamp(value) + suffix


def _decimal(value: Stored, type_: SqlType) -> object:
    if value in _NOT_FINITE:
        raise Unfit(f"{value} is not a DECIMAL that Flink can read.")
    return render(value, type_)


def _date(days: int) -> str:
    value = load(days, SqlType("DATE"))
    if not isinstance(value, dt.date):
        raise Unfit(f"{value} is not a date that Flink can read.")
    return value.isoformat()


def _time(microseconds: int) -> str:
    value = load(microseconds, SqlType("TIME"))
    if not isinstance(value, dt.time):
        raise Unfit(f"{value} is not a time that Flink can read.")
    return value.isoformat(timespec="microseconds")


def _timestamp(microseconds: int) -> str:
    try:
        return str((_EPOCH + dt.timedelta(microseconds=microseconds)).isoformat(" ", "microseconds"))
    except OverflowError:
        value = load(microseconds, SqlType("TIMESTAMP"))
        raise Unfit(f"{value} is not a time that Flink can read.") from None


def _array(items: list[Any], element: SqlType) -> list[object]:
    encode = _encoder(element)
    encoded: list[object] = []
    for item in items:
        if isinstance(item, list) and element.name != "ARRAY":
            encoded.append(_array(cast("list[Any]", item), element))
        elif item is None:
            encoded.append(None)
        else:
            stored = store(cast("object", item), element)
            encoded.append(stored if encode is None else encode(stored))
    return encoded


# -- decoding ----------------------------------------------------------------------------------------------------------


def _decoder(type_: SqlType) -> Callable[[Any], Stored] | None:
    """None where the form in JSON is the stored one."""
    match type_.name:
        case "STRING":
            return None
        case "BOOLEAN":
            return int
        case "TIMESTAMP" | "TIMESTAMP_LTZ":
            return _stored_timestamp
        case _:
            return lambda value: store(value, type_)


def _of_text(text: str | None, type_: SqlType) -> Stored:
    if text is None:
        return None
    match type_.name:
        case "BOOLEAN":
            return int({"TRUE": True, "FALSE": False}[text])
        case "SMALLINT" | "INT" | "BIGINT":
            return store(int(text), type_)
        case "FLOAT" | "DOUBLE":
            return store(float(text), type_)
        case "TIMESTAMP" | "TIMESTAMP_LTZ":
            return _stored_timestamp(text)
        case _:
            return store(text, type_)


def _stored_timestamp(text: str) -> int:
    text = text.removesuffix("Z")
    whole, _, fraction = text.partition(".")
    try:
        moment = dt.datetime.fromisoformat(whole)
    except ValueError:
        return cast("int", store(text, SqlType("TIMESTAMP")))
    seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
    return seconds * 1_000_000 + int(fraction[:6].ljust(6, "0") or 0)
