"""Avro in a registry's frame: rows, or Debezium's envelopes, recognised by their fields.

A record is decoded by the schema that it was written with, and its fields are taken by name: a field that its schema does not have yet is NULL,
whatever a later schema's default is. Logical types are read as the numbers and bytes that they are written as, so that nothing is rounded on the way.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import fastavro

from springline.core.types import SqlType
from springline.sources.kafka.formats.base import Format, NotARow, Target, Targets
from springline.sources.kafka.formats.connect import list_reader, named_reader
from springline.sources.kafka.formats.envelope import FieldReader, RowSchema, row_fields
from springline.sources.kafka.formats.registered import Opened, Registered
from springline.sources.kafka.formats.schemas import RegisteredSchema, SchemaById
from springline.sources.kafka.values import Reader

_LOGICAL: Final[Mapping[str, str]] = {
    "date": "io.debezium.time.Date",
    "time-millis": "io.debezium.time.Time",
    "time-micros": "io.debezium.time.MicroTime",
    "timestamp-millis": "io.debezium.time.Timestamp",
    "timestamp-micros": "io.debezium.time.MicroTimestamp",
    "timestamp-nanos": "io.debezium.time.NanoTimestamp",
    "local-timestamp-millis": "io.debezium.time.Timestamp",
    "local-timestamp-micros": "io.debezium.time.MicroTimestamp",
    "local-timestamp-nanos": "io.debezium.time.NanoTimestamp",
    "decimal": "org.apache.kafka.connect.data.Decimal",
}
"""Avro's logical types, by the names that Debezium has for them."""


def parse(registered: RegisteredSchema) -> Opened:
    """Raises NotARow for a schema that is no Avro."""
    if registered.kind != "AVRO":
        raise NotARow(f"its schema is {registered.kind}, not Avro")
    named: dict[str, Any] = {}
    types: dict[str, Any] = {}
    try:
        for text in registered.references.values():
            other = json.loads(text)
            fastavro.parse_schema(_without_logical(other), named_schemas=named)
            _collect(other, "", types)
        written = json.loads(registered.text)
        schema: Any = fastavro.parse_schema(_without_logical(written), named_schemas=named)
        _collect(written, "", types)
    except Exception as error:  # What fastavro raises for a schema is not of one kind.
        raise NotARow(f"its schema cannot be read: {error}") from error
    rows = RowSchema({name: _field_reader(one, types) for name, one in _row_fields(written, types).items()})
    return lambda payload: _decode(payload, schema), rows


def _decode(payload: bytes, schema: Any) -> Any:
    source = io.BytesIO(payload)
    found: Any = fastavro.schemaless_reader(source, schema, None)  # pyright: ignore[reportUnknownMemberType]
    if source.read(1):
        raise ValueError("there are bytes behind it")
    return found


def _without_logical(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical(one) for one in cast("list[Any]", schema)]
    if isinstance(schema, dict):
        fields = cast("dict[str, Any]", schema)
        return {
            name: value if name in ("default", "doc", "symbols") else _without_logical(value)
            for name, value in fields.items()
            if name != "logicalType"
        }
    return schema


def _collect(schema: Any, namespace: str, types: dict[str, Any]) -> None:
    """The named types of a schema, by their full names."""
    if isinstance(schema, list):
        for one in cast("list[Any]", schema):
            _collect(one, namespace, types)
        return
    if not isinstance(schema, dict):
        return
    fields = cast("dict[str, Any]", schema)
    if fields.get("type") in ("record", "enum", "fixed"):
        name = str(fields.get("name", ""))
        namespace = name.rpartition(".")[0] or str(fields.get("namespace", namespace))
        types[f"{namespace}.{name.rpartition('.')[2]}".lstrip(".")] = fields
        types.setdefault(name.rpartition(".")[2], fields)
    for inner in ("type", "items", "values"):
        _collect(fields.get(inner), namespace, types)
    for one in cast("list[Any]", fields.get("fields") or []):
        _collect(one, namespace, types)


def _row_fields(schema: Any, types: Mapping[str, Any]) -> Mapping[str, Any]:
    return row_fields(_fields(schema, types), lambda inner: _fields(inner, types))


def _fields(schema: Any, types: Mapping[str, Any]) -> dict[str, Any]:
    record = _described(schema, types)
    listed = cast("Sequence[Mapping[str, Any]]", record.get("fields") or ())
    return {str(one["name"]): one["type"] for one in listed}


def _described(schema: Any, types: Mapping[str, Any]) -> Mapping[str, Any]:
    """A type as an object: not as a name, and without the NULL of a union."""
    if isinstance(schema, list):
        rest = [one for one in cast("list[Any]", schema) if one != "null"]
        return _described(rest[0], types) if len(rest) == 1 else {}
    if isinstance(schema, str):
        return types.get(schema, {"type": schema})
    inner = cast("Mapping[str, Any]", schema)
    return _described(inner["type"], types) if isinstance(inner.get("type"), list | dict) else inner


def _field_reader(schema: Any, types: Mapping[str, Any]) -> FieldReader:
    described = _described(schema, types)
    name = described.get("connect.name") or _LOGICAL.get(str(described.get("logicalType")))
    parameters = described.get("connect.parameters") or described

    def make(type_: SqlType, unit_ns: int | None) -> Reader:
        if described.get("type") == "array":
            element = _field_reader(described.get("items"), types)
            return list_reader(lambda inner: element(inner, unit_ns), type_, unit_ns)
        return named_reader(name, parameters, type_, unit_ns)

    return make


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    assert schemas is not None
    return Registered(Targets(targets), schemas, parse)
