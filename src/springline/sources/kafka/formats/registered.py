"""Records in a registry's frame, whatever their encoding: rows, or Debezium's envelopes, recognised by their fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from springline.sources.kafka.formats.base import (
    Decoded,
    Fields,
    Headers,
    NotARow,
    Targets,
    key_fields,
    object_of,
)
from springline.sources.kafka.formats.envelope import RowSchema, envelope, flat, is_envelope, tombstone
from springline.sources.kafka.formats.schemas import RegisteredSchema, SchemaById, framed
from springline.sources.kafka.values import decode_json

Opened = tuple[Callable[[bytes], Any], RowSchema]
"""How a schema's payloads are decoded, and what it says of the rows in them."""


class Registered:
    """Implements ``formats.base.Format``. ``parse`` makes of a schema what its records are decoded by, once. It raises NotARow."""

    def __init__(
        self, targets: Targets, schemas: SchemaById, parse: Callable[[RegisteredSchema], Opened]
    ) -> None:
        self._targets = targets
        self._registry = schemas
        self._parse = parse
        self._known: dict[int, Opened] = {}

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        if value is None:
            return tombstone(self._targets, lambda: self._key(key))
        found, schema = self._opened(value)
        if (fields := object_of(found)) is None:
            raise NotARow("not a record with fields")
        if is_envelope(fields):
            return envelope(self._targets, fields, schema, lambda: self._key(key))
        return flat(self._targets, fields, schema, lambda: self._key(key), headers)

    def _opened(self, value: bytes) -> tuple[Any, RowSchema]:
        identifier, payload = framed(value)
        if (known := self._known.get(identifier)) is None:
            known = self._known[identifier] = self._parse(self._registry(identifier))
        decode, rows = known
        try:
            return decode(payload), rows
        except Exception as error:  # What decoders raise for damaged bytes is not of one kind.
            raise NotARow(
                f"not what schema {identifier} describes: {error or type(error).__name__}"
            ) from error

    def _key(self, key: bytes | None) -> tuple[Fields | None, RowSchema | None]:
        """Keys are in the frame too, or plain text or JSON where the producer chose so."""
        if not key:
            return None, None
        if key[0] == 0:
            found, schema = self._opened(key)
            return key_fields(self._targets.only, found, str(found).encode()), schema
        try:
            found = decode_json(key)
        except ValueError:
            found = key.decode(errors="replace")
        return key_fields(self._targets.only, found, key), None
