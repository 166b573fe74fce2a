"""One tick: whole source transactions in, tables and views brought forward, positions written, one commit.

The engine owns the writing connection of ``state.db`` and is used by one thread. It knows nothing of threads, sources or
time-outs; those are in ``loop``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import apsw

from springline.core.change import Entry, Operation, Row, size_of
from springline.core.position import Tick
from springline.core.schema import EventTime, TableSchema
from springline.log.base import Logged
from springline.runtime.base import RelationChange
from springline.runtime.embedded.catalog import Relations, ViewDefinition
from springline.runtime.embedded.mirror import Key, TableChanges
from springline.runtime.embedded.state import Resume, SourceProgress, write_progress
from springline.runtime.embedded.views import ViewFailed
from springline.storage import immediate

CONTROL = frozenset(
    one.value for one in (Operation.SCHEMA, Operation.LOAD, Operation.DROP, Operation.POSITION)
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Which source transaction a change came with; what work rows and feeds carry.

    ``before_position``: how far the source was applied before it; None if this is its first. ``position``: how far with it.
    """

    source: str
    before_position: str | None
    position: str | None
    committed_at_us: int
    log_sequence: int
    transaction: str = ""
    """The source's name of it, where it has one."""


class Consumer(Protocol):
    """Something that follows relations inside the tick, beside views: a knowledge base, an outbox."""

    relation: str

    def follow(self, connection: apsw.Connection, tick: Tick, cause: Cause, *, loading: bool) -> None:
        """Reads ``temp."d:relation"`` and brings its own state forward. The relation's table still holds its old rows."""
        ...

    def undo(self, tick: Tick) -> None:
        """The tick was rolled back: what it changed in memory is taken back."""
        ...


class WorkResult(Protocol):
    """A finished piece of model work, applied in the next tick if its input is still current."""

    def apply(self, connection: apsw.Connection, tick: Tick) -> None: ...


@dataclass(slots=True)
class TickResult:
    """What a committed tick did."""

    tick: Tick
    resume: Resume
    changes: int = 0
    committed_at_us: int = 0
    duration_ms: float = 0.0
    touched: dict[str, int] = field(default_factory=dict[str, int])
    feed: list[RelationChange] = field(default_factory=list[RelationChange])
    source_commit_times_us: list[int] = field(default_factory=list[int])
    results: Sequence[WorkResult] = ()


