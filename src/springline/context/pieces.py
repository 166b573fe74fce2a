"""The assembled context: numbered pieces from one snapshot, each with where it comes from and how old it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from springline.context.definition import Badge, Subject
from springline.runtime.base import Freshness, SourceAge


@dataclass(frozen=True, slots=True)
class ContextPiece:
    """One row or one passage.

    ``number`` is what answers cite. ``key`` identifies the row in ``relation``, or the passage in ``document``. ``text`` is what is said of
    it: the row's described sentence, or the passage. ``columns`` are rendered (``core.types.render``). ``as_of_us`` and ``age_ms``: when
    this was last known to be current, and how long that was ago when the snapshot was taken; None where the source cannot tell.
    ``changed_at_us``: when it last changed. ``hash`` covers everything that a model is given of it, and no time.
    """

    number: int
    part: str
    kind: Literal["row", "passage"]
    relation: str | None
    document: str | None
    key: Mapping[str, object]
    title: str
    text: str
    language: str
    hash: str
    tokens: int
    columns: Mapping[str, object] | None = None
    section: tuple[str, ...] = ()
    source: str = ""
    position: str | None = None
    as_of_us: int | None = None
    age_ms: float | None = None
    changed_at_us: int | None = None
    tick: int | None = None
    topics: tuple[str, ...] = ()
    public: bool = True
    mentioned: int = 0
    """Of a row: how many of its values the question names."""
    search_terms: str = ""
    passage_hash: str | None = None
    badges: Mapping[str, Badge] = field(default_factory=dict[str, Badge])

    @property
    def column_hashes(self) -> dict[str, str]:
        """For each column a short hash of its value: receipts tell which value changed without keeping any."""
        return {name: content_hash(value)[:16] for name, value in (self.columns or {}).items()}


@dataclass(frozen=True, slots=True)
class Context:
    """What one question is given. Everything in it was true together, at ``tick``.

    ``hash`` is that of the pieces, the subject and the definition, in canonical JSON: the same snapshot, question and definition
    always give the same one. ``omitted``: for each part, how many pieces did not fit the limits or the budget; at least, where there are
    more than are ever read (``assemble.RANK_LIMIT``). ``loading``: tables
    that were still being loaded. ``topics``: what the question was recognised to be about.
    """

    question: str
    language: str
    subject: Subject | None
    definition: str
    pieces: tuple[ContextPiece, ...]
    omitted: Mapping[str, int]
    topics: tuple[str, ...]
    search_terms: str
    tick: int
    log_sequence: int
    positions: Mapping[str, str]
    ages: Mapping[str, SourceAge]
    freshness: Freshness
    taken_at_us: int
    tokens: int
    hash: str
    needs_subject: bool = False
    """Whether parts were left out because nobody was named as the subject."""

    @property
    def loading(self) -> tuple[str, ...]:
        return tuple(sorted({table for age in self.ages.values() for table in age.loading}))

    def piece(self, number: int) -> ContextPiece | None:
        return self.pieces[number - 1] if 1 <= number <= len(self.pieces) else None


def canonical_json(value: Any) -> str:
    """One text for one value: sorted names, no spaces, characters as they are."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def content_hash(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def piece_hash(
    *,
    kind: str,
    relation: str | None,
    document: str | None,
    key: Mapping[str, object],
    title: str,
    text: str,
    columns: Mapping[str, object] | None,
    section: tuple[str, ...],
) -> str:
    return content_hash([kind, relation, document, dict(key), title, text, columns, list(section)])
