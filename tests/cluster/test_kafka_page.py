"""docs/kafka.md: its application runs on its records, on a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from springline.app import App
from springline.testing.kafka import KafkaBroker
from tests.cluster.kafka_harness import Topic
from tests.docs.test_kafka_page import block


def test_the_example_gives_what_its_records_say(kafka: KafkaBroker, tmp_path: Path) -> None:
    orders, clicks = Topic(kafka, name="shop.public.orders"), Topic(kafka, name="clicks")
    records = [json.loads(line) for line in block("jsonl").splitlines()]
    orders.send(*records)
    clicks.send({"page": "/", "at": 0})
    names: dict[str, Any] = {}
    exec(block("python").replace("localhost:9092", kafka.bootstrap), names)
    app: App = names["app"]
    with (
        app.start(data=tmp_path / "data") as running,
        running.runtime.read(require="now", deadline_ms=30_000) as snapshot,
    ):
        assert snapshot.query("SELECT customer, orders, total FROM totals").dictionaries() == [
            {"customer": 8, "orders": 1, "total": "12.50"}
        ]
        [row] = snapshot.query("SELECT `at` FROM shop.orders").dictionaries()
        assert row["at"] == "2013-02-08T00:00:00Z"
        [rejected] = snapshot.query("SELECT `offset`, reason FROM shop.rejected_records").dictionaries()
        assert rejected["offset"] == 4
        assert "'three' is not a BIGINT" in str(rejected["reason"])
