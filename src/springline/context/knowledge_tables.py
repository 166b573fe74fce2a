"""The tables of a knowledge base in ``state.db``: their DDL and the small statements that keep them.

Of each knowledge base ``kb``: ``k:kb:documents`` (one row a document, live, pending or failed), ``k:kb:passages`` (the passages of the last
good version are visible; those of a version whose vectors are not all there are not), ``k:kb:fts`` (the words of the
visible passages; contentless, rowid = passage id). Vectors are in the shared ``_memo``, by the hash of what was embedded and the model, and so
are paid for once: a renamed or restored document embeds nothing.

A document's new passages become visible in the transaction that removes the old ones (:func:`publish`), after all vectors exist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from springline.context.fulltext import TOKENIZER, tokenise
from springline.core.text import Language

MEMO_DDL: Final = """
CREATE TABLE IF NOT EXISTS "_memo"(
    hash TEXT NOT NULL, model TEXT NOT NULL, value BLOB NOT NULL, made_at_us INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (hash, model)) STRICT, WITHOUT ROWID;
"""
"""``value``: for embeddings ``inference.base.vector_to_bytes``."""

_DDL: Final = """
CREATE TABLE IF NOT EXISTS "k:{kb}:documents"(
    document TEXT PRIMARY KEY, relation_key TEXT NOT NULL, title TEXT, family TEXT NOT NULL, language TEXT NOT NULL,
    content_hash TEXT, version INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('live', 'pending', 'failed')),
    source TEXT, position TEXT, committed_at_us INTEGER, metadata TEXT NOT NULL DEFAULT '{{}}', error TEXT,
    _tick INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS "k:{kb}:documents:family" ON "k:{kb}:documents"(family, language);
