"""The demo's main scenario: an airline desk's database in New York, four days in February 2013.

Timetable, outcomes and weather are recorded; see ``data/README.md``. Customers, bookings, seats, prices and hotels
are generated from a seed. ``PROVENANCE`` says which is which, column by column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from springline.demo import blizzard, facts
from springline.demo.airline_schema import TABLES
from springline.demo.facts import STORM_END, STORM_START
from springline.demo.featured import STORIES
from springline.demo.scenario import Featured, Provenance, Scenario
from springline.demo.tables import Row, copy_rows, create_statements, provenance
from springline.demo.travel import FIRST_NIGHT, NIGHTS, World, world

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SEED = 2013
CLOCK_START, CLOCK_END = STORM_START, STORM_END
SPEED = 720.0
"""Storm seconds per real second: the four days take eight minutes."""

PROVENANCE: Mapping[str, Provenance] = provenance(TABLES)
FEATURED: tuple[Featured, ...] = tuple(story.featured() for story in STORIES)

MODELLED_STATUSES = frozenset({"delayed", "boarding"})


def provenance_of(column: str, value: object = None) -> Provenance:
    """Where one cell's fact comes from. ``column`` is ``table.column``.

    Finer than ``PROVENANCE`` in one place: of the flights' statuses, 'delayed' and 'boarding' are modelled, as the
    record holds outcomes only.
    """
    if column == "flights.status" and value in MODELLED_STATUSES:
        return "modelled"
    return PROVENANCE[column]


def is_created(connection: Connection) -> bool:
    """Whether ``create`` has finished on this database."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('hotel_rooms') IS NOT NULL")
        row = cursor.fetchone()
        return bool(row and row[0])


def create(connection: Connection, seed: int = SEED) -> None:
    """Make tables and rows as of ``CLOCK_START`` in one transaction, which this commits. Not idempotent."""
    made = world(seed)
    contents = rows(made)
    with connection, connection.cursor() as cursor:
        for table in TABLES:
            for statement in create_statements(table):
                cursor.execute(statement)
            copy_rows(cursor, table, contents[table.name])
        cursor.execute("CREATE INDEX ON bookings (customer_id)")
        cursor.execute("CREATE INDEX ON booking_flights (booking_reference)")


def scenario(seed: int = SEED) -> Scenario:
    """The blizzard as a demo. Pure: nothing is read or made before its functions are called."""
    return Scenario(
        name="blizzard",
        title="New York, February 2013",
        summary="The blizzard of 7-10 February 2013 at EWR, JFK and LGA: 3,375 real flights, 895 of them cancelled.",
        clock_start=CLOCK_START,
        clock_end=CLOCK_END,
        speed=SPEED,
        tables=tuple(table.name for table in TABLES),
        subject_table="customers",
        subject_key="customer_id",
        documents=policies(),
        provenance=PROVENANCE,
        featured=FEATURED,
        create=partial(create, seed=seed),
        is_created=is_created,
        events=partial(blizzard.plan, seed),
    )


def policies() -> tuple[Path, ...]:
    """The policy documents, by name. ``*.zh-TW.md`` and ``*.ja.md`` are translations."""
    return tuple(sorted((Path(__file__).parent / "policies").glob("*.md")))


def rows(made: World) -> Mapping[str, Iterator[Row]]:
    """The rows of every table as of ``CLOCK_START``, by table name."""
    return {
        "airlines": iter(facts.airlines()),
        "airports": (
            (airport.code, airport.name, airport.latitude, airport.longitude, airport.utc_offset_hours)
            for airport in facts.airports().values()
        ),
        "flights": _flights(made),
        "weather": (
            blizzard.weather_row(seen) for seen in facts.observations() if blizzard.published_at(seen) <= CLOCK_START
        ),
        "customers": (
            (
                owner.customer_id, owner.full_name, owner.native_name, owner.email, owner.phone, owner.language,
                owner.city, owner.created_at,
            )
            for owner in made.customers
        ),
        "loyalty": ((m.member_number, m.customer_id, m.tier, m.points, m.since) for m in made.memberships),
        "bookings": _bookings(made),
        "booking_flights": (
            (
                number, booking.reference, booking.flight_id, "business" if booking.fare == "business" else "economy",
                booking.seats, "confirmed", booking.booked_at,
            )
            for number, booking in enumerate(made.bookings, start=1)
        ),
        "connections": _connections(made),
        "vouchers": iter(()),
        "hotels": (
            (
                hotel.hotel_id, hotel.name, hotel.airport, hotel.distance_km, hotel.shuttle, hotel.pets_allowed,
                hotel.stars, hotel.distress_rate, hotel.phone,
            )
            for hotel in made.hotels
        ),
        "hotel_rooms": (
            (
                hotel.hotel_id, FIRST_NIGHT + timedelta(days=night), hotel.base_price, hotel.rooms_total,
                hotel.rooms_before[night], CLOCK_START,
            )
            for hotel in made.hotels
            for night in range(NIGHTS)
        ),
    }  # fmt: skip


def _flights(made: World) -> Iterator[Row]:
    """The timetable, with nothing that only the following days will tell."""
    for flight in facts.flights():
        offer = made.offers[flight.flight_id]
        yield (
            flight.flight_id, flight.code, flight.carrier, flight.origin, flight.destination, flight.service_date,
            flight.scheduled_departure, flight.scheduled_arrival, flight.scheduled_departure,
            flight.scheduled_arrival, None, None, "scheduled", None, 0, None, None, None, None, flight.distance,
            offer.seats_total, offer.seats_available, offer.price, CLOCK_START,
        )  # fmt: skip


def _bookings(made: World) -> Iterator[Row]:
    for booking in made.bookings:
        yield (
            booking.reference, booking.customer_id, "confirmed", booking.fare, booking.adults, booking.children,
            booking.checked_bags, booking.pet, booking.special_request, booking.total_price, booking.contact_email,
            booking.contact_phone, booking.booked_at, booking.booked_at,
        )  # fmt: skip


def _connections(made: World) -> Iterator[Row]:
    destination = {flight.flight_id: flight.destination for flight in facts.flights()}
    with_onward = [booking for booking in made.bookings if booking.onward is not None]
    for number, booking in enumerate(with_onward, start=1):
        onward = booking.onward
        assert onward is not None
        yield (
            number, booking.reference, destination[booking.flight_id], onward.flight_code, onward.destination,
            onward.departure, onward.minimum_minutes,
        )  # fmt: skip
