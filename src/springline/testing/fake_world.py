"""A small airline in memory, with a storm that moves it: the data behind :mod:`springline.testing.fake_service`."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from springline.core.schema import Column, TableSchema
from springline.core.types import DOUBLE, INT, STRING, SqlType
from springline.demo.replay import ReplayStatus, StormClock
from springline.demo.scenario import Featured

NEW_YORK = timezone(timedelta(hours=-5), "EST")
START = datetime(2013, 2, 8, 6, tzinfo=NEW_YORK)
END = datetime(2013, 2, 9, 22, tzinfo=NEW_YORK)
FLIGHTS, CUSTOMERS = 64, 40

DDL = """
CREATE TABLE customers (customer_id TEXT PRIMARY KEY, full_name TEXT, preferred_language TEXT, tier TEXT);
CREATE TABLE flights (flight_id INTEGER PRIMARY KEY, flight_code TEXT, origin TEXT, destination TEXT, service_date TEXT,
  scheduled_departure TEXT, status TEXT CHECK (status IN ('scheduled', 'delayed', 'cancelled', 'departed')),
  delay_minutes INTEGER, gate TEXT, cancel_reason TEXT, price REAL, seats_available INTEGER);
CREATE TABLE bookings (booking_reference TEXT PRIMARY KEY, customer_id TEXT, flight_id INTEGER, fare TEXT, adults INTEGER,
  status TEXT);
CREATE TABLE hotels (hotel_id INTEGER PRIMARY KEY, name TEXT, airport_code TEXT, rooms_available INTEGER, distress_rate REAL);
"""

DEAD_LETTERS = """
CREATE TABLE dead_letters (what TEXT, name TEXT, operator TEXT, key TEXT, reason TEXT, row TEXT, tick INTEGER, at TEXT);
INSERT INTO dead_letters VALUES ('view', 'customer_flights', 'row of airline.flights', '{"flight_id": 1}',
  'CAST(gate AS INT) failed', '{"flight_id": 1, "gate": "B6"}', 3, '2013-02-08T17:30:00Z');
"""
"""What ``springline dead-letters`` shows."""

VIEW = """
SELECT b.booking_reference, b.customer_id, f.flight_code || ' · ' || f.service_date AS flight, f.flight_code,
       f.origin, f.destination, f.scheduled_departure, f.status, f.delay_minutes, f.gate, f.cancel_reason, b.fare
