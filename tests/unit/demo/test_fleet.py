"""The fleet judges honestly: only what the database knew to be false all along counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from springline.demo.fleet import Contradiction, Fleet, FlightStatus, judge
from springline.errors import NotFresh

ON_TIME = FlightStatus("B6 155", "scheduled", 0)
LATE = FlightStatus("B6 155", "delayed", 40)
LATER = FlightStatus("B6 155", "delayed", 95)
GONE = FlightStatus("B6 155", "cancelled", 95)
OTHER = FlightStatus("B6 583", "scheduled", 0)


@pytest.mark.parametrize(
    ("told", "before", "after", "contradictions", "undecided"),
    [
        ([GONE], [GONE], [GONE], [], False),
        ([ON_TIME], [GONE], [GONE], [("B6 155", "scheduled", "cancelled")], False),
        ([LATE], [LATER], [LATER], [("B6 155", "delayed by 40 minutes", "delayed by 95 minutes")], False),
        # The truth moved during the question: both are right.
        ([ON_TIME], [ON_TIME], [GONE], [], False),
        ([GONE], [ON_TIME], [GONE], [], False),
        # It moved by more than one step: nobody can tell.
        ([LATE], [ON_TIME], [GONE], [], True),
        # Rebooked: told of the old flight, or not of the new one.
        ([GONE], [OTHER], [OTHER], [("B6 155", "cancelled", None), ("B6 583", None, "scheduled")], False),
        # Minutes count only while a flight is delayed.
        ([FlightStatus("B6 155", "cancelled", 40)], [GONE], [GONE], [], False),
        ([], [], [], [], False),
    ],
)
def test_judgement(
    told: list[FlightStatus],
    before: list[FlightStatus],
    after: list[FlightStatus],
    contradictions: list[tuple[str, str | None, str | None]],
    undecided: bool,
) -> None:
    judged = judge(told, before, after)
    assert judged.contradictions == tuple(Contradiction(*each) for each in contradictions)
    assert judged.undecided is undecided


class Says:
    """Answers with a fixed list, or with the next of several."""

    def __init__(self, *answers: tuple[FlightStatus, ...]) -> None:
        self._answers: Iterator[tuple[FlightStatus, ...]] = iter(answers)
        self._last = answers[-1]

    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]:
        return next(self._answers, self._last)


class Refuses:
    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]:
        raise NotFresh("Too slow.")


def test_the_fleet_counts_questions_and_distinct_travellers() -> None:
    fleet = Fleet(
        truth=Says((GONE,)),
        ours=Says((GONE,)),
        twin=Says((ON_TIME,)),
        travellers=lambda: ["C1", "C2"],
        seed=3,
    )
    for customer in ("C1", "C2", "C1"):
        fleet.ask_once(customer)
    status = fleet.status()
    assert (status.asked, status.travellers) == (3, 2)
    assert (status.ours_wrong, status.ours_travellers) == (0, 0)
    assert (status.twin_wrong, status.twin_travellers) == (3, 2)
    assert [(each.side, each.customer) for each in status.examples] == [
        ("twin", "C1"),
        ("twin", "C2"),
        ("twin", "C1"),
    ]


def test_ours_is_judged_by_the_same_measure() -> None:
    fleet = Fleet(truth=Says((GONE,)), ours=Says((ON_TIME,)), twin=Says((GONE,)), travellers=list)
    fleet.ask_once("C1")
    assert (fleet.status().ours_wrong, fleet.status().twin_wrong) == (1, 0)


def test_a_refusal_is_not_a_false_answer() -> None:
    fleet = Fleet(truth=Says((GONE,)), ours=Refuses(), twin=Says((GONE,)), travellers=list)
    fleet.ask_once("C1")
    assert (fleet.status().asked, fleet.status().refused, fleet.status().ours_wrong) == (1, 1, 0)
