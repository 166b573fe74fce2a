"""A cut: one completed checkpoint of the job, as serving nodes follow it.

Up to its offsets the derived topics hold exactly what the job made of everything that the checkpoint covers, of all relations as of the same
moment. ``positions`` says what that is: every change that was committed in a source before ``marked_at_us`` is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from springline.core.schema import TableSchema
from springline.log.kafka.topics import Offsets


def offsets_to_json(offsets: Offsets) -> dict[str, dict[str, int]]:
    """By topic, then by partition."""
    made: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(offsets.items()):
        made.setdefault(topic, {})[str(partition)] = offset
    return made


def offsets_from_json(data: Mapping[str, Mapping[str, int]]) -> Offsets:
    return {
        (topic, int(partition)): offset
        for topic, partitions in data.items()
        for partition, offset in partitions.items()
    }


@dataclass(frozen=True)
class Cut:
    """``number`` rises by one with each cut of an application. ``barriers``: requests before this offset of the barriers topic are answered
    by it. ``loading``: tables of which capture had not loaded everything. ``positions``: source -> (position, as of when, microseconds)."""

    number: int
    generation: int
    checkpoint: int
    marked_at_us: int
    positions: Mapping[str, tuple[str, int]]
    offsets: Offsets
    barriers: int = 0
    loading: tuple[str, ...] = ()
    inputs: Offsets = field(default_factory=dict[tuple[str, int], int])
    """What the checkpoint covers of the job's input topics."""

    def to_json(self) -> bytes:
        return json.dumps(
            {
                "number": self.number,
                "generation": self.generation,
                "checkpoint": self.checkpoint,
                "marked_at_us": self.marked_at_us,
                "positions": {name: list(one) for name, one in self.positions.items()},
                "offsets": offsets_to_json(self.offsets),
                "inputs": offsets_to_json(self.inputs),
                "barriers": self.barriers,
                "loading": list(self.loading),
            }
        ).encode()

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Cut:
        return Cut(
            data["number"],
            data["generation"],
            data["checkpoint"],
            data["marked_at_us"],
            {name: (one[0], one[1]) for name, one in data["positions"].items()},
            offsets_from_json(data["offsets"]),
            data["barriers"],
            tuple(data["loading"]),
            offsets_from_json(data["inputs"]),
        )


@dataclass(frozen=True)
class DerivedRelation:
    """A relation that the job writes. ``key_column``: the extra column that stands for a key with columns that may be NULL: a JSON array of
    the key's values; None where the key's own columns are the record's key."""

    schema: TableSchema
    topic: str
    key_column: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"schema": self.schema.to_json(), "topic": self.topic, "key_column": self.key_column}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> DerivedRelation:
        return DerivedRelation(TableSchema.from_json(data["schema"]), data["topic"], data["key_column"])


@dataclass(frozen=True)
class Deployed:
    """What is deployed. ``fingerprint`` is that of the job's statements."""

    generation: int
    job_id: str
    fingerprint: str
    relations: tuple[DerivedRelation, ...]
    rest: str = ""
    """Where the job's cluster answers."""
    inputs: tuple[str, ...] = field(default=())
    """The topics that the job reads."""

    def to_json(self) -> bytes:
        return json.dumps(
            {
                "generation": self.generation,
                "job_id": self.job_id,
                "fingerprint": self.fingerprint,
                "relations": [one.to_json() for one in self.relations],
                "rest": self.rest,
                "inputs": list(self.inputs),
            }
        ).encode()

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Deployed:
        return Deployed(
            data["generation"],
            data["job_id"],
            data["fingerprint"],
            tuple(DerivedRelation.from_json(one) for one in data["relations"]),
            data["rest"],
            tuple(data["inputs"]),
        )
