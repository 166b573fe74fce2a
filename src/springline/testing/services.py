"""Kafka and Flink on one machine: ``python -m springline.testing.services``, by ``make services`` and ``make services-fetch``.

``fetch`` gets what they need. ``run`` starts a broker and a cluster, prints where they are, and stops both in order at
Ctrl-C. Their data stay in a folder: topics and, with ZooKeeper, the jobs that were running are there again at the next run.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from springline.errors import ConfigurationError
from springline.testing import artefacts
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker

_LOOK_EVERY_S: Final = 0.5


def fetch() -> None:
    """Fetches what is not there yet, and says so."""
    print(
        f"Fetching what is missing of Kafka and Flink {artefacts.FLINK_VERSION} into {artefacts.folder()} "
        "(once; a minute or two) ...",
        flush=True,
    )
    artefacts.fetch()
    print("All there.", flush=True)


def run(folder: Path, *, taskmanagers: int, slots: int, port: int | None) -> None:
    """Starts both, prints where they are, returns never: it ends with KeyboardInterrupt, which stops them, or with
    ConfigurationError where one of them ends by itself."""
    fetch()
    broker = KafkaBroker(folder / "kafka", port=port)
    cluster = FlinkCluster(folder / "flink", taskmanagers=taskmanagers, slots=slots, zookeeper=True)
    with contextlib.ExitStack() as running:
        print("Starting Kafka ...", flush=True)
        running.enter_context(broker)
        print("Starting Flink ...", flush=True)
        running.enter_context(cluster)
        print(described(broker, cluster), flush=True)
        try:
            _watch(broker, cluster)
        finally:
            print("Stopping ...", flush=True)


def described(broker: KafkaBroker, cluster: FlinkCluster) -> str:
    """What somebody who tries them has to know."""
    names = ("FLINK_CONF_DIR", "FLINK_LIB_DIR")
    variables = " ".join(f"{name}={shlex.quote(cluster.environment[name])}" for name in names)
    return f"""
Kafka   {broker.bootstrap}
Flink   {cluster.rest}

A PyFlink job runs here with
  {variables} {shlex.join(cluster.flink_run)} -py job.py

Logs: {broker.log_path} and {cluster.logs}
Ctrl-C stops them. They keep their data in {broker.folder.parent}: remove it to begin anew."""


def _watch(broker: KafkaBroker, cluster: FlinkCluster) -> NoReturn:
    expected = len(cluster.taskmanagers)
    while True:
        if broker.pid is None:
            raise ConfigurationError(f"Kafka has ended. The end of its log:\n{broker.log_tail()}\n")
        if cluster.jobmanager is None or len(cluster.taskmanagers) < expected:
            raise ConfigurationError("A process of Flink has ended.", hint=f"See its log in {cluster.logs}.")
        time.sleep(_LOOK_EVERY_S)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="Kafka and Flink on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="get what they need")
    runs = commands.add_parser("run", help="start them, and stop them at Ctrl-C")
    runs.add_argument("--folder", type=Path, help="where their data lie (.services/data)")
    runs.add_argument("--taskmanagers", type=int, default=1, help="how many of them (1)")
    runs.add_argument("--slots", type=int, default=8, help="of each TaskManager (8)")
    runs.add_argument("--port", type=int, help="Kafka's; otherwise a free one")
    options = parser.parse_args()
    # Ctrl-C too: a shell that starts this in its background has it ignored.
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _interrupt)
    try:
        if options.command == "fetch":
            fetch()
        else:
            folder: Path = options.folder or artefacts.folder() / "data"
            run(folder, taskmanagers=options.taskmanagers, slots=options.slots, port=options.port)
    except KeyboardInterrupt:
        return 0
    except ConfigurationError as error:
        print(f"{error.message}\n{error.hint or ''}".strip(), file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
