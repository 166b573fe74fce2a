"""Capture's way into Kafka: every change once, whole ticks in one transaction, and with it how far that is.

The transaction's last record goes to the application's capture topic and names the number of the newest record in it. After a crash, or a
commit of which nobody knows whether it came through, that topic says (``resume``): the transaction is there as a whole or not at all.
Only one capture writes: a transactional id of its own shuts out whoever had it before.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from confluent_kafka import KafkaError, KafkaException, Message

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceUnavailable
from springline.log.base import Commit, Foreign, Outgoing, RowChange, Unfit
from springline.log.kafka.clients import LARGEST_RECORD_BYTES, Kafka, kafka_errors, mapped
from springline.log.kafka.names import capture_topic, check_application, table_topic
from springline.log.kafka.reading import DataEnds, last_json, read_range
from springline.log.kafka.rows import RowCodec
from springline.log.kafka.topics import (
    Offsets,
    check_same,
    committed_ends,
    control_topics,
    ensure_topics,
    partitions_of,
    table_topics,
    topic_identities,
)
from springline.log.kafka.writer import Writer

COMMIT_TIMEOUT_S: Final = 30.0


class KafkaPublisher:
    """Implements ``log.base.Publisher``. ``partitions``: of topics that it makes."""

    def __init__(self, application: str, kafka: Kafka, *, partitions: int = 4) -> None:
        check_application(application)
        self._application = application
        self._kafka = kafka
        self._partitions = partitions
        self._writer = Writer(kafka, f"{application}-capture")
        self._identity = ""
        self._refused: KafkaError | None = None
        self._data_ends = DataEnds(kafka)
        self._ends: Offsets = {}
        self._gaps: dict[tuple[str, int], tuple[int, int]] = {}
        """Where there is more between two records of ours than the mark of a transaction."""
        self._topics: dict[str, list[Any]] = {}
        """The tables' topics as they were when they were first written: identifier, and number of partitions."""

    def ends(self) -> Offsets:
        """Behind which record each partition of the tables' topics ends, with everything that was published. Thread-safe.

        Kafka tells a producer that its transaction is committed before readers see that it is, so the end that a reader sees may be too low."""
        return dict(self._ends)

    def records(
        self, schema: TableSchema, change: RowChange, commit: Commit
    ) -> Sequence[tuple[bytes | None, bytes | None]]:
        """Debezium's envelope under the row's key, and behind a deletion a tombstone; a stream's row as it is."""
        codec = RowCodec.of(schema)
        row = change.after if change.after is not None else change.before
        assert row is not None  # One of both is there.
        key = codec.encode_key(row)
        if not schema.kept:
            value = codec.encode_row(row)
        else:
            source = {
                "connector": "springline",
                "name": commit.source,
                "table": schema.name.partition(".")[2],
                "ts_us": commit.committed_at_us,
                "position": commit.position_text,
                "txId": commit.transaction,
            }
            value = codec.encode_change(
                change.operation, change.before, change.after, source, commit.committed_at_us // 1_000
            )
        if (size := len(value) + len(key or b"")) > LARGEST_RECORD_BYTES:
            raise Unfit(
                f"A row of {schema.name!r} takes {size:,} bytes as a record; at most {LARGEST_RECORD_BYTES:,} are sent."
            )
        return [(key, value), (key, None)] if change.operation == "d" else [(key, value)]

    def resume(
        self, schemas: Sequence[TableSchema], identity: str, check: Callable[[int], None] = lambda _: None
    ) -> int:
        for schema in schemas:
            _check_table(schema)
        control, tables = (
            control_topics(self._application),
            table_topics(self._application, schemas, self._partitions),
        )
        ensure_topics(self._kafka, control)
        names = [one.name for one in tables]
        # A capture that cannot go on from here must not shut out the one that can.
        check(self._through(identity, names))
        ensure_topics(self._kafka, tables)
        with kafka_errors(self._kafka, "preparing to write"):
            self._writer.prepare()
        self._identity, self._refused = identity, None
        # The producer is ready once all that was written under its name before is committed or aborted, marks included.
        self._ends = self._data_ends.of(committed_ends(self._kafka, partitions_of(self._kafka, names)))
        check(through := self._through(identity, names))
        self._topics = topic_identities(self._kafka, names)
        return through

    def _through(self, identity: str, names: Sequence[str]) -> int:
        """How far capture has come, as its topic says. Raises ConfigurationError where that was another data folder's, and where what was
        written is no longer there."""
        last = last_json(self._kafka, capture_topic(self._application))
        found = topic_identities(self._kafka, names)
        if last is None:
            if any(committed_ends(self._kafka, partitions_of(self._kafka, found)).values()):
                raise ConfigurationError(
                    f"Topic {capture_topic(self._application)!r} was deleted: it says how far capture has come, and is empty, and others of {self._application!r} are not.",
                    hint="Give the application a new name, and with it new topics.",
                )
            return 0
        if last["identity"] != identity:
            raise ConfigurationError(
                f"The topics of {self._application!r} were written from another data folder.",
                hint="Run capture on that one; or give the application a new name, and with it new topics.",
            )
        written = cast("dict[str, list[Any]]", last.get("topics", {}))
        check_same({name: one for name, one in written.items() if name in names}, found)
        return int(str(last["through"]))

    def publish(self, pages: Iterable[Sequence[Outgoing]], through: int) -> None:
        if not self._writer.is_ready:
            raise SourceUnavailable("There is no connection to Kafka.", hint="It is made again.")
        try:
            with kafka_errors(self._kafka, "writing"):
                self._writer.producer.begin_transaction()
                positions: dict[str, list[object]] = {}
                for page in pages:
                    for record in page:
                        self._produce(record)
                        positions[record.commit.source] = list(record.commit[1:3])
                said = {
                    "through": through,
                    "identity": self._identity,
                    "positions": positions,
                    "topics": self._topics,
                }
                self._writer.producer.produce(
                    capture_topic(self._application),
                    json.dumps(said),
                    b"capture",
                    on_delivery=self._delivered,
                )
                self._commit()
        except BaseException:
            # The transaction's fate is asked for by ``resume``; an abort only frees what it holds the sooner.
            self._writer.abort()
            raise
        if self._refused is not None:
            raise mapped(self._refused, self._kafka.bootstrap, "writing")

    def foreign(self) -> Sequence[Foreign]:
        """Between two of our transactions stands one mark on each partition; what else can be read there is somebody else's."""
        found: list[Foreign] = []
        for (topic, partition), (begin, end) in self._gaps.items():
            with contextlib.suppress(SourceUnavailable):
                place = (topic, partition)
                offsets = [
                    one.offset
                    for batch in read_range(self._kafka, {place: begin}, {place: end})
                    for one in batch
                ]
                if offsets:
                    found.append(Foreign(topic, f"partition {partition}, offset {offsets[0]}", len(offsets)))
        self._gaps.clear()
        return found

    def close(self) -> None:
        self._data_ends.close()
        self._writer.drop()

    def _produce(self, record: Outgoing) -> None:
        commit = record.commit
        headers: list[tuple[str, str | bytes | None]] = [
            ("position", commit.position_text),
            ("committed_at_us", str(commit.committed_at_us)),
            ("transaction", commit.transaction),
        ]
        while True:
            try:
                self._writer.producer.produce(
                    table_topic(self._application, record.relation),
                    record.value,
                    record.key,
                    timestamp=commit.committed_at_us // 1_000,
                    headers=headers,
                    on_delivery=self._delivered,
                )
                self._writer.producer.poll(0)
                return
            except BufferError:
                self._writer.producer.poll(0.1)

    def _commit(self) -> None:
        """Tries again what Kafka says can be tried again, for a while: then it is said, and ``resume`` asks what became of it."""
        deadline = time.monotonic() + COMMIT_TIMEOUT_S
        while True:
            try:
                self._writer.producer.commit_transaction(COMMIT_TIMEOUT_S)
                return
            except KafkaException as error:
                found: KafkaError = error.args[0]
                if not found.retriable() or time.monotonic() > deadline:
                    raise KafkaException(self._refused or found) from error

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        topic = str(message.topic())
        if error is None:
            if topic != capture_topic(self._application):
                place, offset = (topic, int(message.partition() or 0)), int(message.offset() or 0)
                known = self._ends.get(place, 0)
                if offset > known + 1:
                    self._gaps[place] = (self._gaps.get(place, (known,))[0], offset)
                self._ends[place] = offset + 1
        elif self._refused is None:
            self._refused = error


def _check_table(schema: TableSchema) -> None:
    if schema.kept and not schema.key:
        raise ConfigurationError(
            f"Table {schema.name!r} has no primary key, and cannot be written to a compacted topic.",
            hint="Give it a primary key in the source, or leave it out of the tables that are captured.",
        )
