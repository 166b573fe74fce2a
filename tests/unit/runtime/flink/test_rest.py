"""The client of Flink's REST interface, against a server that answers as Flink does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from springline.errors import SourceUnavailable
from springline.runtime.flink.rest import Checkpoint, Cluster, FlinkRefused, FlinkRest, Run, RunningJob

JOB = "0123456789abcdef0123456789abcdef"


class FakeFlink:
    """Answers by ``METHOD path``; a list is given one by one, the last for ever. Remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                place = f"{self.command} {self.path.partition('?')[0]}"
                outer.asked.append((place, body))
                told = outer.answers.get(place, [(404, {"errors": ["Not found."]})])
                status, content = told.pop(0) if len(told) > 1 else told[0]
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.rest = FlinkRest(f"http://127.0.0.1:{self.server.server_port}/")

    def say(self, place: str, *contents: Any, status: int = 200) -> None:
        self.answers[place] = [(status, one) for one in contents]


@pytest.fixture
def fake() -> Iterator[FakeFlink]:
    made = FakeFlink()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def test_the_cluster_and_its_jobs(fake: FakeFlink) -> None:
    fake.say(
        "GET /overview", {"flink-version": "2.2.1", "taskmanagers": 1, "slots-total": 8, "slots-available": 7}
    )
    jobs = [
        {"jid": "a", "name": "shop-1", "state": "FINISHED", "start-time": 3},
        {"jid": "b", "name": "shop-1", "state": "RUNNING", "start-time": 2},
        {"jid": "c", "name": "shop-2", "state": "FAILED", "start-time": 4},
    ]
    fake.say("GET /jobs/overview", {"jobs": jobs})
    assert fake.rest.overview() == Cluster("2.2.1", 1, 8, 7)
    assert [one.id for one in fake.rest.jobs()] == ["c", "a", "b"]
    assert fake.rest.job_named("shop-1") == RunningJob("b", "shop-1", "RUNNING", 2)
    assert fake.rest.job_named("shop-2") is None


