"""Each peer's own virtual environment: made when it is first needed, from ``bench/peers/NAME.txt``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.settings import ROOT

NEEDS_JAVA = frozenset({"pyflink"})


class Unavailable(Exception):
    """A peer that cannot be run here; the text says why, in one line."""


def python_of(peer: str, folder: Path) -> Path:
    """The interpreter that runs ``peer``: this one where the peer has no requirements of its own. Raises Unavailable."""
    requirements = ROOT / "bench" / "peers" / f"{peer}.txt"
    if not requirements.exists():
        return Path(sys.executable)
    if peer in NEEDS_JAVA and shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise Unavailable("needs Java 17, and there is no `java` on the path")
    home = folder / "environments" / peer
    python = home / "bin" / "python"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    stamp = home / "installed"
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"   making the environment of {peer} (once; minutes for the large ones) ...", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)], peer)
    _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], peer)
    stamp.write_text(wanted)
    return python


def variables(python: Path) -> dict[str, str]:
    """The variables of a peer's process: its own interpreter first on the path (Flink starts ``python`` by that name)."""
    chosen = dict(os.environ)
    chosen["PATH"] = f"{python.parent}{os.pathsep}{chosen.get('PATH', '')}"
    chosen["PYTHONPATH"] = str(ROOT)
    chosen["PYTHONHASHSEED"] = "0"
    chosen["TZ"] = "UTC"
    return chosen


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise Unavailable(f"could not be installed: {said[-1][:200]}")
