"""How far a job has read, and its checkpoints, while it fails and is started again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from springline.errors import SourceUnavailable
from springline.log.kafka.clients import Kafka
from springline.log.kafka.cut import Deployed
from springline.runtime.flink import coordinator
from springline.runtime.flink.coordinator import Coordinator, Mark
from springline.runtime.flink.jobs import FlinkJobs
from tests.unit.runtime.flink.test_rest import JOB, FakeFlink, fake

__all__ = ["fake"]

OFFSET = "0.Source__t[1].KafkaSourceReader.topic.app_crm_t.partition.0.currentOffset"


@pytest.fixture
def deployed(fake: FakeFlink) -> Deployed:
    fake.say(f"GET /jobs/{JOB}/vertices/v/subtasks/metrics", [{"id": OFFSET, "max": 4.0}])
    fake.say(f"POST /jobs/{JOB}/checkpoints", {"request-id": "r"})
    done = {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": 6}}
    fake.say(f"GET /jobs/{JOB}/checkpoints/r", done)
    fake.say(f"GET /jobs/{JOB}/checkpoints/details/6", {"external_path": "p"})
    return Deployed(1, JOB, "f", (), fake.rest.address, ("app.crm.t",))


def told(state: str, started_ms: int) -> dict[str, Any]:
    return {
        "state": state,
        "timestamps": {"RUNNING": started_ms},
        "vertices": [{"id": "v", "name": "Source: t"}],
    }


def attempt(status: str, *, complete: bool) -> dict[str, Any]:
    return {"subtasks": [{"status": status, "metrics": {"write-records-complete": complete}}]}


READ = {("app.crm.t", 0): 5}


def test_what_an_earlier_attempt_has_read_is_not_believed(fake: FakeFlink, deployed: Deployed) -> None:
    """The job is RUNNING for the cluster as soon as it is started, and its tasks wait for a TaskManager: the metrics are those of before."""
    jobs = FlinkJobs()
    fake.say(f"GET /jobs/{JOB}", told("RUNNING", 1))
    fake.say(
        f"GET /jobs/{JOB}/vertices/v",
        attempt("SCHEDULED", complete=False),
        attempt("RUNNING", complete=False),
        attempt("RUNNING", complete=True),
    )
    assert [jobs.read(deployed) for _ in range(4)] == [{}, {}, READ, READ]
    fake.say(f"GET /jobs/{JOB}", told("RESTARTING", 1))
    assert jobs.read(deployed) == {}
    fake.say(f"GET /jobs/{JOB}", told("RUNNING", 9))
    fake.say(f"GET /jobs/{JOB}/vertices/v", attempt("SCHEDULED", complete=False))
    assert jobs.read(deployed) == {}


def test_a_checkpoint_of_a_later_run_is_none_that_was_asked_for(fake: FakeFlink, deployed: Deployed) -> None:
    jobs = FlinkJobs()
    fake.say(f"GET /jobs/{JOB}", told("RUNNING", 1))
    fake.say(f"GET /jobs/{JOB}/vertices/v", attempt("RUNNING", complete=True))
    assert jobs.read(deployed) == READ
    assert jobs.checkpoint(deployed, 5) == 6
    fake.say(f"GET /jobs/{JOB}", told("RUNNING", 2))
    with pytest.raises(SourceUnavailable, match="was started again while checkpoint 6"):
        jobs.checkpoint(deployed, 5)


def test_a_cluster_that_does_not_know_its_job_yet_is_asked_again(fake: FakeFlink, deployed: Deployed) -> None:
    """As after the death of a JobManager, while another takes up its jobs."""
    fake.say(f"GET /jobs/{JOB}", {"errors": ["Job not found"]}, status=404)
    for ask in (lambda: FlinkJobs().read(deployed), lambda: FlinkJobs().checkpoint(deployed, 5)):
        with pytest.raises(SourceUnavailable, match="Job not found"):
            ask()


def test_sources_that_tell_nothing_are_asked_by_a_checkpoint(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was started again from a checkpoint without a cut has read everything, and no metric says so: nothing new comes."""
    wanted = {("app.crm.t", 0): 5}
    made: list[Deployed] = []

    class Silent:
        def read(self, deployed: Deployed) -> dict[tuple[str, int], int]:
            return {}

        def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
            made.append(deployed)
            return 7

        def cancel(self, deployed: Deployed) -> None: ...

    class Offsets:
        def group_offsets(self, group: str) -> dict[tuple[str, int], int]:
            return wanted if made else {}

    monkeypatch.setattr(coordinator, "ASK_AFTER_S", 0.02)
    unused: Any = None
    cuts: Any = Coordinator("app", unused, Silent(), unused)
    cuts._transactions = Offsets()
    cuts._wait_read(deployed, wanted)
    assert made == [deployed]


def test_a_capture_that_may_not_publish_shuts_no_coordinator_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is not the one that was published from, say: the capture that runs goes on making cuts."""

    @contextlib.contextmanager
    def refused() -> Iterator[Mark]:
        raise SourceUnavailable("It is not known whether what was last published has arrived.")
        yield

    def producer(_: Kafka, transactional_id: str) -> None:
        raise AssertionError("it has shut out another one")

    monkeypatch.setattr(Kafka, "producer", producer)
    cuts = Coordinator("app", Kafka("h:1"), FlinkJobs(), refused)
    with pytest.raises(SourceUnavailable):
        cuts._make_cuts()
