"""A transactional id's producer, of which this process has one at a time.

Two producers of one id shut each other out. So one that Kafka has not answered yet is asked again and not replaced: it goes on trying by itself, and may be
heard after the one that replaces it. And one that is replaced is gone before the next is made. An exception's traceback keeps whatever its functions have names for:
those who write name the writer, and never its producer.
"""

from __future__ import annotations

import contextlib

from confluent_kafka import KafkaError, KafkaException, Producer

from springline.log.kafka.clients import REQUEST_TIMEOUT_S, Kafka


class Writer:
    """Not thread-safe. ``drop`` it when it is no longer needed, or when a transaction's fate is unknown."""

    def __init__(self, kafka: Kafka, transactional_id: str) -> None:
        self._kafka = kafka
        self._transactional_id = transactional_id
        self._producer: Producer | None = None
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        return self._is_ready

    @property
    def producer(self) -> Producer:
        """Ready for a transaction, or in one. Give it no name."""
        assert self._producer is not None
        return self._producer

    def prepare(self) -> None:
        """Shuts out whoever had the id before. When it returns, all that was written under the id is committed or aborted, marks included.
        Raises KafkaException; where that can be tried again, the next call goes on with it."""
        if self._is_ready:
            self.drop()
        if self._producer is None:
            self._producer = self._kafka.producer(self._transactional_id)
        try:
            self._producer.init_transactions(REQUEST_TIMEOUT_S)
        except KafkaException as error:
            found: KafkaError = error.args[0]
            if not found.retriable():
                self.drop()
            raise
        self._is_ready = True

    def abort(self) -> None:
        """Frees what an open transaction holds, where Kafka answers, and drops the producer."""
        with contextlib.suppress(KafkaException):
            self.producer.abort_transaction(5.0)
        self.drop()

    def drop(self) -> None:
        """What was not sent yet never will be. Idempotent."""
        if self._producer is not None:
            self._producer.purge()
        self._producer, self._is_ready = None, False