CREATE INDEX IF NOT EXISTS "k:{kb}:documents:state" ON "k:{kb}:documents"(state) WHERE state <> 'live';
CREATE TABLE IF NOT EXISTS "k:{kb}:passages"(
    id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL, version INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    heading_path TEXT NOT NULL, text TEXT NOT NULL, hash TEXT NOT NULL, language TEXT NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, visible INTEGER NOT NULL, _tick INTEGER NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS "k:{kb}:passages:document" ON "k:{kb}:passages"(document, visible, ordinal);
CREATE INDEX IF NOT EXISTS "k:{kb}:passages:hash" ON "k:{kb}:passages"(hash);
CREATE VIRTUAL TABLE IF NOT EXISTS "k:{kb}:fts" USING fts5(
    heading, body, content='', contentless_delete=1, tokenize='{tokenizer}');
"""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}\Z")
_LANGUAGE_SUFFIX = re.compile(
    r"[._-](en|zh|ja|ko|fr|de|es|it|pt)(?:[_-][A-Za-z]{2,4})?(?=\.[^./]*\Z|\Z)", re.IGNORECASE
)
_LANGUAGE_FOLDER = re.compile(
    r"(?:\A|(?<=/))(en|zh|ja|ko|fr|de|es|it|pt)(?:[_-][A-Za-z]{2,4})?/", re.IGNORECASE
)


def ddl(kb: str) -> str:
    """The statements that make the tables of knowledge base ``kb``; repeatable. Raises ValueError for a name that is not a plain word."""
    if not _NAME.match(kb):
        raise ValueError(f"A knowledge base's name is a plain word (letters, digits, _ and -), not {kb!r}.")
    return _DDL.format(kb=kb, tokenizer=TOKENIZER)


def drop_ddl(kb: str) -> str:
    return "".join(f'DROP TABLE IF EXISTS "k:{kb}:{part}";' for part in ("fts", "passages", "documents"))


def documents_table(kb: str) -> str:
    return f"k:{kb}:documents"


def passages_table(kb: str) -> str:
    return f"k:{kb}:passages"


def fts_table(kb: str) -> str:
    return f"k:{kb}:fts"


def document_family(document: str) -> tuple[str, str | None]:
    """What the language versions of one document share, and the language that the name states.

    ``rebooking.md`` → (``rebooking.md``, None); ``rebooking.ja.md`` and ``ja/rebooking.md`` → (``rebooking.md``, ``ja``).
    """
    if match := _LANGUAGE_SUFFIX.search(document):
        return document[: match.start()] + document[match.end() :], match[1].lower()
    if match := _LANGUAGE_FOLDER.search(document):
        return document[: match.start()] + document[match.end() :], match[1].lower()
    return document, None


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage to be stored."""

    document: str
    version: int
    ordinal: int
    heading_path: tuple[str, ...]
    text: str
    hash: str
    language: Language
    start: int
    end: int


def insert_passages(
    connection: apsw.Connection, kb: str, rows: Iterable[PassageRow], *, tick: int
) -> list[int]:
    """Stores passages, invisible as yet; returns their ids. An id is never used twice."""
    sql = (
        f'INSERT INTO "k:{kb}:passages"(document, version, ordinal, heading_path, text, hash, language, start, "end", visible,'
        " _tick) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"
    )
    identifiers: list[int] = []
    for row in rows:
        heading_path = json.dumps(row.heading_path, ensure_ascii=False)
        values = (
            row.document,
            row.version,
            row.ordinal,
            heading_path,
            row.text,
            row.hash,
            row.language,
            row.start,
            row.end,
        )
        connection.execute(sql, (*values, tick))
        identifiers.append(connection.last_insert_rowid())
    return identifiers


def publish(
    connection: apsw.Connection,
    kb: str,
    *,
    insert: Sequence[int],
    remove: Sequence[int],
    move: Mapping[int, tuple[int, int, int, str]],
    tick: int,
) -> None:
    """Makes passages visible and takes the old ones away, in the caller's transaction. The caller does the same in the vector index.

    ``insert``: ids that ``insert_passages`` gave. ``remove``: ids, visible or not. ``move``: id → (ordinal, start, end, language) of kept
    passages.
    """
    for identifier in insert:
        row = connection.execute(
            f'UPDATE "k:{kb}:passages" SET visible = 1, _tick = ? WHERE id = ? AND visible = 0 RETURNING heading_path, text',
            (tick, identifier),
        ).fetchone()
        if row is not None:
            index_passage(connection, kb, identifier, json.loads(row[0]), row[1])
    for identifier in remove:
        connection.execute(f'DELETE FROM "k:{kb}:fts" WHERE rowid = ?', (identifier,))
        connection.execute(f'DELETE FROM "k:{kb}:passages" WHERE id = ?', (identifier,))
    for identifier, (ordinal, start, end, language) in move.items():
        connection.execute(
            f'UPDATE "k:{kb}:passages" SET ordinal = ?, start = ?, "end" = ?, language = ?, _tick = ? WHERE id = ?',
            (ordinal, start, end, language, tick, identifier),
        )


def index_passage(
    connection: apsw.Connection, kb: str, identifier: int, heading_path: Sequence[str], text: str
) -> None:
    """Writes the words of one visible passage (also used by repair)."""
    connection.execute(
        f'INSERT INTO "k:{kb}:fts"(rowid, heading, body) VALUES (?, ?, ?)',
        (identifier, tokenise(" ".join(heading_path)), tokenise(text)),
    )


def known_hashes(connection: apsw.Connection, hashes: Iterable[str], model: str) -> set[str]:
    """Which of ``hashes`` have a value in the memo."""
    rows = connection.execute(
        'SELECT hash FROM "_memo" WHERE model = ? AND hash IN (SELECT value FROM json_each(?))',
        (model, json.dumps(list(hashes))),
    )
    return {str(row[0]) for row in rows}


def stored_vectors(
    connection: apsw.Connection, kb: str, model: str, batch: int = 4096
) -> Iterator[tuple[list[int], list[bytes]]]:
    """The vectors of all visible passages, for filling the index on start."""
    rows = connection.execute(
        f'SELECT p.id, m.value FROM "k:{kb}:passages" AS p JOIN "_memo" AS m ON m.hash = p.hash AND m.model = ?'
        " WHERE p.visible = 1 ORDER BY p.id",
        (model,),
    )
    identifiers: list[int] = []
    blobs: list[bytes] = []
    for identifier, blob in rows:
        identifiers.append(identifier)
        blobs.append(blob)
        if len(identifiers) == batch:
            yield identifiers, blobs
            identifiers, blobs = [], []
    if identifiers:
        yield identifiers, blobs
