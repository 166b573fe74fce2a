"""The interpreter's own settings, for a process that runs ticks.

A tick gives the interpreter's lock up at every statement. With Python's switch interval of 5 ms, a thread that computes makes it wait as
long each time it wants the lock back; with a short one, two threads that both have much to do spend their time handing it over. So it is
short while ticks are small, and somebody waits for each, and longer while they are large.

Rows are many small objects that live for one tick. The collector of cycles would look through them again and again, and finds
nothing; it runs more rarely.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

PROMPT_S: Final = 0.0001
BULK_S: Final = 0.005
BULK_CHANGES: Final = 2_000
"""Ticks of this many changes are bulk."""

COLLECTOR: Final = (50_000, 20, 50)


class Interpreter:
    """Suits the interpreter to ticks, until it is restored. Settings of the program that asks for less are kept."""

    def __init__(self) -> None:
        self._interval = round(sys.getswitchinterval(), 6)
        self._collector = gc.get_threshold()
        self._is_bulk = False

    def suit(self) -> None:
        """At the start of ticks."""
        sys.setswitchinterval(min(self._interval, PROMPT_S))
        if 0 < self._collector[0] < COLLECTOR[0]:
            gc.set_threshold(*COLLECTOR)

    def ticked(self, changes: int) -> None:
        """After a tick of so many changes."""
        is_bulk = changes >= BULK_CHANGES
        if is_bulk != self._is_bulk:
            self._is_bulk = is_bulk
            sys.setswitchinterval(min(self._interval, BULK_S if is_bulk else PROMPT_S))

    def restore(self) -> None:
        """As it was before."""
        sys.setswitchinterval(self._interval)
        gc.set_threshold(*self._collector)
