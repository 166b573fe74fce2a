"""Generated demand: seats sell, fares and room prices move, hotels near a closed airport fill up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random

from springline.demo.announce import Outlook
from springline.demo.facts import NEW_YORK, STORM_START
from springline.demo.scenario import Event
from springline.demo.travel import FIRST_NIGHT, NIGHTS, Hotel, world

SALES_CLOSE = timedelta(minutes=70)
SECONDS_PER_SALE = 6 * 3600
HIGHEST_PRICE = 2.6
"""Of a room, as a multiple of its price before the storm."""


def events(seed: int, outlooks: Sequence[Outlook]) -> list[Event]:
    """Seat and room sales, in no particular order."""
    sold = [
        event for seen in outlooks for event in _seats(Random(f"{seed}/seats/{seen.flight.flight_id}"), seen)
    ]
    for hotel in world(seed).hotels:
        random = Random(f"{seed}/hotel/{hotel.hotel_id}")
        for index in range(NIGHTS):
            sold += _rooms(random, hotel, FIRST_NIGHT + timedelta(days=index), outlooks)
    return sold + [_closing(FIRST_NIGHT + timedelta(days=index)) for index in range(NIGHTS)]


def _closing(night: date) -> Event:
    """Rooms of a night that is over are off sale."""
    at = datetime(night.year, night.month, night.day, 4, 0, tzinfo=NEW_YORK) + timedelta(days=1)
    return Event(
        at=at,
        sql="UPDATE hotel_rooms SET rooms_available = 0, updated_at = %s WHERE night = %s AND rooms_available > 0",
        parameters=(at, night),
        kind="rooms",
        description=f"the night of {night.day} February is over: no more rooms",
    )


def _seats(random: Random, seen: Outlook) -> list[Event]:
    """Up to five sales on one flight, before the desk closes or the flight is cancelled; fewer in a short time."""
    flight = seen.flight
    closes = (seen.cancelled_at or flight.scheduled_departure) - SALES_CLOSE
    opens = max(STORM_START, flight.scheduled_departure - timedelta(hours=60))
    seconds = int((closes - opens).total_seconds())
    if seconds <= 0:
        return []
    sales: list[Event] = []
    for _ in range(min(random.randint(2, 5), 1 + seconds // SECONDS_PER_SALE)):
        at = opens + timedelta(seconds=random.randrange(seconds))
        count = random.choices((1, 2, 3, 4), (50, 30, 12, 8))[0]
        factor = random.choice((1, 1, 1, 1.04, 1.08, 1.15))
        sales.append(
            Event(
                at=at,
                sql=(
                    "UPDATE flights SET seats_available = greatest(seats_available - %s, 0),"
                    " price = round(price * %s::numeric, 0), updated_at = %s WHERE flight_id = %s"
                ),
                parameters=(count, factor, at, flight.flight_id),
                kind="seats",
                description=f"{count} sold on {flight.code} {flight.origin}-{flight.destination}",
            )
        )
    return sales


def _rooms(random: Random, hotel: Hotel, night: date, outlooks: Sequence[Outlook]) -> list[Event]:
    """Sales of one night, following the cancellations at the hotel's airport for that day, then some returned rooms."""
    evening = datetime(night.year, night.month, night.day, 23, 30, tzinfo=NEW_YORK)
    demand = [
        seen.cancelled_at
        for seen in outlooks
        if seen.cancelled_at and seen.flight.origin == hotel.airport and seen.flight.service_date == night
    ]
    usual = [evening - timedelta(minutes=random.randint(30, 2400)) for _ in range(random.randint(2, 5))]
    rush = random.sample(demand, min(len(demand) // 8, 16))
    moments = [(at, False) for at in usual]
    moments += [(at + timedelta(minutes=random.randint(2, 90)), True) for at in rush]
    price, sales = hotel.base_price, list[Event]()
    for at, rushed in sorted(moments):
        at = min(max(at, STORM_START + timedelta(minutes=1)), evening)
        rooms = random.randint(1, max(2, hotel.rooms_total // 22)) if rushed else random.choice((1, 1, 2, -1))
        price = (
            min(round(price * random.uniform(1.03, 1.12)), round(hotel.base_price * HIGHEST_PRICE))
            if rushed
            else price
        )
        sales.append(
            Event(
                at=at,
                sql=(
                    "UPDATE hotel_rooms SET rooms_available ="
                    " least(greatest(rooms_available - %s, 0), rooms_total),"
                    " price = %s, updated_at = %s WHERE hotel_id = %s AND night = %s"
                ),
                parameters=(rooms, price, at, hotel.hotel_id, night),
                kind="rooms",
                description=f"{hotel.name}, night of {night.day} February: ${price}",
            )
        )
    return sales
