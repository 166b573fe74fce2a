"""What every runtime offers to the interfaces above it: reads, positions, change feeds and status.

One prompt, one page, one query is built from one :class:`Snapshot`: a read transaction at one tick.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from springline.core.position import PositionVector, Tick
from springline.core.schema import TableSchema
from springline.core.types import SqlType, Stored
from springline.sources.base import SourceStatus

Require = Literal["now", "none"]
"""``now``: the answer must reflect every change committed in the sources before the question. ``none``: take what is there."""

OnMiss = Literal["refuse", "state_age"]
"""What a missed deadline does: raise NotFresh, or answer and state how old each part is."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the recency barrier was asked for and what came of it."""

    require: Require
    met: bool
    waited_ms: float
    required: PositionVector
    asked_at_us: int
    missing: tuple[str, ...] = ()
    """Sources whose changes were not all applied when the deadline came."""


@dataclass(frozen=True, slots=True)
class SourceAge:
    """As of when a source's part of a snapshot is known to be current. ``age_ms`` is measured when the snapshot was taken."""

    source: str
    applied: str
    complete_through: str
    as_of_us: int | None
    age_ms: float | None
    loading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows of a read, in stored form; ``columns`` says how to render them."""

    columns: tuple[tuple[str, SqlType], ...]
    rows: list[tuple[Stored, ...]]
    relations: tuple[str, ...]

    def dictionaries(self) -> list[dict[str, object]]:
        """Rows as JSON can carry them (``core.types.render``)."""
        from springline.core.types import render

        return [
            {name: render(value, type_) for (name, type_), value in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]


class Snapshot(Protocol):
    """One consistent, read-only view of the state, at one tick. Used by one thread; short-lived (SnapshotTooOld)."""

    @property
    def tick(self) -> Tick: ...

    @property
    def log_sequence(self) -> int:
        """The log's sequence up to which this state is applied."""
        ...

    @property
    def applied(self) -> PositionVector: ...

    @property
    def freshness(self) -> Freshness: ...

    @property
    def taken_at_us(self) -> int: ...

    @property
    def schemas(self) -> Mapping[str, TableSchema]: ...

    def ages(self) -> Mapping[str, SourceAge]: ...

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, limit: int | None = None
    ) -> QueryResult:
        """Runs one SELECT of our SQL. Raises SqlError, SnapshotTooOld."""
        ...

    def search(self, knowledge_base: str, text: str, *, limit: int = 8, also: str = "") -> Sequence[Any]:
        """Hybrid search; hits are ``context.retrieve.Hit``. ``also``: further words for the full-text half; they never reach a model."""
        ...

    def last_change(self, relation: str, key: Sequence[Stored]) -> tuple[int, int | None] | None:
        """The tick that last changed the row with this key (stored values), and when it was committed; None where there is no such row."""
        ...

    def sources_of(self, relation: str) -> Sequence[str]:
        """The sources whose changes reach a table or view, sorted."""
        ...


@dataclass(frozen=True, slots=True)
class RelationChange:
    """One row's change of a table or view, as feeds deliver it. ``weight`` is +1 or -1; an update is both, -1 first."""

    tick: Tick
    relation: str
    weight: Literal[1, -1]
    row: dict[str, object]


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """A step of a subscription.

    ``changes``: what a tick did, rows that go first; a subscriber that has applied it keeps the ``token``, and goes on from there after a
    crash. A token of None says that more of the same tick follows. ``reset``: forget what you hold of this relation; all of its rows follow
    as ``changes``. ``idle``: nothing has changed up to ``tick``; the token moves on.
    """

    relation: str
    event: Literal["changes", "reset", "idle"]
    tick: Tick
    token: str | None
    changes: tuple[RelationChange, ...] = ()
    reason: str | None = None
    """Why a subscription is reset."""


@dataclass(frozen=True, slots=True)
class TickNotice:
    """Told to listeners after a tick's commit."""

    tick: Tick
    committed_at_us: int
    changes: int
    touched: Mapping[str, int]
    """Relation -> number of changed rows."""
    newest_source_commit_us: int | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class RelationStatus:
    name: str
    kind: Literal["table", "view", "late"]
    state: Literal["loading", "live", "building", "stopped"]
    """``building``: a new view that cannot be read yet."""
    rows: int
    tick: int
    error: str | None = None
    building: str | None = None
    """How far the view's next version is that is being built, the present one (if any) being read meanwhile."""
    left_out: int = 0
    """Rows that a view leaves out because an expression fails on them: its dead letters."""
    state_bytes: int | None = None
    """What it takes in the state, indexes and upkeep included, when last measured; None before."""


@dataclass(frozen=True, slots=True)
class KnowledgeStatus:
    """``searchable`` / ``documents`` is the share that questions can find; ``oldest_pending_ms`` None if nothing waits."""

    name: str
    documents: int
    searchable: int
    passages: int
    pending: int
    failed: int
    oldest_pending_ms: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """The whole pipeline at a glance; what ``springline status`` and the page show."""

    state: Literal["starting", "running", "stopping", "stopped", "failed"]
    tick: int
    started_at_us: int
    applied: PositionVector
    sources: Mapping[str, SourceStatus]
    relations: Sequence[RelationStatus]
    knowledge: Sequence[KnowledgeStatus]
    changes_total: int
    changes_per_second: float
    ticks_per_second: float
    commit_to_visible_ms: Mapping[str, float]
    """p50 and p99 of the last minute, from the source's commit to the tick's commit."""
    wal_bytes: int
    log_bytes: int
    state_bytes: int
    dead_letters: int
    """Inputs that could not be processed, and rows that views leave out."""
    errors: Sequence[str] = field(default=())


class Runtime(Protocol):
    """A running application. Thread-safe."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Finishes the running tick and releases the data folder. Idempotent."""
        ...

    def read(
        self, *, require: Require = "none", deadline_ms: float = 2_000, on_miss: OnMiss = "refuse"
    ) -> AbstractContextManager[Snapshot]:
        """Waits for the recency barrier (``require="now"``), then opens a snapshot. Raises NotFresh when the deadline is
        missed and ``on_miss`` is ``refuse``."""
        ...

    def prepare(self, question: str) -> None:
        """Makes the question's vector before a snapshot is opened. Blocks for the embedder."""
        ...

    def schemas(self) -> Mapping[str, TableSchema]: ...

    def explain(self, view: str) -> str: ...

    def status(self) -> Status: ...

    def changes(
        self, relations: Sequence[str], stop: threading.Event, timeout_s: float = 1.0
    ) -> Iterator[RelationChange | None]:
        """Live changes of relations from now on; None when nothing came within the time-out. A consumer that is too slow is
        told so by SnapshotTooOld and reads the relation again."""
        ...

    def subscribe(
        self,
        relation: str,
        after: str | None = None,
        *,
        stop: threading.Event | None = None,
        timeout_s: float = 1.0,
    ) -> Iterator[ChangeBatch]:
        """Changes of a relation whose changes are kept, after a token: each once, without a gap. None: the whole relation first. ``now``: only
        what comes. An ``idle`` batch comes at least every ``timeout_s``; ends after ``stop``. Raises NotFound, ViewBuilding, and
        ConfigurationError where the changes are not kept."""
        ...
