"""The real components that the other tests stand on: what survives which death."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from springline.errors import ConfigurationError
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.processes import is_free
from tests.house.project import ROOT

JOB = Path(__file__).with_name("sql_job.py")
DEADLINE_S = 120.0
_numbers = count(1)


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:g} s"
        time.sleep(0.2)


def make_topic(broker: KafkaBroker) -> str:
    topic = f"topic-{next(_numbers)}"
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    return topic


def produce(broker: KafkaBroker, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def records(broker: KafkaBroker, topic: str, *, isolation: str = "read_committed") -> list[str]:
    """All that a reader of this isolation may see now."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "records",
            "isolation.level": isolation,
            "enable.partition.eof": True,
        }
    )
    values: list[str] = []
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            message = consumer.poll(30)
            assert message is not None, "the broker does not answer"
            error = message.error()
            if error is None:
                values.append((message.value() or b"").decode())
            elif error.code() == KafkaError._PARTITION_EOF:
                return values
            else:
                raise KafkaException(error)
    finally:
        consumer.close()


def submit(cluster: FlinkCluster, *statements: str, settings: Mapping[str, str]) -> Any:
    """The id of the last statement's job, sent by a Python program of its own."""
    return _run(cluster, [str(cluster.python)], statements, {**cluster.client_settings, **settings})


def query(cluster: FlinkCluster, statement: str, settings: Mapping[str, str]) -> Any:
    """Its rows, by Flink's command line."""
    return _run(cluster, [*cluster.flink_run, "-py"], [statement], settings, collect=True)


