"""What a run measures, where and how often: read from the environment once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

SIZES: Final = {"w1": 1_000_000, "w2": 2_000_000, "w3": 800_000, "nexmark": 200_000}
"""Events of each workload at ``BENCH_SCALE=1``."""

FEWEST_EVENTS: Final = 100

FAMILIES: Final = ("springline", "pathway", "pyflink", "bytewax", "plain", "duckdb")
"""What PEERS chooses from; each is a module of ``bench.peers``."""

KEYS: Final = ("10000", "100000", "1000000", "10000000")
"""Table sizes of the curve."""


@dataclass(frozen=True)
class Settings:
    """``core`` is the one core that every measured system runs on; None where the platform cannot pin."""

    scale: float
    repetitions: int
    core: int | None
    other_core: int | None
    peers: frozenset[str] | None
    seconds: float
    rate: int
    keys: tuple[int, ...]
    timeout_s: float
    folder: Path
    results: Path

    def events(self, workload: str, share: float = 1.0) -> int:
        return max(FEWEST_EVENTS, int(SIZES[workload] * self.scale * share))

    def wants(self, family: str) -> bool:
        """Whether a family of systems was asked for."""
        return self.peers is None or family in self.peers

    @staticmethod
    def load() -> Settings:
        """Reads BENCH_SCALE, BENCH_REPETITIONS, BENCH_CORE, BENCH_SECONDS, BENCH_RATE, BENCH_KEYS, BENCH_TIMEOUT, BENCH_FOLDER,
        BENCH_RESULTS and PEERS. Raises ValueError for what is no number, and for a peer that there is not."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        chosen = os.environ.get("BENCH_CORE")
        core = int(chosen) if chosen else (cores[-1] if cores else None)
        others = [one for one in cores if one != core]
        peers = _words("PEERS")
        if unknown := [name for name in peers if name not in FAMILIES]:
            raise ValueError(f"There is no peer {unknown[0]!r}; there are: {', '.join(FAMILIES)}.")
        return Settings(
            scale=float(os.environ.get("BENCH_SCALE", "1")),
            repetitions=int(os.environ.get("BENCH_REPETITIONS", "3")),
            core=core,
            other_core=others[0] if others else core,
            peers=frozenset(peers) if peers else None,
            seconds=float(os.environ.get("BENCH_SECONDS", "20")),
            rate=int(os.environ.get("BENCH_RATE", "5000")),
            keys=tuple(int(one) for one in _words("BENCH_KEYS") or KEYS if one != "none"),
            timeout_s=float(os.environ.get("BENCH_TIMEOUT", "900")),
            folder=Path(os.environ.get("BENCH_FOLDER", ROOT / ".bench")).resolve(),
            results=Path(os.environ.get("BENCH_RESULTS", ROOT / "bench" / "results")).resolve(),
        )


def _words(variable: str) -> list[str]:
    return os.environ.get(variable, "").replace(",", " ").split()
