"""Positions: how far a source, the log or a derived thing has come.

Every kind of position is a type of its own; comparing two kinds is a programming error and raises.
There is no order across sources: a :class:`PositionVector` holds one position per source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, NewType, Self

Tick = NewType("Tick", int)
"""Number of an engine transaction; rises by one with each. The first tick is 1."""


class Position:
    """How far one source has come. Subclasses are frozen, ordered dataclasses of one field."""

    kind: ClassVar[str]

    @classmethod
    def from_text(cls, text: str) -> Self:
        raise NotImplementedError

    def __str__(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, order=True, slots=True)
class PostgresPosition(Position):
    """A transaction's *end* LSN: the byte after its commit record in the write-ahead log."""

    lsn: int
    kind: ClassVar[str] = "postgres"

    @classmethod
    def from_text(cls, text: str) -> Self:
        high, low = text.split("/")
        return cls(int(high, 16) << 32 | int(low, 16))

    def __str__(self) -> str:
        return f"{self.lsn >> 32:X}/{self.lsn & 0xFFFFFFFF:X}"


@dataclass(frozen=True, order=True, slots=True)
class FolderPosition(Position):
    """Number of the last completed scan of a folder."""

    scan: int
    kind: ClassVar[str] = "folder"

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(int(text))

    def __str__(self) -> str:
        return str(self.scan)


@dataclass(frozen=True, order=True, slots=True)
class FilePosition(Position):
    """How many bytes of a growing file are read. ``file`` counts the files that stood in its place, from 1."""

    file: int
    offset: int
    kind: ClassVar[str] = "file"

    @classmethod
    def from_text(cls, text: str) -> Self:
        file, offset = text.split("/")
        return cls(int(file), int(offset))

    def __str__(self) -> str:
        return f"{self.file}/{self.offset}"


@dataclass(frozen=True, order=True, slots=True)
class SequencePosition(Position):
    """A plain running number: Springline's own records, HTTP push."""

    number: int
    kind: ClassVar[str] = "sequence"

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(int(text))

    def __str__(self) -> str:
        return str(self.number)


@dataclass(frozen=True, order=True, slots=True)
class CutPosition(Position):
    """Number of a cluster's cut: a completed checkpoint, and what it covers."""

    number: int
    kind: ClassVar[str] = "cut"

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(int(text))

    def __str__(self) -> str:
        return str(self.number)


KINDS: dict[str, type[Position]] = {
    kind.kind: kind
    for kind in (PostgresPosition, FolderPosition, FilePosition, SequencePosition, CutPosition)
}


def position_to_text(position: Position) -> str:
    """``postgres:0/16B3748``; the form that files, receipts and interfaces carry."""
    return f"{position.kind}:{position}"


def position_from_text(text: str) -> Position:
    kind, _, value = text.partition(":")
    if kind not in KINDS:
        raise ValueError(f"Unknown kind of position {kind!r} in {text!r}; known: {', '.join(sorted(KINDS))}.")
    try:
        return KINDS[kind].from_text(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not a position of kind {kind!r}: {error}") from error


class PositionVector(Mapping[str, Position]):
    """One position per source name. Immutable."""

    __slots__ = ("_positions",)

    def __init__(self, positions: Mapping[str, Position] | None = None) -> None:
        self._positions = dict(positions or {})

    def __getitem__(self, source: str) -> Position:
        return self._positions[source]

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    def __repr__(self) -> str:
        return f"PositionVector({self.to_json()})"

    def covers(self, other: Mapping[str, Position]) -> bool:
        """Whether this vector is at or beyond ``other`` in every source that ``other`` names."""
        return all(source in self and not self[source] < position for source, position in other.items())  # type: ignore[operator]

    def with_position(self, source: str, position: Position) -> PositionVector:
        return PositionVector({**self._positions, source: position})

    def to_json(self) -> dict[str, str]:
        return {source: position_to_text(position) for source, position in sorted(self._positions.items())}

    @staticmethod
    def from_json(data: Mapping[str, str]) -> PositionVector:
        return PositionVector({source: position_from_text(text) for source, text in data.items()})
