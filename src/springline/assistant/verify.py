"""Verifies a receipt: the context is built anew on the state as it was, and compared piece by piece."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from springline.assistant.receipts import Receipt, ReceiptPiece
from springline.context.assemble import assemble
from springline.context.definition import ContextDefinition, Subject
from springline.context.pieces import Context
from springline.errors import ReadError, SpringlineError
from springline.runtime.base import Snapshot

Rebuild: TypeAlias = Callable[[int], AbstractContextManager[Snapshot]]
"""Gives a snapshot of the state as of a sequence of the log. Raises ReadError (NotFound) where the log no longer holds it."""

What: TypeAlias = Literal["receipt", "definition", "missing", "added", "changed", "order"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which the rebuilt context is another.

    ``receipt``: the receipt itself was altered. ``definition``: the context is declared otherwise now. ``missing``: the receipt has the piece, the rebuilt context has not; ``added``: the other way round. ``changed``: it says
    something else, in these ``columns`` (``text`` for its wording). ``order``: the same pieces, numbered otherwise.
    """

    what: What
    detail: str
    number: int | None = None
    name: str | None = None
    key: dict[str, Any] | None = None
    columns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class Verification:
    """``verified`` is None where the context cannot be rebuilt."""

    receipt: str
    verified: bool | None
    detail: str
    differences: tuple[Difference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "receipt": self.receipt,
            "verified": self.verified,
            "detail": self.detail,
            "differences": [difference.to_json() for difference in self.differences],
        }


def verify(receipt: Receipt, definition: ContextDefinition, rebuild: Rebuild) -> Verification:
    """Whether the receipt tells the truth about what its answer was given. Never raises for what it finds; raises what the rebuild raises
    beside ReadError (StateError, for instance)."""
    altered = receipt.hash != receipt.computed_hash()
    if altered:
        difference = Difference("receipt", "The receipt's hash is not that of its content.")
        return Verification(receipt.id, False, "The receipt was altered after it was written.", (difference,))
    subject = None
    if receipt.subject is not None:
        kind, _, identifier = receipt.subject.partition(":")
        subject = Subject(kind, identifier)
    try:
        with rebuild(receipt.log_sequence) as snapshot:
            context = assemble(
                snapshot, definition, receipt.question, subject=subject, language=receipt.requested_language
            )
    except ReadError as error:
        return Verification(receipt.id, None, f"The context cannot be rebuilt. {error}")
    except SpringlineError as error:
        if receipt.definition == definition.fingerprint:
            raise
        return Verification(
            receipt.id, None, f"The context was declared otherwise, and cannot be rebuilt now. {error}"
        )
    differences = compare(receipt, context)
    if not differences:
        detail = f"All {len(receipt.pieces)} pieces of context are as they were at log sequence {receipt.log_sequence}."
        return Verification(receipt.id, True, detail)
    kinds = sorted({difference.what for difference in differences})
    detail = (
        f"{len(differences)} differences from the context that the receipt describes: {', '.join(kinds)}."
    )
    return Verification(receipt.id, False, detail, tuple(differences))


def compare(receipt: Receipt, context: Context) -> list[Difference]:
    """How a rebuilt context differs from the one that a receipt describes. Pure. Ages and ticks are no part of it."""
    found: list[Difference] = []
    if receipt.definition != context.definition:
        found.append(
            Difference("definition", "The context is declared otherwise than when the question was asked.")
        )
    then_pieces = {piece.identity: piece for piece in receipt.pieces}
    now_pieces = {one.identity: one for one in (ReceiptPiece.of(piece, False) for piece in context.pieces)}
    for identity, piece in then_pieces.items():
        other = now_pieces.get(identity)
        if other is None:
            found.append(_difference("missing", piece, "is not in the rebuilt context"))
        elif other.hash != piece.hash:
            columns = _changed_columns(piece, other)
            found.append(
                _difference("changed", piece, f"says something else in: {', '.join(columns)}", columns)
            )
    for identity, piece in now_pieces.items():
        if identity not in then_pieces:
            found.append(_difference("added", piece, "is in the rebuilt context only"))
    if not found and [*then_pieces] != [*now_pieces]:
        found.append(Difference("order", "The same pieces come in another order."))
    if not found and receipt.context_hash != context.hash:
        found.append(Difference("receipt", "The pieces are the same, but the context's hash is not."))
    return found


def _changed_columns(then: ReceiptPiece, now: ReceiptPiece) -> tuple[str, ...]:
    names = sorted({*then.column_hashes, *now.column_hashes})
    changed = tuple(name for name in names if then.column_hashes.get(name) != now.column_hashes.get(name))
    return changed or ("text",)


def _difference(what: What, piece: ReceiptPiece, detail: str, columns: tuple[str, ...] = ()) -> Difference:
    name = piece.relation or piece.document or ""
    return Difference(
        what,
        f"{piece.kind} [{piece.number}] of {name} {detail}.",
        piece.number,
        name,
        dict(piece.key),
        columns,
    )
