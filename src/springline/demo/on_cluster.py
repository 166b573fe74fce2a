"""The demo on Kafka and Flink: its application is one job, capture is a process of its own, and a serving node answers.

The services are those that the settings name; where they name none, a broker and a cluster of the demo's own, in its folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from springline import cluster
from springline.demo import parts
from springline.errors import ConfigurationError
from springline.testing.processes import ServerProcess, lock_folder

if TYPE_CHECKING:
    from springline.app import App, Running
    from springline.demo.run import Options
    from springline.settings import Settings

SLOTS = 8


@dataclass(frozen=True)
class Declared:
    """What the application is made of, here and in capture's process. ``data``: the folder of the tau airline's data set, None for the
    blizzard."""

    name: str
    dsn: str
    documents: Path
    data: Path | None

    def application(self, options: Options, settings: Settings | None = None) -> App:
        scenario = parts.scenario(self.data)
        return parts.application(
            scenario, self.dsn, self.documents, options, name=self.name, settings=settings
        )

    def write(self, folder: Path) -> Path:
        """An ``app.py`` for the command line, which gives the same application."""
        data = None if self.data is None else str(self.data.absolute())
        path = folder / "app.py"
        path.write_text(
            f'''"""The demo's application, for `springline capture`, `springline explain --runtime flink` and others."""

from pathlib import Path

from springline.demo.on_cluster import Declared
from springline.demo.run import Options

app = Declared(
    name={self.name!r},
    dsn={self.dsn!r},
    documents=Path({str(self.documents)!r}),
    data={"None" if data is None else f"Path({data!r})"},
).application(Options())
''',
            encoding="utf-8",
        )
        return path


@contextlib.contextmanager
def services(settings: Settings, folder: Path, say: Callable[[str], None]) -> Iterator[Settings]:
    """The settings with a Kafka and a Flink in them. Raises ConfigurationError where one is named without the other, or none can be had."""
    if settings.kafka is not None and settings.flink is not None:
        yield settings
        return
    if settings.kafka is not None or settings.flink is not None:
        named, missing = ("Kafka", "FLINK") if settings.flink is None else ("Flink", "KAFKA")
        raise ConfigurationError(
            f"A {named} cluster is named, and no {missing.capitalize()}.",
            hint=f"Set SPRINGLINE_{missing} too, or neither for services of the demo's own.",
        )
    from springline.testing import artefacts
    from springline.testing.flink import FlinkCluster
    from springline.testing.kafka import KafkaBroker

    say("     Kafka and Flink (fetched the first time) …")
    artefacts.fetch()
    with (
        KafkaBroker(folder / "kafka") as broker,
        FlinkCluster(folder / "flink", slots=SLOTS, zookeeper=True) as flink,
    ):
        jars = tuple(
            str(one) for one in Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-*.jar")
        )
        yield replace(
            settings, kafka=broker.bootstrap, flink=flink.rest, flink_python=flink.python, flink_jars=jars
        )


def name(folder: Path, scenario: str) -> str:
    """The application's name in Kafka. It is drawn once for each folder: the topics of a demo that was removed belong to nobody any more."""
    kept = folder / "application"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{scenario}-{secrets.token_hex(3)}", encoding="utf-8")
    return kept.read_text(encoding="utf-8")


@contextlib.contextmanager
def started(
    app: App, declared: Declared, folder: Path, say: Callable[[str], None]
) -> Iterator[tuple[Running, Callable[[], None]]]:
    """The application on its cluster, as the node that serves it, and a check that raises ConfigurationError where capture has ended."""
    deployed = cluster.deploy(app)
    say(f"     Job {deployed.deployed.job_id} ({deployed.action}).")
    lock = lock_folder(folder / "captured")
    try:
        process = ServerProcess(
            "Capture",
            [
                sys.executable,
                "-m",
                "springline.cli.main",
                "capture",
                str(declared.write(folder)),
                "--data",
                str(folder / "capture"),
            ],
            log=folder / "captured" / "capture.log",
            lock=lock,
            environment=_settings(app.settings),
        )
    finally:
        os.close(lock)
    try:
        with app.start(data=folder / "springline", definition=cluster.serving(app)) as running:
            yield running, lambda: process.wait_until(lambda: True, 0)
    finally:
        process.end()


def _settings(settings: Settings) -> dict[str, str]:
    """What capture has to know of them."""
    found = {
        "SPRINGLINE_KAFKA": settings.kafka or "",
        "SPRINGLINE_FLINK": settings.flink or "",
        "SPRINGLINE_KAFKA_PARTITIONS": str(settings.kafka_partitions),
        "SPRINGLINE_CUT_INTERVAL_S": str(settings.cut_interval_s),
    }
    return (
        found
        if settings.kafka_config is None
        else {**found, "SPRINGLINE_KAFKA_CONFIG": str(settings.kafka_config)}
    )