def test_a_checkpoint_is_triggered_and_waited_for(fake: FakeFlink) -> None:
    fake.say(f"POST /jobs/{JOB}/checkpoints", {"request-id": "r"})
    running, done = (
        {"status": {"id": "IN_PROGRESS"}},
        {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": 7}},
    )
    fake.say(f"GET /jobs/{JOB}/checkpoints/r", running, running, done)
    fake.say(f"GET /jobs/{JOB}/checkpoints/details/7", {"id": 7, "external_path": "file:/c/chk-7"})
    assert fake.rest.checkpoint(JOB) == Checkpoint(7, "file:/c/chk-7")
    assert fake.asked[0] == (f"POST /jobs/{JOB}/checkpoints", {"checkpointType": "CONFIGURED"})


@pytest.mark.parametrize(
    ("trace", "kind", "said"),
    [
        (
            "a\nCaused by: b: Not all required tasks are currently running.",
            SourceUnavailable,
            "Not all required",
        ),
        ("a\nCaused by: java.io.IOException: disk full", FlinkRefused, "disk full"),
    ],
)
def test_a_checkpoint_that_fails_passes_or_does_not(
    fake: FakeFlink, trace: str, kind: type[Exception], said: str
) -> None:
    failed = {
        "status": {"id": "COMPLETED"},
        "operation": {"checkpointId": -1, "failureCause": {"stack-trace": trace}},
    }
    fake.say(f"GET /jobs/{JOB}/checkpoints/r", failed)
    with pytest.raises(kind, match=said):
        fake.rest.wait_for_checkpoint(JOB, "r")


def test_the_last_checkpoint(fake: FakeFlink) -> None:
    completed = {"latest": {"completed": {"id": 3, "external_path": "p"}}}
    fake.say(f"GET /jobs/{JOB}/checkpoints", {"latest": {"completed": None}}, completed)
    assert fake.rest.last_checkpoint(JOB) is None
    assert fake.rest.last_checkpoint(JOB) == Checkpoint(3, "p")


def test_a_job_is_stopped_with_a_savepoint(fake: FakeFlink) -> None:
    fake.say(f"POST /jobs/{JOB}/stop", {"request-id": "s"})
    fake.say(
        f"GET /jobs/{JOB}/savepoints/s", {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/s"}}
    )
    assert fake.rest.stop_with_savepoint(JOB, folder="file:/saved") == "file:/s"
    assert fake.asked[0][1] == {"drain": False, "formatType": "NATIVE", "targetDirectory": "file:/saved"}


def test_only_a_job_that_has_not_ended_is_cancelled(fake: FakeFlink) -> None:
    fake.say(f"GET /jobs/{JOB}", {"state": "CANCELED"}, {"state": "RUNNING"})
    fake.say(f"PATCH /jobs/{JOB}", {})
    fake.rest.cancel(JOB)
    assert [place for place, _ in fake.asked] == [f"GET /jobs/{JOB}"]
    fake.rest.cancel(JOB)
    assert fake.asked[-1][0] == f"PATCH /jobs/{JOB}"


def test_a_job_runs_when_all_its_tasks_do(fake: FakeFlink) -> None:
    def told(state: str, *tasks: str) -> dict[str, Any]:
        return {"state": state, "vertices": [{"name": one, "status": one} for one in tasks]}

    fake.say(
        f"GET /jobs/{JOB}",
        told("CREATED"),
        told("RUNNING", "DEPLOYING", "RUNNING"),
        told("RUNNING", "RUNNING", "FINISHED"),
    )
    fake.rest.wait_until_running(JOB)
    assert len(fake.asked) == 3
    fake.say(f"GET /jobs/{JOB}", told("FAILED"))
    fake.say(
        f"GET /jobs/{JOB}/exceptions",
        {"exceptionHistory": {"entries": [{"stacktrace": "x\nCaused by: bad row"}]}},
    )
    with pytest.raises(FlinkRefused, match="is FAILED: bad row"):
        fake.rest.wait_until_running(JOB)
    fake.say(f"GET /jobs/{JOB}", told("RUNNING", "SCHEDULED"))
    with pytest.raises(SourceUnavailable, match="1 of its tasks do not run: SCHEDULED"):
        fake.rest.wait_until_running(JOB, timeout_s=0.0)


def test_vertices_say_what_their_subtasks_do(fake: FakeFlink) -> None:
    fake.say(
        f"GET /jobs/{JOB}",
        {"state": "RUNNING", "vertices": [{"id": "v", "name": "Join", "status": "RUNNING"}]},
    )
    metrics = {
        "read-records": 5,
        "write-records": 4,
        "accumulated-busy-time": "NaN",
        "accumulated-idle-time": 9,
    }
    fake.say(f"GET /jobs/{JOB}/vertices/v", {"subtasks": [{"status": "RUNNING", "metrics": metrics}]})
    [vertex] = fake.rest.vertices(JOB)
    [subtask] = vertex.subtasks
    assert (subtask.records_in, subtask.records_out, subtask.busy_ms, subtask.idle_ms) == (5, 4, 0, 9)


def test_what_flink_refuses_is_told_in_its_words(fake: FakeFlink) -> None:
    fake.say(f"GET /jobs/{JOB}", {"errors": ["trace\nCaused by: no such job"]}, status=404)
    with pytest.raises(FlinkRefused, match=r"refuses GET /jobs/\w+ \(404\): no such job"):
        fake.rest.state(JOB)
    fake.say("GET /overview", {"errors": ["Service temporarily unavailable"]}, status=503)
    with pytest.raises(SourceUnavailable):
        fake.rest.overview()


def test_a_cluster_that_does_not_answer_is_waited_for(fake: FakeFlink) -> None:
    gone = FlinkRest("http://127.0.0.1:1", timeout_s=2.0)
    with pytest.raises(SourceUnavailable, match="does not answer") as caught:
        gone.overview()
    assert caught.value.transient


def test_a_job_is_told_from_what_it_was_before_it_failed(fake: FakeFlink) -> None:
    def told(state: str, started_ms: int) -> dict[str, Any]:
        vertices = [{"id": "a", "name": "Source: t[1] -> Calc[2]"}, {"id": "b", "name": "Join[3]"}]
        return {"state": state, "timestamps": {"RUNNING": started_ms}, "vertices": vertices}

    fake.say(f"GET /jobs/{JOB}", told("RUNNING", 7), told("RESTARTING", 7), told("RUNNING", 9))
    assert fake.rest.run(JOB) == Run(7, ("a",))
    assert fake.rest.run(JOB) is None
    assert fake.rest.run(JOB) == Run(9, ("a",))

    def subtask(status: str, complete: bool) -> dict[str, Any]:
        return {"status": status, "metrics": {"write-records-complete": complete}}

    running, silent, waiting = subtask("RUNNING", True), subtask("RUNNING", False), subtask("DEPLOYING", True)
    several = ([running, waiting], [running, silent], [], [running, running])
    fake.say(f"GET /jobs/{JOB}/vertices/a", *({"subtasks": one} for one in several))
    assert [fake.rest.tells_of_this_run(JOB, "a") for _ in several] == [False, False, False, True]


def test_an_answer_that_breaks_off_is_none() -> None:
    """As of a JobManager that is killed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            FlinkRest(f"http://127.0.0.1:{server.getsockname()[1]}").overview()
        thread.join()
