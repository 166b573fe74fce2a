"""One producer of a transactional id at a time: two of one process would shut each other out."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from springline.log.kafka.clients import Kafka
from springline.log.kafka.writer import Writer


def _answer(failures: list[KafkaError], timeout_s: float) -> None:
    if failures:
        raise KafkaException(failures.pop(0))


class FakeProducer:
    """As with the real one, which is not written in Python, no traceback knows it by its own methods."""

    def __init__(self, failures: list[KafkaError]) -> None:
        self.init_transactions = partial(_answer, failures)
        self.abort_transaction = partial(_answer, [KafkaError(KafkaError._TIMED_OUT)])

    def purge(self) -> None: ...


class Made:
    """Makes the producers, and knows which of them are still there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *failures: KafkaError) -> None:
        self.failures = list(failures)
        self.all: list[weakref.ref[FakeProducer]] = []

        def producer(_: Kafka, transactional_id: str) -> Any:
            made = FakeProducer(self.failures)
            self.all.append(weakref.ref(made))
            return made

        monkeypatch.setattr(Kafka, "producer", producer)

    def living(self) -> int:
        return sum(one() is not None for one in self.all)


def test_a_producer_that_has_no_answer_yet_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, KafkaError(KafkaError._TIMED_OUT, "later", False, True))
    writer = Writer(Kafka("h:1"), "app-cuts")
    with pytest.raises(KafkaException):
        writer.prepare()
    assert not writer.is_ready
    writer.prepare()
    assert writer.is_ready
    assert len(made.all) == 1


def test_one_that_is_replaced_is_gone_also_while_its_error_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, KafkaError(KafkaError._FATAL, "no", True))
    writer = Writer(Kafka("h:1"), "app-cuts")
    with pytest.raises(KafkaException) as kept:
        writer.prepare()
    assert made.living() == 0
    assert kept.value is not None
    writer.prepare()
    writer.abort()
    assert not writer.is_ready
    assert made.living() == 0
    writer.prepare()
    writer.prepare()
    assert (len(made.all), made.living()) == (4, 1)
    writer.drop()
    writer.drop()
    assert made.living() == 0
