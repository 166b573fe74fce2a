"""A random sample of the law's queries for Flink: cases that follow from a seed, with what was refused of them, and why."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from springline.core.schema import TableSchema
from springline.errors import ConfigurationError
from springline.log.base import Unfit
from springline.log.kafka.rows import RowCodec
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.flink.compile import compile_job
from springline.runtime.flink.definition import Job, JobDefinition, KafkaSettings
from springline.runtime.flink.gaps import REFUSED
from springline.testing.sql_harness import SqlHarness
from tests.cluster.feeding import Record, Row
from tests.law.cases import Case, Change, made_case
from tests.law.check import net
from tests.law.choices import Seeded
from tests.law.user_functions import FUNCTIONS

TICKS: Final = 3
MOST_VIEWS: Final = 8
MOST_CHANGES: Final = 36
PYTHON: Final = "Python functions"
"""Why a query is left out that calls some: they run in processes of their own, in tests of their own."""


@dataclass(frozen=True)
class Sampled:
    """One case: its tables and views, its job without copies of the tables, and its changes."""

    name: str
    case: Case
    job: Job
    ticks: list[Sequence[Change]]
    fed: list[Sequence[Change]] | None = None
    """What Flink is told where it is not the same: a planted mistake."""

    def expected(self) -> Iterator[dict[str, list[Row]]]:
        """The rows of each view after each tick, embedded."""
        harness = SqlHarness(self.case.tables)
        for name, text in self.case.views:
            harness.add_view(name, text)
        for tick in self.ticks:
            harness.tick(net(tick))
            yield {name: harness.rows(name) for name, _ in self.case.views}

    def records(self, number: int) -> list[tuple[str, Record]]:
        """The records of one tick: Debezium's envelopes, with the tables they are for."""
        schemas = {one.name: one for one in self.case.tables}
        return [
            (change[0], one)
            for change in (self.fed or self.ticks)[number]
            for one in _records(schemas[change[0]], change)
        ]


@dataclass
class Sample:
    cases: list[Sampled] = field(default_factory=list[Sampled])
    drawn: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    """Drawn queries that do not run on Flink, by a key of ``gaps.REFUSED``, or for Python functions."""

    @property
    def queries(self) -> int:
        return sum(len(one.case.views) for one in self.cases)


def drawn(queries: int, *, seed: int, run: str, bootstrap: str) -> Sample:
    """Cases until so many of their queries run on Flink. ``run`` begins the names of their topics."""
    sample = Sample()
    for number in itertools.count():
        if sample.queries >= queries:
            return sample
        _draw(sample, seed + number, run, bootstrap)
    raise AssertionError


def _draw(sample: Sample, seed: int, run: str, bootstrap: str) -> None:
    application = f"{run}-{seed}"

    def accept(case: Case, name: str, text: str) -> None:
        sample.drawn += 1
        try:
            if _calls_python(text):
                raise ConfigurationError(f"There are no {PYTHON}.")
            _compiled(case, with_inputs(case.views, (name, text)), application, bootstrap)
        except ConfigurationError as error:
            sample.refused[_gap(str(error))] += 1
            raise

    case = made_case(Seeded(seed), most_views=MOST_VIEWS, most_changes=MOST_CHANGES, accept=accept)
    if case.views:
        sample.cases.append(made(f"case{seed}", case, application, bootstrap))


def made(name: str, case: Case, application: str, bootstrap: str) -> Sampled:
    """A case whose views all run on Flink."""
    fitting = [one for change in case.changes if (one := _fitting(case.tables, change)) is not None]
    job = _of_views(case, _compiled(case, case.views, application, bootstrap))
    return Sampled(name, case, job, _cut(fitting))


def _compiled(case: Case, views: Sequence[tuple[str, str]], application: str, bootstrap: str) -> Job:
    definition = JobDefinition(application, tuple(case.tables), tuple(ViewDefinition(*one) for one in views))
    return compile_job(definition, KafkaSettings(bootstrap), 1)


def without(one: Sampled, view: str) -> Sampled:
    """The case without a view, and without those that read it."""
    gone = {view}
    for name, text in one.case.views:
        if any(f"`{other}`" in text for other in gone):
            gone.add(name)
    case = replace(one.case, views=[each for each in one.case.views if each[0] not in gone])
    statements = tuple(each for each in one.job.statements if each.about not in gone)
    relations = tuple(each for each in one.job.relations if each.name not in gone)
    return replace(one, case=case, job=replace(one.job, statements=statements, relations=relations))


def with_inputs(views: Sequence[tuple[str, str]], view: tuple[str, str]) -> list[tuple[str, str]]:
    """A view behind those of ``views`` that it reads, and that they read."""
    needed = [view]
    for name, text in reversed(views):
        if any(f"`{name}`" in other for _, other in needed):
            needed.insert(0, (name, text))
    return needed


def _calls_python(text: str) -> bool:
    return any(f"{one.upper()}(" in text for one in (*FUNCTIONS.scalars, *FUNCTIONS.tables))


def _gap(message: str) -> str:
    """The documented reason of a refusal. Every refusal has one."""
    [found] = [one for one in (*REFUSED, PYTHON) if f"here are no {one}." in message]
    return found


def _of_views(case: Case, job: Job) -> Job:
    """The job without the copies of its tables."""
    tables = {one.name for one in case.tables}
    statements = tuple(one for one in job.statements if one.about not in tables or "`to:" not in one.sql)
    return replace(
        job, statements=statements, relations=tuple(one for one in job.relations if one.name not in tables)
    )


def _fitting(tables: Sequence[TableSchema], change: Change) -> Change | None:
    """What capture publishes of a change: rows with values that Flink cannot read stay behind (gap: values of PostgreSQL)."""
    name, old, new = change
    [schema] = [one for one in tables if one.name == name]
    old, new = (one if one is not None and _fits(schema, one) else None for one in (old, new))
    return None if old is None and new is None else (name, old, new)


def _fits(schema: TableSchema, row: Row) -> bool:
    try:
        RowCodec.of(schema).encode_row(row)
    except Unfit:
        return False
    return True


def _cut(changes: Sequence[Change]) -> list[Sequence[Change]]:
    """Ticks of about the same size; the last ones may be empty."""
    size = -(-len(changes) // TICKS)
    return [changes[size * number : size * (number + 1)] for number in range(TICKS)]


def _records(schema: TableSchema, change: Change) -> Iterator[Record]:
    _, old, new = change
    codec = RowCodec.of(schema)
    if new is not None:
        yield codec.encode_key(new), codec.encode_change("c" if old is None else "u", old, new, {}, 0)
    elif old is not None:
        yield codec.encode_key(old), codec.encode_change("d", old, None, {}, 0)
        yield codec.encode_key(old), None
