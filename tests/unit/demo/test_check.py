"""What the demo's check takes for the truth: what PostgreSQL tells of its changes, at a position."""

from __future__ import annotations

from typing import Any

import pytest

from springline.core.position import PostgresPosition
from springline.demo.check import Booked, Oracle

CHANGES = [
    ("0/10", "BEGIN 1"),
    (
        "0/10",
        "table public.booking_flights: UPDATE: booking_flight_id[integer]:7 booking_reference[text]:'A' flight_id[integer]:2 seats[text]:null",
    ),
    ("0/10", "COMMIT 1"),
    ("0/20", "BEGIN 2"),
    (
        "0/20",
        "table public.flights: UPDATE: flight_id[integer]:2 status[text]:'delayed' delay_minutes[integer]:30 gate[text]:'Z1'",
    ),
    ("0/20", "COMMIT 2"),
]


@pytest.fixture
def oracle() -> Oracle:
    made = Oracle.__new__(Oracle)
    made._history, made._rebooked = {}, {}
    pending: list[Any] = list(CHANGES)

    def run(sql: str, *parameters: object) -> list[Any]:
        told = pending[:]
        pending.clear()
        return told

    made._run = run
    return made


def at(text: str) -> PostgresPosition:
    return PostgresPosition.from_text(text)


def test_somebody_who_was_rebooked_is_no_longer_on_the_flight(oracle: Oracle) -> None:
    before, since = Booked(7, "C1", 1), Booked(7, "C1", 2)
    assert oracle.is_booked(before, at("0/F"))
    assert not oracle.is_booked(before, at("0/10"))
    assert oracle.is_booked(since, at("0/20"))
    assert oracle.is_booked(Booked(8, "C2", 1), at("0/20"))


def test_a_flight_is_what_was_committed_up_to_the_position(oracle: Oracle) -> None:
    assert oracle.flight_at(2, at("0/1F")) is None
    assert oracle.flight_at(2, at("0/20")) == {"status": "delayed", "delay_minutes": 30, "gate": "Z1"}
