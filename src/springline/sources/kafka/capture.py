"""One run of a Kafka source: from where the log stands to the end, and then every record as it comes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from springline.core.change import Entry, Operation, Transaction, load_entry, schema_entry
from springline.core.schema import TableSchema
from springline.errors import SourceLost, SourceUnavailable
from springline.log.base import CaptureWriter
from springline.sources.base import SourceStatus
from springline.sources.kafka.connection import Connector, is_lost_place, is_lost_topic
from springline.sources.kafka.directory import EARLIEST, LATEST, Directory, Offsets, Partition, Topic
from springline.sources.kafka.formats.base import folded
from springline.sources.kafka.places import Loss, Places, must_load
from springline.sources.kafka.reading import TopicReader, rejected_records
from springline.sources.kafka.start import Start, starts

LOOK_EVERY_S = 5.0
"""How often the topics are looked at: for new partitions, and for whether they are still the same."""

OnLost = Literal["stop", "reload"]

PLACES: Final = "places"
ASKED: Final = "asked"
_TABLES: Final = "tables"
_WAITING: Final = "waiting"
_ANSWER_S: Final = 10.0
_POLL_S: Final = 0.1
_TAKEN_AT_ONCE: Final = 500
_MOST_RECORDS: Final = 10_000
_MOST_BYTES: Final = 16 << 20
_ROOM_PATIENCE_S: Final = 1.0
_MOST_RESTARTS: Final = 3
_SHORTER_FOR_S: Final = 3.0

_logger = logging.getLogger("springline.kafka")


class Session:
    """Used by the source's thread; ``request_reload``, ``look`` and what the status reads may be called by others."""

    def __init__(
        self,
        connector: Connector,
        directory: Directory,
        readers: Mapping[str, TopicReader],
        writer: CaptureWriter,
        *,
        start: Start,
        on_lost: OnLost,
    ) -> None:
        self._connector = connector
        self._directory = directory
        self._readers = readers
        self._writer = writer
        self._start = start
        self._on_lost = on_lost
        self._rejected = rejected_records(connector.source)
        self._consumer: Consumer | None = None
        self._asked: set[str] = set()
        self._look = threading.Event()
        self._restarts = 0
        self.places = Places.from_saved(writer.position(), writer.progress().get(PLACES))
        self.waiting: dict[str, str] = {}
        """Topics that do not exist (yet), with names that resemble theirs."""
        self.ends: dict[Partition, int] = {}
        self.rejected = 0
        self.last_message_at_us: int | None = None

    # -- for other threads -----------------------------------------------------------------------------------------

    def request_reload(self, tables: Iterable[str]) -> None:
        """Loads tables again, soon."""
        self._asked |= set(tables)
        self._look.set()

    def identity(self) -> tuple[dict[str, int], dict[str, str]]:
        """Which topics are read: their generations, and the broker's identifiers."""
        return dict(self.places.generations), dict(self.places.identifiers)

    def noticed(self, ends: dict[Partition, int], *, is_other: bool) -> None:
        """Somebody asked where the partitions end. Has the topics looked at now where one is new or is not the one that is read."""
        self.ends = ends
        if is_other or not ends.keys() <= self.places.offsets.keys():
            self._look.set()

    def status(self) -> SourceStatus:
        """How far it is, from what is known without asking the broker."""
        places = self.places
        behind = sum(max(0, end - places.following(one)) for one, end in dict(self.ends).items())
        targets = {one: end for table in dict(places.loading).values() for one, end in table.items()}
        missing = [f"There is no topic {name!r}. {hint}".strip() for name, hint in self.waiting.items()]
        return SourceStatus(
            "snapshot" if places.loading else "streaming",
            places.position,
            last_message_at_us=self.last_message_at_us,
            rows_loaded=sum(min(places.following(one), end) for one, end in targets.items()),
            rows_estimated=sum(targets.values()) if targets else None,
            error=" ".join(missing) or None,
            details={
                "behind_records": behind,
                "partitions": len(places.offsets),
                "loading": sorted(places.loading),
                "rejected_records": self.rejected,
                "waiting_for_topics": sorted(self.waiting),
            },
        )

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Reads until ``stop`` is set, from where ``begin`` has come to. Raises SourceError."""
        looked_at = time.monotonic()
        while not stop.is_set():
            if self._look.is_set() or time.monotonic() - looked_at > LOOK_EVERY_S:
                self._look.clear()
                self._look_at_topics(stop)
                looked_at = time.monotonic()
            try:
                messages = self._poll()
            except KafkaException as error:
                raise self._connector.error(error) from error
            if messages:
                self._take(messages, stop)

    def begin(self, stop: threading.Event) -> None:
        """Compares what was read with what there is, and opens a consumer at the next records. What changes is durable before one is
        read."""
        topics, earliest, ends = self._survey(stop)
        entries, new = self._schema_entries()
        asked = {str(one) for one in _listed(self._writer.progress().get(ASKED))} | self._asked
        waiting = {str(one) for one in _listed(self._writer.progress().get(_WAITING))}
        for name, reader in self._readers.items():
            topic = topics.get(name)
            loading: list[str] = []
            if name not in self.places.identifiers:
                if topic is not None:
                    first = starts(
                        self._directory, topic, self._start, earliest, ends, is_late=name in waiting
                    )
                    self.places.adopt(topic, first, ends, reader.loadable)
                    loading = reader.loadable
            elif (loss := self.places.loss(topic, name, earliest, ends)) is not None:
                self._require_reload(loss, reader, asked)
                _logger.warning("source %s goes on after a loss: %s", self._connector.source, loss.message)
                if topic is None:
                    self.places.forget(name)
                else:
                    loading = self.places.recover(topic, loss, earliest, ends, reader.loadable)
            elif topic is not None:
                self.places.extend(topic, earliest)
                loading = self._load_again(topic, reader, asked, new, earliest, ends)
            entries += self._load_entries(reader, loading, new)
        self._note_missing(topics)
        self._asked -= asked
        self.ends = ends
        self._writer.save(ASKED, None)
        self._writer.save(_WAITING, sorted(self.waiting))
        self._commit(entries, time.time_ns() // 1_000, is_new=True)
        self._open()

    def close(self) -> None:
        """Idempotent."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    # -- what there is ---------------------------------------------------------------------------------------------

    def _survey(
        self, stop: threading.Event
    ) -> tuple[dict[str, Topic], dict[Partition, int], dict[Partition, int]]:
        """The topics, and where their partitions begin and end. A broker that has just come back may tell shorter ones for a moment."""
        deadline_s = time.monotonic() + _SHORTER_FOR_S
        while True:
            topics = self._directory.topics(list(self._readers), _ANSWER_S, stop)
            partitions = [(one.name, number) for one in topics.values() for number in one.partitions]
            earliest = self._directory.offsets(partitions, EARLIEST, _ANSWER_S, stop)
            ends = self._directory.offsets(partitions, LATEST, _ANSWER_S, stop)
            is_shorter = any(ends.get(one, offset) < offset for one, offset in self.places.offsets.items())
            if not is_shorter or time.monotonic() > deadline_s or stop.wait(0.2):
                return topics, earliest, ends

    def _look_at_topics(self, stop: threading.Event) -> None:
        found = self._directory.ends(list(self._readers), self.places.offsets, _ANSWER_S, stop)
        self.ends = now = found.stable
        identifiers = {name: topic.identifier for name, topic in found.topics.items()}
        if self._asked or now.keys() != self.places.offsets.keys() or identifiers != self.places.identifiers:
            self.begin(stop)

    def _load_again(
        self,
        topic: Topic,
        reader: TopicReader,
        asked: Collection[str],
        new: Collection[str],
        earliest: Offsets,
        ends: Offsets,
    ) -> list[str]:
        """Loads tables of a topic that is read already; which those are. One that was asked for has all that the topic holds."""
        wanted = [table for table in reader.loadable if table in asked or table in new]
        if not wanted:
            return []
        begins = earliest
        if not any(table in asked for table in wanted):
            begins = starts(self._directory, topic, self._start, earliest, ends, is_late=False)
        return self.places.reload(topic, begins, ends, wanted)

    def _note_missing(self, topics: Mapping[str, Topic]) -> None:
        missing = [name for name in self._readers if name not in topics]
        for name in missing:
            if name not in self.waiting:
                similar = self._directory.similar(name, _ANSWER_S)
                self.waiting[name] = f"Similar ones: {', '.join(map(repr, similar))}." if similar else ""
                _logger.warning(
                    "source %s: there is no topic %r. %s", self._connector.source, name, self.waiting[name]
                )
        self.waiting = {name: self.waiting[name] for name in missing}

    def _require_reload(self, loss: Loss, reader: TopicReader, asked: Collection[str]) -> None:
        """Raises SourceLost unless what is left is to be read."""
        if self._on_lost == "reload" or any(table in asked for table in reader.tables):
            return
        raise SourceLost(
            f"Source {self._connector.source!r} cannot go on where it was: {loss.message}.",
            hint=f"`springline resnapshot {self._connector.source}` loads its tables again from what the topic holds; "
            "on_lost='reload' does so by itself.",
        )

    # -- what the log is told --------------------------------------------------------------------------------------

    def _schema_entries(self) -> tuple[list[Entry], set[str]]:
        """Says what the tables are, where that has changed; and which of them must be loaded: those that are new, and those whose rows
        would not be what they are declared to be."""
        declared = {schema.name: schema for schema in self._declared()}
        known = {
            str(one["name"]): TableSchema.from_json(one)
            for one in _listed(self._writer.progress().get(_TABLES))
        }
        if known == declared:
            return [], set()
        entries: list[Entry] = []
        for name in sorted(known.keys() - declared.keys()):
            entries.append((Operation.DROP.value, name, None, None))
            self.places.loading.pop(name, None)
        entries += [schema_entry(schema) for name, schema in declared.items() if known.get(name) != schema]
        if self._rejected.name not in known:
            entries.append(load_entry(self._rejected.name, loading=False))
        self._writer.save(_TABLES, [schema.to_json() for schema in declared.values()])
        wanted = {name for name, schema in declared.items() if must_load(known.get(name), schema)}
        return entries, wanted - {self._rejected.name}

    def _declared(self) -> list[TableSchema]:
        tables = [schema for reader in self._readers.values() for schema in reader.tables.values()]
        return [*tables, self._rejected]

    def _load_entries(
        self, reader: TopicReader, loading: Collection[str], new: Collection[str]
    ) -> list[Entry]:
        """A table that is loaded again keeps its rows until then, but for one without a key, whose rows cannot be told from the new
        ones."""
        entries: list[Entry] = []
        for name, schema in reader.tables.items():
            if name in loading:
                entries.append(load_entry(name, loading=True))
                if not schema.key:
                    entries.append((Operation.TRUNCATE.value, name, None, None))
            elif name in new:
                entries.append(load_entry(name, loading=False))
        return entries

    def _commit(self, entries: list[Entry], committed_at_us: int, *, is_new: bool) -> None:
        """Makes entries durable together with the places that they lead to."""
        if loaded := self.places.loaded():
            entries = [*entries, *(load_entry(name, loading=False) for name in loaded)]
        if is_new or loaded or self.places.cursors:
            self._writer.save(PLACES, self.places.to_saved())
        transaction = Transaction(self._connector.source, self.places.position, committed_at_us, entries)
        self._writer.append(transaction)
        self._writer.commit()

    # -- records ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """A new consumer at the next records: what an old one has fetched and not given is gone with it."""
        self.close()
        self._consumer = self._connector.consumer()
        self._consumer.assign(
            [TopicPartition(*one, self.places.following(one)) for one in sorted(self.places.offsets)]
        )

    def _poll(self) -> list[Message]:
        """What has come: a block of records, as many as are here."""
        assert self._consumer is not None
        messages = self._consumer.consume(1, _POLL_S)
        size = 0
        while messages and len(messages) < _MOST_RECORDS and size < _MOST_BYTES:
            more = self._consumer.consume(_TAKEN_AT_ONCE, 0)
            messages += more
            size += sum(map(len, more))
            if len(more) < _TAKEN_AT_ONCE:
                break
        return messages

    def _take(self, messages: Sequence[Message], stop: threading.Event) -> None:
        """One poll's records, as one transaction unless they are large."""
        block: list[Message] = []
        size = 0
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                self._commit_block(block)
                self._on_error(error, stop)
                return
            block.append(message)
            size += len(message)
            if size >= _MOST_BYTES:
                self._commit_block(block)
                block, size = [], 0
        self._commit_block(block)

    def _commit_block(self, block: Sequence[Message]) -> None:
        """Records, and ends of partitions: behind the last record may stand a transaction's marker, or records that were given up."""
        by_topic: dict[str, list[Message]] = {}
        for message in block:
            if message.error() is None:
                by_topic.setdefault(_partition(message)[0], []).append(message)
        entries: list[Entry] = []
        committed_at_us = 0
        for topic, messages in by_topic.items():
            read = self._readers[topic].read(messages, self._rejected, self._wanted)
            entries += read.entries
            committed_at_us = max(committed_at_us, read.committed_at_us or 0)
            self.rejected += read.rejected
        is_news = False
        for message in block:
            following = (message.offset() or 0) + (message.error() is None)
            is_news = self.places.reach(_partition(message), following) or is_news
        if not is_news:
            return
        self._restarts = 0
        now_us = time.time_ns() // 1_000
        # A producer may write any time it likes; none is later than now.
        self._commit(folded(entries), min(committed_at_us, now_us) or now_us, is_new=False)
        if by_topic:
            self.last_message_at_us = now_us
            self._writer.wait_for_room(_ROOM_PATIENCE_S)

    def _wanted(self, message: Message) -> Collection[str] | None:
        """The tables that a record is for, where these are not all."""
        is_repeated = self.places.is_repeated(_partition(message), message.offset() or 0)
        return self.places.loading if is_repeated else None

    def _on_error(self, error: KafkaError, stop: threading.Event) -> None:
        """A partition cannot be read. Raises SourceError, or begins again where that may help."""
        self._restarts += 1
        if not (is_lost_topic(error) or is_lost_place(error)):
            raise self._connector.error(error)
        if self._restarts > _MOST_RESTARTS:
            raise SourceUnavailable(
                f"Source {self._connector.source!r}: {error.str().rstrip('.')}.", hint="It is tried again."
            )
        self.begin(stop)


def _partition(message: Message) -> Partition:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    return topic, partition


def _listed(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
