"""The tables of the airline's database. Every column says where its facts come from."""

from __future__ import annotations

from springline.demo.tables import Column, Table

REFERENCE = (
    Table(
        "airlines",
        "Operating airlines of the alliance",
        ("PRIMARY KEY (airline_code)",),
        (
            Column("airline_code", "text", "recorded", "IATA code"),
            Column("name", "text NOT NULL", "recorded", "Name in 2013"),
        ),
    ),
    Table(
        "airports",
        "Airports that the flights use",
        ("PRIMARY KEY (airport_code)",),
        (
            Column("airport_code", "text", "recorded", "IATA code"),
            Column("name", "text NOT NULL", "recorded", "Name"),
            Column("latitude", "double precision NOT NULL", "recorded", "Degrees north"),
            Column("longitude", "double precision NOT NULL", "recorded", "Degrees east"),
            Column("utc_offset_hours", "integer NOT NULL", "recorded", "Offset of local time in winter"),
        ),
    ),
)

FLIGHTS = Table(
    "flights",
    "Every flight scheduled to leave New York on 7-10 February 2013, as known at this moment",
    (
        "PRIMARY KEY (flight_id)",
        "CHECK (status IN ('scheduled', 'delayed', 'cancelled', 'boarding', 'departed', 'arrived', 'diverted'))",
        "CHECK (seats_available BETWEEN 0 AND seats_total)",
    ),
    (
        Column("flight_id", "integer", "recorded", "One scheduled departure on one day"),
        Column("flight_code", "text NOT NULL", "recorded", "Airline code and flight number, like 'B6 155'"),
        Column("airline_code", "text NOT NULL REFERENCES airlines", "recorded", "Operating airline"),
        Column("origin", "text NOT NULL REFERENCES airports", "recorded", "EWR, JFK or LGA"),
        Column("destination", "text NOT NULL REFERENCES airports", "recorded", "Where it is scheduled to go"),
        Column("service_date", "date NOT NULL", "recorded", "Day of the scheduled departure, New York time"),
        Column("scheduled_departure", "timestamptz NOT NULL", "recorded", "Timetable"),
        Column("scheduled_arrival", "timestamptz NOT NULL", "recorded", "Timetable"),
        Column("estimated_departure", "timestamptz", "modelled", "As last announced; null once cancelled"),
        Column("estimated_arrival", "timestamptz", "modelled", "As last announced; null once cancelled"),
        Column("actual_departure", "timestamptz", "recorded", "Left the gate; null until then"),
        Column("actual_arrival", "timestamptz", "recorded", "Reached the gate; null until then"),
        Column(
            "status",
            "text NOT NULL",
            "recorded",
            "Outcomes are recorded; when they were announced is modelled",
        ),
        Column("gate", "text", "modelled", "Null until announced"),
        Column(
            "delay_minutes", "integer NOT NULL", "modelled", "Announced; the recorded delay after departure"
        ),
        Column("arrival_delay_minutes", "integer", "recorded", "Null until arrived; negative is early"),
        Column("delay_reason", "text", "modelled", "weather, operations or null"),
        Column("cancel_reason", "text", "modelled", "weather, operations or null"),
        Column("tail_number", "text", "recorded", "Aircraft; null until it has left"),
        Column("distance_miles", "integer NOT NULL", "recorded", "Great circle"),
        Column("seats_total", "integer NOT NULL", "generated", "Seats of the aircraft"),
        Column("seats_available", "integer NOT NULL", "generated", "Seats still for sale"),
        Column("price", "numeric(8,2) NOT NULL", "generated", "US dollars one way, standard fare"),
        Column(
            "updated_at",
            "timestamptz NOT NULL",
            "modelled",
            "When this was last announced, on the storm's clock",
        ),
    ),
)

WEATHER = Table(
    "weather",
    "Hourly observations of the three New York airports, added as they are made",
    ("PRIMARY KEY (airport_code, observed_at)",),
    (
        Column("airport_code", "text NOT NULL REFERENCES airports", "recorded", "EWR, JFK or LGA"),
        Column("observed_at", "timestamptz NOT NULL", "recorded", "Time of the observation"),
        Column("temperature_f", "double precision", "recorded", "Degrees Fahrenheit"),
        Column("dew_point_f", "double precision", "recorded", "Degrees Fahrenheit"),
        Column("humidity_percent", "double precision", "recorded", "Relative humidity"),
        Column("wind_direction_degrees", "integer", "recorded", "Where the wind comes from"),
        Column("wind_mph", "double precision", "recorded", "Mean wind speed"),
        Column("gust_mph", "double precision", "recorded", "Gusts; null if none was reported"),
        Column("precipitation_inches", "double precision", "recorded", "In this hour, as water"),
        Column("pressure_hpa", "double precision", "recorded", "At sea level"),
        Column("visibility_miles", "double precision", "recorded", "Ten is the most that is reported"),
    ),
)

