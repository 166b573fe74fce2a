"""The page on performance shows the last run, and names every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.nexmark.queries import QUERIES
from bench.publish import BEGIN, END, LATEST, PAGE, main, published
from bench.settings import ROOT
from bench.suite import SYSTEMS
from bench.workloads import MAKERS


def test_the_page_shows_the_last_run() -> None:
    page = PAGE.read_text()
    assert page == published(page, LATEST.read_text()), "run: python -m bench.publish"


def test_publishing_replaces_the_tables_alone(tmp_path: Path) -> None:
    page, latest = tmp_path / "page.md", tmp_path / "latest.md"
    page.write_text(f"# Title\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    latest.write_text("# Benchmarks\n\n| a |\n")
    for _ in range(2):
        assert main(page, latest) == 0
        assert (
            page.read_text()
            == f"# Title\n\nBefore.\n\n{BEGIN}\n\n### Benchmarks\n\n| a |\n\n{END}\n\nAfter.\n"
        )
    with pytest.raises(ValueError, match="no part between"):
        published("# Title\n", "| a |")


def test_the_page_names_every_option_workload_and_peer() -> None:
    page = PAGE.read_text()
    read = set(re.findall(r'"(BENCH_[A-Z]+|PEERS)"', (ROOT / "bench" / "settings.py").read_text()))
    assert read
    assert {name for name in read if f"`{name}`" not in page} == set()
    assert {name for name in {*SYSTEMS, *MAKERS} if f"| {name} |" not in page} == set()
    families = {system.family for systems in SYSTEMS.values() for system in systems}
    assert {name for name in families if f"`{name}`" not in page} == set()


def test_the_page_says_which_queries_are_not_run() -> None:
    page = PAGE.read_text()
    assert [name for name, one in QUERIES.items() if one.sql is None and name not in page] == []
