"""The tables that tests of SQL read."""

from __future__ import annotations

from springline.core.schema import Column, TableSchema
from springline.core.types import BOOLEAN, BYTES, DATE, DOUBLE, INT, STRING, TIMESTAMP, TIMESTAMP_LTZ, decimal

FLIGHTS = TableSchema(
    "air.flights",
    (
        Column("id", INT, nullable=False),
        Column("status", STRING),
        Column("delay", INT),
        Column("price", decimal(8, 2)),
        Column("leaves", TIMESTAMP_LTZ),
        Column("rate", DOUBLE),
        Column("open", BOOLEAN),
        Column("exact", decimal()),
    ),
    ("id",),
)
BOOKINGS = TableSchema(
    "air.bookings",
    (Column("reference", STRING, nullable=False), Column("flight", INT), Column("seats", INT)),
    ("reference",),
)
LEGS = TableSchema(
    "air.legs",
    (
        Column("reference", STRING, nullable=False),
        Column("number", INT, nullable=False),
        Column("flight", INT),
    ),
    ("reference", "number"),
)
LOG = TableSchema("air.log", (Column("at", TIMESTAMP), Column("day", DATE), Column("body", BYTES)))
OTHER = TableSchema("shop.bookings", (Column("id", INT, nullable=False), Column("status", STRING)), ("id",))

TABLES = (FLIGHTS, BOOKINGS, LEGS, LOG, OTHER)
CATALOG = {schema.name: schema for schema in TABLES}
