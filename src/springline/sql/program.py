"""What a view compiles to: data, which the runtime executes and ``explain`` prints.

Physical names. Every relation (table or view) ``r`` is the SQLite table ``main."r"`` with its columns in stored form and a
last hidden column ``_tick`` (the tick that last changed the row). Its changes of the running tick are rows of
``temp."d:r"``: the same columns without ``_tick``, then the weight ``_w`` (+1 a row came, -1 a row went; an update is both).
A view's own state lives in tables named ``main."s:view:…"`` and its scratch in ``temp."…:view…"``.

One tick, for each relation R in one fixed order (tables first, then views after their inputs):

1. R's delta is complete: changed rows for a table, ``finish`` for a view;
2. if it is not empty, ``on_input[R]`` of every view that reads R runs. R's table still holds its old rows; the tables of
   relations earlier in the order already hold their new ones (the telescoped join);
3. R's delta is applied to its table (by the runtime, which also sets ``_tick``).

After the tick the runtime clears the scratch tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from springline.core.schema import TableSchema
from springline.core.types import SqlType

Level: TypeAlias = Literal["delta", "group", "full"]
WindowMode: TypeAlias = Literal["closing", "live"]
"""Whether windows over event time close when the watermark passes their end, or follow every change for ever."""


@dataclass(frozen=True, slots=True)
class Step:
    """One SQL statement with a sentence that says why it runs. It may use the parameter ``:tick``.

    ``only_if``: a condition without which it is passed over. Neighbours may have the same one; none of them changes it.
    """

    sql: str
    why: str
    only_if: str = ""


@dataclass(frozen=True, slots=True)
class OperatorLevel:
    """How one operator of the plan is maintained; ``cost`` is a sentence for people."""

    operator: str
    level: Level
    cost: str


@dataclass(frozen=True, slots=True)
class Subplan:
    """A subquery whose rows a hidden view could keep for several views: its text, which stands for itself, the relations that it reads, and
    the subplans within it."""

    text: str
    reads: tuple[str, ...]
    inner: tuple[Subplan, ...] = ()


@dataclass(frozen=True, slots=True)
class ViewProgram:
    """A compiled view. Every statement is complete SQL; nothing is formatted at run time.

    ``schema.key`` is the view's key, inferred or declared. ``state`` creates persistent state (tables and indexes,
    IF NOT EXISTS; also indexes that the view needs on its inputs); ``scratch`` creates temporary tables, once for each writing
    connection. ``on_input``: the steps for each input whose delta is not empty, before that delta is applied. ``finish``: run once at the
    view's turn when any ``on_input`` ran; leaves ``temp."d:view"`` consolidated (no row with weight 0, no +1/-1 pair of equal
    rows). ``backfill``: fills state and ``temp."d:view"`` from the current tables, for a new view. ``clear`` empties scratch
    after the tick. ``drop`` removes the state. ``batch`` is one SELECT that computes the whole view from the current
    tables, columns in schema order: the oracle of the law. ``close``: run instead of ``finish``, once at the end of a tick that
    changed anything for a view with windows that close, or moved its watermark (``main._watermarks``); for those ``batch`` counts late rows too.
    ``sides``: tables of late rows, part of the state, that can be read; the rows that a tick adds are left in ``temp."d:side"``.
    """

    name: str
    text: str
    schema: TableSchema
    inputs: tuple[str, ...]
    levels: tuple[OperatorLevel, ...]
    state: tuple[Step, ...]
    scratch: tuple[Step, ...]
    on_input: Mapping[str, tuple[Step, ...]]
    finish: tuple[Step, ...]
    backfill: tuple[Step, ...]
    clear: tuple[Step, ...]
    drop: tuple[Step, ...]
    batch: str
    warnings: tuple[str, ...] = field(default=())
    close: tuple[Step, ...] = field(default=())
    sides: tuple[TableSchema, ...] = field(default=())
    has_declared_key: bool = False
    """Whether the key was declared, and so must be checked with every change; an inferred one cannot be violated."""
    subplans: tuple[Subplan, ...] = field(default=())
    """Subqueries that other views may have too (``sql/sharing.py``)."""


@dataclass(frozen=True, slots=True)
class QueryProgram:
    """A compiled ad-hoc read: one SELECT over ``main."relation"`` tables with named ``:parameters``."""

    text: str
    sql: str
    columns: tuple[tuple[str, SqlType], ...]
    relations: tuple[str, ...]
