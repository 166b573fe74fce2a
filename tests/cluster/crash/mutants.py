"""Springline with one promise broken, to see that the crash runs notice. Each is a patch of the running process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer

from springline.log.kafka.clients import Kafka
from springline.log.sqlite import SqliteCaptureWriter
from springline.runtime.embedded import publishing
from springline.runtime.embedded.outbox import first_number
from tests.crash.mutants import patched

BETWEEN_COMMITS_S = 0.3


def resumes_from_its_own_outbox() -> contextlib.AbstractContextManager[None]:
    """Capture believes that what lies in its outbox was not published, whatever its record in the topic says."""
    resume = publishing.Publishing._resume  # pyright: ignore[reportPrivateUsage]

    def from_outbox(self: Any) -> int:
        resume(self)
        with self._readers.read() as connection:
            return first_number(connection) - 1

    return patched(publishing.Publishing, "_resume", from_outbox)


class _Plain:
    """A producer whose transactions are none."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._sent = 0

    def produce(self, *arguments: Any, **named: Any) -> None:
        self._producer.produce(*arguments, **named)
        self._sent += 1
        if self._sent % 10 == 0:
            self._producer.flush(60)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def init_transactions(self, *_: object) -> None: ...

    def begin_transaction(self) -> None: ...

    def abort_transaction(self, *_: object) -> None: ...

    def commit_transaction(self, *_: object) -> None:
        self._producer.flush(60)


def publishes_without_transactions() -> contextlib.AbstractContextManager[None]:
    """Capture's records are there one by one, and its own record comes after them."""
    honest = Kafka.producer

    def producer(self: Kafka, transactional_id: str) -> Any:
        if transactional_id.endswith("-capture"):
            return _Plain(self.plain_producer())
        return honest(self, transactional_id)

    return patched(Kafka, "producer", producer)


def between_commits() -> None:
    time.sleep(BETWEEN_COMMITS_S)


def stores_its_cut_apart_from_its_rows() -> contextlib.AbstractContextManager[None]:
    """A node notes that it has a cut in one transaction, and applies the rows in another."""
    commit = SqliteCaptureWriter.commit

    def in_two(self: SqliteCaptureWriter) -> Any:
        if "standing" in self.saved and self.pending:
            pending, self.pending = self.pending, []
            reached, self._reached = self._reached, None
            commit(self)
            between_commits()
            self.pending, self._reached = pending, reached
        return commit(self)

    return patched(SqliteCaptureWriter, "commit", in_two)


MUTANTS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "publishes_without_transactions": publishes_without_transactions,
    "resumes_from_its_own_outbox": resumes_from_its_own_outbox,
    "stores_its_cut_apart_from_its_rows": stores_its_cut_apart_from_its_rows,
}
