"""Loading a table that already has rows while its changes stream: the algorithm, without input or output.

A table is read in chunks, ``SELECT … WHERE key > last key ORDER BY key LIMIT n``, each in a transaction of its own that
also returns its :class:`TransactionSnapshot`: which transactions it sees. After it, a *token* (a logical message in a
committed transaction) goes into the write-ahead log. When the token arrives in the stream, the chunk's rows are added
to the log at that place, less the rows that a transaction *not seen by the chunk* has changed in the meantime.
This is DBLog's watermark method (Andreakis, Papapanagiotou, 2020) with the window decided by transaction ids instead of
by two marks, which makes it exact:

* A transaction that the chunk sees was committed before the token, so it was streamed before it; the chunk holds what it
  did, and putting the row in once more changes nothing.
* A transaction that the chunk does not see, and that was streamed before the token, changed the row *after* the chunk read
  it: the streamed row is newer and stands. That is the one test made for each row.
* A transaction streamed after the token comes later in the log and wins anyway.

While a table is loading, every streamed change of it is remembered by key with its transaction id; entries that every later
chunk sees (id below the snapshot's ``xmin``) are forgotten. For this to be complete, no transaction that was streamed
*before* the remembering began may be unseen by the first chunk. A commit becomes visible a moment after its record is in
the log (or long after, when it waits for a synchronous standby), but a transaction keeps its locks on the tables it
wrote until it is visible. So the reader first waits for the transactions that hold such a lock when the load begins
(``reader.py``), as CREATE INDEX CONCURRENTLY does. That also covers a table added to the publication while
transactions that wrote to it were open, and a restart, after which nothing is remembered.

Rows not loaded yet are streamed as they are; everybody downstream replaces by key. One case needs care: an UPDATE that leaves
a large value out because it did not change (TOAST) may meet a row that is not loaded. Its key is kept as *incomplete*, durably.
The chunk that holds the old row fills the gap; where none does, the row is read again by its key before the table is live.

A table without a key (REPLICA IDENTITY FULL only) is a bag of rows, where replacing by key means nothing. It is read in one
transaction; its streamed changes are held back until the token and then follow the rows, those of transactions that the
read saw left out. Interrupted, its load begins again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from springline.core.change import UNCHANGED, Entry, Row
from springline.core.schema import TableSchema

Key: TypeAlias = Any
"""The value of a key of one column, a tuple of values otherwise."""

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


def precedes(first: int, second: int) -> bool:
    """Whether a 32-bit transaction id is older than another, as PostgreSQL compares them: around the circle."""
    return (first - second) & _MASK >= _HALF


@dataclass(frozen=True, slots=True)
class TransactionSnapshot:
    """Which transactions a read sees. Ids are taken modulo 2**32, as the stream gives them."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @staticmethod
    def parse(text: str) -> TransactionSnapshot:
        """From ``pg_current_snapshot()``: ``xmin:xmax:running,running``, 64-bit ids of top-level transactions."""
        xmin, xmax, running = text.split(":")
        return TransactionSnapshot(
            int(xmin) & _MASK,
            int(xmax) & _MASK,
            frozenset(int(xid) & _MASK for xid in running.split(",") if xid),
        )

    def sees(self, xid: int) -> bool:
        """Whether a transaction that has committed by now had done so for this read."""
        return precedes(xid, self.xmax) and xid not in self.running

    def is_settled(self, xid: int) -> bool:
        """Whether every later snapshot sees it as well."""
        return precedes(xid, self.xmin)


class _Tracked(NamedTuple):
    """The last streamed change of a key. ``fills``: the gaps of ``row`` are the chunk's values of the same key; not so after
    the row came here from another key."""

    xid: int
    row: Row | None
    fills: bool


