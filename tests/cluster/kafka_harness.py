"""What the tests of the Kafka source share: topics, producers, and a source over a log in memory."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from springline.core.position import KafkaPosition
from springline.errors import SpringlineError
from springline.sources.kafka.source import KafkaSource
from springline.sources.kafka.tables import KafkaTable
from springline.testing.capture import Crash, MemoryLog
from springline.testing.kafka import KafkaBroker

COLUMNS = {"id": "BIGINT", "n": "INT"}
PATIENCE_S = 60.0

BAG: dict[str, Any] = {"key": ()}
"""Of a table without a key every record is a row: what came twice is seen."""


def numbered(count: int, begin: int = 0) -> list[dict[str, int]]:
    return [{"id": number, "n": 0} for number in range(begin, begin + count)]


def rows(count: int, begin: int = 0) -> list[tuple[int, int]]:
    return sorted(((number, 0) for number in range(begin, begin + count)), key=repr)


class Topic:
    """A topic of a test's own."""

    def __init__(
        self,
        broker: KafkaBroker,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        name: str = "",
    ) -> None:
        self.broker = broker
        self.name = name or f"t-{uuid.uuid4().hex[:12]}"
        self.config = dict(config or {})
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
        self._producer: Producer | None = None
        self._counter = 0
        if partitions:
            self.make(partitions)

    def make(self, partitions: int = 1) -> None:
        made: Any = self.admin.create_topics([NewTopic(self.name, partitions, 1, config=self.config)])
        made[self.name].result(PATIENCE_S)
        self._wait(lambda found: len(found) == partitions)

    def delete(self) -> None:
        self.admin.delete_topics([self.name])[self.name].result(PATIENCE_S)
        self._wait(lambda found: not found)

    def widen(self, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result(PATIENCE_S)
        self._wait(lambda found: len(found) == partitions)

    def forget(self, before: int, partition: int = 0) -> None:
        """What retention does: the records before an offset are no more."""
        place = TopicPartition(self.name, partition, before)
        self.admin.delete_records([place])[place].result(PATIENCE_S)

    def send(self, *values: Any, partition: int = 0, key: Any = None) -> None:
        """Objects as JSON, bytes as they are; None is a tombstone."""
        self._producer = self._producer or Producer(self._settings)
        self._send(self._producer, values, partition, key)
        assert self._producer.flush(PATIENCE_S) == 0

    def transaction(self, *values: Any, partition: int = 0, commit: bool = True) -> None:
        """Sends values in a transaction, and commits it or gives it up."""
        producer = self.begin(*values, partition=partition)
        (producer.commit_transaction if commit else producer.abort_transaction)(PATIENCE_S)

    def begin(self, *values: Any, partition: int = 0) -> Producer:
        """A producer whose transaction is open and has these values."""
        self._counter += 1
        producer = Producer({**self._settings, "transactional.id": f"{self.name}-{self._counter}"})
        producer.init_transactions(PATIENCE_S)
        producer.begin_transaction()
        self._send(producer, values, partition, None)
        assert producer.flush(PATIENCE_S) == 0
        return producer

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.broker.bootstrap,
            "message.max.bytes": 40_000_000,
            "linger.ms": 0,
            "log_level": 0,
        }

    def _send(self, producer: Producer, values: Iterable[Any], partition: int, key: Any) -> None:
        for value in values:
            data = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            named = key if isinstance(key, bytes | None) else json.dumps(key).encode()
            while True:
                try:
                    producer.produce(self.name, data, named, partition)
                    break
                except BufferError:
                    producer.poll(0.1)

    def _wait(self, holds: Callable[[Mapping[int, Any]], bool]) -> None:
        """Until the broker's metadata says so too."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = self.admin.list_topics(timeout=PATIENCE_S).topics.get(self.name)
            if holds({} if found is None or found.error is not None else found.partitions):
                return
            time.sleep(0.05)
        raise TimeoutError(f"topic {self.name}")


def table_of(topic: Topic | str, columns: Mapping[str, str] = COLUMNS, **options: Any) -> KafkaTable:
    name = topic if isinstance(topic, str) else topic.name
    return KafkaTable(name, columns, **{"format": "json", "key": ["id"], **options})


class Source:
    """A source that runs over a log in memory, begun again after a transient error or a crash as the runtime would."""

    def __init__(
        self,
        broker: KafkaBroker | str,
        tables: Mapping[str, KafkaTable],
        *,
        log: MemoryLog | None = None,
        **options: Any,
    ) -> None:
        self.log = log or MemoryLog()
        bootstrap = broker if isinstance(broker, str) else broker.bootstrap
        self.source = KafkaSource("k", bootstrap, tables=tables, **options)
        self.errors: list[SpringlineError] = []
        self.crashes = 0
        self.failed: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Source:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.failed is not None and not isinstance(self.failed, SpringlineError):
            raise self.failed

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.source.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.source.run(self.log.open_writer(), self._stop)
            except Crash:
                self.crashes += 1
            except SpringlineError as error:
                self.errors.append(error)
                if not error.transient:
                    self.failed = error
                    return
                self._stop.wait(0.05)
            except BaseException as error:
                self.failed = error
                return

    def position(self) -> KafkaPosition:
        """The broker's, once it answers."""
        return self.source.current_position(PATIENCE_S)

    def settle(self) -> None:
        """Until everything that is committed now is in the log, and no table is loading."""
        position = self.position()
        self.wait(lambda: self.covers(position) and not self.log.folded().loading)

    def covers(self, position: KafkaPosition) -> bool:
        reached = self.log.position
        return reached is not None and bool(reached >= position)  # type: ignore[operator]

    def wait(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            if self.failed is not None:
                raise self.failed
            return condition()

        self.log.wait(holds, PATIENCE_S)

    def wait_failed(self) -> SpringlineError:
        """The error that the source gave up with."""
        self._thread.join(PATIENCE_S)
        assert isinstance(self.failed, SpringlineError), self.failed
        return self.failed

    def rows(self, table: str = "t") -> list[tuple[Any, ...]]:
        """What the log amounts to, once everything is in it."""
        self.settle()
        return self.log.folded().table(f"k.{table}")

    def status(self, holds: Callable[[Any], bool]) -> Any:
        """The source's status, once that holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(status := self.source.status()):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status
