"""What every log offers.

Capture writes whole transactions and, in the same commit, the source position that they reach. Only after
that commit may a source be told to forget. Readers see transactions in the order of their last fragment, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from springline.core.change import Entry, Transaction
from springline.core.position import Position, PositionVector, position_from_text
from springline.core.schema import TableSchema
from springline.core.types import Stored


class Logged(NamedTuple):
    """One committed transaction, as the engine reads it: hundreds of thousands a second, so its position stays text until asked for.

    ``sequence`` orders transactions across all sources and only ever grows. ``size`` counts the entries. A
    transaction that was spilled has a ``first_fragment`` and a ``last_fragment``; otherwise both are 0.
    """

    sequence: int
    source: str
    position_text: str
    committed_at_us: int
    captured_at_us: int
    identifier: str
    actor: str | None
    size: int
    first_fragment: int = 0
    last_fragment: int = 0

    @property
    def position(self) -> Position:
        return position_from_text(self.position_text)

    @property
    def is_spilled(self) -> bool:
        return self.last_fragment > 0


class CaptureWriter(Protocol):
    """One source's way into the log. Used by that source's thread alone, and opened afresh for each ``run`` of the source: what an
    interrupted run had appended and not committed is forgotten with its writer."""

    def position(self) -> Position | None:
        """How far the source was captured durably; None if never. May be called at any time."""
        ...

    def progress(self) -> Mapping[str, object]:
        """What the source saved with ``save``: snapshot cursors, schemas, identity of the server."""
        ...

    def append(self, transaction: Transaction) -> None:
        """Adds a whole transaction or a fragment. Not durable until ``commit``. Ordered. A fragment may be committed before its
        last: it stays invisible, and is dropped by the next ``open`` if the last never came."""
        ...

    def save(self, name: str, value: object | None) -> None:
        """Saves (None: removes) one value of progress, durable with the next ``commit``. Values are JSON-like."""
        ...

    def advance(self, position: Position) -> None:
        """The source has come to ``position`` with nothing for us in between (a keep-alive). Durable with ``commit``."""
        ...

    def commit(self) -> Position | None:
        """Makes everything appended durable (synchronous=FULL) and returns the durable position. Blocks for the disk.
        Raises StorageFull when the disk is full: nothing of this commit is then in the log, and the same calls may be
        repeated."""
        ...

    def wait_for_room(self, timeout_s: float) -> None:
        """For a source that can be read again at any time: blocks while the engine is far behind what was committed, at most
        ``timeout_s``. What the engine takes soon it takes from memory, and need not read from the file."""
        ...


class Log(Protocol):
    """A log. Thread-safe, except for each writer."""

    def open_writer(self, source: str) -> CaptureWriter:
        """Opens (once at a time for each source) the way in; drops fragments of a transaction that never ended."""
        ...

    def read(self, after: int, limit: int) -> list[Logged]:
        """Committed transactions with ``sequence > after``, oldest first, about ``limit`` entries in all but at least one
        transaction if there is any. Does not block."""
        ...

    def entries(self, transaction: Logged) -> Iterator[list[Entry]]:
        """The transaction's entries, one list a fragment, so that a large one is never in memory whole."""
        ...

    def wait(self, after: int, timeout_s: float) -> bool:
        """Blocks until something is committed beyond ``after`` or the time is over; whether something is there."""
        ...

    def positions(self) -> PositionVector:
        """How far every source is captured durably."""
        ...

    def first_sequence(self) -> int:
        """The oldest transaction still held; older ones were dropped by retention. 1 if nothing was dropped."""
        ...

    def last_sequence(self) -> int:
        """The newest committed transaction; 0 if there is none."""
        ...

    def close(self) -> None:
        """Idempotent. Uncommitted appends are lost."""
        ...


class Unfit(ValueError):
    """A value that has no form in another log; the text says which and why."""


class Commit(NamedTuple):
    """A source's transaction, as the records that it made carry it."""

    source: str
    position_text: str
    committed_at_us: int
    transaction: str


class RowChange(NamedTuple):
    """What happened to one row: ``operation`` is c, u, d or r. Both rows are whole, in stored form."""

    operation: str
    before: Sequence[Stored] | None
    after: Sequence[Stored] | None


class Outgoing(NamedTuple):
    """One record on its way out. ``number`` only grows; a ``value`` of None is a tombstone."""

    number: int
    relation: str
    key: bytes | None
    value: bytes | None
    commit: Commit


class Foreign(NamedTuple):
    """Records in the other log that somebody else wrote where only capture may: ``records`` of them, the first at ``place``."""

    topic: str
    place: str
    records: int


class Publisher(Protocol):
    """The way out of capture into another log. Except for ``records``, used by one thread."""

    def records(
        self, schema: TableSchema, change: RowChange, commit: Commit
    ) -> Sequence[tuple[bytes | None, bytes | None]]:
        """Keys and values of the records for a change. Pure; called within ticks. Raises Unfit."""
        ...

    def resume(
        self, schemas: Sequence[TableSchema], identity: str, check: Callable[[int], None] = lambda _: None
    ) -> int:
        """Makes the other log ready for these tables, shuts out whoever wrote there before, and says up to which number it holds
        everything; 0 for nothing. ``identity`` is that of the numbers: raises ConfigurationError where somebody else's stand there.
        ``check`` raises where it cannot go on from a number: before anybody is shut out, and once more when nobody else writes.
        Blocks. Raises SourceUnavailable (try again)."""
        ...

    def publish(self, pages: Iterable[Sequence[Outgoing]], through: int) -> None:
        """Writes the records and ``through`` in one transaction: whoever reads sees all of them or none. Blocks until they are durable.
        Raises SourceUnavailable where it is not known whether they are: ``resume`` then says."""
        ...

    def foreign(self) -> Sequence[Foreign]:
        """What was found between our own records since it was last asked. Does not raise."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...
