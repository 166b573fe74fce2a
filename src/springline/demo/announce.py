"""When the airlines said what: a model of announcements around recorded outcomes.

The record says when a flight left and landed, or that it never left, and not when anybody was told. The model:

*Cancellations.* On the evening of the 7th and the early morning of the 8th airlines empty the next afternoon in
waves, so that aircraft and crews are elsewhere when the snow comes: nine in ten of the 8th's cancelled flights from
14:00 on are announced then, the others two to four hours ahead. Of the 8th's earlier ones, 30 % go in the evening wave
and the others two to five hours ahead. Most of the 9th's are announced on the 8th between 09:00 and 21:00 (before 14:00)
or in the following night (after), the others two to ten hours ahead; the 10th's 2 to 14 hours and the 7th's one to
three hours ahead. None later than one hour before the timetable. Half of those announced less than five hours ahead
were called delayed first.

*Delays* of 15 minutes and more are announced 40 to 110 minutes ahead of the timetable and then once more for about every
45 minutes, each time closer to what came, rounded to five minutes and never in the past. Smaller ones are not.

*Gates* are announced 150 to 240 minutes ahead, boarding 25 to 35 minutes before the recorded departure, departures and
arrivals up to two minutes after they were recorded, diversions at about 70 % of the way.

Causes: weather for timetable times from 8 February 06:00 until 10 February 12:00, otherwise operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from springline.demo import facts
from springline.demo.facts import NEW_YORK, STORM_START, Flight
from springline.demo.scenario import Event

WEATHER_FROM = datetime(2013, 2, 8, 6, tzinfo=NEW_YORK)
WEATHER_UNTIL = datetime(2013, 2, 10, 12, tzinfo=NEW_YORK)
DELAY_SHOWN_MINUTES = 15
TERMINALS = {"EWR": ("A", "B", "C"), "JFK": ("2-", "4-B", "5-", "7-", "8-"), "LGA": ("A", "B", "C", "D")}


@dataclass(frozen=True, slots=True)
class Estimate:
    """At ``at`` the airline expected the flight to leave at ``departure``."""

    at: datetime
    departure: datetime


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that is announced about one flight. ``cancelled_at`` is None for a flight that left."""

    flight: Flight
    gate: str
    gate_at: datetime
    cancelled_at: datetime | None
    estimates: tuple[Estimate, ...]
    boarding_at: datetime | None
    departed_at: datetime | None
    expected_arrival: datetime | None
    diverted_at: datetime | None
    arrived_at: datetime | None


@cache
def outlooks(seed: int) -> tuple[Outlook, ...]:
    """Of every flight, in the order of the facts. Each flight has its own random numbers."""
    return tuple(outlook(Random(f"{seed}/{flight.flight_id}"), flight) for flight in facts.flights())


def reason(flight: Flight) -> str:
    return "weather" if WEATHER_FROM <= flight.scheduled_departure < WEATHER_UNTIL else "operations"


