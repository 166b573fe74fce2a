"""What is asked and what is answered: the values that every way in and every way of answering share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from springline.context.pieces import Context, ContextPiece
from springline.runtime.base import Freshness, OnMiss, Require

Mode = Literal["extractive", "model"]


@dataclass(frozen=True, slots=True)
class AskRequest:
    """One question. ``subject`` is who it is about (``customer:42`` or the key alone); None asks about nobody in particular.

    It decides whose rows may be read, so it must come from whoever authenticated the caller, never from the question.
    """

    question: str
    subject: str | None = None
    require: Require = "now"
    deadline_ms: float = 2_000
    on_miss: OnMiss = "refuse"
    language: str | None = None
    previous: str | None = None
    """Receipt of the answer that the caller has. Where the context is still the same, that answer stands: no model is asked and no
    receipt written again, and the answer carries that receipt."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A piece of context that the answer refers to as ``[id]``, as it was in the snapshot."""

    piece: ContextPiece

    @property
    def id(self) -> int:
        return self.piece.number

    def to_json(self) -> dict[str, Any]:
        piece = self.piece
        return {
            "id": piece.number,
            "kind": piece.kind,
            "relation": piece.relation,
            "document": piece.document,
            "key": dict(piece.key) if piece.kind == "row" else None,
            "title": piece.title,
            "text": piece.text,
            "columns": None if piece.columns is None else dict(piece.columns),
            "section": list(piece.section),
            "source": piece.source,
            "position": piece.position,
            "age_ms": piece.age_ms,
            "changed_at": time_text(piece.changed_at_us),
            "badges": dict(piece.badges),
        }


@dataclass(frozen=True, slots=True)
class Flag:
    """Something about a model's answer that a reader should know. ``kind`` is stable; ``text`` is the offending part.

    ``unknown_citation``, ``unsupported_citation``: removed. ``unsupported_figure``: a number that stands in no piece of the context.
    ``uncited``: nothing is cited. ``cut_off``: the model stopped before its end. ``model_failed``: why the answer is extractive.
    """

    kind: Literal[
        "unknown_citation", "unsupported_citation", "unsupported_figure", "uncited", "cut_off", "model_failed"
    ]
    text: str = ""

    def to_json(self) -> dict[str, str]:
        return {"kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class Draft:
    """What a way of answering gives back: the text with its markers, and how it came about."""

    text: str
    mode: Mode
    cited: tuple[int, ...]
    known: bool = True
    """False where the answer is that the context does not hold it."""
    model: str | None = None
    prompt: str | None = None
    """Version of the prompt; None where no model was asked."""
    flags: tuple[Flag, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and everything that it rests on. ``took_ms``: barrier, context, answer, total."""

    text: str
    mode: Mode
    model: str | None
    notice: str | None
    known: bool
    citations: tuple[Citation, ...]
    context: Context
    flags: tuple[Flag, ...] = ()
    receipt: str | None = None
    took_ms: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def language(self) -> str:
        return self.context.language

    @property
    def freshness(self) -> Freshness:
        return self.context.freshness

    def to_json(self) -> dict[str, Any]:
        context = self.context
        return {
            "answer": self.text,
            "mode": self.mode,
            "model": self.model,
            "notice": self.notice,
            "known": self.known,
            "language": context.language,
            "question": context.question,
            "subject": None if context.subject is None else context.subject.id,
            "citations": [citation.to_json() for citation in self.citations],
            "flags": [flag.to_json() for flag in self.flags],
            "snapshot": {
                "tick": int(context.tick),
                "positions": dict(context.positions),
                "ages": {name: age.age_ms for name, age in context.ages.items()},
            },
            "freshness": freshness_json(context.freshness),
            "receipt": self.receipt,
            "took_ms": {name: round(value, 3) for name, value in self.took_ms.items()},
        }


@dataclass(frozen=True, slots=True)
class AnswerEvent:
    """One event of a streamed answer: ``token`` ``{"text": …}`` any number of times, then ``answer`` with the whole, checked answer, which
    replaces what was streamed. ``context`` comes first: what the answer will be based on."""

    event: Literal["context", "token", "answer"]
    data: Mapping[str, Any]


def freshness_json(freshness: Freshness) -> dict[str, Any]:
    return {
        "require": freshness.require,
        "met": freshness.met,
        "waited_ms": round(freshness.waited_ms, 3),
        "missing": list(freshness.missing),
    }


def time_text(time_us: int | None) -> str | None:
    """Microseconds since the epoch in ISO 8601."""
    if time_us is None:
        return None
    moment = dt.datetime.fromtimestamp(time_us // 1_000_000, dt.UTC)
    return (
        moment.replace(tzinfo=None, microsecond=time_us % 1_000_000).isoformat(timespec="milliseconds") + "Z"
    )
