"""A cluster's derived topics as a source: what a serving node runs on.

Guarantees. Everything up to a cut is one transaction, of all relations together: a reader sees a state that the job had at a checkpoint, and
never a mixture of two. Each record counts once: the offsets come with the rows. ``current_position`` is exact: it asks for a cut that is marked
after the question, and its number covers every change that was committed in the application's sources before; it costs a checkpoint,
which questions at the same time share. A node that was away for longer than the topics keep what was deleted loads everything anew.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from springline.core.change import (
    UNCHANGED,
    Entry,
    Operation,
    Row,
    Transaction,
    Unchanged,
    load_entry,
    rows_entry,
    schema_entry,
    size_of,
)
from springline.core.position import CutPosition, Position
from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.errors import SourceUnavailable
from springline.log.base import CaptureWriter
from springline.log.kafka.clients import END_OF_PARTITION, Kafka, kafka_errors
from springline.log.kafka.cut import Cut, Deployed, DerivedRelation, offsets_from_json
from springline.log.kafka.deployments import CURRENT, read_deployments
from springline.log.kafka.names import barriers_topic, cuts_topic
from springline.log.kafka.reading import Reader, Received, last_json
from springline.log.kafka.rows import RowCodec
from springline.log.kafka.topics import WEEK_MS, Offsets, committed_ends
from springline.sources.base import Finding, SourceStatus

NAME: Final = "cluster"
FRAGMENT_CHANGES: Final = 20_000
LONGEST_ABSENCE_S: Final = WEEK_MS / 1_000 - 12 * 3_600
"""A node that was away for longer may have missed that rows are gone: their deletions may be gone too."""


class ClusterFollower:
    """Implements ``sources.base.Source``. The relations are those of the application, views included. ``longest_absence_s``: how long a node may
    have been away and still go on from where it was."""

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"
    name = NAME

    def __init__(
        self, application: str, kafka: Kafka, *, longest_absence_s: float = LONGEST_ABSENCE_S
    ) -> None:
        self._application = application
        self._kafka = kafka
        self._longest_absence_us = longest_absence_s * 1_000_000
        self._deployed: Deployed | None = None
        self._seen: Cut | None = None
        self._changed = threading.Condition()
        self._requests: Producer | None = None
        self._lock = threading.Lock()
        self._status = SourceStatus("starting")

    # -- the contract ----------------------------------------------------------------------------------------------

    def check(self) -> Sequence[Finding]:
        deployed = self._deployment()
        ends = committed_ends(self._kafka, [(cuts_topic(self._application), 0)])
        text = f"generation {deployed.generation}, {len(deployed.relations)} relations"
        if not any(ends.values()):
            return [
                Finding(
                    "warning",
                    self.name,
                    f"{text}; there is no cut yet.",
                    "Is `springline capture` running? It asks the job for checkpoints.",
                )
            ]
        return [Finding("ok", self.name, text)]

    def tables(self) -> Sequence[TableSchema]:
        return [one.schema for one in self._deployment().relations]

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        reader = Reader(self._kafka)
        try:
            with kafka_errors(self._kafka, "following the cuts"):
                for cut in self._cuts(stop):
                    self._apply(writer, cut, reader, stop)
        finally:
            reader.close()

    def current_position(self, timeout_s: float) -> Position:
        """Asks for a cut, and waits until there is one."""
        deadline = time.monotonic() + timeout_s
        # A cut from before the question is no answer, whatever it says: the topic of questions may have been made anew, and counts from 0 again.
        before = 0 if self._seen is None else self._seen.number
        asked = self._ask(timeout_s)
        with self._changed:
            self._changed.wait_for(
                lambda: self._seen is not None and self._seen.number > before and self._seen.barriers > asked,
                max(0.0, deadline - time.monotonic()),
            )
            seen = self._seen
        if seen is None or seen.number <= before or seen.barriers <= asked:
            raise SourceUnavailable(
                f"The cluster has made no cut within {timeout_s:g} s.",
                hint="Is `springline capture` running, and the job? See `springline status`.",
            )
        if seen.loading:
            raise SourceUnavailable(
                f"Capture is still loading {', '.join(seen.loading)}.", hint="Ask again when it has."
            )
        return CutPosition(seen.number)

    def status(self) -> SourceStatus:
        return self._status

    def close(self) -> None:
        with self._lock:
            if self._requests is not None:
                self._requests.purge()
                self._requests = None

    # -- following -------------------------------------------------------------------------------------------------

    def _deployment(self, generation: int | None = None) -> Deployed:
        """What is deployed, at least of a generation."""
        known = self._deployed
        if known is None or (generation is not None and known.generation != generation):
            found = read_deployments(self._kafka, self._application)
            if CURRENT not in found:
                raise SourceUnavailable(
                    f"Application {self._application!r} is not deployed.",
                    hint="Run `springline deploy` first.",
                )
            every = {one.generation: one for one in found.values()}
            # The first cut of a generation comes just before its record becomes the current one.
            known = self._deployed = every.get(generation or 0, found[CURRENT])
        return known

    def _cuts(self, stop: threading.Event) -> Iterator[Cut]:
        """The newest cut, then each time the newest that has come since."""
        topic = cuts_topic(self._application)
        consumer = self._kafka.consumer()
        try:
            end = committed_ends(self._kafka, [(topic, 0)])[topic, 0]
            if (newest := last_json(self._kafka, topic)) is not None:
                yield self._noticed(newest)
            consumer.assign([TopicPartition(topic, 0, end)])
            while not stop.is_set():
                first = consumer.poll(0.2)
                messages = [] if first is None else [first, *consumer.consume(1_000, 0.0)]
                values = [value for one in messages if (value := _value(one)) is not None]
                if values:
                    yield self._noticed(json.loads(values[-1]))
        finally:
            consumer.close()
            self._report("stopped")

    def _noticed(self, data: Mapping[str, Any]) -> Cut:
        cut = Cut.from_json(data)
        with self._changed:
            self._seen = cut
            self._changed.notify_all()
        return cut

    def _apply(self, writer: CaptureWriter, cut: Cut, reader: Reader, stop: threading.Event) -> None:
        """One transaction: from what is here to the cut."""
        standing = cast("dict[str, Any]", writer.progress().get("standing") or {})
        if standing.get("number", 0) >= cut.number and standing.get("generation") == cut.generation:
            self._report("streaming", cut)
            return
        deployed = self._deployment(cut.generation)
        if deployed.generation != cut.generation:
            return  # A newer generation is deployed, whose first cut will come.
        is_new = standing.get("generation") != cut.generation
        is_late = cut.marked_at_us - int(standing.get("marked_at_us", 0)) > self._longest_absence_us
        begin: Offsets = {} if is_new or is_late else offsets_from_json(standing["offsets"])
        self._report("snapshot" if is_new or is_late else "streaming", cut)
        position = CutPosition(cut.number)
        entries: list[Entry] = []
        if is_new or is_late:
            entries += _opening(deployed, cast("list[str]", standing.get("relations", [])))
        relations = {one.topic: one for one in deployed.relations}
        for batch in reader.read(begin, cut.offsets):
            if stop.is_set():
                return  # What was appended and has no end is forgotten.
            if size_of(entries) >= FRAGMENT_CHANGES:
                writer.append(Transaction(NAME, position, cut.marked_at_us, entries, last=False))
                writer.commit()
                entries = []
            entries += _entries(batch, relations)
        if is_new or is_late:
            entries += [load_entry(one.schema.name, loading=False) for one in deployed.relations]
        entries += [
            (Operation.POSITION.value, source, None, list(one)) for source, one in cut.positions.items()
        ]
        writer.append(
            Transaction(NAME, position, cut.marked_at_us, entries, identifier=f"checkpoint {cut.checkpoint}")
        )
        writer.save(
            "standing",
            {**json.loads(cut.to_json()), "relations": [one.schema.name for one in deployed.relations]},
        )
        writer.commit()
        self._report("streaming", cut)

    # -- asking ----------------------------------------------------------------------------------------------------

    def _ask(self, timeout_s: float) -> int:
        """Sends a request for a cut; its offset."""
        sent = threading.Event()
        found: list[tuple[KafkaError | None, int]] = []

        def delivered(error: KafkaError | None, message: Message) -> None:
            found.append((error, int(message.offset() or 0)))
            sent.set()

        with kafka_errors(self._kafka, "asking for a cut"):
            with self._lock:
                if self._requests is None:
                    self._requests = self._kafka.plain_producer()
                producer = self._requests
            producer.produce(barriers_topic(self._application), b"{}", on_delivery=delivered)
            deadline = time.monotonic() + timeout_s
            while not sent.is_set() and time.monotonic() < deadline:
                producer.poll(0.01)
            if not found:
                raise SourceUnavailable(
                    f"Kafka at {self._kafka.bootstrap} did not take a request within {timeout_s:g} s.",
                    hint="Is it running?",
                )
            error, offset = found[0]
            if error is not None:
                raise KafkaException(error)
        return offset

    def _report(self, state: Literal["snapshot", "streaming", "stopped"], cut: Cut | None = None) -> None:
        cut = cut or self._seen
        details: dict[str, object] = {}
        if cut is not None:
            details = {
                "generation": cut.generation,
                "checkpoint": cut.checkpoint,
                "sources": {name: one[0] for name, one in cut.positions.items()},
                "loading": list(cut.loading),
            }
        self._status = SourceStatus(
            state,
            position=None if cut is None else CutPosition(cut.number),
            last_message_at_us=None if cut is None else cut.marked_at_us,
            details=details,
        )


def _value(message: Message) -> bytes | None:
    error = message.error()
    if error is not None:
        if error.code() == END_OF_PARTITION:
            return None
        raise KafkaException(error)
    value = message.value()
    return value.encode() if isinstance(value, str) else value


def _opening(deployed: Deployed, known: Sequence[str]) -> list[Entry]:
    """What a generation begins with: its relations, each to be loaded whole; those that it no longer has go."""
    names = {one.schema.name for one in deployed.relations}
    entries: list[Entry] = [(Operation.DROP.value, name, None, None) for name in known if name not in names]
    for one in deployed.relations:
        entries += [schema_entry(one.schema), load_entry(one.schema.name, loading=True)]
    return entries


def _entries(batch: Sequence[Received], relations: Mapping[str, DerivedRelation]) -> list[Entry]:
    """The rows that come and the keys that go. Of one key the last record counts; all of a key are in one partition, in order. Pure."""
    last: dict[str, dict[bytes | None, bytes | None]] = {}
    for record in batch:
        last.setdefault(record.topic, {})[record.key] = record.value
    entries: list[Entry] = []
    for topic, records in last.items():
        relation = relations[topic]
        codec = RowCodec.of(relation.schema)
        name = relation.schema.name
        rows = [codec.decode_row(value) for value in records.values() if value is not None]
        if rows:
            entries.append(rows_entry(name, rows))
        entries += [
            (Operation.DELETE.value, name, _key_row(relation, codec, key), None)
            for key, value in records.items()
            if value is None and key is not None
        ]
    return entries


def _key_row(relation: DerivedRelation, codec: RowCodec, key: bytes) -> Row:
    """A row of which only the key is known."""
    schema = relation.schema
    if relation.key_column is None:
        values = codec.decode_key(key)
    else:
        values = codec.decode_key_texts(key, relation.key_column)
    row: list[Stored | Unchanged] = [UNCHANGED] * len(schema.columns)
    for index, value in zip(schema.key_indexes, values, strict=True):
        row[index] = value
    return row