def outlook(random: Random, flight: Flight) -> Outlook:
    """Apply the model of this module's docstring to one flight."""
    gate = f"{random.choice(TERMINALS[flight.origin])}{random.randint(1, 39)}"
    gate_at = flight.scheduled_departure - timedelta(minutes=random.randint(150, 240))
    gate_at = max(gate_at, STORM_START + timedelta(minutes=1))
    if flight.departure is None:
        cancelled_at = _cancelled_at(random, flight)
        estimates = _false_hopes(random, flight, cancelled_at)
        return Outlook(flight, gate, gate_at, cancelled_at, estimates, None, None, None, None, None)
    boarding_at = flight.departure - timedelta(minutes=random.randint(25, 35))
    estimates = _estimates(random, flight, flight.departure, boarding_at)
    departed_at = flight.departure + timedelta(seconds=random.randint(0, 120))
    recovered = timedelta(minutes=min(12, max(0, flight.departure_delay or 0) // 10))
    expected = _round(flight.departure + flight.scheduled_duration - recovered)
    diverted_at = None
    arrived_at = (
        None if flight.arrival is None else flight.arrival + timedelta(seconds=random.randint(0, 120))
    )
    if flight.diverted:
        diverted_at = flight.departure + flight.scheduled_duration * 0.7
        if arrived_at is not None:
            arrived_at = max(arrived_at, diverted_at + timedelta(minutes=5))
    return Outlook(
        flight, gate, gate_at, None, estimates, boarding_at, departed_at, expected, diverted_at, arrived_at
    )


def events(seen: Outlook) -> list[Event]:
    """The updates of one flight's row that announce it, in order of time."""
    flight = seen.flight
    announced: list[Event] = []
    if seen.cancelled_at is None or seen.gate_at < seen.cancelled_at:
        announced.append(_update(flight, seen.gate_at, "gate", f"gate {seen.gate}", {"gate": seen.gate}))
    for number, estimate in enumerate(seen.estimates):
        announced.append(_delay_event(flight, estimate, first=number == 0))
    if seen.cancelled_at is not None:
        announced.append(_cancel_event(flight, seen.cancelled_at))
    if seen.boarding_at is not None:
        announced.append(_update(flight, seen.boarding_at, "boarding", "is boarding", {"status": "boarding"}))
    if seen.departed_at is not None:
        announced.append(_departure_event(seen, seen.departed_at))
    if seen.diverted_at is not None:
        changes = {"status": "diverted", "estimated_arrival": None}
        announced.append(_update(flight, seen.diverted_at, "diverted", "was diverted", changes))
    if seen.arrived_at is not None:
        announced.append(_arrival_event(flight, seen.arrived_at))
    return sorted(announced, key=lambda event: event.at)


def _cancelled_at(random: Random, flight: Flight) -> datetime:
    scheduled = flight.scheduled_departure
    day, afternoon, draw = flight.service_date.day, scheduled.hour >= 14, random.random()
    if day == 8 and draw < (0.55 if afternoon else 0.30):
        announced = _wave(random, 7, 17.5, 22.5)
    elif day == 8 and afternoon and draw < 0.90:
        announced = _wave(random, 8, 4.5, 10)
    elif day == 8:
        announced = scheduled - timedelta(hours=random.uniform(2, 4 if afternoon else 5))
    elif day == 9 and draw < (0.5 if afternoon else 0.8):
        announced = _wave(random, 8, 18, 30) if afternoon else _wave(random, 8, 9, 21)
    elif day == 9:
        announced = scheduled - timedelta(hours=random.uniform(2, 10))
    else:
        announced = scheduled - timedelta(hours=random.uniform(*((2, 14) if day == 10 else (1, 3))))
    latest = scheduled - timedelta(hours=1)
    return max(min(announced, latest), STORM_START + timedelta(minutes=2))


def _wave(random: Random, day: int, first_hour: float, last_hour: float) -> datetime:
    """A moment just after a quarter of an hour: operations desks publish their decisions in batches."""
    quarters = int((last_hour - first_hour) * 4)
    midnight = datetime(2013, 2, day, tzinfo=NEW_YORK)
    return midnight + timedelta(
        hours=first_hour, minutes=15 * random.randrange(quarters), seconds=random.randint(0, 150)
    )


def _false_hopes(random: Random, flight: Flight, cancelled_at: datetime) -> tuple[Estimate, ...]:
    """Delays announced before a late cancellation."""
    ahead = flight.scheduled_departure - cancelled_at
    if ahead >= timedelta(hours=5) or random.random() < 0.5:
        return ()
    first_at = cancelled_at - timedelta(minutes=random.randint(35, 90))
    if first_at <= STORM_START:
        return ()
    hoped = timedelta(minutes=random.choice((20, 30, 45, 60, 75)))
    return (Estimate(first_at, _round(flight.scheduled_departure + hoped)),)


def _estimates(
    random: Random, flight: Flight, departure: datetime, boarding_at: datetime
) -> tuple[Estimate, ...]:
    delay = flight.departure_delay or 0
    if delay < DELAY_SHOWN_MINUTES:
        return ()
    first_at = flight.scheduled_departure - timedelta(minutes=random.randint(40, 110))
    first_at = max(first_at, STORM_START + timedelta(minutes=3))
    last_at = boarding_at - timedelta(minutes=3)
    count = 1 + min(8, delay // 45)
    made: list[Estimate] = []
    for number in range(1, count + 1):
        at = first_at + (last_at - first_at) * ((number - 1) / max(1, count - 1))
        if number == count:
            expected = departure + timedelta(minutes=random.randint(-4, 6))
        else:
            expected = flight.scheduled_departure + timedelta(
                minutes=delay * number / count * random.uniform(0.85, 1.1)
            )
        expected = _round(max(expected, at + timedelta(minutes=25)))
        if not made or expected != made[-1].departure:
            made.append(Estimate(at, expected))
    return tuple(made)


def _round(moment: datetime) -> datetime:
    """Up to five minutes, as departure boards do."""
    floor = moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)
    return floor if floor == moment else floor + timedelta(minutes=5)


def _delay_event(flight: Flight, estimate: Estimate, *, first: bool) -> Event:
    delay = estimate.departure - flight.scheduled_departure
    minutes = int(delay.total_seconds() // 60)
    changes = {
        "status": "delayed",
        "estimated_departure": estimate.departure,
        "estimated_arrival": flight.scheduled_arrival + delay,
        "delay_minutes": minutes,
        "delay_reason": reason(flight),
    }
    kind = "delayed" if first else "delay_changed"
    return _update(flight, estimate.at, kind, f"is expected {minutes} minutes late", changes)


def _cancel_event(flight: Flight, at: datetime) -> Event:
    changes = {
        "status": "cancelled",
        "estimated_departure": None,
        "estimated_arrival": None,
        "cancel_reason": reason(flight),
        "seats_available": 0,
    }
    return _update(flight, at, "cancelled", f"is cancelled ({reason(flight)})", changes)


def _departure_event(seen: Outlook, at: datetime) -> Event:
    flight = seen.flight
    changes = {
        "status": "departed",
        "estimated_departure": flight.departure,
        "estimated_arrival": seen.expected_arrival,
        "actual_departure": flight.departure,
        "delay_minutes": flight.departure_delay,
        "tail_number": flight.tail_number,
        "seats_available": 0,
    }
    return _update(flight, at, "departed", "has left", changes)


def _arrival_event(flight: Flight, at: datetime) -> Event:
    if flight.diverted:
        return _update(flight, at, "landed", "landed after a diversion", {"actual_arrival": flight.arrival})
    changes = {
        "status": "arrived",
        "estimated_arrival": flight.arrival,
        "actual_arrival": flight.arrival,
        "arrival_delay_minutes": flight.arrival_delay,
    }
    return _update(flight, at, "arrived", "has arrived", changes)


def _update(flight: Flight, at: datetime, kind: str, said: str, changes: Mapping[str, Any]) -> Event:
    assigned = ", ".join(f"{column} = %s" for column in (*changes, "updated_at"))
    return Event(
        at=at,
        sql=f"UPDATE flights SET {assigned} WHERE flight_id = %s",
        parameters=(*changes.values(), at, flight.flight_id),
        kind=kind,
        description=f"{flight.code} {flight.origin}-{flight.destination} {said}",
    )
