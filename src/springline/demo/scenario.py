"""What a demo is made of, so that the command that runs one does not know which one it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

Provenance = Literal["recorded", "modelled", "generated"]
"""Where a fact comes from: seen in the world, computed by a stated model, or made up from a seed."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that an ordinary client of the database does at one moment of the replayed world.

    ``at`` is the moment on the replayed clock, with a time zone. ``sql`` may hold several statements; an event is
    never split across transactions. ``parameters`` are psycopg2's, positional. ``kind`` is one word for counting;
    ``description`` is a sentence for people and names no customer.
    """

    at: datetime
    sql: str
    parameters: tuple[Any, ...]
    kind: str
    description: str


@dataclass(frozen=True, slots=True)
class Featured:
    """A customer worth asking as. ``subject`` is the key in the scenario's ``subject_table``."""

    subject: str
    name: str
    language: str
    why: str
    questions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A demo as data.

    ``create(connection)`` makes schema and rows in one transaction that it commits; ``is_created(connection)`` says
    whether that has happened. ``events()`` is pure: every call returns the same list, ordered by ``at``.
    ``provenance`` is keyed by ``table.column`` and covers every column of ``tables``, which are the ones to capture.
    ``speed`` is in replayed seconds per real second. ``documents`` are Markdown files,
    to be copied to where visitors may edit them.
    """

    name: str
    title: str
    summary: str
    clock_start: datetime
    clock_end: datetime
    speed: float
    tables: tuple[str, ...]
    subject_table: str
    subject_key: str
    documents: tuple[Path, ...]
    provenance: Mapping[str, Provenance]
    featured: tuple[Featured, ...]
    create: Callable[[Connection], None]
    is_created: Callable[[Connection], bool]
    events: Callable[[], Sequence[Event]]
