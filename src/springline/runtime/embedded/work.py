"""The work thread: splits documents, asks the memo, embeds what is new, hands the results to the next tick.

Reads the queue through a read connection and holds none while a model is called. Interactive edits go before backfill: a backfill batch is
small, and the queue is looked at again after each.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import apsw

from springline.context.knowledge_tables import known_hashes
from springline.errors import ModelError, ModelUnavailable, SpringlineError
from springline.inference.base import retry_after_s, vector_to_bytes
from springline.operators.splitting import Passage, split
from springline.runtime.embedded.engine import WorkResult
from springline.runtime.embedded.knowledge import DocumentDone, DocumentFailed, Knowledge
from springline.runtime.embedded.readers import Readers
from springline.runtime.embedded.tables import quote

DOCUMENTS_AT_ONCE = 16
WORK_NICENESS = 10

_logger = logging.getLogger("springline.work")


@dataclass(frozen=True, slots=True)
class Document:
    """One row of ``_work`` with its text."""

    knowledge: Knowledge
    document: str
    input_hash: str
    text: str
    format: str
    backfill: bool


class Worker:
    """Runs until stopped. ``submit`` hands a result to the engine."""

    def __init__(
        self, knowledge: Mapping[str, Knowledge], readers: Readers, submit: Callable[[WorkResult], None]
    ) -> None:
        self._knowledge = knowledge
        self._readers = readers
        self._submit = submit
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._tick = 0
        self._submitted: set[tuple[str, str, str]] = set()
        self._thread = threading.Thread(target=self._run, name="work", daemon=True)
        self.passages_embedded = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Finishes the running model call. Idempotent."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def notice(self, tick: int, applied: Sequence[WorkResult]) -> None:
        """A tick was committed: there may be new work, and these results are applied."""
        with self._changed:
            self._tick = tick
            self._submitted -= {
                _key(one) for one in applied if isinstance(one, DocumentDone | DocumentFailed)
            }
            self._changed.notify_all()

    def _run(self) -> None:
        lower_priority()
        seen = -1
        while not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda seen=seen: self._stop.is_set() or self._tick != seen, 0.5)
                seen = self._tick
            try:
                while not self._stop.is_set() and (documents := self._next()):
                    self._process(documents)
            except SpringlineError as error:
                _logger.warning("model work waits: %s", error)
                self._stop.wait(0.5)
            except Exception:  # The queue is durable; a defect must not end the thread silently.
                _logger.exception("model work failed")
                self._stop.wait(1.0)

    def _next(self) -> list[Document]:
        """The next documents: interactive ones, or else a few of the backfill."""
        with self._changed:
            submitted = set(self._submitted)
        # Copied before the snapshot is opened: what was applied in between is then merely looked at twice.
        with self._readers.read() as connection:
            rows = connection.execute(
                """SELECT knowledge, document, input_hash, backfill FROM _work WHERE retry_at_us <= ?
                   ORDER BY backfill, log_sequence LIMIT ?""",
                (time.time_ns() // 1_000, DOCUMENTS_AT_ONCE * 4),
            ).fetchall()
            documents: list[Document] = []
            for name, document, input_hash, backfill in rows:
                if (name, document, input_hash) in submitted or name not in self._knowledge:
                    continue
                if documents and documents[0].backfill != bool(backfill):
                    break
                found = _read_document(connection, self._knowledge[name], document)
                if found is not None:
                    documents.append(
                        Document(self._knowledge[name], document, input_hash, *found, bool(backfill))
                    )
                if len(documents) == DOCUMENTS_AT_ONCE:
                    break
            return documents

    def _process(self, documents: Sequence[Document]) -> None:
        passages = {one.document: _split(one) for one in documents}
        for knowledge in {one.knowledge.definition.name: one.knowledge for one in documents}.values():
            mine = [one for one in documents if one.knowledge is knowledge]
            self._embed(knowledge, mine, {one.document: passages[one.document] for one in mine})

    def _embed(
        self, knowledge: Knowledge, documents: Sequence[Document], passages: Mapping[str, Sequence[Passage]]
    ) -> None:
        model = knowledge.embedder.model
        with self._readers.read() as connection:
            known = known_hashes(connection, {one.hash for many in passages.values() for one in many}, model)
        vectors: dict[str, bytes] = {}
        for document in documents:
            mine = passages[document.document]
            missing = {one.hash: one for one in mine if one.hash not in known and one.hash not in vectors}
            try:
                self._embed_missing(knowledge, list(missing.values()), vectors)
            except ModelError as error:
                self._fail(document, error)
                continue
            needed = {one.hash: vectors[one.hash] for one in mine if one.hash in vectors}
            self._hand_in(DocumentDone(knowledge, document.document, document.input_hash, mine, needed))
            if self._stop.is_set():
                return

    def _embed_missing(
        self, knowledge: Knowledge, missing: Sequence[Passage], vectors: dict[str, bytes]
    ) -> None:
        size = max(1, min(knowledge.embedder.batch_size, 16))
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            matrix = knowledge.embedder.embed([one.model_input() for one in batch])
            vectors.update({one.hash: vector_to_bytes(row) for one, row in zip(batch, matrix, strict=True)})
            self.passages_embedded += len(batch)

    def _fail(self, document: Document, error: ModelError) -> None:
        pause_s = None
        if isinstance(error, ModelUnavailable):
            pause_s = retry_after_s(error) or 2.0
        now_us = time.time_ns() // 1_000
        failed = DocumentFailed(
            document.knowledge, document.document, document.input_hash, str(error), pause_s, now_us
        )
        self._hand_in(failed)

    def _hand_in(self, result: DocumentDone | DocumentFailed) -> None:
        # Its row stays in the queue until a tick has applied the result; it is not taken again before.
        with self._changed:
            self._submitted.add(_key(result))
        self._submit(result)


def _key(result: DocumentDone | DocumentFailed) -> tuple[str, str, str]:
    return result.knowledge.definition.name, result.document, result.input_hash


def _read_document(
    connection: apsw.Connection, knowledge: Knowledge, document: str
) -> tuple[str, str] | None:
    definition = knowledge.definition
    form = quote(definition.format) if definition.format else "'markdown'"
    found = connection.execute(
        f"""SELECT {quote(definition.text)}, {form} FROM main.{quote(definition.relation)}
            WHERE {quote(definition.document)} = ?""",
        (document,),
    ).fetchone()
    return None if found is None or found[0] is None else (str(found[0]), str(found[1]))


def _split(document: Document) -> list[Passage]:
    limits = document.knowledge.definition.limits
    return split(document.text, format="text" if document.format == "text" else "markdown", limits=limits)


def lower_priority(niceness: int = WORK_NICENESS) -> None:
    """Embedding must not delay ticks: this thread yields to the others where the system can tell threads apart (Linux)."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
    except (AttributeError, OSError):
        return
