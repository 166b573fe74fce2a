"""Every scenario file on a real Flink, between topics of a real Kafka: after each tick the rows of each view are the embedded runtime's.

Every scenario is an application of its own, and all of them are one Flink job, but for the one with Python functions. Tick by tick their changes are fed, a checkpoint is made
that covers them, and the derived topics are read as of it, once its transactions are committed.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic

with warnings.catch_warnings():
    # What the library itself does when it is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.admin import KafkaAdminClient
    from kafka.errors import KafkaError as NotAnswered

from springline.core.schema import TableSchema
from springline.core.types import Stored
from springline.errors import ConfigurationError, SourceUnavailable
from springline.log.kafka.names import table_topic
from springline.log.kafka.rows import RowCodec
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.flink.compile import compile_job
from springline.runtime.flink.configuration import defaults
from springline.runtime.flink.ddl import name
from springline.runtime.flink.definition import DerivedRelation, Job, JobDefinition, KafkaSettings, Statement
from springline.runtime.flink.gaps import DIFFERENT, REFUSED
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import FlinkEnvironment, submit
from springline.sql import Functions
from springline.testing.scenarios import Scenario, _stored_changes, cells, parse_scenario, text_table
from springline.testing.sql_harness import SqlHarness
from tests.cluster import python_functions
from tests.cluster.gaps import GAPS

FILES: Final = sorted((Path(__file__).parents[1] / "scenarios").glob("*.md"))
FUNCTIONS: Final = Functions()
FUNCTIONS.add_scalar("domain", python_functions.domain, ["STRING"], "STRING")
FUNCTIONS.add_scalar("twice", python_functions.twice, ["DECIMAL(6, 2)"], "DECIMAL(6, 2)")
FUNCTIONS.add_table("words", python_functions.words, ["STRING"], {"word": "STRING", "place": "INT"})
WITH_FUNCTIONS: Final = "python-functions"
SCENARIOS: Final = {
    **{one.stem: parse_scenario(one.read_text()) for one in FILES},
    WITH_FUNCTIONS: parse_scenario(python_functions.SCENARIO),
}
TICKS: Final = max(len(scenario.ticks) for scenario in SCENARIOS.values())
DEADLINE_S: Final = 240.0
RUN: Final = f"scenario-{uuid.uuid4().hex[:8]}"
"""Begins the names of this run's topics: a broker may hold those of another."""

Row: TypeAlias = tuple[Stored, ...]
Rows: TypeAlias = dict[tuple[str, str], list[Row]]
"""The rows of each view of each scenario."""


def _marked() -> Iterable[Any]:
    for stem, scenario in SCENARIOS.items():
        for view in scenario.views:
            reason = GAPS.get(stem, {}).get(view.name)
            marks = () if reason is None else (pytest.mark.xfail(reason=reason, strict=True),)
            yield pytest.param(stem, view.name, id=f"{stem}-{view.name}", marks=marks)


@dataclass
class Run:
    """What became of all scenarios. ``ticks``: the rows after each; ``refused``: views that were not compiled, with the error."""

    ticks: list[Rows] = field(default_factory=list[Rows])
    refused: dict[tuple[str, str], ConfigurationError] = field(
        default_factory=dict[tuple[str, str], ConfigurationError]
    )


@pytest.fixture(scope="module")
def run(kafka: Any, flink: Any) -> Run:
    """All scenarios, run side by side."""
    made = Run()
    jobs = {
        stem: job
        for stem, scenario in SCENARIOS.items()
        if (job := _compiled(stem, scenario, kafka.bootstrap, made.refused)) is not None
    }
    feeder = Feeder(kafka.bootstrap, jobs)
    feeder.create_topics()
    environment = FlinkEnvironment(
        flink.python, flink.rest, getattr(flink, "jars", ()), variables=flink.environment
    )
    rest = FlinkRest(flink.rest)
    running: list[str] = []
    try:
        # Python's interpreter starts best in a TaskManager that has nothing else to do.
        for stems in ([WITH_FUNCTIONS], [stem for stem in jobs if stem != WITH_FUNCTIONS]):
            deployed = submit(_together({stem: jobs[stem] for stem in stems}), environment)
            running.append(deployed.job_id)
            rest.wait_until_running(deployed.job_id, DEADLINE_S)
        for number in range(TICKS):
            feeder.feed(number)
            feeder.wait_until_committed(_covering(rest, running, feeder))
            made.ticks.append(feeder.read())
    except Exception as error:
        for job in running:
            error.add_note(f"Flink: {rest.exceptions(job)}")
        raise
    finally:
        for job in running:
            rest.cancel(job)
    return made


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("stem", "view"), list(_marked()))
def test_scenario(stem: str, view: str, run: Run) -> None:
    if (error := run.refused.get((stem, view))) is not None:
        raise error
    scenario = SCENARIOS[stem]
    for number, (schema, expected) in enumerate(_expected(scenario, view), start=1):
        found = run.ticks[number - 1].get((stem, view), [])
        shown = sorted(cells(row, schema) for row in found)
        wanted = sorted(cells(row, schema) for row in expected)
        assert shown == wanted, (
            f"View {view!r} after tick {number}:\n\nembedded\n{_table(schema, wanted)}\n\nFlink\n{_table(schema, shown)}"
        )


