"""Numbers as Java, and so Flink, writes them."""

from __future__ import annotations

import math
from decimal import Decimal


def java_double(value: float) -> str:
    """A double as Java (and so Flink) writes it: 1.0, 1.0E10, NaN, Infinity."""
    if not math.isfinite(value):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits))
    return f"{'-' if sign else ''}{written[0]}.{written[1:] or '0'}E{exponent + len(digits) - 1}"
