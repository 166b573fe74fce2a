"""What every measured process is told, and what it tells. Standard library only: it runs in every peer's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.settings import ROOT


@dataclass(frozen=True)
class Job:
    """One measurement. ``data``: the workload's files; ``work``: an empty folder; ``rows``: where the result goes, a JSON array a line."""

    workload: str
    variant: str
    data: str
    work: str
    rows: str
    events: int
    seconds: float = 0.0
    rate: int = 0
    feeder_core: int | None = None

    def input(self, name: str) -> Path:
        return Path(self.data) / name

    def scratch(self, name: str) -> Path:
        return Path(self.work) / name

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_arguments() -> Job:
        return Job(**json.loads(sys.argv[1]))


MEASURED = "measured"
"""In a job's ``work``: written when the clock stops. What a process takes afterwards, to write its rows, is not its memory."""


def stop_clock(job: Job, began: float) -> float:
    """Seconds since ``began``; and ends the measurement of memory."""
    seconds = time.perf_counter() - began
    job.scratch(MEASURED).touch()
    return seconds


def write_rows(job: Job, rows: Iterable[Iterable[object]]) -> None:
    """Writes the result for the check; what JSON has no form for (times, decimals), as text."""
    with Path(job.rows).open("w") as file:
        for row in rows:
            file.write(json.dumps(list(row), default=str) + "\n")


def report(**figures: float | str | None) -> None:
    """The last line of a process's output is its report: ``seconds`` and ``events``, latencies, or ``skip`` with a reason."""
    print(json.dumps(figures), flush=True)


CLOSING = "closing"
"""The variant of w2 in which a window's rows appear when the watermark passes its end."""

FED = "fed.jsonl"
"""In a job's ``work``: what the feeder handed over."""


def start_feeder(job: Job, kind: str, target: str) -> subprocess.Popen[bytes]:
    """Starts w6's feeder on another core."""
    command = [sys.executable, "-m", "bench.feeder", kind, target, str(job.seconds), str(job.rate)]
    feeder = subprocess.Popen([*command, str(job.scratch(FED))], cwd=ROOT)
    if job.feeder_core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(feeder.pid, {job.feeder_core})
    return feeder


WARM_UP_SHARE = 0.3


def report_latencies(samples: list[tuple[float, float]], first_at: float, last_at: float) -> None:
    """Reports percentiles of (seen at, milliseconds) pairs; the first 30 % of the time are warm-up."""
    begin = first_at + (last_at - first_at) * WARM_UP_SHARE
    ordered = sorted(latency for at, latency in samples if at >= begin)
    if not ordered:
        report(skip="no row was seen after the warm-up")
        return
    report(
        p50_ms=ordered[len(ordered) // 2],
        p99_ms=ordered[len(ordered) * 99 // 100],
        max_ms=ordered[-1],
        samples=len(ordered),
        events=len(samples),
    )
