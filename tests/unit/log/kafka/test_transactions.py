"""What is asked through kafka-python."""

from __future__ import annotations

import gc
import threading

import pytest

from springline.errors import SourceUnavailable
from springline.log.kafka.clients import Kafka
from springline.log.kafka.transactions import Transactions
from springline.testing.processes import free_ports


# The library leaves a socket whose connection was refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_does_not_answer_leaves_no_thread() -> None:
    before = threading.active_count()
    asked = Transactions(Kafka(f"127.0.0.1:{free_ports(1)[0]}", {}))
    with pytest.raises(SourceUnavailable, match="does not tell its transactions"):
        asked.states("shop-1")
    assert threading.active_count() == before
    gc.collect()
