"""Invented bookings, seats and hotels on the recorded flights, all from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from random import Random

from springline.demo import facts, people
from springline.demo.facts import NEW_YORK, Flight
from springline.demo.featured import STORIES, Onward, Story
from springline.demo.people import Membership, Person

CUSTOMER_COUNT = 2_000
SECOND_BOOKING_SHARE = 0.42
CONNECTION_SHARE = 0.14
DAY_WEIGHTS = {date(2013, 2, 7): 14, date(2013, 2, 8): 42, date(2013, 2, 9): 28, date(2013, 2, 10): 16}
FIRST_NIGHT, NIGHTS = date(2013, 2, 7), 6

REGIONAL_CARRIERS = frozenset({"9E", "EV", "MQ", "OO", "YV"})
FARES = {"basic": 0.78, "standard": 1.0, "flex": 1.45, "business": 3.1}
FARE_WEIGHTS = (30, 46, 16, 8)
PETS = ("cat", "small dog", "rabbit")
REQUESTS = (
    "wheelchair to the gate",
    "vegetarian meal",
    "infant bassinet",
    "hearing assistance",
    "travelling with cello",
)
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

ONWARD = {
    "ATL": ("CUN", "EZE", "BNA"), "CLT": ("CHS", "SAV"), "DEN": ("BZN", "ASE"), "DFW": ("MEX", "AUS", "GIG"),
    "DTW": ("GRR", "NGO"), "IAD": ("ADD", "FRA"), "IAH": ("GDL", "BOG", "LIM"), "LAX": ("HNL", "SYD", "TPE", "HND"),
    "MIA": ("BOG", "GRU", "KIN"), "MSP": ("FAR", "ANC"), "ORD": ("MSN", "DSM", "ICN"), "PHX": ("YUM", "PVR"),
    "SEA": ("ANC", "NRT"), "SFO": ("TPE", "NRT", "HKG", "EUG"),
}  # fmt: skip

HOTEL_NAMES = {
    "EWR": ("Ironbound Court Hotel", "Runway 22 Lodge", "Passaic Meadows Inn", "Newark Lantern Hotel",
            "Port Street Suites", "Turnpike Rest"),
    "JFK": ("Jamaica Bay House", "Idlewild Hotel", "Conduit Garden Inn", "Rockaway Light Suites", "Liberty Avenue Rest",
            "Howard Beach Lodge"),
    "LGA": ("Flushing Bay Hotel", "Astoria Boulevard Inn", "Ditmars Court", "Grand Central Parkway Lodge",
            "Shea Meadow Suites", "Marine Terminal Rest"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """What is sold on a flight before the storm."""

    seats_total: int
    seats_available: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Booking:
    reference: str
    customer_id: str
    flight_id: int
    fare: str
    adults: int
    children: int
    checked_bags: int
    pet: str | None
    special_request: str | None
    total_price: Decimal
    contact_email: str
    contact_phone: str
    seats: str
    booked_at: datetime
    onward: Onward | None

    @property
    def travellers(self) -> int:
        return self.adults + self.children


@dataclass(frozen=True, slots=True)
class Hotel:
    hotel_id: int
    name: str
    airport: str
    distance_km: Decimal
    shuttle: bool
    pets_allowed: bool
    stars: int
    base_price: int
    distress_rate: int
    phone: str
    rooms_total: int
    rooms_before: tuple[int, ...]
    """Rooms for sale on each night before the storm."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything generated, in a fixed order. ``offers`` is keyed by flight id."""

    customers: tuple[Person, ...]
    memberships: tuple[Membership, ...]
    bookings: tuple[Booking, ...]
    offers: dict[int, Offer]
    hotels: tuple[Hotel, ...]


@cache
def world(seed: int) -> World:
    """Pure: the same seed gives the same people, bookings and hotels on every machine and Python version."""
    random = Random(seed)
    flights = facts.flights()
    offers = {flight.flight_id: _offer(random, flight) for flight in flights}
    customers = [story.person for story in STORIES]
    memberships = [
        people.membership(random, story.person, index, story.tier)
        for index, story in enumerate(STORIES)
        if story.tier is not None
    ]
    references = _References(random)
    bookings = [_story_booking(random, story, flights) for story in STORIES]
    by_day = {day: [flight for flight in flights if flight.service_date == day] for day in DAY_WEIGHTS}
    for index in range(len(STORIES) + 1, CUSTOMER_COUNT + 1):
        owner = people.person(random, index)
        customers.append(owner)
        if random.random() < people.MEMBER_SHARE:
            memberships.append(people.membership(random, owner, index))
        count = 2 if random.random() < SECOND_BOOKING_SHARE else 1
        for day in _days(random, count):
            flight = random.choice(by_day[day])
            bookings.append(_booking(random, references, owner, flight, offers[flight.flight_id]))
    return World(tuple(customers), tuple(memberships), tuple(bookings), offers, _hotels(random))


