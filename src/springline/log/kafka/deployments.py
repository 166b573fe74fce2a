"""The topic that says what is deployed: one record for the current generation, and one for the next while that catches up."""

from __future__ import annotations

import json
from typing import Final

from springline.log.kafka.clients import REQUEST_TIMEOUT_S, Kafka, kafka_errors
from springline.log.kafka.cut import Deployed
from springline.log.kafka.names import deployments_topic
from springline.log.kafka.reading import read_range
from springline.log.kafka.topics import committed_ends

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
        producer = kafka.producer(f"{application}-deployments")
        producer.init_transactions(REQUEST_TIMEOUT_S)
        producer.begin_transaction()
        producer.produce(deployments_topic(application), deployed.to_json(), key.encode())
        producer.commit_transaction(REQUEST_TIMEOUT_S)


def promote(kafka: Kafka, application: str, deployed: Deployed) -> None:
    """The next generation is the current one from here on: both records in one transaction."""
    with kafka_errors(kafka, "switching to the next generation"):
        producer = kafka.producer(f"{application}-deployments")
        producer.init_transactions(REQUEST_TIMEOUT_S)
        producer.begin_transaction()
        topic = deployments_topic(application)
        producer.produce(topic, deployed.to_json(), CURRENT.encode())
        producer.produce(topic, None, NEXT.encode())
        producer.commit_transaction(REQUEST_TIMEOUT_S)
