"""Runs workloads: every system, several times, each in its own process on the same core; checks every result; makes the tables."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import workloads
from bench.environments import Unavailable, python_of
from bench.peers.common import CLOSING, FED, Job
from bench.peers.plain import answer_to_fed
from bench.results import OURS, UNITS, Result, Row, machine, medians, table
from bench.runner import Outcome, run, scratch_folder
from bench.settings import Settings

INCREMENTAL, BATCH, LIMIT = "incremental", "batch", "limit"


@dataclass(frozen=True)
class System:
    """One way to do a workload. ``module``: of ``bench.peers``. ``share``: the part of the events that a slow one is given."""

    name: str
    module: str
    kind: str
    variant: str = ""
    share: float = 1.0
    note: str = ""

    @property
    def family(self) -> str:
        """What PEERS names it by."""
        return self.module


SPRINGLINE = System(OURS, "springline", INCREMENTAL, note="durable")
PATHWAY = System("Pathway, streaming", "pathway", INCREMENTAL, "streaming", note="20 files; not durable")
PATHWAY_STATIC = System("Pathway, static", "pathway", BATCH, "static", note="one batch")
PYFLINK = System("PyFlink SQL", "pyflink", INCREMENTAL, note="with submission; not durable")
BYTEWAX = System("Bytewax", "bytewax", INCREMENTAL, note="not durable")
PLAIN = System("plain Python", "plain", LIMIT, note="in memory")
DUCKDB = System("DuckDB", "duckdb", LIMIT, note="batch, in memory")

SYSTEMS: dict[str, Sequence[System]] = {
    "w1": (SPRINGLINE, PATHWAY, PATHWAY_STATIC, PYFLINK, BYTEWAX, PLAIN, DUCKDB),
    "w2": (
        System(OURS, "springline", INCREMENTAL, CLOSING, note="durable; windows close, as Flink's"),
        System(
            f"{OURS}, live", "springline", INCREMENTAL, "live", note="durable; windows show every bid at once"
        ),
        PATHWAY,
        PATHWAY_STATIC,
        PYFLINK,
        System(
            "Bytewax", "bytewax", INCREMENTAL, share=0.1, note="a tenth of the bids; waits 30 s for late ones"
        ),
        PLAIN,
        DUCKDB,
    ),
    "w3": (SPRINGLINE, PATHWAY, PATHWAY_STATIC, PYFLINK, BYTEWAX, PLAIN, DUCKDB),
    "w6": (
        SPRINGLINE,
        System("Pathway", "pathway", INCREMENTAL, note="Python connector, autocommit 10 ms; not durable"),
        System("PyFlink SQL", "pyflink", INCREMENTAL, note="socket, no mini-batch; not durable"),
        BYTEWAX,
        PLAIN,
    ),
}

TITLES = {
    "w1": "w1: a keyed changelog, joined and aggregated",
    "w2": "w2: tumbling windows over bids",
    "w3": "w3: a join of two growing streams",
    "w6": "w6: from append to visible row",
    "curve": "w1, the cost of a change as the table grows",
}

THROUGHPUT = ("events_per_s", "seconds", "peak_mb", "cpu_s")
FRESHNESS = ("p50_ms", "p99_ms", "max_ms", "peak_mb", "cpu_s")
CURVE = ("events_per_s", "changes_per_tick", "fill_per_s", "state_mb", "peak_mb")

Answer = Counter[tuple[object, ...]]


def comparable(workload: str, row: Sequence[Any]) -> tuple[object, ...]:
    """A result row in the form in which all systems must agree: sums of amounts as whole cents."""
    if workload in ("w1", "curve"):
        return int(row[0]), row[1], row[2], int(row[3]), round(float(row[4]) * 100)
    if workload == "w6":
        return int(row[0]), int(row[1]), round(float(row[2]) * 100)
    if workload == "w2":
        return tuple(int(value) for value in row)
    return int(row[0]), *row[1:]


def read_answer(workload: str, path: Path) -> Answer:
    with path.open() as file:
        rows = map(json.loads, file)
        if workload == "w2":
            rows = (row for row in rows if row[1] != workloads.LAST_AUCTION)
        return Counter(comparable(workload, row) for row in rows)


def difference(expected: Answer, found: Answer) -> str | None:
    """What is wrong with a result, in a few words; None where it is right."""
    missing, extra = expected - found, found - expected
    if not missing and not extra:
        return None
    example = next(iter(extra or missing))
    return f"WRONG: {missing.total():,} rows missing, {extra.total():,} not in the answer, such as {example}"


@dataclass
class Entrant:
    """A system in a workload, and how its runs went. ``problem``: why it has no figures."""

    system: System
    size: int
    runs: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    problem: str | None = None

    def row(self) -> Row:
        if self.problem is not None:
            return Row(self.system.name, self.system.kind, {}, self.problem)
        return Row(self.system.name, self.system.kind, medians(self.runs), self.system.note)


@dataclass
class Suite:
    """One run of the suite, and what it has found so far."""

    settings: Settings
    results: list[Result] = field(default_factory=list[Result])
    lines: list[str] = field(default_factory=list[str])
    _answers: dict[Path, Answer] = field(default_factory=dict[Path, Answer])

    def say(self, *lines: str) -> None:
        self.lines.extend(lines)
        print(*lines, sep="\n", flush=True)

    def measure(self, workload: str) -> None:
        """Measures one workload with every system that was asked for: in rounds, so that what disturbs the machine disturbs them alike."""
        settings = self.settings
        chosen = [
            Entrant(system, self._size(workload, system))
            for system in SYSTEMS[workload]
            if settings.wants(system.family)
        ]
        for number in range(settings.repetitions):
            for entrant in chosen:
                self._attempt(workload, entrant)
                print(
                    f"   round {number + 1}, {entrant.system.name}: {entrant.problem or 'done'}", flush=True
                )
        rows = [entrant.row() for entrant in chosen]
        self._add(workload, rows)
        is_fresh = workload == "w6"
        size = (
            f"{settings.rate:,} events/s for {settings.seconds:g} s"
            if is_fresh
            else f"{settings.events(workload):,} events"
        )
        self.say("", f"## {TITLES[workload]}", "", f"{size}; {self.repeated}.", "")
        self.say(
            *table(rows, FRESHNESS if is_fresh else THROUGHPUT, "p50_ms" if is_fresh else "events_per_s")
        )

    def measure_curve(self) -> None:
        """Ours alone: w1's rate at ticks of a thousand changes, for tables of growing size."""
        if not self.settings.wants(SPRINGLINE.family) or not self.settings.keys:
            return
        chosen = [
            Entrant(System(f"{keys:,} keys", "springline", INCREMENTAL), keys) for keys in self.settings.keys
        ]
        for entrant in chosen:
            self._attempt("curve", entrant)
            print(f"   {entrant.system.name}: {entrant.problem or 'done'}", flush=True)
        rows = [entrant.row() for entrant in chosen]
        self._add("curve", rows)
        self.say(
            "",
            f"## {TITLES['curve']}",
            "",
            "Ticks of 1,000 changes; state on disk. One run for each size; of its changes, the median of five parts.",
            "",
            *table(rows, CURVE, None),
        )

    @property
    def repeated(self) -> str:
        """How the figures came about, in words."""
        many = self.settings.repetitions
        return "one run" if many == 1 else f"medians of {many} runs"

    # -- one system ------------------------------------------------------------------------------------------------

    def _size(self, workload: str, system: System) -> int:
        return 0 if workload == "w6" else self.settings.events(workload, system.share)

    def _add(self, workload: str, rows: Sequence[Row]) -> None:
        self.results.extend(
            Result(workload, row.system, name, round(value, 3), UNITS[name])
            for row in rows
            for name, value in row.figures.items()
        )

    def _attempt(self, workload: str, entrant: Entrant) -> None:
        """One run of one system; none where an earlier one had no good end."""
        if entrant.problem is not None:
            return
        system, folder = entrant.system, self.settings.folder
        try:
            python = python_of(system.module, folder)
        except Unavailable as error:
            entrant.problem = f"skipped: {error}"
            return
        data = folder if workload == "w6" else workloads.prepared(workload, entrant.size, folder)
        outcome, wrong = self._once(workload, system, entrant.size, data, python)
        if outcome.problem is not None:
            entrant.problem = f"skipped: {outcome.problem}"
        elif wrong is not None:
            entrant.problem = wrong
        else:
            entrant.runs.append(figures_of(outcome, entrant.size))

    def _once(
        self, workload: str, system: System, size: int, data: Path, python: Path
    ) -> tuple[Outcome, str | None]:
        settings = self.settings
        with scratch_folder(settings.folder) as work:
            job = Job(
                workload,
                system.variant,
                str(data),
                str(work),
                str(work / "rows.jsonl"),
                size,
                settings.seconds,
                settings.rate,
                settings.other_core,
            )
            outcome = run(
                f"bench.peers.{system.module}", python, job, core=settings.core, timeout_s=settings.timeout_s
            )
            if outcome.problem is not None:
                return outcome, None
            expected = self._expected(workload, data) if workload != "w6" else answer_of_fed(work / FED)
            return outcome, difference(expected, read_answer(workload, Path(job.rows)))

    def _expected(self, workload: str, data: Path) -> Answer:
        """The plain Python answer; computed once, and kept beside the data."""
        if data not in self._answers:
            path = data / "answer.jsonl"
            if not path.exists():
                with scratch_folder(self.settings.folder) as work:
                    job = Job(workload, "", str(data), str(work), str(work / "rows.jsonl"), 0)
                    python = python_of("plain", self.settings.folder)
                    outcome = run("bench.peers.plain", python, job, core=None, timeout_s=3_600)
                    if outcome.problem is not None:
                        raise RuntimeError(
                            f"The answer to {workload} could not be computed: {outcome.problem}"
                        )
                    shutil.move(job.rows, path)
            self._answers = {data: read_answer(workload, path)}
        return self._answers[data]


