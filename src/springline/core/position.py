"""Positions: how far a source, the log or a derived thing has come.

Every kind of position is a type of its own; comparing two kinds is a programming error and raises.
There is no order across sources: a :class:`PositionVector` holds one position per source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NewType, Self

Tick = NewType("Tick", int)
"""Number of an engine transaction; rises by one with each. The first tick is 1."""


class Position:
    """How far one source has come. Subclasses are frozen, ordered dataclasses; only :class:`KafkaPosition` is not wholly ordered."""

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


@dataclass(frozen=True, slots=True, eq=False)
class KafkaPosition(Position):
    """The next offset of each partition, by topic. ``generations`` counts the topics of one name that stood in each other's place, from 1;
    a topic that is not in it is the first.

    As text ``orders/0=15,1=3;clicks#2/0=7``: topic, generation where it is not the first, then partition and offset.

    These positions are only partly ordered: of two, each may be ahead in another partition. ``a >= b`` says that ``a`` covers ``b``: in
    every partition of ``b``, ``a`` is at least as far, or in a later generation of its topic; a partition that ``a`` does not have
    stands at 0. ``a < b`` is its opposite, "``a`` does not cover ``b``", so that ``not a < b`` means what it does for positions of one
    field; of two positions that are each ahead somewhere, both are smaller than the other. Do not sort them.
    """

    offsets: Mapping[tuple[str, int], int]
    generations: Mapping[str, int] = field(default_factory=dict[str, int])
    kind: ClassVar[str] = "kafka"

    @classmethod
    def from_text(cls, text: str) -> Self:
        offsets: dict[tuple[str, int], int] = {}
        generations: dict[str, int] = {}
        for part in text.split(";") if text else ():
            head, slash, partitions = part.partition("/")
            if not slash:
                raise ValueError(f"{part!r} has no partitions")
            topic, _, generation = head.partition("#")
            if generation:
                generations[topic] = int(generation)
            for pair in partitions.split(",") if partitions else ():
                partition, _, offset = pair.partition("=")
                offsets[topic, int(partition)] = int(offset)
        return cls(offsets, generations)

    def __str__(self) -> str:
        partitions: dict[str, list[str]] = {topic: [] for topic in sorted(self._topics())}
        for topic, partition in sorted(self.offsets):
            partitions[topic].append(f"{partition}={self.offsets[topic, partition]}")
        return ";".join(
            topic
            + (f"#{generation}" if (generation := self.generation(topic)) > 1 else "")
            + "/"
            + ",".join(pairs)
            for topic, pairs in partitions.items()
        )

    def generation(self, topic: str) -> int:
        return self.generations.get(topic, 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KafkaPosition):
            return NotImplemented
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __ge__(self, other: object) -> bool:
        if not isinstance(other, KafkaPosition):
            return NotImplemented
        return all(
            self.generation(topic) >= generation for topic, generation in other.generations.items()
        ) and all(
            (self.generation(topic), self.offsets.get((topic, partition), 0))
            >= (other.generation(topic), offset)
            for (topic, partition), offset in other.offsets.items()
        )

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, KafkaPosition):
            return NotImplemented
        return not self >= other

    def __le__(self, other: object) -> bool:
        if not isinstance(other, KafkaPosition):
            return NotImplemented
        return other >= self

    def __gt__(self, other: object) -> bool:
        if not isinstance(other, KafkaPosition):
            return NotImplemented
        return not other >= self

    def _topics(self) -> set[str]:
        """All but those of which nothing is said."""
        later = {topic for topic, generation in self.generations.items() if generation > 1}
        return later | {topic for topic, _ in self.offsets}


KINDS: dict[str, type[Position]] = {
    kind.kind: kind
    for kind in (PostgresPosition, FolderPosition, FilePosition, SequencePosition, CutPosition, KafkaPosition)
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
