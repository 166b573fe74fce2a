"""The generator writes every construct that docs/sql.md lists for views, and a failing case becomes a scenario file that fails."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import INT
from springline.testing.scenarios import run_scenario
from tests.house.project import ROOT
from tests.law import written
from tests.law.aggregates import AGGREGATES
from tests.law.cases import Case, made_case
from tests.law.check import assert_views_equal_batch, build, net
from tests.law.choices import Seeded
from tests.law.coverage import constructs
from tests.law.features import PROBES, compiles, form_text, problem, taken
from tests.law.functions import COMPARED, FORMS, OF_ANY, OF_ORDERED
from tests.law.test_mutants import mutate, without_one_input
from tests.law.user_functions import FUNCTIONS
from tests.law.written import scenario

SEEDS: Final = 700

ELSEWHERE: Final[dict[str, str]] = {}
"""Documented constructs that the generator does not write, and where they are tested."""


def documented() -> dict[str, str]:
    """Every construct in the examples of docs/sql.md's tables of expressions, with an example of it."""
    text = (ROOT / "docs" / "sql.md").read_text()
    made: dict[str, str] = {}
    for table in re.findall(r"^\| example \| result \|\n\|[-| ]+\|\n((?:\|.*\n)+)", text, flags=re.MULTILINE):
        for example in re.findall(r"^\| `(.*?)` \|", table.replace("\\|", "\0"), flags=re.MULTILINE):
            shown = example.replace("\0", "|")
            made.update(dict.fromkeys(constructs(f"SELECT {shown} AS x"), shown))
    return made


def generated() -> set[str]:
    """Every construct that expressions can be made of."""
    made: set[str] = set()
    every = [form_text(form) for form in FORMS]
    every += [flink.format("a", "b", "c") for flink, _ in [*OF_ANY, *OF_ORDERED, *COMPARED]]
    for text in every:
        made |= constructs(f"SELECT {text} AS x FROM t")
    return made


def test_every_documented_expression_is_generated() -> None:
    made = generated()
    missing = {
        name: example for name, example in documented().items() if name not in made and name not in ELSEWHERE
    }
    assert missing == {}, "add a Form (tests/law/functions.py and its neighbours) for each"


def test_every_form_is_understood_and_has_its_type() -> None:
    assert {form_text(form): problem(form) for form in FORMS if problem(form)} == {}
    assert [one.flink for one in AGGREGATES if one.probe and not compiles(one.probe)] == []
    assert [name for name in PROBES if not taken(name)] == []


def test_random_queries_have_every_form_of_query() -> None:
    """By name, as ``coverage.constructs`` gives them, in a fixed sequence of cases."""
    found: set[str] = set()
    for seed in range(SEEDS):
        for _, text in made_case(Seeded(seed), most_changes=2).views:
            found |= constructs(text)
    wanted = {
        "SELECT DISTINCT", "GROUP BY", "Having", "Filter", "Distinct", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN",
        "JOIN USING", "self-join", "several tables", "derived table", "CTE", "UNION", "UNION ALL", "INTERSECT", "EXCEPT", "IN query",
        "Exists", "scalar subquery", "ROW_NUMBER OVER", "RANK OVER", "LAG OVER", "TUMBLE window", "HOP window", "CUMULATE window", "SESSION window", "SELECT *",
        "Limit", "Lateral", "DIGIT(1)", "TAGGED(2)",
    }  # fmt: skip
    assert wanted - found == set()


@pytest.mark.parametrize("seed", range(30))
def test_a_case_written_as_a_scenario_runs(seed: int) -> None:
    case = made_case(Seeded(seed), most_views=2)
    run_scenario(scenario(case, [3, 1, 2, 2, 4], "A case", "It shows how cases are written."), FUNCTIONS)


def test_a_failing_case_is_written_as_a_scenario_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(written, "FOLDER", tmp_path)
    columns = (Column("id", INT, nullable=False), Column("n", INT))
    tables = [TableSchema("s.a", columns, ("id",)), TableSchema("s.b", columns, ("id",))]
    case = Case(
        tables,
        [("v", "SELECT a.id, b.n FROM a JOIN b ON a.id = b.id")],
        [("s.a", None, (1, 1)), ("s.b", None, (1, 2))],
    )

    mutate(monkeypatch, without_one_input)

    def run() -> None:
        with written.reproduced(case, [1], "an_example"):
            harness = build(case)
            for change in case.changes:
                harness.tick(net([change]))
                assert_views_equal_batch(harness)

    with pytest.raises(AssertionError) as caught:
        run()
    [note] = caught.value.__notes__
    text = Path(note.split(": ", 1)[1]).read_text()
    with pytest.raises(AssertionError, match="changes in tick 2"):
        run_scenario(text)
    monkeypatch.undo()
    run_scenario(text)
