"""Receipts: the record that proves what an answer was based on.

A receipt keeps no row and no passage, only their keys and hashes (and of each column a hash of its own), so that what changed since can be
named and a person's data is not copied into every answer. The answer's own text is kept. Receipts are rows of
``springline.receipts`` and come into the state like everybody's rows, through the log.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from springline.assistant.base import AskRequest, Draft, freshness_json, time_text
from springline.context.pieces import Context, ContextPiece, canonical_json, content_hash
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, BOOLEAN, DOUBLE, STRING, TIMESTAMP_LTZ, Stored, store

RECEIPT_VERSION: Final = 1

RECEIPTS: Final = TableSchema(
    "springline.receipts",
    (
        Column("id", STRING, nullable=False),
        Column("asked_at", TIMESTAMP_LTZ, nullable=False),
        Column("question", STRING, nullable=False),
        Column("subject", STRING),
        Column("language", STRING, nullable=False),
        Column("answer", STRING, nullable=False),
        Column("mode", STRING, nullable=False),
        Column("model", STRING),
        Column("prompt", STRING),
        Column("known", BOOLEAN, nullable=False),
        Column("complete", BOOLEAN, nullable=False),
        Column("fresh", BOOLEAN, nullable=False),
        Column("tick", BIGINT, nullable=False),
        Column("log_sequence", BIGINT, nullable=False),
        Column("context_hash", STRING, nullable=False),
        Column("total_ms", DOUBLE),
        Column("body", STRING, nullable=False),
    ),
    ("id",),
    "Every answer, and what it was based on. `body` is the whole receipt as JSON.",
)

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Recorder(Protocol):
    """Where receipts go."""

    def record(self, table: str, row: Sequence[Stored], /) -> object:
        """Appends a row, in stored form, to one of Springline's own tables. Durable when it returns. Blocks for the disk."""
        ...


@dataclass(frozen=True, slots=True)
class ReceiptPiece:
    """One piece of the context: which row or passage, and hashes of what it said. ``cited``: whether the answer refers to it."""

    number: int
    part: str
    kind: str
    relation: str | None
    document: str | None
    key: Mapping[str, Any]
    hash: str
    column_hashes: Mapping[str, str]
    passage_hash: str | None
    source: str
    position: str | None
    tick: int | None
    changed_at_us: int | None
    age_ms: float | None
    cited: bool

    @staticmethod
    def of(piece: ContextPiece, cited: bool) -> ReceiptPiece:
        return ReceiptPiece(
            number=piece.number,
            part=piece.part,
            kind=piece.kind,
            relation=piece.relation,
            document=piece.document,
            key=dict(piece.key),
            hash=piece.hash,
            column_hashes=piece.column_hashes,
            passage_hash=piece.passage_hash,
            source=piece.source,
            position=piece.position,
            tick=piece.tick,
            changed_at_us=piece.changed_at_us,
            age_ms=piece.age_ms,
            cited=cited,
        )

    @property
    def identity(self) -> str:
        """The same row or passage has the same one in every context."""
        return canonical_json([self.kind, self.relation or self.document, dict(self.key)])


