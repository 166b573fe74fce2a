"""Debezium's JSON, from Kafka Connect or Debezium Server: with its schema beside every record or without, whole envelopes or rows flattened by the
``ExtractNewRecordState`` transformation (debezium.io, "Data change events")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from springline.core.types import SqlType, Stored
from springline.sources.kafka.formats.base import (
    Decoded,
    Fields,
    Format,
    Headers,
    NotARow,
    Readers,
    Target,
    Targets,
    key_fields,
    object_of,
)
from springline.sources.kafka.formats.connect import list_reader, named_reader, scaled_decimal
from springline.sources.kafka.formats.envelope import (
    FieldReader,
    RowSchema,
    envelope,
    flat,
    is_envelope,
    row_fields,
    tombstone,
)
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.values import Reader, decimal, decode_json

_MOST_SCHEMAS: Final = 1_000
_WRAPPED: Final = frozenset(("schema", "payload"))

_decode_parts: Final[Callable[[bytes], dict[str, msgspec.Raw]]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode


class Debezium:
    """Implements ``formats.base.Format``."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._schemas: dict[bytes, RowSchema] = {}
        self._untold = _Untold()

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        fields, schema = self._opened(value) if value is not None else (None, None)
        if fields is None:
            return tombstone(self._targets, lambda: self._key(key))
        if (row := object_of(fields)) is None:
            raise NotARow("not a JSON object")
        told = schema or self._untold
        if is_envelope(row):
            return envelope(self._targets, row, told, lambda: self._key(key))
        return flat(self._targets, row, told, lambda: self._key(key), headers)

    def _opened(self, value: bytes) -> tuple[Any, RowSchema | None]:
        """What a value holds, and what its schema says where one lies beside it. A schema is looked at once."""
        if not value.lstrip().startswith(b'{"schema"'):
            found = decode_json(value)
            if (object_of(found) or {}).keys() != _WRAPPED:
                return found, None
        parts = _decode_parts(value)
        if parts.keys() != _WRAPPED:
            return decode_json(value), None
        text = bytes(parts["schema"])
        if (schema := self._schemas.get(text)) is None:
            if len(self._schemas) >= _MOST_SCHEMAS:
                self._schemas.clear()
            schema = self._schemas[text] = row_schema(decode_json(text))
        return decode_json(bytes(parts["payload"])), schema

    def _key(self, key: bytes | None) -> tuple[Fields | None, RowSchema | None]:
        if not key:
            return None, None
        try:
            found, schema = self._opened(key)
        except ValueError:
            found, schema = key.decode(errors="replace"), None
        return key_fields(self._targets.only, found, key), schema or self._untold


def row_schema(schema: Any) -> RowSchema:
    """What Connect's JSON schema says of a row's fields: of an envelope's, or of the row that lies there as it is."""
    fields = row_fields(_fields(schema), _fields)
    return RowSchema({name: _field_reader(one) for name, one in fields.items()})


def _fields(schema: Any) -> Fields:
    """A struct's fields by name."""
    listed = (object_of(schema) or {}).get("fields")
    many = cast("list[Any]", listed) if isinstance(listed, list) else []
    return {str(one["field"]): one for one in map(object_of, many) if one is not None and "field" in one}


def _field_reader(field: Fields) -> FieldReader:
    def make(type_: SqlType, unit_ns: int | None) -> Reader:
        items = object_of(field.get("items"))
        if field.get("type") == "array" and items is not None:
            element = _field_reader(items)
            return list_reader(lambda inner: element(inner, unit_ns), type_, unit_ns)
        return named_reader(field.get("name"), field.get("parameters") or {}, type_, unit_ns)

    return make


class _Untold(RowSchema):
    """Rows without a schema: what the table declares is all that is known."""

    def __init__(self) -> None:
        super().__init__({})

    def readers(self, target: Target) -> Readers:
        name = target.schema.name
        if (found := self._made.get(name)) is None:
            decimals = {
                column.name: _untold_decimal(column.type, target.table.decimals)
                for column in target.schema.columns
                if column.type.name == "DECIMAL"
            }
            found = self._made[name] = {**target.readers, **decimals}
        return found


def _untold_decimal(type_: SqlType, given: str | None) -> Reader:
    """Debezium's default writes DECIMALs as base64 of their digits, and says the scale in the schema alone. A text that may be both is not
    guessed at."""

    def read(value: Any) -> Stored:
        if isinstance(value, str) and given == "base64":
            return decimal(scaled_decimal(value, type_.scale or 0), type_)
        if (
            isinstance(value, str)
            and given is None
            and type_.scale
            and value.isdigit()
            and len(value) % 4 == 0
        ):
            raise ValueError(
                f"{value!r} may be a number or the base64 of one; declare the table's decimals as 'text' or 'base64'"
            )
        return decimal(value, type_)

    return read


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    return Debezium(Targets(targets))
