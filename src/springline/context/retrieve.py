"""Hybrid search: vectors and full text over one snapshot, fused.

Two ranked lists, the nearest vectors and the best BM25 matches, are merged by weighted reciprocal rank fusion (Cormack, Clarke and Büttcher,
SIGIR 2009). The weights know which languages the embedder speaks: where it does not speak the question's, its list counts for little. Where a
document exists in several languages, the version in the question's language is preferred. Of passages that say the same, one is returned.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import apsw
import numpy.typing as npt

from springline.context.fulltext import search_text
from springline.context.knowledge_tables import documents_table, fts_table, passages_table
from springline.context.vectors import VectorIndex
from springline.core.text import CJK, Language, guess_language
from springline.errors import ConfigurationError
from springline.inference.base import Embedder

_RANK_CONSTANT: Final = 60.0
_OTHER_VERSION_FACTOR: Final = 0.35
"""What is left of a passage's score when its document also exists in the question's language."""

_NEAR_DUPLICATE: Final = 0.9
"""Passages that share this much of their words (Jaccard) say the same."""

_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
_METADATA_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_DOCUMENT_COLUMNS: Final = frozenset({"document", "family", "language", "source", "state", "title"})


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each list counts."""

    vector: float
    text: float


SPOKEN: Final = Weights(vector=1.0, text=0.8)
NOT_SPOKEN: Final = Weights(vector=0.05, text=1.0)
SPELLING: Final = Weights(vector=0.05, text=1.0)
"""For an embedder that compares spelling, not meaning (``hashing``)."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a hit stands where it does. Ranks count from 1; None where the passage is not in that list.

    ``vector_score`` is the cosine (-1 … 1), ``bm25`` larger is better, ``fused`` is the sum of weight / (60 + rank). ``adjustments`` names
    what changed the fused score after that.
    """

    vector_score: float | None
    vector_rank: int | None
    bm25: float | None
    text_rank: int | None
    fused: float
    adjustments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A found passage, with what a citation needs. ``committed_at_us``: when the source committed this version of the document."""

    passage: int
    document: str
    title: str | None
    version: int
    ordinal: int
    heading_path: tuple[str, ...]
    text: str
    hash: str
    language: str
    score: float
    explanation: Explanation
    source: str | None = None
    position: str | None = None
    committed_at_us: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Condition:
    """Trusted SQL about a document's row, whose alias is ``d``: who may read, for instance ``d.metadata ->> '$.tenant' = ?``."""

    sql: str
    parameters: tuple[object, ...] = ()


def language_weights(embedder: Embedder, language: Language) -> Weights:
    """The weights for a question in ``language``."""
    if embedder.model.startswith("springline-hashing/"):
        return SPELLING
    if embedder.languages is None or language in embedder.languages:
        return SPOKEN
    return NOT_SPOKEN


def embed_query(embedder: Embedder, text: str) -> npt.NDArray[Any]:
    """The question's vector. A model call: made before the snapshot is opened, never while one is held."""
    return embedder.embed([text], role="query")[0]


def search(
    connection: apsw.Connection,
    index: VectorIndex,
    embedder: Embedder,
    text: str,
    *,
    kb: str,
    k: int = 8,
    tick: int,
    query_vector: npt.NDArray[Any] | None = None,
    filters: Mapping[str, object] | None = None,
    where_documents: Condition | None = None,
    weights: Weights | None = None,
    candidates: int | None = None,
) -> list[Hit]:
    """The ``k`` best passages of knowledge base ``kb`` for ``text``, best first, as the read transaction of ``connection`` and ``tick`` see it.

    ``query_vector``: what :func:`embed_query` gave; without it the embedder is called here. ``filters``: a document's column
    (document, family, language, source, state, title) or else a key of its metadata → a value or a list of values, all of
    which must hold. ``where_documents``: a further condition. Both are enforced inside both searches.
    Raises ConfigurationError for an unusable filter, and what the embedder raises.
    """
    if k <= 0 or not text.strip():
        return []
    if query_vector is None:
        query_vector = embed_query(embedder, text)
    language = guess_language(text)
    weights = weights or language_weights(embedder, language)
    depth = candidates or max(4 * k, 32)
    condition = _combined(filters, where_documents)
    allowed_sql, parameters = _allowed(kb, condition)
    allowed: list[int] | None = None
    if allowed_sql:
        allowed = [int(row[0]) for row in connection.execute(allowed_sql, parameters)]
        if not allowed:
            return []
    near = index.search(query_vector, depth, tick, allowed) if weights.vector > 0 else []
    matching = search_text(
        connection,
        fts_table(kb),
        text,
        depth,
        condition=f"rowid IN ({allowed_sql})" if allowed_sql else "",
        parameters=parameters,
    )
    fused = fuse(near, matching, weights)
    hits = _load(connection, kb, fused)
    hits = _prefer_language(connection, kb, hits, language)
    return diverse(hits, k)