def _run(
    cluster: FlinkCluster,
    command: list[str],
    statements: Sequence[str],
    settings: Mapping[str, str],
    *,
    collect: bool = False,
) -> Any:
    job = json.dumps({"statements": statements, "settings": settings, "collect": collect})
    environment = {**os.environ, **cluster.environment, "PYTHONPATH": ""}
    done = subprocess.run([*command, str(JOB), job], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def runs(cluster: FlinkCluster, job: str) -> bool:
    """Whether all tasks of the job do."""
    try:
        vertices = cluster.request(f"/jobs/{job}")["vertices"]
    except OSError:
        return False
    return all(vertex["status"] == "RUNNING" for vertex in vertices)


def checkpoint(cluster: FlinkCluster, job: str) -> dict[str, Any]:
    """Takes one, and returns what is known about it when it is complete."""
    trigger = cluster.request(f"/jobs/{job}/checkpoints", method="POST", body={"checkpointType": "FULL"})
    path = f"/jobs/{job}/checkpoints/{trigger['request-id']}"
    eventually(lambda: cluster.request(path)["status"]["id"] == "COMPLETED", f"checkpoint of {job}")
    operation = cluster.request(path)["operation"]
    assert "failure-cause" not in operation, operation
    return dict(operation)


class Copy:
    """A job that copies a topic, exactly once, and takes a checkpoint only when it is asked to."""

    def __init__(self, broker: KafkaBroker, cluster: FlinkCluster) -> None:
        self.broker, self.cluster = broker, cluster
        self.source, self.target = make_topic(broker), make_topic(broker)
        kafka = (
            f"'connector' = 'kafka', 'format' = 'raw', 'properties.bootstrap.servers' = '{broker.bootstrap}'"
        )
        self.job = submit(
            cluster,
            f"CREATE TABLE incoming (text STRING) WITH ({kafka}, 'topic' = '{self.source}', "
            "'scan.startup.mode' = 'earliest-offset')",
            f"CREATE TABLE outgoing (text STRING) WITH ({kafka}, 'topic' = '{self.target}', "
            f"'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '{self.target}', "
            "'properties.transaction.timeout.ms' = '600000')",
            "INSERT INTO outgoing SELECT text FROM incoming",
            settings={"execution.checkpointing.interval": "365 d", "parallelism.default": "1"},
        )
        eventually(lambda: runs(cluster, self.job), "the job runs")

    def feed(self, *values: str) -> None:
        """Returns when the job has written them, committed or not."""
        written = len(self.written())
        produce(self.broker, self.source, *values)
        eventually(lambda: len(self.written()) >= written + len(values), "the job copies")

    def written(self) -> list[str]:
        return records(self.broker, self.target, isolation="read_uncommitted")

    def committed(self) -> list[str]:
        return records(self.broker, self.target)

    def checkpoint(self) -> None:
        checkpoint(self.cluster, self.job)

    def cancel(self) -> None:
        self.cluster.request(f"/jobs/{self.job}?mode=cancel", method="PATCH")


def test_a_record_survives_a_killed_broker(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        address, topic = broker.bootstrap, make_topic(broker)
        produce(broker, topic, "kept")
        broker.kill()
        assert broker.pid is None
        broker.start()
        assert broker.bootstrap == address
        produce(broker, topic, "and more")
        assert records(broker, topic) == ["kept", "and more"]
    with KafkaBroker(tmp_path / "kafka") as later:
        assert later.bootstrap == address
        assert records(later, topic) == ["kept", "and more"]


def test_a_broker_is_started_once(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        pid = broker.pid
        broker.start()
        assert broker.pid == pid
        with pytest.raises(ConfigurationError, match="Another server works in"):
            KafkaBroker(tmp_path / "kafka").start()
        with pytest.raises(ConfigurationError, match="somebody else does"):
            KafkaBroker(tmp_path / "other", port=int(broker.bootstrap.partition(":")[2])).start()
        topic = make_topic(broker)
        produce(broker, topic, "as ever")
        assert records(broker, topic) == ["as ever"]


def test_a_topic_is_not_made_by_its_first_record(kafka: KafkaBroker) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.timeout.ms": 2_000})
    producer.produce("nobody-made-it", b"x")
    producer.flush(60)
    assert "nobody-made-it" not in producer.list_topics(timeout=30).topics


def test_a_broker_that_cannot_start_says_why(have_kafka: None, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)could not format.*log\.retention\.ms"):
        KafkaBroker(tmp_path, settings={"log.retention.ms": "soon"}).start()
    broker = KafkaBroker(tmp_path, settings={"metric.reporters": "Nobody"})
    with pytest.raises(ConfigurationError, match=r"(?s)The Kafka broker ended with status 1.*Nobody"):
        broker.start()
    assert broker.pid is None


def test_a_secured_listener_wants_the_right_password(have_kafka: None, tmp_path: Path) -> None:
    password = 'a "quoted" \\ one'

    def login(address: str, password: str) -> AdminClient:
        errors.clear()
        return AdminClient(
            {
                "bootstrap.servers": address,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "ada",
                "sasl.password": password,
                "error_cb": lambda error: errors.append(error.code()),
                "log_level": 0,
            }
        )

    errors: list[int] = []
    with KafkaBroker(tmp_path, users={"ada": password}) as broker:
        assert login(broker.secured_bootstrap, password).list_topics(timeout=30).brokers
        refused = login(broker.secured_bootstrap, "wrong")
        with pytest.raises(KafkaException):
            refused.list_topics(timeout=5)
        refused.poll(1)
        assert KafkaError._AUTHENTICATION in errors
        assert AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=30).brokers


def test_python_functions_run_in_the_cluster(flink: FlinkCluster) -> None:
    statement = "SELECT shout(city) FROM (VALUES ('oslo'), ('bergen')) AS cities(city)"
    before = len(flink.request("/jobs")["jobs"])
    # Twice: the second job finds what the first has loaded into the TaskManager.
    for _ in range(2):
        rows = query(flink, statement, {"python.execution-mode": "thread"})
        assert sorted(rows) == [["BERGEN!"], ["OSLO!"]]
    # Not in a cluster inside the client, as PyFlink does without being told.
    assert len(flink.request("/jobs")["jobs"]) == before + 2


def test_a_job_commits_with_its_checkpoint(kafka: KafkaBroker, flink: FlinkCluster) -> None:
    copy = Copy(kafka, flink)
    copy.feed("a", "b")
    assert copy.committed() == []
    copy.checkpoint()
    eventually(lambda: copy.committed() == ["a", "b"], "committed")
    copy.feed("c")
    assert copy.committed() == ["a", "b"]
    copy.checkpoint()
    eventually(lambda: copy.committed() == ["a", "b", "c"], "committed")
    copy.cancel()


def test_a_job_outlives_its_taskmanager(kafka: KafkaBroker, flink: FlinkCluster) -> None:
    copy = Copy(kafka, flink)
    copy.feed("a", "b")
    copy.checkpoint()
    copy.feed("c")
    for number in flink.taskmanagers:
        flink.kill_taskmanager(number)
    assert flink.taskmanagers == {}
    number = flink.start_taskmanager()
    assert list(flink.taskmanagers) == [number]
    # The one that was not committed is copied again.
    eventually(lambda: len(copy.written()) == 4, "the job is taken up")
    copy.checkpoint()
    eventually(lambda: copy.committed() == ["a", "b", "c"], "committed once")
    copy.cancel()


def test_a_job_outlives_its_jobmanager(kafka: KafkaBroker, have_flink: None, tmp_path: Path) -> None:
    with FlinkCluster(tmp_path, slots=2, zookeeper=True) as cluster:
        address, taskmanagers = cluster.rest, cluster.taskmanagers
        copy = Copy(kafka, cluster)
        copy.feed("a", "b")
        copy.checkpoint()
        copy.feed("c")
        cluster.kill_jobmanager()
        assert cluster.jobmanager is None
        cluster.start_jobmanager()
        assert cluster.rest == address
        assert cluster.taskmanagers == taskmanagers
        eventually(lambda: len(copy.written()) == 4, "the job is taken up")
        eventually(lambda: runs(cluster, copy.job), "the job runs")
        copy.checkpoint()
        eventually(lambda: copy.committed() == ["a", "b", "c"], "committed once")
        copy.cancel()


def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing(have_flink: None, tmp_path: Path) -> None:
    cluster = FlinkCluster(tmp_path, settings={"jobmanager.memory.process.size": "10m"})
    with pytest.raises(ConfigurationError, match=r"(?s)jobmanager ended with status.*memory"):
        cluster.start()
    assert cluster.jobmanager is None
    assert cluster.taskmanagers == {}


def test_the_page_holds(
    have_kafka: None, have_flink: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "cluster-services.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    broker, cluster = names["broker"], names["cluster"]
    assert broker.pid is None
    assert cluster.jobmanager is None
    assert cluster.taskmanagers == {}


def test_the_services_run_until_they_are_interrupted(
    have_kafka: None, have_flink: None, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "springline.testing.services",
        "run",
        "--folder",
        str(tmp_path),
        "--slots",
        "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        try:
            said = ""
            for line in running.stdout:
                said += line
                if line.startswith("Ctrl-C stops them."):
                    break
            [kafka] = re.findall(r"^Kafka +(\S+)$", said, re.MULTILINE)
            [flink] = re.findall(r"^Flink +(\S+)$", said, re.MULTILINE)
            assert AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=30).brokers
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(f"{flink}/overview", timeout=30) as overview:
                assert json.load(overview)["slots-total"] == 2
            [submit] = re.findall(r"^  (.* -py) job\.py$", said, re.MULTILINE)
            job = {"statements": ["SELECT shout('oslo')"], "settings": {}, "collect": True}
            command = shlex.join([str(JOB), json.dumps(job)])
            done = subprocess.run(
                f"{submit} {command}", shell=True, capture_output=True, text=True, check=True
            )
            assert done.stdout.splitlines()[0].startswith("Job has been submitted with JobID")
            assert json.loads(done.stdout.splitlines()[-1]) == [["OSLO!"]]
        finally:
            running.send_signal(signal.SIGINT)
            rest, _ = running.communicate()
    assert (running.returncode, rest.strip()) == (0, "Stopping ...")
    assert all(is_free(int(address.rpartition(":")[2])) for address in (kafka, flink))
