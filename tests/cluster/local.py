"""An application on the session's Kafka and Flink, in this process: its job, capture, and nodes that serve."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from springline import cluster
from springline.app import App, Running
from springline.runtime.flink.rest import FINISHED, FlinkRest
from springline.settings import Settings
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker

_numbers = itertools.count(1)
DEADLINE_MS = 60_000.0


class Local:
    """One application. ``declare`` makes it anew, as a program that is started again does; each has the same name and topics of its own."""

    def __init__(
        self,
        kafka: KafkaBroker,
        flink: FlinkCluster,
        folder: Path,
        declare: Callable[[App], None],
        *,
        cut_interval_s: float = 0.3,
    ) -> None:
        self.name = f"app{next(_numbers)}-{time.time_ns() // 1_000_000 % 1_000_000}"
        self.folder = folder
        self.declare = declare
        connector = next(Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-kafka-*.jar"))
        self.settings = Settings(
            kafka=kafka.bootstrap,
            kafka_partitions=2,
            flink=flink.rest,
            flink_python=flink.python,
            flink_jars=(str(connector),),
            embedder="hashing",
            cut_interval_s=cut_interval_s,
        )
        self.rest = FlinkRest(flink.rest)

    def app(self) -> App:
        app = App(self.name, settings=self.settings)
        self.declare(app)
        return app

    def deploy(self, **options: Any) -> cluster.Deployment:
        return cluster.deploy(self.app(), **options)

    def capture(self, **options: Any) -> cluster.Capture:
        return cluster.Capture(self.app(), data=self.folder / "capture", **options)

    @contextlib.contextmanager
    def node(self, number: int = 1) -> Iterator[Running]:
        app = self.app()
        with app.start(data=self.folder / f"node{number}", definition=cluster.serving(app)) as running:
            yield running

    def end_jobs(self) -> None:
        for job in self.rest.jobs():
            if job.name.startswith(self.name + "-") and job.state not in FINISHED:
                self.rest.cancel(job.id)


def rows(running: Running, sql: str, **options: Any) -> list[dict[str, object]]:
    """What a node answers once it covers everything that was committed before."""
    with running.runtime.read(require="now", deadline_ms=DEADLINE_MS, **options) as snapshot:
        return snapshot.query(sql).dictionaries()


def write(path: Path, *lines: dict[str, object]) -> None:
    """Appends JSON lines."""
    with path.open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
