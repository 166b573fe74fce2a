"""A snapshot: one read transaction of ``state.db``, with what is known of its age."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import apsw

from springline.core.position import PositionVector, Tick
from springline.core.schema import TableSchema
from springline.core.types import DATE, STRING, TIMESTAMP, TIMESTAMP_LTZ, Stored, decimal, store
from springline.errors import NotFound, SqlError, ViewBuilding
from springline.runtime.base import Freshness, QueryResult, SourceAge
from springline.runtime.embedded.dead_letters import DEAD_LETTERS, with_dead_letters
from springline.runtime.embedded.recorder import SOURCE as OWN_SOURCE
from springline.runtime.embedded.state import Relation, read_relations, read_resume
from springline.runtime.embedded.tables import key_names, quote
from springline.sql.program import QueryProgram
from springline.sql.sharing import is_shared

Searcher = Callable[["EmbeddedSnapshot", str, str, int, str], Sequence[Any]]
QueryCompiler = Callable[[str, Mapping[str, TableSchema], Mapping[str, object]], QueryProgram]


MOST_PROGRAMS = 512


class Tools:
    """What snapshots need from the application, and share: the query compiler, the knowledge bases' search, and what was compiled
    or read for the present set of relations. Thread-safe."""

    def __init__(
        self,
        compile_query: QueryCompiler,
        search: Searcher,
        building: Callable[[], Mapping[str, object]] = dict[str, object],
    ) -> None:
        self.search = search
        self.building = building
        self._compile_query = compile_query
        self._lock = threading.Lock()
        self._version = -1
        self._relations: Mapping[str, Relation] = {}
        self._programs: dict[tuple[str, frozenset[tuple[str, type]]], QueryProgram] = {}

    def relations(self, connection: apsw.Connection, version: int) -> Mapping[str, Relation]:
        """The relations as of a snapshot; read again only where their version changed."""
        with self._lock:
            if version == self._version:
                return self._relations
        found = read_relations(connection)
        with self._lock:
            if version > self._version:
                self._version, self._relations, self._programs = version, found, {}
        return found

    def program(
        self, text: str, parameters: Mapping[str, object], snapshot: EmbeddedSnapshot
    ) -> QueryProgram:
        """The compiled query; kept while the relations are the same."""
        key = (text, frozenset((name, type(value)) for name, value in parameters.items()))
        with self._lock:
            if snapshot.relations_version == self._version and key in self._programs:
                return self._programs[key]
        readable = {**snapshot.schemas, DEAD_LETTERS.name: DEAD_LETTERS}
        made = self._compile_query(text, readable, parameters)
        made = with_dead_letters(made, snapshot.connection, snapshot.relations)
        with self._lock:
            if snapshot.relations_version == self._version:
                if len(self._programs) >= MOST_PROGRAMS:
                    self._programs.clear()
                self._programs[key] = made
        return made


class EmbeddedSnapshot:
    """Implements ``runtime.base.Snapshot``. Belongs to the thread that opened it, until it is closed."""

    def __init__(self, connection: apsw.Connection, freshness: Freshness, tools: Tools) -> None:
        self.connection = connection
        self.freshness = freshness
        self._tools = tools
        resume = read_resume(connection)
        self.tick: Tick = resume.tick
        self.log_sequence = resume.log_sequence
        self.epoch = resume.epoch
        self.relations_version = resume.relations_version
        self._progress = resume.applied
        self.applied: PositionVector = resume.vector()
        self.taken_at_us = time.time_ns() // 1_000
        self._schemas: dict[str, TableSchema] | None = None

    @property
    def relations(self) -> Mapping[str, Relation]:
        return self._tools.relations(self.connection, self.relations_version)

    @property
    def schemas(self) -> Mapping[str, TableSchema]:
        if self._schemas is None:
            self._schemas = {name: one.schema for name, one in self.relations.items() if not is_shared(name)}
        return self._schemas

    def ages(self) -> Mapping[str, SourceAge]:
        """As of when each source is known to be current here. What the barrier covered is current as of the question; otherwise
        as of the source's last applied commit, since commits are applied in their order."""
        pending = dict(
            self.connection.execute(
                """SELECT source, before_position FROM (
                       SELECT source, before_position, row_number() OVER (PARTITION BY source ORDER BY log_sequence) AS n
                       FROM _work) WHERE n = 1"""
            ).fetchall()
        )
        ages: dict[str, SourceAge] = {}
        for source, progress in self._progress.items():
            covered = self.freshness.require == "now" and source not in self.freshness.missing
            as_of_us = self.freshness.asked_at_us if covered else progress.committed_at_us
            if source == OWN_SOURCE:
                as_of_us = self.taken_at_us  # Nobody else writes these tables.
            loading = tuple(
                name
                for name, one in self.relations.items()
                if one.kind == "table" and one.state == "loading" and name.startswith(source + ".")
            )
            ages[source] = SourceAge(
                source=source,
                applied=progress.position,
                complete_through=pending.get(source, progress.position) or "nothing",
                as_of_us=as_of_us,
                age_ms=max(0.0, (self.taken_at_us - as_of_us) / 1_000),
                loading=loading,
            )
        return ages

    def last_change(self, relation: str, key: Sequence[Stored]) -> tuple[int, int | None] | None:
        """The tick that last changed the row with this key, and when that tick was committed (microseconds since the epoch; None when that is
        no longer known). None where there is no such row."""
        schema = self.schemas[relation]
        given = " AND ".join(f"r.{quote(name)} IS ?" for name in key_names(schema))
        found = self.connection.execute(
            f"""SELECT r._tick, t.committed_at_us FROM main.{quote(relation)} r LEFT JOIN _ticks t ON t.tick = r._tick
                WHERE {given} LIMIT 1""",
            tuple(key),
        ).fetchone()
        return None if found is None else (int(found[0]), found[1])

    def sources_of(self, relation: str) -> Sequence[str]:
        """The sources whose changes reach a table or view, sorted."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [relation]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            known = self.relations.get(name)
            if known is not None and known.kind == "view":
                waiting += known.inputs
            else:
                found.add(name.split(".")[0])
        return sorted(found)

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, limit: int | None = None
    ) -> QueryResult:
        self._refuse_stopped(sql)
        try:
            program = self._tools.program(sql, parameters or {}, self)
        except SqlError:
            self._refuse_building(sql)
            raise
        bound = {name: _stored(value) for name, value in (parameters or {}).items()}
        try:
            cursor = (
                self.connection.execute(program.sql, bound) if bound else self.connection.execute(program.sql)
            )
            rows: list[tuple[Stored, ...]] = []
            for row in cursor:
                rows.append(row)
                if limit is not None and len(rows) >= limit:
                    break
            cursor.close()
        except (apsw.SQLError, apsw.TooBigError) as error:
            raise SqlError(f"The query failed: {error}.", statement=sql) from error
        return QueryResult(tuple(program.columns), rows, tuple(program.relations))

    def search(self, knowledge_base: str, text: str, *, limit: int = 8, also: str = "") -> Sequence[Any]:
        """Hybrid search. ``also``: further words for the full-text half; they never reach the embedder."""
        return self._tools.search(self, knowledge_base, text, limit, also)

    def _refuse_stopped(self, sql: str) -> None:
        for name, relation in self.relations.items():
            if relation.state == "stopped" and name in sql:
                raise NotFound(f"View {name!r} is stopped: {relation.error}", hint="See `springline status`.")

    def _refuse_building(self, sql: str) -> None:
        """A query that cannot be used because it reads a view that does not exist yet."""
        for name, progress in self._tools.building().items():
            if name not in self.relations and name in sql:
                raise ViewBuilding(
                    f"View {name!r} is being built ({progress}).",
                    hint="Try again when `springline status` says that it is live.",
                )


def _stored(value: object) -> Stored:
    """A parameter in the stored form of the type that the query compiler gives its Python type."""
    match value:
        case bool():
            return int(value)
        case None | int() | float() | str() | bytes():
            return value
        case Decimal():
            return store(value, decimal())
        case dt.datetime():
            return store(value, TIMESTAMP if value.tzinfo is None else TIMESTAMP_LTZ)
        case dt.date():
            return store(value, DATE)
        case _:
            return store(value, STRING)
