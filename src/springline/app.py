"""The composition root: an application declared in a few lines, and the only module that names concrete parts."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

from springline.assistant.answer import Assistant
from springline.assistant.base import Answer, AnswerEvent, AskRequest
from springline.assistant.receipts import RECEIPTS, Receipt
from springline.context.definition import ContextDefinition, Passages, Rows
from springline.context.knowledge import KnowledgeDefinition
from springline.core.clock import SystemClock
from springline.core.schema import EventTime
from springline.core.types import SqlType
from springline.errors import ConfigurationError, NotFound
from springline.inference.base import ChatModel, Embedder
from springline.inference.retrying import RetryingChatModel, RetryPolicy
from springline.runtime.base import ChangeBatch, Snapshot, TickNotice
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.changelists import MOST_RETAINED, Retained
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.serve.service import AssistantInfo
from springline.settings import Settings
from springline.sources.base import Source
from springline.sources.json_rows import JsonTable
from springline.sources.jsonl import JsonLinesSource
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.sources.kafka.tables import KafkaTable
    from springline.sql.user_functions import Functions

INTERACTIVE = RetryPolicy(attempts=2, first_wait_s=0.3, longest_wait_s=2.0)
"""Somebody waits for the answer: one more try, soon, and then the extractive answer."""

EmbedderChoice = Literal["auto", "local", "hashing"]


def load_part(module: str, name: str, extra: str) -> Any:
    """Imports one implementation; where its libraries are missing, says how to install them."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigurationError(
            f"{name} needs a library that is not installed: {error.name}.",
            hint=f'Install it with: pip install "springline[{extra}]"',
        ) from error


