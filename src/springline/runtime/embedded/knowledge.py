"""A knowledge base inside the ticks: which documents have new text, and, when their vectors exist, the change of passages.

A changed document becomes a row of ``_work`` in the tick that brought it. Its passages change when the work is done, all together; until
then, and if it fails, the last good version stays searchable. A deleted document goes in the tick that deletes it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import apsw

from springline.context.knowledge import KnowledgeDefinition
from springline.context.knowledge_tables import (
    PassageRow,
    ddl,
    document_family,
    drop_ddl,
    insert_passages,
    publish,
    stored_vectors,
)
from springline.context.vectors import VectorIndex
from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.text import guess_language
from springline.core.types import Stored, render
from springline.errors import ConfigurationError
from springline.inference.base import Embedder, vectors_from_bytes
from springline.operators.knowledge import StoredPassage, plan_update
from springline.operators.splitting import Passage
from springline.runtime.embedded.engine import Cause
from springline.runtime.embedded.tables import quote

MOST_ATTEMPTS = 6


def text_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class DocumentDone:
    """A document was split and every distinct passage has a vector: ``vectors`` holds those that the memo did not."""

    knowledge: Knowledge
    document: str
    input_hash: str
    passages: Sequence[Passage]
    vectors: Mapping[str, bytes]

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        self.knowledge.publish(connection, tick, self)


@dataclass(frozen=True, slots=True)
class DocumentFailed:
    """A document could not be processed. ``retry_after_s`` is None where it never will be."""

    knowledge: Knowledge
    document: str
    input_hash: str
    reason: str
    retry_after_s: float | None
    now_us: int

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        self.knowledge.fail(connection, tick, self)


class Knowledge:
    """Implements ``engine.Consumer`` for one knowledge base. Everything but ``index`` belongs to the engine's thread."""

    def __init__(self, definition: KnowledgeDefinition, schema: TableSchema, embedder: Embedder) -> None:
        self.definition = definition
        self.relation = definition.relation
        self.embedder = embedder
        self.index = VectorIndex(embedder.dimensions)
        self._schema = schema
        if schema.key != (definition.document,):
            raise ConfigurationError(
                f"Knowledge base {definition.name!r} needs {definition.relation!r} to have the key"
                f" ({definition.document}); its key is ({', '.join(schema.key)}).",
                hint="Name the key column with document=…, or read a view with such a key.",
            )
        self._wanted = [definition.document, definition.text]
        optional = (definition.title, definition.format, definition.error, definition.content_hash)
        self._wanted += [name for name in (*optional, *definition.metadata) if name is not None]
        for name in self._wanted:
            if name not in schema:
                raise ConfigurationError(
                    f"Knowledge base {definition.name!r}: {definition.relation!r} has no column {name!r}.",
                    hint=f"Its columns: {', '.join(schema.names)}.",
                )
        self._read_delta = "SELECT {} FROM temp.{} WHERE _w {{}} 0".format(
            ", ".join(map(quote, self._wanted)), quote("d:" + self.relation)
        )
        self._documents = quote(f"k:{definition.name}:documents")
        self._passages = quote(f"k:{definition.name}:passages")

    def create(self, connection: apsw.Connection) -> None:
        connection.execute(ddl(self.definition.name))

    def drop(self, connection: apsw.Connection) -> None:
        connection.execute(drop_ddl(self.definition.name))
        connection.execute("DELETE FROM _work WHERE knowledge = ?", (self.definition.name,))

    def load_index(self, connection: apsw.Connection, tick: Tick) -> None:
        """Fills the in-memory index from the vectors of the visible passages."""
        self.index = VectorIndex(self.embedder.dimensions)
        batches = stored_vectors(connection, self.definition.name, self.embedder.model)
        self.index.load(
            ((ids, vectors_from_bytes(blobs, self.embedder.dimensions)) for ids, blobs in batches), tick=tick
        )

    def rebuild(self, connection: apsw.Connection, tick: Tick, cause: Cause) -> None:
        """Takes every row of the relation as new, and documents that it does not have as deleted: for a new knowledge base, after a change
        of embedder, and when the view that it reads was filled anew."""
        relation = f"main.{quote(self.relation)}"
        names = ", ".join(map(quote, self._wanted))
        connection.execute("DELETE FROM _work WHERE knowledge = ?", (self.definition.name,))
        key = quote(self.definition.document)
        for (gone,) in connection.execute(
            f"SELECT document FROM {self._documents} EXCEPT SELECT {key} FROM {relation}"
        ).fetchall():
            self._deleted(connection, str(gone), tick)
        for row in connection.execute(f"SELECT {names} FROM {relation}").fetchall():
            self._changed(
                connection, dict(zip(self._wanted, row, strict=True)), tick, cause, backfill=True, force=True
            )

    def follow(self, connection: apsw.Connection, tick: Tick, cause: Cause, *, loading: bool) -> None:
        came = connection.execute(self._read_delta.format(">")).fetchall()
        gone = {row[0] for row in connection.execute(self._read_delta.format("<"))} - {row[0] for row in came}
        for document in gone:
            self._deleted(connection, str(document), tick)
        for row in came:
            self._changed(
                connection, dict(zip(self._wanted, row, strict=True)), tick, cause, backfill=loading
            )

    def undo(self, tick: Tick) -> None:
        self.index.undo(tick)

    def publish(self, connection: apsw.Connection, tick: Tick, done: DocumentDone) -> None:
        """The document's new passages in, its old ones out. Ignored where its text has changed since."""
        name = self.definition.name
        connection.executemany(
            "INSERT OR REPLACE INTO _memo VALUES (?, ?, ?, ?)",
            ((key, self.embedder.model, value, 0) for key, value in done.vectors.items()),
        )
        if not self._is_current(connection, done.document, done.input_hash):
            return
        old = [
            StoredPassage(row[0], row[1], row[2], tuple(json.loads(row[3])), row[4], row[5], row[6])
            for row in connection.execute(
                f"""SELECT id, ordinal, hash, heading_path, start, "end", language FROM {self._passages}
                    WHERE document = ? AND visible = 1""",
                (done.document,),
            )
        ]
        plan = plan_update(old, done.passages)
        [(version,)] = connection.execute(
            f"""UPDATE {self._documents} SET version = version + 1, state = 'live', error = NULL, language = ?, _tick = ?
                WHERE document = ? RETURNING version""",
            (_language(done.passages), tick, done.document),
        ).fetchall()
        rows = [
            PassageRow(
                done.document,
                version,
                one.ordinal,
                one.heading_path,
                one.text,
                one.hash,
                one.language,
                one.start,
                one.end,
            )
            for one in plan.insert
        ]
        inserted = insert_passages(connection, name, rows, tick=tick)
        moved = {key: (one.ordinal, one.start, one.end, one.language) for key, one in plan.moved.items()}
        self._note_unused(connection, plan.remove)
        publish(connection, name, insert=inserted, remove=plan.remove, move=moved, tick=tick)
        # Kept passages too, where the index lacks them: after a change of embedder it begins empty.
        wanted = dict(zip(inserted, (row.hash for row in rows), strict=True))
        wanted |= {key: one.hash for key, one in plan.keep.items() if key not in self.index}
        self._index(connection, tick, list(wanted), list(wanted.values()), plan.remove)
        connection.execute("DELETE FROM _work WHERE knowledge = ? AND document = ?", (name, done.document))
        connection.execute(
            "DELETE FROM _dead_letters WHERE what = 'document' AND name = ? AND key = ?",
            (name, done.document),
        )

    def fail(self, connection: apsw.Connection, tick: Tick, failed: DocumentFailed) -> None:
        """Tries again later, or sets the document aside: its last good version stays searchable."""
        name, document = self.definition.name, failed.document
        if not self._is_current(connection, document, failed.input_hash):
            return
        [(attempts,)] = connection.execute(
            "UPDATE _work SET attempts = attempts + 1 WHERE knowledge = ? AND document = ? RETURNING attempts",
            (name, document),
        ).fetchall()
        connection.execute(
            f"UPDATE {self._documents} SET state = ?, error = ?, _tick = ? WHERE document = ?",
            ("pending" if failed.retry_after_s is not None else "failed", failed.reason, tick, document),
        )
        if failed.retry_after_s is not None and attempts < MOST_ATTEMPTS:
            connection.execute(
                "UPDATE _work SET retry_at_us = ? WHERE knowledge = ? AND document = ?",
                (failed.now_us + int(failed.retry_after_s * 1e6), name, document),
            )
            return
        connection.execute("DELETE FROM _work WHERE knowledge = ? AND document = ?", (name, document))
        connection.execute(f"UPDATE {self._documents} SET state = 'failed' WHERE document = ?", (document,))
        connection.execute(
            "INSERT OR REPLACE INTO _dead_letters(what, name, key, reason, tick, at_us) VALUES ('document', ?, ?, ?, ?, ?)",
            (name, document, failed.reason, tick, failed.now_us),
        )

    def _changed(
        self,
        connection: apsw.Connection,
        row: dict[str, Stored],
        tick: Tick,
        cause: Cause,
        *,
        backfill: bool,
        force: bool = False,
    ) -> None:
        definition = self.definition
        document, text = str(row[definition.document]), row[definition.text]
        error = row.get(definition.error) if definition.error else None
        if not isinstance(text, str) and error is None:
            self._deleted(connection, document, tick)
            return
        content = _content_hash(text, row.get(definition.content_hash) if definition.content_hash else None)
        found = connection.execute(
            f"SELECT state FROM {self._documents} WHERE document = ? AND content_hash IS ?",
            (document, content),
        ).fetchone()
        known = "pending" if found is None or force or found[0] == "failed" else str(found[0])
        state = "failed" if error is not None else known
        self._write_document(connection, row, content, state, error, tick, cause)
        if error is not None:
            connection.execute(
                "DELETE FROM _work WHERE knowledge = ? AND document = ?", (definition.name, document)
            )
        elif state == "pending":
            self._enqueue(connection, document, content, cause, backfill=backfill)

    def _write_document(
        self,
        connection: apsw.Connection,
        row: dict[str, Stored],
        content: str,
        state: str,
        error: Stored,
        tick: Tick,
        cause: Cause,
    ) -> None:
        document = str(row[self.definition.document])
        family, language = document_family(document)
        text = row[self.definition.text]
        metadata = {
            name: render(row[name], self._schema.column(name).type) for name in self.definition.metadata
        }
        title = row.get(self.definition.title) if self.definition.title else None
        connection.execute(
            f"""INSERT INTO {self._documents}(document, relation_key, title, family, language, content_hash, version, state,
                    source, position, committed_at_us, metadata, error, _tick)
                VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(document) DO UPDATE SET title = excluded.title, content_hash = excluded.content_hash,
                    state = excluded.state, source = excluded.source, position = excluded.position,
                    committed_at_us = excluded.committed_at_us, metadata = excluded.metadata, error = excluded.error,
                    _tick = excluded._tick""",
            (
                *(document, document, title or document, family),
                *(
                    language or guess_language(text if isinstance(text, str) else ""),
                    content,
                    state,
                    cause.source,
                ),
                *(
                    cause.before_position,
                    cause.committed_at_us,
                    json.dumps(metadata, ensure_ascii=False),
                    error,
                    tick,
                ),
            ),
        )

    def _enqueue(
        self, connection: apsw.Connection, document: str, content: str, cause: Cause, *, backfill: bool
    ) -> None:
        # A document that is pending already keeps its older cause: completeness is counted from there.
        connection.execute(
            """INSERT INTO _work(knowledge, document, input_hash, source, before_position, committed_at_us, log_sequence,
                   backfill) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT(knowledge, document) DO UPDATE SET input_hash = excluded.input_hash, attempts = 0,
                   retry_at_us = 0, backfill = min(backfill, excluded.backfill)""",
            (
                *(self.definition.name, document, content, cause.source, cause.before_position),
                *(cause.committed_at_us, cause.log_sequence, int(backfill)),
            ),
        )

    def _deleted(self, connection: apsw.Connection, document: str, tick: Tick) -> None:
        name = self.definition.name
        ids = [
            row[0]
            for row in connection.execute(f"SELECT id FROM {self._passages} WHERE document = ?", (document,))
        ]
        self._note_unused(connection, ids)
        publish(connection, name, insert=(), remove=ids, move={}, tick=tick)
        self.index.remove(tick, ids)
        connection.execute(f"DELETE FROM {self._documents} WHERE document = ?", (document,))
        connection.execute("DELETE FROM _work WHERE knowledge = ? AND document = ?", (name, document))
        connection.execute(
            "DELETE FROM _dead_letters WHERE what = 'document' AND name = ? AND key = ?", (name, document)
        )

    def _note_unused(self, connection: apsw.Connection, passages: Sequence[int]) -> None:
        """Dates the vectors of passages that go; they are kept for a while, in case the text comes back (``maintenance.Prune``)."""
        connection.execute(
            f"""UPDATE _memo SET made_at_us = ? WHERE model = ? AND hash IN (
                    SELECT hash FROM {self._passages} WHERE id IN (SELECT value FROM json_each(?)))""",
            (time.time_ns() // 1_000, self.embedder.model, json.dumps(list(passages))),
        )

    def _is_current(self, connection: apsw.Connection, document: str, input_hash: str) -> bool:
        found = connection.execute(
            "SELECT input_hash FROM _work WHERE knowledge = ? AND document = ?",
            (self.definition.name, document),
        ).fetchone()
        return found is not None and found[0] == input_hash

    def _index(
        self,
        connection: apsw.Connection,
        tick: Tick,
        ids: Sequence[int],
        hashes: Sequence[str],
        remove: Sequence[int],
    ) -> None:
        rows = dict(
            connection.execute(
                "SELECT hash, value FROM _memo WHERE model = ? AND hash IN (SELECT value FROM json_each(?))",
                (self.embedder.model, json.dumps(list(hashes))),
            ).fetchall()
        )
        self.index.remove(tick, remove)
        if ids:
            self.index.add(
                tick, ids, vectors_from_bytes([rows[key] for key in hashes], self.embedder.dimensions)
            )


def _content_hash(text: Stored, given: Stored) -> str:
    return str(given) if given is not None else text_hash(text if isinstance(text, str) else "")


def _language(passages: Sequence[Passage]) -> str:
    counts: dict[str, int] = {}
    for passage in passages:
        counts[passage.language] = counts.get(passage.language, 0) + len(passage.text)
    return max(counts, key=lambda name: counts[name]) if counts else "other"
