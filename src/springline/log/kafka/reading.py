"""Reading topics from an offset to an offset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from springline.log.kafka.clients import END_OF_PARTITION, REQUEST_TIMEOUT_S, TIMED_OUT, Kafka, kafka_errors
from springline.log.kafka.topics import Offsets, committed_ends

BATCH_RECORDS: Final = 5_000

_OF_RANGES: Final = {
    "auto.offset.reset": "earliest",
    # The end of a range is often known only from a fetch that brings nothing, and nobody waits here for what is to come.
    "fetch.wait.max.ms": 10,
}


class Received(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Reader:
    """A connection that reads ranges one after another, and is kept between them. Not thread-safe. ``close`` is idempotent."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._consumer: Consumer | None = None

    def read(
        self,
        begin: Mapping[tuple[str, int], int],
        end: Mapping[tuple[str, int], int],
        *,
        patience_s: float = REQUEST_TIMEOUT_S,
    ) -> Iterator[list[Received]]:
        """The committed records with ``begin <= offset < end`` of every partition that ``end`` names, in batches; of one partition in order.
        A partition without a beginning is read from its first record. Raises SourceUnavailable where nothing comes for ``patience_s``."""
        waiting = {place: last for place, last in end.items() if begin.get(place, 0) < last}
        if not waiting:
            return
        with kafka_errors(self._kafka, "reading topics"):
            try:
                consumer = self._consumer or self._kafka.consumer(**_OF_RANGES)
                self._consumer = consumer
                consumer.assign([TopicPartition(*place, begin.get(place, 0)) for place in waiting])
                while waiting:
                    yield _batch(consumer, waiting, patience_s)
                consumer.unassign()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def read_range(
    kafka: Kafka, begin: Mapping[tuple[str, int], int], end: Mapping[tuple[str, int], int]
) -> Iterator[list[Received]]:
    """``Reader.read``, with a connection of its own."""
    reader = Reader(kafka)
    try:
        yield from reader.read(begin, end)
    finally:
        reader.close()


def _batch(consumer: Consumer, waiting: dict[tuple[str, int], int], patience_s: float) -> list[Received]:
    """What comes next. Partitions that are read to their end are taken out of ``waiting``."""
    found: list[Received] = []
    first = consumer.poll(patience_s)
    if first is None:
        raise KafkaException(KafkaError(TIMED_OUT, "nothing comes"))
    # With a time of 0 it returns what has come; otherwise it would wait for the whole number.
    for message in (first, *consumer.consume(BATCH_RECORDS, 0.0)):
        place = (str(message.topic()), int(message.partition() or 0))
        offset = int(message.offset() or 0)
        error = message.error()
        if error is not None and error.code() != END_OF_PARTITION:
            raise KafkaException(error)
        last = waiting.get(place)
        if last is None:
            continue
        if error is None and offset < last:
            key, value = message.key(), message.value()
            found.append(Received(*place, offset, _bytes(key), _bytes(value)))
        # An end of partition, or a record, at or behind the last one: what lies between are marks of transactions.
        if offset >= last - (error is None):
            del waiting[place]
            consumer.incremental_unassign([TopicPartition(*place)])
    return found


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def last_json(kafka: Kafka, topic: str) -> dict[str, object] | None:
    """The newest committed record of a topic of one partition; None where there is none."""
    high = committed_ends(kafka, [(topic, 0)])[topic, 0]
    back = 16
    while high:
        start = max(0, high - back)
        values = [
            record.value
            for batch in read_range(kafka, {(topic, 0): start}, {(topic, 0): high})
            for record in batch
            if record.value is not None
        ]
        if values:
            return json.loads(values[-1])
        if start == 0:
            break
        back *= 8
    return None


class DataEnds:
    """Where the records of partitions end: behind the last one, before the marks of transactions, which whoever reads records never counts.
    What was found is kept. Not thread-safe."""

    def __init__(self, kafka: Kafka) -> None:
        self._reader = Reader(kafka)
        self._known: dict[tuple[str, int], tuple[int, int]] = {}

    def of(self, ends: Offsets) -> Offsets:
        """For the ends of what is committed (``committed_ends``)."""
        changed = {place: end for place, end in ends.items() if self._known.get(place, (0, 0))[0] != end}
        back = 32
        while changed:
            begin = {
                place: max(self._known.get(place, (0, 0))[1], end - back) for place, end in changed.items()
            }
            last: Offsets = {}
            for batch in self._reader.read(begin, changed):
                last.update({(one.topic, one.partition): one.offset + 1 for one in batch})
            for place, end in list(changed.items()):
                known = self._known.get(place, (0, 0))[1]
                if place in last or begin[place] <= known:
                    self._known[place] = (end, last.get(place, known))
                    del changed[place]
            back *= 16
        return {place: self._known[place][1] if place in self._known else 0 for place in ends}

    def close(self) -> None:
        """Idempotent."""
        self._reader.close()
