"""Canal's flat JSON: several rows a record, all values as text, ``old`` beside each row holds what an update changed
(github.com/alibaba/canal, FlatMessage)."""

from __future__ import annotations

from typing import Any, Final, cast

from springline.core.change import Entry
from springline.sources.kafka.formats.base import (
    NOTHING,
    Decoded,
    Format,
    Headers,
    NotARow,
    Target,
    Targets,
    object_of,
)
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.values import decode_json

_ROWS: Final = frozenset(("INSERT", "UPDATE", "DELETE"))


class Canal:
    """Implements ``formats.base.Format``."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        fields = object_of(decode_json(value)) if value is not None else None
        if fields is None or "type" not in fields:
            raise NotARow("not an object with a type")
        kind = fields["type"]
        target = self._targets.of(fields.get("database"), fields.get("table"))
        if target is None or (kind not in _ROWS and kind != "TRUNCATE"):
            return NOTHING
        at = fields.get("es") or fields.get("ts")
        committed_at_us = at * 1_000 if isinstance(at, int) else None
        if kind == "TRUNCATE":
            return Decoded([target.truncate()], committed_at_us)
        rows = cast("list[dict[str, Any]]", fields.get("data") or [])
        olds = cast("list[dict[str, Any] | None]", fields.get("old") or [None] * len(rows))
        if kind == "UPDATE" and len(olds) != len(rows):
            raise NotARow(f"{len(rows)} rows and {len(olds)} old ones")
        binary = _binary(target, fields.get("mysqlType"))
        entries = [
            _entry(
                target,
                kind,
                _bytes(row, binary),
                _bytes(olds[index] or {}, binary) if kind == "UPDATE" else {},
            )
            for index, row in enumerate(rows)
        ]
        return Decoded(entries, committed_at_us)


def _entry(target: Target, kind: str, row: dict[str, Any], old: dict[str, Any]) -> Entry:
    if kind == "INSERT":
        return target.upsert(target.row(row))
    if kind == "DELETE":
        return target.delete(target.key(row))
    return target.upsert(target.row(row), target.key({**row, **old}))


def _binary(target: Target, types: object) -> frozenset[str]:
    """The BYTES columns that MySQL has as such."""
    named = object_of(types) or {}
    return frozenset(
        column.name
        for column in target.schema.columns
        if column.type.name == "BYTES"
        and any(part in str(named.get(column.name, "blob")).lower() for part in ("blob", "binary"))
    )


def _bytes(row: dict[str, Any], binary: frozenset[str]) -> dict[str, Any]:
    """Canal writes each byte of a BLOB as the character of its number."""
    if not binary:
        return row
    return {
        name: value.encode("latin-1") if name in binary and isinstance(value, str) else value
        for name, value in row.items()
    }


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    return Canal(Targets(targets))
