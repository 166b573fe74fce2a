"""What the law compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.sql.exact import WIDE
from springline.sql.typed import is_wide
from springline.testing.sql_harness import SqlHarness
from tests.law.generate import Case, Row


def comparable(rows: Iterable[Row], schema: TableSchema) -> list[tuple[str, ...]]:
    """Rows as texts, in order: both zeros are equal, and so are DECIMALs of different spelling."""
    wide = [is_wide(column.type) for column in schema.columns]
    return sorted(
        tuple(_value(value, is_decimal) for value, is_decimal in zip(row, wide, strict=True)) for row in rows
    )


def _value(value: Stored, is_decimal: bool) -> str:
    if is_decimal and isinstance(value, str):
        return str(Decimal(value).normalize(WIDE))
    return repr(value + 0.0) if isinstance(value, float) else repr(value)


def net(changes: Sequence[tuple[str, Row | None, Row | None]]) -> dict[str, list[tuple[Row, int]]]:
    made: dict[str, list[tuple[Row, int]]] = {}
    for table, old, new in changes:
        rows = made.setdefault(table, [])
        if old is not None:
            rows.append((old, -1))
        if new is not None:
            rows.append((new, 1))
    return made


def assert_views_equal_batch(harness: SqlHarness) -> None:
    for name, program in harness.views.items():
        kept = comparable(harness.rows(name), program.schema)
        anew = comparable(harness.batch(name), program.schema)
        assert kept == anew, f"{name}: {program.text}\nmaintained {kept}\nbatch      {anew}"


def assert_no_leftovers(harness: SqlHarness) -> None:
    """After a tick every scratch table is empty."""
    names = harness.connection.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'table'").fetchall()
    for (name,) in names:
        assert harness.connection.execute(f'SELECT count(*) FROM temp."{name}"').fetchone() == (0,), name


def build(case: Case) -> SqlHarness:
    harness = SqlHarness(case.tables)
    for name, text in case.views:
        harness.add_view(name, text)
    return harness