def test_what_is_refused_is_said_in_the_words_of_the_mark(run: Run) -> None:
    for (stem, view), error in run.refused.items():
        assert f"On Flink there are no {GAPS[stem][view]}." in str(error) or GAPS[stem][view] in str(error)


def test_every_mark_names_a_gap_and_a_view() -> None:
    views = {(stem, view.name) for stem, scenario in SCENARIOS.items() for view in scenario.views}
    for stem, marks in GAPS.items():
        for view, reason in marks.items():
            assert (stem, view) in views
            assert reason in {**REFUSED, **DIFFERENT}


def _expected(scenario: Scenario, view: str) -> Iterable[tuple[TableSchema, list[Row]]]:
    """The view's schema and its rows after each tick, embedded."""
    harness = SqlHarness(scenario.tables, functions=FUNCTIONS)
    for one in scenario.views:
        harness.add_view(one.name, one.text, key=one.key, windows=one.windows)
    for tick in scenario.ticks:
        harness.tick(_stored_changes(harness, tick.changes), committed_at_us=tick.committed_at_s * 1_000_000)
        yield harness.schemas[view], harness.rows(view)


def _table(schema: TableSchema, rows: Iterable[tuple[str, ...]]) -> str:
    return text_table(schema.names, (("+", row) for row in rows))


# -- the job -----------------------------------------------------------------------------------------------------------


def _compiled(
    stem: str, scenario: Scenario, bootstrap: str, refused: dict[tuple[str, str], ConfigurationError]
) -> Job | None:
    """A scenario's job, of the views that are not refused."""
    views = [ViewDefinition(one.name, one.text, one.key, one.windows) for one in scenario.views]
    kept: list[ViewDefinition] = []
    job: Job | None = None
    for view in views:
        functions = FUNCTIONS if stem == WITH_FUNCTIONS else None
        definition = JobDefinition(
            _application(stem), tuple(scenario.tables), (*kept, view), functions=functions
        )
        try:
            job = compile_job(definition, KafkaSettings(bootstrap), 1)
            kept.append(view)
        except ConfigurationError as error:
            refused[stem, view.name] = error
    return job


def _application(stem: str) -> str:
    return f"{RUN}-{stem}"


def _together(jobs: Mapping[str, Job]) -> Job:
    """One Flink job of several: each in a database of its own."""
    statements: list[Statement] = []
    for stem, job in jobs.items():
        statements.append(Statement("define", f"CREATE DATABASE {name(stem)}", stem))
        statements.append(Statement("define", f"USE {name(stem)}", stem))
        statements += job.statements
    functions = tuple(one for job in jobs.values() for one in job.functions)
    return Job("scenarios", 1, "scenarios-1", tuple(statements), (), functions, defaults())


