"""How each scenario asks for a customer's flights: the fleet's question, in PostgreSQL's words and in ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Examples = Callable[[Sequence[Mapping[str, Any]]], Iterable[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class FlightSql:
    """Statements for PostgreSQL, except ``snapshot``, which is for Springline and the twin.

    ``truth`` and ``snapshot`` take the customer and give flight (a name that is the same in both), status and delay_minutes;
    further columns of ``truth`` are for ``examples``. ``travellers`` takes ``now`` on the storm's clock and gives the
    customers who would ask then. ``customers`` takes ``pattern`` and ``limit``; ``customer`` takes the customer.
    """

    truth: str
    snapshot: str
    travellers: str
    customers: str
    customer: str
    examples: Examples


def _literal(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _blizzard_examples(flights: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for flight in flights[:1]:
        number = int(flight["flight_id"])
        code = flight["flight_code"]
        yield (
            f"Cancel {code}",
            f"UPDATE flights\nSET status = 'cancelled', cancel_reason = 'weather',\n"
            f"    estimated_departure = NULL, estimated_arrival = NULL\nWHERE flight_id = {number};",
        )
        yield (
            f"Delay {code} by 95 minutes",
            f"UPDATE flights\nSET status = 'delayed', delay_minutes = 95, delay_reason = 'weather',\n"
            f"    estimated_departure = scheduled_departure + interval '95 minutes'\nWHERE flight_id = {number};",
        )
        yield (
            f"Put {code} back on time",
            "UPDATE flights\nSET status = 'scheduled', delay_minutes = 0, delay_reason = NULL, cancel_reason = NULL,\n"
            f"    estimated_departure = scheduled_departure\nWHERE flight_id = {number};",
        )
        yield (
            f"Move {code} to gate B42",
            f"UPDATE flights SET gate = 'B42' WHERE flight_id = {number};",
        )
        yield (
            "Sell out the hotels at " + str(flight["origin"]),
            "UPDATE hotel_rooms SET rooms_available = 0\nWHERE hotel_id IN (SELECT hotel_id FROM hotels "
            f"WHERE airport_code = {_literal(flight['origin'])});",
        )


_BLIZZARD_FLIGHTS = """
SELECT f.flight_code || ' · ' || f.service_date AS flight, f.status, f.delay_minutes,
       f.flight_id, f.flight_code, f.origin, f.destination
FROM bookings AS b
JOIN booking_flights AS bf ON bf.booking_reference = b.booking_reference
JOIN flights AS f ON f.flight_id = bf.flight_id
WHERE b.customer_id = %(customer)s
ORDER BY f.scheduled_departure"""

BLIZZARD = FlightSql(
    truth=_BLIZZARD_FLIGHTS,
    snapshot="SELECT flight, status, delay_minutes FROM customer_flights WHERE customer_id = :customer",
    travellers="""
SELECT DISTINCT b.customer_id
FROM flights AS f
JOIN booking_flights AS bf ON bf.flight_id = f.flight_id
JOIN bookings AS b ON b.booking_reference = bf.booking_reference
WHERE f.scheduled_departure BETWEEN %(now)s - interval '2 hours' AND %(now)s + interval '12 hours'""",
    customers="""
SELECT customer_id AS subject, coalesce(native_name || ' (' || full_name || ')', full_name) AS name,
       preferred_language AS language
FROM customers
WHERE customer_id ILIKE %(pattern)s OR full_name ILIKE %(pattern)s OR native_name LIKE %(pattern)s
ORDER BY customer_id LIMIT %(limit)s""",
    customer="""
SELECT customer_id AS subject, coalesce(native_name || ' (' || full_name || ')', full_name) AS name,
       preferred_language AS language
FROM customers WHERE customer_id = %(customer)s""",
    examples=_blizzard_examples,
)


def _tau_examples(flights: Sequence[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for flight in flights[-1:]:
        number, day = _literal(flight["flight_number"]), _literal(flight["flight_date"])
        named = f"{flight['flight_number']} on {flight['flight_date']}"
        for status, title in (
            ("cancelled", "Cancel"),
            ("delayed", "Delay"),
            ("on time", "Put back on time:"),
        ):
            yield (
                f"{title} {named}",
                f"UPDATE flight_dates SET status = '{status}'\nWHERE flight_number = {number} AND flight_date = {day};",
            )
        yield (
            f"Last two seats on {named}",
            f"UPDATE cabins SET seats_available = 2\nWHERE flight_number = {number} AND flight_date = {day};",
        )


TAU_AIRLINE = FlightSql(
    truth="""
SELECT rf.flight_number || ' · ' || rf.flight_date AS flight, d.status, NULL AS delay_minutes, rf.flight_number,
       rf.flight_date
FROM reservations AS r
JOIN reservation_flights AS rf ON rf.reservation_id = r.reservation_id
JOIN flight_dates AS d ON d.flight_number = rf.flight_number AND d.flight_date = rf.flight_date
WHERE r.user_id = %(customer)s
ORDER BY rf.flight_date, rf.position""",
    snapshot="SELECT flight, status FROM customer_flights WHERE user_id = :customer",
    travellers="""
SELECT DISTINCT r.user_id
FROM reservations AS r
JOIN reservation_flights AS rf ON rf.reservation_id = r.reservation_id
WHERE rf.flight_date BETWEEN (%(now)s)::date AND (%(now)s)::date + 1""",
    customers="""
SELECT user_id AS subject, first_name || ' ' || last_name AS name, 'en' AS language
FROM users
WHERE user_id ILIKE %(pattern)s OR first_name || ' ' || last_name ILIKE %(pattern)s
ORDER BY user_id LIMIT %(limit)s""",
    customer="""
SELECT user_id AS subject, first_name || ' ' || last_name AS name, 'en' AS language
FROM users WHERE user_id = %(customer)s""",
    examples=_tau_examples,
)

FLIGHT_SQL: Mapping[str, FlightSql] = {"blizzard": BLIZZARD, "tau-airline": TAU_AIRLINE}
"""By the scenario's name. ``customer_flights`` is a view of the demo's application."""
