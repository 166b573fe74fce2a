"""Figures: medians, ratios, tables, and the two files of the last run."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

OURS = "springline"


@dataclass(frozen=True)
class Result:
    """One figure: the median over the repetitions."""

    workload: str
    system: str
    metric: str
    value: float
    unit: str


@dataclass(frozen=True)
class Row:
    """One system's line in a workload's table. ``note``: why there are no figures, or what to know about them."""

    system: str
    kind: str
    figures: dict[str, float]
    note: str = ""


UNITS = {
    "events_per_s": "events/s",
    "seconds": "s",
    "peak_mb": "MB",
    "cpu_s": "s",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "max_ms": "ms",
    "fill_per_s": "events/s",
    "changes_per_tick": "changes",
    "state_mb": "MB",
}

HEADS = {
    "events_per_s": "events/s",
    "seconds": "s",
    "peak_mb": "peak MB",
    "cpu_s": "CPU s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "fill_per_s": "filled/s",
    "changes_per_tick": "changes/tick",
    "state_mb": "state MB",
}

SMALLER_IS_BETTER = frozenset({"p50_ms", "p99_ms", "peak_mb"})


def medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of every figure that all runs have; of memory, the largest."""
    names = [name for name in UNITS if all(name in run for run in runs)]
    return {
        name: max(run[name] for run in runs)
        if name == "peak_mb"
        else statistics.median(run[name] for run in runs)
        for name in names
    }


def ratio(ours: Row | None, row: Row, metric: str) -> str:
    """How many times better ours is than ``row``."""
    if ours is None or row is ours or not ours.figures.get(metric) or not row.figures.get(metric):
        return ""
    mine, theirs = ours.figures[metric], row.figures[metric]
    times = theirs / mine if metric in SMALLER_IS_BETTER else mine / theirs
    return f"{times:.2f} ×"


def table(rows: Sequence[Row], metrics: Sequence[str], main: str | None) -> list[str]:
    """A workload's table in Markdown. Where ``main`` names a metric, two columns say how many times better ours is by it, and how many
    times the memory of ours each other system takes."""
    ours = next((row for row in rows if row.system == OURS and row.figures), None)
    compared = [] if main is None else [main, "peak_mb"]
    titles = [f"{OURS} is better by", "memory of ours"][: len(compared)]
    lines = [
        line(["system", "kind", *(HEADS[name] for name in metrics), *titles, ""]),
        line(["---", "---", *["---:"] * (len(metrics) + len(titles)), "---"]),
    ]
    for row in rows:
        values = [as_number(row.figures.get(name)) for name in metrics]
        ratios = [ratio(ours, row, name) for name in compared]
        lines.append(line([row.system, row.kind, *values, *ratios, row.note]))
    return lines


def line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def machine() -> str:
    """The machine in a few words."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def write(folder: Path, results: Sequence[Result], lines: Sequence[str]) -> None:
    """Writes ``latest.json`` and ``latest.md``: what this run found, and nothing of an older one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(
        json.dumps([asdict(one) for one in results], indent=1, ensure_ascii=False) + "\n"
    )
    (folder / "latest.md").write_text("\n".join(lines) + "\n")
