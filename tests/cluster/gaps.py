"""The views of scenario files that Flink does not show as the embedded runtime does, and why.

A mark is strict: the test of a view that begins to agree fails until its line here is gone. The reasons are keys of
``springline.runtime.flink.gaps``.
"""

from __future__ import annotations

from typing import Final

# Scenario -> view -> key of gaps.REFUSED or gaps.DIFFERENT.
GAPS: Final[dict[str, dict[str, str]]] = {
    "aggregates-in-order": {"log": "aggregates in order"},
    "dates-and-times": {"times": "moments before 1970"},
    "exact-doubles": {"total": "sums and variances of doubles"},
    "groups-that-fail": dict.fromkeys(("by_class", "by_status"), "sums beyond their type"),
    "left-join-decimals": {"newest": "tables without a key"},
    "over": {"ranked": "functions OVER windows"},
    "spread-and-percentiles": {"spread": "COUNT of several distinct columns"},
    "spread-beyond-its-type": dict.fromkeys(("spread", "prices"), "sums beyond their type"),
    "subqueries-that-fail": {"booking": "queries with several rows as a value"},
    "temporal-join": {"converted": "temporal joins", "all_orders": "temporal joins"},
    "windows-close": {"living": "live windows"},
    "windows-idle": {"counted": "watermarks"},
    "windows-lateness": {"hopping": "allowed lateness"},
    "windows-live": dict.fromkeys(("tumbling", "shifted", "hopping", "growing", "placed"), "live windows"),
    "windows-sessions": {"living": "live windows", "sessions": "sessions that lose a row"},
}
