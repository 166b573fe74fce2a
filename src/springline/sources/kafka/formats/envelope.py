"""Debezium's envelope, however it is encoded: what its fields say, as entries.

The decoders of the encodings give a record's fields and what its schema, if it has one, tells about the fields of the rows in it. A record without
an envelope is a row as it is now, as Debezium's ``ExtractNewRecordState`` and ordinary producers write it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from springline.core.change import Row
from springline.core.types import SqlType
from springline.sources.kafka.formats.base import (
    NOTHING,
    Decoded,
    Fields,
    Headers,
    NotARow,
    Readers,
    Target,
    Targets,
    object_of,
)
from springline.sources.kafka.values import Reader

_UNSENT: Final = "__debezium_unavailable_value"
_UNSENT_FORMS: Final = frozenset((_UNSENT, base64.b64encode(_UNSENT.encode()).decode()))
_OPERATIONS: Final = frozenset("crudtm")

FieldReader = Callable[[SqlType, int | None], Reader]
"""Makes a field's reader for a column's type and unit."""


class RowSchema:
    """What a schema tells of a row's fields. ``readers`` are made once for each table."""

    def __init__(self, fields: Mapping[str, FieldReader]) -> None:
        self.fields = fields
        self._made: dict[str, Readers] = {}

    def readers(self, target: Target) -> Readers:
        name = target.schema.name
        if (found := self._made.get(name)) is None:
            made = dict(target.readers)
            for column in target.schema.columns:
                if (make := self.fields.get(column.name)) is not None:
                    made[column.name] = make(column.type, target.units.get(column.name))
            found = self._made[name] = made
        return found


Key = Callable[[], tuple[Fields | None, RowSchema | None]]
"""Opens a record's key, if it has one, and its schema. Few records need it, and one that cannot be read does no harm to the others."""


def row_fields(fields: Fields, inside: Callable[[Any], Fields]) -> Fields:
    """The schema's fields of a row: of an envelope's (``inside`` opens its parts), or the schema's own."""
    if "op" not in fields or not ("after" in fields or "before" in fields):
        return fields
    return inside(fields.get("after")) or inside(fields.get("before"))


def is_envelope(fields: Fields) -> bool:
    return fields.get("op") in _OPERATIONS and (
        "after" in fields or "before" in fields or fields["op"] in "tm"
    )


def envelope(targets: Targets, fields: Fields, schema: RowSchema | None, key: Key) -> Decoded:
    """What a change event says. Raises NotARow."""
    source = object_of(fields.get("source")) or {}
    target = targets.of(source.get("db"), source.get("schema"), source.get("table"))
    operation = fields["op"]
    at = _committed_at_us(source) or _committed_at_us(fields)
    if target is None or operation == "m":
        return NOTHING
    if operation == "t":
        return Decoded([target.truncate()], at)
    readers = schema.readers(target) if schema is not None else None
    old, new = object_of(fields.get("before")), object_of(fields.get("after"))
    if operation == "d":
        row = _old(target, old, readers, key)
        if row is None:
            raise NotARow("a delete that tells no key: neither before nor the record's key has it")
        return Decoded([target.delete(row)], at)
    if new is None:
        raise NotARow("after is missing")
    after = target.sparse_row(new, readers, is_unsent)
    if operation != "u":
        return Decoded([target.upsert(after)], at)
    if not target.schema.kept:
        raise NotARow(f"rows of {target.schema.name}, a stream, only come")
    before = _old(target, old, readers, _no_key)
    if before is None and not target.schema.key:
        raise NotARow("an update without its old row, of a table without a key")
    return Decoded([target.upsert(after, before)], at)


def flat(targets: Targets, fields: Fields, schema: RowSchema | None, key: Key, headers: Headers) -> Decoded:
    """What a row without an envelope says; ``__op``, ``__deleted`` and ``__source_ts_ms`` are Debezium's, as fields or headers. Raises NotARow."""
    target = targets.of(*(_told(fields, headers, name) for name in ("__db", "__schema", "__table")))
    if target is None:
        return NOTHING
    operation, deleted = _told(fields, headers, "__op"), _told(fields, headers, "__deleted")
    stamp = _told(fields, headers, "__source_ts_ms")
    at = int(stamp) * 1_000 if stamp is not None and str(stamp).isdigit() else None
    readers = schema.readers(target) if schema is not None else None
    if operation == "d" or deleted in (True, "true"):
        row = _old(target, fields, readers, key)
        if row is None:
            raise NotARow("a delete that tells no key")
        return Decoded([target.delete(row)], at)
    if operation == "t":
        return Decoded([target.truncate()], at)
    if not target.schema.kept and operation == "u":
        raise NotARow(f"rows of {target.schema.name}, a stream, only come")
    if not target.has_key(fields):
        known, _ = key()
        fields = {**known, **fields} if known is not None and target.has_key(known) else fields
    return Decoded([target.upsert(target.sparse_row(fields, readers, is_unsent))], at)


def tombstone(targets: Targets, key: Key) -> Decoded:
    """A record without a value: the row of its key is no more. Behind a change event that said so already it changes nothing, and after a
    compaction it is all that is left. Raises NotARow."""
    target = targets.only
    if target is None or not target.schema.key:
        return NOTHING
    row = _old(target, None, None, key)
    if row is None:
        raise NotARow("neither a value nor a key that tells the row")
    return Decoded([target.delete(row)])


def is_unsent(value: Any) -> bool:
    """Whether this stands for a value that the source did not send because it did not change."""
    if isinstance(value, str):
        return value in _UNSENT_FORMS
    if isinstance(value, bytes):
        return value == _UNSENT.encode()
    if isinstance(value, list):
        many = cast("list[Any]", value)
        return bytes(many) == _UNSENT.encode() if _are_bytes(many) else bool(many) and is_unsent(many[0])
    return isinstance(value, dict) and _UNSENT in value


def _are_bytes(many: list[Any]) -> bool:
    return len(many) == len(_UNSENT) and all(type(one) is int and 0 <= one < 256 for one in many)


def _old(target: Target, fields: Fields | None, readers: Readers | None, key: Key) -> Row | None:
    """The old row's key, or the old row of a table without one; None where nothing tells it."""
    if fields is not None and (target.has_key(fields) or not target.schema.key):
        return target.key(fields, readers)
    known, schema = key()
    if known is not None and target.has_key(known):
        return target.key(known, schema.readers(target) if schema is not None else None)
    return None


def _no_key() -> tuple[None, None]:
    return None, None


def _committed_at_us(fields: Mapping[str, Any]) -> int | None:
    """When, in the finest unit that is told."""
    for name, size_ns in (("ts_ns", 1), ("ts_us", 1_000), ("ts_ms", 1_000_000)):
        value = fields.get(name)
        if isinstance(value, int) and value > 0:
            return value * size_ns // 1_000
    return None


def _told(fields: Fields, headers: Headers, name: str) -> Any:
    """A field, or the header of this name."""
    if name in fields:
        return fields[name]
    for header, value in headers:
        if header == name:
            return value.decode(errors="replace").strip('"') if isinstance(value, bytes) else value
    return None
