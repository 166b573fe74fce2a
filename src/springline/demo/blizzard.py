"""The storm as a list of database changes: ``plan(seed)``.

Flights are announced as ``announce`` models it. Observations appear four minutes after they were made. Seats sell,
prices move and hotels fill by the generated market of ``market``; travellers of cancelled flights are rebooked,
refunded or given vouchers by the generated desk of ``desk``. Nothing is decided with knowledge from later on the
storm's clock: the desk rebooks people onto flights that are themselves cancelled some hours afterwards.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from springline.demo import announce, desk, facts, market
from springline.demo.facts import STORM_END, STORM_START, Observation
from springline.demo.scenario import Event
from springline.demo.tables import Value

PUBLICATION_LAG = timedelta(minutes=4)


@cache
def plan(seed: int) -> tuple[Event, ...]:
    """Every change of the four days in order of time; of the same moment, in a fixed order. Pure."""
    seen = announce.outlooks(seed)
    planned = [event for outlook in seen for event in announce.events(outlook)]
    planned += [_weather_event(observation) for observation in facts.observations()]
    planned += market.events(seed, seen)
    planned += desk.events(seed, seen)
    within = (event for event in planned if STORM_START < event.at <= STORM_END)
    return tuple(sorted(within, key=lambda event: event.at))


def published_at(observation: Observation) -> datetime:
    return observation.observed_at + PUBLICATION_LAG


def weather_row(seen: Observation) -> tuple[Value, ...]:
    """In the order of the ``weather`` table's columns."""
    return (
        seen.airport,
        seen.observed_at,
        seen.temperature,
        seen.dew_point,
        seen.humidity,
        seen.wind_direction,
        seen.wind_speed,
        seen.wind_gust,
        seen.precipitation,
        seen.pressure,
        seen.visibility,
    )


def _weather_event(seen: Observation) -> Event:
    row = weather_row(seen)
    return Event(
        at=published_at(seen),
        sql=f"INSERT INTO weather VALUES ({', '.join(['%s'] * len(row))}) ON CONFLICT DO NOTHING",
        parameters=row,
        kind="weather",
        description=f"{seen.airport} reports {seen.temperature} F, wind {seen.wind_speed} mph",
    )
