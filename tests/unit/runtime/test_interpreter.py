"""The interpreter's settings: short turns for small ticks, longer ones for bulk, and as before when the runtime stops."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.runtime.embedded.interpreter import BULK_CHANGES, COLLECTOR, Interpreter
from tests.unit.runtime.running import orders, runtime


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    interval, collector = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(0.005)
    gc.set_threshold(700, 10, 10)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*collector)


def test_ticks_choose_the_turns() -> None:
    interpreter = Interpreter()
    interpreter.suit()
    assert sys.getswitchinterval() == pytest.approx(0.0001)
    interpreter.ticked(BULK_CHANGES)
    assert sys.getswitchinterval() == pytest.approx(0.005)
    interpreter.ticked(1)
    assert sys.getswitchinterval() == pytest.approx(0.0001)
    assert gc.get_threshold() == COLLECTOR


def test_a_program_that_asked_for_less_keeps_it() -> None:
    sys.setswitchinterval(0.00005)
    gc.set_threshold(0, 10, 10)
    interpreter = Interpreter()
    interpreter.suit()
    interpreter.ticked(BULK_CHANGES)
    assert sys.getswitchinterval() == pytest.approx(0.00005)
    assert gc.get_threshold()[0] == 0


def test_all_is_as_before_when_the_runtime_stops(tmp_path: Path) -> None:
    with runtime(tmp_path, [orders()]):
        assert sys.getswitchinterval() < 0.005
    assert sys.getswitchinterval() == pytest.approx(0.005)
    assert gc.get_threshold() == (700, 10, 10)
