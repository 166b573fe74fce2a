"""One meaning in two languages: Flink SQL for the compiler, DuckDB's SQL for the peer that checks it.

Both texts are written at once, by the generator, which knows every type. So DuckDB's text owes nothing to our compiler: not its
parser, not its types, not its translation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from springline.core.types import SqlType


@dataclass(frozen=True, slots=True)
class Piece:
    """``lost`` says why DuckDB's text does not mean the same, if it does not."""

    flink: str
    duck: str
    lost: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Expr:
    """A typed expression. ``column`` is its name if it is a plain column."""

    piece: Piece
    type: SqlType
    column: str = ""


def same(text: str) -> Piece:
    """A text that both languages share."""
    return Piece(text, text)


def pair(flink: str, duck: str | None, *parts: Piece, lost: str = "") -> Piece:
    """Both templates filled with the parts, which they name {0}, {1}, … Without a ``duck`` one, ``lost`` says why."""
    reasons = frozenset[str]().union(*(part.lost for part in parts)) if parts else frozenset[str]()
    if duck is None or lost:
        reasons |= {lost}
    return Piece(
        flink.format(*(part.flink for part in parts)),
        (flink if duck is None else duck).format(*(part.duck for part in parts)),
        reasons,
    )


def both(template: str, *parts: Piece) -> Piece:
    """One template for both."""
    return pair(template, template, *parts)


def listed(parts: Iterable[Piece], separator: str = ", ") -> Piece:
    """Parts one after another."""
    every = list(parts)
    return Piece(
        separator.join(one.flink for one in every),
        separator.join(one.duck for one in every),
        frozenset[str]().union(*(one.lost for one in every)) if every else frozenset[str](),
    )
