"""The application as a process of its own, started, asked, and killed."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
END = ""


class Application:
    """One process. Its output is read by a thread, so that waiting for it has a deadline."""

    def __init__(
        self, dsn: str, folder: Path, data: Path, *, mutant: str | None = None, crash_at: str | None = None
    ) -> None:
        command = [sys.executable, "-m", "tests.crash.application"]
        command += ["--dsn", dsn, "--folder", str(folder), "--data", str(data)]
        command += ["--mutant", mutant] if mutant else []
        command += ["--crash-at", crash_at] if crash_at else []
        self._errors = (data.parent / "application.log").open("ab")
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self, timeout_s: float = 60.0) -> bool:
        """Whether it came up; False where it ended before."""
        return self._next(timeout_s) == "ready"

    def ask(self, command: str, timeout_s: float = 90.0) -> str:
        """Its answer to one command; empty where it ended."""
        self.tell(command)
        return self._next(timeout_s)

    def tell(self, command: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Idempotent."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._reader.join(5.0)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def wait_gone(self, timeout_s: float) -> bool:
        """Whether it ended by itself within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _next(self, timeout_s: float) -> str:
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return END

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._lines.put(END)
