"""docs/jsonl.md: its application runs on its lines."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from springline.app import App
from tests.house.project import ROOT

PAGE = (ROOT / "docs" / "jsonl.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, language
    return found[1]


def test_the_example_gives_what_its_lines_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("orders.jsonl").write_text(block("jsonl"))
    names: dict[str, Any] = {}
    exec(block("python"), names)
    app: App = names["app"]
    with (
        app.start(data=tmp_path / "data") as running,
        running.runtime.read(require="now", deadline_ms=20_000) as snapshot,
    ):
        assert snapshot.query("SELECT customer, orders, total FROM totals").dictionaries() == [
            {"customer": 8, "orders": 1, "total": "12.50"}
        ]
        [row] = snapshot.query("SELECT amount, `at` FROM shop.orders").dictionaries()
        assert Decimal(str(row["amount"])) == Decimal("12.50")
        assert row["at"] == "2013-02-08T00:00:02Z"