class _References:
    """Draws booking references and never the same one twice."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._used = {story.reference for story in STORIES}

    def next(self) -> str:
        while True:
            reference = "".join(self._random.choices(LETTERS, k=6))
            if reference not in self._used:
                self._used.add(reference)
                return reference


def seat_numbers(random: Random, travellers: int, business: bool) -> str:
    row = random.randint(1, 4) if business else random.randint(8, 34)
    return " ".join(f"{row + place // 6}{'ABCDEF'[place % 6]}" for place in range(travellers))


def _days(random: Random, count: int) -> list[date]:
    days = list(DAY_WEIGHTS)
    chosen = random.choices(days, list(DAY_WEIGHTS.values()))
    if count == 2:
        chosen.append(random.choice([day for day in days if day != chosen[0]]))
    return chosen


def _offer(random: Random, flight: Flight) -> Offer:
    if flight.carrier in REGIONAL_CARRIERS:
        seats = random.choice((50, 66, 76))
    elif flight.distance > 2_000:
        seats = random.choice((166, 182, 226))
    else:
        seats = random.choice((124, 143, 150, 160))
    price = Decimal(round((79 + 0.11 * flight.distance) * random.uniform(0.8, 1.35)))
    return Offer(seats, random.randint(3, seats // 4), price)


def _booking(random: Random, references: _References, owner: Person, flight: Flight, offer: Offer) -> Booking:
    fare = random.choices(list(FARES), FARE_WEIGHTS)[0]
    adults = random.choices((1, 2, 3), (62, 32, 6))[0]
    children = random.choices((0, 1, 2, 3), (82, 9, 7, 2))[0] if fare != "business" else 0
    price = offer.price * Decimal(str(FARES[fare])) * (adults + children)
    onward = None
    if flight.destination in ONWARD and random.random() < CONNECTION_SHARE:
        minutes = random.randrange(55, 200, 5)
        onward = Onward(
            f"{flight.carrier} {random.randint(5000, 7999)}",
            random.choice(ONWARD[flight.destination]),
            flight.scheduled_arrival + timedelta(minutes=minutes),
            random.choice((35, 40, 45, 60)),
        )
    return Booking(
        reference=references.next(),
        customer_id=owner.customer_id,
        flight_id=flight.flight_id,
        fare=fare,
        adults=adults,
        children=children,
        checked_bags=random.randrange(adults + 1),
        pet=random.choice(PETS) if random.random() < 0.03 else None,
        special_request=random.choice(REQUESTS) if random.random() < 0.06 else None,
        total_price=price.quantize(Decimal("0.01")),
        contact_email=_retyped_email(random, owner.email),
        contact_phone=_retyped_phone(random, owner.phone),
        seats=seat_numbers(random, adults + children, fare == "business"),
        booked_at=datetime(2013, 2, 6, 20, tzinfo=NEW_YORK) - timedelta(minutes=random.randrange(90 * 1440)),
        onward=onward,
    )


def _story_booking(random: Random, story: Story, flights: Sequence[Flight]) -> Booking:
    """The booking of a hand-picked customer, on the recorded flight that the story names."""
    flight = next(
        flight
        for flight in flights
        if (flight.service_date.day, flight.code, flight.origin)
        == (story.day, story.flight_code, story.origin)
    )
    return Booking(
        reference=story.reference,
        customer_id=story.person.customer_id,
        flight_id=flight.flight_id,
        fare=story.fare,
        adults=story.adults,
        children=story.children,
        checked_bags=story.checked_bags,
        pet=story.pet,
        special_request=story.special_request,
        total_price=Decimal(story.total_price),
        contact_email=story.person.email,
        contact_phone=story.person.phone,
        seats=seat_numbers(random, story.adults + story.children, story.fare == "business"),
        booked_at=datetime(2013, 1, 9, 10, 30, tzinfo=NEW_YORK) + timedelta(hours=7 * story.day),
        onward=story.onward,
    )


def _retyped_email(random: Random, address: str) -> str:
    """People do not always type their address as they did when they opened the account."""
    return address.capitalize() if random.random() < 0.1 else address


def _retyped_phone(random: Random, number: str) -> str:
    style = random.random()
    _, area, exchange, line = number.split(" ")
    if style < 0.15:
        return f"({area}) {exchange}-{line}"
    return f"{area}-{exchange}-{line}" if style < 0.25 else number


def _hotels(random: Random) -> tuple[Hotel, ...]:
    hotels: list[Hotel] = []
    for airport, names in HOTEL_NAMES.items():
        for name in names:
            stars = random.choice((2, 3, 3, 4))
            base = 45 + 35 * stars + random.randrange(30)
            rooms = random.choice((40, 60, 80, 120))
            hotels.append(
                Hotel(
                    hotel_id=len(hotels) + 1,
                    name=name,
                    airport=airport,
                    distance_km=Decimal(random.randrange(8, 95)) / 10,
                    shuttle=random.random() < 0.7,
                    pets_allowed=len(hotels) % 3 == 1,
                    stars=stars,
                    base_price=base,
                    distress_rate=round(base * 0.65),
                    phone=people.phone(2_300 + len(hotels)),
                    rooms_total=rooms,
                    rooms_before=tuple(random.randint(rooms // 3, rooms * 4 // 5) for _ in range(NIGHTS)),
                )
            )
    return tuple(hotels)
