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
import time
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
from springline.sources.kafka.directory import Directory, Ends, Partition
from springline.sources.kafka.formats.schemas import SchemaById
from springline.sources.kafka.reading import TopicReader, rejected_records
from springline.sources.kafka.start import parse_start
from springline.sources.kafka.tables import KafkaTable, check_tables

_ON_LOST: Final = ("stop", "reload")
_MARKERS_S: Final = 0.1
"""How long is waited for the markers of commits where the broker cannot be asked whether there are any."""

_PAUSE_S: Final = 0.002


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
        self._commits = self._connector.commits()
        self._barrier = Barrier(name, self._ask)
        self._session: Session | None = None
        self._is_known = threading.Event()
        self._known: dict[Partition, int] = {}
        self._generations: dict[str, int] = {}
        self._identifiers: dict[str, str] = {}
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
        """The ends of all partitions: of what is committed, so that an open transaction holds nobody up. Costs one round trip; two more
        while transactions are open."""
        return self._barrier.position(timeout_s)

    def status(self) -> SourceStatus:
        session = self._session
        if session is None:
            return SourceStatus(self._state, error=self._error)
        return session.status()

    def close(self) -> None:
        """Idempotent."""
        self._directory.close()
        self._commits.close()

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
        """The answer for the barrier's callers; asked by one thread at a time."""
        deadline_s = time.monotonic() + timeout_s
        if not self._is_known.wait(timeout_s):
            raise SourceUnavailable(f"Source {self.name!r} has not begun to read within {timeout_s:g} s.")
        if (session := self._session) is not None:
            self._generations, self._identifiers = session.identity()
        found = self._ends(deadline_s)
        if not found.is_all_stable:
            found = self._readable(found, deadline_s)
        self._known = found.stable
        changed = [
            name
            for name, one in found.topics.items()
            if self._identifiers.get(name, one.identifier) != one.identifier
        ]
        if session is not None:
            session.noticed(found.stable, is_other=bool(changed))
        if changed:
            raise SourceUnavailable(
                f"Topic {changed[0]!r} of source {self.name!r} was made anew, and is not read yet.",
                hint="It is looked at now; try again.",
            )
        return KafkaPosition(found.stable, self._generations)

    def _ends(self, deadline_s: float) -> Ends:
        return self._directory.ends(
            list(self._readers), self._known, max(0.001, deadline_s - time.monotonic())
        )

    def _readable(self, found: Ends, deadline_s: float) -> Ends:
        """The ends once every commit that was promised before is readable. Records behind a transaction that is still open are not: nobody
        can read them, and it is not waited for."""
        if self._commits.wait(deadline_s):
            return self._ends(deadline_s)
        grace_s = min(deadline_s, time.monotonic() + _MARKERS_S)
        now = found
        while time.monotonic() < grace_s and any(
            end < found.written.get(one, 0) for one, end in now.stable.items()
        ):
            time.sleep(_PAUSE_S)
            now = self._ends(deadline_s)
        return now

    def _chosen(self, tables: Sequence[str] | None) -> list[str]:
        """Relations to load again, by their own names or the relations'."""
        kept = [name for reader in self._readers.values() for name in reader.loadable]
        if tables is None:
            return kept
        rejected = f"{self.name}.rejected_records"
        names = [
            name if name in self._schemas else f"{self.name}.{name}" for name in tables if name != rejected
        ]
        if unknown := [name for name in names if name not in self._schemas]:
            raise ConfigurationError(
                f"Source {self.name!r} has no table {unknown[0]!r}.",
                hint=f"It has: {', '.join(self._schemas)}.",
            )
        return [name for name in names if name in kept]
