"""Writes the golden tables' types and results with a real Flink in batch mode, or compares a sample of them.

``python -m tests.golden.flink`` evaluates every expression and writes the tables; ``--new`` only those without an answer;
``--check N`` evaluates N of them, spread over all tables, and compares. The environment with Flink is made once, in
``.golden``. A check where Flink cannot be installed says so and passes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.golden.notation import Line, Table, read_tables

ROOT = Path(__file__).parents[3]
ENVIRONMENT = Path(os.environ.get("SPRINGLINE_GOLDEN", ROOT / ".golden"))
VERSION = "2.3.0"
PACKAGES = (f"apache-flink=={VERSION}", "setuptools<81")
PYTHONS = ("python3.11", "python3.12", "python3.10")
INSTALL_SECONDS = 1_200
RUN_SECONDS = 3_600


class FlinkMissing(Exception):
    """Flink cannot be run here, and why."""


def flink_python() -> Path:
    """The interpreter of Flink's environment, which is made where it is not there yet."""
    python = ENVIRONMENT / "bin" / "python"
    mark = ENVIRONMENT / f"flink-{VERSION}"
    if shutil.which("java") is None:
        raise FlinkMissing("there is no Java (Debian, Ubuntu: apt install openjdk-17-jre-headless)")
    if mark.exists():
        return python
    base = next((found for name in PYTHONS if (found := shutil.which(name))), None)
    if base is None:
        raise FlinkMissing(f"Flink {VERSION} wants one of {', '.join(PYTHONS)}")
    print(f"Installing Flink {VERSION} into {ENVIRONMENT.name} (once; some minutes) ...", flush=True)
    try:
        subprocess.run([base, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True, capture_output=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        raise FlinkMissing(f"it could not be installed: {detail.decode()[-300:].strip() or error}") from error
    mark.touch()
    return python


def evaluate(lines: list[tuple[Table, Line]]) -> list[tuple[str, str]]:
    """Flink's types and results."""
    python = flink_python()
    request = json.dumps([[table.over, line.expression] for table, line in lines])
    # Flink starts `python` from the path; it has to be the one with Flink in it.
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "answers.json")
        command = [str(python), str(Path(__file__).with_name("evaluate.py")), str(target)]
        subprocess.run(
            command, input=request, text=True, check=True, timeout=RUN_SECONDS, cwd=folder, env=environment
        )
        return [(kind, result) for kind, result in json.loads(target.read_text())]


def write(tables: list[Table], *, new: bool) -> int:
    wanted = [
        (table, line)
        for table in tables
        for line in table.lines
        if line.expression and (not new or not line.type)
    ]
    answers = evaluate(wanted) if wanted else []
    for table in tables:
        mine = {
            line.expression: answer
            for (other, line), answer in zip(wanted, answers, strict=True)
            if other is table
        }
        table.with_answers(mine).write()
    print(f"{len(answers)} expressions evaluated by Flink {VERSION}.")
    return 0


def check(tables: list[Table], size: int) -> int:
    every = [(table, line) for table in tables for line in table.lines if line.expression]
    sample = random.Random(VERSION).sample(every, min(size, len(every)))
    try:
        answers = evaluate(sample)
    except FlinkMissing as error:
        print(f"golden-check: left out, Flink {VERSION} cannot be run here: {error}")
        return 0
    wrong = [
        f"{table.path.name}: {line.expression}\n  committed: {line.type} | {line.result}\n  Flink:     {kind} | {result}"
        for (table, line), (kind, result) in zip(sample, answers, strict=True)
        if (line.type, line.result) != (kind, result)
    ]
    print(
        "\n".join(
            [*wrong, f"{len(sample)} of {len(every)} golden lines evaluated anew, {len(wrong)} differ."]
        )
    )
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Golden tables from a real Flink in batch mode.")
    parser.add_argument("--new", action="store_true", help="only expressions that have no answer yet")
    parser.add_argument("--check", type=int, metavar="N", help="compare N of them with the committed tables")
    options = parser.parse_args()
    tables = read_tables()
    if options.check is not None:
        return check(tables, options.check)
    try:
        return write(tables, new=options.new)
    except FlinkMissing as error:
        print(f"Flink {VERSION} cannot be run here: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
