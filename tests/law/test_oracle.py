"""Views and their batch against plain Python: what the law compares must itself be right.

The oracle here reads rows as Python values and knows nothing of SQLite, stored forms or deltas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, DOUBLE, INT, STRING, SqlType, decimal
from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Change, Changelog, law
from tests.law.check import net
from tests.law.choices import Drawn
from tests.law.domains import NASTY, PRICE

LEFT = TableSchema(
    "s.l",
    (
        Column("id", INT, False),
        Column("g", STRING),
        Column("j", INT),
        Column("x", INT),
        Column("d", DOUBLE),
        Column("p", PRICE),
    ),
    ("id",),
)
RIGHT = TableSchema("s.r", (Column("id", INT, False), Column("j", INT), Column("y", BIGINT)), ("id",))

AGGREGATES = """
    SELECT g, COUNT(*) AS n, COUNT(x) AS nx, COUNT(DISTINCT x) AS dx, SUM(x) AS sx, AVG(x) AS ax, MIN(x) AS lx, MAX(x) AS hx,
           SUM(d) AS sd, AVG(d) AS ad, MIN(d) AS ld, MAX(d) AS hd, SUM(p) AS sp, AVG(p) AS ap,
           SUM(x) FILTER (WHERE d > 0) AS fx
    FROM l GROUP BY g"""


@st.composite
def changelogs(draw: Callable[..., object]) -> list[Change]:
    renamed = [
        TableSchema(
            one.name,
            tuple(
                Column("ref" if column.name == "j" else column.name, column.type, column.nullable)
                for column in one.columns
            ),
            one.key,
        )
        for one in (LEFT, RIGHT)
    ]
    choices = Drawn(draw)
    return Changelog(choices, renamed, peer=False).steps(1 + choices.below(30))


def _run(changelog: list[Change], text: str, size: int) -> tuple[SqlHarness, list[tuple[object, ...]]]:
    harness = SqlHarness([LEFT, RIGHT])
    harness.add_view("v", text)
    for start in range(0, len(changelog), size):
        harness.tick(net(changelog[start : start + size]))
    maintained = [harness.load("v", row) for row in harness.rows("v")]
    batch = [harness.load("v", row) for row in harness.batch("v")]
    assert _sorted(maintained) == _sorted(batch)
    return harness, maintained


def _sorted(rows: Iterable[tuple[object, ...]]) -> list[str]:
    return sorted(
        repr(tuple(value + 0.0 if isinstance(value, float) else value for value in row)) for row in rows
    )


def _present(values: Iterable[object]) -> list[object]:
    return [value for value in values if value is not None]


def _lowest(values: Iterable[object]) -> object:
    """NaN is above every number."""
    return min(_present(values), key=_order, default=None)


def _highest(values: Iterable[object]) -> object:
    return max(_present(values), key=_order, default=None)


def _order(value: object) -> tuple[bool, object]:
    nan = isinstance(value, float) and math.isnan(value)
    return (nan, 0.0 if nan else value)


def _double_sum(values: Iterable[object]) -> float | None:
    numbers = [float(str(value)) for value in _present(values)]
    if not numbers:
        return None
    if any(map(math.isnan, numbers)) or {math.inf, -math.inf} <= set(numbers):
        return math.nan
    infinite = [number for number in numbers if math.isinf(number)]
    if infinite:
        return infinite[0]
    try:
        return float(sum(map(Fraction, numbers)))
    except OverflowError:
        return math.inf if sum(map(Fraction, numbers)) > 0 else -math.inf


def _truncated(total: int, count: int) -> int:
    return int(Fraction(total, count))


def _aggregates(rows: list[dict[str, object]], g: object) -> tuple[object, ...]:
    x = [int(str(value)) for value in _present(row["x"] for row in rows)]
    d = _present(row["d"] for row in rows)
    p = [number for row in rows if row["p"] is not None and (number := Decimal(str(row["p"]))).is_finite()]
    total = _double_sum(d)
    average = None if not p else (sum(p) / len(p)).quantize(Decimal("0.000001"), ROUND_HALF_UP)
    positive = _present(
        row["x"] for row in rows if row["d"] is not None and (row["d"] > 0 or math.isnan(row["d"]))
    )
    return (
        g, len(rows), len(x), len(set(x)), sum(x) if x else None, _truncated(sum(x), len(x)) if x else None,
        _lowest(x), _highest(x), total, None if total is None else total / len(d), _lowest(d), _highest(d),
        sum(p) if p else None, average, sum(map(int, map(str, positive))) if positive else None,
    )  # fmt: skip


@law(150)
@given(changelogs(), st.integers(1, 5))
def test_aggregates_are_those_of_python(changelog: list[Change], size: int) -> None:
    harness, maintained = _run(changelog, AGGREGATES, size)
    rows = [dict(zip(LEFT.names, harness.load("s.l", row), strict=True)) for row in harness.rows("s.l")]
    groups = {row["g"] for row in rows}
    expected = [_aggregates([row for row in rows if row["g"] == g], g) for g in groups]
    assert _sorted(maintained) == _sorted(expected)


JOINS: dict[str, Callable[[tuple[object, ...], tuple[object, ...]], bool]] = {
    "l.j = r.j": lambda one, two: one[2] is not None and one[2] == two[1],
    "l.j = r.j AND l.x < r.y": lambda one, two: (
        None not in (one[2], one[3], two[2]) and one[2] == two[1] and one[3] < two[2]
    ),
}


@law(150)
@given(changelogs(), st.integers(1, 5), st.sampled_from(sorted(JOINS)), st.booleans(), st.booleans())
def test_joins_are_those_of_nested_loops(
    changelog: list[Change],
    size: int,
    condition: str,
    outer: bool,
    filtered: bool,
) -> None:
    text = f"SELECT l.id, r.id AS rid, l.x, r.y FROM l {'LEFT JOIN' if outer else 'JOIN'} r ON {condition}"
    if filtered:
        text += " WHERE r.y IS NULL OR r.y > 0"
    harness, maintained = _run(changelog, text, size)
    left = [harness.load("s.l", row) for row in harness.rows("s.l")]
    right = [harness.load("s.r", row) for row in harness.rows("s.r")]
    expected: list[tuple[object, ...]] = []
    for one in left:
        found = [other for other in right if JOINS[condition](one, other)]
        expected += [(one[0], other[0], one[3], other[2]) for other in found]
        if outer and not found:
            expected.append((one[0], None, one[3], None))
    if filtered:
        expected = [row for row in expected if row[3] is None or row[3] > 0]
    assert _sorted(maintained) == _sorted(expected)


@law(100)
@given(changelogs(), st.integers(1, 5))
def test_groups_over_a_left_join_are_those_of_nested_loops(changelog: list[Change], size: int) -> None:
    harness, maintained = _run(
        changelog,
        "SELECT r.id, COUNT(l.id) AS n, SUM(l.x) AS s, MAX(l.d) AS m FROM r LEFT JOIN l ON l.j = r.j GROUP BY r.id",
        size,
    )
    left = [harness.load("s.l", row) for row in harness.rows("s.l")]
    expected: list[tuple[object, ...]] = []
    for right in (harness.load("s.r", row) for row in harness.rows("s.r")):
        found = [one for one in left if one[2] is not None and one[2] == right[1]]
        numbers = [int(str(one[3])) for one in found if one[3] is not None]
        expected.append(
            (right[0], len(found), sum(numbers) if numbers else None, _highest(one[4] for one in found))
        )
    assert _sorted(maintained) == _sorted(expected)


def test_the_domains_are_of_their_types() -> None:
    """A value outside its type would make the law pass for nothing."""
    for kind, values in NASTY.items():
        harness = SqlHarness([TableSchema("s.t", (Column("id", INT, False), Column("v", kind)), ("id",))])
        harness.tick({"s.t": [((index, value), 1) for index, value in enumerate(values)]})
        assert [row[1] for row in harness.rows("s.t")] == values
    assert isinstance(decimal(), SqlType)