CUSTOMERS = (
    Table(
        "customers",
        "People who booked. All of them are made up",
        ("PRIMARY KEY (customer_id)", "CHECK (preferred_language IN ('en', 'zh-TW', 'ja'))"),
        (
            Column("customer_id", "text", "generated", "Like C0001"),
            Column("full_name", "text NOT NULL", "generated", "In Latin letters, as on the ticket"),
            Column("native_name", "text", "generated", "In the customer's own script"),
            Column("email", "text NOT NULL UNIQUE", "generated", "Reserved domain: nobody can be reached"),
            Column("phone", "text NOT NULL", "generated", "Fictional number (555-01xx)"),
            Column("preferred_language", "text NOT NULL", "generated", "en, zh-TW or ja"),
            Column("home_city", "text NOT NULL", "generated", "Where the customer lives"),
            Column("created_at", "timestamptz NOT NULL", "generated", "When the account was opened"),
        ),
    ),
    Table(
        "loyalty",
        "Memberships of the loyalty programme",
        ("PRIMARY KEY (member_number)", "CHECK (tier IN ('member', 'silver', 'gold', 'platinum'))"),
        (
            Column("member_number", "text", "generated", "Like SL-100234"),
            Column("customer_id", "text NOT NULL REFERENCES customers", "generated", "The member"),
            Column("tier", "text NOT NULL", "generated", "member, silver, gold or platinum"),
            Column("points", "integer NOT NULL", "generated", "Balance"),
            Column("member_since", "date NOT NULL", "generated", "Day of joining"),
        ),
    ),
)

