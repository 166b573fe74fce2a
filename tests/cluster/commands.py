"""``springline`` as somebody runs it: processes of its own, with what they print."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0

SHOP = """
import springline as sl

app = sl.App("{name}")
app.jsonl("shop", "{lines}", tables={{"orders": sl.JsonTable({{"id": "BIGINT", "customer": "STRING", "amount": "DECIMAL(12, 2)"}}, ["id"])}}, operation_field="op")
app.view("totals", "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM shop.orders GROUP BY customer")
"""
"""An application in which every line of a file is an order."""


class Done(NamedTuple):
    """How a command ended."""

    status: int
    output: str
    said: str
    """What it printed for people, on standard error."""

    def error(self) -> dict[str, Any]:
        """With ``--json``: the error, which is the last line."""
        return json.loads(self.said.strip().splitlines()[-1])


class Commands:
    """The commands of one application, in a folder of its own. ``settings``: environment variables."""

    def __init__(self, folder: Path, app: str, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.app = folder / "app.py"
        self.app.write_text(app)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SPRINGLINE_")}
        self.environment = {
            **kept,
            "PYTHONPATH": f"{ROOT / 'src'}",
            "SPRINGLINE_EMBEDDER": "hashing",
            "SPRINGLINE_PORT": "0",
            **settings,
        }

    def done(self, *arguments: str, timeout_s: float = PATIENCE_S, **settings: str) -> Done:
        """Runs a command to its end."""
        found = subprocess.run(
            [sys.executable, "-m", "springline.cli.main", *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**self.environment, **settings},
            timeout=timeout_s,
        )
        return Done(found.returncode, found.stdout, found.stderr)

    def start(self, *arguments: str, data: str, **settings: str) -> Running:
        """Starts one that runs until it is stopped; its data are in a folder of that name."""
        return Running(self, arguments, {"SPRINGLINE_DATA": str(self.folder / data), **settings})

    def query(self, sql: str, *, data: str, require: str = "now") -> Any:
        """Rows, or the error, of a node."""
        freshness = ["--require", require] if require != "none" else ["--require", "none"]
        done = self.done(
            "query",
            sql,
            "--json",
            *freshness,
            SPRINGLINE_DATA=str(self.folder / data),
            SPRINGLINE_DEADLINE_MS="60000",
        )
        return json.loads(done.output)["rows"] if done.status == 0 else done.error()


class Running:
    """A process. Use it with ``with``: it is stopped with SIGTERM, and killed where that takes too long."""

    def __init__(self, commands: Commands, arguments: tuple[str, ...], settings: Mapping[str, str]) -> None:
        self._log = commands.folder / f"{'-'.join(arguments)}-{time.time_ns()}.log".replace("/", "_")
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "springline.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=commands.folder,
                env={**commands.environment, **settings},
            )

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, text: str, *, after: int = 0) -> None:
        """Waits until it has printed a text, behind its first ``after`` characters."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.printed[after:]:
            assert self._process.poll() is None, self.printed
            assert time.monotonic() < deadline, self.printed
            time.sleep(0.1)

    def ended(self) -> tuple[int, str]:
        """Its status and what it printed, once it has ended by itself."""
        return self._process.wait(PATIENCE_S), self.printed

    def stop(self) -> int:
        """Idempotent; its status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
