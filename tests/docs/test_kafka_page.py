"""docs/kafka.md names what there is: formats, what a table declares, what a source takes. Its application declares without a broker."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from springline.app import App
from springline.sources.kafka.source import KafkaSource
from springline.sources.kafka.tables import FORMATS, KafkaTable
from tests.house.project import ROOT

PAGE = (ROOT / "docs" / "kafka.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, language
    return found[1]


def names_under(head: str) -> set[str]:
    """What the first column of a table of the page names."""
    table = PAGE[PAGE.index(f"| {head} |") :].split("\n\n")[0]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def test_all_formats_are_described() -> None:
    assert names_under("format") == set(FORMATS)


def test_all_that_a_table_declares_is_described() -> None:
    assert names_under("declared") == {one.name for one in dataclasses.fields(KafkaTable)}


def test_all_options_are_described() -> None:
    taken = set(inspect.signature(KafkaSource).parameters) | set(inspect.signature(App.kafka).parameters)
    assert names_under("option of `app.kafka`") == taken - {"self", "name", "bootstrap", "tables", "schemas"}


def test_the_application_declares_without_a_broker() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    app: App = names["app"]
    assert sorted(schema.name for schema in app.sources["shop"].tables()) == [
        "shop.clicks",
        "shop.orders",
        "shop.rejected_records",
    ]
