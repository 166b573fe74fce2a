"""The policy documents: their form, and that translations say the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from springline.demo import airline

POLICIES = airline.policies()
ENGLISH = [path for path in POLICIES if not path.stem.endswith((".zh-TW", ".ja"))]
TRANSLATED = [path for path in POLICIES if path not in ENGLISH]


def test_there_are_enough_of_them() -> None:
    assert 14 <= len(ENGLISH) <= 18
    assert len(TRANSLATED) == 8


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.name)
def test_a_policy_is_plain_markdown_that_says_it_is_invented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(re.findall("^# ", text, re.MULTILINE)) == 1
    assert len(re.findall("^## ", text, re.MULTILINE)) >= 1
    assert "Springline Air Desk" in text.splitlines()[-1] or path.stem == "about-springline-air-desk"


@pytest.mark.parametrize("path", TRANSLATED, ids=lambda path: path.name)
def test_a_translation_keeps_structure_and_amounts(path: Path) -> None:
    english = (path.parent / (path.name.split(".")[0] + ".md")).read_text(encoding="utf-8")
    translated = path.read_text(encoding="utf-8")
    assert re.findall("^#+ ", translated, re.MULTILINE) == re.findall("^#+ ", english, re.MULTILINE)
    assert len(re.findall(r"^\|", translated, re.MULTILINE)) == len(re.findall(r"^\|", english, re.MULTILINE))
    amounts = set(re.findall(r"USD (\d+)", english))
    assert amounts == set(re.findall(r"(\d+) (?:美元|米ドル)", translated))
