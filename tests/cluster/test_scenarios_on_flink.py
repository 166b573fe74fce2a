"""Every scenario file on a real Flink, between topics of a real Kafka: after each tick the rows of each view are the embedded runtime's.

Every scenario is an application of its own, and all of them are one Flink job, but for the one with Python functions. Tick by tick their changes are fed, a checkpoint is made
that covers them, and the derived topics are read as of it, once its transactions are committed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError
from springline.log.kafka.rows import RowCodec
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.flink.compile import compile_job
from springline.runtime.flink.definition import Job, JobDefinition, KafkaSettings
from springline.runtime.flink.gaps import DIFFERENT, REFUSED
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import FlinkEnvironment, submit
from springline.sql import Functions
from springline.testing.scenarios import Scenario, _stored_changes, cells, parse_scenario, text_table
from springline.testing.sql_harness import SqlHarness
from tests.cluster import python_functions
from tests.cluster.feeding import DEADLINE_S, Feeder, Record, Row, Rows, together
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
RUN: Final = f"scenario-{uuid.uuid4().hex[:8]}"
"""Begins the names of this run's topics: a broker may hold those of another."""


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
    feeder = Feeder(kafka.bootstrap, RUN, jobs)
    feeder.create_topics({stem: [table.name for table in SCENARIOS[stem].tables] for stem in jobs})
    harnesses = {stem: SqlHarness(SCENARIOS[stem].tables) for stem in jobs}
    environment = FlinkEnvironment(
        flink.python, flink.rest, getattr(flink, "jars", ()), variables=flink.environment
    )
    rest = FlinkRest(flink.rest)
    running: list[str] = []
    try:
        # Python's processes start best beside a TaskManager that has nothing else to do.
        for stems in ([WITH_FUNCTIONS], [stem for stem in jobs if stem != WITH_FUNCTIONS]):
            deployed = submit(together("scenarios", {stem: jobs[stem] for stem in stems}), environment)
            running.append(deployed.job_id)
            rest.wait_until_running(deployed.job_id, DEADLINE_S)
        for number in range(TICKS):
            feeder.feed({stem: _of_tick(stem, harness, number) for stem, harness in harnesses.items()})
            feeder.wait_until_committed(feeder.covering(rest, running))
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


def _of_tick(stem: str, harness: SqlHarness, number: int) -> list[tuple[str, Record]]:
    """The records of one tick of a scenario that has as many, in the order in which its changes are written."""
    ticks = SCENARIOS[stem].ticks
    changes = ticks[number].changes if number < len(ticks) else {}
    return [
        (table, record)
        for table, rows in _stored_changes(harness, changes).items()
        for record in _records(harness.schemas[table], rows)
    ]


def _records(schema: TableSchema, rows: Iterable[tuple[Row, int]]) -> Iterable[Record]:
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
