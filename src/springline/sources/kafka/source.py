"""Kafka topics as a source: :class:`KafkaSource`.

Topics that others write (Debezium, Maxwell, Canal, AWS DMS, applications) are read by their offsets, which are kept in our log and nowhere else: no
consumer group, no commit. What is guaranteed:

* every record that is committed (``read_committed``), once in the log, each partition in its order, also across crashes of both sides;
* ``current_position`` is exact: the ends of all partitions, asked of the broker after the call;
* a record that cannot be a row goes to ``NAME.rejected_records`` with its place, its text and the reason, and the rest goes on;
* what retention removed before it was read, and a topic that was deleted or made anew, are noticed and said, never read over.

Kafka has no transactions across records that a reader could see, and a change record's transaction is spread over partitions. So one poll's records
are one transaction of the log: readers see them together, and never a part of a record's rows.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from springline.core.position import KafkaPosition
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.log.base import CaptureWriter
from springline.sources.base import Finding, SourceStatus
from springline.sources.kafka import check
from springline.sources.kafka.barrier import Barrier
from springline.sources.kafka.capture import ASKED, OnLost, Session
from springline.sources.kafka.connection import Connector
from springline.sources.kafka.directory import Directory, Partition
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.reading import TopicReader, rejected_records
from springline.sources.kafka.start import parse_start
from springline.sources.kafka.tables import KafkaTable, check_tables

_ON_LOST: Final = ("stop", "reload")


class KafkaSource:
    """Implements ``sources.base.Source`` and ``Reloadable`` for topics of one cluster.

    ``bootstrap``: brokers to begin with, ``host:port`` with commas between. ``tables``: what the records are, see ``KafkaTable``; each becomes the
    relation ``NAME.table``. ``options``: librdkafka's settings, among them TLS and SASL; a value may be ``env:NAME`` or ``file:PATH``.

    ``start``: where topics that were never read are begun: ``earliest``, ``latest``, a time in ISO 8601 or ``{topic: {partition: offset}}``.
    Topics and partitions that appear later are read from their beginning. ``on_lost``: what to do where records were removed before
    they were read, or a topic was made anew: ``stop`` with SourceLost, or ``reload`` the tables from what the topic holds.

    ``schemas``: the schema registry that formats ``avro`` and ``json-schema`` ask.
    """

    barrier: ClassVar[Literal["exact", "bounded"]] = "exact"

    def __init__(
        self,
        name: str,
        bootstrap: str,
        *,
        tables: Mapping[str, KafkaTable],
        start: str | Mapping[str, Mapping[int, int]] = "earliest",
        on_lost: OnLost = "stop",
        options: Mapping[str, Any] | None = None,
        schemas: SchemaById | None = None,
    ) -> None:
        self.name = name
        if on_lost not in _ON_LOST:
            raise ConfigurationError(
                f"Source {name!r} has the unknown on_lost {on_lost!r}.", hint="on_lost is 'stop' or 'reload'."
            )
        relations = check_tables(name, tables)
        self._schemas = relations
        self._connector = Connector(name, bootstrap, options or {})
        self._directory = Directory(self._connector)
        self._start = parse_start(name, start)
        self._on_lost: OnLost = on_lost
        self._readers: dict[str, TopicReader] = {}
        for table in tables.values():
            self._readers[table.topic] = TopicReader(
                table.topic,
                {
                    f"{name}.{other}": (relations[f"{name}.{other}"], one)
                    for other, one in tables.items()
                    if one.topic == table.topic
                },
                schemas,
            )
        self._barrier = Barrier(name, self._ask)
        self._session: Session | None = None
        self._is_known = threading.Event()
        self._known: dict[Partition, int] = {}
        self._generations: dict[str, int] = {}
        self._state: Literal["starting", "stopped"] = "stopped"
        self._error: str | None = None

    def __repr__(self) -> str:
        return f"KafkaSource({self.name!r}, {self._connector.where!r}, topics={sorted(self._readers)})"

    def check(self) -> Sequence[Finding]:
        return check.examine(self.name, self._connector.where, self._directory, self._readers)

    def tables(self) -> Sequence[TableSchema]:
        return [*self._schemas.values(), rejected_records(self.name)]

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        self._state, self._error = "starting", None
        session = Session(
            self._connector, self._directory, self._readers, writer, start=self._start, on_lost=self._on_lost
        )
        try:
            session.begin(stop)
            self._session = session
            self._is_known.set()
            session.run(stop)
        except SourceUnavailable:
            if not stop.is_set():
                raise
        except SourceError as error:
            self._error = str(error)
            raise
        finally:
            self._session, self._state = None, "stopped"
            session.close()

    def current_position(self, timeout_s: float) -> KafkaPosition:
        """The ends of all partitions: of what is committed, so that an open transaction holds nobody up. Costs one round trip."""
        return self._barrier.position(timeout_s)

    def status(self) -> SourceStatus:
        session = self._session
        if session is None:
            return SourceStatus(self._state, error=self._error)
        return session.status()

    def close(self) -> None:
        """Idempotent."""
        self._directory.close()

    def request_reload(self, tables: Sequence[str] | None = None) -> None:
        """Loads tables (None: all that are kept) again while the source runs. Thread-safe. Rows stay readable meanwhile, and the tables say
        that they are loading."""
        session = self._session
        if session is None:
            raise SourceUnavailable(f"Source {self.name!r} does not run.", hint="Start it, then try again.")
        session.request_reload(self._chosen(tables))

    def resnapshot(self, writer: CaptureWriter, tables: Sequence[str] | None = None) -> None:
        """Makes the next ``run`` load tables (None: all that are kept) again, and go on from what their topics hold where records of them
        were lost. While the source does not run."""
        writer.save(ASKED, self._chosen(tables))
        writer.commit()

    def _ask(self, timeout_s: float) -> KafkaPosition:
        session = self._session
        if session is None and not self._is_known.wait(timeout_s):
            raise SourceUnavailable(f"Source {self.name!r} has not begun to read within {timeout_s:g} s.")
        if (session := self._session) is not None:
            self._known, self._generations = dict(session.ends), dict(session.places.generations)
            identifiers = dict(session.places.identifiers)
        else:
            identifiers = dict[str, str]()
        topics, ends = self._directory.ends(list(self._readers), self._known, timeout_s)
        if session is not None:
            session.ends = ends
            if not ends.keys() <= session.places.offsets.keys():
                session.look()
        changed = [
            name for name, one in topics.items() if identifiers.get(name, one.identifier) != one.identifier
        ]
        if changed:
            if session is not None:
                session.look()
            raise SourceUnavailable(
                f"Topic {changed[0]!r} of source {self.name!r} was made anew, and is not read yet.",
                hint="It is looked at now; try again.",
            )
        self._known = ends
        return KafkaPosition(ends, self._generations)

    def _chosen(self, tables: Sequence[str] | None) -> list[str]:
        """Relations to load again, by their own names or the relations'."""
        kept = [name for reader in self._readers.values() for name in reader.loadable]
        if tables is None:
            return kept
        names = [name if name in self._schemas else f"{self.name}.{name}" for name in tables]
        names = [name for name in names if name != f"{self.name}.rejected_records"]
        if unknown := [name for name in names if name not in self._schemas]:
            raise ConfigurationError(
                f"Source {self.name!r} has no table {unknown[0]!r}.",
                hint=f"It has: {', '.join(self._schemas)}.",
            )
        return [name for name in names if name in kept]
