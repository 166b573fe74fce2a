"""The pages on Flink say what the code does."""

from __future__ import annotations

import pytest

from tests.unit.runtime.flink.pages import DOCS, pages
from tests.unit.runtime.flink.test_rewriting import flink


@pytest.mark.parametrize("name", ["flink-gaps.md", "flink.md"])
def test_a_page_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "python -m tests.unit.runtime.flink.pages writes it"


def test_the_example_of_a_failing_expression_is_what_is_made() -> None:
    text = (DOCS / "flink.md").read_text()
    example = text.partition("```sql\n")[2].partition("\n```")[0]
    assert flink("SELECT id, sold / seats AS load FROM flights") == example
