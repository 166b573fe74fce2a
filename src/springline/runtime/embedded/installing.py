"""What follows relations inside ticks, brought to what the application declares: knowledge bases, and capture's outbox."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence

import apsw

from springline.context.knowledge import KnowledgeDefinition
from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError
from springline.inference.base import Embedder
from springline.log.base import Publisher
from springline.runtime.embedded.engine import Cause, Engine
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.outbox import Outbox
from springline.runtime.embedded.state import Relation
from springline.storage import immediate


def install_knowledge(
    connection: apsw.Connection,
    engine: Engine,
    definitions: Sequence[tuple[KnowledgeDefinition, Embedder]],
    known: Mapping[str, Relation],
    filled: Collection[str],
) -> dict[str, Knowledge]:
    """The knowledge bases, each following its relation from the next tick on. One that is new or declared otherwise, or whose relation was
    ``filled`` anew, is made anew; others that are here go. Raises ConfigurationError."""
    made: dict[str, Knowledge] = {}
    resume = engine.resume
    with immediate(connection):
        installed = dict(connection.execute("SELECT name, definition FROM _knowledge").fetchall())
        for definition, embedder in definitions:
            relation = known.get(definition.relation)
            if relation is None:
                raise ConfigurationError(
                    f"Knowledge base {definition.name!r} reads {definition.relation!r}, which does not exist.",
                    hint=f"Known: {', '.join(sorted(known))}.",
                )
            knowledge = Knowledge(definition, relation.schema, embedder)
            fingerprint = json.dumps([repr(definition), embedder.model])
            knowledge.create(connection)
            if installed.get(definition.name) != fingerprint or definition.relation in filled:
                knowledge.rebuild(connection, resume.tick, _start(engine, definition.relation.split(".")[0]))
                connection.execute(
                    "INSERT OR REPLACE INTO _knowledge VALUES (?, ?)", (definition.name, fingerprint)
                )
            knowledge.load_index(connection, resume.tick)
            made[definition.name] = knowledge
            engine.add_consumer(knowledge)
        for name in installed.keys() - made.keys():
            for table in ("documents", "passages", "fts"):
                connection.execute(f'DROP TABLE IF EXISTS "k:{name}:{table}"')
            connection.execute("DELETE FROM _knowledge WHERE name = ?", (name,))
            connection.execute("DELETE FROM _work WHERE knowledge = ?", (name,))
    return made


def install_outbox(
    connection: apsw.Connection, engine: Engine, schemas: Sequence[TableSchema], publisher: Publisher
) -> None:
    """Every table's changes go into the outbox from the next tick on; what is here already goes in now, where that was not done before."""
    boxes = {schema.name: Outbox(schema, publisher) for schema in schemas}
    with immediate(connection):
        for name, box in boxes.items():
            box.begin(connection, engine.resume.tick, _start(engine, name.split(".")[0]))
            engine.add_consumer(box)

    def reshaped(schema: TableSchema, tick: Tick, cause: Cause) -> None:
        if (box := boxes.get(schema.name)) is not None:
            box.reshape(schema)
            box.put_all(connection, tick, cause)

    engine.reshaped = reshaped
    engine.joins_transactions = False


def _start(engine: Engine, source: str) -> Cause:
    """The cause of what is done at the start, with what a source has brought so far."""
    applied = engine.resume.applied.get(source)
    position = applied.position if applied else None
    return Cause(source, None, position, time.time_ns() // 1_000, engine.resume.log_sequence)
