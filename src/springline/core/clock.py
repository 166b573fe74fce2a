"""Time as a parameter."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from. Operators never see one; loops, governors and tests do."""

    def now_us(self) -> int:
        """Wall clock, microseconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """A clock that never goes back, in seconds; only differences mean anything."""
        ...

    def sleep_s(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep_s(self, seconds: float) -> None:
        time.sleep(seconds)
