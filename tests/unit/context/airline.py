"""A small airline for the tests of context and assistant: tables, policies, and what its assistant is given."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import springline.demo
from springline.context.definition import ContextDefinition, Passages, Rows
from springline.core.schema import Column, TableSchema
from springline.core.types import BOOLEAN, DATE, INT, STRING, TIMESTAMP_LTZ, SqlType, decimal
from springline.testing.snapshots import FakeState

POLICIES = Path(springline.demo.__file__).parent / "policies"
NEW_YORK = dt.timezone(dt.timedelta(hours=-5))

MY_FLIGHTS = "my_flights"
OPTIONS = "rebooking_options"
HOTELS = "hotel_availability"
CUSTOMERS = "airline.customers"


def schema(relation: str, key: tuple[str, ...], /, **columns: SqlType) -> TableSchema:
    return TableSchema(
        relation, tuple(Column(column, type_, column not in key) for column, type_ in columns.items()), key
    )


FLIGHTS_SCHEMA = schema(
    MY_FLIGHTS, ("booking_flight_id",),
    booking_flight_id=INT, customer_id=STRING, booking_reference=STRING, flight_code=STRING, origin=STRING,
    destination=STRING, scheduled_departure=TIMESTAMP_LTZ, estimated_departure=TIMESTAMP_LTZ, status=STRING,
    delay_minutes=INT, cancel_reason=STRING, gate=STRING, fare=STRING,
)  # fmt: skip
OPTIONS_SCHEMA = schema(
    OPTIONS, ("booking_reference", "flight_id"),
    booking_reference=STRING, flight_id=INT, customer_id=STRING, flight_code=STRING, origin=STRING,
    destination=STRING, scheduled_departure=TIMESTAMP_LTZ, seats_available=INT, price=decimal(8, 2),
)  # fmt: skip
HOTELS_SCHEMA = schema(
    HOTELS, ("hotel_id", "night"),
    hotel_id=INT, night=DATE, name=STRING, airport_code=STRING, pets_allowed=BOOLEAN, rooms_available=INT,
    distress_rate=decimal(8, 2),
)  # fmt: skip
CUSTOMERS_SCHEMA = schema(CUSTOMERS, ("customer_id",), customer_id=STRING, full_name=STRING)

WORDS = {
    "en": {"cancelled": "cancelled", "scheduled": "on time", "weather": "weather"},
    "zh-TW": {"cancelled": "已取消", "scheduled": "準時", "delayed": "延誤", "weather": "天候", "operations": "營運因素"},
    "ja": {"cancelled": "欠航", "scheduled": "定刻", "delayed": "遅延", "weather": "悪天候", "operations": "運航上の都合"},
}  # fmt: skip


def definition(token_budget: int = 2_400) -> ContextDefinition:
    return ContextDefinition(
        "customer",
        (
            Rows(CUSTOMERS, subject_column="customer_id", identifies=True, describe="Customer {full_name}.",
                 topics=("contact",), priority=3),
            Rows(
                MY_FLIGHTS,
                subject_column="customer_id",
                title={"en": "Your flight {flight_code}", "zh-TW": "您的航班 {flight_code}", "ja": "ご予約の便 {flight_code}"},
                describe={
                    "en": "Flight {flight_code} from {origin} to {destination}, {scheduled_departure:datetime}, is"
                    " {status:word}[ because of {cancel_reason:word}][, {delay_minutes} minutes late{delay_minutes?}]"
                    "[, now expected to leave at {estimated_departure:time}{delay_minutes?}][, gate {gate}].",
                    "zh-TW": "{scheduled_departure:datetime} 由 {origin} 飛往 {destination} 的航班 {flight_code}"
                    " {status:word}[（原因：{cancel_reason:word}）][，延誤 {delay_minutes} 分鐘{delay_minutes?}]。",
                    "ja": "{scheduled_departure:datetime} {origin} 発 {destination} 行き {flight_code} 便は{status:word}です"
                    "[（理由：{cancel_reason:word}）][。遅れは {delay_minutes} 分です{delay_minutes?}]。",
                },
                search_terms="{status:word} [{cancel_reason:word}]",
                words=WORDS,
                order_by="scheduled_departure",
            ),
            Rows(
                OPTIONS,
                subject_column="customer_id",
                title="Flight {flight_code}",
                describe={
                    "en": "{flight_code} {origin} to {destination}, {scheduled_departure:datetime}: {seats_available} seats.",
                    "zh-TW": "{flight_code}，{origin} 飛往 {destination}，{scheduled_departure:datetime}：尚有 {seats_available} 個座位。",
                    "ja": "{flight_code} 便 {origin} 発 {destination} 行き {scheduled_departure:datetime}：空席 {seats_available}。",
                },
                topics=("rebooking",),
                order_by="scheduled_departure",
                limit=3,
            ),
            Rows(
                HOTELS,
                public=True,
                title="{name}",
                describe="{name} near {airport_code}, night of {night:day}: {rooms_available} rooms, distress rate USD {distress_rate}.",
                topics=("hotel",),
                match=("airport_code",),
                limit=3,
                priority=2,
            ),
            Passages("policies", limit=8, priority=2),
        ),
        token_budget=token_budget,
        time_zone="America/New_York",
    )  # fmt: skip


def at(day: int, hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime(2013, 2, day, hour, minute, tzinfo=NEW_YORK)


def flight(number: int, customer: str, code: str, **columns: object) -> dict[str, object]:
    return {
        "booking_flight_id": number, "customer_id": customer, "booking_reference": f"REF{number:03d}", "flight_code": code,
        "origin": "JFK", "destination": "MCO", "scheduled_departure": at(8, 19, 5), "status": "scheduled",
        "delay_minutes": 0, "fare": "standard", **columns,
    }  # fmt: skip


def option(number: int, customer: str, code: str, day: int, seats: int) -> dict[str, object]:
    return {
        "booking_reference": "REF001", "flight_id": number, "customer_id": customer, "flight_code": code, "origin": "JFK",
        "destination": "MCO", "scheduled_departure": at(day, 8, 30), "seats_available": seats, "price": "199.00",
    }  # fmt: skip


def state(*, policies: bool = True) -> FakeState:
    """Maria's flight is cancelled, James's is late, 健一's is on time."""
    made = FakeState()
    made.relation(
        CUSTOMERS_SCHEMA,
        {"customer_id": "C0001", "full_name": "Maria Oliveira"},
        {"customer_id": "C0002", "full_name": "James Whitfield"},
        {"customer_id": "C0004", "full_name": "Kenichi Sato"},
    )
    made.relation(
        FLIGHTS_SCHEMA,
        flight(1, "C0001", "B6 155", status="cancelled", cancel_reason="weather"),
        flight(2, "C0002", "DL 2003", origin="LGA", destination="MIA", status="delayed", delay_minutes=125,
               estimated_departure=at(8, 21, 10), gate="D4"),
        flight(3, "C0004", "UA 642", scheduled_departure=at(9, 7, 15)),
    )  # fmt: skip
    made.relation(
        OPTIONS_SCHEMA,
        option(11, "C0001", "B6 183", 10, 14),
        option(12, "C0001", "B6 185", 10, 3),
        option(21, "C0002", "DL 1999", 9, 2),
    )
    hotels = (("Cedar Lodge", "JFK"), ("Harbor Inn", "LGA"), ("Runway House", "JFK"))
    made.relation(
        HOTELS_SCHEMA,
        *(
            {"hotel_id": number, "night": dt.date(2013, 2, 8), "name": name, "airport_code": airport,
             "pets_allowed": True, "rooms_available": 4 + number, "distress_rate": "89.00"}
            for number, (name, airport) in enumerate(hotels, 1)
        ),
    )  # fmt: skip
    if policies:
        for path in sorted(POLICIES.glob("*.md")):
            family, *languages = path.name.removesuffix(".md").split(".")
            language = "zh" if languages == ["zh-TW"] else (languages or ["en"])[0]
            made.document(path.name, path.read_text(encoding="utf-8"), language=language, family=family)
    return made
