"""``make bench ONLY=nexmark``: every query that can be run, kept up to date from JSON lines, with its rate and the check of its rows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

from bench.environments import python_of
from bench.nexmark.answers import ANSWERS, Streams
from bench.nexmark.generator import Configuration, write
from bench.nexmark.queries import QUERIES
from bench.peers.common import Job
from bench.results import HEADS, OURS, UNITS, Result, as_number, line, medians
from bench.runner import run, scratch_folder
from bench.settings import Settings
from bench.suite import Answer, Suite, difference, figures_of

METRICS = ("events_per_s", "seconds", "peak_mb")
EVENTS_PER_SECOND = 1_000
"""Of event time: 200,000 events are 200 s, twenty of q7's windows."""


def prepared(settings: Settings) -> Path:
    """The folder with the events; made once for each number of them."""
    events = settings.events("nexmark")
    target = settings.folder / "data" / f"nexmark-{events}-v1"
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        write(target, Configuration(events, EVENTS_PER_SECOND))
        (target / "complete").touch()
    return target


def expected(query: str, streams: Streams) -> Answer:
    """The plain Python answer, in the form that the measured process writes its rows in."""
    return Counter(tuple(json.loads(json.dumps(list(row), default=str))) for row in ANSWERS[query](streams))


def measure(suite: Suite) -> None:
    """Measures ours, query by query; a query whose rows are not the answer's is reported as wrong."""
    settings = suite.settings
    if not settings.wants(OURS):
        return
    data = prepared(settings)
    streams = Streams.read(data / "events.jsonl")
    events = settings.events("nexmark")
    rows: list[str] = []
    for name, query in QUERIES.items():
        if query.sql is None:
            figures, outcome = dict[str, float](), f"not run: {query.note}"
        else:
            figures, outcome = _measured(suite, name, data, streams)
            if query.note and figures:
                outcome += f"; {query.note}"
        suite.results.extend(
            Result(f"nexmark-{name}", OURS, metric, round(value, 3), UNITS[metric])
            for metric, value in figures.items()
        )
        rows.append(line([name, query.question, *(as_number(figures.get(one)) for one in METRICS), outcome]))
        print(f"   {name}: {outcome}", flush=True)
    head = [
        line(["query", "question", *(HEADS[one] for one in METRICS), "check"]),
        line(["---", "---", *["---:"] * len(METRICS), "---"]),
    ]
    suite.say("", "## nexmark", "", f"{events:,} events; {suite.repeated}.", "", *head, *rows)


def _measured(suite: Suite, query: str, data: Path, streams: Streams) -> tuple[dict[str, float], str]:
    settings = suite.settings
    answer = expected(query, streams)
    events = settings.events("nexmark")
    runs: list[dict[str, float]] = []
    for _ in range(settings.repetitions):
        with scratch_folder(settings.folder) as work:
            job = Job("nexmark", query, str(data), str(work), str(work / "rows.jsonl"), events)
            python = python_of("springline", settings.folder)
            outcome = run(
                "bench.peers.springline", python, job, core=settings.core, timeout_s=settings.timeout_s
            )
            if outcome.problem is not None:
                return {}, f"not run: {outcome.problem}"
            with Path(job.rows).open() as file:
                found = Counter(tuple(json.loads(one)) for one in file)
            if (wrong := difference(answer, found)) is not None:
                return {}, wrong
            runs.append(figures_of(outcome, events))
    return medians(runs), f"equal to the batch answer, {answer.total():,} rows"
