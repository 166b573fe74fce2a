"""JSON in a registry's frame, with a JSON Schema: rows, or Debezium's envelopes, recognised by their fields.

The schema is asked for what JSON does not say: Connect's and Debezium's types, which stand in it as ``title``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from springline.core.types import SqlType
from springline.sources.kafka.formats.base import Fields, Format, NotARow, Target, Targets, object_of
from springline.sources.kafka.formats.connect import list_reader, named_reader
from springline.sources.kafka.formats.envelope import FieldReader, RowSchema, row_fields
from springline.sources.kafka.formats.registered import Opened, Registered
from springline.sources.kafka.formats.schemas import RegisteredSchema, SchemaById
from springline.sources.kafka.values import Reader, decode_json

_DEEPEST: Final = 20
"""References and alternatives within each other; more are a circle."""


def parse(registered: RegisteredSchema) -> Opened:
    """Raises NotARow for a schema that is no JSON Schema."""
    if registered.kind != "JSON":
        raise NotARow(f"its schema is {registered.kind}, not JSON Schema")
    try:
        schema = json.loads(registered.text)
        others = {name: json.loads(text) for name, text in registered.references.items()}
    except ValueError as error:
        raise NotARow(f"its schema cannot be read: {error}") from error
    lookup = _Lookup(schema, others)
    fields = row_fields(lookup.properties(schema), lookup.properties)
    return decode_json, RowSchema({name: _field_reader(one, lookup) for name, one in fields.items()})


class _Lookup:
    """Follows ``$ref`` within a schema and to those that it refers to."""

    def __init__(self, schema: Any, others: Mapping[str, Any]) -> None:
        self._schema = schema
        self._others = others

    def properties(self, schema: Any) -> Fields:
        return object_of(self.described(schema).get("properties")) or {}

    def described(self, schema: Any, depth: int = 0) -> Fields:
        """A type without the NULL of its alternatives."""
        fields = object_of(schema)
        if fields is None or depth > _DEEPEST:
            return {}
        if "$ref" in fields:
            return self.described(self._referred(str(fields["$ref"])), depth + 1)
        many = cast("Sequence[Any]", fields.get("oneOf") or fields.get("anyOf") or ())
        rest = [one for one in many if (inner := object_of(one)) is not None and inner.get("type") != "null"]
        return self.described(rest[0], depth + 1) if len(rest) == 1 else fields

    def _referred(self, reference: str) -> Any:
        document, _, pointer = reference.partition("#")
        found: Any = self._others.get(document) if document else self._schema
        for part in pointer.split("/"):
            if part:
                found = (object_of(found) or {}).get(part)
        return found


def _field_reader(schema: Any, lookup: _Lookup) -> FieldReader:
    described = lookup.described(schema)
    name = described.get("title")
    parameters = object_of(described.get("connect.parameters")) or {}

    def make(type_: SqlType, unit_ns: int | None) -> Reader:
        if described.get("type") == "array":
            element = _field_reader(described.get("items"), lookup)
            return list_reader(lambda inner: element(inner, unit_ns), type_, unit_ns)
        return named_reader(name, parameters, type_, unit_ns)

    return make


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    assert schemas is not None
    return Registered(Targets(targets), schemas, parse)
