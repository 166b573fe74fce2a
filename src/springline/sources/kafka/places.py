"""How far each partition was read, what is being loaded, and what a look at the broker means for it. Pure.

``offsets`` is the source's position. A table that is loaded again has its topic read from the beginning by ``cursors``, up to where the topic was
read before: until then records go to the tables in ``loading`` alone, and the position stays. A table is loaded when all its targets, the ends that
were found when its loading began, are reached.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from springline.core.position import KafkaPosition, Position
from springline.core.schema import TableSchema
from springline.sources.kafka.directory import Offsets, Partition, Topic

_Triples = list[tuple[str, int, int]]


@dataclass(frozen=True, slots=True)
class Loss:
    """Why reading cannot go on where it was. ``is_other``: the topic is not the one that was read."""

    message: str
    is_other: bool


@dataclass(slots=True)
class Places:
    """Where a source stands; saved with every commit that changes it."""

    offsets: dict[Partition, int] = field(default_factory=dict[Partition, int])
    generations: dict[str, int] = field(default_factory=dict[str, int])
    identifiers: dict[str, str] = field(default_factory=dict[str, str])
    """The topics that are read, and which topic of the name it is."""
    cursors: dict[Partition, int] = field(default_factory=dict[Partition, int])
    loading: dict[str, dict[Partition, int]] = field(default_factory=dict[str, dict[Partition, int]])

    @staticmethod
    def from_saved(position: Position | None, saved: object) -> Places:
        """What the log holds."""
        if not isinstance(position, KafkaPosition):
            return Places()
        told = cast("dict[str, Any]", saved or {})
        return Places(
            dict(position.offsets),
            dict(position.generations),
            dict(told.get("identifiers", {})),
            _mapping(told.get("cursors", [])),
            {table: _mapping(targets) for table, targets in told.get("loading", {}).items()},
        )

    def to_saved(self) -> dict[str, object]:
        """All but the position."""
        return {
            "identifiers": dict(self.identifiers),
            "cursors": _triples(self.cursors),
            "loading": {table: _triples(targets) for table, targets in self.loading.items()},
        }

    @property
    def position(self) -> KafkaPosition:
        return KafkaPosition(dict(self.offsets), dict(self.generations))

    def following(self, partition: Partition) -> int:
        """The next offset to read."""
        return self.cursors.get(partition, self.offsets.get(partition, 0))

    def is_repeated(self, partition: Partition, offset: int) -> bool:
        """Whether only tables that are being loaded need this record."""
        return partition in self.cursors and offset < self.offsets.get(partition, 0)

    def reach(self, partition: Partition, following: int) -> bool:
        """Everything before an offset was read; whether that is news."""
        if following <= self.following(partition):
            return False
        if partition in self.cursors:
            self.cursors[partition] = following
            if following < self.offsets.get(partition, 0):
                return True
            del self.cursors[partition]
        self.offsets[partition] = max(following, self.offsets.get(partition, 0))
        return True

    def loaded(self) -> list[str]:
        """The tables whose loading has just come to its end; they are loading no more."""
        found = [
            table
            for table, targets in self.loading.items()
            if all(self.following(partition) >= target for partition, target in targets.items())
        ]
        for table in found:
            del self.loading[table]
        return found

    def partitions(self, topic: str) -> list[Partition]:
        return sorted(one for one in self.offsets if one[0] == topic)

    def loss(self, topic: Topic | None, name: str, earliest: Offsets, ends: Offsets) -> Loss | None:
        """Why a topic that was read cannot be read on; None where it can. ``name`` is its own, where it is not there."""
        if topic is None:
            return Loss(f"topic {name!r} was deleted", True)
        known = self.identifiers.get(name, "")
        if known and topic.identifier and known != topic.identifier:
            return Loss(f"topic {name!r} was deleted and made anew", True)
        for partition in self.partitions(name):
            offset = self.offsets[partition]
            if partition[1] not in topic.partitions:
                return Loss(f"topic {name!r} no longer has partition {partition[1]}", True)
            if offset > ends[partition]:
                return Loss(
                    f"partition {partition[1]} of topic {name!r} ends at {ends[partition]} and was read up to {offset}",
                    True,
                )
        for partition in self.partitions(name):
            offset = self.offsets[partition]
            if offset < earliest[partition]:
                return Loss(
                    f"partition {partition[1]} of topic {name!r} begins at {earliest[partition]} and was read up to {offset}: "
                    f"{earliest[partition] - offset} offsets in between were removed by its retention",
                    False,
                )
        return None

    def adopt(self, topic: Topic, starts: Offsets, ends: Offsets, tables: Iterable[str]) -> None:
        """Begins to read a topic."""
        self.identifiers[topic.name] = topic.identifier
        for number in topic.partitions:
            self.offsets[topic.name, number] = starts[topic.name, number]
        self._load(topic, ends, tables)

    def extend(self, topic: Topic, earliest: Offsets) -> list[Partition]:
        """Begins to read partitions that are new, from their beginning; which those are."""
        new = [
            (topic.name, number) for number in topic.partitions if (topic.name, number) not in self.offsets
        ]
        for partition in new:
            self.offsets[partition] = earliest[partition]
        return new

    def reload(self, topic: Topic, earliest: Offsets, ends: Offsets, tables: Iterable[str]) -> list[str]:
        """Reads a topic from its beginning for some tables; which those are: what was loading from it already begins again too."""
        chosen = sorted(
            {*tables, *(table for table, targets in self.loading.items() if _is_of(targets, topic))}
        )
        if not chosen:
            return []
        for number in topic.partitions:
            partition = (topic.name, number)
            if earliest[partition] < self.offsets.get(partition, 0):
                self.cursors[partition] = earliest[partition]
        self._load(topic, ends, chosen)
        return chosen

    def recover(
        self, topic: Topic, loss: Loss, earliest: Offsets, ends: Offsets, tables: Iterable[str]
    ) -> list[str]:
        """Goes on after a loss: with what is left, read from the beginning for the tables that can be loaded; which those are."""
        if loss.is_other:
            self.forget(topic.name)
            self.adopt(topic, earliest, ends, tables)
            return sorted(set(tables))
        for partition in self.partitions(topic.name):
            self.offsets[partition] = max(self.offsets[partition], earliest[partition])
        return self.reload(topic, earliest, ends, tables)

    def forget(self, name: str) -> None:
        """What comes under this topic's name is another topic."""
        for partition in self.partitions(name):
            del self.offsets[partition]
            self.cursors.pop(partition, None)
        self.identifiers.pop(name, None)
        self.generations[name] = self.generations.get(name, 1) + 1
        self.loading = {
            table: targets
            for table, targets in self.loading.items()
            if not any(partition[0] == name for partition in targets)
        }

    def _load(self, topic: Topic, ends: Offsets, tables: Iterable[str]) -> None:
        targets = {
            (topic.name, number): max(ends[topic.name, number], self.offsets[topic.name, number])
            for number in topic.partitions
        }
        for table in tables:
            self.loading[table] = dict(targets)


def must_load(known: TableSchema | None, declared: TableSchema) -> bool:
    """Whether a table's rows have to be read again to be what is declared. A column that comes or goes leaves the others as they are; old
    rows have NULL in it."""
    if known is None:
        return True
    if known == declared:
        return False
    types = {column.name: column.type for column in known.columns}
    is_other = any(types.get(column.name, column.type) != column.type for column in declared.columns)
    return is_other or not declared.key or known.key != declared.key or known.kept != declared.kept


def _is_of(targets: Offsets, topic: Topic) -> bool:
    return any(name == topic.name for name, _ in targets)


def _triples(offsets: Offsets) -> _Triples:
    return [(topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]


def _mapping(triples: Iterable[tuple[str, int, int]]) -> dict[Partition, int]:
    return {(topic, partition): offset for topic, partition, offset in triples}
