"""Text to stored form, without a server."""

from __future__ import annotations

import datetime as dt
import json
import random

import pytest

from springline.core.types import FOREVER, NEVER, array, decimal
from springline.sources.postgres.values import (
    PgType,
    converter,
    masked,
    parse_array,
    sql_type,
    to_text,
)


def numeric(precision: int, scale: int) -> PgType:
    return PgType("numeric", ((precision << 16) | (scale & 0x7FF)) + 4)


EPOCH = dt.datetime(1970, 1, 1)

CASES = [
    (PgType("bool"), "t", 1),
    (PgType("bool"), "f", 0),
    (PgType("int2"), "-32768", -32768),
    (PgType("int8"), "9223372036854775807", 2**63 - 1),
    (PgType("float8"), "1.7976931348623157e+308", 1.7976931348623157e308),
    (PgType("float8"), "NaN", "NaN"),
    (PgType("float4"), "-Infinity", float("-inf")),
    (PgType("numeric"), "123456789012345678901234567890.10", "123456789012345678901234567890.10"),
    (PgType("numeric"), "Infinity", "Infinity"),
    (numeric(10, 2), "-12.50", -1250),
    (numeric(10, 2), "-0.05", -5),
    (numeric(10, 2), "NaN", "NaN"),
    (numeric(10, 2), "7", 700),
    (numeric(18, 0), "999999999999999999", 10**18 - 1),
    (numeric(19, 2), "1.50", "1.50"),
    (numeric(3, -2), "12300", 12300),
    (numeric(3, 5), "0.00123", 123),
    (PgType("bpchar", 9), "ab   ", "ab"),
    (PgType("text"), "", ""),
    (PgType("bytea"), "\\x00ff", b"\x00\xff"),
    (PgType("bytea"), "\\x", b""),
    (PgType("date"), "1970-01-02", 1),
    (PgType("date"), "0001-01-01", -719162),
    (PgType("date"), "0001-12-31 BC", -719163),
    (PgType("date"), "4713-01-01 BC", -2440550),
    (PgType("date"), "5874897-12-31", 2145042905),
    (PgType("date"), "infinity", FOREVER),
    (PgType("date"), "-infinity", NEVER),
    (PgType("time"), "00:00:00", 0),
    (PgType("time"), "23:59:59.999999", 86_399_999_999),
    (PgType("time"), "12:00:00.5", 43_200_500_000),
    (PgType("time"), "24:00:00", 86_400_000_000),
    (PgType("timestamp"), "1969-12-31 23:59:59.5", -500_000),
    (PgType("timestamp"), "10000-01-01 00:00:00", 253_402_300_800_000_000),
    (PgType("timestamp"), "0001-12-31 23:59:59.999999 BC", -62_135_596_800_000_001),
    (PgType("timestamp"), "infinity", FOREVER),
    (PgType("timestamptz"), "2013-02-08 10:00:00.123+00", 1_360_317_600_123_000),
    (PgType("timestamptz"), "-infinity", NEVER),
    (PgType("timestamptz"), "4714-11-24 00:00:00+00 BC", -210_866_803_200_000_000),
    (PgType("timestamptz"), "294276-12-31 23:59:59.999999+00", FOREVER - 1),
    (PgType("uuid"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    (PgType("jsonb"), '{"a": 1}', '{"a": 1}'),
    (PgType("interval"), "P1Y2M3DT4H5M6.7S", "P1Y2M3DT4H5M6.7S"),
    (PgType(""), "happy", "happy"),
]


@pytest.mark.parametrize(("type_", "text", "stored"), CASES)
def test_stored_form(type_: PgType, text: str, stored: object) -> None:
    found = converter(type_)(text)
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("element", "text", "rendered"),
    [
        (PgType("int4"), "{1,NULL,-3}", [1, None, -3]),
        (PgType("int4"), "{}", []),
        (PgType("int4"), "{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        (PgType("int4"), "[0:2]={1,2,3}", [1, 2, 3]),
        (PgType("int4"), "[1:1][-2:-1]={{1,2}}", [[1, 2]]),
        (
            PgType("text"),
            '{a,"b c","NULL",NULL,"say \\"hi\\"","back\\\\slash",""}',
            ["a", "b c", "NULL", None, 'say "hi"', "back\\slash", ""],
        ),
        (PgType("text"), '{"{x}","a,b","日本"}', ["{x}", "a,b", "日本"]),
        (PgType("bool"), "{t,f}", [True, False]),
        (numeric(6, 2), "{1.50,NaN}", ["1.50", "NaN"]),
        (PgType("float8"), "{1.5,NaN,Infinity}", [1.5, "NaN", "Infinity"]),
        (PgType("bytea"), '{"\\\\x00ff"}', ["AP8="]),
        (
            PgType("date"),
            '{2020-02-29,infinity,"0044-03-15 BC"}',
            ["2020-02-29", "infinity", "-0043-03-15"],
        ),
        (PgType("timestamptz"), '{"2013-02-08 10:00:00+00"}', ["2013-02-08T10:00:00Z"]),
    ],
)
def test_arrays_are_json_of_rendered_elements(element: PgType, text: str, rendered: list[object]) -> None:
    type_ = PgType("", element=element)
    assert json.loads(str(converter(type_)(text))) == rendered
    assert sql_type(type_) == array(sql_type(element))


def test_array_of_another_delimiter() -> None:
    assert parse_array("{(1,2),(0,0);(3,4),(1,1)}", delimiter=";") == ["(1,2),(0,0)", "(3,4),(1,1)"]


@pytest.mark.parametrize("text", ["", "{", "{1", '{"a', "1,2", "{{1}", "{1}}"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="array"):
        parse_array(text)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (numeric(10, 2), decimal(10, 2)),
        (numeric(3, -2), decimal(5, 0)),
        (numeric(3, 5), decimal(5, 5)),
        (PgType("numeric"), decimal()),
    ],
)
def test_decimal_types(type_: PgType, expected: object) -> None:
    assert sql_type(type_) == expected


def test_years_that_datetime_cannot_hold_agree_with_those_it_can() -> None:
    """Moments are moved by whole 400-year cycles, which have the same days, from where ``datetime`` can check them."""
    chance = random.Random(0)
    cycle_us = 146_097 * 86_400_000_000
    for _ in range(500):
        inside = dt.datetime(
            chance.randint(2000, 2399), chance.randint(1, 12), chance.randint(1, 28), chance.randint(0, 23)
        )
        expected = (inside - EPOCH) // dt.timedelta(microseconds=1)
        cycles = chance.choice([-16, -10, -6, -5, 20, 21, 100, 700])
        year = inside.year + 400 * cycles
        shown = f"{year if year > 0 else 1 - year:04}-{inside:%m-%d %H:%M:%S}" + ("" if year > 0 else " BC")
        assert converter(PgType("timestamp"))(shown) == expected + cycles * cycle_us


@pytest.mark.parametrize(
    ("type_", "text", "stored"),
    [case for case in CASES if case[1] not in ("294276-12-31 23:59:59.999999+00",)],
)
def test_keys_go_back_to_text(type_: PgType, text: str, stored: object) -> None:
    assert converter(type_)(to_text(converter(type_)(text), type_)) == stored


def test_a_mask_lets_nothing_through() -> None:
    hashed = masked(str, "hash", b"key")
    assert hashed("a") == hashed("a") != hashed("b")
    assert hashed("a") != masked(str, "hash", b"other")("a")
    assert masked(int, "redact", b"")("42") == "***"
    assert masked(int, "null", b"")("42") is None
