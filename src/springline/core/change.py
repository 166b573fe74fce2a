"""One row's change, and the other things that travel in the log.

Capture handles hundreds of thousands of these a second, so in the log and in ticks they are plain
tuples, :data:`Entry`; :class:`Change` is the form that users, tests and interfaces see.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from springline.core.position import Position
from springline.core.schema import TableSchema, check_columns
from springline.core.types import Stored


class Operation(enum.StrEnum):
    """What an entry does. The first five letters are Debezium's."""

    INSERT = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    """A row read by a snapshot: replaces whatever row has its key."""
    READ_ROWS = "R"
    """Many rows of one table, each as if READ: ``after`` is a list of rows. Bulk travels much cheaper like this."""
    TRUNCATE = "t"
    SCHEMA = "s"
    """The table's schema from here on; ``after`` is ``TableSchema.to_json()``."""
    LOAD = "l"
    """``after`` is ``["loading"]`` when a snapshot of the table begins and ``["live"]`` when it is complete. Rows of the
    table that neither the snapshot nor a change has touched in between no longer exist."""
    DROP = "x"
    """The table is gone, or no longer asked for."""
    POSITION = "p"
    """How far another source has come with this transaction: a cut of a cluster covers several. The source stands in the place of the table;
    ``after`` is ``[position, committed_at_us]``."""


class Unchanged:
    """Stands in ``after`` for a large value that the source did not send because it did not change (TOAST)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = Unchanged()

Row: TypeAlias = Sequence[Stored | Unchanged]
"""Values in the order of the table's columns, in stored form (``core.types``)."""

Entry: TypeAlias = tuple[str, str, Row | None, Row | None]
"""``(operation, table, before, after)``.

``before`` is the whole old row where the source gives it, otherwise None; for a DELETE and for an UPDATE that changed
the key, where only the key is known, the other columns are UNCHANGED. ``after`` is None for DELETE and TRUNCATE.
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One row's change as users see it."""

    table: str
    operation: Operation
    key: tuple[Stored, ...]
    before: dict[str, object] | None
    after: dict[str, object] | None
    position: Position | None = None
    committed_at_us: int | None = None
    transaction: str | None = None
    actor: str | None = None


@dataclass(slots=True)
class Transaction:
    """A whole transaction of a source, or (``last`` is False) one fragment of a large one.

    ``position`` is where the source stands after it. ``committed_at_us``: the source's commit time, microseconds since the
    epoch. Readers never see a fragment without its last.
    """

    source: str
    position: Position
    committed_at_us: int
    entries: list[Entry]
    identifier: str = ""
    actor: str | None = None
    last: bool = True


def rows_entry(table: str, rows: Sequence[Row]) -> Entry:
    """Many READs of one table as one entry."""
    return (Operation.READ_ROWS.value, table, None, rows)  # type: ignore[return-value]


def single_rows(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries with those of many rows taken apart."""
    for entry in entries:
        if entry[0] == Operation.READ_ROWS.value and entry[3]:
            rows = cast("Sequence[Row]", entry[3])
            yield from ((Operation.READ.value, entry[1], None, row) for row in rows)
        else:
            yield entry


def size_of(entries: Sequence[Entry]) -> int:
    """How many changes they are."""
    return len(entries) + sum(len(entry[3] or ()) - 1 for entry in entries if entry[0] == "R")


def schema_entry(schema: TableSchema) -> Entry:
    """Says what a table is from here on. Raises ConfigurationError for columns that a relation cannot have."""
    check_columns(schema)
    return (Operation.SCHEMA.value, schema.name, None, [schema.to_json()])  # type: ignore[list-item]


def load_entry(table: str, *, loading: bool) -> Entry:
    return (Operation.LOAD.value, table, None, ["loading" if loading else "live"])