class Engine:
    """Runs ticks. Every method is called by the engine's thread."""

    def __init__(self, connection: apsw.Connection, relations: Relations, resume: Resume) -> None:
        self._connection = connection
        self._relations = relations
        self._consumers: dict[str, list[Consumer]] = {}
        self.reshaped: Callable[[TableSchema, Tick, Cause], None] | None = None
        """Told when a table has got another shape, its rows with it."""
        self.joins_transactions = True
        """Neighbouring small transactions are carried through together. Otherwise whoever follows a table sees each one by itself."""
        self.resume = resume
        self.running = threading.Lock()
        """Held while a tick runs."""
        self.followed: Mapping[str, int] = {}
        """Relations that feeds subscribe to; replaced, never changed, by another thread."""

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers.setdefault(consumer.relation, []).append(consumer)

    def run(
        self,
        transactions: Sequence[tuple[Logged, Iterable[list[Entry]]]],
        results: Sequence[WorkResult] = (),
        wait_durable: Callable[[int], None] | None = None,
    ) -> TickResult:
        """Applies transactions and work results in one tick. ``wait_durable`` returns when the log has committed them all; only then
        is the tick committed. Raises ViewFailed after rolling everything back; any other error too leaves the state as it was."""
        started = time.perf_counter()
        tick = Tick(self.resume.tick + 1)
        outcome = TickResult(tick, self.resume, results=results)
        applied: dict[str, SourceProgress] = {}
        with self.running, self._undone_on_error(tick), immediate(self._connection):
            for part, is_last in _with_last(_parts(transactions, joined=self.joins_transactions)):
                self._apply(part, tick, applied, outcome, is_last=is_last)
            for result in results:
                result.apply(self._connection, tick)
            self._relations.watermarks.settle()
            sequence = transactions[-1][0].sequence if transactions else self.resume.log_sequence
            outcome.resume = self.resume.advanced(tick, sequence, applied)
            outcome.committed_at_us = time.time_ns() // 1_000
            write_progress(self._connection, outcome.resume, applied, outcome.committed_at_us)
            if transactions and wait_durable is not None:
                wait_durable(sequence)
        self.resume = outcome.resume
        outcome.committed_at_us = time.time_ns() // 1_000
        outcome.duration_ms = (time.perf_counter() - started) * 1_000
        return outcome

    def install(
        self,
        definitions: Sequence[ViewDefinition],
        schemas: Sequence[TableSchema],
        event_times: Mapping[str, EventTime] | None = None,
    ) -> TickResult:
        """Brings tables, their event times and views to what the application declares, in a tick of its own."""
        tick = Tick(self.resume.tick + 1)
        outcome = TickResult(tick, self.resume.advanced(tick, self.resume.log_sequence, {}))
        with self.running, self._relations.restored_on_error(), immediate(self._connection):
            filled = self._relations.install(definitions, schemas, tick, event_times or {})
            outcome.touched.update(dict.fromkeys(filled, 0))
            outcome.committed_at_us = time.time_ns() // 1_000
            write_progress(self._connection, outcome.resume, {}, outcome.committed_at_us)
        self.resume = outcome.resume
        return outcome

    def stop_view(self, failure: ViewFailed) -> None:
        """Stops a view that cannot be maintained, so that the tick can run without it."""
        with self.running, immediate(self._connection):
            self._relations.stop_view(failure)

    @contextlib.contextmanager
    def _undone_on_error(self, tick: Tick) -> Iterator[None]:
        """What is kept in memory follows the transaction when that is rolled back."""
        try:
            with self._relations.restored_on_error():
                yield
        except BaseException:
            for consumers in self._consumers.values():
                for consumer in consumers:
                    consumer.undo(tick)
            raise

    def _apply(
        self,
        part: _Part,
        tick: Tick,
        applied: dict[str, SourceProgress],
        outcome: TickResult,
        *,
        is_last: bool,
    ) -> None:
        """Folds a part's entries and carries them through, stopping at every control entry to keep the order."""
        logged = part.transactions[-1]
        known = applied.get(logged.source) or self.resume.applied.get(logged.source)
        cause = Cause(
            logged.source,
            known.position if known else None,
            logged.position_text,
            logged.committed_at_us,
            logged.sequence,
            logged.identifier,
        )
        changes: dict[str, TableChanges] = {}
        tables = self._relations.mirrors
        for operation, table, before, after in part.entries:
            if operation in CONTROL:
                self._propagate(changes, tick, cause, outcome)
                changes = {}
                if operation == Operation.POSITION.value:
                    applied[table] = _progress(after, logged.sequence)
                else:
                    self._control(operation, table, after, tick, cause, outcome)
                tables = self._relations.mirrors
                continue
            change = changes.get(table)
            if change is None:
                if table not in tables:
                    continue
                change = changes[table] = TableChanges(tables[table].schema)
            if operation == "R":
                change.add_rows(cast("Sequence[Row]", after))
            else:
                change.add(operation, before, after, tables[table].stored_row)
        self._propagate(changes, tick, cause, outcome, is_last=is_last)
        outcome.changes += size_of(part.entries)
        if part.ended:
            outcome.source_commit_times_us.extend(one.committed_at_us for one in part.ended)
            last = part.ended[-1]  # All of a part are of one source.
            applied[last.source] = SourceProgress(last.position_text, last.committed_at_us, last.sequence)

    def _propagate(
        self,
        changes: Mapping[str, TableChanges],
        tick: Tick,
        cause: Cause,
        outcome: TickResult,
        *,
        is_last: bool = False,
    ) -> None:
        """Carries the deltas of tables through everything that reads them, in the one fixed order (sql/program.py). With the last
        ones of a tick, watermarks move and windows close."""
        relations = self._relations
        if not changes and not (is_last and relations.watermarks):
            return
        active: set[str] = set()
        filled: list[str] = []
        for name, change in sorted(changes.items()):
            self._set_aside(name, change.missing, tick)
            if not change:
                continue
            mirror = relations.mirrors[name]
            is_read = (
                name in relations.readers
                or name in relations.lists
                or name in self._consumers
                or name in self.followed
                or name in relations.watermarks
            )
            if is_read:
                mirror.fill_delta(change)
                filled.append(name)
                relations.watermarks.observe(mirror.schema, cause.committed_at_us)
                self._read_delta(name, tick, cause, active, outcome)
            mirror.apply(change, tick, is_filled=is_read)
            if name in relations.reloading:
                mirror.mark_seen(key for key, row in change.net.items() if row is not None)
            outcome.touched[name] = outcome.touched.get(name, 0) + len(change)
        moved = relations.watermarks.advance(cause.committed_at_us, relations.loading()) if is_last else ()
        for view in relations.views_in_order:
            closes = bool(view.program.close) and is_last and (view.name in moved or view.name in active)
            if view.name in active or closes:
                filled.append(view.name)
                if view.program.close and not closes:
                    relations.watermarks.stir(view.name)
                count = view.finish(tick, closes=closes)
                outcome.touched.update(view.late())
                if count:
                    self._read_delta(view.name, tick, cause, active, outcome)
                    view.apply(tick)
                    outcome.touched[view.name] = outcome.touched.get(view.name, 0) + count
        for name in filled:
            relations.clear(name)

    def _set_aside(self, table: str, missing: Sequence[Key], tick: Tick) -> None:
        """Rows whose unsent values nobody holds. While the table is loaded the snapshot brings them; otherwise they are dead letters."""
        if not missing or self._relations.is_loading(table):
            return
        self._connection.executemany(
            "INSERT OR REPLACE INTO _dead_letters(what, name, key, reason, tick, at_us) VALUES ('row', ?, ?, ?, ?, ?)",
            [
                (
                    table,
                    repr(key),
                    "an update without its large values, for a row that is not here",
                    tick,
                    time.time_ns() // 1_000,
                )
                for key in missing
            ],
        )

    def _read_delta(self, name: str, tick: Tick, cause: Cause, active: set[str], outcome: TickResult) -> None:
        """Lets everything that reads a relation see its delta, before the delta is applied."""
        if name in self._relations.lists:
            self._relations.lists.append(name, tick)
        for view in self._relations.readers.get(name, ()):
            view.on_input(name, tick)
            active.add(view.name)
        for consumer in self._consumers.get(name, ()):
            consumer.follow(self._connection, tick, cause, loading=self._relations.is_loading(name))
        if name in self.followed:
            outcome.feed.extend(self._relations.feed(name, tick))

    def _control(
        self,
        operation: str,
        table: str,
        after: Sequence[object] | None,
        tick: Tick,
        cause: Cause,
        outcome: TickResult,
    ) -> None:
        if operation == Operation.SCHEMA.value and after:
            schema = TableSchema.from_json(after[0])  # pyright: ignore[reportArgumentType]
            if self._relations.set_schema(schema, tick) and self.reshaped is not None:
                self.reshaped(schema, tick, cause)
        elif operation == Operation.DROP.value:
            self._relations.drop_table(table)
        elif table in self._relations.mirrors and after:
            if after[0] == "loading":
                self._relations.begin_loading(table)
                return
            gone: list[Key] = self._relations.end_loading(table)
            change = TableChanges(self._relations.mirrors[table].schema)
            change.remove(gone)
            self._propagate({table: change}, tick, cause, outcome)
            self._relations.finish_loading(table)


