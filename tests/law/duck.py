"""The peer: DuckDB runs the same queries over the same tables, knowing nothing of us.

Its answers are Python values; so are ours after loading. Doubles are compared to twelve digits, because only ours are exact
sums.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, cast

import duckdb

from springline.core.schema import TableSchema
from springline.core.types import Stored, load
from tests.law.cases import Case, Row
from tests.law.domains import duck_type, duck_value

_MACROS: Final = """
    CREATE OR REPLACE MACRO unscaled(x) AS CAST(replace(CAST(x AS VARCHAR), '.', '') AS HUGEINT);
    CREATE OR REPLACE MACRO half_up(n, d) AS
        CASE WHEN (n < 0) <> (d < 0) THEN -((2 * abs(n) + abs(d)) // (2 * abs(d))) ELSE (2 * abs(n) + abs(d)) // (2 * abs(d)) END;
    SET error_on_division_by_zero = false;
    SET order_by_non_integer_literal = true;
"""

_REFUSED: Final = (
    duckdb.OutOfRangeException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.InternalException,
)
"""A value that DuckDB cannot hold or compute, where we have a rule of our own; or a fault of its planner."""


class CannotCompare(Exception):
    """DuckDB stopped at a value; the reason is its message."""


class Duck:
    """One database in memory for all cases; each case makes its tables anew."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.execute(_MACROS)
        self._schemas: dict[str, TableSchema] = {}

    def begin(self, case: Case) -> None:
        """Empty tables, and the case's views over them; none of a view that DuckDB cannot say."""
        self._connection.execute("DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
        for name in self._views():
            self._connection.execute(f"DROP VIEW {name}")
        self._schemas = {schema.name: schema for schema in case.tables}
        for schema in case.tables:
            columns = ", ".join(f"{column.name} {duck_type(column.type)}" for column in schema.columns)
            self._connection.execute(f"CREATE TABLE {schema.name} ({columns})")

    def define(self, name: str, text: str) -> None:
        """A view that later ones may read."""
        self._run(f"CREATE VIEW {name} AS {text}")

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        """All rows that the table has now."""
        kinds = [column.type for column in self._schemas[table].columns]
        made = [
            "(" + ", ".join(duck_value(value, kind) for value, kind in zip(row, kinds, strict=True)) + ")"
            for row in rows
        ]
        self._connection.execute(f"DELETE FROM {table}")
        if made:
            self._connection.execute(f"INSERT INTO {table} VALUES {', '.join(made)}")

    def rows(self, text: str) -> list[tuple[object, ...]]:
        return self._run(text)

    def _run(self, text: str) -> list[tuple[object, ...]]:
        try:
            return self._connection.execute(text).fetchall()
        except _REFUSED as error:
            raise CannotCompare(str(error).splitlines()[0]) from error

    def _views(self) -> list[str]:
        found = self._connection.execute(
            "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_oid DESC"
        )
        return [name for (name,) in found.fetchall()]


def loaded(rows: Iterable[Sequence[Stored]], schema: TableSchema) -> list[tuple[object, ...]]:
    """Stored rows as the Python values that DuckDB would give."""
    kinds = [column.type for column in schema.columns]
    return [tuple(_plain(load(value, kind)) for value, kind in zip(row, kinds, strict=True)) for row in rows]


def _plain(value: object) -> object:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[object]", value)]
    return value


def equal_bags(ours: Sequence[tuple[object, ...]], theirs: Sequence[tuple[object, ...]]) -> bool:
    """Whether two lists have the same rows as often."""
    if len(ours) != len(theirs):
        return False
    left = sorted(ours, key=_order)
    right = sorted(theirs, key=_order)
    if all(_equal_rows(one, other) for one, other in zip(left, right, strict=True)):
        return True
    rest = list(theirs)
    for row in ours:
        found = next((index for index, other in enumerate(rest) if _equal_rows(row, other)), None)
        if found is None:
            return False
        rest.pop(found)
    return True


def _order(row: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(f"{value:.9g}" if isinstance(value, float) else str(value) for value in row)


def _equal_rows(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return all(_equal(left, right) for left, right in zip(one, other, strict=True))


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, int | float | Decimal):
        right = float(other)
        if math.isnan(one) or math.isnan(right):
            return math.isnan(one) and math.isnan(right)
        return one == right or math.isclose(one, right, rel_tol=1e-12, abs_tol=1e-12)
    if isinstance(one, list) and isinstance(other, list):
        left, right_ = cast("list[object]", one), cast("list[object]", other)
        return len(left) == len(right_) and all(map(_equal, left, right_))
    return type(one) is type(other) and one == other
