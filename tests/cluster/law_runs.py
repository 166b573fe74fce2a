"""Runs sampled cases of the law on Flink, many in one job, and finds those of which one job cannot be made, or which fail when they run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from springline.errors import ConfigurationError, SourceError
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import FlinkEnvironment, submit
from tests.cluster.feeding import DEADLINE_S, Feeder, Rows, together
from tests.cluster.law_sample import TICKS, Sampled, without

MOST_RESTARTS = 3


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
                feeder.wait_until_committed(feeder.covering(self._rest, [running], self._check))
                self.outcome.ticks[number] |= feeder.read()
        except (SourceError, AssertionError) as error:
            raise JobFails("\n".join(dict.fromkeys(self._rest.exceptions(running))) or str(error)) from error
        finally:
            self._rest.cancel(running)

    def _check(self, job: str) -> None:
        """Raises JobFails for a job that was started again too often."""
        if len(found := self._rest.exceptions(job)) >= MOST_RESTARTS:
            raise JobFails("\n".join(dict.fromkeys(found)))


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
