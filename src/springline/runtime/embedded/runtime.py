"""The embedded runtime: puts log, engine, capture, work and readers together, and takes them apart again."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apsw

from springline.context.knowledge import KnowledgeDefinition
from springline.core.schema import EventTime, TableSchema
from springline.core.types import Stored
from springline.errors import ConfigurationError, NotFound, SpringlineError, StateError
from springline.inference.base import Embedder
from springline.log.base import Publisher
from springline.log.sqlite import SqliteLog
from springline.runtime.base import ChangeBatch, OnMiss, RelationChange, Require, Status, TickNotice
from springline.runtime.embedded.barrier import Barrier
from springline.runtime.embedded.building import Builder, BuildProgress
from springline.runtime.embedded.capture import Capture, to_reload
from springline.runtime.embedded.catalog import Compiler, Relations, ViewDefinition
from springline.runtime.embedded.changelists import Retained
from springline.runtime.embedded.engine import Engine, TickResult
from springline.runtime.embedded.explaining import explained
from springline.runtime.embedded.feeds import Feeds
from springline.runtime.embedded.installing import install_knowledge, install_outbox
from springline.runtime.embedded.interpreter import Interpreter
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.loop import Loop
from springline.runtime.embedded.maintenance import ListRetention, Maintenance, Retention
from springline.runtime.embedded.measure import Measure
from springline.runtime.embedded.notices import Notices
from springline.runtime.embedded.progress import Progress, Reached
from springline.runtime.embedded.publishing import Publishing
from springline.runtime.embedded.readers import Checkpointer, Readers
from springline.runtime.embedded.rebuild import rebuilt
from springline.runtime.embedded.recorder import Recorder
from springline.runtime.embedded.search import Search
from springline.runtime.embedded.sizes import Sizes
from springline.runtime.embedded.snapshot import EmbeddedSnapshot, QueryCompiler, Tools
from springline.runtime.embedded.staging import drop_staged
from springline.runtime.embedded.state import (
    STATE_FORMAT,
    Relation,
    check_resume,
    read_relations,
    read_resume,
)
from springline.runtime.embedded.status import StatusReader
from springline.runtime.embedded.subscriptions import Subscriptions
from springline.runtime.embedded.work import Worker
from springline.sources.base import Source
from springline.sql.sharing import is_shared
from springline.storage import DataFolder, Memory, open_file, reported


@dataclass(frozen=True)
class Definition:
    """An application, as the embedded runtime needs it."""

    name: str
    sources: Sequence[Source]
    views: Sequence[ViewDefinition] = ()
    knowledge: Sequence[tuple[KnowledgeDefinition, Embedder]] = ()
    records: Sequence[TableSchema] = ()
    """Springline's own tables (receipts), written through the log."""
    event_times: Mapping[str, EventTime] = field(default_factory=dict[str, EventTime])
    retained: Mapping[str, Retained] = field(default_factory=dict[str, Retained])
    """Relations whose changes are kept for subscribers, and for how long."""
    publisher: Publisher | None = None
    """Where the changes of the sources' tables are handed over to."""


@dataclass(frozen=True)
class Language:
    """The SQL compiler, as functions, and what it needs on each connection."""

    compile_view: Compiler
    compile_query: QueryCompiler
    register: Callable[[apsw.Connection], None]
    explain: Callable[[object], str]


@dataclass(frozen=True)
class Options:
    """Limits of the embedded runtime."""

    inline_rows: int = 20_000
    """Views over no more rows than this are filled within one tick, at the start; others are built beside the ticks."""
    maximum_snapshot_age_s: float = 10.0
    wal_limit_bytes: int = 64 << 20
    retention: Retention = field(default_factory=Retention)
    memory: Memory = field(default_factory=Memory)
    vfs: str | None = None
    """SQLite VFS for both files; tests use one that forgets what was not synced."""


