"""What is compiled to a job, and what a job is: data that JSON can carry."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from springline.core.schema import EventTime, TableSchema
from springline.runtime.embedded.changing import ViewDefinition
from springline.sql.user_functions import Functions

_CONNECTION: Final = re.compile(
    r"^  'properties\.(bootstrap\.servers|client\.dns|security\.|sasl\.|ssl\.)[^']*' = '(?:[^']|'')*',?\n",
    re.MULTILINE,
)
"""How a statement's table is connected: a new password makes no other job."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """An application as the job sees it. ``event_times``: by the table's full name, over those of the schemas."""

    application: str
    tables: tuple[TableSchema, ...]
    views: tuple[ViewDefinition, ...]
    event_times: Mapping[str, EventTime] = field(default_factory=dict[str, EventTime])
    functions: Functions | None = None


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Where the topics are. ``options`` are the Kafka client's (``security.protocol`` …), for sources and sinks."""

    bootstrap: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the job. ``insert`` statements run together, as one job; the others in order, before."""

    kind: Literal["define", "insert"]
    sql: str
    about: str
    """The relation that it is for, for messages."""


@dataclass(frozen=True, slots=True)
class DerivedRelation:
    """A relation whose rows the job writes, and its topic.

    The topic's record of a row has the key's columns as its key and all columns as its value; one without a value says that the
    row is gone. ``key_column``: where the key's columns can be NULL, or a join counts partners, the key is this one column instead, a
    JSON array of their values as ``CAST(… AS STRING)`` writes them, and is not among the columns of the value.
    """

    name: str
    topic: str
    schema: TableSchema
    transaction_prefix: str
    key_column: str | None = None


@dataclass(frozen=True, slots=True)
class PythonFunction:
    """A function of the application as Flink's Python finds it: ``module`` and ``name`` (with dots) are imported there."""

    sql_name: str
    module: str
    name: str
    arguments: tuple[str, ...]
    returns: tuple[tuple[str, str], ...]
    """One type with an empty name, or a table function's columns."""
    file: str | None = None
    """The module's file, which is sent with the job; None for a module of Python itself."""

    @property
    def is_table(self) -> bool:
        return self.returns[0][0] != ""


@dataclass(frozen=True, slots=True)
class Job:
    """One Flink SQL job."""

    application: str
    generation: int
    group: str
    statements: tuple[Statement, ...]
    relations: tuple[DerivedRelation, ...]
    functions: tuple[PythonFunction, ...] = ()
    configuration: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return f"{self.application}-{self.generation}"

    @property
    def fingerprint(self) -> str:
        """Of what the job computes, whatever its generation, and however it is connected: a job of the same can go on from another's savepoint."""
        generation = f"-{self.generation}"
        told = [
            [
                one.kind,
                _CONNECTION.sub("", one.sql)
                .replace(f"derived{generation}.", "derived.")
                .replace(f"{self.application}{generation}", self.application),
            ]
            for one in self.statements
        ]
        functions = [
            [one.sql_name, one.module, one.name, one.arguments, one.returns] for one in self.functions
        ]
        return hashlib.sha256(json.dumps([told, functions]).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """What ``job.py`` reads, and more for people."""
        return {
            "name": self.name,
            "application": self.application,
            "generation": self.generation,
            "group": self.group,
            "fingerprint": self.fingerprint,
            "configuration": dict(self.configuration),
            "statements": [asdict(one) for one in self.statements],
            "functions": [asdict(one) for one in self.functions],
            "relations": [
                {
                    "name": one.name,
                    "topic": one.topic,
                    "schema": one.schema.to_json(),
                    "transaction_prefix": one.transaction_prefix,
                    "key_column": one.key_column,
                }
                for one in self.relations
            ],
        }
