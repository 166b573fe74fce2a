"""The state as it was: a second engine, in memory, fed from the log up to some transaction. What receipts are verified on.

Also the inline way of doing model work (``drain``), for states that nobody else works on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import apsw

from springline.context.knowledge import KnowledgeDefinition
from springline.core.position import PositionVector, Tick
from springline.core.schema import EventTime
from springline.errors import NotFound
from springline.inference.base import Embedder, vector_to_bytes
from springline.log.sqlite import SqliteLog
from springline.operators.splitting import Passage, split
from springline.runtime.base import Freshness
from springline.runtime.embedded.catalog import Compiler, Relations, ViewDefinition
from springline.runtime.embedded.engine import Cause, Engine
from springline.runtime.embedded.knowledge import DocumentDone, Knowledge
from springline.runtime.embedded.loop import MOST_CHANGES
from springline.runtime.embedded.search import Search
from springline.runtime.embedded.snapshot import EmbeddedSnapshot, QueryCompiler, Tools
from springline.runtime.embedded.state import STATE_FORMAT, read_resume
from springline.runtime.embedded.tables import quote

VectorsOf = Callable[[Knowledge, Sequence[Passage]], Mapping[str, bytes]]
"""The vectors of passages, by hash: from a memo, or else from the model."""


def memory_engine(
    compile_view: Compiler, register: Callable[[apsw.Connection], None]
) -> tuple[apsw.Connection, Relations, Engine]:
    """An engine on an empty state in memory."""
    connection = apsw.Connection(":memory:", statementcachesize=300)
    for migrate in STATE_FORMAT.migrations:
        migrate(connection)
    register(connection)
    relations = Relations(connection, compile_view)
    return connection, relations, Engine(connection, relations, read_resume(connection))


def drain(connection: apsw.Connection, engine: Engine, knowledge: Knowledge, vectors_of: VectorsOf) -> None:
    """Does all pending model work of a knowledge base now, in one tick."""
    definition = knowledge.definition
    form = quote(definition.format) if definition.format else "'markdown'"
    rows = connection.execute(
        f"""SELECT w.document, w.input_hash, r.{quote(definition.text)}, {form}
            FROM _work w JOIN main.{quote(definition.relation)} r ON r.{quote(definition.document)} = w.document
            WHERE w.knowledge = ? AND r.{quote(definition.text)} IS NOT NULL""",
        (definition.name,),
    ).fetchall()
    done: list[DocumentDone] = []
    for document, input_hash, text, form in rows:
        passages = split(text, format="text" if form == "text" else "markdown", limits=definition.limits)
        done.append(DocumentDone(knowledge, document, input_hash, passages, vectors_of(knowledge, passages)))
    engine.run((), done)


def embed_missing(
    embedder: Embedder, passages: Sequence[Passage], known: dict[str, bytes]
) -> Mapping[str, bytes]:
    """The passages' vectors, adding to ``known`` those that it lacks."""
    missing = {one.hash: one for one in passages if one.hash not in known}
    if missing:
        matrix = embedder.embed([one.model_input() for one in missing.values()])
        known.update({key: vector_to_bytes(row) for key, row in zip(missing, matrix, strict=True)})
    return {one.hash: known[one.hash] for one in passages}


@contextlib.contextmanager
def rebuilt(
    log: SqliteLog,
    log_sequence: int,
    views: Sequence[ViewDefinition],
    knowledge: Sequence[tuple[KnowledgeDefinition, Embedder]],
    memo: dict[str, bytes],
    *,
    event_times: Mapping[str, EventTime],
    compile_view: Compiler,
    compile_query: QueryCompiler,
    register: Callable[[apsw.Connection], None],
) -> Iterator[EmbeddedSnapshot]:
    """A snapshot of the state as of ``log_sequence``, all model work of its documents done. Costs as much as applying the log once.

    Raises NotFound where the log no longer holds everything from its beginning.
    """
    if log.first_sequence() > 1:
        raise NotFound(
            f"The log begins at {log.first_sequence()}; what came before was dropped by retention.",
            hint="Keep the log longer (log_retention) to verify older receipts.",
        )
    connection, relations, engine = memory_engine(compile_view, register)
    try:
        _replay(log, engine, log_sequence)
        tables = [one.schema for one in relations.relations.values() if one.kind == "table"]
        engine.install(views, tables, event_times)
        bases: dict[str, Knowledge] = {}
        for definition, embedder in knowledge:
            base = bases[definition.name] = Knowledge(
                definition, relations.relations[definition.relation].schema, embedder
            )
            base.create(connection)
            base.rebuild(
                connection, Tick(engine.resume.tick), Cause(definition.relation, None, None, 0, log_sequence)
            )
            drain(connection, engine, base, lambda one, passages: embed_missing(one.embedder, passages, memo))
        freshness = Freshness("none", True, 0.0, PositionVector(), time.time_ns() // 1_000)
        snapshot = EmbeddedSnapshot(connection, freshness, Tools(compile_query, Search(bases).search))
        snapshot.log_sequence = log_sequence
        yield snapshot
    finally:
        connection.close()


def _replay(log: SqliteLog, engine: Engine, through: int) -> None:
    while engine.resume.log_sequence < through:
        after = engine.resume.log_sequence
        small = [
            (logged, [entries])
            for logged, entries in log.read_small(after, MOST_CHANGES)
            if logged.sequence <= through
        ]
        if small:
            engine.run(small)
        else:
            engine.run([(logged, log.entries(logged)) for logged in log.read(after, 1)])
