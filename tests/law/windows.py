"""Windowing table functions in random queries, over columns that are not declared as event time: they obey the plain law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.law.pieces import Piece, pair, same


@dataclass(frozen=True, slots=True)
class WindowCall:
    """{0} is the relation, {1} its time column, {2} another column of it."""

    name: str
    flink: str
    duck: str


_BUCKET: Final = "time_bucket(INTERVAL {0}, {{1}}, TIMESTAMP '1970-01-01 00:00:00')"
_HOUR: Final = _BUCKET.format("1 HOUR")
_HALF: Final = _BUCKET.format("30 MINUTE")
_TWO: Final = _BUCKET.format("2 HOUR")

WINDOWS: Final = [
    WindowCall(
        "TUMBLE",
        "TABLE(TUMBLE(TABLE {0}, DESCRIPTOR({1}), INTERVAL '1' HOUR))",
        f"(SELECT *, {_HOUR} AS window_start, {_HOUR} + INTERVAL 1 HOUR AS window_end FROM {{0}} WHERE {{1}} IS NOT NULL)",
    ),
    WindowCall(
        "HOP",
        "TABLE(HOP(TABLE {0}, DESCRIPTOR({1}), INTERVAL '30' MINUTE, INTERVAL '1' HOUR))",
        "(SELECT *, window_start + INTERVAL 1 HOUR AS window_end FROM (SELECT *, "
        f"unnest([{_HALF}, {_HALF} - INTERVAL 30 MINUTE]) AS window_start FROM {{0}} WHERE {{1}} IS NOT NULL))",
    ),
    WindowCall(
        "CUMULATE",
        "TABLE(CUMULATE(TABLE {0}, DESCRIPTOR({1}), INTERVAL '1' HOUR, INTERVAL '2' HOUR))",
        f"(SELECT * FROM (SELECT *, {_TWO} AS window_start, unnest([{_TWO} + INTERVAL 1 HOUR, {_TWO} + INTERVAL 2 HOUR]) "
        "AS window_end FROM {0}) WHERE {1} < window_end)",
    ),
    WindowCall(
        "SESSION",
        "TABLE(SESSION(TABLE {0} PARTITION BY {2}, DESCRIPTOR({1}), INTERVAL '50' MINUTE))",
        "(SELECT *, min({1}) OVER (PARTITION BY {2}, _session) AS window_start, "
        "max({1}) OVER (PARTITION BY {2}, _session) + INTERVAL 50 MINUTE AS window_end FROM (SELECT *, sum(_new) OVER "
        "(PARTITION BY {2} ORDER BY {1} ROWS UNBOUNDED PRECEDING) AS _session FROM (SELECT *, CASE WHEN {1} - lag({1}) OVER "
        "(PARTITION BY {2} ORDER BY {1}) <= INTERVAL 50 MINUTE THEN 0 ELSE 1 END AS _new FROM {0} WHERE {1} IS NOT NULL)))",
    ),
]


def windowed(call: WindowCall, relation: Piece, time: str, partition: str, alias: str) -> Piece:
    """The call as a relation of FROM."""
    return pair(
        call.flink + f" AS {alias}", call.duck + f" AS {alias}", relation, same(time), same(partition)
    )
