"""A Kafka broker and a Flink cluster for the session.

Where they cannot be had (no Java, no Maven, no network) their tests are skipped with the reason; they fail where
``SPRINGLINE_REQUIRE`` names ``kafka`` or ``flink``, as ``make test-cluster`` does. ``make test`` leaves out all tests here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from springline.errors import ConfigurationError
from springline.testing import artefacts
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker

HERE = Path(__file__).parent
REFUSED = r"ignore:Exception ignored in. <socket\.socket.*laddr=\('0\.0\.0\.0':pytest.PytestUnraisableExceptionWarning"
"""kafka-python leaves a socket whose connection was refused to the garbage collector."""
LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("cluster")
            item.add_marker(pytest.mark.filterwarnings(REFUSED))


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.config.stash[LEFT_OUT] = item.config.stash.get(LEFT_OUT, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out and config.option.markexpr:
        terminalreporter.write_line(
            f"Not run: {left_out} tests with a real Kafka and Flink (make test-cluster).", yellow=True
        )


def _have(name: str, get: Callable[[], object]) -> None:
    """Fetches what the service needs. Skips the test, or fails it, where that is not possible."""
    try:
        get()
    except ConfigurationError as error:
        reason = str(error)
    else:
        return
    if name in os.environ.get("SPRINGLINE_REQUIRE", "").split(","):
        pytest.fail(f"SPRINGLINE_REQUIRE names {name}. {reason}", pytrace=False)
    pytest.skip(f"no {name}: {reason}")


@pytest.fixture(scope="session")
def have_kafka() -> None:
    """For tests that make a broker of their own."""
    _have("kafka", artefacts.broker)


@pytest.fixture(scope="session")
def have_flink() -> None:
    """For tests that make a cluster of their own."""
    _have("flink", artefacts.flink)


@pytest.fixture(scope="session")
def kafka(have_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """One broker for all tests: use topics of your own. A test that stops or kills a broker makes one of its own instead."""
    with KafkaBroker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def flink(have_flink: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    """One cluster for all tests, without ZooKeeper. A test cancels its jobs; one that kills a TaskManager starts another;
    one that kills the JobManager makes a cluster of its own instead."""
    with FlinkCluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster
