"""The runtime's values as JSON objects."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from springline.core.position import Position, position_to_text
from springline.core.schema import TableSchema
from springline.runtime.base import Freshness, RelationChange, Snapshot, SourceAge, Status, TickNotice
from springline.serve.service import JsonObject
from springline.sources.base import SourceStatus


def plain(value: object) -> Any:
    """Any value as JSON can carry it: positions as text, dataclasses as objects."""
    if isinstance(value, Position):
        return position_to_text(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}  # type: ignore[misc]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]  # type: ignore[misc]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    to_json = getattr(value, "to_json", None)
    return to_json() if callable(to_json) else str(value)


def source_json(status: SourceStatus) -> JsonObject:
    return plain(status)


def status_json(status: Status) -> JsonObject:
    return {
        "state": status.state,
        "tick": status.tick,
        "started_at_us": status.started_at_us,
        "applied": status.applied.to_json(),
        "sources": {name: source_json(source) for name, source in status.sources.items()},
        "relations": [plain(relation) for relation in status.relations],
        "knowledge": [plain(knowledge) for knowledge in status.knowledge],
        "changes_total": status.changes_total,
        "changes_per_second": status.changes_per_second,
        "ticks_per_second": status.ticks_per_second,
        "commit_to_visible_ms": dict(status.commit_to_visible_ms),
        "wal_bytes": status.wal_bytes,
        "log_bytes": status.log_bytes,
        "state_bytes": status.state_bytes,
        "dead_letters": status.dead_letters,
        "errors": list(status.errors),
    }


def tick_json(notice: TickNotice) -> JsonObject:
    return {
        "tick": notice.tick,
        "committed_at_us": notice.committed_at_us,
        "changes": notice.changes,
        "touched": dict(notice.touched),
        "newest_source_commit_us": notice.newest_source_commit_us,
        "duration_ms": notice.duration_ms,
    }


def freshness_json(freshness: Freshness) -> JsonObject:
    return {
        "require": freshness.require,
        "met": freshness.met,
        "waited_ms": freshness.waited_ms,
        "missing": list(freshness.missing),
    }


def age_json(age: SourceAge) -> JsonObject:
    return {
        "applied": age.applied,
        "complete_through": age.complete_through,
        "as_of_us": age.as_of_us,
        "age_ms": age.age_ms,
        "loading": list(age.loading),
    }


def snapshot_json(snapshot: Snapshot) -> JsonObject:
    return {
        "tick": snapshot.tick,
        "taken_at_us": snapshot.taken_at_us,
        "positions": snapshot.applied.to_json(),
        "ages": {source: age_json(age) for source, age in snapshot.ages().items()},
    }


def schema_json(schema: TableSchema) -> JsonObject:
    return {
        "name": schema.name,
        "columns": [
            {"name": column.name, "type": str(column.type), "nullable": column.nullable}
            for column in schema.columns
        ],
        "key": list(schema.key),
        "comment": schema.comment,
    }


def change_json(change: RelationChange) -> JsonObject:
    return {"relation": change.relation, "weight": change.weight, "row": change.row}
