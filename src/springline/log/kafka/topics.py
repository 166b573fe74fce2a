"""The topics of an application: made as they must be, and checked where they are there already."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceUnavailable
from springline.log.kafka.clients import (
    LARGEST_RECORD_BYTES,
    REQUEST_TIMEOUT_S,
    Kafka,
    admin_api,
    kafka_errors,
)
from springline.log.kafka.names import (
    barriers_topic,
    capture_topic,
    cuts_topic,
    deployments_topic,
    table_topic,
)

WEEK_MS: Final = 7 * 24 * 3_600_000
HOUR_MS: Final = 3_600_000
SETTLING_S: Final = 20.0
APPEARING_S: Final = 2.0
"""How long a topic that was just made may be unknown."""

COMPACTED: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    # For so long may somebody who follows be away without missing that a row is gone.
    "delete.retention.ms": str(WEEK_MS),
    "max.message.bytes": str(LARGEST_RECORD_BYTES + (1 << 20)),
}
STREAM: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": str(WEEK_MS),
    "max.message.bytes": str(LARGEST_RECORD_BYTES + (1 << 20)),
}


@dataclass(frozen=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict[str, str])


def table_topics(application: str, schemas: Iterable[TableSchema], partitions: int) -> list[Topic]:
    """Where capture writes."""
    return [
        Topic(table_topic(application, one.name), partitions, COMPACTED if one.kept else STREAM)
        for one in schemas
    ]


def control_topics(application: str) -> list[Topic]:
    return [
        Topic(capture_topic(application), 1, {"cleanup.policy": "compact"}),
        Topic(cuts_topic(application), 1, {"cleanup.policy": "compact"}),
        Topic(deployments_topic(application), 1, {"cleanup.policy": "compact"}),
        Topic(barriers_topic(application), 1, {"cleanup.policy": "delete", "retention.ms": str(HOUR_MS)}),
    ]


def ensure_topics(kafka: Kafka, topics: Sequence[Topic]) -> list[str]:
    """Makes the topics that are not there; their names. Raises ConfigurationError for one that is there and is kept otherwise."""
    with kafka_errors(kafka, "looking at its topics"):
        admin = kafka.admin
        there = kafka.topics()
        _check(admin, [one for one in topics if one.name in there])
        missing = [one for one in topics if one.name not in there]
        made = [
            admin_api.NewTopic(
                one.name, num_partitions=one.partitions, replication_factor=-1, config=dict(one.config)
            )
            for one in missing
        ]
        if made:
            for name, future in admin.create_topics(made, request_timeout=REQUEST_TIMEOUT_S).items():
                _made(name, future)
    return [one.name for one in missing]


def _made(name: str, future: Any) -> None:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _check(admin: Any, topics: Sequence[Topic]) -> None:
    resources = {admin_api.ConfigResource(admin_api.ResourceType.TOPIC, one.name): one for one in topics}
    if not resources:
        return
    for resource, future in admin.describe_configs(
        list(resources), request_timeout=REQUEST_TIMEOUT_S
    ).items():
        wanted = next(one for key, one in resources.items() if key.name == resource.name)
        found = future.result()
        has, needs = found["cleanup.policy"].value, wanted.config.get("cleanup.policy", "delete")
        if (needs == "compact") != (has == "compact"):
            raise ConfigurationError(
                f"Topic {wanted.name!r} has cleanup.policy={has}, and needs {needs}: "
                + ("rows would be lost." if needs == "compact" else "it would grow without end."),
                hint=f"kafka-configs.sh --alter --entity-type topics --entity-name {wanted.name} --add-config cleanup.policy={needs}",
            )


def topic_identities(kafka: Kafka, topics: Sequence[str]) -> dict[str, list[Any]]:
    """Which topics they are: the broker's identifier, which a topic that is made anew has not, and the number of partitions. Those that do not
    exist are not there."""
    found: dict[str, list[Any]] = {}
    if not topics:
        return found
    with kafka_errors(kafka, "looking at its topics"):
        asked = kafka.admin.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S)
        for name, future in asked.items():
            try:
                described = future.result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
            else:
                found[name] = [str(described.topic_id), len(described.partitions)]
    return found


def check_same(written: Mapping[str, Sequence[Any]], now: Mapping[str, Sequence[Any]]) -> None:
    """Whether what was written is still in its topics. Pure. Raises ConfigurationError."""
    for name, (identifier, partitions) in written.items():
        found = now.get(name)
        if found is None or found[0] != identifier:
            what = "was deleted" if found is None else "was deleted and made anew"
            raise ConfigurationError(
                f"Topic {name!r} {what}, and with it rows that capture has written and nobody sends again.",
                hint="Give the application a new name, and with it new topics; capture then writes everything again.",
            )
        if found[1] != partitions:
            raise ConfigurationError(
                f"Topic {name!r} had {partitions} partitions when it was first written, and has {found[1]}: changes of one row would stand in two, in no order.",
                hint="Give the application a new name, and with it new topics, of `kafka_partitions` partitions.",
            )


Offsets = dict[tuple[str, int], int]
"""By topic and partition."""


def partitions_of(kafka: Kafka, topics: Iterable[str]) -> list[tuple[str, int]]:
    """The partitions of topics, sorted. Raises SourceUnavailable for one that does not exist."""
    with kafka_errors(kafka, "looking at its topics"):
        known = kafka.topics()
    found: list[tuple[str, int]] = []
    for name in topics:
        if name not in known or known[name].error is not None:
            raise SourceUnavailable(
                f"There is no topic {name!r} at {kafka.bootstrap}.",
                hint="Was it deleted? `springline deploy` starts a new generation, with topics of its own.",
            )
        found += [(name, partition) for partition in known[name].partitions]
    return sorted(found)


def committed_ends(kafka: Kafka, partitions: Sequence[tuple[str, int]]) -> Offsets:
    """Where what is committed ends in each partition: below it nothing is open, aborted or missing (the last stable offset)."""
    if not partitions:
        return {}
    asked = {TopicPartition(*one): admin_api.OffsetSpec.latest() for one in partitions}
    began = time.monotonic()
    while True:
        try:
            with kafka_errors(kafka, "asking for offsets"):
                admin = kafka.admin
                futures = admin.list_offsets(
                    asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=REQUEST_TIMEOUT_S
                )
                return {(one.topic, one.partition): future.result().offset for one, future in futures.items()}
        except SourceUnavailable:
            # A topic that was just made has no leader for a moment, and the client remembers that it had none.
            if time.monotonic() - began > SETTLING_S:
                raise
            time.sleep(0.05)
            with kafka_errors(kafka, "looking at its topics"):
                known = kafka.topics()
            missing = sorted({topic for topic, _ in partitions if topic not in known})
            if missing and time.monotonic() - began > APPEARING_S:
                raise SourceUnavailable(
                    f"There is no topic {missing[0]!r} at {kafka.bootstrap}.",
                    hint="It is made by `springline deploy`: has it run for this application, and on this Kafka?",
                ) from None