class App:
    """An application: sources, views, knowledge bases and an assistant. Declaring connects to nothing.

    ::

        app = App("travel")
        crm = app.postgres("crm", dsn="env:DATABASE_URL", tables=["customers", "bookings"])
        app.folder("policies", "policies/")
        app.view("trips", "SELECT b.id, b.customer_id, b.destination FROM crm.bookings b")
        app.knowledge("handbook", over="policies.documents")
        app.assistant(subject="customer", rows=[Rows("trips", subject_column="customer_id")], passages=["handbook"])

    ``springline run app.py`` runs it; ``with app.start() as running:`` does so in Python.
    """

    def __init__(self, name: str, *, settings: Settings | None = None) -> None:
        self.name = name
        self.settings = settings or Settings.load()
        self.sources: dict[str, Source] = {}
        self._folders: set[str] = set()
        self.views: list[ViewDefinition] = []
        self._functions: Functions | None = None
        self.retained: dict[str, Retained] = {}
        self.event_times: dict[str, EventTime] = {}
        self.knowledge_bases: list[tuple[KnowledgeDefinition, Embedder | EmbedderChoice | None]] = []
        self.context: ContextDefinition | None = None
        self.organisation = name
        self._model: ChatModel | None = None

    def source(self, source: Source) -> Source:
        """Adds any object that implements ``sources.base.Source``."""
        if source.name in self.sources:
            raise ConfigurationError(
                f"Two sources are named {source.name!r}.", hint="Give each source its own name."
            )
        if not source.name.isidentifier():
            raise ConfigurationError(
                f"{source.name!r} cannot name a source.",
                hint="Use letters, digits and underscores, a letter first.",
            )
        self.sources[source.name] = source
        return source

    def postgres(self, name: str, dsn: str, *, tables: Sequence[str], **options: Any) -> Source:
        """A PostgreSQL database, read by logical replication. ``dsn`` is a URI, ``key=value`` pairs, or ``env:NAME`` / ``file:PATH``.

        Each table becomes the relation ``name.table``. Options: ``publication``, ``slot``, ``exclude``, ``mask``, ``chunk_rows``;
        see ``sources.postgres.PostgresSource``.
        """
        make = load_part("springline.sources.postgres", "PostgresSource", "postgres")
        return self.source(make(name, self.settings.reveal(dsn), tables=tables, **options))

    def folder(self, name: str, path: str | Path, **options: Any) -> Source:
        """A folder of documents: the relation ``name.documents``. Options: see ``sources.files.FolderSource``."""
        make = load_part("springline.sources.files", "FolderSource", "files")
        self._folders.add(f"{name}.documents")
        return self.source(make(name, Path(path), **options))

    def jsonl(
        self, name: str, path: str | Path, *, tables: Mapping[str, JsonTable], **options: Any
    ) -> Source:
        """A file of JSON lines that grows. Each table becomes the relation ``name.table``.

        Options: ``table_field``, ``operation_field``, ``time_unit``; see ``sources.jsonl.JsonLinesSource``.
        """
        return self.source(JsonLinesSource(name, path, tables=tables, **options))

    def kafka(
        self,
        name: str,
        bootstrap: str,
        *,
        tables: Mapping[str, KafkaTable],
        schema_registry: str | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Source:
        """Kafka topics that others write: change records of Debezium and others, or plain rows. Each table becomes ``name.table``.

        ``schema_registry``: its URL, or its client's settings. Options: ``start``, ``on_lost``, ``options`` (librdkafka's settings, whose secrets
        may be ``env:NAME`` / ``file:PATH``); see ``sources.kafka.source.KafkaSource``.
        """
        make = load_part("springline.sources.kafka.source", "KafkaSource", "kafka")
        if schema_registry is not None:
            registry = load_part("springline.sources.kafka.registry", "Registry", "schema-registry")
            options["schemas"] = registry(name, schema_registry)
        return self.source(make(name, bootstrap, tables=tables, **options))

    def view(
        self,
        name: str,
        sql: str,
        *,
        key: Sequence[str] | None = None,
        windows: Literal["closing", "live"] = "closing",
        retain_s: float | None = None,
    ) -> None:
        """A view, kept equal to its SELECT. ``key`` is needed only where it cannot be inferred.

        ``retain_s``: for how long its changes are kept for subscribers (``retain``).

        ``windows="live"``: windows over event time follow every change for ever, instead of appearing once the watermark has
        passed their end.
        """
        self.views.append(ViewDefinition(name, sql, None if key is None else tuple(key), windows))
        if retain_s is not None:
            self.retain(name, retain_s)

    def function(
        self,
        name: str,
        function: Callable[..., object],
        *,
        arguments: Sequence[SqlType | str],
        returns: SqlType | str,
    ) -> None:
        """A Python function for SQL: ``app.function("shout", str.upper, arguments=["STRING"], returns="STRING")``.

        It takes Python values (None for NULL) and must be deterministic, without side effects. Where it raises, the row is left
        out of the view and becomes a dead letter. A view does not notice that a function's code has changed: give it another name.
        """
        self.functions.add_scalar(name, function, arguments, returns)

    def table_function(
        self,
        name: str,
        function: Callable[..., Iterable[Sequence[object]]],
        *,
        arguments: Sequence[SqlType | str],
        returns: Mapping[str, SqlType | str],
    ) -> None:
        """A Python function that gives rows, for ``LATERAL TABLE(name(…))``: ``returns={"word": "STRING"}`` names its columns."""
        self.functions.add_table(name, function, arguments, returns)

    @property
    def functions(self) -> Functions:
        """The Python functions that SQL may call. The compiler is loaded for them."""
        from springline.sql.user_functions import Functions

        self._functions = self._functions or Functions()
        return self._functions

    @property
    def declared_functions(self) -> Functions | None:
        """The same, or None where there are none."""
        return self._functions

    def retain(self, relation: str, retain_s: float, *, changes: int = MOST_RETAINED) -> None:
        """Keeps the changes of a table or view for ``retain_s`` seconds, and no more than ``changes`` of them, so that a subscriber that
        comes back with its last token is sent exactly what it has missed (``Running.subscribe``)."""
        if retain_s <= 0 or changes <= 0:
            raise ConfigurationError(
                f"The changes of {relation!r} cannot be kept for {retain_s:g} s and at most {changes} changes.",
                hint="Both must be greater than 0.",
            )
        self.retained[relation] = Retained(retain_s, changes)

    def event_time(
        self,
        table: str,
        column: str,
        *,
        delay_s: float = 0.0,
        lateness_s: float = 0.0,
        idle_after_s: float | None = None,
    ) -> None:
        """Declares which column of a table says when a row's event happened: ``WATERMARK FOR column AS column - delay`` in Flink.

        The table's watermark is the largest event time seen minus ``delay_s``. Windows over it appear when the watermark passes their
        end, and take changes for ``lateness_s`` more. A table without changes for ``idle_after_s`` while other sources go on holds
        nobody up. ``table`` is the full name, ``source.table``.
        """
        if table in self.event_times:
            raise ConfigurationError(
                f"Two event times are declared for {table!r}.", hint="A table has one column of event time."
            )
        seconds = (delay_s, lateness_s, 0.0 if idle_after_s is None else idle_after_s)
        if min(seconds) < 0:
            raise ConfigurationError(
                f"The event time of {table!r} has a negative duration.",
                hint="Durations are seconds from 0 on.",
            )
        idle_after_us = None if idle_after_s is None else round(idle_after_s * 1e6)
        self.event_times[table] = EventTime(
            column, round(delay_s * 1e6), round(lateness_s * 1e6), idle_after_us
        )

    def knowledge(
        self,
        name: str,
        *,
        over: str | Source,
        document: str = "document",
        text: str = "content",
        metadata: Sequence[str] = (),
        embedder: Embedder | EmbedderChoice | None = None,
    ) -> None:
        """A knowledge base, kept equal to the documents in a relation; ``over`` is its name or a folder source.

        ``document`` is the relation's key column, ``text`` the column with the document. ``embedder``: default from the settings.
        """
        relation = over if isinstance(over, str) else f"{over.name}.documents"
        definition = KnowledgeDefinition(name, relation, document, text, metadata=tuple(metadata))
        if relation in self._folders:
            definition = replace(
                definition, title="title", format="format", error="error", content_hash="content_hash"
            )
        self.knowledge_bases.append((definition, embedder))

    def assistant(
        self,
        *,
        subject: str,
        rows: Sequence[Rows] = (),
        passages: Sequence[Passages | str] = (),
        model: ChatModel | None = None,
        organisation: str | None = None,
        **options: Any,
    ) -> None:
        """The assistant and what it may be given: rows of views about the subject, and passages.

        ``subject`` names its kind: questions are asked as ``customer:42``. ``organisation``: in whose name a model answers. Without ``model`` and without a model in the settings it
        answers extractively. Options: see ``context.definition.ContextDefinition``.
        """
        parts = [*rows, *(Passages(one) if isinstance(one, str) else one for one in passages)]
        self.context = ContextDefinition(subject_kind=subject, parts=tuple(parts), **options)
        self._model = model
        self.organisation = organisation or self.name

    def definition(self) -> Definition:
        """What the runtime is given. Loads the embedding models."""
        shared: dict[str, Embedder] = {}
        return Definition(
            self.name,
            tuple(self.sources.values()),
            tuple(self.views),
            tuple((one, self._embedder(choice, shared)) for one, choice in self.knowledge_bases),
            (RECEIPTS,),
            event_times=dict(self.event_times),
            retained=dict(self.retained),
        )

    def start(
        self,
        *,
        data: Path | str | None = None,
        options: Options | None = None,
        definition: Definition | None = None,
    ) -> Running:
        """Runs the application in this process until ``stop``. Raises ConfigurationError, StateError, SourceError. ``definition``: another one
        than the application's own (``cluster.serving``)."""
        from springline.language import language

        folder = DataFolder(data or self.settings.data)
        runtime = EmbeddedRuntime(
            definition or self.definition(),
            folder,
            language(self._functions),
            options or self.settings.runtime_options(),
        )
        runtime.start()
        return Running(self, runtime)

    def chat_model(self) -> ChatModel | None:
        """The model that answers; None means extractive answers."""
        settings = self.settings
        if self._model is not None or settings.model is None:
            return self._model
        assert settings.model_url is not None  # checked by the settings
        make_endpoint = load_part("springline.inference.openai_compatible", "Endpoint", "models")
        make_model = load_part("springline.inference.openai_compatible", "OpenAiChatModel", "models")
        key = settings.model_key.reveal() if settings.model_key else None
        model: ChatModel = make_model(make_endpoint(settings.model_url, key), settings.model)
        return RetryingChatModel(model, INTERACTIVE, SystemClock())

    def _embedder(self, choice: Embedder | EmbedderChoice | None, shared: dict[str, Embedder]) -> Embedder:
        chosen = choice or cast("EmbedderChoice", self.settings.embedder)
        if not isinstance(chosen, str):
            return chosen
        if chosen not in shared:
            shared[chosen] = _make_embedder(chosen)
        return shared[chosen]


def _make_embedder(choice: str) -> Embedder:
    hashing = load_part("springline.inference.hashing", "HashingEmbedder", "files")
    if choice == "hashing":
        return hashing()
    try:
        return load_part("springline.inference.onnx_minilm", "MiniLmEmbedder", "local-models")()
    except ConfigurationError:
        if choice == "auto":
            return hashing()
        raise


class Running:
    """A running application. Thread-safe; implements ``serve.service.Service``."""

    def __init__(self, app: App, runtime: EmbeddedRuntime) -> None:
        self.app = app
        self.runtime = runtime
        self.model = app.chat_model()
        definition = app.context or ContextDefinition(subject_kind="subject", parts=())
        self._assistant = Assistant(runtime, definition, self.model, runtime, organisation=app.organisation)

    @property
    def name(self) -> str:
        return self.app.name

    def assistant(self) -> AssistantInfo:
        """Which assistant answers."""
        bases = tuple(definition.name for definition, _ in self.app.knowledge_bases)
        return AssistantInfo("model" if self.model else "extractive", self._assistant.model, bases)

    def ask(self, request: AskRequest) -> Answer:
        """Answers from one snapshot, and keeps the receipt. Raises NotFresh, NotFound, other ReadErrors."""
        return self._assistant.ask(request)

    def ask_stream(self, request: AskRequest) -> Iterator[AnswerEvent]:
        """The same in parts: ``context``, ``token`` …, ``answer``. Closing the iterator gives the question up."""
        return self._assistant.ask_stream(request)

    def answer_from(self, request: AskRequest, snapshot: Snapshot) -> Answer:
        """Answers from a snapshot that never changes; no barrier, no receipt."""
        return self._assistant.answer_from(request, snapshot)

    def receipt(self, receipt_id: str) -> dict[str, Any]:
        """The record behind an answer. Raises NotFound."""
        return self._receipt(receipt_id).to_json()

    def verify(self, receipt_id: str) -> dict[str, Any]:
        """Rebuilds the answer's context from the log and compares it. Raises NotFound where there is no such receipt."""
        return self._assistant.verify(self._receipt(receipt_id), self.runtime.rebuilt).to_json()

    def reload(self, tables: Sequence[str]) -> list[str]:
        """Loads tables (none named: all that can be) again from their sources while everything runs; their names."""
        return self.runtime.reload(tables)

    def subscribe(
        self,
        relation: str,
        after: str | None = None,
        *,
        stop: threading.Event | None = None,
        timeout_s: float = 1.0,
    ) -> Iterator[ChangeBatch]:
        """Changes of a table or view whose changes are kept (``retain_s``), each once and without a gap.

        ``after``: the token of the last batch that was dealt with, from this process or one before; None: the whole relation first;
        ``"now"``: only what comes. Each batch says what to do (``runtime.base.ChangeBatch``). Ends when ``stop`` is set.
        """
        return self.runtime.subscribe(relation, after, stop=stop, timeout_s=timeout_s)

    def ticks(self, stop: threading.Event, timeout_s: float = 1.0) -> Iterator[TickNotice | None]:
        return self.runtime.ticks(stop, timeout_s)

    def _receipt(self, receipt_id: str) -> Receipt:
        # What was just answered may be in the log and not yet in the tables.
        self.runtime.settle()
        with self.runtime.read() as snapshot:
            rows = snapshot.query(
                "SELECT body FROM springline.receipts WHERE id = :id", {"id": receipt_id}
            ).dictionaries()
        if not rows:
            raise NotFound(
                f"There is no receipt {receipt_id!r}.", hint="`springline receipts` lists the newest."
            )
        return Receipt.from_row(rows[0])

    def stop(self) -> None:
        """Stops everything; idempotent."""
        self.runtime.stop()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
