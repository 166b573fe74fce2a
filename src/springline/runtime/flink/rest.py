"""Flink's REST interface, as far as a job's life needs it.

Calls block and can be repeated, but for ``trigger_checkpoint``, ``stop`` and ``cancel``, which do something each time. A cluster
that does not answer is ``SourceUnavailable``, which passes; what it refuses is ``FlinkRefused``, which does not.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from springline.errors import SourceError, SourceUnavailable

POLL_S: Final = 0.005
"""Between two questions whether a checkpoint is complete. One takes some tens of milliseconds."""

_MOST_METRICS: Final = 40
"""Of one request: their names stand in its address."""

_SOURCE: Final = "Source: "
"""In the name of a vertex that reads, whatever is chained to it."""

FINISHED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})
"""States that a job does not leave."""

_TAKING_PART: Final = frozenset({"RUNNING", "FINISHED"})
_PASSING: Final = (
    "Not all required tasks are currently running",
    "is not being executed at the moment",
    "Job is not in state RUNNING",
)
"""Why a checkpoint fails while a job starts."""


class FlinkRefused(SourceError):
    """Flink does not do what it was asked: no such job, no such checkpoint, a failed savepoint."""

    code = "flink_refused"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What ``/overview`` says."""

    version: str
    taskmanagers: int
    slots: int
    slots_free: int


