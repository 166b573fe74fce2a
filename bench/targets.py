"""What the measured figures are held against: ratios to peers in the same run, never absolute rates of another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.results import OURS, Result, line


@dataclass(frozen=True)
class Target:
    """``value`` gives the figure, or None where the run has not what it needs. ``least``: it is to reach this; otherwise ``most``."""

    name: str
    value: Callable[[Figures], float | None]
    least: float | None = None
    most: float | None = None
    unit: str = "×"

    def is_met(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    @property
    def wanted(self) -> str:
        return f"≥ {self.least:g} {self.unit}" if self.least is not None else f"≤ {self.most:g} {self.unit}"


class Figures:
    """The run's figures by workload, system and metric."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._found = {(one.workload, one.system, one.metric): one.value for one in results}

    def get(self, workload: str, system: str, metric: str = "events_per_s") -> float | None:
        return self._found.get((workload, system, metric))

    def times(self, workload: str, system: str) -> float | None:
        """Our rate over another system's."""
        return quotient(self.get(workload, OURS), self.get(workload, system))

    def memory(self, system: str) -> float | None:
        """Our peak memory over another system's: the worst of the workloads that both did."""
        shares = [
            quotient(self.get(workload, OURS, "peak_mb"), self.get(workload, system, "peak_mb"))
            for workload in ("w1", "w2", "w3")
        ]
        return max((one for one in shares if one is not None), default=None)


def quotient(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def _best_peer(figures: Figures) -> float | None:
    found = [figures.times("w1", system) for system in ("Pathway, streaming", "PyFlink SQL", "Bytewax")]
    return min((one for one in found if one is not None), default=None)


def _large_table(figures: Figures) -> float | None:
    return quotient(figures.get("curve", "10,000,000 keys"), figures.get("curve", "100,000 keys"))


TARGETS: Sequence[Target] = (
    Target("w1, over the best peer that is run incrementally", _best_peer, least=1.5),
    Target("w2, over PyFlink SQL", lambda figures: figures.times("w2", "PyFlink SQL"), least=3),
    Target(
        "w3, over Pathway's single batch", lambda figures: figures.times("w3", "Pathway, static"), least=1
    ),
    Target(
        "peak memory, of Pathway's (streaming)",
        lambda figures: figures.memory("Pathway, streaming"),
        most=0.333,
    ),
    Target("peak memory, of PyFlink's", lambda figures: figures.memory("PyFlink SQL"), most=0.333),
    Target(
        "w6, p50 from append to visible row",
        lambda figures: figures.get("w6", OURS, "p50_ms"),
        most=2,
        unit="ms",
    ),
    Target("w6, p99", lambda figures: figures.get("w6", OURS, "p99_ms"), most=8, unit="ms"),
    Target("rate with 10,000,000 keys, of the rate with 100,000", _large_table, least=0.333),
)


def judged(results: Iterable[Result]) -> list[str]:
    """A table of the targets that this run can judge; empty where there is none."""
    figures = Figures(results)
    rows: list[str] = []
    for target in TARGETS:
        value = target.value(figures)
        if value is not None:
            verdict = "met" if target.is_met(value) else "**missed**"
            rows.append(line([target.name, target.wanted, f"{value:.2f} {target.unit}", verdict]))
    head = [line(["target", "wanted", "this run", ""]), line(["---", "---:", "---:", "---"])]
    return ["", "## Targets", "", *head, *rows] if rows else []