@dataclass(frozen=True, slots=True)
class Receipt:
    """``definition`` is the fingerprint of the context's declaration, ``prompt`` the version of the prompt file. ``masked``: columns that were
    masked before a model saw them. ``actions``: what was done. ``complete`` is False where the reader left before the end.
    ``hash`` is that of everything else in the receipt."""

    id: str
    asked_at_us: int
    question: str
    subject: str | None
    language: str
    requested_language: str | None
    answer: str
    mode: str
    model: str | None
    prompt: str | None
    known: bool
    complete: bool
    tick: int
    log_sequence: int
    positions: Mapping[str, str]
    ages_ms: Mapping[str, float | None]
    complete_through: Mapping[str, str]
    freshness: Mapping[str, Any]
    definition: str
    context_hash: str
    pieces: tuple[ReceiptPiece, ...]
    omitted: Mapping[str, int]
    flags: tuple[Mapping[str, str], ...]
    masked: tuple[str, ...] = ()
    actions: tuple[Mapping[str, Any], ...] = ()
    took_ms: Mapping[str, float] = dataclasses.field(default_factory=dict[str, float])
    input_tokens: int | None = None
    output_tokens: int | None = None
    version: int = RECEIPT_VERSION
    hash: str = ""

    def to_json(self) -> dict[str, Any]:
        body = dataclasses.asdict(self)
        return {**body, "asked_at": time_text(self.asked_at_us)}

    @staticmethod
    def from_json(body: Mapping[str, Any]) -> Receipt:
        """The inverse of ``to_json``. Raises ValueError for what is no receipt of this version."""
        if body.get("version") != RECEIPT_VERSION:
            raise ValueError(f"This is a receipt of version {body.get('version')!r}, not {RECEIPT_VERSION}.")
        values = {name: value for name, value in body.items() if name != "asked_at"}
        try:
            values["pieces"] = tuple(ReceiptPiece(**piece) for piece in body["pieces"])
            for name in ("flags", "masked", "actions"):
                values[name] = tuple(body[name])
            return Receipt(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is not a receipt: {error}.") from error

    def computed_hash(self) -> str:
        """What ``hash`` must be, unless the receipt was altered."""
        body = dataclasses.asdict(self)
        del body["hash"]
        return content_hash(json.loads(canonical_json(body)))

    def to_row(self) -> list[Stored]:
        """The receipt as a row of :data:`RECEIPTS`, in stored form."""
        values: dict[str, object] = {
            "id": self.id,
            "asked_at": self.asked_at_us,
            "question": self.question,
            "subject": self.subject,
            "language": self.language,
            "answer": self.answer,
            "mode": self.mode,
            "model": self.model,
            "prompt": self.prompt,
            "known": self.known,
            "complete": self.complete,
            "fresh": bool(self.freshness.get("require") == "now" and self.freshness.get("met")),
            "tick": self.tick,
            "log_sequence": self.log_sequence,
            "context_hash": self.context_hash,
            "total_ms": self.took_ms.get("total"),
            "body": canonical_json(self.to_json()),
        }
        return [store(values[column.name], column.type) for column in RECEIPTS.columns]

    @staticmethod
    def from_row(row: Mapping[str, object]) -> Receipt:
        """From a row of :data:`RECEIPTS`, of which only ``body`` is read. Raises ValueError."""
        return Receipt.from_json(json.loads(str(row["body"])))


def make_receipt(
    identifier: str,
    request: AskRequest,
    context: Context,
    draft: Draft,
    *,
    asked_at_us: int,
    took_ms: Mapping[str, float],
    complete: bool = True,
) -> Receipt:
    """The receipt of one answer. Pure."""
    cited = frozenset(draft.cited)
    receipt = Receipt(
        id=identifier,
        asked_at_us=asked_at_us,
        question=context.question,
        subject=None if context.subject is None else str(context.subject),
        language=context.language,
        requested_language=request.language,
        answer=draft.text,
        mode=draft.mode,
        model=draft.model,
        prompt=draft.prompt,
        known=draft.known,
        complete=complete,
        tick=int(context.tick),
        log_sequence=context.log_sequence,
        positions=dict(context.positions),
        ages_ms={name: age.age_ms for name, age in context.ages.items()},
        complete_through={name: age.complete_through for name, age in context.ages.items()},
        freshness=freshness_json(context.freshness),
        definition=context.definition,
        context_hash=context.hash,
        pieces=tuple(ReceiptPiece.of(piece, piece.number in cited) for piece in context.pieces),
        omitted=dict(context.omitted),
        flags=tuple(flag.to_json() for flag in draft.flags),
        took_ms={name: round(value, 3) for name, value in took_ms.items()},
        input_tokens=draft.input_tokens,
        output_tokens=draft.output_tokens,
    )
    return dataclasses.replace(receipt, hash=receipt.computed_hash())


def new_identifier(now_us: int, random: Callable[[int], bytes]) -> str:
    """26 letters and digits that sort by time (to the millisecond) and never repeat: the form of a ULID (github.com/ulid/spec)."""
    number = ((now_us // 1_000) & (2**48 - 1)) << 80 | int.from_bytes(random(10), "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
