"""Runs sampled cases of the law on Flink, many in one job, and finds those of which one job cannot be made, or which fail when they run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.runtime.flink.jobs import read_through
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import FlinkEnvironment, submit
from tests.cluster.feeding import DEADLINE_S, Feeder, Rows, together
from tests.cluster.law_sample import TICKS, Sampled, without

MOST_RESTARTS: Final = 3
_PASSES: Final = re.compile(
    "Heartbeat of TaskManager|minimum required resources|coordinator|Timeout|disconnect"
)
"""What a busy machine does to a job, and no query."""
_SOURCE: Final = re.compile(r"Source: s\.")
"""Begins the names of vertices that read tables; constants are read by others."""


class JobFails(Exception):
    """A job that fails again after each restart, and over what."""


@dataclass
class Outcome:
    """``ticks``: the rows after each; ``failed``: by case and view, why it does not run. A view is ``*`` where it is not known which."""

    ticks: list[Rows] = field(default_factory=lambda: [{} for _ in range(TICKS)])
    failed: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


class Runner:
    """``run`` begins the names of all topics."""

    def __init__(self, kafka: Any, flink: Any, run: str) -> None:
        self.outcome = Outcome()
        self._kafka, self._run = kafka, run
        self._rest = FlinkRest(flink.rest)
        self._environment = FlinkEnvironment(
            flink.python, flink.rest, getattr(flink, "jars", ()), variables=flink.environment
        )
        self._jobs = 0

    def run(self, cases: Sequence[Sampled]) -> None:
        """Runs cases as one job; as several where that fails, to find the one that does."""
        cases = [one for one in cases if one.case.views]
        while cases:
            try:
                return self._run_together(cases)
            except ConfigurationError as error:
                cases = self._without_refused(cases, str(error))
            except JobFails as error:
                if len(cases) == 1:
                    self.outcome.failed[cases[0].name, "*"] = str(error)
                    return None
                middle = len(cases) // 2
                self.run([again(one) for one in cases[:middle]])
                self.run([again(one) for one in cases[middle:]])
                return None
        return None

    def _without_refused(self, cases: Sequence[Sampled], message: str) -> list[Sampled]:
        found = re.search(r"\((\S+) (\S+)\): ", message)
        if found is None:
            if len(cases) == 1:
                self.outcome.failed[cases[0].name, "*"] = message
                return []
            middle = len(cases) // 2
            self.run([again(one) for one in cases[:middle]])
            return [again(one) for one in cases[middle:]]
        self.outcome.failed[found[1], found[2]] = message
        kept = [without(one, found[2]) if one.name == found[1] else one for one in cases]
        return [again(one) for one in kept if one.case.views]

    def _run_together(self, cases: Sequence[Sampled]) -> None:
        self._jobs += 1
        jobs = {one.name: one.job for one in cases}
        job = together(f"{self._run}-{self._jobs}", jobs)
        feeder = Feeder(self._kafka.bootstrap, self._run, jobs)
        feeder.create_topics({one.name: [table.name for table in one.case.tables] for one in cases})
        running = submit(job, self._environment).job_id
        try:
            self._rest.wait_until_running(running, DEADLINE_S)
            for number in range(TICKS):
                feeder.feed({one.name: one.records(number) for one in cases})
                feeder.wait_until_committed(self._covering(running, feeder.fed))
                self.outcome.ticks[number] |= feeder.read()
        except (SourceError, AssertionError) as error:
            raise JobFails("\n".join(dict.fromkeys(self._rest.exceptions(running))) or str(error)) from error
        finally:
            self._rest.cancel(running)

    def _covering(self, job: str, fed: Mapping[str, int]) -> int:
        """The number of a checkpoint that holds all that was fed.

        Not told by the group's offsets: a topic that no query has to read, as below WHERE FALSE, has none.
        """
        sources = Sources(self._rest, job)
        deadline = time.monotonic() + DEADLINE_S
        while behind := sources.behind(fed):
            self._check(job)
            assert time.monotonic() < deadline, f"Not read: {behind[:5]}"
            time.sleep(0.2)
        while True:
            try:
                return self._rest.checkpoint(job, timeout_s=DEADLINE_S).number
            except SourceUnavailable as error:
                self._check(job)
                if time.monotonic() > deadline:
                    raise JobFails(str(error)) from error
                time.sleep(0.5)

    def _check(self, job: str) -> None:
        """Raises JobFails for a job that was started again too often."""
        found = [one for one in self._rest.exceptions(job) if not _PASSES.search(one)]
        if len(found) >= MOST_RESTARTS:
            raise JobFails("\n".join(dict.fromkeys(found)))


class Sources:
    """How far a job has read its topics, by the metrics of its sources."""

    def __init__(self, rest: FlinkRest, job: str) -> None:
        self._rest, self._job = rest, job
        vertices = {one["id"]: str(one["name"]) for one in rest._get(f"/jobs/{job}")["vertices"]}
        self._vertices = {key for key, name in vertices.items() if _SOURCE.match(name)}
        self._metrics: dict[str, list[str]] = {}

    def behind(self, fed: Mapping[str, int]) -> list[str]:
        """The topics that a source has not read to their ends; and sources that have none yet."""
        for vertex in self._vertices - self._metrics.keys():
            named = [
                one
                for one in self._rest.metric_names(self._job, vertex)
                if ".currentOffset" in one and ".partition." in one
            ]
            if named:
                self._metrics[vertex] = named
        series = {
            vertex: self._rest.largest(self._job, vertex, names) for vertex, names in self._metrics.items()
        }
        read = read_through(fed, series)
        topics = {
            topic
            for topic in fed
            if any(
                f".topic.{topic.replace('.', '_')}.partition." in name
                for each in series.values()
                for name in each
            )
        }
        late = [topic for topic in topics if read.get((topic, 0), 0) < fed[topic]]
        return [*(self._vertices - self._metrics.keys()), *late]


def again(one: Sampled) -> Sampled:
    """The same case with topics and a consumer group of its own."""
    application = one.job.application + "x"

    def renamed(text: str) -> str:
        return re.sub(rf"{re.escape(one.job.application)}(?=[.-])", application, text)

    job = replace(
        one.job,
        application=application,
        group=renamed(one.job.group),
        statements=tuple(replace(each, sql=renamed(each.sql)) for each in one.job.statements),
        relations=tuple(
            replace(each, topic=renamed(each.topic), transaction_prefix=renamed(each.transaction_prefix))
            for each in one.job.relations
        ),
    )
    return replace(one, job=job)
