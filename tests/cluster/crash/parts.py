"""The application's two kinds of processes, as `springline capture` and `springline serve` start them, and what a node says over HTTP."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.processes import ServerProcess, free_ports, lock_folder

ROOT: Final = Path(__file__).resolve().parents[3]
APP: Final = Path(__file__).with_name("app.py")
LATEST_S: Final = 240.0
"""The deadline of everything that has to come back by itself. It is generous: it tells a stop from a delay."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count(1)


def variables(name: str, dsn: str, kafka: KafkaBroker, flink: FlinkCluster | None) -> dict[str, str]:
    """What the application's processes have in their environment."""
    made = {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "CRASH_NAME": name,
        "CRASH_DSN": dsn,
        "SPRINGLINE_KAFKA": kafka.bootstrap,
        "SPRINGLINE_KAFKA_PARTITIONS": "2",
        "SPRINGLINE_EMBEDDER": "hashing",
        "SPRINGLINE_CUT_INTERVAL_S": "0.3",
    }
    if flink is not None:
        connector = next(Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-kafka-*.jar"))
        made |= {
            "SPRINGLINE_FLINK": flink.rest,
            "SPRINGLINE_FLINK_PYTHON": str(flink.python),
            "SPRINGLINE_FLINK_JARS": str(connector),
        }
    return made


class Part:
    """One process of the application, which can be started again with the same data folder after it is killed."""

    def __init__(self, folder: Path, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.folder = folder
        self._command = command
        self._environment = dict(environment)
        self._process: ServerProcess | None = None

    @property
    def log(self) -> Path:
        return self.folder / "part.log"

    def start(self, *, die_at: str = "", mutant: str = "") -> None:
        if self._process is not None:
            self._process.kill()
        program = [sys.executable, "-m", "tests.cluster.crash.program"]
        program += ["--die-at", die_at] if die_at else []
        program += ["--mutant", mutant] if mutant else []
        command = [*program, "--", *self._command, str(APP), "--data", str(self.folder / "data")]
        lock = lock_folder(self.folder)
        try:
            self._process = ServerProcess(
                self.folder.name, command, log=self.log, lock=lock, environment=self._environment
            )
        finally:
            os.close(lock)

    def kill(self) -> None:
        """SIGKILL. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """SIGTERM, and SIGKILL where it does not end. Idempotent."""
        if self._process is not None:
            self._process.end()

    def tell(self, *command: str) -> None:
        """Runs another command on its data folder."""
        line = [sys.executable, "-m", "tests.cluster.crash.program", "--", *command]
        subprocess.run(
            [*line, "--data", str(self.folder / "data")],
            env={**os.environ, **self._environment},
            check=True,
            capture_output=True,
        )

    def lives(self) -> bool:
        return self._process is not None and self._process.lives()

    def wait_gone(self, timeout_s: float) -> bool:
        """Whether it ends by itself."""
        deadline = time.monotonic() + timeout_s
        while self.lives() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.lives()

    def said(self, lines: int = 25) -> str:
        """The last lines that it printed."""
        return "" if self._process is None else self._process.log_tail(lines)


class Refused(Exception):
    """A node that does not answer, or says that it cannot answer as asked."""


class Node(Part):
    """A serving node, at a port of its own that it keeps."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = free_ports(1)[0]
        super().__init__(folder, ["serve", "--from-kafka", "--port", str(self.port)], environment)

    def query(self, sql: str, *, require: str = "now", deadline_ms: int = 5_000) -> dict[str, Any]:
        """What it answers. Raises Refused."""
        body = {"sql": sql, "require": require, "deadline_ms": deadline_ms, "limit": 1_000}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/query",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with _direct.open(request, timeout=deadline_ms / 1_000 + 30) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.read().decode(errors="replace")[:300]) from None
        except (OSError, http.client.HTTPException) as error:
            # It does not run; or it was killed while it answered.
            raise Refused(str(error)) from None

    def wait_for(self, sql: str, timeout_s: float = LATEST_S) -> dict[str, Any]:
        """An answer that covers now, as soon as there is one. Raises Refused, with the last reason, where none comes."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self.query(sql)
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def capture(folder: Path, environment: Mapping[str, str], *options: str) -> Part:
    return Part(folder, ["capture", *options], environment)


def new_name() -> str:
    return f"crash{next(_numbers)}-{time.time_ns() // 1_000_000 % 1_000_000}"
