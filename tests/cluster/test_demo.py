"""The demo on Kafka and Flink: PostgreSQL → capture → Kafka → Flink → a serving node → the questions of ``make demo-check``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.demo import check
from springline.demo.run import Options
from springline.errors import ConfigurationError
from springline.runtime.flink.rest import FINISHED, FlinkRest
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker


@pytest.fixture
def options(kafka: KafkaBroker, flink: FlinkCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Options]:
    connector = next(Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-kafka-*.jar"))
    monkeypatch.setenv("SPRINGLINE_KAFKA", kafka.bootstrap)
    monkeypatch.setenv("SPRINGLINE_FLINK", flink.rest)
    monkeypatch.setenv("SPRINGLINE_FLINK_PYTHON", str(flink.python))
    monkeypatch.setenv("SPRINGLINE_FLINK_JARS", str(connector))
    with tempfile.TemporaryDirectory(prefix="springline-check-", ignore_cleanup_errors=True) as folder:
        # The database's server may run as another account, which must be able to come here.
        Path(folder).chmod(0o755)
        yield Options(
            folder=Path(folder), port=0, speed=6_000.0, embedder="hashing", quiet=True, cluster=True
        )
    rest = FlinkRest(flink.rest)
    for job in rest.jobs():
        if job.name.startswith("blizzard-") and job.state not in FINISHED:
            rest.cancel(job.id)


def test_no_answer_of_a_serving_node_is_stale_or_wrong(options: Options) -> None:
    outcome = check.run(options)
    assert outcome.passed, outcome.problems
    assert outcome.line.startswith("stale=0/30 wrong=0/30 commit_to_context_ms p50=")
    assert outcome.line.endswith(" checkpoint_interval_ms=1000")


def test_answers_from_the_last_cut_are_found_stale(options: Options) -> None:
    """What the check is there to find: a node that does not ask for a cut."""
    outcome = check.run(options, asks=6, require="none")
    assert outcome.stale == 6


def test_kafka_without_flink_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPRINGLINE_KAFKA", "127.0.0.1:9")
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError, match="A Kafka cluster is named, and no Flink"):
        check.run(Options(folder=tmp_path, port=0, quiet=True, cluster=True))
