"""Plain JSON: a record's value is a row as it is now; no value means that the row of the key is no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from springline.core.change import Entry
from springline.sources.json_rows import JsonRows, JsonTable
from springline.sources.kafka.formats.base import (
    NOTHING,
    Decoded,
    Fields,
    Format,
    Headers,
    NotARow,
    Target,
    key_fields,
    object_of,
)
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.values import decode_json

_UPSERTS: Final = frozenset("c u r i I U R insert update upsert read INSERT UPDATE UPSERT +I +U".split())
_DELETES: Final = frozenset("d D delete DELETE -D".split())


class Json:
    """Implements ``formats.base.Format`` and ``formats.base.ManyAtOnce``."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._operation = target.table.operation_field
        self._quick = _quick(target)

    def decode_many(self, values: Sequence[bytes]) -> list[Entry] | None:
        if self._quick is None or not all(values):
            return None
        block = b"\n".join(values)
        if block.count(b"\n") != len(values) - 1:
            return None
        entries, rejected = self._quick.entries(block)
        return None if rejected else entries

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        target = self._target
        known = _key(target, key)
        record = None if value is None else decode_json(value)
        if record is None:
            if known is None or not target.has_key(known):
                raise NotARow("neither a value nor a key that tells the row")
            return Decoded([target.delete(target.key(known))])
        if (fields := object_of(record)) is None:
            raise NotARow("not a JSON object")
        if known is not None and not target.has_key(fields):
            fields = {**known, **fields}
        operation = fields.get(self._operation, "c") if self._operation is not None else "u"
        if operation in _UPSERTS:
            return Decoded([target.upsert(target.row(fields))])
        if operation in _DELETES:
            return Decoded([target.delete(target.key(fields))])
        if operation == "-U":
            return NOTHING
        raise NotARow(f"{operation!r} is no operation; c, u, r, d and insert, update, delete, +I, +U, -D are")


def _key(target: Target, key: bytes | None) -> Fields | None:
    """What a record's key tells: an object's fields, or the table's only key column."""
    if not key:
        return None
    try:
        found = decode_json(key)
    except ValueError:
        found = key.decode(errors="replace")
    return key_fields(target, found, key)


def _quick(target: Target) -> JsonRows | None:
    """The reader of JSON lines, where it knows the times' unit."""
    unit = target.table.time_unit or "ms"
    if unit not in ("s", "ms", "us"):
        return None
    source, _, name = target.schema.name.partition(".")
    table = JsonTable(target.table.columns, target.table.key, target.table.kept)
    return JsonRows(
        source,
        {name: table},
        table_field=None,
        operation_field=target.table.operation_field,
        time_unit=unit,
    )


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    [target] = targets
    return Json(target)