@dataclass(frozen=True, slots=True)
class RunningJob:
    """One job of the cluster."""

    id: str
    name: str
    state: str
    started_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A completed checkpoint. ``number`` stands in the transactional ids of its sinks; ``path`` is where its state lies."""

    number: int
    path: str


@dataclass(frozen=True, slots=True)
class Subtask:
    """One subtask's share of a vertex's work. Figures are those of its present attempt."""

    state: str
    records_in: int
    records_out: int
    busy_ms: int
    idle_ms: int
    backpressured_ms: int


@dataclass(frozen=True, slots=True)
class Vertex:
    """One vertex of the running job: a chain of operators."""

    id: str
    name: str
    state: str
    subtasks: tuple[Subtask, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """What a job does between two failures. ``started_ms``: when it was last started, by the cluster's clock, which tells it from every other
    run; ``sources``: the vertices that read."""

    started_ms: int
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlinkRest:
    """The cluster at an address such as ``http://127.0.0.1:8081``. Thread-safe."""

    address: str
    timeout_s: float = 30.0

    def overview(self) -> Cluster:
        found = self._get("/overview")
        return Cluster(
            found["flink-version"], found["taskmanagers"], found["slots-total"], found["slots-available"]
        )

    # -- jobs ------------------------------------------------------------------------------------------------------

    def jobs(self) -> list[RunningJob]:
        """All jobs that the cluster remembers, the newest first."""
        found = [
            RunningJob(one["jid"], one["name"], one["state"], one["start-time"])
            for one in self._get("/jobs/overview")["jobs"]
        ]
        return sorted(found, key=lambda one: -one.started_ms)

    def job_named(self, name: str) -> RunningJob | None:
        """The newest job of this name that has not ended."""
        return next((one for one in self.jobs() if one.name == name and one.state not in FINISHED), None)

    def state(self, job: str) -> str:
        """RUNNING, RESTARTING, FAILED, …. Raises FlinkRefused where there is no such job."""
        return str(self._get(f"/jobs/{job}")["state"])

    def exceptions(self, job: str, *, most: int = 10) -> list[str]:
        """What the job failed over, the newest first: the first line of each."""
        found = self._get(f"/jobs/{job}/exceptions?maxExceptions={most}")
        entries: list[dict[str, Any]] = found.get("exceptionHistory", {}).get("entries", [])
        return [_cause(str(one.get("stacktrace", ""))) for one in entries]

    def vertices(self, job: str) -> list[Vertex]:
        """The running job's vertices, each with its subtasks."""
        made: list[Vertex] = []
        for one in self._get(f"/jobs/{job}")["vertices"]:
            detail = self._get(f"/jobs/{job}/vertices/{one['id']}")
            subtasks = tuple(_subtask(part) for part in detail["subtasks"])
            made.append(Vertex(one["id"], one["name"], one["status"], subtasks))
        return made

    def run(self, job: str) -> Run | None:
        """The job's present run; None where it does not run."""
        found = self._get(f"/jobs/{job}")
        if found["state"] != "RUNNING":
            return None
        sources = tuple(one["id"] for one in found["vertices"] if _SOURCE in one["name"])
        return Run(int(found["timestamps"]["RUNNING"]), sources)

    def tells_of_this_run(self, job: str, vertex: str) -> bool:
        """Whether all subtasks of a vertex run, and the cluster has collected metrics of these attempts: before that, it tells what earlier ones
        had come to."""
        subtasks = self._get(f"/jobs/{job}/vertices/{vertex}")["subtasks"]
        return bool(subtasks) and all(
            one["status"] == "RUNNING" and one.get("metrics", {}).get("write-records-complete") is True
            for one in subtasks
        )

    def metric_names(self, job: str, vertex: str) -> list[str]:
        """The metrics of a vertex's subtasks, once its cluster has collected them."""
        return [one["id"] for one in self._get(f"/jobs/{job}/vertices/{vertex}/subtasks/metrics")]

    def largest(self, job: str, vertex: str, names: Sequence[str]) -> dict[str, float]:
        """Metrics of a vertex, each the largest of its subtasks'; as old as the cluster's ``metrics.fetcher.update-interval`` allows."""
        found: dict[str, float] = {}
        for start in range(0, len(names), _MOST_METRICS):
            asked = urllib.parse.quote(",".join(names[start : start + _MOST_METRICS]))
            answer = self._get(f"/jobs/{job}/vertices/{vertex}/subtasks/metrics?get={asked}&agg=max")
            found |= {one["id"]: float(one["max"]) for one in answer if "max" in one}
        return found

    def cancel(self, job: str) -> None:
        """Ends a job without a savepoint. A job that has ended is left alone."""
        if self.state(job) not in FINISHED:
            self._ask("PATCH", f"/jobs/{job}?mode=cancel", None)

    def wait_until_running(self, job: str, timeout_s: float = 300.0) -> None:
        """Until every task of the job runs: only then are checkpoints made. Raises FlinkRefused, with the reason, for a job that has ended,
        SourceUnavailable where it takes longer."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._get(f"/jobs/{job}")
            state = str(found["state"])
            if state in FINISHED:
                reasons = self.exceptions(job, most=1) or ["no reason is told"]
                raise FlinkRefused(f"Job {job} is {state}: {reasons[0]}", hint="Flink's log has the rest.")
            waiting = [one["name"] for one in found["vertices"] if one["status"] not in _TAKING_PART]
            if state == "RUNNING" and not waiting:
                return
            if time.monotonic() > deadline:
                about = f", {len(waiting)} of its tasks do not run: {waiting[0]}" if waiting else ""
                raise SourceUnavailable(
                    f"Job {job} is {state} after {timeout_s:g} s{about}.",
                    hint="Has the cluster free slots? Flink's page shows the job's exceptions.",
                )
            time.sleep(0.1)

    def wait_for(self, job: str, wanted: Callable[[str], bool], timeout_s: float) -> str:
        """The job's state once it is as wanted. Raises SourceUnavailable when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not wanted(state := self.state(job)):
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"Job {job} is {state} after {timeout_s:g} s.",
                    hint="Look at its exceptions in Flink's page.",
                )
            time.sleep(0.1)
        return state

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def trigger_checkpoint(self, job: str, *, full: bool = False) -> str:
        """Asks for a checkpoint; gives the trigger's id. ``full``: not incremental."""
        kind = "FULL" if full else "CONFIGURED"
        return str(self._ask("POST", f"/jobs/{job}/checkpoints", {"checkpointType": kind})["request-id"])

    def wait_for_checkpoint(self, job: str, trigger: str, timeout_s: float = 120.0) -> Checkpoint:
        """The checkpoint that a trigger made. Raises FlinkRefused where it failed, SourceUnavailable where it takes longer."""
        done = self._polled(f"/jobs/{job}/checkpoints/{trigger}", "checkpoint", timeout_s)
        number = int(done["checkpointId"])
        detail = self._get(f"/jobs/{job}/checkpoints/details/{number}")
        return Checkpoint(number, str(detail.get("external_path", "")))

    def checkpoint(self, job: str, *, timeout_s: float = 120.0) -> Checkpoint:
        """Triggers a checkpoint and waits for it."""
        return self.wait_for_checkpoint(job, self.trigger_checkpoint(job), timeout_s)

    def last_checkpoint(self, job: str) -> Checkpoint | None:
        """The last one that was completed."""
        found = self._get(f"/jobs/{job}/checkpoints").get("latest", {}).get("completed")
        return None if found is None else Checkpoint(int(found["id"]), str(found.get("external_path", "")))

    def stop_with_savepoint(self, job: str, *, folder: str | None = None, timeout_s: float = 600.0) -> str:
        """Ends a job with a savepoint, whose path it gives. ``folder``: default the cluster's."""
        body: dict[str, object] = {"drain": False, "formatType": "NATIVE"}
        if folder is not None:
            body["targetDirectory"] = folder
        trigger = self._ask("POST", f"/jobs/{job}/stop", body)["request-id"]
        return str(self._polled(f"/jobs/{job}/savepoints/{trigger}", "savepoint", timeout_s)["location"])

    def _polled(self, path: str, what: str, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while (answer := self._get(path))["status"]["id"] == "IN_PROGRESS":
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"A {what} is not complete after {timeout_s:g} s.", hint="It is asked for again."
                )
            time.sleep(POLL_S)
        operation = cast("dict[str, Any]", answer.get("operation") or {})
        if (cause := operation.get("failureCause") or operation.get("failure-cause")) is not None:
            text = str(cause.get("stack-trace") or cause.get("stackTrace") or cause.get("class"))
            message = f"The {what} failed: {_cause(text)}"
            if any(one in text for one in _PASSING):
                raise SourceUnavailable(message, hint="The job is starting; ask again.")
            raise FlinkRefused(message, hint="Flink's log has the rest.")
        return operation

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address.rstrip("/") + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error, method, path) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The last one: a JobManager that was killed in the middle of an answer.
            raise self._unavailable(error) from error
        try:
            return json.loads(text) if text else {}
        except ValueError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> SourceUnavailable:
        return SourceUnavailable(
            f"Flink at {self.address} does not answer: {error}",
            hint="Is the JobManager running, and is this its REST address?",
        )

    def _refusal(self, error: urllib.error.HTTPError, method: str, path: str) -> SourceError:
        try:
            told: list[str] = json.loads(error.read()).get("errors", [])
        except (OSError, ValueError, AttributeError):
            told = []
        message = f"Flink refuses {method} {path.partition('?')[0]} ({error.code}): {_cause(' '.join(map(str, told))) or error.reason}"
        if error.code == 503 or "not initialized" in message or "is not ready" in message:
            return SourceUnavailable(message, hint="The cluster is starting.")
        return FlinkRefused(message, hint="`/jobs/overview` lists the jobs that the cluster knows.")


def _subtask(found: Mapping[str, Any]) -> Subtask:
    metrics = found.get("metrics", {})
    return Subtask(
        found["status"],
        *(
            _whole(metrics.get(one))
            for one in (
                "read-records",
                "write-records",
                "accumulated-busy-time",
                "accumulated-idle-time",
                "accumulated-backpressured-time",
            )
        ),
    )


def _whole(value: object) -> int:
    """Flink writes a busy time that it does not know as "NaN"."""
    return int(value) if isinstance(value, int | float) and value == value else 0


def _cause(trace: str) -> str:
    """The innermost cause of a Java stack trace, in one line."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes[-1] if causes else lines[0] if lines else "")[:500]