BOOKINGS = (
    Table(
        "bookings",
        "One purchase for one or more travellers",
        (
            "PRIMARY KEY (booking_reference)",
            "CHECK (fare IN ('basic', 'standard', 'flex', 'business'))",
            "CHECK (status IN ('confirmed', 'rebooked', 'cancelled', 'refunded'))",
        ),
        (
            Column("booking_reference", "text", "generated", "Six letters and digits"),
            Column("customer_id", "text NOT NULL REFERENCES customers", "generated", "Who booked"),
            Column("status", "text NOT NULL", "generated", "confirmed, rebooked, cancelled or refunded"),
            Column("fare", "text NOT NULL", "generated", "basic, standard, flex or business"),
            Column("adults", "integer NOT NULL", "generated", "Travellers of 12 and older"),
            Column("children", "integer NOT NULL", "generated", "Travellers of 2 to 11"),
            Column("checked_bags", "integer NOT NULL", "generated", "For the whole booking"),
            Column("pet", "text", "generated", "Animal travelling in the cabin, or null"),
            Column("special_request", "text", "generated", "Assistance or meal asked for, or null"),
            Column("total_price", "numeric(10,2) NOT NULL", "generated", "US dollars paid"),
            Column("contact_email", "text NOT NULL", "generated", "As typed when booking"),
            Column("contact_phone", "text NOT NULL", "generated", "As typed when booking"),
            Column("booked_at", "timestamptz NOT NULL", "generated", "Time of purchase"),
            Column("updated_at", "timestamptz NOT NULL", "generated", "Last change, on the storm's clock"),
        ),
    ),
    Table(
        "booking_flights",
        "The flight that a booking is for now; rebooking changes flight_id",
        ("PRIMARY KEY (booking_flight_id)", "CHECK (status IN ('confirmed', 'rebooked', 'cancelled'))"),
        (
            Column("booking_flight_id", "integer", "generated", "One booked flight"),
            Column("booking_reference", "text NOT NULL REFERENCES bookings", "generated", "Its booking"),
            Column("flight_id", "integer NOT NULL REFERENCES flights", "generated", "The flight"),
            Column("cabin", "text NOT NULL", "generated", "economy or business"),
            Column("seats", "text NOT NULL", "generated", "Seat numbers, separated by spaces"),
            Column("status", "text NOT NULL", "generated", "confirmed, rebooked or cancelled"),
            Column("updated_at", "timestamptz NOT NULL", "generated", "Last change, on the storm's clock"),
        ),
    ),
    Table(
        "connections",
        "Onward flights of booked travellers. The recorded data ends at the first landing, so these are made up",
        ("PRIMARY KEY (connection_id)",),
        (
            Column("connection_id", "integer", "generated", "One onward flight"),
            Column("booking_reference", "text NOT NULL REFERENCES bookings", "generated", "Its booking"),
            Column(
                "airport_code",
                "text NOT NULL REFERENCES airports",
                "generated",
                "Where the traveller changes",
            ),
            Column("onward_flight_code", "text NOT NULL", "generated", "Flight after the change"),
            Column("onward_destination", "text NOT NULL", "generated", "Final destination, IATA code"),
            Column(
                "onward_departure",
                "timestamptz NOT NULL",
                "generated",
                "Scheduled departure after the change",
            ),
            Column("minimum_minutes", "integer NOT NULL", "generated", "Least time needed for the change"),
        ),
    ),
    Table(
        "vouchers",
        "Vouchers given to customers",
        (
            "PRIMARY KEY (voucher_id)",
            "CHECK (kind IN ('meal', 'hotel', 'travel_credit'))",
            "CHECK (status IN ('issued', 'used', 'expired'))",
        ),
        (
            Column("voucher_id", "text", "generated", "Like V-000012"),
            Column("customer_id", "text NOT NULL REFERENCES customers", "generated", "Who may use it"),
            Column(
                "booking_reference", "text NOT NULL REFERENCES bookings", "generated", "For which booking"
            ),
            Column("kind", "text NOT NULL", "generated", "meal, hotel (distress rate) or travel_credit"),
            Column(
                "amount",
                "numeric(8,2) NOT NULL",
                "generated",
                "US dollars; for a hotel, the most it pays off",
            ),
            Column("status", "text NOT NULL", "generated", "issued, used or expired"),
            Column("reason", "text NOT NULL", "generated", "Why it was given"),
            Column("issued_at", "timestamptz NOT NULL", "generated", "On the storm's clock"),
            Column("expires_at", "timestamptz NOT NULL", "generated", "Last moment of use"),
        ),
    ),
)

HOTELS = (
    Table(
        "hotels",
        "Hotels near the three airports with an agreed distress rate. All of them are made up",
        ("PRIMARY KEY (hotel_id)",),
        (
            Column("hotel_id", "integer", "generated", "One hotel"),
            Column("name", "text NOT NULL", "generated", "Name"),
            Column("airport_code", "text NOT NULL REFERENCES airports", "generated", "Nearest airport"),
            Column("distance_km", "numeric(4,1) NOT NULL", "generated", "From the terminal"),
            Column("shuttle", "boolean NOT NULL", "generated", "Free shuttle to the terminal"),
            Column("pets_allowed", "boolean NOT NULL", "generated", "Takes cats and small dogs"),
            Column("stars", "integer NOT NULL", "generated", "One to five"),
            Column(
                "distress_rate",
                "numeric(8,2) NOT NULL",
                "generated",
                "US dollars a night for stranded guests",
            ),
            Column("phone", "text NOT NULL", "generated", "Fictional number (555-01xx)"),
        ),
    ),
    Table(
        "hotel_rooms",
        "Rooms for sale by night",
        ("PRIMARY KEY (hotel_id, night)", "CHECK (rooms_available BETWEEN 0 AND rooms_total)"),
        (
            Column("hotel_id", "integer NOT NULL REFERENCES hotels", "generated", "Hotel"),
            Column("night", "date NOT NULL", "generated", "Evening of arrival"),
            Column("price", "numeric(8,2) NOT NULL", "generated", "US dollars, public price now"),
            Column("rooms_total", "integer NOT NULL", "generated", "Rooms in the allotment"),
            Column("rooms_available", "integer NOT NULL", "generated", "Still for sale"),
            Column("updated_at", "timestamptz NOT NULL", "generated", "Last change, on the storm's clock"),
        ),
    ),
)

TABLES: tuple[Table, ...] = (*REFERENCE, FLIGHTS, WEATHER, *CUSTOMERS, *BOOKINGS, *HOTELS)
