"""The recorded facts of 7–10 February 2013, read from the extract in ``data/``. See its README for the source."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from importlib.resources import files

NEW_YORK = timezone(timedelta(hours=-5), "EST")
"""New York's clock in February. A fixed offset, so that no time zone database is needed."""

STORM_START = datetime(2013, 2, 7, 4, tzinfo=NEW_YORK)
STORM_END = datetime(2013, 2, 11, 6, tzinfo=NEW_YORK)
"""The replayed time: from before the first departure until after the last recorded arrival."""

SHORTEST_FLIGHT = timedelta(minutes=20)


@dataclass(frozen=True, slots=True)
class Airport:
    code: str
    name: str
    latitude: float
    longitude: float
    utc_offset_hours: int

    @property
    def zone(self) -> timezone:
        return timezone(timedelta(hours=self.utc_offset_hours))


@dataclass(frozen=True, slots=True)
class Flight:
    """One scheduled departure and what became of it. Delays and ``air_time`` are minutes, ``distance`` miles.

    ``departure`` is None for a cancelled flight. ``arrival`` is also None for some diverted flights, and for others
    it is when they landed, wherever that was.
    """

    flight_id: int
    carrier: str
    number: int
    origin: str
    destination: str
    service_date: date
    scheduled_departure: datetime
    scheduled_arrival: datetime
    departure: datetime | None
    departure_delay: int | None
    arrival: datetime | None
    arrival_delay: int | None
    tail_number: str | None
    air_time: int | None
    distance: int

    @property
    def code(self) -> str:
        return f"{self.carrier} {self.number}"

    @property
    def cancelled(self) -> bool:
        return self.departure is None

    @property
    def scheduled_duration(self) -> timedelta:
        return self.scheduled_arrival - self.scheduled_departure

    @property
    def diverted(self) -> bool:
        return self.departure is not None and self.air_time is None


@dataclass(frozen=True, slots=True)
class Observation:
    """The weather at an airport: °F, percent, degrees, mph, inches per hour, hPa, miles."""

    airport: str
    observed_at: datetime
    temperature: float | None
    dew_point: float | None
    humidity: float | None
    wind_direction: int | None
    wind_speed: float | None
    wind_gust: float | None
    precipitation: float | None
    pressure: float | None
    visibility: float | None


def _rows(name: str) -> Iterator[dict[str, str]]:
    packed = files("springline.demo").joinpath("data", name).read_bytes()
    return csv.DictReader(io.StringIO(gzip.decompress(packed).decode()))


@cache
def airlines() -> tuple[tuple[str, str], ...]:
    """(code, name) of every operating airline."""
    return tuple((row["code"], row["name"]) for row in _rows("airlines.csv.gz"))


@cache
def airports() -> dict[str, Airport]:
    return {
        row["code"]: Airport(
            row["code"],
            row["name"],
            float(row["latitude"]),
            float(row["longitude"]),
            int(row["utc_offset_hours"]),
        )
        for row in _rows("airports.csv.gz")
    }


@cache
def flights() -> tuple[Flight, ...]:
    """Every flight, by scheduled departure. ``flight_id`` is 1, 2, … in the extract's order, so it is stable."""
    return tuple(_flight(index, row) for index, row in enumerate(_rows("flights.csv.gz"), start=1))


@cache
def observations() -> tuple[Observation, ...]:
    """Every observation, by time and airport."""
    return tuple(_observation(row) for row in _rows("weather.csv.gz"))


def _flight(flight_id: int, row: dict[str, str]) -> Flight:
    day = date(int(row["year"]), int(row["month"]), int(row["day"]))
    scheduled = _local(day, int(row["sched_dep_time"]), NEW_YORK)
    scheduled_arrival = _next_local(scheduled, int(row["sched_arr_time"]), airports()[row["dest"]].zone)
    departure_delay = _optional_int(row["dep_delay"])
    departure = None if departure_delay is None else scheduled + timedelta(minutes=departure_delay)
    arrival_delay = _optional_int(row["arr_delay"])
    arrival: datetime | None = None
    if arrival_delay is not None:
        arrival = scheduled_arrival + timedelta(minutes=arrival_delay)
    elif row["arr_time"] and departure is not None:
        # A diverted flight has no arrival delay, but it may have a time at which it finally arrived.
        arrival = _next_local(departure, int(row["arr_time"]), airports()[row["dest"]].zone)
    return Flight(
        flight_id=flight_id,
        carrier=row["carrier"],
        number=int(row["flight"]),
        origin=row["origin"],
        destination=row["dest"],
        service_date=day,
        scheduled_departure=scheduled,
        scheduled_arrival=scheduled_arrival,
        departure=departure,
        departure_delay=departure_delay,
        arrival=arrival,
        arrival_delay=arrival_delay,
        tail_number=row["tailnum"] or None,
        air_time=_optional_int(row["air_time"]),
        distance=int(row["distance"]),
    )


def _observation(row: dict[str, str]) -> Observation:
    direction = _optional_float(row["wind_dir"])
    return Observation(
        airport=row["origin"],
        observed_at=datetime.fromisoformat(row["time_hour"]).astimezone(NEW_YORK),
        temperature=_optional_float(row["temp"]),
        dew_point=_optional_float(row["dewp"]),
        humidity=_optional_float(row["humid"]),
        wind_direction=None if direction is None else int(direction),
        wind_speed=_optional_float(row["wind_speed"]),
        wind_gust=_optional_float(row["wind_gust"]),
        precipitation=_optional_float(row["precip"]),
        pressure=_optional_float(row["pressure"]),
        visibility=_optional_float(row["visib"]),
    )


def _local(day: date, hhmm: int, zone: timezone) -> datetime:
    """The moment that a clock in ``zone`` shows ``hhmm`` on that day; 2400 is the midnight that ends it."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return midnight + timedelta(hours=hhmm // 100, minutes=hhmm % 100)


def _next_local(after: datetime, hhmm: int, zone: timezone) -> datetime:
    """The first time after a departure that a clock in ``zone`` shows ``hhmm``, a flight's length later at least."""
    day = after.astimezone(zone).date() - timedelta(days=1)
    candidate = _local(day, hhmm, zone)
    while candidate < after + SHORTEST_FLIGHT:
        candidate += timedelta(days=1)
    return candidate


def _optional_int(text: str) -> int | None:
    return int(text) if text else None


def _optional_float(text: str) -> float | None:
    return float(text) if text else None
