"""Every scenario file, on the embedded compiler; and that a scenario can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from springline.testing.scenarios import parse_scenario, run_scenario

FILES = sorted(Path(__file__).parent.glob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    run_scenario(path.read_text())


def test_every_scenario_says_what_it_shows_and_expects_something() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.startswith("# "), path.name
        scenario = parse_scenario(text)
        assert scenario.ticks, path.name
        assert any(tick.expected for tick in scenario.ticks), path.name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("+ | 2  | Ben  | Cem", "+ | 2  | Ben  | Ada"),
        ("- | 2   | 3\n", ""),
        ("```expect peers\n  | one | two\n- | 1   | 3\n+ | 2   | 4\n```", ""),
    ],
)
def test_a_wrong_expectation_fails(old: str, new: str) -> None:
    text = (Path(__file__).parent / "self-join.md").read_text()
    assert old in text
    with pytest.raises(AssertionError, match="expected"):
        run_scenario(text.replace(old, new))


def test_a_block_without_changes_before_it_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first changes"):
        parse_scenario("```expect v\n  | id\n```\n")


def test_a_value_that_is_not_of_its_type_is_refused() -> None:
    text = "```table s.t\nid INT NOT NULL\nPRIMARY KEY (id)\n```\n```changes s.t\n  | id\n+ | x\n```\n"
    with pytest.raises(ValueError, match="'x' is not a INT"):
        run_scenario(text)
