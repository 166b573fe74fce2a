"""The generated work of the airline's desk: travellers of cancelled flights are rebooked, refunded, given vouchers.

The hand-picked customers are left alone: what happens to them is for the visitor to ask.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from springline.demo.announce import Outlook, reason
from springline.demo.featured import STORIES
from springline.demo.scenario import Event
from springline.demo.travel import Booking, seat_numbers, world

REBOOKED, REFUNDED, HOTEL = 0.55, 0.20, 0.30
"""Shares of the affected bookings; a hotel voucher comes on top, for flights cancelled by the storm."""

LEAST_NOTICE = timedelta(hours=3)
MEAL_AFTER_MINUTES = 120
HOTEL_AMOUNT, MEAL_AMOUNT = "75.00", "15.00"


class _Desk:
    """Bookings by the flight they are on at the moment, as the desk works through the cancellations."""

    def __init__(self, seed: int, outlooks: Sequence[Outlook]) -> None:
        self.random = Random(f"{seed}/desk")
        self.outlooks = {seen.flight.flight_id: seen for seen in outlooks}
        self.by_destination: dict[str, list[Outlook]] = {}
        for seen in outlooks:
            self.by_destination.setdefault(seen.flight.destination, []).append(seen)
        self.aboard: dict[int, list[tuple[int, Booking]]] = {}
        for number, booking in enumerate(world(seed).bookings, start=1):
            if number > len(STORIES):
                self.aboard.setdefault(booking.flight_id, []).append((number, booking))
        self.events: list[Event] = []
        self.vouchers: list[tuple[datetime, Booking, str, str, str]] = []

    def cancel(self, seen: Outlook, at: datetime) -> None:
        """Handle everyone who is booked on a flight at the moment of its cancellation."""
        for number, booking in self.aboard.pop(seen.flight.flight_id, []):
            if reason(seen.flight) == "weather" and self.random.random() < HOTEL:
                when = at + timedelta(minutes=self.random.randint(20, 300))
                self.vouchers.append(
                    (when, booking, "hotel", HOTEL_AMOUNT, f"{seen.flight.code} cancelled, weather")
                )
            draw = self.random.random()
            if draw < REBOOKED:
                self._rebook(seen, at + timedelta(minutes=self.random.randint(10, 360)), number, booking)
            elif draw < REBOOKED + REFUNDED:
                self._refund(seen, at + timedelta(minutes=self.random.randint(60, 1200)), number, booking)

    def _rebook(self, lost: Outlook, at: datetime, number: int, booking: Booking) -> None:
        """Onto the next flight to the same place that, as far as anybody knows then, will go."""
        for other in self.by_destination[lost.flight.destination]:
            known_cancelled = other.cancelled_at is not None and other.cancelled_at <= at
            if not known_cancelled and other.flight.scheduled_departure >= at + LEAST_NOTICE:
                break
        else:
            return
        target = other.flight
        seats = seat_numbers(self.random, booking.travellers, booking.fare == "business")
        self.aboard.setdefault(target.flight_id, []).append((number, booking))
        self.events.append(
            Event(
                at=at,
                sql=(
                    "UPDATE booking_flights SET flight_id = %s, seats = %s, status = 'rebooked', updated_at = %s"
                    " WHERE booking_flight_id = %s;"
                    " UPDATE bookings SET status = 'rebooked', updated_at = %s WHERE booking_reference = %s;"
                    " UPDATE flights SET seats_available = greatest(seats_available - %s, 0), updated_at = %s"
                    " WHERE flight_id = %s"
                ),
                parameters=(
                    target.flight_id,
                    seats,
                    at,
                    number,
                    at,
                    booking.reference,
                    booking.travellers,
                    at,
                    target.flight_id,
                ),
                kind="rebooked",
                description=f"A booking moves from {lost.flight.code} to {target.code} to {target.destination}",
            )
        )

    def _refund(self, lost: Outlook, at: datetime, number: int, booking: Booking) -> None:
        self.events.append(
            Event(
                at=at,
                sql=(
                    "UPDATE booking_flights SET status = 'cancelled', updated_at = %s WHERE booking_flight_id = %s;"
                    " UPDATE bookings SET status = 'refunded', updated_at = %s WHERE booking_reference = %s"
                ),
                parameters=(at, number, at, booking.reference),
                kind="refunded",
                description=f"A booking on {lost.flight.code} is refunded",
            )
        )

    def feed(self, seen: Outlook) -> None:
        """Meal vouchers for long delays that are within the airline's control."""
        long = [e for e in seen.estimates if e.departure - seen.flight.scheduled_departure >= _LONG]
        if not long or reason(seen.flight) != "operations":
            return
        for _, booking in self.aboard.get(seen.flight.flight_id, []):
            when = long[0].at + timedelta(minutes=self.random.randint(3, 15))
            self.vouchers.append(
                (when, booking, "meal", MEAL_AMOUNT, f"{seen.flight.code} delayed, operations")
            )


_LONG = timedelta(minutes=MEAL_AFTER_MINUTES)


def events(seed: int, outlooks: Sequence[Outlook]) -> list[Event]:
    """Rebookings, refunds and vouchers, in no particular order."""
    desk = _Desk(seed, outlooks)
    waiting = [
        (seen.cancelled_at, seen.flight.flight_id) for seen in outlooks if seen.cancelled_at is not None
    ]
    heapq.heapify(waiting)
    while waiting:
        at, flight_id = heapq.heappop(waiting)
        desk.cancel(desk.outlooks[flight_id], at)
    for seen in outlooks:
        desk.feed(seen)
    given = sorted(desk.vouchers, key=lambda voucher: voucher[0])
    return desk.events + [_voucher(number, *voucher) for number, voucher in enumerate(given, start=1)]


def _voucher(number: int, at: datetime, booking: Booking, kind: str, amount: str, why: str) -> Event:
    lasts = timedelta(hours=24) if kind == "meal" else timedelta(days=3)
    return Event(
        at=at,
        sql="INSERT INTO vouchers VALUES (%s, %s, %s, %s, %s, 'issued', %s, %s, %s)",
        parameters=(
            f"V-{number:06d}",
            booking.customer_id,
            booking.reference,
            kind,
            amount,
            why,
            at,
            at + lasts,
        ),
        kind="voucher",
        description=f"A {kind} voucher of ${amount} is given ({why})",
    )
