"""Runs one measured process on its core, and watches its memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psutil

from bench.environments import variables
from bench.peers.common import MEASURED, Job
from bench.settings import ROOT

SAMPLE_S = 0.05
FEEDER = "bench.feeder"


@dataclass
class Outcome:
    """What one process reported. ``peak_bytes``: the largest sum of resident memory over the process and its children, the feeder
    left out; ``problem``: why there are no figures."""

    figures: dict[str, Any] = field(default_factory=dict[str, Any])
    peak_bytes: int = 0
    cpu_s: float = 0.0
    problem: str | None = None


class Watch:
    """Samples a process tree until ``stop``; its memory only until ``measured`` exists."""

    def __init__(self, pid: int, measured: Path) -> None:
        self._process = psutil.Process(pid)
        self._measured = measured
        self._stop = threading.Event()
        self._cpu: dict[int, float] = {}
        self.peak_bytes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            with contextlib.suppress(psutil.Error):
                tree = [self._process, *self._process.children(recursive=True)]
                held = sum(map(self._sample, tree))
                if not self._measured.exists():
                    self.peak_bytes = max(self.peak_bytes, held)

    def _sample(self, process: psutil.Process) -> int:
        try:
            if FEEDER in process.cmdline():
                return 0
            times = process.cpu_times()
            self._cpu[process.pid] = times.user + times.system
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0

    def stop(self) -> float:
        """Seconds of processor time of the whole tree, as last seen."""
        self._stop.set()
        self._thread.join()
        return sum(self._cpu.values())


def pinned(core: int | None) -> Callable[[], None] | None:
    if core is None or not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def confined_to(core: int | None) -> Iterator[None]:
    """Keeps this process on one core, off the measured one, while it starts and watches others."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """An empty folder on the disk that is measured, not in memory."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder / "work"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def run(module: str, python: Path, job: Job, *, core: int | None, timeout_s: float) -> Outcome:
    """Runs ``module`` with ``job``; what it reported, or the last line that it said before it failed."""
    errors = Path(job.work) / "stderr.txt"
    with errors.open("w") as said:
        process = subprocess.Popen(
            [str(python), "-m", module, job.to_json()],
            cwd=ROOT,
            env=variables(python),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
            preexec_fn=pinned(core),
        )
        watch = Watch(process.pid, Path(job.work) / MEASURED)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            watch.stop()
            return Outcome(problem=f"did not finish within {timeout_s:g} s")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    cpu_s = watch.stop()
    figures = _report(output)
    if figures is None:
        return Outcome(problem=_last_words(errors) or f"ended with status {process.returncode} and no report")
    return Outcome(figures, watch.peak_bytes, cpu_s, figures.get("skip"))


def _report(output: str) -> dict[str, Any] | None:
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                return cast("dict[str, Any]", json.loads(line))
    return None


def _last_words(errors: Path) -> str:
    lines = [line.strip() for line in errors.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or "Exception" in line]
    return (telling or lines or [""])[-1][:300]