def answer_of_fed(path: Path) -> Answer:
    return Counter(comparable("w6", row) for row in answer_to_fed(path))


def figures_of(outcome: Outcome, size: int) -> dict[str, float]:
    found = {
        name: float(value) for name, value in outcome.figures.items() if name in UNITS and value is not None
    }
    if seconds := found.get("seconds"):
        found["events_per_s"] = float(outcome.figures["events"]) / seconds
    if fill_s := outcome.figures.get("fill_s"):
        found["fill_per_s"] = size / float(fill_s)
    # A process that ends before the first look at it has no figure.
    memory = {"peak_mb": outcome.peak_bytes / 1e6} if outcome.peak_bytes else {}
    return found | memory | {"cpu_s": outcome.cpu_s}


def begin(settings: Settings) -> Suite:
    """Says what is measured where."""
    suite = Suite(settings)
    place = "not pinned" if settings.core is None else f"every system on core {settings.core}"
    scale = (
        ""
        if settings.scale == 1
        else f" At {settings.scale:g} of the full size, where fixed costs weigh more."
    )
    load = f" Load average before the run: {os.getloadavg()[0]:.1f}."
    suite.say(f"# Benchmarks of {time.strftime('%Y-%m-%d')}", "", f"{machine()}; {place}.{scale}{load}")
    return suite
