"""An application on Kafka and Flink: capture, deployment, and nodes that serve.

::

    springline capture app.py      sources ──> topics; asks the job for checkpoints and says what each covers (cuts)
    springline deploy app.py       tables and views ──> one Flink job
    springline serve app.py --from-kafka      derived topics, cut by cut ──> answers
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from springline.errors import ConfigurationError, SourceUnavailable
from springline.runtime.embedded.barrier import Barrier
from springline.runtime.embedded.outbox import last_number
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime
from springline.settings import Settings
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App
    from springline.log.kafka.clients import Kafka
    from springline.log.kafka.cut import Deployed
    from springline.runtime.flink.coordinator import Coordinator, Mark
    from springline.runtime.flink.definition import Job
    from springline.runtime.flink.submit import FlinkEnvironment

STANDING_TIMEOUT_S = 30.0


def kafka_of(settings: Settings) -> Kafka:
    """The Kafka cluster that the settings name. Raises ConfigurationError."""
    from springline.app import load_part

    if settings.kafka is None:
        raise ConfigurationError(
            "No Kafka cluster is named.",
            hint="Set SPRINGLINE_KAFKA (or --kafka) to its bootstrap servers, host:port.",
        )
    make: type[Kafka] = load_part("springline.log.kafka.clients", "Kafka", "kafka")
    return make(settings.kafka, _options(settings.kafka_config, "Kafka", settings))


def _options(path: Path | None, whose: str, settings: Settings) -> dict[str, str]:
    """The options in a file, with their secrets; none where none is named."""
    from springline.app import load_part

    if path is None:
        return {}
    read_options = load_part("springline.log.kafka.clients", "read_options", "kafka")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The {whose} options in {path} cannot be read: {error}.",
            hint="Name a file with name=value on each line.",
        ) from error
    options: dict[str, str] = read_options(text, settings.reveal, whose)
    return options


class Capture:
    """Capture of an application into Kafka, and the coordinator of its cuts, in this process. Start it with ``with``."""

    def __init__(self, app: App, *, data: Path | str | None = None, makes_cuts: bool = True) -> None:
        from springline.language import language
        from springline.log.kafka.publisher import KafkaPublisher

        settings = app.settings
        self.kafka = kafka_of(settings)
        self._publisher = KafkaPublisher(app.name, self.kafka, partitions=settings.kafka_partitions)
        definition = Definition(app.name, tuple(app.sources.values()), publisher=self._publisher)
        self.runtime = EmbeddedRuntime(
            definition, DataFolder(data or settings.data), language(), settings.runtime_options()
        )
        self._sources = Barrier(app.sources, self.runtime.progress)
        self.coordinator: Coordinator | None = None
        if makes_cuts:
            self.coordinator = self._coordinator(app, settings)

    def _coordinator(self, app: App, settings: Settings) -> Coordinator:
        from springline.runtime.flink.coordinator import Coordinator
        from springline.runtime.flink.jobs import FlinkJobs

        return Coordinator(
            app.name, self.kafka, FlinkJobs(), self.standing, interval_s=settings.cut_interval_s
        )

    def start(self) -> None:
        self.runtime.start()
        if self.coordinator is not None:
            self.coordinator.start()

    def stop(self) -> None:
        """Idempotent."""
        if self.coordinator is not None:
            self.coordinator.stop()
        self.runtime.stop()
        self._sources.close()

    def check(self) -> None:
        """Raises what has stopped publishing or the cuts for good."""
        publishing = self.runtime.publishing
        for error in (
            None if publishing is None else publishing.error,
            None if self.coordinator is None else self.coordinator.error,
            self.runtime.loop_error,
        ):
            if error is not None and not error.transient:
                raise error

    def __enter__(self) -> Capture:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def standing(self) -> Iterator[Mark]:
        """Where the sources are now, once all of it is in Kafka; of a source that does not answer, how far it was read, and as of when.
        Nothing more is published while the body runs. Raises SourceUnavailable."""
        from springline.runtime.flink.coordinator import Mark

        runtime, deadline_s = self.runtime, time.monotonic() + STANDING_TIMEOUT_S
        asked_at_us = time.time_ns() // 1_000
        required, _ = self._sources.current_positions(deadline_s)
        progress = runtime.progress
        if not progress.wait_until(lambda: progress.reached.applied.covers(required), STANDING_TIMEOUT_S):
            raise SourceUnavailable(
                f"What the sources hold was not read within {STANDING_TIMEOUT_S:g} s.",
                hint="See `springline status`.",
            )
        with runtime.read() as snapshot:
            number = last_number(snapshot.connection)
            ages = snapshot.ages()
        tables = {
            name: one for name, one in runtime.schemas().items() if name.split(".")[0] in runtime.source_names
        }
        assert runtime.publishing is not None  # Capture always publishes.
        if not runtime.publishing.wait_published(number, STANDING_TIMEOUT_S):
            raise SourceUnavailable(
                f"What was captured is not in Kafka after {STANDING_TIMEOUT_S:g} s: {runtime.publishing.error or 'it is slow'}",
                hint="See the log.",
            )
        positions = {
            source: (age.applied, asked_at_us if source in required else age.as_of_us or 0)
            for source, age in ages.items()
            if source in runtime.source_names
        }
        loading = tuple(sorted(progress.reached.loading))
        with runtime.publishing.held():
            yield Mark(asked_at_us, positions, loading, self._publisher.ends(), tables)


def compiled(app: App, generation: int = 1) -> Job:
    """The application's job. Connects to its sources, to learn what their tables are. Raises ConfigurationError, SourceUnavailable."""
    from springline.runtime.flink.compile import compile_job
    from springline.runtime.flink.configuration import configured
    from springline.runtime.flink.definition import JobDefinition, KafkaSettings

    settings, kafka = app.settings, kafka_of(app.settings)
    configuration = configured(settings.flink_parallelism, _options(settings.flink_config, "Flink", settings))
    tables = tuple(schema for source in app.sources.values() for schema in source.tables())
    definition = JobDefinition(app.name, tables, tuple(app.views), app.event_times, app.declared_functions)
    return compile_job(
        definition, KafkaSettings(kafka.bootstrap, kafka.java()), generation, configuration=configuration
    )


