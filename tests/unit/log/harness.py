"""Transactions to write, and what was read of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from springline.core.change import Entry, Transaction
from springline.core.position import SequencePosition
from springline.log.sqlite import LogReader
from springline.storage import connect


def entry(number: int) -> Entry:
    return ("c", "s.t", None, [number])


def transaction(number: int, *entries: Entry, last: bool = True, source: str = "s") -> Transaction:
    """A transaction at position ``number``; without entries it inserts the row (number)."""
    return Transaction(
        source,
        SequencePosition(number),
        1_000 + number,
        list(entries) or [entry(number)],
        f"x{number}",
        last=last,
    )


def rows(log: LogReader, after: int = 0) -> list[tuple[int, list[int]]]:
    """(sequence, inserted numbers) of every transaction, in order."""
    found: list[tuple[int, list[int]]] = []
    while logged := log.read(after, 1_000):
        for one in logged:
            entries = [each for fragment in log.entries(one) for each in fragment]
            found.append((one.sequence, [int(each[3][0]) for each in entries if each[3]]))  # type: ignore[arg-type]
        after = logged[-1].sequence
    return found


def fragment_count(path: Path) -> int:
    with contextlib.closing(connect(path, read_only=True)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM fragments").fetchall()
        return int(count)