@dataclass(slots=True)
class _Part:
    """Some entries that are carried through together: several small transactions, or one fragment of a large one."""

    transactions: list[Logged]
    entries: list[Entry]
    ended: list[Logged]


def _with_last(parts: Iterator[_Part]) -> Iterator[tuple[_Part, bool]]:
    """Each part, and whether it is the tick's last."""
    waiting: _Part | None = None
    for part in parts:
        if waiting is not None:
            yield waiting, False
        waiting = part
    if waiting is not None:
        yield waiting, True


def _progress(after: Sequence[object] | None, log_sequence: int) -> SourceProgress:
    position, committed_at_us = cast("tuple[str, int]", after)
    return SourceProgress(position, committed_at_us, log_sequence)


def _parts(transactions: Sequence[tuple[Logged, Iterable[list[Entry]]]], *, joined: bool) -> Iterator[_Part]:
    """Neighbouring small transactions of one source become one part, if ``joined``; each fragment of a spilled one is a part of its
    own."""
    part: _Part | None = None
    for logged, fragments in transactions:
        if not logged.is_spilled:
            for entries in fragments:
                if joined and part is not None and part.transactions[-1].source == logged.source:
                    part.transactions.append(logged)
                    part.entries.extend(entries)
                    part.ended.append(logged)
                    continue
                if part is not None:
                    yield part
                part = _Part([logged], list(entries), [logged])
            continue
        if part is not None:
            yield part
            part = None
        for entries in fragments:
            yield _Part([logged], entries, [])
        yield _Part([logged], [], [logged])
    if part is not None:
        yield part