def _covering(rest: FlinkRest, jobs: Sequence[str], feeder: Feeder) -> int:
    """The number of checkpoints, one of each job, that hold all that was fed: they are counted together."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            numbers = [rest.checkpoint(one, timeout_s=DEADLINE_S).number for one in jobs]
            if not (behind := feeder.behind()):
                return max(numbers)
            reason = f"Not read: {behind[:5]}"
        # A job that was started again, a group whose coordinator is being made.
        except (SourceUnavailable, NotAnswered) as error:
            reason = str(error)
        assert time.monotonic() < deadline, reason
        time.sleep(0.5)


# -- Kafka -------------------------------------------------------------------------------------------------------------


class Feeder:
    """The topics of all scenarios: feeds the tables, reads what was derived."""

    def __init__(self, bootstrap: str, jobs: Mapping[str, Job]) -> None:
        self._bootstrap = bootstrap
        self._jobs = jobs
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self._harnesses = {stem: SqlHarness(SCENARIOS[stem].tables) for stem in jobs}
        self._fed: dict[str, dict[str, int]] = {stem: {} for stem in jobs}
        self._derived: dict[str, tuple[str, DerivedRelation]] = {
            one.topic: (stem, one) for stem, job in jobs.items() for one in job.relations
        }

    def create_topics(self) -> None:
        topics = [
            table_topic(job.application, table.name)
            for stem, job in self._jobs.items()
            for table in SCENARIOS[stem].tables
        ]
        for future in self._admin.create_topics(
            [NewTopic(one, 1, 1, config={"cleanup.policy": "compact"}) for one in [*topics, *self._derived]]
        ).values():
            future.result()

    def feed(self, number: int) -> None:
        """The changes of one tick of every scenario that has as many, each scenario's in the order in which they are written."""
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        for stem, job in self._jobs.items():
            scenario, harness = SCENARIOS[stem], self._harnesses[stem]
            changes = scenario.ticks[number].changes if number < len(scenario.ticks) else {}
            for table, rows in _stored_changes(harness, changes).items():
                topic = table_topic(job.application, table)
                for key, value in _records(harness.schemas[table], rows):
                    producer.produce(topic, key=key, value=value, on_delivery=self._delivered(stem))
        assert producer.flush(DEADLINE_S) == 0

    def _delivered(self, stem: str) -> Callable[[Any, Any], None]:
        def note(error: Any, message: Any) -> None:
            assert error is None, error
            self._fed[stem][message.topic()] = message.offset() + 1

        return note

    def behind(self) -> list[tuple[str, str, int, int]]:
        """The topics whose committed offsets are behind what was fed.

        Not asked by librdkafka's AdminClient, which crashes where the group's coordinator is only just being loaded.
        """
        groups = {job.group: stem for stem, job in self._jobs.items()}
        found: list[tuple[str, str, int, int]] = []
        with self._administration() as kafka:
            committed_by = kafka.list_group_offsets(list(groups))
        for group, offsets in committed_by.items():
            committed = {partition.topic: one.offset for partition, one in offsets.items()}
            for topic, end in self._fed[groups[group]].items():
                if committed.get(topic, -1) < end:
                    found.append((group, topic, committed.get(topic, -1), end))
        return found

    @contextmanager
    def _administration(self) -> Iterator[Any]:
        """kafka-python's administration, which knows transactions."""
        client = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            yield client
        finally:
            client.close()

    def wait_until_committed(self, checkpoint: int) -> None:
        """Until no transaction of this checkpoint, or of one before, is open."""
        deadline = time.monotonic() + DEADLINE_S
        while left := [one for one in self._open() if int(one.rpartition("-")[2]) <= checkpoint]:
            assert time.monotonic() < deadline, f"Not committed: {left[:5]}"
            time.sleep(0.1)

    def _open(self) -> list[str]:
        with self._administration() as kafka:
            answer: Any = kafka.list_transactions()
        listed = [one for part in (answer.values() if isinstance(answer, dict) else [answer]) for one in part]
        ended = ("EMPTY", "COMPLETE_COMMIT", "COMPLETE_ABORT", "DEAD")
        ours = [one for one in listed if one.transactional_id.startswith(RUN)]
        return [one.transactional_id for one in ours if not str(one.state).upper().endswith(ended)]

    def read(self) -> Rows:
        """All rows of all views, as far as transactions are committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "scenarios-reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING) for topic in self._derived])
        kept: dict[str, dict[bytes, bytes]] = {topic: {} for topic in self._derived}
        ended: set[str] = set()
        try:
            while len(ended) < len(self._derived):
                message = consumer.poll(30.0)
                assert message is not None, (
                    f"Not read to their ends: {sorted(set(self._derived) - ended)[:5]}"
                )
                topic = str(message.topic())
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(topic)
                elif message.value() is None:
                    kept[topic].pop(message.key(), None)
                else:
                    kept[topic][message.key()] = message.value()
        finally:
            consumer.close()
        return {
            (stem, relation.name): [
                RowCodec.of(relation.schema).decode_row(one) for one in kept[topic].values()
            ]
            for topic, (stem, relation) in self._derived.items()
        }


def _records(
    schema: TableSchema, rows: Iterable[tuple[Row, int]]
) -> Iterable[tuple[bytes | None, bytes | None]]:
    """Debezium's records for rows that go and come: a row of a key that goes and comes in one tick is updated."""
    codec = RowCodec.of(schema)
    changes = list(rows)
    comes = {codec.encode_key(row): row for row, weight in changes if weight > 0}
    goes = {codec.encode_key(row): row for row, weight in changes if weight < 0}
    for row, weight in changes:
        key = codec.encode_key(row)
        if weight > 0:
            yield key, codec.encode_change("u" if key in goes else "c", goes.get(key), row, {}, 0)
        elif key not in comes:
            yield key, codec.encode_change("d", row, None, {}, 0)
            yield key, None
