"""The tables of the tau-bench airline, normalised. 'recorded' means: as in the data set, which is itself invented."""

from __future__ import annotations

from springline.demo.tables import Column, Table

TABLES: tuple[Table, ...] = (
    Table(
        "users",
        "Customers of the airline",
        ("PRIMARY KEY (user_id)",),
        (
            Column("user_id", "text", "recorded", "Like mia_li_3668"),
            Column("first_name", "text NOT NULL", "recorded", "Given name"),
            Column("last_name", "text NOT NULL", "recorded", "Family name"),
            Column("email", "text NOT NULL", "recorded", "Reserved domain: nobody can be reached"),
            Column("date_of_birth", "date NOT NULL", "recorded", "Day of birth"),
            Column("membership", "text NOT NULL", "recorded", "regular, silver or gold"),
            Column("address", "text NOT NULL", "recorded", "Street and suite"),
            Column("city", "text NOT NULL", "recorded", "City"),
            Column("state", "text NOT NULL", "recorded", "State"),
            Column("zip", "text NOT NULL", "recorded", "Postal code"),
            Column("country", "text NOT NULL", "recorded", "Country"),
        ),
    ),
    Table(
        "payment_methods",
        "Ways to pay in a customer's profile",
        ("PRIMARY KEY (payment_id)",),
        (
            Column("payment_id", "text", "recorded", "Like credit_card_4421486"),
            Column("user_id", "text NOT NULL REFERENCES users", "recorded", "Whose it is"),
            Column("source", "text NOT NULL", "recorded", "credit_card, gift_card or certificate"),
            Column("brand", "text", "recorded", "Of a card"),
            Column("last_four", "text", "recorded", "Of a card"),
            Column("amount", "integer", "recorded", "US dollars left on a gift card or certificate"),
        ),
    ),
    Table(
        "saved_passengers",
        "People whom a customer books for",
        ("PRIMARY KEY (user_id, position)",),
        (
            Column("user_id", "text NOT NULL REFERENCES users", "recorded", "Who saved the passenger"),
            Column("position", "integer NOT NULL", "recorded", "1, 2, …"),
            Column("first_name", "text NOT NULL", "recorded", "Given name"),
            Column("last_name", "text NOT NULL", "recorded", "Family name"),
            Column("date_of_birth", "date NOT NULL", "recorded", "Day of birth"),
        ),
    ),
    Table(
        "flights",
        "The daily timetable",
        ("PRIMARY KEY (flight_number)",),
        (
            Column("flight_number", "text", "recorded", "Like HAT001"),
            Column("origin", "text NOT NULL", "recorded", "IATA code"),
            Column("destination", "text NOT NULL", "recorded", "IATA code"),
            Column("scheduled_departure", "time NOT NULL", "recorded", "Eastern standard time"),
            Column("scheduled_arrival", "time NOT NULL", "recorded", "Eastern standard time"),
            Column("arrives_days_later", "integer NOT NULL", "recorded", "0, or 1 after midnight"),
        ),
    ),
    Table(
        "flight_dates",
        "One flight on one day, as known at this moment",
        (
            "PRIMARY KEY (flight_number, flight_date)",
            "CHECK (status IN ('available', 'on time', 'delayed', 'flying', 'landed', 'cancelled'))",
        ),
        (
            Column("flight_number", "text NOT NULL REFERENCES flights", "recorded", "The flight"),
            Column("flight_date", "date NOT NULL", "recorded", "Day of departure"),
            Column(
                "status", "text NOT NULL", "generated", "From the data set until 15 May 15:00, then generated"
            ),
            Column("estimated_departure", "timestamptz", "generated", "As last announced"),
            Column("estimated_arrival", "timestamptz", "generated", "As last announced"),
            Column("actual_departure", "timestamptz", "generated", "Null until it has left"),
            Column("actual_arrival", "timestamptz", "generated", "Null until it has landed"),
            Column("updated_at", "timestamptz NOT NULL", "generated", "Last change, on the replayed clock"),
        ),
    ),
    Table(
        "cabins",
        "What can be bought: a row disappears when sales close",
        ("PRIMARY KEY (flight_number, flight_date, cabin)",),
        (
            Column("flight_number", "text NOT NULL REFERENCES flights", "recorded", "The flight"),
            Column("flight_date", "date NOT NULL", "recorded", "Day of departure"),
            Column("cabin", "text NOT NULL", "recorded", "basic_economy, economy or business"),
            Column("seats_available", "integer NOT NULL", "generated", "Begins as in the data set"),
            Column("price", "integer NOT NULL", "generated", "US dollars; begins as in the data set"),
        ),
    ),
    Table(
        "reservations",
        "One purchase for one or more passengers",
        ("PRIMARY KEY (reservation_id)",),
        (
            Column("reservation_id", "text", "recorded", "Like 4WQ150"),
            Column("user_id", "text NOT NULL REFERENCES users", "recorded", "Who booked"),
            Column("origin", "text NOT NULL", "recorded", "IATA code"),
            Column("destination", "text NOT NULL", "recorded", "IATA code"),
            Column("flight_type", "text NOT NULL", "recorded", "one_way or round_trip"),
            Column("cabin", "text NOT NULL", "recorded", "The same for all its flights"),
            Column("total_bags", "integer NOT NULL", "recorded", "Checked bags"),
            Column("paid_bags", "integer NOT NULL", "recorded", "Of these, beyond the free allowance"),
            Column("insurance", "boolean NOT NULL", "recorded", "Travel insurance was bought"),
            Column("created_at", "timestamptz NOT NULL", "recorded", "Time of booking"),
        ),
    ),
    Table(
        "reservation_flights",
        "The flights of a reservation",
        ("PRIMARY KEY (reservation_id, position)",),
        (
            Column("reservation_id", "text NOT NULL REFERENCES reservations", "recorded", "Its reservation"),
            Column("position", "integer NOT NULL", "recorded", "1, 2, … in order of travel"),
            Column("flight_number", "text NOT NULL REFERENCES flights", "recorded", "The flight"),
            Column("flight_date", "date NOT NULL", "recorded", "Day of departure"),
            Column("price", "integer NOT NULL", "recorded", "US dollars for each passenger"),
        ),
    ),
    Table(
        "reservation_passengers",
        "Who travels",
        ("PRIMARY KEY (reservation_id, position)",),
        (
            Column("reservation_id", "text NOT NULL REFERENCES reservations", "recorded", "The reservation"),
            Column("position", "integer NOT NULL", "recorded", "1, 2, …"),
            Column("first_name", "text NOT NULL", "recorded", "Given name"),
            Column("last_name", "text NOT NULL", "recorded", "Family name"),
            Column("date_of_birth", "date NOT NULL", "recorded", "Day of birth"),
        ),
    ),
    Table(
        "payments",
        "How a reservation was paid",
        ("PRIMARY KEY (reservation_id, position)",),
        (
            Column("reservation_id", "text NOT NULL REFERENCES reservations", "recorded", "What was paid"),
            Column("position", "integer NOT NULL", "recorded", "1, 2, …"),
            Column("payment_id", "text NOT NULL REFERENCES payment_methods", "recorded", "With what"),
            Column("amount", "integer NOT NULL", "recorded", "US dollars; negative is a refund"),
        ),
    ),
)
