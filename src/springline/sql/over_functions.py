"""Sums over windows whose frame moves: rows enter and leave, and the sum stays exact."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import apsw

from springline.sql.exact import WIDE, DoubleSum, wide_sum_text


class DoubleFrame:
    """SUM and AVG of DOUBLE."""

    def __init__(self, *, average: bool) -> None:
        self._sum = DoubleSum()
        self._count = 0
        self._average = average

    def step(self, value: Any) -> None:
        self._move(value, 1)

    def inverse(self, value: Any) -> None:
        self._move(value, -1)

    def _move(self, value: Any, weight: int) -> None:
        if value is not None:
            self._sum.add(value, weight)
            self._count += weight

    def value(self) -> float | str | None:
        if not self._count:
            return None
        total = self._sum.value()
        return total / self._count if self._average and not isinstance(total, str) else total


class WideFrame:
    """SUM and AVG of unbounded DECIMALs. NaN and infinities do not count, as in the aggregates."""

    def __init__(self, average: Callable[[str, int], str] | None) -> None:
        self._total = Decimal(0)
        self._count = 0
        self._average = average

    def step(self, value: Any) -> None:
        self._move(value, 1)

    def inverse(self, value: Any) -> None:
        self._move(value, -1)

    def _move(self, value: Any, weight: int) -> None:
        if value is not None and value not in ("NaN", "Infinity", "-Infinity"):
            self._total = WIDE.add(self._total, WIDE.multiply(Decimal(value), Decimal(weight)))
            self._count += weight

    def value(self) -> str | None:
        if not self._count:
            return None
        text = wide_sum_text(self._total)
        return text if self._average is None else self._average(text, self._count)


def register_over_functions(connection: apsw.Connection, wide_average: Callable[[str, int], str]) -> None:
    """Makes the window functions of generated SQL known to a connection. ``wide_average`` divides a sum by a count."""
    windows: dict[str, Callable[[], DoubleFrame | WideFrame]] = {
        "sl_over_sum_double": lambda: DoubleFrame(average=False),
        "sl_over_avg_double": lambda: DoubleFrame(average=True),
        "sl_over_sum_wide": lambda: WideFrame(None),
        "sl_over_avg_wide": lambda: WideFrame(wide_average),
    }
    for name, make in windows.items():
        connection.create_window_function(name, _factory(make), 1)


def _factory(make: Callable[[], DoubleFrame | WideFrame]) -> Callable[[], Any]:
    def factory() -> Any:
        frame = type(made := make())
        return made, frame.step, frame.value, frame.value, frame.inverse

    return factory
