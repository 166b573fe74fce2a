"""Applications side by side in one Flink job, between topics of one Kafka: feeds their tables, reads what was derived."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

with warnings.catch_warnings():
    # What the library itself does when it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError as NotAnswered

from springline.core.types import Stored
from springline.errors import SourceUnavailable
from springline.log.kafka.names import table_topic
from springline.log.kafka.rows import RowCodec
from springline.runtime.flink.configuration import defaults
from springline.runtime.flink.ddl import name
from springline.runtime.flink.definition import DerivedRelation, Job, Statement
from springline.runtime.flink.rest import FlinkRest

DEADLINE_S: Final = 240.0

Row: TypeAlias = tuple[Stored, ...]
Rows: TypeAlias = dict[tuple[str, str], list[Row]]
"""The rows of each relation of each application."""
Record: TypeAlias = tuple[bytes | None, bytes | None]


def together(title: str, jobs: Mapping[str, Job]) -> Job:
    """One Flink job of several, by the applications' names in it: each in a database of its own. An error says whose statement it was."""
    statements: list[Statement] = []
    for stem, job in jobs.items():
        statements.append(Statement("define", f"CREATE DATABASE {name(stem)}", stem))
        statements.append(Statement("define", f"USE {name(stem)}", stem))
        statements += [replace(one, about=f"{stem} {one.about}") for one in job.statements]
    functions = tuple(one for job in jobs.values() for one in job.functions)
    return Job(title, 1, f"{title}-1", tuple(statements), (), functions, defaults())


class Feeder:
    """The topics of applications, whose names begin with ``run``."""

    def __init__(self, bootstrap: str, run: str, jobs: Mapping[str, Job]) -> None:
        self._bootstrap = bootstrap
        self._run = run
        self._jobs = jobs
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._fed: dict[str, dict[str, int]] = {stem: {} for stem in jobs}
        self._derived: dict[str, tuple[str, DerivedRelation]] = {
            one.topic: (stem, one) for stem, job in jobs.items() for one in job.relations
        }

    def create_topics(self, tables: Mapping[str, Sequence[str]]) -> None:
        """Those of the applications' tables, and of all that they derive."""
        topics = [
            table_topic(self._jobs[stem].application, table)
            for stem, listed in tables.items()
            for table in listed
        ]
        for future in self._admin.create_topics(
            [NewTopic(one, 1, 1, config={"cleanup.policy": "compact"}) for one in [*topics, *self._derived]]
        ).values():
            future.result()

    def feed(self, records: Mapping[str, Sequence[tuple[str, Record]]]) -> None:
        """Each application's records with their tables, in their order."""
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        for stem, listed in records.items():
            for table, (key, value) in listed:
                topic = table_topic(self._jobs[stem].application, table)
                producer.produce(topic, key=key, value=value, on_delivery=self._delivered(stem))
                producer.poll(0)
        assert producer.flush(DEADLINE_S) == 0

    def _delivered(self, stem: str) -> Callable[[Any, Any], None]:
        def note(error: Any, message: Any) -> None:
            assert error is None, error
            self._fed[stem][message.topic()] = message.offset() + 1

        return note

    def covering(self, rest: FlinkRest, jobs: Sequence[str]) -> int:
        """The number of checkpoints, one of each job, that hold all that was fed: they are counted together."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                numbers = [rest.checkpoint(one, timeout_s=DEADLINE_S).number for one in jobs]
                if not (behind := self.behind()):
                    return max(numbers)
                reason = f"Not read: {behind[:5]}"
            # A job that was started again, a group whose coordinator is being made.
            except (SourceUnavailable, NotAnswered) as error:
                reason = str(error)
            assert time.monotonic() < deadline, reason
            time.sleep(0.5)

    @property
    def fed(self) -> dict[str, int]:
        """Behind the last record of each topic that was fed."""
        return {topic: end for ends in self._fed.values() for topic, end in ends.items()}

    def behind(self) -> list[tuple[str, str, int, int]]:
        """The topics whose committed offsets are behind what was fed.

        Not asked by librdkafka's AdminClient, which crashes where the group's coordinator is only just being loaded.
        """
        groups = {job.group: stem for stem, job in self._jobs.items()}
        found: list[tuple[str, str, int, int]] = []
        with self._administration() as kafka:
            committed_by = kafka.list_group_offsets(list(groups))
        for group, offsets in committed_by.items():
            committed = {partition.topic: one.offset for partition, one in offsets.items()}
            for topic, end in self._fed[groups[group]].items():
                if committed.get(topic, -1) < end:
                    found.append((group, topic, committed.get(topic, -1), end))
        return found

    @contextmanager
    def _administration(self) -> Iterator[Any]:
        """kafka-python's administration, which knows transactions."""
        client = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            yield client
        finally:
            client.close()

    def wait_until_committed(self, checkpoint: int) -> None:
        """Until no transaction of this checkpoint, or of one before, is open."""
        deadline = time.monotonic() + DEADLINE_S
        while left := [one for one in self._open() if int(one.rpartition("-")[2]) <= checkpoint]:
            assert time.monotonic() < deadline, f"Not committed: {left[:5]}"
            time.sleep(0.1)

    def _open(self) -> list[str]:
        with self._administration() as kafka:
            answer: Any = kafka.list_transactions()
        listed = [one for part in (answer.values() if isinstance(answer, dict) else [answer]) for one in part]
        ended = ("EMPTY", "COMPLETE_COMMIT", "COMPLETE_ABORT", "DEAD")
        ours = [one for one in listed if one.transactional_id.startswith(self._run)]
        return [one.transactional_id for one in ours if not str(one.state).upper().endswith(ended)]

    def read(self) -> Rows:
        """All rows of all derived relations, as far as transactions are committed."""
        kept = self._records()
        return {
            (stem, relation.name): [
                RowCodec.of(relation.schema).decode_row(one) for one in kept[topic].values()
            ]
            for topic, (stem, relation) in self._derived.items()
        }

    def _records(self) -> dict[str, dict[bytes, bytes]]:
        """Each derived topic's last records by their keys."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "side-by-side-reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self._derived])
        kept: dict[str, dict[bytes, bytes]] = {topic: {} for topic in self._derived}
        ended: set[str] = set()
        try:
            while len(ended) < len(self._derived):
                message = consumer.poll(30.0)
                assert message is not None, (
                    f"Not read to their ends: {sorted(set(self._derived) - ended)[:5]}"
                )
                topic = str(message.topic())
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(topic)
                elif message.value() is None:
                    kept[topic].pop(message.key(), None)
                else:
                    kept[topic][message.key()] = message.value()
        finally:
            consumer.close()
        return kept
