"""AWS Database Migration Service's JSON: ``data`` is the row, ``metadata`` says what happened; ``before-image`` where the task has it enabled."""

from __future__ import annotations

import datetime as dt
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

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Dms:
    """Implements ``formats.base.Format``."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def decode(self, key: bytes | None, value: bytes | None, headers: Headers) -> Decoded:
        fields = object_of(decode_json(value)) if value is not None else None
        about = object_of((fields or {}).get("metadata"))
        if fields is None or about is None:
            raise NotARow("not an object with metadata")
        operation = about.get("operation")
        target = self._targets.of(about.get("schema-name"), about.get("table-name"))
        if target is None:
            return NOTHING
        at = _micros(about.get("commit-timestamp") or about.get("timestamp"))
        if about.get("record-type") == "control":
            return Decoded([target.truncate()], at) if operation == "truncate-table" else NOTHING
        row = object_of(fields.get("data")) or {}
        old = object_of(fields.get("before-image")) or {}
        match operation:
            case "load" | "insert":
                entry = target.upsert(target.row(row))
            case "update":
                entry = target.upsert(target.row(row), target.key({**row, **old}))
            case "delete":
                entry = target.delete(target.key({**row, **old}))
            case _:
                raise NotARow(f"operation {operation!r} is none of load, insert, update, delete")
        return Decoded([entry], at)


def _micros(text: object) -> int | None:
    """A time in ISO 8601, as microseconds since the epoch; None where it is none."""
    try:
        at = dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None
    zoned = at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)
    return (zoned - _EPOCH) // dt.timedelta(microseconds=1)


def make(targets: list[Target], schemas: SchemaById | None) -> Format:
    return Dms(Targets(targets))
