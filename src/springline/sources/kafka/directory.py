"""What a cluster says of topics: their identity, their partitions, and where these begin and end."""

from __future__ import annotations

import concurrent.futures
import difflib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import OffsetSpec as Spec  # pyright: ignore[reportPrivateImportUsage]

from springline.errors import SourceUnavailable
from springline.sources.kafka.connection import Connector, is_lost_topic

Partition: TypeAlias = tuple[str, int]
Offsets: TypeAlias = Mapping[Partition, int]

_T = TypeVar("_T")

_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 2.0
"""How long brokers that cannot be reached may take to come back before it is said."""

EARLIEST: Final[Any] = Spec.earliest()
LATEST: Final[Any] = Spec.latest()
_COMMITTED: Final[Any] = IsolationLevel.READ_COMMITTED
_UNCOMMITTED: Final[Any] = IsolationLevel.READ_UNCOMMITTED


def from_time(milliseconds: int) -> Any:
    """The first record that is not older."""
    return Spec.for_timestamp(milliseconds)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now. ``identifier`` differs from that of any other topic of this name; empty where the broker is too old to tell."""

    name: str
    identifier: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ends:
    """Topics that exist, and the next offset of each of their partitions: behind what can be read (``stable``: before the first record of a
    transaction that is open), and behind what is written."""

    topics: Mapping[str, Topic]
    stable: dict[Partition, int]
    written: dict[Partition, int]

    @property
    def is_all_stable(self) -> bool:
        return self.stable == self.written


class Directory:
    """Asks one cluster. Thread-safe; every question raises SourceUnavailable, or SourceError where no retry will help."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._admin: Any = None
        self._lock = threading.Lock()

    def topics(
        self, names: Sequence[str], timeout_s: float, stop: threading.Event | None = None
    ) -> dict[str, Topic]:
        """Those that exist."""
        return self._described(self._ask_topics(names, timeout_s), timeout_s, stop)

    def ends(
        self,
        names: Sequence[str],
        known: Iterable[Partition],
        timeout_s: float,
        stop: threading.Event | None = None,
    ) -> Ends:
        """The topics that exist, and where each of their partitions ends. Partitions that are ``known`` are asked for at once, so that
        this takes one round trip unless there are new ones."""
        began = time.monotonic()
        known = list(known)
        stable = self._ask_offsets(known, LATEST, timeout_s)
        written = self._ask_offsets(known, LATEST, timeout_s, _UNCOMMITTED)
        topics = self._described(self._ask_topics(names, timeout_s), timeout_s, stop)
        partitions = [(one.name, number) for one in topics.values() for number in one.partitions]
        left_s = timeout_s - (time.monotonic() - began)
        if new := [one for one in partitions if one not in stable]:
            stable |= self._ask_offsets(new, LATEST, left_s)
            written |= self._ask_offsets(new, LATEST, left_s, _UNCOMMITTED)
        return Ends(
            topics,
            {one: self._offset(stable[one], left_s, stop) for one in partitions},
            {one: self._offset(written[one], left_s, stop) for one in partitions},
        )

    def offsets(
        self,
        partitions: Iterable[Partition],
        spec: Any,
        timeout_s: float,
        stop: threading.Event | None = None,
    ) -> dict[Partition, int]:
        """Where partitions begin or end, or which record is the first from a time on: -1 where there is none."""
        asked = self._ask_offsets(partitions, spec, timeout_s)
        return {one: self._offset(future, timeout_s, stop) for one, future in asked.items()}

    def similar(self, name: str, timeout_s: float) -> list[str]:
        """Names of topics that exist and resemble one that does not."""
        try:
            found = self._client().list_topics(timeout=timeout_s).topics
        except KafkaException as error:
            raise self._connector.error(error) from error
        names = [str(one) for one in found if not str(one).startswith("__")]
        return difflib.get_close_matches(name, names, n=3, cutoff=0.6)

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            self._admin = None

    def _client(self) -> Any:
        with self._lock:
            if self._admin is None:
                self._admin = self._connector.admin()
            return self._admin

    def _ask_topics(self, names: Sequence[str], timeout_s: float) -> Mapping[str, Any]:
        return self._asked(
            lambda: self._client().describe_topics(
                TopicCollection(list(names)), request_timeout=_asked_s(timeout_s)
            )
        )

    def _ask_offsets(
        self, partitions: Iterable[Partition], spec: Any, timeout_s: float, isolation: Any = _COMMITTED
    ) -> dict[Partition, Any]:
        wanted = {TopicPartition(*one): spec for one in partitions}
        if not wanted:
            return {}
        found = self._asked(
            lambda: self._client().list_offsets(
                wanted, isolation_level=isolation, request_timeout=_asked_s(timeout_s)
            )
        )
        return {(one.topic, one.partition): future for one, future in found.items()}

    def _asked(self, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except KafkaException as error:
            raise self._connector.error(error) from error

    def _described(
        self, asked: Mapping[str, Any], timeout_s: float, stop: threading.Event | None
    ) -> dict[str, Topic]:
        found: dict[str, Topic] = {}
        for name, future in asked.items():
            try:
                described = self._result(future, timeout_s, stop)
            except _Missing:
                continue
            identifier = str(described.topic_id) if described.topic_id else ""
            numbers = sorted(int(one.id) for one in described.partitions)
            if numbers:
                found[name] = Topic(name, identifier, tuple(numbers))
        self._connector.answered()
        return found

    def _offset(self, future: Any, timeout_s: float, stop: threading.Event | None) -> int:
        try:
            return int(self._result(future, timeout_s, stop).offset)
        except _Missing as error:
            raise SourceUnavailable(
                f"Kafka at {self._connector.where} (source {self._connector.source!r}) no longer has a partition that was asked for.",
                hint="It is looked for again.",
            ) from error

    def _result(self, future: Any, timeout_s: float, stop: threading.Event | None) -> Any:
        """Waits for an answer. Raises _Missing for a topic that is not there, and our errors otherwise."""
        began = time.monotonic()
        while True:
            try:
                return future.result(_LOOK_S if stop is not None else timeout_s)
            except concurrent.futures.TimeoutError:
                if stop is not None and stop.is_set():
                    raise SourceUnavailable(f"Source {self._connector.source!r} is stopping.") from None
                self._client().poll(0)
                waited_s = time.monotonic() - began
                is_over = waited_s > timeout_s or (waited_s > _PATIENCE_S and self._connector.is_hopeless)
                if stop is None or is_over:
                    raise self._connector.late(waited_s) from None
            except KafkaException as error:
                if is_lost_topic(error.args[0]):
                    raise _Missing from error
                self._client().poll(0)
                raise self._connector.error(error) from error


class _Missing(Exception):
    """There is no such topic or partition now."""


def _asked_s(timeout_s: float) -> float:
    """The client takes a timeout of a millisecond at least."""
    return max(0.001, timeout_s)
