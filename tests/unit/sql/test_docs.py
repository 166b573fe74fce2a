"""docs/sql.md is run: every example gives what stands beside it, and every function has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from springline.app import App
from springline.core.types import load, render
from springline.settings import Settings
from springline.sql import compile_query, explain
from springline.sql.scalars import names
from springline.sql.sharing import SHARED, is_shared
from springline.testing.scenarios import parse_scenario
from springline.testing.sql_harness import SqlHarness

DOCUMENT = Path(__file__).parents[3] / "docs" / "sql.md"
TEXT = DOCUMENT.read_text()
EXAMPLES = [
    (expression.replace("\\|", "|"), result.strip())
    for table in re.findall(r"^\| example \| result \|\n\|---\|---\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    for expression, result in re.findall(r"^\| `(.+)` \| (.+) \|$", table, re.MULTILINE)
]


def shown(value: object, kind: object) -> str:
    if isinstance(value, str) and str(kind) == "STRING":
        return f"'{value}'"
    if value is None:
        return "NULL"
    return {True: "TRUE", False: "FALSE"}.get(value, str(value)) if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def harness() -> SqlHarness:
    scenario = parse_scenario(TEXT)
    made = SqlHarness(scenario.tables)
    for view in scenario.views:
        made.add_view(view.name, view.text)
    return made


@pytest.mark.parametrize(("expression", "result"), EXAMPLES)
def test_example(harness: SqlHarness, expression: str, result: str) -> None:
    program = compile_query(f"SELECT {expression} AS x", {})
    [(stored,)] = harness.connection.execute(program.sql).fetchall()
    [(_, kind)] = program.columns
    assert shown(render(stored, kind), kind) == result
    load(stored, kind)


def test_queries_run(harness: SqlHarness) -> None:
    queries = re.findall(r"^```query\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert queries
    for query in queries:
        harness.query(query)


def test_every_function_has_an_example() -> None:
    examples = " ".join(expression for expression, _ in EXAMPLES)
    missing = [name for name in names() if not re.search(rf"\b{name}\(", examples)]
    assert not missing


def test_what_the_page_says_is_shared_is_shared() -> None:
    views = dict(re.findall(r'^app\.view\("(\w+)", +"(.*)"\)$', TEXT, re.MULTILINE))
    harness = SqlHarness(parse_scenario(TEXT).tables)
    harness.add_sharing_views(views)
    [shared] = [program for name, program in harness.views.items() if is_shared(name)]
    assert all(shared.name in harness.views[name].inputs for name in views)
    told = explain(shared).splitlines()[0].replace(shared.name, f"{SHARED}…")
    assert f"shared with many: {shared.text}\n{told}\n" in TEXT


def test_python_functions_of_the_page() -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    app = App("page", settings=Settings())
    exec(compile(code, "docs/sql.md", "exec"), {"app": app})
    harness = SqlHarness([], functions=app.functions)
    assert harness.query("SELECT DOMAIN('Ada@Example.ORG'), domain(CAST(NULL AS STRING))") == [
        ("example.org", None)
    ]
    assert list(app.functions.tables) == ["WORDS"]


def test_the_views_of_the_page_have_keys(harness: SqlHarness) -> None:
    assert harness.schemas["delays"].key == ("origin",)
    assert harness.schemas["seats"].key == ("id", "reference")