def fuse(
    near: Sequence[tuple[int, float]], matching: Sequence[tuple[int, float]], weights: Weights
) -> dict[int, Explanation]:
    """Weighted reciprocal rank fusion of two lists of (id, score), best first. Passages come back best first."""
    vector = {identifier: (rank, score) for rank, (identifier, score) in enumerate(near, 1)}
    text = {identifier: (rank, score) for rank, (identifier, score) in enumerate(matching, 1)}
    explained: dict[int, Explanation] = {}
    for identifier in vector.keys() | text.keys():
        vector_rank, vector_score = vector.get(identifier, (None, None))
        text_rank, bm25 = text.get(identifier, (None, None))
        score = 0.0
        if vector_rank is not None:
            score += weights.vector / (_RANK_CONSTANT + vector_rank)
        if text_rank is not None:
            score += weights.text / (_RANK_CONSTANT + text_rank)
        explained[identifier] = Explanation(vector_score, vector_rank, bm25, text_rank, score)
    return dict(sorted(explained.items(), key=lambda item: (-item[1].fused, item[0])))


def _combined(filters: Mapping[str, object] | None, where: Condition | None) -> Condition | None:
    parts: list[str] = []
    parameters: list[object] = []
    for name, value in (filters or {}).items():
        if name in _DOCUMENT_COLUMNS:
            expression = f"d.{name}"
        elif _METADATA_KEY.match(name):
            expression = f"json_extract(d.metadata, '$.{name}')"
        else:
            raise ConfigurationError(
                f"{name!r} cannot be a filter of a search.",
                hint="Filter by a document's column (document, family, language, source, title) or by a metadata key.",
            )
        values = _listed(value)
        parts.append(f"{expression} IN ({', '.join('?' * len(values))})")
        parameters.extend(values)
    if where is not None:
        parts.append(f"({where.sql})")
        parameters.extend(where.parameters)
    return Condition(" AND ".join(parts), tuple(parameters)) if parts else None


def _listed(value: object) -> list[object]:
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(cast("list[object]", value))
    return [value]


def _allowed(kb: str, condition: Condition | None) -> tuple[str, tuple[object, ...]]:
    if condition is None:
        return "", ()
    sql = (
        f'SELECT p.id FROM "{passages_table(kb)}" AS p JOIN "{documents_table(kb)}" AS d ON d.document = p.document'
        f" WHERE p.visible = 1 AND {condition.sql}"
    )
    return sql, condition.parameters


def _load(connection: apsw.Connection, kb: str, explained: Mapping[int, Explanation]) -> list[Hit]:
    """Reads the passages; one that the snapshot does not show (or no longer) is left out."""
    rows = connection.execute(
        # CROSS JOIN keeps this order: the few ids first. The planner would begin with all documents.
        "SELECT p.id, p.document, d.title, p.version, p.ordinal, p.heading_path, p.text, p.hash, p.language, d.source,"
        " d.position, d.committed_at_us, d.metadata FROM json_each(?) AS j"
        f' CROSS JOIN "{passages_table(kb)}" AS p ON p.id = j.value'
        f' CROSS JOIN "{documents_table(kb)}" AS d ON d.document = p.document WHERE p.visible = 1',
        (json.dumps(list(explained)),),
    )
    hits = [
        Hit(
            passage=row[0],
            document=row[1],
            title=row[2],
            version=row[3],
            ordinal=row[4],
            heading_path=tuple(json.loads(row[5])),
            text=row[6],
            hash=row[7],
            language=row[8],
            score=explained[row[0]].fused,
            explanation=explained[row[0]],
            source=row[9],
            position=row[10],
            committed_at_us=row[11],
            metadata=json.loads(row[12]),
        )
        for row in rows
    ]
    return _ranked(hits)


def _ranked(hits: list[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.document, hit.ordinal))


def _prefer_language(connection: apsw.Connection, kb: str, hits: list[Hit], language: Language) -> list[Hit]:
    """Lowers passages of documents that also exist in the question's language."""
    documents = {hit.document for hit in hits}
    if not documents:
        return hits
    rows = connection.execute(
        f'SELECT o.document FROM json_each(?) AS j CROSS JOIN "{documents_table(kb)}" AS o ON o.document = j.value'
        f' WHERE o.language <> ? AND EXISTS (SELECT 1 FROM "{documents_table(kb)}" AS s'
        " WHERE s.family = o.family AND s.language = ? AND s.document <> o.document)",
        (json.dumps(sorted(documents)), language, language),
    )
    lowered = {row[0] for row in rows}
    if not lowered:
        return hits
    return _ranked([_lower(hit, language) if hit.document in lowered else hit for hit in hits])


def _lower(hit: Hit, language: Language) -> Hit:
    adjustment = f"{hit.document} also exists in {language}: x {_OTHER_VERSION_FACTOR}"
    explanation = replace(hit.explanation, adjustments=(*hit.explanation.adjustments, adjustment))
    return replace(hit, score=hit.score * _OTHER_VERSION_FACTOR, explanation=explanation)


def diverse(hits: Sequence[Hit], k: int) -> list[Hit]:
    """The first ``k`` hits without those that repeat an earlier one, word for word or nearly."""
    chosen: list[Hit] = []
    words: list[frozenset[str]] = []
    for hit in hits:
        tokens = frozenset(_WORD.findall(hit.text))
        if any(_same(tokens, other) for other in words):
            continue
        chosen.append(hit)
        words.append(tokens)
        if len(chosen) == k:
            break
    return chosen


def _same(left: frozenset[str], right: frozenset[str]) -> bool:
    if len(left) > len(right):
        left, right = right, left
    if len(left) < _NEAR_DUPLICATE * len(right):
        return False
    if not right:
        return True
    common = len(left & right)
    return common >= _NEAR_DUPLICATE * (len(left) + len(right) - common)
