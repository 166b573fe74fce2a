"""A state in memory, for tests of whatever reads snapshots: relations, documents, ticks and their history.

Every change is one tick and one entry of the log. Snapshots never change; ``rebuild`` gives any earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import apsw

from springline.context.fulltext import query_terms, tokenise
from springline.context.retrieve import Explanation, Hit
from springline.core.position import PositionVector, SequencePosition, Tick
from springline.core.schema import TableSchema
from springline.core.text import guess_language
from springline.core.types import STRING, SqlType, Stored, store
from springline.errors import NotFound, NotFresh, SqlError
from springline.operators.splitting import Passage, split
from springline.runtime.base import Freshness, OnMiss, QueryResult, Require, SourceAge

START_US = 1_360_324_800_000_000
"""8 February 2013, 12:00 UTC."""

_Row = tuple[Stored, ...]


@dataclass(frozen=True)
class _Relation:
    schema: TableSchema
    sources: tuple[str, ...]
    rows: Mapping[_Row, tuple[_Row, int]] = field(default_factory=dict[_Row, tuple[_Row, int]])
    """Key → row in stored form, and the tick that last changed it."""


@dataclass(frozen=True)
class _Document:
    name: str
    title: str
    family: str
    language: str
    source: str
    sequence: int
    changed_at_us: int
    passages: tuple[tuple[Passage, frozenset[str]], ...]
    """Each with its words."""


@dataclass(frozen=True)
class _Version:
    """The state at one sequence of the log."""

    sequence: int = 0
    now_us: int = START_US
    relations: Mapping[str, _Relation] = field(default_factory=dict[str, _Relation])
    documents: Mapping[str, _Document] = field(default_factory=dict[str, _Document])
    positions: Mapping[str, int] = field(default_factory=dict[str, int])


class FakeSnapshot:
    """Implements ``runtime.base.Snapshot`` over one version of a :class:`FakeState`.

    SQL runs in SQLite as it is; ``queries`` and ``searches`` remember what was asked.
    """

    def __init__(
        self, version: _Version, tick_times: Mapping[int, int], freshness: Freshness, taken_at_us: int
    ) -> None:
        self._version = version
        self._tick_times = tick_times
        self._connection: apsw.Connection | None = None
        self.tick = Tick(version.sequence)
        self.log_sequence = version.sequence
        self.applied = PositionVector(
            {name: SequencePosition(number) for name, number in version.positions.items()}
        )
        self.freshness = freshness
        self.taken_at_us = taken_at_us
        self.schemas: Mapping[str, TableSchema] = {
            name: relation.schema for name, relation in version.relations.items()
        }
        self.queries: list[tuple[str, dict[str, object]]] = []
        self.searches: list[tuple[str, str, str]] = []
        self.closed = False

    def ages(self) -> Mapping[str, SourceAge]:
        ages: dict[str, SourceAge] = {}
        for name, position in self.applied.items():
            as_of_us = self.freshness.asked_at_us if self.freshness.require == "now" else self._version.now_us
            age_ms = (self.taken_at_us - as_of_us) / 1_000
            ages[name] = SourceAge(name, str(position), str(position), as_of_us, age_ms)
        return ages

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, limit: int | None = None
    ) -> QueryResult:
        self._check_open()
        self.queries.append((sql, dict(parameters or {})))
        bound = {name: _bindable(value) for name, value in (parameters or {}).items()}
        names: list[str] = []

        def describe(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            # The columns of an empty result can only be had here.
            names.extend(description[0] for description in cursor.get_description())
            return True

        cursor = self._database().cursor()
        cursor.exec_trace = describe
        try:
            rows: list[_Row] = []
            for row in cursor.execute(sql, bound) if bound else cursor.execute(sql):
                rows.append(row)
                if limit is not None and len(rows) >= limit:
                    break
        except apsw.SQLError as error:
            raise SqlError(f"The query failed: {error}.", statement=sql) from error
        return QueryResult(tuple((name, self._type(name)) for name in names), rows, ())

    def search(self, knowledge_base: str, text: str, *, limit: int = 8, also: str = "") -> Sequence[Hit]:
        """By the share of words in common; documents that also exist in the question's language come last."""
        self._check_open()
        self.searches.append((knowledge_base, text, also))
        language = guess_language(text)
        asked, further = query_terms(text), query_terms(also)
        families = {
            document.family for document in self._version.documents.values() if document.language == language
        }
        hits: list[Hit] = []
        for document in self._version.documents.values():
            for passage, words in document.passages:
                score = sum(term in words for term in asked) + 0.3 * sum(term in words for term in further)
                if score == 0:
                    continue
                if document.language != language and document.family in families:
                    score *= 0.35
                hits.append(
                    Hit(
                        passage=0, document=document.name, title=document.title, version=document.sequence,
                        ordinal=passage.ordinal, heading_path=passage.heading_path, text=passage.text,
                        hash=passage.hash, language=document.language, score=score,
                        explanation=Explanation(None, None, score, 1, score), source=document.source,
                        position=str(document.sequence), committed_at_us=document.changed_at_us,
                    )
                )  # fmt: skip
        hits.sort(key=lambda hit: (-hit.score, hit.document, hit.ordinal))
        return hits[:limit]

    def last_change(self, relation: str, key: Sequence[Stored]) -> tuple[int, int | None] | None:
        found = self._version.relations[relation].rows.get(tuple(key))
        return None if found is None else (found[1], self._tick_times.get(found[1]))

    def sources_of(self, relation: str) -> Sequence[str]:
        found = self._version.relations.get(relation)
        return () if found is None else found.sources

    def _check_open(self) -> None:
        assert not self.closed, "the snapshot was used after it was closed"

    def _type(self, name: str) -> SqlType:
        for relation in self._version.relations.values():
            if name in relation.schema:
                return relation.schema.column(name).type
        return STRING

    def _database(self) -> apsw.Connection:
        if self._connection is None:
            connection = apsw.Connection(":memory:")
            for name, relation in self._version.relations.items():
                columns = ", ".join(f"`{column.name}`" for column in relation.schema.columns)
                connection.execute(f"CREATE TABLE `{name}`({columns})")
                marks = ", ".join("?" * len(relation.schema.columns))
                connection.executemany(
                    f"INSERT INTO `{name}` VALUES ({marks})",
                    [row for row, _ in relation.rows.values()],
                )
            self._connection = connection
        return self._connection


