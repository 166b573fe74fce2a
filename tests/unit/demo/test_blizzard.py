"""The recorded facts, and the model of announcements around them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from springline.demo import airline, announce, blizzard, facts, travel
from springline.demo.replay import plan_digest
from springline.demo.scenario import Event

FLIGHTS = {flight.flight_id: flight for flight in facts.flights()}


def flight_updates(kinds: set[str]) -> list[tuple[facts.Flight, Event]]:
    """The announcements of these kinds, each with the fact that it is about."""
    return [(FLIGHTS[e.parameters[-1]], e) for e in blizzard.plan(airline.SEED) if e.kind in kinds]


def test_the_facts_hold_every_flight_and_cancellation_of_the_four_days() -> None:
    scheduled = Counter(flight.service_date.day for flight in facts.flights())
    cancelled = Counter(flight.service_date.day for flight in facts.flights() if flight.cancelled)
    assert scheduled == {7: 932, 8: 930, 9: 684, 10: 829}
    assert cancelled == {7: 4, 8: 472, 9: 393, 10: 26}
    assert len(facts.observations()) == 288


def test_local_clock_times_become_moments() -> None:
    by_key = {(f.service_date.day, f.code, f.origin): f for f in facts.flights()}
    coast_to_coast = by_key[8, "AA 133", "JFK"]
    assert coast_to_coast.scheduled_departure == datetime(2013, 2, 8, 15, 45, tzinfo=facts.NEW_YORK)
    assert coast_to_coast.departure == datetime(2013, 2, 8, 15, 38, tzinfo=facts.NEW_YORK)
    assert coast_to_coast.arrival == datetime(
        2013, 2, 8, 22, 53, tzinfo=facts.NEW_YORK
    )  # 19:53 in Los Angeles
    past_midnight = by_key[10, "F9 835", "LGA"]
    assert past_midnight.departure == datetime(2013, 2, 10, 22, 43, tzinfo=facts.NEW_YORK)
    assert past_midnight.arrival == datetime(2013, 2, 11, 3, 0, tzinfo=facts.NEW_YORK)  # 01:00 in Denver


def test_every_flight_takes_a_plausible_time() -> None:
    for flight in facts.flights():
        minutes = flight.scheduled_duration.total_seconds() / 60
        assert flight.distance / 9.5 < minutes < flight.distance / 5.5 + 110, flight
        if flight.arrival is not None and flight.air_time is not None and flight.departure is not None:
            assert flight.arrival >= flight.departure + timedelta(minutes=flight.air_time), flight


def test_the_plan_is_the_same_in_another_process() -> None:
    code = (
        "from springline.demo import airline, blizzard; from springline.demo.replay import plan_digest;"
        "print(plan_digest(blizzard.plan(airline.SEED)))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == plan_digest(blizzard.plan(airline.SEED))
    assert plan_digest(blizzard.plan(airline.SEED)) != plan_digest(blizzard.plan(airline.SEED + 1))


def test_events_are_ordered_and_within_the_replayed_time() -> None:
    moments = [event.at for event in blizzard.plan(airline.SEED)]
    assert moments == sorted(moments)
    assert moments[0] > facts.STORM_START
    assert moments[-1] <= facts.STORM_END


def test_no_event_reveals_an_outcome_before_it_happened() -> None:
    for flight, event in flight_updates({"departed"}):
        assert flight.departure is not None
        assert event.at >= flight.departure
    for flight, event in flight_updates({"arrived", "landed"}):
        assert flight.arrival is not None
        assert event.at >= flight.arrival
    for event in blizzard.plan(airline.SEED):
        if event.kind == "weather":
            assert event.at >= event.parameters[1]


@pytest.mark.parametrize(
    "column", ["actual_departure", "actual_arrival", "arrival_delay_minutes", "tail_number"]
)
def test_recorded_columns_appear_only_with_the_outcome(column: str) -> None:
    """The tail number is missing for many cancelled flights, so it would give them away too."""
    kinds = {event.kind for event in blizzard.plan(airline.SEED) if f"{column} = " in event.sql}
    assert kinds <= {"departed", "arrived", "landed"}
    names = [name.name for name in airline.TABLES[2].columns]
    at_start = [
        dict(zip(names, row, strict=True)) for row in airline.rows(travel.world(airline.SEED))["flights"]
    ]
    assert all(row[column] is None and row["status"] == "scheduled" for row in at_start)


def test_a_cancellation_is_announced_before_the_timetable_and_is_the_last_word() -> None:
    seen: dict[int, str] = {}
    for flight, event in flight_updates(
        {"gate", "delayed", "delay_changed", "cancelled", "boarding", "departed"}
    ):
        assert seen.get(flight.flight_id) != "cancelled"
        seen[flight.flight_id] = event.kind
        if event.kind == "cancelled":
            assert timedelta(minutes=59) < flight.scheduled_departure - event.at < timedelta(hours=30)
    assert sum(kind == "cancelled" for kind in seen.values()) == 895


def test_most_of_fridays_cancellations_are_announced_by_friday_noon() -> None:
    noon = datetime(2013, 2, 8, 12, tzinfo=facts.NEW_YORK)
    moments = [e.at for flight, e in flight_updates({"cancelled"}) if flight.service_date == date(2013, 2, 8)]
    assert len(moments) == 472
    assert sum(at < noon for at in moments) > 0.8 * len(moments)


def test_estimates_are_progressive_and_never_in_the_past() -> None:
    for seen in announce.outlooks(airline.SEED):
        for estimate in seen.estimates:
            assert estimate.departure >= estimate.at + timedelta(minutes=20), seen
        if seen.boarding_at is not None:
            assert all(estimate.at < seen.boarding_at for estimate in seen.estimates)
        moments = [estimate.at for estimate in seen.estimates]
        assert moments == sorted(set(moments))


def test_travellers_are_rebooked_only_onto_flights_that_are_not_known_to_be_cancelled() -> None:
    cancelled_at = {s.flight.flight_id: s.cancelled_at for s in announce.outlooks(airline.SEED)}
    moved = [event for event in blizzard.plan(airline.SEED) if event.kind == "rebooked"]
    assert len(moved) > 300
    for event in moved:
        target = event.parameters[0]
        known = cancelled_at[target]
        assert known is None or known > event.at
        assert FLIGHTS[target].scheduled_departure > event.at
    assert any(cancelled_at[event.parameters[0]] is not None for event in moved), "the desk knows the future"


def test_featured_customers_have_the_trouble_that_they_are_featured_for() -> None:
    booking = {booking.customer_id: booking for booking in travel.world(airline.SEED).bookings}
    outcome = {
        subject: FLIGHTS[booking[subject].flight_id] for subject in [f.subject for f in airline.FEATURED]
    }
    assert [subject for subject, flight in outcome.items() if flight.cancelled] == [
        "C0001",
        "C0003",
        "C0004",
        "C0007",
    ]
    assert {s: f.departure_delay for s, f in outcome.items() if not f.cancelled} == {
        "C0002": 273,
        "C0005": -7,
        "C0006": 192,
        "C0008": 853,
    }
    assert {featured.language for featured in airline.FEATURED} == {"en", "zh-TW", "ja"}
    onward = booking["C0002"].onward
    landed = outcome["C0002"].arrival
    assert onward is not None
    assert landed is not None
    assert (
        outcome["C0002"].scheduled_arrival + timedelta(minutes=onward.minimum_minutes)
        < onward.departure
        < landed
    )


def test_customers_are_generated_and_cannot_be_reached() -> None:
    world = travel.world(airline.SEED)
    assert len(world.customers) == 2_000
    assert len({person.email for person in world.customers}) == 2_000
    assert len({person.phone for person in world.customers}) == 2_000
    assert all(person.email.endswith("@example.com") for person in world.customers)
    assert all(" 555 01" in person.phone for person in world.customers)
    assert len({booking.reference for booking in world.bookings}) == len(world.bookings)
    assert Counter(person.language for person in world.customers)["ja"] > 100


def test_every_column_has_a_provenance() -> None:
    columns = {f"{table.name}.{column.name}" for table in airline.TABLES for column in table.columns}
    assert set(airline.PROVENANCE) == columns
    assert set(airline.PROVENANCE.values()) == {"recorded", "modelled", "generated"}
    assert airline.provenance_of("flights.status", "cancelled") == "recorded"
    assert airline.provenance_of("flights.status", "boarding") == "modelled"
    assert airline.provenance_of("flights.estimated_departure") == "modelled"


def test_every_table_has_a_primary_key() -> None:
    assert all(table.constraints[0].startswith("PRIMARY KEY (") for table in airline.TABLES)


def test_the_facts_need_no_vendor() -> None:
    tree = ast.parse(Path(facts.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(
        name and name.startswith(("psycopg2", "polars", "pyarrow", "zoneinfo")) for name in imported
    )
