"""The whole pipeline at a glance."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import apsw

from springline.runtime.base import KnowledgeStatus, RelationStatus, Status
from springline.runtime.embedded.dead_letters import left_out
from springline.runtime.embedded.readers import Checkpointer
from springline.runtime.embedded.state import Relation, read_relations, read_resume
from springline.runtime.embedded.tables import quote
from springline.sql.sharing import is_shared

if TYPE_CHECKING:
    from springline.runtime.embedded.runtime import EmbeddedRuntime

Life = Literal["starting", "running", "stopping", "stopped", "failed"]


class StatusReader:
    """Reads status through one snapshot. Row counts are counted again only where a relation changed."""

    def __init__(self, runtime: EmbeddedRuntime, checkpointer: Checkpointer) -> None:
        self._runtime = runtime
        self._checkpointer = checkpointer
        self._counts: dict[str, tuple[int, int]] = {}

    def read(self) -> Status:
        runtime = self._runtime
        with runtime.readers.read() as connection:
            resume = read_resume(connection)
            kept = read_relations(connection)
            letters = left_out(connection, kept)
            relations = self._relations(connection, kept, letters)
            knowledge = [self._knowledge(connection, name) for name in runtime.knowledge]
            [(dead,)] = connection.execute("SELECT count(*) FROM _dead_letters").fetchall()
        changes_per_second, ticks_per_second = runtime.measure.rates()
        errors = [relation.error for relation in relations if relation.error]
        if runtime.loop_error is not None:
            errors.append(str(runtime.loop_error))
        if runtime.failure is not None:
            errors.append(f"The engine stopped: {runtime.failure}")
        sources = {capture.source.name: capture.status() for capture in runtime.captures}
        errors += [one.error for one in sources.values() if one.error]
        return Status(
            state=cast("Life", runtime.life),
            tick=resume.tick,
            started_at_us=runtime.started_at_us,
            applied=resume.vector(),
            sources=sources,
            relations=relations,
            knowledge=knowledge,
            changes_total=runtime.measure.changes_total,
            changes_per_second=changes_per_second,
            ticks_per_second=ticks_per_second,
            commit_to_visible_ms=runtime.measure.commit_to_visible_ms(),
            wal_bytes=self._checkpointer.wal_bytes(),
            log_bytes=_size(runtime.folder.log_path),
            state_bytes=_size(runtime.folder.state_path),
            dead_letters=dead + sum(letters.values()),
            errors=errors,
        )

    def _relations(
        self, connection: apsw.Connection, kept: Mapping[str, Relation], letters: Mapping[str, int]
    ) -> list[RelationStatus]:
        found: list[RelationStatus] = []
        building = {name: str(progress) for name, progress in self._runtime.building().items()}
        for name, relation in kept.items():
            if is_shared(name):
                continue
            rows = tick = 0
            if relation.state != "stopped":
                rows, tick = self._count(connection, name)
            found.append(
                RelationStatus(
                    name,
                    relation.kind,
                    relation.state,
                    rows,
                    tick,
                    relation.error,
                    building.pop(name, None),
                    letters.get(name, 0),
                    self._runtime.sizes.bytes(name),
                )
            )
        found += [
            RelationStatus(name, "view", "building", 0, 0, None, progress)
            for name, progress in building.items()
        ]
        return sorted(found, key=lambda one: one.name)

    def _count(self, connection: apsw.Connection, name: str) -> tuple[int, int]:
        """(rows, tick of the count). Counting costs a scan, so the figure is kept while the data is the same."""
        version = self._runtime.touched_at(name)
        known = self._counts.get(name)
        if known is None or known[1] != version:
            [(rows,)] = connection.execute(f"SELECT count(*) FROM main.{quote(name)}").fetchall()
            self._counts[name] = known = (int(rows), version)
        return known

    def _knowledge(self, connection: apsw.Connection, name: str) -> KnowledgeStatus:
        documents, searchable, failed = connection.execute(
            f"""SELECT count(*), count(*) FILTER (WHERE version > 0), count(*) FILTER (WHERE state = 'failed')
                FROM {quote(f"k:{name}:documents")}"""
        ).fetchall()[0]
        [(passages,)] = connection.execute(
            f"SELECT count(*) FROM {quote(f'k:{name}:passages')} WHERE visible = 1"
        ).fetchall()
        pending, oldest_us = connection.execute(
            "SELECT count(*), min(committed_at_us) FROM _work WHERE knowledge = ?", (name,)
        ).fetchall()[0]
        age_ms = None if oldest_us is None else max(0.0, (time.time_ns() // 1_000 - oldest_us) / 1_000)
        return KnowledgeStatus(name, documents, searchable, passages, pending, failed, age_ms)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
