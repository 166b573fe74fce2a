"""The topic that says what is deployed: one record for the current generation, and one for the next while that catches up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from springline.log.kafka.clients import REQUEST_TIMEOUT_S, Kafka, kafka_errors
from springline.log.kafka.cut import Deployed
from springline.log.kafka.names import deployments_topic
from springline.log.kafka.reading import read_range
from springline.log.kafka.topics import committed_ends
from springline.log.kafka.writer import Writer

CURRENT: Final = "current"
NEXT: Final = "next"


def read_deployments(kafka: Kafka, application: str) -> dict[str, Deployed]:
    """What stands under ``current`` and ``next``. The topic has few records, and is read whole."""
    topic = deployments_topic(application)
    found: dict[str, Deployed] = {}
    for batch in read_range(kafka, {}, committed_ends(kafka, [(topic, 0)])):
        for record in batch:
            key = (record.key or b"").decode()
            if record.value is None:
                found.pop(key, None)
            else:
                found[key] = Deployed.from_json(json.loads(record.value))
    return found


def write_deployment(kafka: Kafka, application: str, key: str, deployed: Deployed) -> None:
    """Durable when it returns."""
    with kafka_errors(kafka, "writing down what is deployed"):
        _write(kafka, application, {key: deployed.to_json()})


def promote(kafka: Kafka, application: str, deployed: Deployed) -> None:
    """The next generation is the current one from here on: both records in one transaction."""
    with kafka_errors(kafka, "switching to the next generation"):
        _write(kafka, application, {CURRENT: deployed.to_json(), NEXT: None})


def _write(kafka: Kafka, application: str, values: Mapping[str, bytes | None]) -> None:
    writer = Writer(kafka, f"{application}-deployments")
    try:
        writer.prepare()
        writer.producer.begin_transaction()
        for key, value in values.items():
            writer.producer.produce(deployments_topic(application), value, key.encode())
        writer.producer.commit_transaction(REQUEST_TIMEOUT_S)
    finally:
        writer.drop()
