"""What the law compares, and the runs that it compares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.sql.exact import WIDE
from springline.sql.typed import is_wide
from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Case, Change, Row
from tests.law.user_functions import FUNCTIONS

ComparedRow = tuple[str, ...]


def comparable(rows: Iterable[Row], schema: TableSchema) -> list[ComparedRow]:
    """Rows as texts, in order: both zeros are equal, and so are DECIMALs of different spelling."""
    wide = [is_wide(column.type) for column in schema.columns]
    return sorted(
        tuple(_value(value, is_decimal) for value, is_decimal in zip(row, wide, strict=True)) for row in rows
    )


def _value(value: Stored, is_decimal: bool) -> str:
    if is_decimal and isinstance(value, str):
        return str(Decimal(value).normalize(WIDE))
    return repr(value + 0.0) if isinstance(value, float) else repr(value)


def net(changes: Sequence[Change]) -> dict[str, list[tuple[Row, int]]]:
    """Changes as a tick of the harness takes them."""
    made: dict[str, list[tuple[Row, int]]] = {}
    for table, old, new in changes:
        rows = made.setdefault(table, [])
        if old is not None:
            rows.append((old, -1))
        if new is not None:
            rows.append((new, 1))
    return made


def ticks(changes: Sequence[Change], cuts: Sequence[int]) -> list[Sequence[Change]]:
    """The changelog cut into ticks of these sizes; what is left is the last one."""
    made: list[Sequence[Change]] = []
    start = 0
    for size in [*cuts, len(changes)]:
        if start < len(changes):
            made.append(changes[start : start + size])
        start += size
    return made


def build(case: Case) -> SqlHarness:
    """The case's tables and views, empty."""
    harness = SqlHarness(case.tables, functions=FUNCTIONS)
    for name, text in case.views:
        harness.add_view(name, text)
    return harness


class Reported:
    """A view's rows as a subscriber holds them: what it had at first, and every change since."""

    def __init__(self, harness: SqlHarness) -> None:
        self._rows = {name: Counter(harness.rows(name)) for name in harness.views}

    def follow(self, done: dict[str, list[tuple[Row, int]]]) -> None:
        for name, changes in done.items():
            if name in self._rows:
                held = self._rows[name]
                for row, weight in changes:
                    held[row] += weight
                assert all(count >= 0 for count in held.values()), f"{name}: a row went that was not there"

    def assert_equals_rows(self, harness: SqlHarness) -> None:
        for name, held in self._rows.items():
            schema = harness.views[name].schema
            summed = comparable(held.elements(), schema)
            kept = comparable(harness.rows(name), schema)
            assert summed == kept, f"{name}: {harness.views[name].text}\nchanges sum to {summed}\nrows {kept}"


def assert_views_equal_batch(harness: SqlHarness) -> None:
    for name, program in harness.views.items():
        kept = comparable(harness.rows(name), program.schema)
        anew = comparable(harness.batch(name), program.schema)
        assert kept == anew, f"{name}: {program.text}\nmaintained {kept}\nbatch      {anew}"


def assert_same_views(one: SqlHarness, other: SqlHarness, how: str) -> None:
    for name, program in one.views.items():
        expected = comparable(one.rows(name), program.schema)
        found = comparable(other.rows(name), program.schema)
        assert found == expected, f"{name}, {how}: {program.text}\nexpected {expected}\nfound    {found}"


def assert_no_leftovers(harness: SqlHarness) -> None:
    """After a tick every scratch table is empty."""
    names = harness.connection.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'table'").fetchall()
    for (name,) in names:
        assert harness.connection.execute(f'SELECT count(*) FROM temp."{name}"').fetchone() == (0,), name