class EmbeddedRuntime:
    """Implements ``runtime.base.Runtime``."""

    def __init__(
        self, definition: Definition, folder: DataFolder, language: Language, options: Options | None = None
    ) -> None:
        self.definition = definition
        self.folder = folder
        self.options = options or Options()
        self._language = language
        self._state = "stopped"
        self._started_at_us = 0
        self._closing = contextlib.ExitStack()
        self._progress = Progress()
        self._measure = Measure()
        self._notices = Notices()
        self._interpreter = Interpreter()
        self._touched: dict[str, int] = {}
        self.knowledge: dict[str, Knowledge] = {}
        self._documents = frozenset(one.relation for one, _ in definition.knowledge)
        self._oldest: int | None = None
        self.publishing: Publishing | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Opens the data folder, brings the state to the definition, starts capture and ticks. Raises ConfigurationError or
        StateError with nothing left running."""
        self._state, self._started_at_us = "starting", time.time_ns() // 1_000
        self._interpreter.suit()
        self._closing.callback(self._interpreter.restore)
        try:
            with reported(self.folder.state_path):
                self._open_files()
                self._install()
                self._start_threads()
        except BaseException:
            self._state = "stopping"
            self._closing.close()
            self._state = "failed"
            raise
        self._state = "running"

    def stop(self) -> None:
        """Stops capture first, then lets the running tick finish. Idempotent."""
        self._state = "stopping"
        self._closing.close()
        self._state = "stopped"

    def _open_files(self) -> None:
        folder, options = self.folder, self.options
        folder.lock()
        self._closing.callback(folder.unlock)
        self.log = SqliteLog(folder.log_path, vfs=options.vfs)
        self._closing.callback(self.log.close)
        self._connection = open_file(folder.state_path, STATE_FORMAT, vfs=options.vfs, memory=options.memory)
        self._closing.callback(self._connection.close)
        self._language.register(self._connection)
        self._connection.execute("PRAGMA wal_autocheckpoint=0")
        resume = read_resume(self._connection)
        check_resume(resume, log_first=self.log.first_sequence(), log_last=self.log.last_sequence())
        self._recorder = Recorder(self.log, self.definition.records)
        self._closing.callback(self._recorder.close)
        drop_staged(self._connection)
        self._relations = Relations(
            self._connection, self._language.compile_view, inline_rows=options.inline_rows
        )
        self._engine = Engine(self._connection, self._relations, resume)

    def _install(self) -> None:
        """Tables, views and knowledge bases as declared, in one tick."""
        schemas = [schema for source in self.definition.sources for schema in self._schemas_of(source)]
        tables = [*schemas, *self.definition.records]
        self._relations.retained = frozenset(self.definition.retained)
        # A knowledge base follows deltas, which a view that is switched in has not: such views are filled at once.
        self._relations.filled_at_once = self._documents
        built = self._engine.install(self.definition.views, tables, self.definition.event_times)
        self._check_retained()
        self.knowledge.update(
            install_knowledge(
                self._connection, self._engine, self.definition.knowledge, self._known(), built.touched
            )
        )
        if self.definition.publisher is not None:
            install_outbox(self._connection, self._engine, schemas, self.definition.publisher)
        self._publish(built)

    def _known(self) -> dict[str, Relation]:
        """The tables and views of the application, and of late rows."""
        return {name: one for name, one in self._relations.relations.items() if not is_shared(name)}

    def _check_retained(self) -> None:
        known = {*self._known(), *(view.name for view in self.definition.views)}
        for name in self.definition.retained:
            if name not in known:
                raise ConfigurationError(
                    f"The changes of {name!r} are to be kept, but there is no such relation.",
                    hint=f"Known: {', '.join(sorted(known))}.",
                )

    def _schemas_of(self, source: Source) -> Sequence[TableSchema]:
        """What the source says now; while it does not answer, what is known from before."""
        try:
            return source.tables()
        except SpringlineError as error:
            prefix = source.name + "."
            known = [one.schema for name, one in self._relations.relations.items() if name.startswith(prefix)]
            if not error.transient or not known:
                raise
            return known

    @property
    def source_names(self) -> frozenset[str]:
        return frozenset(source.name for source in self.definition.sources)

    def _source_tables(self) -> list[TableSchema]:
        """The sources' tables, as they are now."""
        names = self.source_names
        return [schema for name, schema in self.schemas().items() if name.split(".")[0] in names]

    def _start_threads(self) -> None:
        definition, folder, options = self.definition, self.folder, self.options
        self._readers = Readers(
            folder.state_path,
            maximum_snapshot_age_s=options.maximum_snapshot_age_s,
            prepare=self._language.register,
            vfs=options.vfs,
            memory=options.memory,
        )
        self._closing.callback(self._readers.close)
        checkpointer = Checkpointer(
            folder.state_path,
            self._readers,
            self._engine.running,
            wal_limit_bytes=options.wal_limit_bytes,
            vfs=options.vfs,
        )
        self._closing.callback(checkpointer.close)
        self._search = Search(self.knowledge)
        self._tools = Tools(self._language.compile_query, self._search.search, self.building)
        self._subscriptions = Subscriptions(self._readers, self._progress, self.touched_at, self.building)
        self._feeds = Feeds(lambda followed: setattr(self._engine, "followed", followed))
        self._barrier = Barrier({source.name: source for source in definition.sources}, self._progress)
        self._closing.callback(self._barrier.close)
        self._loop = Loop(self._engine, self._relations, self.log, self._on_tick, self._on_failure)
        self._builder = Builder(
            self._connection,
            self._relations,
            folder.state_path,
            self._language.register,
            self._loop.submit,
            self._loop.between_ticks,
            vfs=options.vfs,
            memory=options.memory,
        )
        self._worker = Worker(self.knowledge, self._readers, self._loop.submit)
        self._captures = [Capture(source, self.log) for source in definition.sources]
        self.status_reader = StatusReader(self, checkpointer)
        self.sizes = Sizes(self._readers, lambda: self._progress.reached.tick)
        maintenance = Maintenance(
            self.log,
            checkpointer,
            self._readers,
            self.knowledge,
            self._progress,
            options.retention,
            self._loop.submit,
            ListRetention(self._relations, definition.retained),
            self.sizes,
        )
        if definition.publisher is not None:
            self.publishing = Publishing(
                definition.publisher, self._readers, self._progress, self._source_tables, self._loop.submit
            )
        publishing = () if self.publishing is None else (self.publishing,)
        for part in (self._loop, self._builder, self._worker, maintenance, *publishing, *self._captures):
            part.start()
            self._closing.callback(part.stop)

    # -- ticks -----------------------------------------------------------------------------------------------------

    def _on_tick(self, outcome: TickResult) -> None:
        """Told by the loop after every commit."""
        latencies = [
            max(0.0, (outcome.committed_at_us - at) / 1_000) for at in outcome.source_commit_times_us
        ]
        self._interpreter.ticked(outcome.changes)
        self._measure.tick(outcome.changes, latencies)
        for name in self._builder.notice(outcome.results):
            outcome.touched.setdefault(name, 0)
            self._feeds.restart(name)
        if self._publish(outcome) or outcome.results:
            self._worker.notice(outcome.tick, outcome.results)
        self._feeds.publish(outcome.feed)

    def _publish(self, outcome: TickResult) -> bool:
        """Tells whoever waits; whether model work is pending."""
        resume, oldest = outcome.resume, self._oldest_work(outcome)
        self._touched.update(dict.fromkeys(outcome.touched, int(outcome.tick)))
        self._progress.publish(
            Reached(resume.tick, resume.log_sequence, resume.vector(), oldest, self._relations.loading())
        )
        self._notices.publish(
            TickNotice(
                outcome.tick,
                outcome.committed_at_us,
                outcome.changes,
                {name: count for name, count in outcome.touched.items() if not is_shared(name)},
                max(outcome.source_commit_times_us, default=None),
                outcome.duration_ms,
            )
        )
        return oldest is not None

    def _oldest_work(self, outcome: TickResult) -> int | None:
        """Where in the log the oldest pending model work came from. Asked only after ticks that may have changed it."""
        is_same = not outcome.results and outcome.touched and self._documents.isdisjoint(outcome.touched)
        if not is_same:
            [(self._oldest,)] = self._connection.execute("SELECT min(log_sequence) FROM _work").fetchall()
        return self._oldest

    def _on_failure(self, error: BaseException) -> None:
        self._state = "failed"
        self._failure = error
        self._progress.fail(error)

    # -- reads -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def read(
        self,
        *,
        require: Require = "none",
        deadline_ms: float = 2_000,
        on_miss: OnMiss = "refuse",
        complete: bool = True,
    ) -> Iterator[EmbeddedSnapshot]:
        """See ``runtime.base``. ``complete=False``: rows only; pending model work (passages) is not waited for."""
        self._check_running()
        freshness = self._barrier.wait(require, deadline_ms, on_miss, complete=complete)
        with self._readers.read() as connection:
            yield EmbeddedSnapshot(connection, freshness, self._tools)

    def prepare(self, question: str) -> None:
        """Makes the question's vector before a snapshot is opened."""
        self._search.prepare(question)

    def schemas(self) -> Mapping[str, TableSchema]:
        self._check_running()
        with self._readers.read() as connection:
            return {
                name: one.schema
                for name, one in read_relations(connection).items()
                if one.state != "stopped" and not is_shared(name)
            }

    def explain(self, view: str) -> str:
        self._check_running()
        definition, language = self.definition, self._language
        with self._readers.read() as connection:
            return explained(
                view,
                definition.views,
                connection,
                definition.event_times,
                language.compile_view,
                language.explain,
            )

    def building(self) -> Mapping[str, BuildProgress]:
        """Views of which a version is being built beside the ticks, and how far that is."""
        return {name: one for name, one in self._builder.progress().items() if not is_shared(name)}

    def status(self) -> Status:
        return self.status_reader.read()

    def changes(
        self, relations: Sequence[str], stop: threading.Event, timeout_s: float = 1.0
    ) -> Iterator[RelationChange | None]:
        known = self.schemas()
        for name in relations:
            if name not in known:
                raise NotFound(f"There is no relation {name!r}.", hint=f"Known: {', '.join(sorted(known))}.")
        return self._feeds.subscribe(relations, stop, timeout_s)

    def subscribe(
        self,
        relation: str,
        after: str | None = None,
        *,
        stop: threading.Event | None = None,
        timeout_s: float = 1.0,
    ) -> Iterator[ChangeBatch]:
        """See ``runtime.base`` and ``subscriptions``."""
        self._check_running()
        return self._subscriptions.subscribe(relation, after, stop or threading.Event(), timeout_s)

    def ticks(self, stop: threading.Event, timeout_s: float = 1.0) -> Iterator[TickNotice | None]:
        """Notices of ticks from now on; see ``Notices``."""
        return self._notices.subscribe(stop, timeout_s)

    def settle(self, timeout_s: float = 2.0) -> None:
        """Waits until the log is applied as far as it goes now."""
        self._progress.wait_applied(self.log.last_sequence(), timeout_s)

    def rebuilt(self, log_sequence: int) -> contextlib.AbstractContextManager[EmbeddedSnapshot]:
        """The state as of a transaction of the log, built anew in memory. Raises NotFound where the log no longer reaches back."""
        memo = {key: value for name in self.knowledge for key, value in self.memo(name).items()}
        language = self._language
        return rebuilt(
            self.log,
            log_sequence,
            self.definition.views,
            self.definition.knowledge,
            memo,
            event_times=self.definition.event_times,
            compile_view=language.compile_view,
            compile_query=language.compile_query,
            register=language.register,
        )

    def memo(self, knowledge_base: str) -> dict[str, bytes]:
        """The vectors that a knowledge base's embedder has made, by the hash of the passage."""
        model = self.knowledge[knowledge_base].embedder.model
        with self._readers.read() as connection:
            return dict(
                connection.execute("SELECT hash, value FROM _memo WHERE model = ?", (model,)).fetchall()
            )

    def record(self, table: str, row: Sequence[Stored]) -> None:
        """Appends a row of one of Springline's own tables to the log. Durable when it returns."""
        self._recorder.record(table, row)

    def reload(self, names: Sequence[str]) -> list[str]:
        """Has tables loaded again from their sources while everything runs; their names. ``names``: tables, or sources for all of theirs;
        none for all that can be. Raises NotFound for others."""
        able = {capture.source.name: capture for capture in self._captures if capture.can_reload}
        chosen = to_reload(names, able, self.schemas())
        for source, mine in chosen.items():
            able[source].reload(mine)
        return [table for many in chosen.values() for table in many]

    @property
    def progress(self) -> Progress:
        return self._progress

    def _check_running(self) -> None:
        if self._state == "failed":
            raise StateError(
                f"The engine stopped: {self._failure}.",
                hint="See the log; a restart resumes from the last tick.",
            )
        if self._state not in ("running", "starting"):
            raise StateError("The application is not running.", hint="Start it with `springline run`.")

    _failure: BaseException | None = None

    # -- for status ------------------------------------------------------------------------------------------------

    def touched_at(self, relation: str) -> int:
        """The last tick of this run that changed the relation; 0 if none did."""
        return self._touched.get(relation, 0)

    @property
    def life(self) -> str:
        return self._state

    @property
    def started_at_us(self) -> int:
        return self._started_at_us

    @property
    def measure(self) -> Measure:
        return self._measure

    @property
    def readers(self) -> Readers:
        return self._readers

    @property
    def captures(self) -> Sequence[Capture]:
        return self._captures

    @property
    def loop_error(self) -> SpringlineError | None:
        return self._loop.error

    @property
    def failure(self) -> BaseException | None:
        return self._failure