def flink_environment(settings: Settings) -> FlinkEnvironment:
    """What jobs are submitted with. Raises ConfigurationError."""
    from springline.runtime.flink.submit import FlinkEnvironment

    if settings.flink_python is None:
        raise ConfigurationError(
            "No Flink Python environment is named.",
            hint="Set SPRINGLINE_FLINK_PYTHON; docs/cluster.md says how to make one.",
        )
    return FlinkEnvironment(
        settings.flink_python,
        settings.flink or "http://127.0.0.1:8081",
        tuple(map(Path, settings.flink_jars)),
    )


@dataclass(frozen=True)
class Deployment:
    """What ``deploy`` did: ``action`` is keep, resume or start."""

    action: str
    deployed: Deployed


def deploy(app: App, *, restart: bool = False) -> Deployment:
    """Brings the application's job to the cluster. The same statements go on; others become a new generation, with topics of its own, which
    capture switches to when it has caught up. Raises ConfigurationError, SourceError."""
    from springline.log.kafka.topics import control_topics, ensure_topics, table_topics
    from springline.runtime.flink import deployment

    settings, kafka = app.settings, kafka_of(app.settings)
    if settings.flink is None or settings.flink_python is None:
        missing, variable = (
            ("cluster", "FLINK") if settings.flink is None else ("Python environment", "FLINK_PYTHON")
        )
        raise ConfigurationError(
            f"No Flink {missing} is named.",
            hint=f"Set SPRINGLINE_{variable}; docs/cluster.md says how to make one.",
        )
    job = compiled(app)
    schemas = [schema for source in app.sources.values() for schema in source.tables()]
    ensure_topics(
        kafka, [*control_topics(app.name), *table_topics(app.name, schemas, settings.kafka_partitions)]
    )
    target = deployment.Target(
        kafka, settings.flink, settings.flink_python, tuple(map(Path, settings.flink_jars))
    )
    action, deployed = deployment.deploy(
        lambda generation: compiled(app, generation) if generation != 1 else job,
        target,
        inputs=tuple(one.name for one in table_topics(app.name, schemas, 1)),
        restart=restart,
        partitions=settings.kafka_partitions,
    )
    return Deployment(action, deployed)


def serving(app: App) -> Definition:
    """The application as a node serves it: every table and view comes from the derived topics. Raises ConfigurationError."""
    from springline.log.kafka.follower import ClusterFollower

    source = ClusterFollower(app.name, kafka_of(app.settings))
    return replace(app.definition(), sources=(source,), views=(), event_times={})
