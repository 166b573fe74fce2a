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

SETTLING_MS: Final = 1_000
LIST_EVERY_S: Final = 1.0


class FlinkJobs:
    """Implements ``coordinator.Jobs``: each deployment says at which address its cluster answers."""

    def __init__(self) -> None:
        self._job_id = ""
        self._metrics: dict[str, list[str]] = {}
        self._refreshed_ms: int | None = None
        self._listed_again_at = 0.0

    def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
        """A job that starts, fails or is gone may come back, by itself or by a deployment: it is asked again."""
        rest = FlinkRest(deployed.rest)
        try:
            return rest.checkpoint(deployed.job_id, timeout_s=timeout_s).number
        except SourceError as error:
            if error.transient:
                raise
            raise SourceUnavailable(
                f"The job of generation {deployed.generation} makes no checkpoint: {_reason(rest, deployed.job_id) or error.message}",
                hint="It is asked again. If it does not run: Flink's page shows why; `springline deploy` starts it.",
            ) from error

    def cancel(self, deployed: Deployed) -> None:
        FlinkRest(deployed.rest).cancel(deployed.job_id)

    def read(self, deployed: Deployed) -> Offsets:
        """From the sources' metrics, which the cluster refreshes every ``metrics.fetcher.update-interval``: never ahead of what was read."""
        rest = FlinkRest(deployed.rest)
        if not self._is_settled(rest, deployed.job_id):
            return {}
        now = time.monotonic()
        if self._job_id != deployed.job_id or now > self._listed_again_at:
            # A source's partitions appear one by one when the job starts, and new ones later.
            self._listed_again_at = now + LIST_EVERY_S
            self._metrics = {
                vertex: named
                for vertex in rest.vertex_ids(deployed.job_id)
                if (
                    named := [
                        one for one in rest.metric_names(deployed.job_id, vertex) if _OFFSET.search(one)
                    ]
                )
            }
            self._job_id = deployed.job_id
        series = [
            (name, value)
            for vertex, names in self._metrics.items()
            for name, value in rest.largest(deployed.job_id, vertex, names).items()
        ]
        return read_through(deployed.inputs, series)

    def _is_settled(self, rest: FlinkRest, job_id: str) -> bool:
        """Whether the metrics are those of the job's present run: a job that was started again reads from its last checkpoint on, while the
        cluster may still tell what it had read before."""
        if self._refreshed_ms is None:
            self._refreshed_ms = refresh_interval_ms(rest.configuration())
        running_ms = rest.running_for_ms(job_id)
        return running_ms is not None and running_ms > self._refreshed_ms + SETTLING_MS


def refresh_interval_ms(configuration: Mapping[str, str]) -> int:
    """``metrics.fetcher.update-interval`` of a cluster: milliseconds, as a number or with a unit. Pure."""
    text = configuration.get("metrics.fetcher.update-interval", "10000").strip()
    found = re.fullmatch(r"(\d+)\s*(ms|s|min)?", text)
    factor = {"s": 1_000, "min": 60_000}.get(found[2] or "ms", 1) if found else 1
    return int(found[1]) * factor if found else 10_000


def read_through(topics: Iterable[str], series: Iterable[tuple[str, float]]) -> Offsets:
    """Behind which record each partition was read, by every source that reads it. Flink writes a topic's dots as underscores. A partition
    of which nothing was read since the job started is not there. Pure."""
    named: Mapping[str, list[str]] = _by_metric_name(topics)
    found: Offsets = {}
    for name, value in series:
        match = _OFFSET.search(name)
        if match is None:
            continue
        for topic in named.get(match[1], ()):
            place = (topic, int(match[2]))
            found[place] = min(found.get(place, 1 << 62), int(value) + 1)
    return {place: offset for place, offset in found.items() if offset > 0}


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