FROM bookings b JOIN flights f ON f.flight_id = b.flight_id"""

_TYPES: dict[str, SqlType] = {
    "flight_id": INT, "delay_minutes": INT, "adults": INT, "seats_available": INT, "hotel_id": INT, "rooms_available": INT,
    "price": DOUBLE, "distress_rate": DOUBLE,
}  # fmt: skip
_KEYS = {
    "customers": "customer_id", "flights": "flight_id", "bookings": "booking_reference", "hotels": "hotel_id",
    "customer_flights": "booking_reference",
}  # fmt: skip

PROVENANCE = {
    "flights.flight_id": "recorded", "flights.flight_code": "recorded", "flights.origin": "recorded",
    "flights.destination": "recorded", "flights.service_date": "recorded", "flights.scheduled_departure": "recorded",
    "flights.status": "recorded", "flights.delay_minutes": "modelled", "flights.gate": "modelled",
    "flights.cancel_reason": "modelled", "flights.price": "generated", "flights.seats_available": "generated",
    **{f"customers.{name}": "generated" for name in ("customer_id", "full_name", "preferred_language", "tier")},
    **{f"bookings.{n}": "generated" for n in ("booking_reference", "customer_id", "flight_id", "fare", "adults", "status")},
    **{f"hotels.{n}": "generated" for n in ("hotel_id", "name", "airport_code", "rooms_available", "distress_rate")},
}  # fmt: skip

FEATURED = (
    Featured("C0001", "Maria Oliveira", "en", "A family on the way to Orlando. The storm will cancel the flight.",
             ("Is my flight cancelled, and what are my options?", "Which hotel near JFK still has rooms tonight?")),
    Featured("C0002", "James Whitfield", "en", "A gold member whose flight keeps slipping.",
             ("How late is my flight right now?", "What happens if I miss my connection?")),
    Featured("C0003", "林怡君 (Yi-Chun Lin)", "zh-TW", "Going home to Taipei by way of Los Angeles.",
             ("我的航班取消了嗎？我有哪些選擇？", "今晚需要住旅館，費用由誰負擔？")),
    Featured("C0004", "佐藤 健一 (Kenichi Sato)", "ja", "A platinum member who wants to be in Tokyo on Monday.",
             ("私の便は欠航ですか。どのような選択肢がありますか。",)),
)  # fmt: skip

PASSAGES = (
    ("rebooking.md", ("Rebooking", "Cancelled flights"), "en",
     "If we cancel your flight you may move to any later flight with free seats within seven days at no charge, whatever your fare."),
    ("refunds.md", ("Refunds", "When we cancel"), "en",
     "You may ask for your money back instead of another flight. Cards are refunded within seven business days."),
    ("hotel-and-meal-vouchers.md", ("Vouchers", "Hotels"), "en",
     "Weather is outside our control, so hotels are paid by the traveller; we offer rooms at an agreed distress rate near each airport."),
    ("rebooking.zh-TW.md", ("改搭", "航班取消"), "zh-TW", "若航班取消，您可於七日內免費改搭任何仍有座位的航班，不限票種。"),
    ("rebooking.ja.md", ("変更", "欠航"), "ja", "欠航の場合、運賃の種類にかかわらず、七日以内の空席のある便へ無料で変更できます。"),
)  # fmt: skip


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.row_factory = sqlite3.Row
    return connection


def populate(source: sqlite3.Connection, seed: int = 7) -> None:
    """Fills an empty database with the airline as of :data:`START`."""
    rng = random.Random(seed)
    source.executescript(DDL)
    names = [featured.name for featured in FEATURED] + [
        f"{rng.choice(['Emma', 'Noah', 'Priya', 'Omar', 'Clara'])} {rng.choice(['Smith', 'Patel', 'Rossi', 'Kim', 'Silva'])}"
        for _ in range(CUSTOMERS - len(FEATURED))
    ]
    for index, name in enumerate(names, start=1):
        language = FEATURED[index - 1].language if index <= len(FEATURED) else "en"
        tier = rng.choice(["member", "silver", "gold"])
        source.execute("INSERT INTO customers VALUES (?, ?, ?, ?)", (f"C{index:04d}", name, language, tier))
    for number in range(1, FLIGHTS + 1):
        departure = START + timedelta(minutes=20 * number)
        source.execute(
            "INSERT INTO flights VALUES (?, ?, ?, ?, ?, ?, 'scheduled', 0, NULL, NULL, ?, ?)",
            (
                number, f"{rng.choice(['B6', 'DL', 'UA', 'AA', 'VX'])} {rng.randrange(100, 2400)}",
                rng.choice(["JFK", "LGA", "EWR"]), rng.choice(["MCO", "LAX", "BOS", "ORD", "MIA", "SFO"]),
                departure.date().isoformat(), departure.isoformat(), round(rng.uniform(90, 620), 2), rng.randrange(0, 60),
            ),
        )  # fmt: skip
    for index in range(1, CUSTOMERS + 1):
        flight = 20 + index if index <= len(FEATURED) else rng.randrange(1, FLIGHTS + 1)
        fare = rng.choice(["basic", "standard", "flex"])
        source.execute(
            "INSERT INTO bookings VALUES (?, ?, ?, ?, ?, 'confirmed')",
            (f"BK{index:04d}", f"C{index:04d}", flight, fare, rng.randrange(1, 4)),
        )
    hotels = ("Harbor Inn", "Runway Lodge", "Terminal House", "Jamaica Bay Hotel")
    for index, name in enumerate(hotels, start=1):
        source.execute(
            "INSERT INTO hotels VALUES (?, ?, ?, ?, ?)",
            (index, name, ("JFK", "LGA", "EWR", "JFK")[index - 1], 40, 89.0),
        )
    source.commit()


def schemas(source_name: str = "airline") -> dict[str, TableSchema]:
    """The schemas of the mirrored tables and of the view."""
    probe = connect()
    probe.executescript(DDL)
    probe.execute(f"CREATE TABLE customer_flights AS {VIEW}")
    found: dict[str, TableSchema] = {}
    for table, key in _KEYS.items():
        names = [row["name"] for row in probe.execute(f"PRAGMA table_info({table})")]
        full = table if table == "customer_flights" else f"{source_name}.{table}"
        columns = tuple(Column(name, _TYPES.get(name, STRING)) for name in names)
        found[full] = TableSchema(full, columns, (key,))
    probe.close()
    return found


class FakeStage:
    """A storm over a small database: see ``demo.stage.Stage``. ``source`` is only used under ``lock``."""

    def __init__(
        self, source: sqlite3.Connection, lock: threading.RLock, *, speed: float = 120.0, seed: int = 11
    ) -> None:
        self._source, self._lock = source, lock
        self._clock = StormClock(START, speed)
        self._random = random.Random(seed)
        self._done = 0
        self._cancelled: set[int] = set()
        self._delayed: set[int] = set()
        self._last: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-storm", daemon=True)
        self.events_per_second = 6.0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def pause(self) -> None:
        self._clock.set(paused=True)

    def resume(self) -> None:
        self._clock.set(paused=False)

    def set_speed(self, speed: float) -> None:
        self._clock.set(speed=speed)

    def jump(self, to: datetime) -> None:
        self._clock.set(at=to)

    def now(self) -> datetime:
        return min(self._clock.now(), END)

    def speed(self) -> float:
        return 0.0 if self._clock.paused else self._clock.speed

    def status(self) -> ReplayStatus:
        now = self.now()
        return ReplayStatus(
            now, END, self._clock.speed, self._clock.paused, now >= END, self._done, 9_000, len(self._cancelled),
            len(self._delayed), 0, self._last, None,
        )  # fmt: skip

    def _run(self) -> None:
        while not self._stop.wait(1 / self.events_per_second):
            if not self._clock.paused:
                with self._lock:
                    self._event()

    def _event(self) -> None:
        # The first featured flights are left to the visitor, so that tests may count on them.
        number = self._random.randrange(1, FLIGHTS + 1)
        kind = self._random.choice(("delay", "cancel", "gate", "price", "price", "hotel"))
        if number in (21, 22) and kind in ("delay", "cancel"):
            kind = "price"
        row = self._source.execute(
            "SELECT flight_code, delay_minutes FROM flights WHERE flight_id = ?", (number,)
        ).fetchone()
        match kind:
            case "delay":
                minutes = int(row["delay_minutes"]) + 15
                self._delayed.add(number)
                self._apply(
                    "status = 'delayed', delay_minutes = ?",
                    (minutes, number),
                    f"{row[0]} is now {minutes} minutes late",
                )
            case "cancel":
                self._cancelled.add(number)
                self._apply(
                    "status = 'cancelled', cancel_reason = ?",
                    ("weather", number),
                    f"{row[0]} is cancelled: weather",
                )
            case "gate":
                gate = f"{self._random.choice('ABC')}{self._random.randrange(1, 40)}"
                self._apply("gate = ?", (gate, number), f"{row[0]} leaves from gate {gate}")
            case "price":
                price = round(self._random.uniform(90, 620), 2)
                self._apply("price = ?", (price, number), f"{row[0]} costs {price} dollars")
            case _:
                self._source.execute(
                    "UPDATE hotels SET rooms_available = max(0, rooms_available - 1) WHERE hotel_id = ?",
                    (number % 4 + 1,),
                )
                self._source.commit()
                self._note("A room near an airport is taken")

    def _apply(self, assignment: str, values: Sequence[Any], description: str) -> None:
        self._source.execute(f"UPDATE flights SET {assignment} WHERE flight_id = ?", tuple(values))
        self._source.commit()
        self._note(description)

    def _note(self, description: str) -> None:
        self._done += 1
        self._last = description


def now_us() -> int:
    return time.time_ns() // 1_000
