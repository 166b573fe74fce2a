"""The SQL types that aggregates have."""

from __future__ import annotations

from springline.core.types import BIGINT, DOUBLE, SqlType, decimal
from springline.sql.aggregate_calls import VARIANCES, AggregateCall
from springline.sql.typed import capped, is_wide


def aggregate_type(call: AggregateCall) -> SqlType:
    """COUNT is BIGINT, MIN and MAX keep the type. SUM of integers is BIGINT, of DECIMAL(p, s) DECIMAL(18, s), AVG keeps integers
    integers, as in Flink, and gives DECIMALs at least six digits of fraction."""
    if call.name == "COUNT" or call.argument is None:
        return BIGINT
    if call.collected is not None:
        return call.collected.type
    kind = call.argument.type
    if call.name in VARIANCES and kind.is_scaled:
        return decimal(18, max(kind.scale or 0, 6))
    if call.name in ("MIN", "MAX") or is_wide(kind):
        return kind
    if kind.name in ("DOUBLE", "FLOAT"):
        return DOUBLE
    if kind.is_scaled:
        scale = kind.scale or 0
        if call.name == "SUM":
            return decimal(18, scale)
        return capped((kind.precision or 0) - scale + max(scale, 6), max(scale, 6))
    return BIGINT if call.name == "SUM" else kind


def average_shift(argument: SqlType, kind: SqlType) -> int:
    """Digits that AVG adds to a DECIMAL; -1 for integers, which are truncated."""
    return -1 if argument.is_integer else (kind.scale or 0) - (argument.scale or 0)
