"""The SQL type of a query's parameter, from its Python value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from springline.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    STRING,
    TIMESTAMP,
    TIMESTAMP_LTZ,
    SqlType,
    decimal,
)
from springline.sql.typed import NULL


def parameter_type(value: object) -> SqlType:
    """The type in which a value is compared; a type that is given instead of a value is that."""
    match value:
        case SqlType():
            return value
        case bool():
            return BOOLEAN
        case int():
            return BIGINT
        case float():
            return DOUBLE
        case bytes():
            return BYTES
        case Decimal():
            return decimal()
        case dt.datetime():
            return TIMESTAMP if value.tzinfo is None else TIMESTAMP_LTZ
        case dt.date():
            return DATE
        case None:
            return NULL
        case _:
            return STRING
