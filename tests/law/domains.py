"""Types and their values.

Domains are small, so that groups collide, joins match, and rows come and go. The *nasty* ones have NaN, both zeros, infinities,
the ends of each integer type, and DECIMALs of several spellings. The *plain* ones keep to what DuckDB holds and sums
exactly in any order, so that its answers can be compared.
"""

from __future__ import annotations

from typing import Final

from springline.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_LTZ,
    SqlType,
    Stored,
    decimal,
    render,
)
from tests.law.pieces import Expr, Piece, pair

PRICE: Final = decimal(8, 2)
RATE: Final = decimal(12, 4)
WIDE: Final = decimal()

_HOUR = 3_600_000_000
_NOON = 1_360_324_800_000_000  # 2013-02-08 12:00:00
_STRINGS: list[Stored] = ["a", "b", "A", "", "ab", "b1,a", "12", "2013-02-08", '{"a": 5}', "é"]

PLAIN: Final[dict[SqlType, list[Stored]]] = {
    INT: [1, 2, 3, 0, -5],
    BIGINT: [1, 2, 3, 0, 10**10],
    SMALLINT: [1, 2, 0, -7],
    PRICE: [100, 150, 0, -325, 1005],
    RATE: [10_000, 15_000, 1, -12_345],
    DOUBLE: [1.0, 0.5, -2.5, 0.0, 1024.25],
    FLOAT: [1.0, 0.5, -2.5],
    STRING: _STRINGS,
    BOOLEAN: [1, 0],
    DATE: [15_744, 15_737, 15_765, 0, -1],
    TIME: [0, 12 * _HOUR, 86_399_000_000],
    TIMESTAMP: [_NOON, _NOON + _HOUR, _NOON + 59 * 60_000_000, _NOON - 14 * 24 * _HOUR, -1],
    TIMESTAMP_LTZ: [_NOON, _NOON + _HOUR, _NOON + 61_000_000],
    BYTES: [b"a", b"", b"\x00\xff"],
}

NASTY: Final[dict[SqlType, list[Stored]]] = {
    **PLAIN,
    INT: [1, 2, 3, 0, -5, 2**31 - 1, -(2**31)],
    BIGINT: [1, 2, 3, 0, 2**63 - 1, -(2**63), 10**15],
    SMALLINT: [1, 2, 0, 2**15 - 1, -(2**15)],
    PRICE: [100, 150, 0, -325, 99_999_999, "NaN"],
    RATE: [10_000, 15_000, 0, 1, -999_999_999_999],
    DOUBLE: [1.0, 0.1, 0.2, 0.0, -0.0, 1e17, -2.5, 1.7e308, "NaN", float("inf")],
    FLOAT: [1.0, 0.5, -0.0, "NaN", float("-inf")],
    TIMESTAMP: [_NOON, _NOON + _HOUR, 0, 1, -1, 2**63 - 1],
    DATE: [15_744, 15_737, 0, -1, 2**63 - 1],
    WIDE: ["1.5", "1.50", "0", "-3", "12345678901234567890.1", "NaN", "-Infinity"],
}

DECIMALS: Final = (PRICE, RATE, WIDE)
INTEGERS: Final = (INT, BIGINT, SMALLINT)
DOUBLES: Final = (DOUBLE, FLOAT)
MOMENTS: Final = (TIMESTAMP, TIMESTAMP_LTZ)

DUCK_TYPES: Final[dict[SqlType, str]] = {
    INT: "INTEGER",
    BIGINT: "BIGINT",
    SMALLINT: "SMALLINT",
    DOUBLE: "DOUBLE",
    FLOAT: "FLOAT",
    STRING: "VARCHAR",
    BOOLEAN: "BOOLEAN",
    DATE: "DATE",
    TIME: "TIME",
    TIMESTAMP: "TIMESTAMP",
    TIMESTAMP_LTZ: "TIMESTAMP",
    BYTES: "BLOB",
}
"""The session's zone is UTC, so an instant is its UTC timestamp."""


def duck_type(type_: SqlType) -> str:
    """What DuckDB calls a type. It has no DECIMAL without a precision; the law keeps those away from it."""
    if type_.name == "DECIMAL":
        return (
            "DECIMAL(38, 10)"
            if type_.precision is None
            else f"DECIMAL({type_.precision}, {type_.scale or 0})"
        )
    if type_.element is not None:
        return duck_type(type_.element) + "[]"
    return DUCK_TYPES[type_]


def duck_value(value: Stored, type_: SqlType) -> str:
    """A stored value as a literal that DuckDB casts to the column's type."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "'" + "".join(f"\\x{byte:02X}" for byte in value) + "'::BLOB"
    text = str(render(value, type_)).removesuffix("Z" if type_ == TIMESTAMP_LTZ else "")
    return "'" + text.replace("'", "''") + "'"


LITERALS: Final[dict[SqlType, list[str]]] = {
    INT: ["1", "2", "0", "(-5)"],
    BIGINT: ["10000000000", "2147483648"],
    PRICE: ["CAST(1.5 AS DECIMAL(8, 2))"],
    RATE: ["CAST(0.25 AS DECIMAL(12, 4))"],
    DOUBLE: ["0.5e0", "1e1", "(-2e0)"],
    STRING: ["'a'", "''", "'it''s'"],
    BOOLEAN: ["TRUE", "FALSE"],
    DATE: ["DATE '2013-02-08'", "DATE '2012-02-29'"],
    TIME: ["TIME '12:00:00'"],
    TIMESTAMP: ["TIMESTAMP '2013-02-08 12:30:00'", "TIMESTAMP '1969-12-31 23:59:59'"],
}


def literal(type_: SqlType, number: int) -> Expr:
    """A constant of the type; NULL where the type has no other."""
    texts = LITERALS.get(type_, [])
    if texts:
        text = texts[number % len(texts)]
        return Expr(Piece(text, text), type_)
    return null(type_)


def null(type_: SqlType) -> Expr:
    if type_.element is not None:
        return Expr(
            pair(
                "CASE WHEN 1 = 2 THEN ARRAY[{0}] END",
                "CASE WHEN 1 = 2 THEN [{0}] END",
                null(type_.element).piece,
            ),
            type_,
        )
    return Expr(pair(f"CAST(NULL AS {flink_type(type_)})", f"CAST(NULL AS {duck_type(type_)})"), type_)


def flink_type(type_: SqlType) -> str:
    """A type as a cast writes it. DECIMAL without a precision cannot be written; its nearest cast is another type."""
    return str(type_)
