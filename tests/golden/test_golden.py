"""Our translation against tables that a real Flink filled (``make golden``): every expression's type and value."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from springline.testing.sql_harness import SqlHarness
from tests.golden import samples
from tests.golden.differences import BY_REASON, DIFFERENCES
from tests.golden.notation import REFUSED, Line, Table, read_tables, written
from tests.golden.ours import agrees, evaluate, filled

TABLES = {table.path.stem: table for table in read_tables()}
DOCUMENT = Path(__file__).parents[2] / "docs" / "sql.md"


LINES = [
    pytest.param(table, line, id=f"{name}-{line.expression}")
    for name, table in TABLES.items()
    for line in table.lines
    if line.expression
]


@pytest.mark.parametrize(("table", "line"), LINES)
def test_as_flink(table: Table, line: Line) -> None:
    kind, result = evaluate(table.over, line.expression)
    both = f"Flink: {line.type} {line.result}\nhere:  {kind} {result}"
    reason = DIFFERENCES.get(table.path.stem, {}).get(line.expression)
    if reason is None:
        assert agrees(line, kind, result), both
    else:
        assert not agrees(line, kind, result), (
            f"no difference any more ({reason}); take the mark away\n{both}"
        )


def test_every_line_has_flinks_answer() -> None:
    assert [
        line.expression
        for table in TABLES.values()
        for line in table.lines
        if line.expression and not line.type
    ] == []


def test_every_expression_stands_once() -> None:
    for table in TABLES.values():
        assert len(set(table.expressions)) == len(table.expressions), table.path.name


def test_marks_are_of_expressions_that_are_there() -> None:
    for name, marks in DIFFERENCES.items():
        assert set(marks) <= set(TABLES[name].expressions)


def test_every_difference_is_documented() -> None:
    section = DOCUMENT.read_text().split("## Differences from Flink")[1].split("\n## ")[0]
    rows = set(re.findall(r"^\| ([^|]+?) \|", section, re.MULTILINE))
    reasons = {reason for reasons in BY_REASON.values() for reason in reasons}
    assert reasons <= rows


AGGREGATES = [line for line in TABLES["aggregates"].lines if line.expression and line.type != REFUSED]


def test_views_agree_with_queries_under_changes() -> None:
    """Every golden aggregate as a view: filled while rows come, go and come back, it ends with what the query gives."""
    schema, rows = filled("facts", samples.FACTS)
    harness = SqlHarness([schema])
    kinds: dict[str, str] = {}
    for index, line in enumerate(AGGREGATES):
        kind, _ = evaluate("facts", line.expression)
        if kind == REFUSED:
            continue
        kinds[f"v{index}"] = line.expression
        harness.add_view(f"v{index}", f"SELECT g, {line.expression} AS x FROM facts GROUP BY g", key=["g"])
        harness.add_view(f"a{index}", f"SELECT {line.expression} AS x FROM facts")
    other = [(*row[:1], "n", *row[2:]) for row in rows]
    for changes in (
        [(row, 1) for row in other[:6]],
        [(other[0], -1), (rows[0], 1), (other[1], -1), (rows[1], 1)],
        [(row, -1) for row in other[2:6]] + [(row, 1) for row in rows[2:]],
        [(rows[3], -1), (rows[8], -1)],
        [(rows[3], 1), (rows[8], 1)],
    ):
        harness.tick({"facts": changes})
        for name, expression in kinds.items():
            for view in (name, "a" + name[1:]):
                found = sorted(map(str, harness.rows(view)))
                assert found == sorted(map(str, harness.batch(view))), expression
    assert len(kinds) > 90


def test_notation() -> None:
    assert [written(value) for value in (None, True, 1.0, "it's\n", b"\x01", [1, "a"])] == [
        "NULL",
        "TRUE",
        "1.0",
        "'it''s\\x0a'",
        "x'01'",
        "[1, 'a']",
    ]
