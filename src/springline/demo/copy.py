"""The twin's copy: the demo's database and documents, read anew as a batch job does, in the same engine.

Each copy is an engine of its own on a database in memory: the rows of one REPEATABLE READ transaction go in as one tick, views are
filled from them, documents are split and embedded (a passage that was embedded before is not paid for again). So the same
assistant answers over it, and only the freshness differs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
import psycopg2

from springline.context.knowledge import KnowledgeDefinition
from springline.core.change import Entry, load_entry, schema_entry
from springline.core.position import PositionVector, PostgresPosition, position_to_text
from springline.core.schema import Column, TableSchema
from springline.core.types import STRING, Stored, store
from springline.errors import SourceUnavailable
from springline.inference.base import Embedder
from springline.log.base import Logged
from springline.runtime.base import Freshness, QueryResult
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.rebuild import drain, embed_missing, memory_engine
from springline.runtime.embedded.runtime import Language
from springline.runtime.embedded.search import Search
from springline.runtime.embedded.snapshot import EmbeddedSnapshot, Tools

DOCUMENTS = "policies.documents"


class CopySnapshot(EmbeddedSnapshot):
    """A snapshot that never changes and may be read by several threads, one after the other."""

    def __init__(self, connection: apsw.Connection, freshness: Freshness, tools: Tools) -> None:
        super().__init__(connection, freshness, tools)
        self._one_at_a_time = threading.Lock()

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, limit: int | None = None
    ) -> QueryResult:
        with self._one_at_a_time:
            return super().query(sql, parameters, limit)

    def search(self, knowledge_base: str, text: str, *, limit: int = 8, also: str = "") -> Sequence[Any]:
        with self._one_at_a_time:
            return super().search(knowledge_base, text, limit=limit, also=also)

    def last_change(self, relation: str, key: Sequence[Stored]) -> tuple[int, int | None] | None:
        with self._one_at_a_time:
            return super().last_change(relation, key)


class Copier:
    """Makes copies. Used by the twin's thread."""

    def __init__(
        self,
        dsn: str,
        schemas: Sequence[TableSchema],
        views: Sequence[ViewDefinition],
        knowledge: KnowledgeDefinition,
        embedder: Embedder,
        documents: Path,
        language: Language,
        vectors: Mapping[str, bytes],
    ) -> None:
        self._dsn = dsn
        self._schemas = schemas
        self._views = views
        self._definition = knowledge
        self._embedder = embedder
        self._documents = documents
        self._language = language
        self._vectors = dict(vectors)
        self._connection: Any = None

    def copy(self) -> CopySnapshot:
        """Reads everything now. Raises SourceUnavailable."""
        began_us = time.time_ns() // 1_000
        tables, position = self._read_tables()
        documents = self._read_documents()
        connection, _, engine = memory_engine(self._language.compile_view, self._language.register)
        engine.install((), [*self._schemas, _document_schema()])
        knowledge = Knowledge(self._definition, _document_schema(), self._embedder)
        knowledge.create(connection)
        engine.add_consumer(knowledge)
        logged = Logged(
            1,
            self._schemas[0].name.split(".")[0],
            position_to_text(position),
            began_us,
            began_us,
            "copy",
            None,
            len(tables),
        )
        engine.run([(logged, [[*tables, *_document_entries(documents)]])])
        engine.install(self._views, [*self._schemas, _document_schema()])
        drain(
            connection,
            engine,
            knowledge,
            lambda base, passages: embed_missing(base.embedder, passages, self._vectors),
        )
        freshness = Freshness("none", True, 0.0, PositionVector(), began_us)
        tools = Tools(self._language.compile_query, Search({knowledge.definition.name: knowledge}).search)
        return CopySnapshot(connection, freshness, tools)

    def close(self) -> None:
        """Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_tables(self) -> tuple[list[Entry], PostgresPosition]:
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self._dsn, application_name="springline-twin")
                self._connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                self._connection.set_client_encoding("UTF8")
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_current_wal_lsn()::text")
                position = PostgresPosition.from_text(cursor.fetchone()[0])
                entries: list[Entry] = []
                for schema in self._schemas:
                    table = schema.name.split(".", 1)[1]
                    names = ", ".join(f'"{name}"' for name in schema.names)
                    cursor.execute(f"SELECT {names} FROM {table}")
                    types = [column.type for column in schema.columns]
                    entries += [schema_entry(schema)]
                    entries += [
                        (
                            "r",
                            schema.name,
                            None,
                            [store(value, type_) for value, type_ in zip(row, types, strict=True)],
                        )
                        for row in cursor
                    ]
                    entries += [load_entry(schema.name, loading=False)]
                return entries, position
        except psycopg2.Error as error:
            self.close()
            raise SourceUnavailable(f"The twin cannot read the database: {str(error).strip()}") from error

    def _read_documents(self) -> dict[str, str]:
        return {
            path.relative_to(self._documents).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted(self._documents.rglob("*.md"))
            if not path.name.startswith(".")
        }


def _document_schema() -> TableSchema:
    columns = (Column("document", STRING, nullable=False), Column("content", STRING), Column("title", STRING))
    return TableSchema(DOCUMENTS, columns, ("document",))


def _document_entries(documents: Mapping[str, str]) -> list[Entry]:
    rows: list[Entry] = [
        ("r", DOCUMENTS, None, [name, text, text.partition("\n")[0].lstrip("# ").strip()])
        for name, text in documents.items()
    ]
    return [schema_entry(_document_schema()), *rows, load_entry(DOCUMENTS, loading=False)]
