"""How much of ``state.db`` each relation takes: its rows, indexes, what maintaining it keeps, and its part of what it shares.

SQLite knows by reading the pages (its ``dbstat`` table), so this is measured now and then, table by table in short reads, by the
maintenance thread; the longer it took, the longer it waits until it measures again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import apsw

from springline.errors import SnapshotTooOld
from springline.runtime.embedded.changelists import list_name
from springline.runtime.embedded.readers import Readers
from springline.runtime.embedded.sharing import readers_of
from springline.runtime.embedded.state import read_relations
from springline.sql.sharing import is_shared

EVERY_S: Final = 30.0
SHARE: Final = 0.01
"""At most about this much of the time is spent measuring."""


class Sizes:
    """Measured by one thread, read by any."""

    def __init__(self, readers: Readers, tick: Callable[[], int]) -> None:
        self._readers = readers
        self._tick = tick
        self._bytes: dict[str, int] = {}
        self._next_s = 0.0
        self._measured_tick = -1

    def bytes(self, relation: str) -> int | None:
        """What a relation took when it was last measured; None if it was not yet."""
        return self._bytes.get(relation)

    def measure_if_due(self) -> None:
        """Measures again if it is time and something may have changed."""
        now = time.monotonic()
        if now < self._next_s or self._tick() == self._measured_tick:
            return
        self._measured_tick = self._tick()
        self.measure()
        self._next_s = now + max(EVERY_S, (time.monotonic() - now) / SHARE)

    def measure(self) -> None:
        with self._readers.read() as connection:
            relations = read_relations(connection)
            places = connection.execute(
                "SELECT name, tbl_name FROM main.sqlite_schema WHERE rootpage > 0"
            ).fetchall()
        found = dict.fromkeys(relations, 0)
        for name, table in places:
            owner = owner_of(table, relations)
            if owner is not None:
                found[owner] += self._size(name)
        self._bytes = spread(found, {name: one.inputs for name, one in relations.items()})

    def _size(self, name: str) -> int:
        try:
            with self._readers.read() as connection:
                [(size,)] = connection.execute(
                    "SELECT sum(pgsize) FROM dbstat('main') WHERE name = ? AND aggregate = TRUE", (name,)
                )
        except (SnapshotTooOld, apsw.SQLError):
            # Too large to be read within a snapshot's age, dropped meanwhile, or a SQLite without dbstat.
            return 0
        return int(size or 0)


def spread(sizes: Mapping[str, int], inputs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Sizes in which what views share is counted among those that read it, in equal parts. Pure."""
    found = {name: size for name, size in sizes.items() if not is_shared(name)}
    for name in sizes.keys() - found.keys():
        readers = readers_of(name, inputs)
        for number, reader in enumerate(readers):
            found[reader] += sizes[name] // len(readers) + (number < sizes[name] % len(readers))
    return found


def owner_of(table: str, relations: Iterable[str]) -> str | None:
    """The relation that a table of the state belongs to. Pure."""
    for name in sorted(relations, key=len, reverse=True):
        if table in (name, list_name(name), "seen:" + name) or table.startswith(f"s:{name}:"):
            return name
    return None
