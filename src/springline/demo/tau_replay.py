"""Two generated days at the tau airline: 15 May 2024 15:00 to 17 May 03:00. All of it is made up, from a seed.

Flights in the air land near their estimate. Flights that are on time or delayed leave near theirs, after one more delay
or a cancellation for some. The 16th's flights sell seats and change prices until four hours before the timetable; then
sales close (their ``cabins`` rows are deleted) and they are on time, delayed or, one in six, cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from random import Random
from typing import Any

from springline.demo.scenario import Event

EASTERN = timezone(timedelta(hours=-5), "EST")
"""The data set says EST, also in May."""

CLOCK_START = datetime(2024, 5, 15, 15, tzinfo=EASTERN)
CLOCK_END = datetime(2024, 5, 17, 3, tzinfo=EASTERN)
DAYS = (date(2024, 5, 15), date(2024, 5, 16))
SALES_CLOSE = timedelta(hours=4)
CANCELLED, DELAYED = 1 / 6, 1 / 3


@dataclass(frozen=True, slots=True)
class Instance:
    """One flight on one day as the data set has it. ``cabins`` is empty unless it can be booked."""

    flight_number: str
    day: date
    status: str
    scheduled_departure: datetime
    scheduled_arrival: datetime
    estimated_departure: datetime | None
    estimated_arrival: datetime | None
    actual_departure: datetime | None
    actual_arrival: datetime | None
    cabins: tuple[str, ...]


def plan(seed: int, instances: Sequence[Instance]) -> tuple[Event, ...]:
    """Every change in order of time, within the two days. Pure."""
    events = [
        event
        for seen in instances
        if seen.day in DAYS and seen.status not in ("landed", "cancelled")
        for event in _events(Random(f"{seed}/{seen.flight_number}/{seen.day}"), seen)
    ]
    return tuple(sorted((e for e in events if CLOCK_START < e.at <= CLOCK_END), key=lambda event: event.at))


def instance_key(event: Event) -> tuple[str, str]:
    """(flight number, day) of the instance that an event of this plan changes."""
    return str(event.parameters[-2]), str(event.parameters[-1])


def _events(random: Random, seen: Instance) -> list[Event]:
    if seen.status == "flying":
        return [_landing(random, seen, seen.estimated_arrival or seen.scheduled_arrival)]
    if seen.status == "available":
        announced = _from_opening_of_the_gate(random, seen)
        return _sales(random, seen, closes=announced[0].at) + announced
    return _departure(random, seen, seen.estimated_departure or seen.scheduled_departure)


def _sales(random: Random, seen: Instance, closes: datetime) -> list[Event]:
    """Some in each cabin until sales close, at the first announcement."""
    seconds = int((closes - CLOCK_START).total_seconds())
    if seconds <= 60:
        return []
    sold: list[Event] = []
    for cabin in seen.cabins:
        for _ in range(random.randint(1, 4)):
            at = CLOCK_START + timedelta(seconds=random.randrange(60, seconds))
            count, step = random.choice((1, 1, 2, 3)), random.choice((-6, 0, 5, 9, 14))
            sold.append(
                Event(
                    at=at,
                    sql=(
                        "UPDATE cabins SET seats_available = greatest(seats_available - %s, 0),"
                        " price = greatest(price + %s, 20)"
                        " WHERE cabin = %s AND flight_number = %s AND flight_date = %s"
                    ),
                    parameters=(count, step, cabin, seen.flight_number, seen.day),
                    kind="seats",
                    description=f"{count} sold on {seen.flight_number} of {seen.day:%d %B}, {cabin}",
                )
            )
    return sold


def _from_opening_of_the_gate(random: Random, seen: Instance) -> list[Event]:
    """Sales close and the flight is on time, late or cancelled."""
    closes = max(seen.scheduled_departure - SALES_CLOSE, CLOCK_START + timedelta(minutes=1))
    draw = random.random()
    if draw < CANCELLED:
        at = closes - timedelta(minutes=random.randint(0, 240))
        return [_cancellation(seen, max(at, CLOCK_START + timedelta(minutes=1)))]
    late = 0 if draw > CANCELLED + DELAYED else random.randrange(30, 200, 5)
    departure = seen.scheduled_departure + timedelta(minutes=late)
    opened = _update(
        seen,
        closes,
        "delayed" if late else "on time",
        {
            "status": "delayed" if late else "on time",
            "estimated_departure": departure,
            "estimated_arrival": seen.scheduled_arrival + timedelta(minutes=late),
        },
        also=_CLOSE_SALES,
    )
    return [opened, *_departure(random, seen, departure)]


def _departure(random: Random, seen: Instance, expected: datetime) -> list[Event]:
    """Leave near the expected time; some are first called later still, and some do not leave."""
    draw = random.random()
    told = max(expected - timedelta(minutes=random.randint(45, 150)), CLOCK_START + timedelta(minutes=2))
    if seen.status != "available" and draw < CANCELLED:
        return [_cancellation(seen, told)]
    made: list[Event] = []
    if draw < CANCELLED + 0.2:
        expected += timedelta(minutes=random.randrange(20, 120, 5))
        arrival = expected + (seen.scheduled_arrival - seen.scheduled_departure)
        changes = {"status": "delayed", "estimated_departure": expected, "estimated_arrival": arrival}
        made.append(_update(seen, told, "delayed", changes))
    left = max(expected + timedelta(minutes=random.randint(-5, 12)), told + timedelta(minutes=20))
    arrival = (
        left + (seen.scheduled_arrival - seen.scheduled_departure) - timedelta(minutes=random.randint(0, 10))
    )
    changes = {"status": "flying", "actual_departure": left, "estimated_arrival": arrival}
    made.append(_update(seen, left, "flying", changes))
    return [*made, _landing(random, seen, arrival)]


def _landing(random: Random, seen: Instance, expected: datetime) -> Event:
    at = max(expected + timedelta(minutes=random.randint(-8, 15)), CLOCK_START + timedelta(minutes=3))
    return _update(seen, at, "landed", {"status": "landed", "actual_arrival": at, "estimated_arrival": None})


def _cancellation(seen: Instance, at: datetime) -> Event:
    changes = {"status": "cancelled", "estimated_departure": None, "estimated_arrival": None}
    return _update(seen, at, "cancelled", changes, also=_CLOSE_SALES if seen.status == "available" else "")


_CLOSE_SALES = "DELETE FROM cabins WHERE flight_number = %s AND flight_date = %s"


def _update(seen: Instance, at: datetime, kind: str, changes: Mapping[str, Any], also: str = "") -> Event:
    """One change of the instance's row, and a second statement over the same key if there is one."""
    assigned = ", ".join(f"{column} = %s" for column in (*changes, "updated_at"))
    key = (seen.flight_number, seen.day)
    return Event(
        at=at,
        sql=f"UPDATE flight_dates SET {assigned} WHERE flight_number = %s AND flight_date = %s"
        + (also and f"; {also}"),
        parameters=(*changes.values(), at, *key, *(key if also else ())),
        kind=kind,
        description=f"{seen.flight_number} of {seen.day:%d %B} is {changes['status']}",
    )
