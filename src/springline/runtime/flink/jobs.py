"""Flink's jobs as the coordinator needs them: checkpoints, and how far their sources have read."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Final

from springline.errors import SourceError, SourceUnavailable
from springline.log.kafka.cut import Deployed
from springline.log.kafka.topics import Offsets
from springline.runtime.flink.rest import FlinkRest

_OFFSET: Final = re.compile(r"KafkaSourceReader\.topic\.(.+)\.partition\.(\d+)\.currentOffset$")

LIST_EVERY_S: Final = 1.0

Series = Mapping[str, Mapping[str, float]]
"""Metrics by vertex and name."""


class FlinkJobs:
    """Implements ``coordinator.Jobs``: each deployment says at which address its cluster answers."""

    def __init__(self) -> None:
        self._run: tuple[str, int] | None = None
        """The job, and when it was last started, of which something was believed."""
        self._told: set[str] = set()
        self._metrics: dict[str, list[str]] = {}
        self._listed_again_at = 0.0

    def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
        """A job that starts, fails or is gone may come back, by itself or by a deployment: it is asked again. What was read before it failed is
        read again, so a checkpoint of another run than ``read`` has told of is none that was asked for."""
        rest, run = FlinkRest(deployed.rest), self._run
        try:
            number = rest.checkpoint(deployed.job_id, timeout_s=timeout_s).number
            present = rest.run(deployed.job_id)
        except SourceError as error:
            raise _passing(error, deployed, _reason(rest, deployed.job_id)) from error
        if run is not None and (present is None or run != (deployed.job_id, present.started_ms)):
            raise SourceUnavailable(
                f"The job of generation {deployed.generation} was started again while checkpoint {number} was made.",
                hint="Another one is asked for.",
            )
        return number

    def cancel(self, deployed: Deployed) -> None:
        FlinkRest(deployed.rest).cancel(deployed.job_id)

    def read(self, deployed: Deployed) -> Offsets:
        """From the sources' metrics, which the cluster refreshes every ``metrics.fetcher.update-interval``: never ahead of what was read in the
        job's present run."""
        rest = FlinkRest(deployed.rest)
        try:
            return read_through(deployed.inputs, self._series(rest, deployed.job_id))
        except SourceError as error:
            raise _passing(error, deployed, "") from error

    def _series(self, rest: FlinkRest, job_id: str) -> Series:
        """The sources' metrics; none as long as one source does not tell of the present run."""
        run, now = rest.run(job_id), time.monotonic()
        if run is None:
            self._run = None
            return {}
        if self._run != (job_id, run.started_ms):
            self._run, self._told, self._listed_again_at = (job_id, run.started_ms), set(), 0.0
        for vertex in run.sources:
            if vertex not in self._told:
                if not rest.tells_of_this_run(job_id, vertex):
                    return {}
                self._told.add(vertex)
        if now > self._listed_again_at:
            # A source's partitions appear one by one when the job starts, and new ones later.
            self._listed_again_at = now + LIST_EVERY_S
            self._metrics = {
                vertex: [one for one in rest.metric_names(job_id, vertex) if _OFFSET.search(one)]
                for vertex in run.sources
            }
        return {vertex: rest.largest(job_id, vertex, names) for vertex, names in self._metrics.items()}


def _passing(error: SourceError, deployed: Deployed, reason: str) -> SourceError:
    """A cluster that has just been started knows its jobs a little later, and one that was deployed anew others."""
    if error.transient:
        return error
    return SourceUnavailable(
        f"The job of generation {deployed.generation} cannot be asked: {reason or error.message}",
        hint="It is asked again. If it does not run: Flink's page shows why; `springline deploy` starts it.",
    )


def read_through(topics: Iterable[str], series: Series) -> Offsets:
    """Behind which record each partition was read, by every source that reads it. Flink writes a topic's dots as underscores. A partition
    of which some source has read nothing since the job started, or which it does not have yet, is not there. Pure."""
    named = _by_metric_name(topics)
    readers: list[Offsets] = []
    for values in series.values():
        reached: Offsets = {}
        for name, value in values.items():
            if (match := _OFFSET.search(name)) is not None:
                reached |= {(topic, int(match[2])): int(value) + 1 for topic in named.get(match[1], ())}
        readers.append(reached)
    found: Offsets = {}
    for place in {place for reached in readers for place in reached}:
        of_topic = [reached for reached in readers if any(topic == place[0] for topic, _ in reached)]
        if (least := min(reached.get(place, 0) for reached in of_topic)) > 0:
            found[place] = least
    return found


def _by_metric_name(topics: Iterable[str]) -> Mapping[str, list[str]]:
    named: dict[str, list[str]] = {}
    for topic in topics:
        named.setdefault(topic.replace(".", "_"), []).append(topic)
    return named


def _reason(rest: FlinkRest, job_id: str) -> str:
    """What the job failed over last, where it does not run."""
    try:
        state = rest.state(job_id)
        if state == "RUNNING":
            return ""
        return f"it is {state}. " + " ".join(rest.exceptions(job_id, most=1))
    except SourceError:
        return ""
