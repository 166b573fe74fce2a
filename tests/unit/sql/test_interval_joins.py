"""Which conditions between times an index serves from both sides."""

from __future__ import annotations

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import DATE, INT, TIMESTAMP
from springline.sql.dialect import Flink, Tree, parse_query
from springline.sql.interval_joins import range_conjuncts
from springline.sql.typed import Typed
from springline.testing.sql_harness import SqlHarness


def of_kind(column: Tree) -> Typed:
    return Typed(column.name, {"day": DATE, "n": INT}.get(column.name, TIMESTAMP))


@pytest.mark.parametrize(
    ("condition", "conjuncts"),
    [
        ("a.t = b.t", ["a.t = b.t"]),
        ("a.t < b.t", ["a.t < b.t"]),
        ("a.n < b.n + 1", ["a.n < b.n + 1"]),
        (
            "a.t >= b.t - INTERVAL '5' SECOND",
            ["a.t >= b.t - INTERVAL '5' SECOND", "b.t <= a.t + INTERVAL '5' SECOND"],
        ),
        ("a.t + INTERVAL '1' DAY < b.t", ["a.t + INTERVAL '1' DAY < b.t", "a.t < b.t - INTERVAL '1' DAY"]),
        (
            "a.t - INTERVAL '1' HOURS > (b.t + INTERVAL '2' HOUR)",
            [
                "a.t - INTERVAL '1' HOURS > (b.t + INTERVAL '2' HOUR)",
                "a.t > b.t + INTERVAL '2' HOUR + INTERVAL '1' HOURS",
                "b.t < a.t - INTERVAL '1' HOURS - INTERVAL '2' HOUR",
            ],
        ),
        # A DATE moves by whole days, so that nothing follows for it.
        ("a.day >= b.t - INTERVAL '5' HOUR", ["a.day >= b.t - INTERVAL '5' HOUR"]),
        # Months have no fixed length: adding one and taking it away again is not the same day.
        ("a.t >= b.t - INTERVAL '1' MONTH", ["a.t >= b.t - INTERVAL '1' MONTH"]),
        (
            "a.t BETWEEN b.t AND b.t + INTERVAL '1' DAY",
            ["a.t >= b.t", "a.t <= b.t + INTERVAL '1' DAY", "b.t >= a.t - INTERVAL '1' DAY"],
        ),
        ("a.t BETWEEN SYMMETRIC b.t AND b.u", ["(a.t BETWEEN b.t AND b.u OR a.t BETWEEN b.u AND b.t)"]),
    ],
)
def test_what_follows_from_a_condition(condition: str, conjuncts: list[str]) -> None:
    query, _ = parse_query(f"SELECT 1 FROM a, b WHERE {condition}")
    found = range_conjuncts(query.args["where"].this, of_kind)
    assert [one.sql(dialect=Flink) for one in found] == conjuncts


def test_the_index_has_the_key_and_the_time() -> None:
    columns = (Column("id", INT, nullable=False), Column("k", INT, nullable=False), Column("t", TIMESTAMP))
    harness = SqlHarness([TableSchema("s.a", columns, ("k", "id")), TableSchema("s.b", columns, ("id",))])
    program = harness.add_view(
        "v",
        "SELECT a.id, a.k, b.id AS other FROM a JOIN b ON a.k = b.k AND b.t BETWEEN a.t - INTERVAL '1' HOUR AND a.t",
    )
    indexes = [step.sql.split(" ON ")[1] for step in program.state if step.sql.startswith("CREATE INDEX")]
    assert indexes == ['"s.b"("k", "t")', '"s.a"("k", "t")']
    for steps in program.on_input.values():
        for step in steps:
            plan = harness.connection.execute("EXPLAIN QUERY PLAN " + step.sql).fetchall()
            assert any("(k=? AND t>? AND t<?)" in detail for *_, detail in plan)