class KeyedLoad:
    """What is remembered of one table with a key while it loads."""

    def __init__(self, schema: TableSchema, incomplete: Iterable[Key] = ()) -> None:
        self._key: Callable[[Row], Key] = operator.itemgetter(*schema.key_indexes)
        self._table = schema.name
        self._tracked: dict[Key, _Tracked] = {}
        self._truncated: int | None = None
        self.incomplete: set[Key] = set(incomplete)
        self.is_complete = False
        """Set when the last chunk is merged: from then on rows are whole unless they are in ``incomplete``."""

    def observe(self, entry: Entry, xid: int) -> Entry | None:
        """Remembers a streamed change; returns it for the log."""
        operation, _, before, after = entry
        if after is None:
            if operation == "t":
                self._tracked.clear()
                self.incomplete.clear()
                self._truncated = xid
            elif before is not None:
                self._forget(self._key(before), xid)
            return entry
        key = self._key(after)
        old_key = key if before is None else self._key(before)
        if UNCHANGED in after:
            self._observe_partial(key, old_key, after, xid)
        else:
            self._tracked[key] = _Tracked(xid, after, True)
            self.incomplete.discard(key)
        if old_key != key:
            self._forget(old_key, xid)
        return entry

    def merge(self, rows: Iterable[Row], snapshot: TransactionSnapshot) -> list[Entry]:
        """A chunk's rows as READ entries, without those that are older than what was streamed."""
        sees, key_of, table = snapshot.sees, self._key, self._table
        found: list[Entry] = []
        if self._truncated is None or sees(self._truncated):
            tracked, incomplete = self._tracked, self.incomplete
            for row in rows:
                key = key_of(row)
                seen = tracked.get(key)
                if seen is None or sees(seen.xid):
                    found.append(("r", table, None, row))
                    incomplete.discard(key)
                elif key in incomplete and seen.row is not None and (seen.fills or UNCHANGED not in seen.row):
                    found.append(("r", table, None, _filled(seen.row, row)))
                    incomplete.discard(key)
        self._prune(snapshot)
        return found

    def absent(self, keys: Iterable[Key], rows: Iterable[Row], snapshot: TransactionSnapshot) -> None:
        """Rows asked for by key and not found do not exist (any more), unless a change unseen by the read brought them."""
        present = {self._key(row) for row in rows}
        for key in keys:
            seen = self._tracked.get(key)
            if key not in present and (seen is None or snapshot.sees(seen.xid)):
                self.incomplete.discard(key)

    def _observe_partial(self, key: Key, old_key: Key, after: Row, xid: int) -> None:
        previous = self._tracked.get(old_key)
        row, fills = after, key == old_key
        # Whether the log already holds the whole old row, so that a reader of the log can complete the new one.
        is_known = self.is_complete
        if previous is not None and previous.row is not None:
            is_known = is_known or UNCHANGED not in previous.row
            row, fills = _filled(after, previous.row), fills and previous.fills
        if old_key in self.incomplete or not is_known:
            self.incomplete.add(key)
        else:
            self.incomplete.discard(key)
        self._tracked[key] = _Tracked(xid, row, fills)

    def _forget(self, key: Key, xid: int) -> None:
        self._tracked[key] = _Tracked(xid, None, True)
        self.incomplete.discard(key)

    def _prune(self, snapshot: TransactionSnapshot) -> None:
        settled = snapshot.is_settled
        self._tracked = {key: seen for key, seen in self._tracked.items() if not settled(seen.xid)}
        if self._truncated is not None and settled(self._truncated):
            self._truncated = None


class BagLoad:
    """What is held back of one table without a key while it loads."""

    def __init__(self, schema: TableSchema) -> None:
        self._table = schema.name
        self._held: list[tuple[int, Entry]] = []

    def observe(self, entry: Entry, xid: int) -> Entry | None:
        """Holds a streamed change back."""
        if entry[0] == "t":
            self._held.clear()
        self._held.append((xid, entry))
        return None

    def merge(self, batches: Iterable[list[Row]], snapshot: TransactionSnapshot) -> Iterator[list[Entry]]:
        """The table's new content, in batches: emptied, the rows read, then what the read did not see."""
        yield [("t", self._table, None, None)]
        for rows in batches:
            yield [("r", self._table, None, row) for row in rows]
        yield [entry for xid, entry in self._held if not snapshot.sees(xid)]


def _filled(row: Row, source: Row) -> Row:
    return [other if value is UNCHANGED else value for value, other in zip(row, source, strict=True)]
