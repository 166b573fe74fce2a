"""The tau airline's application: views and context over its database."""

from __future__ import annotations

from springline.context.definition import Rows

ORGANISATION = "the tau airline"
TRY_QUERY = "SELECT flight_date, status, flights FROM flight_board ORDER BY flight_date"
"""What the demo suggests to try on the command line."""

VIEWS: tuple[tuple[str, str, tuple[str, ...] | None], ...] = (
    (
        "customer_profile",
        "SELECT user_id, first_name || ' ' || last_name AS full_name, membership, city, state, country FROM airline.users",
        None,
    ),
    (
        "customer_flights",
        """
        SELECT rf.reservation_id, rf.position, r.user_id, r.cabin, r.flight_type, r.total_bags, r.insurance,
               rf.flight_number || ' · ' || CAST(rf.flight_date AS STRING) AS flight,
               rf.flight_number, rf.flight_date, f.origin, f.destination, f.scheduled_departure, rf.price,
               d.status, d.estimated_departure, d.actual_departure
        FROM airline.reservation_flights AS rf
        JOIN airline.reservations AS r ON r.reservation_id = rf.reservation_id
        JOIN airline.flights AS f ON f.flight_number = rf.flight_number
        JOIN airline.flight_dates AS d ON d.flight_number = rf.flight_number AND d.flight_date = rf.flight_date
        """,
        ("reservation_id", "position"),
    ),
    (
        "rebooking_options",
        """
        SELECT cf.reservation_id, cf.position, c.flight_number, c.flight_date, c.cabin, cf.user_id,
               f.origin, f.destination, f.scheduled_departure, c.seats_available, c.price
        FROM customer_flights AS cf
        JOIN airline.flights AS f ON f.origin = cf.origin AND f.destination = cf.destination
        JOIN airline.cabins AS c ON c.flight_number = f.flight_number AND c.cabin = cf.cabin
        WHERE cf.status IN ('cancelled', 'delayed') AND c.seats_available > 0 AND c.flight_date >= cf.flight_date
        """,
        ("reservation_id", "position", "flight_number", "flight_date", "cabin"),
    ),
    (
        "flight_board",
        "SELECT flight_date, status, COUNT(*) AS flights FROM airline.flight_dates GROUP BY flight_date, status",
        None,
    ),
)

_WORDS = {
    "en": {"available": "on sale and on time", "basic_economy": "basic economy", "flying": "in the air"}
}

ROWS: tuple[Rows, ...] = (
    Rows(
        "customer_profile",
        subject_column="user_id",
        identifies=True,
        title="Customer {user_id}",
        describe="{full_name}, {membership} member.",
        topics=("loyalty", "baggage"),
        limit=1,
        priority=3,
    ),
    Rows(
        "customer_flights",
        subject_column="user_id",
        title="Flight {flight_number}, {flight_date:day}",
        describe="Flight {flight_number} from {origin} to {destination} on {flight_date:day} at {scheduled_departure},"
        " reservation {reservation_id}, is {status:word}[{status=delayed}; it is expected to leave at {estimated_departure:time}]"
        "[; travel insurance {insurance?}was bought].",
        search_terms="[{status=cancelled}flight cancelled refund compensation certificate][{status=delayed}delayed flight compensation]",
        words=_WORDS,
        order_by="flight_date, scheduled_departure",
        limit=10,
    ),
    Rows(
        "rebooking_options",
        subject_column="user_id",
        title="Option {flight_number}, {flight_date:day}",
        describe="{flight_number} leaves {origin} for {destination} on {flight_date:day} at {scheduled_departure} and has"
        " {seats_available} seats in {cabin:word} for {price} dollars.",
        words=_WORDS,
        topics=("rebooking", "status"),
        order_by="flight_date, scheduled_departure",
        limit=4,
        priority=2,
    ),
)
