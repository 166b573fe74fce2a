"""Maxwell's JSON: one row a record, ``old`` holds what an update changed (maxwells-daemon.io/dataformat)."""

from __future__ import annotations

from typing import Final

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

_COMES: Final = frozenset(("insert", "bootstrap-insert"))
_IGNORED: Final = frozenset(
    (
        *("bootstrap-start", "bootstrap-complete", "heartbeat"),
        *("table-create", "table-alter", "table-drop", "database-create", "database-alter", "database-drop"),
    )
)


class Maxwell:
    """Implements ``formats.base.Format``."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        if value is None:
            return self._tombstone(key)
        fields = object_of(decode_json(value))
        if fields is None or "type" not in fields:
            raise NotARow("not an object with a type")
        kind = fields["type"]
        if kind in _IGNORED:
            return NOTHING
        target = self._targets.of(fields.get("database"), fields.get("table"))
        if target is None:
            return NOTHING
        row = object_of(fields.get("data"))
        if row is None:
            raise NotARow("data is missing")
        at = fields.get("ts")
        committed_at_us = at * 1_000_000 if isinstance(at, int) else None
        if kind in _COMES:
            return Decoded([target.upsert(target.row(row))], committed_at_us)
        if kind == "delete":
            return Decoded([target.delete(target.key(row))], committed_at_us)
        if kind != "update":
            raise NotARow(f"type {kind!r} is none of Maxwell's")
        before = target.key({**row, **(object_of(fields.get("old")) or {})})
        return Decoded([target.upsert(target.row(row), before)], committed_at_us)

    def _tombstone(self, key: bytes | None) -> Decoded:
        """Without a value, the key says what went: ``{"database": …, "table": …, "pk.id": 1}``."""
        fields = object_of(decode_json(key)) if key else None
        if fields is None:
            raise NotARow("neither a value nor a key")
        target = self._targets.of(fields.get("database"), fields.get("table"))
        if target is None:
            return NOTHING
        row = {name.removeprefix("pk."): one for name, one in fields.items() if name.startswith("pk.")}
        return Decoded([target.delete(target.key(row))])


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    return Maxwell(Targets(targets))
