"""Random queries of the law on a real Flink, between topics of a real Kafka: after each tick their rows are the embedded runtime's.

The cases follow from a seed (``SPRINGLINE_LAW_ON_FLINK_SEED``), and are drawn until so many of their queries (``SPRINGLINE_LAW_ON_FLINK``) are taken by
the compiler. Many cases are one Flink job. What the compiler does not take is counted by its gap; a query that Flink does not take, that fails when it
runs, or whose rows are others is a mistake, unless what it does is known to be different (``law_known.py``).
"""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import INT
from springline.runtime.flink.gaps import DIFFERENT, REFUSED
from tests.cluster.law_known import known
from tests.cluster.law_report import Difference, differences
from tests.cluster.law_runs import Outcome, Runner
from tests.cluster.law_sample import PYTHON, Sample, Sampled, drawn, made
from tests.law.cases import Case

QUERIES: Final = int(os.environ.get("SPRINGLINE_LAW_ON_FLINK") or "120")
SEED: Final = int(os.environ.get("SPRINGLINE_LAW_ON_FLINK_SEED") or "1")
IN_A_JOB: Final = 50
RUN: Final = f"law-{uuid.uuid4().hex[:8]}"
"""Begins the names of this run's topics: a broker may hold those of another."""


class Ran:
    """The sample, the planted mistakes, and what became of them."""

    def __init__(self, kafka: Any, flink: Any) -> None:
        self.sample: Sample = drawn(QUERIES, seed=SEED, run=RUN, bootstrap=kafka.bootstrap)
        self.planted = list(_planted(kafka.bootstrap))
        runner = Runner(kafka, flink, RUN)
        for cases in _jobs([*self.planted, *self.sample.cases]):
            runner.run(cases)
        self.outcome: Outcome = runner.outcome
        self.known: Counter[str] = Counter()
        self.unknown: list[Difference] = []
        for found in differences(self.sample.cases, self.outcome):
            if (reason := known(found)) is None:
                self.unknown.append(found)
            else:
                self.known[reason] += 1


@pytest.fixture(scope="module")
def ran(kafka: Any, flink: Any) -> Ran:
    return Ran(kafka, flink)


@pytest.mark.timeout(1800)
def test_flink_takes_and_runs_what_the_compiler_takes(ran: Ran) -> None:
    failed = ran.outcome.failed
    assert not failed, "\n\n".join(f"{case} {view}: {reason}" for (case, view), reason in failed.items())


def test_every_view_has_the_rows_of_the_embedded_runtime(ran: Ran) -> None:
    assert not ran.unknown, "\n\n".join(f"{one}" for one in ran.unknown)


def test_so_many_queries_ran_and_the_others_have_reasons(ran: Ran) -> None:
    sample = ran.sample
    print(
        f"{sample.drawn} queries drawn, {sample.queries} run in {len(sample.cases)} cases; "
        f"refused: {dict(sample.refused.most_common())}; different: {dict(ran.known.most_common())}"
    )
    assert sample.queries >= QUERIES
    assert sample.drawn == sample.queries + sum(sample.refused.values())
    assert set(sample.refused) <= {*REFUSED, PYTHON}
    assert set(ran.known) <= set(DIFFERENT)
    # What is known to be different stays rare, or the sample says little.
    assert sum(ran.known.values()) <= max(3, QUERIES // 10)


def test_the_same_seed_gives_the_same_queries() -> None:
    one, other = (drawn(12, seed=SEED, run="law", bootstrap="kafka:9092") for _ in range(2))
    assert [(each.case.views, each.ticks, each.job) for each in one.cases] == [
        (each.case.views, each.ticks, each.job) for each in other.cases
    ]


def test_planted_mistakes_are_found(ran: Ran) -> None:
    """A statement that is not the view's, and a change that never came: each is told, and not taken for something known."""
    found = {one.case.name: one for one in differences(ran.planted, ran.outcome)}
    assert set(found) == {"mutated", "lost"}
    assert all(known(one) is None for one in found.values())
    assert "view v0: SELECT" in str(found["mutated"])
    assert "(1, 2) -> None" in str(found["lost"])


def _planted(bootstrap: str) -> Iterator[Sampled]:
    """Three times the same case: as it is, with another condition on Flink, and with a deletion that Flink is not told of."""
    table = TableSchema("s.a", (Column("id", INT, nullable=False), Column("ref", INT)), ("id",))
    view = ("v0", "SELECT q1.ref AS g0, COUNT(*) AS m0 FROM `s`.`a` AS q1 WHERE q1.id < 3 GROUP BY q1.ref")
    rows = [(1, 1), (2, 1), (3, 1), (1, 2), (4, 1)]
    changes = [
        ("s.a", None, rows[0]),
        ("s.a", None, rows[1]),
        ("s.a", rows[0], rows[3]),
        ("s.a", None, rows[2]),
        ("s.a", rows[3], None),
        ("s.a", None, rows[4]),
    ]
    same, mutated, lost = (
        made(name, Case([table], [view], list(changes)), f"{RUN}-{name}", bootstrap)
        for name in ("same", "mutated", "lost")
    )
    yield same
    statements = tuple(
        replace(one, sql=one.sql.replace("`id` < 3", "`id` <= 3")) for one in mutated.job.statements
    )
    assert statements != mutated.job.statements
    yield replace(mutated, job=replace(mutated.job, statements=statements))
    yield replace(lost, fed=[*lost.ticks[:2], [one for one in lost.ticks[2] if one[2] is not None]])


def _jobs(cases: list[Sampled]) -> Iterator[list[Sampled]]:
    job: list[Sampled] = []
    for one in cases:
        job.append(one)
        if sum(len(each.case.views) for each in job) >= IN_A_JOB:
            yield job
            job = []
    yield job
