"""The vector index against a plain list that remembers every tick."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springline.context import vectors
from springline.context.vectors import VectorIndex
from springline.inference.base import normalised

DIMENSIONS = 8


def vector(seed: int) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(size=DIMENSIONS))[0]


def found(index: VectorIndex, tick: int, k: int = 1_000) -> set[int]:
    return {identifier for identifier, _ in index.search(vector(0), k, tick)}


def test_a_reader_sees_its_own_tick() -> None:
    index = VectorIndex(DIMENSIONS)
    index.add(1, [1, 2], [vector(1), vector(2)])
    index.remove(2, [1])
    index.add(2, [3], [vector(3)])
    index.add(3, [2], [vector(22)])
    assert [found(index, tick) for tick in range(5)] == [set(), {1, 2}, {2, 3}, {2, 3}, {2, 3}]
    assert index.search(vector(22), 1, 2)[0][1] < 0.999
    assert index.search(vector(22), 1, 3)[0] == (2, pytest.approx(1.0))
    assert len(index) == 2


def test_best_first_and_exact() -> None:
    index = VectorIndex(DIMENSIONS)
    matrix = np.stack([vector(seed) for seed in range(10_000)])
    index.add(1, range(10_000), matrix)
    query = vector(123_456)
    scores = matrix @ query
    expected = np.argsort(-scores)[:20]
    hits = index.search(query, 20, 1)
    assert [identifier for identifier, _ in hits] == expected.tolist()
    assert [score for _, score in hits] == pytest.approx(scores[expected].tolist())


def test_equal_scores_come_in_the_order_of_ids() -> None:
    index = VectorIndex(DIMENSIONS)
    index.add(1, range(9_000), np.tile(vector(1), (9_000, 1)))
    assert [identifier for identifier, _ in index.search(vector(1), 3, 1)] == [0, 1, 2]


def test_only_allowed_ids() -> None:
    index = VectorIndex(DIMENSIONS)
    index.add(1, range(100), [vector(seed) for seed in range(100)])
    hits = index.search(vector(7), 5, 1, allowed_ids=[3, 50, 999])
    assert {identifier for identifier, _ in hits} == {3, 50}
    assert index.search(vector(7), 5, 1, allowed_ids=[]) == []


def test_slots_are_reused_only_when_nobody_can_see_them() -> None:
    index = VectorIndex(DIMENSIONS)
    index.add(1, range(4), [vector(seed) for seed in range(4)])
    index.remove(5, [0, 1])
    assert index.forget_before(4) == 0
    index.add(6, [10], [vector(10)])
    assert found(index, 4) == {0, 1, 2, 3}
    assert index.forget_before(5) == 2
    index.add(7, [11, 12], [vector(11), vector(12)])
    assert index._used == 5
    assert found(index, 5) == {2, 3}
    assert found(index, 7) == {2, 3, 10, 11, 12}


def test_what_does_not_fit_is_refused_whole() -> None:
    index = VectorIndex(DIMENSIONS)
    with pytest.raises(ValueError, match="3 dimensions do not fit an index of 8"):
        index.add(1, [1], [[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="query"):
        index.search([1.0], 1, 1)
    assert found(index, 1) == set()
    index.add(1, [], [])
    index.remove(1, [77])


def test_loading_and_reading_back() -> None:
    index = VectorIndex(DIMENSIONS)
    assert index.load([([1, 2], [vector(1), vector(2)]), ([3], [vector(3)])], tick=9) == 3
    assert (index.ids(), 2 in index, found(index, 8)) == ({1, 2, 3}, True, set())
    read = index.vectors([2, 99], 9)
    assert list(read) == [2]
    assert read[2] == pytest.approx(vector(2))


Step = tuple[str, list[int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "forget", "undo"]),
        st.lists(st.integers(0, 6), max_size=4, unique=True),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_any_history_is_seen_as_it_was(steps: list[Step]) -> None:
    """The model: for each tick, which id had which vector. Undo takes the newest tick back."""
    index = VectorIndex(DIMENSIONS)
    history: list[dict[int, int]] = [{}]
    horizon = 0
    for number, (step, identifiers) in enumerate(steps):
        tick = len(history)
        state = dict(history[-1])
        if step == "forget":
            horizon = max(horizon, tick - 2)
            index.forget_before(horizon)
            continue
        if step == "add":
            seeds = [100 * number + identifier for identifier in identifiers]
            index.add(tick, identifiers, [vector(seed) for seed in seeds])
            state.update(zip(identifiers, seeds, strict=True))
        elif step == "remove":
            index.remove(tick, identifiers)
            for identifier in identifiers:
                state.pop(identifier, None)
        else:
            index.add(tick, identifiers, [vector(1) for _ in identifiers])
            index.remove(tick, identifiers[:1])
            index.undo(tick)
        history.append(state)
        for past in range(horizon, len(history)):
            seen = index.vectors(range(7), past)
            assert {identifier: row.tolist() for identifier, row in seen.items()} == {
                identifier: vector(seed).tolist() for identifier, seed in history[past].items()
            }
    assert len(index) == len(history[-1])


def test_readers_never_see_a_torn_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """One writer replaces rows as fast as it can and reuses slots; every hit of a reader at its tick is right."""
    monkeypatch.setattr(vectors, "CHUNK_ROWS", 16)
    index = VectorIndex(DIMENSIONS)
    current = [1]
    index.add(1, range(20), [vector(1000 + n) for n in range(20)])
    stop = threading.Event()
    wrong: list[object] = []
    reading: dict[int, int] = {}
    lock = threading.Lock()

    def read(name: int) -> None:
        while not stop.is_set():
            with lock:
                tick = reading[name] = current[0]
            hits = index.search(vector(1), 100, tick)
            if sorted(identifier for identifier, _ in hits) != list(range(20)):
                wrong.append((tick, hits))

    threads = [threading.Thread(target=read, args=(name,)) for name in range(3)]
    for name in range(3):
        reading[name] = 1
    for thread in threads:
        thread.start()
    for tick in range(2, 600):
        index.add(tick, [tick % 20, (tick * 7) % 20], [vector(tick), vector(-tick % 999)])
        with lock:
            current[0] = tick
            oldest = min(reading.values())
        index.forget_before(oldest)
    stop.set()
    for thread in threads:
        thread.join(5)
    assert not wrong
