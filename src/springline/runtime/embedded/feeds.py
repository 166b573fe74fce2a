"""Change feeds: what ticks did to some relations, delivered to subscribers as it happens."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.types import render
from springline.errors import SnapshotTooOld
from springline.runtime.base import RelationChange

MOST_WAITING = 20_000
"""Changes that may wait for one subscriber; a slower one is told to read the relation again."""


class Feeds:
    """Subscribers by relation. Thread-safe; publishing never blocks."""

    def __init__(self, on_followed: Callable[[Mapping[str, int]], None]) -> None:
        self._lock = threading.Lock()
        self._subscribers: dict[queue.SimpleQueue[RelationChange | None], frozenset[str]] = {}
        self._on_followed = on_followed

    def publish(self, changes: Sequence[RelationChange]) -> None:
        if not changes:
            return
        with self._lock:
            subscribers = list(self._subscribers.items())
        for waiting, relations in subscribers:
            if waiting.qsize() > MOST_WAITING:
                waiting.put(None)
                continue
            for change in changes:
                if change.relation in relations:
                    waiting.put(change)

    def restart(self, relation: str) -> None:
        """The relation was filled anew: its subscribers have to read it again."""
        with self._lock:
            for waiting, relations in self._subscribers.items():
                if relation in relations:
                    waiting.put(None)

    def subscribe(
        self, relations: Sequence[str], stop: threading.Event, timeout_s: float
    ) -> Iterator[RelationChange | None]:
        """Changes from now on; None when nothing came within ``timeout_s``. Ends when ``stop`` is set."""
        waiting: queue.SimpleQueue[RelationChange | None] = queue.SimpleQueue()
        with self._lock:
            self._subscribers[waiting] = frozenset(relations)
            self._tell_followed()
        try:
            while not stop.is_set():
                try:
                    change = waiting.get(timeout=timeout_s)
                except queue.Empty:
                    yield None
                    continue
                if change is None:
                    raise SnapshotTooOld(
                        f"This subscriber fell more than {MOST_WAITING} changes behind, or the relation was filled anew.",
                        hint="Read the relation again and subscribe anew.",
                    )
                yield change
        finally:
            with self._lock:
                self._subscribers.pop(waiting, None)
                self._tell_followed()

    def _tell_followed(self) -> None:
        self._on_followed(Counter(name for relations in self._subscribers.values() for name in relations))


def rendered_delta(
    connection: apsw.Connection, read_delta: str, schema: TableSchema, tick: Tick
) -> Iterator[RelationChange]:
    """The running tick's delta of a relation, as subscribers are sent it."""
    for *row, weight in connection.execute(read_delta).fetchall():
        rendered = {
            column.name: render(value, column.type) for column, value in zip(schema.columns, row, strict=True)
        }
        yield RelationChange(tick, schema.name, 1 if weight > 0 else -1, rendered)