def _bindable(value: object) -> Stored:
    return value if value is None or isinstance(value, int | float | str | bytes) else store(value, STRING)


class FakeState:
    """A state that changes by calls. ``read`` is that of a runtime: ``late`` names sources that miss every barrier."""

    def __init__(self) -> None:
        self._history: dict[int, _Version] = {0: _Version()}
        self._tick_times: dict[int, int] = {}
        self._current = self._history[0]
        self.late: tuple[str, ...] = ()
        self.reads: list[tuple[Require, float, OnMiss]] = []
        self.snapshots: list[FakeSnapshot] = []
        self.prepared: list[str] = []
        self.recorded: list[tuple[str, list[Stored]]] = []

    @property
    def sequence(self) -> int:
        return self._current.sequence

    def relation(
        self, schema: TableSchema, *rows: Mapping[str, object], sources: Sequence[str] = ("airline",)
    ) -> None:
        """Adds a table or view with its rows, in one tick."""
        made = _Relation(schema, tuple(sources))
        self._advance(relations={**self._current.relations, schema.name: made}, sources=sources)
        if rows:
            self.put(schema.name, *rows)

    def put(self, relation: str, *rows: Mapping[str, object]) -> None:
        """Inserts or replaces rows, in one tick; columns left out are NULL."""
        found = self._current.relations[relation]
        schema = found.schema
        changed = dict(found.rows)
        for row in rows:
            stored = tuple(store(row.get(column.name), column.type) for column in schema.columns)
            changed[tuple(stored[index] for index in schema.key_indexes)] = (stored, self.sequence + 1)
        self._advance(
            relations={**self._current.relations, relation: replace(found, rows=changed)},
            sources=found.sources,
        )

    def delete(self, relation: str, *key: object) -> None:
        found = self._current.relations[relation]
        schema = found.schema
        types = [schema.columns[index].type for index in schema.key_indexes]
        gone = tuple(store(value, type_) for value, type_ in zip(key, types, strict=True))
        rows = {known: row for known, row in found.rows.items() if known != gone}
        self._advance(
            relations={**self._current.relations, relation: replace(found, rows=rows)}, sources=found.sources
        )

    def document(
        self,
        name: str,
        text: str,
        *,
        language: str = "en",
        family: str | None = None,
        source: str = "policies",
    ) -> None:
        """Adds or replaces a Markdown document, whose title is its first line's."""
        title = text.lstrip().partition("\n")[0].lstrip("# ").strip()
        passages = tuple(
            (passage, frozenset(tokenise(" ".join((*passage.heading_path, passage.text))).split()))
            for passage in split(text, format="markdown")
        )
        changed_at_us = self._current.now_us + 1_000
        made = _Document(
            name, title, family or name, language, source, self.sequence + 1, changed_at_us, passages
        )
        self._advance(documents={**self._current.documents, name: made}, sources=(source,))

    def snapshot(self, *, require: Require = "none", waited_ms: float = 0.0) -> FakeSnapshot:
        now_us = self._current.now_us
        met = not self.late or require == "none"
        freshness = Freshness(
            require, met, waited_ms, PositionVector(), now_us + 5_000, () if met else self.late
        )
        taken = FakeSnapshot(self._current, self._tick_times, freshness, now_us + 7_000)
        self.snapshots.append(taken)
        return taken

    def prepare(self, question: str) -> None:
        """What a runtime does with a question before the snapshot is opened."""
        self.prepared.append(question)

    @contextmanager
    def read(
        self, *, require: Require = "none", deadline_ms: float = 2_000, on_miss: OnMiss = "refuse"
    ) -> Iterator[FakeSnapshot]:
        self.reads.append((require, deadline_ms, on_miss))
        if require == "now" and self.late and on_miss == "refuse":
            raise NotFresh(f"Behind: {', '.join(self.late)}.")
        snapshot = self.snapshot(require=require)
        try:
            yield snapshot
        finally:
            snapshot.closed = True

    @contextmanager
    def rebuild(self, log_sequence: int) -> Iterator[FakeSnapshot]:
        """The state as it was at a sequence of the log. Raises NotFound for one that ``forget`` dropped."""
        if log_sequence not in self._history:
            raise NotFound(f"The log no longer holds sequence {log_sequence}.")
        version = self._history[log_sequence]
        freshness = Freshness("none", True, 0.0, PositionVector(), version.now_us)
        snapshot = FakeSnapshot(version, self._tick_times, freshness, version.now_us + 60_000_000)
        try:
            yield snapshot
        finally:
            snapshot.closed = True

    def forget(self) -> None:
        """Drops all history, as the log's retention does."""
        self._history = {self.sequence: self._current}

    def tamper(self, log_sequence: int, change: Callable[[FakeState], None]) -> None:
        """Replaces what the history says about one sequence by what ``change`` makes of it."""
        other = FakeState()
        other._current = self._history[log_sequence]
        change(other)
        self._history[log_sequence] = replace(
            other._current,
            sequence=log_sequence,
            now_us=self._history[log_sequence].now_us,
            positions=self._history[log_sequence].positions,
        )

    def record(self, table: str, row: Sequence[Stored], /) -> None:
        """Keeps a record (``assistant.receipts.Recorder``)."""
        self.recorded.append((table, list(row)))

    def _advance(self, sources: Sequence[str], **changes: Any) -> None:
        sequence = self.sequence + 1
        positions = {**self._current.positions, **dict.fromkeys(sources, sequence)}
        now_us = self._current.now_us + 1_000
        self._current = replace(
            self._current, sequence=sequence, now_us=now_us, positions=positions, **changes
        )
        self._tick_times[sequence] = now_us
        self._history[sequence] = self._current
