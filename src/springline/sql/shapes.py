"""What a plan is made of: nodes, each of a shape that says how its rows come about and so how they are maintained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from springline.core.schema import Column, EventTime, TableSchema
from springline.sql.aggregates import Slots
from springline.sql.rows import Rows
from springline.sql.typed import Typed

Columns: TypeAlias = list[tuple[str, Typed]]


@dataclass(slots=True)
class Project:
    """Rows of an inner join, projected. ``branches`` has more than one entry for UNION ALL."""

    branches: list[tuple[Rows, Columns]]
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])

    @property
    def columns(self) -> Columns:
        return self.branches[0][1]


@dataclass(slots=True)
class Outer:
    """LEFT JOINs. ``anchor`` is the preserved occurrence by whose key rows are recomputed; ``anchor_columns`` are the output
    columns that hold that key."""

    rows: Rows
    columns: Columns
    anchor: str
    anchor_columns: tuple[str, ...] = ()
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Closing:
    """Windows that close, of an Aggregate: the numbers of the groups that are ``window_start``, ``window_end`` and, if it is one,
    ``window_time``; ``window_end`` over a row; the columns that show a late row. ``session``: the intermediate that
    decides for sessions what is late. ``side`` is the name of the table of late rows."""

    start: int
    end: int
    time: int | None
    window_end: Typed
    event_time: EventTime
    late: Columns
    session: str = ""
    side: str = ""


@dataclass(slots=True)
class History:
    """The versions of a relation's rows, as far as they were seen: each begins at its column ``begins``, the last of ``columns`` says
    when it ends."""

    relation: TableSchema
    begins: str
    columns: Columns
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Sessions:
    """Rows with the session windows they belong to. ``data`` are the columns of ``rows`` that are kept, ``columns`` those and the
    windows'. ``partition`` and ``time`` are names of data columns. ``closing``: sessions that have ended are forgotten."""

    rows: Rows
    data: Columns
    columns: Columns
    partition: tuple[str, ...]
    time: str
    gap_us: int
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])
    closing: Closing | None = None


@dataclass(slots=True)
class Aggregate:
    """GROUP BY, or DISTINCT. ``columns`` and ``having`` are over the group's state, alias ``s``."""

    branches: list[Rows]
    slots: Slots
    columns: Columns
    having: list[Typed] = field(default_factory=list[Typed])
    closing: Closing | None = None
    copies: str = ""
    """Of a bag: how often a group's row is there, over the state. The number of a copy is then the column ``_copy``."""
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class First:
    """How the first rows of a partition are found: ``column`` numbers them in ``order``, ``columns`` are those of an index for
    it; ``count``, if given, is how many of them pass the filters."""

    column: str
    order: str
    columns: tuple[str, ...]
    count: int | None = None


@dataclass(slots=True)
class Over:
    """Functions OVER windows of one table's rows. ``partition`` is over the table; ``partition_columns`` are the output columns that hold
    it. ``inner`` are its columns over the table; ``filters`` and ``shown`` are over those, which then go by ``alias``. ``keys`` identify a
    row as well as ``key``."""

    rows: Rows
    inner: Columns
    partition: list[Typed]
    partition_columns: tuple[str, ...] = ()
    first: First | None = None
    alias: str = ""
    filters: list[Typed] = field(default_factory=list[Typed])
    shown: Columns = field(default_factory=Columns)
    keys: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])

    @property
    def columns(self) -> Columns:
        return self.shown or self.inner


class NotIncremental(Exception):
    """A construct has no operator that is maintained from changes. ``what`` names it, ``hint`` says what to write instead."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


@dataclass(slots=True)
class Full:
    """Whatever has no operator of its own: ``sql``, a query over ``relations``, is computed again when one of them changes.
    ``what`` is the construct that makes it so."""

    sql: str
    columns: Columns
    relations: tuple[str, ...]
    what: str
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Stream:
    """The rows of a stream that a view keeps (``streams.py``): those that pass ``filters``, in which ``alias`` is the stream."""

    relation: str
    alias: str
    columns: Columns
    filters: list[Typed]
    key: tuple[str, ...] | None = None
    missing: list[str] = field(default_factory=list[str])


Shape: TypeAlias = Project | Outer | Aggregate | Full | Over | Sessions | History | Stream


@dataclass(slots=True)
class Node:
    """One maintained relation: the view, or an intermediate in its state (``s:view:1``). A ``virtual`` one has a delta but
    keeps no rows: its one reader needs them only to be filled, and computes them then."""

    name: str
    shape: Shape
    schema: TableSchema
    virtual: bool = False


@dataclass(slots=True)
class FailedRows(Node):
    """The rows that a view leaves out (``dead_letters.py``)."""


@dataclass(slots=True)
class Plan:
    """Nodes in the order of maintenance; the last is the view."""

    nodes: list[Node]
    inputs: tuple[str, ...]
    warnings: list[str]


def node_schema(
    name: str, columns: Columns, key: Sequence[str], event_time: EventTime | None = None
) -> TableSchema:
    made = tuple(Column(column, typed.type, typed.nullable) for column, typed in columns)
    return TableSchema(name, made, tuple(key), event_time=event_time)
