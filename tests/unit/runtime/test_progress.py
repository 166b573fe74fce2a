"""What the recency barrier waits for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from springline.core.position import PositionVector, SequencePosition, Tick
from springline.runtime.embedded.capture import pause_s
from springline.runtime.embedded.progress import Progress, Reached


def reached(number: int, sequence: int, oldest_pending: int | None = None) -> Reached:
    return Reached(Tick(sequence), sequence, PositionVector({"a": SequencePosition(number)}), oldest_pending)


REQUIRED = {"a": SequencePosition(5)}


@pytest.mark.parametrize(
    ("now", "complete", "missing"),
    [
        (reached(5, 50), True, ()),
        (reached(6, 60), True, ()),
        (reached(4, 40), True, ("a",)),
        (reached(5, 50, oldest_pending=50), True, ("a",)),
        (reached(5, 50, oldest_pending=51), True, ()),
        (reached(5, 50, oldest_pending=10), False, ()),
    ],
)
def test_what_is_missing_at_the_deadline(now: Reached, complete: bool, missing: tuple[str, ...]) -> None:
    progress = Progress()
    progress.publish(now)
    assert progress.wait_for(REQUIRED, complete=complete, deadline_s=time.monotonic()) == missing


def test_a_table_that_is_loading_is_missing_until_it_is_live() -> None:
    progress = Progress()
    now = reached(9, 90)
    progress.publish(replace(now, loading=frozenset({"a.big"})))
    assert progress.wait_for(REQUIRED, complete=False, deadline_s=time.monotonic()) == ("a",)
    progress.publish(now)
    assert progress.wait_for(REQUIRED, complete=False, deadline_s=time.monotonic()) == ()


def test_a_source_that_was_never_applied_is_missing() -> None:
    assert Progress().wait_for(REQUIRED, complete=True, deadline_s=time.monotonic()) == ("a",)


def test_it_ends_as_soon_as_everything_is_there() -> None:
    progress = Progress()
    steps = [
        reached(4, 40),
        reached(5, 50, oldest_pending=45),
        reached(7, 70, oldest_pending=60),
        reached(7, 71),
    ]
    results: list[tuple[str, ...]] = []
    waiting = threading.Thread(
        target=lambda: results.append(
            progress.wait_for(REQUIRED, complete=True, deadline_s=time.monotonic() + 30)
        )
    )
    waiting.start()
    for step in steps:
        progress.publish(step)
    waiting.join(10)
    assert results == [()]


def test_a_dead_engine_lets_nobody_wait() -> None:
    progress = Progress()
    progress.fail(RuntimeError("gone"))
    assert progress.wait_for(REQUIRED, complete=True, deadline_s=time.monotonic() + 3600) == ("a",)


def test_pauses_grow_and_stay_bounded() -> None:
    pauses = [pause_s(failures, 0.5) for failures in range(1, 20)]
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(pauses) == 30.0
    assert pause_s(100, 0.99) < 45.0
