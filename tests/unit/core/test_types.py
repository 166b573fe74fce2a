"""Every type: value -> stored -> value, and what SQLite and JSON make of the stored and the rendered form."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    FLOAT,
    FOREVER,
    INT,
    NEVER,
    SMALLINT,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_LTZ,
    SqlType,
    array,
    decimal,
    load,
    parse_type,
    render,
    store,
)

SIMPLE = (BOOLEAN, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, STRING, BYTES, DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    largest = 10**precision - 1
    return st.integers(-largest, largest).map(lambda unscaled: Decimal(f"{unscaled}E-{scale}"))


VALUES: dict[SqlType, st.SearchStrategy[object]] = {
    BOOLEAN: st.booleans(),
    SMALLINT: st.integers(-(2**15), 2**15 - 1),
    INT: st.integers(-(2**31), 2**31 - 1),
    BIGINT: st.integers(-(2**63), 2**63 - 1),
    FLOAT: st.floats(allow_nan=False),
    DOUBLE: st.floats(allow_nan=False),
    decimal(18, 4): decimals(18, 4),
    decimal(18, 18): decimals(18, 18),
    decimal(5, 0): decimals(5, 0),
    decimal(38, 10): decimals(38, 10),
    decimal(200, 50): decimals(200, 50),
    decimal(): st.decimals(allow_nan=False),
    STRING: st.text(),
    BYTES: st.binary(),
    DATE: st.dates(),
    TIME: st.times(),
    TIMESTAMP: st.datetimes(),
    TIMESTAMP_LTZ: st.datetimes(timezones=st.just(dt.UTC)),
}
typed = st.sampled_from(list(VALUES)).flatmap(lambda type_: st.tuples(st.just(type_), VALUES[type_]))
typed_arrays = st.sampled_from(list(VALUES)).flatmap(
    lambda type_: st.tuples(
        st.just(array(type_)), st.recursive(st.lists(st.none() | VALUES[type_]), lambda lists: st.lists(lists), max_leaves=4)
    )
)  # fmt: skip


@given(typed | typed_arrays)
def test_store_then_load_is_the_value(case: tuple[SqlType, object]) -> None:
    type_, value = case
    assert load(store(value, type_), type_) == value


@given(typed | typed_arrays)
def test_the_rendered_form_survives_json_and_stores_the_same(case: tuple[SqlType, object]) -> None:
    type_, value = case
    stored = store(value, type_)
    rendered = json.loads(json.dumps(render(stored, type_), allow_nan=False))
    assert rendered == render(stored, type_)
    assert store(rendered, type_) == stored


@given(st.lists(typed, min_size=1, max_size=20))
def test_sqlite_gives_back_what_was_stored(cases: list[tuple[SqlType, object]]) -> None:
    connection = apsw.Connection(":memory:")
    columns = ", ".join(f"c{number} {type_.sqlite}" for number, (type_, _) in enumerate(cases))
    connection.execute(f"CREATE TABLE t ({columns}) STRICT")
    stored = tuple(store(value, type_) for type_, value in cases)
    connection.execute(f"INSERT INTO t VALUES ({','.join('?' * len(cases))})", stored)
    assert connection.execute("SELECT * FROM t").fetchall() == [stored]


ORDERED = [type_ for type_ in VALUES if type_.name not in ("DECIMAL", "BYTES") or type_.is_scaled]


@given(st.sampled_from(ORDERED).flatmap(lambda type_: st.tuples(st.just(type_), st.lists(VALUES[type_]))))
def test_sqlite_orders_stored_values_as_sql_orders_the_values(case: tuple[SqlType, list[object]]) -> None:
    type_, values = case
    connection = apsw.Connection(":memory:")
    connection.execute(f"CREATE TABLE t (c {type_.sqlite}) STRICT")
    connection.executemany("INSERT INTO t VALUES (?)", [(store(value, type_),) for value in values])
    in_order = [load(stored, type_) for (stored,) in connection.execute("SELECT c FROM t ORDER BY c")]
    # SQL compares text by code point, as Python does.
    assert in_order == sorted(values)  # type: ignore[type-var]


@pytest.mark.parametrize("type_", [*SIMPLE, decimal(9, 2), decimal(), array(INT)], ids=str)
def test_null_is_null(type_: SqlType) -> None:
    assert store(None, type_) is None
    assert load(None, type_) is None
    assert render(None, type_) is None


@pytest.mark.parametrize("type_", [FLOAT, DOUBLE, decimal(), decimal(9, 2)], ids=str)
def test_nan_is_a_text_that_sorts_last(type_: SqlType) -> None:
    stored = store(math.nan, type_)
    assert stored == "NaN"
    assert render(stored, type_) == "NaN"
    assert store("NaN", type_) == "NaN"
    loaded = load(stored, type_)
    assert isinstance(loaded, float | Decimal)
    assert math.isnan(loaded)
    assert apsw.Connection(":memory:").execute("SELECT 'NaN' > 9e999").get == 1


@pytest.mark.parametrize(
    ("value", "type_", "stored", "rendered"),
    [
        (math.inf, DOUBLE, math.inf, "Infinity"),
        (-math.inf, DOUBLE, -math.inf, "-Infinity"),
        (Decimal("12.345"), decimal(9, 2), 1235, "12.35"),
        (Decimal("-12.345"), decimal(9, 2), -1235, "-12.35"),
        (Decimal("0.125"), decimal(30, 2), "0.13", "0.13"),
        (Decimal("12.50"), decimal(), "12.50", "12.50"),
        (Decimal("-0.00"), decimal(), "0.00", "0.00"),
        (Decimal("1E+3"), decimal(), "1000", "1000"),
        (Decimal("-Infinity"), decimal(), "-Infinity", "-Infinity"),
        (0.1, decimal(9, 2), 10, "0.10"),
        (1, BOOLEAN, 1, True),
        ("infinity", TIMESTAMP_LTZ, FOREVER, "infinity"),
        ("-infinity", DATE, NEVER, "-infinity"),
        ("24:00:00", TIME, 86_400_000_000, "24:00:00"),
        ("2013-02-08T21:00:00Z", TIMESTAMP_LTZ, 1360357200000000, "2013-02-08T21:00:00Z"),
        ("2013-02-08T21:00:00-05:00", TIMESTAMP_LTZ, 1360375200000000, "2013-02-09T02:00:00Z"),
        ("2013-02-08 21:00:00.000001", TIMESTAMP, 1360357200000001, "2013-02-08T21:00:00.000001"),
        (dt.date(2013, 2, 8), DATE, 15744, "2013-02-08"),
        ("-0043-03-15", DATE, -735160, "-0043-03-15"),
        ("+0000-12-31", DATE, -719163, "+0000-12-31"),
        ("+10000-01-01", DATE, 2932897, "+10000-01-01"),
        ("+10000-01-01T00:00:00.5Z", TIMESTAMP_LTZ, 253402300800500000, "+10000-01-01T00:00:00.500000Z"),
        ("-4712-01-01T00:00:00", TIMESTAMP, -210863520000000000, "-4712-01-01T00:00:00"),
        (uuid.UUID(int=1), STRING, "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001"),
        ({"航班": [1, None]}, STRING, '{"航班": [1, null]}', '{"航班": [1, null]}'),
        (True, STRING, "true", "true"),
        ([[1, 2], [3, None]], array(INT), "[[1, 2], [3, null]]", [[1, 2], [3, None]]),
        ([b"\x00"], array(BYTES), '["AA=="]', ["AA=="]),
        ([Decimal("1.50"), math.nan], array(decimal(9, 2)), '["1.50", "NaN"]', ["1.50", "NaN"]),
    ],
)  # fmt: skip
def test_forms(value: object, type_: SqlType, stored: object, rendered: object) -> None:
    assert store(value, type_) == stored
    assert render(stored, type_) == rendered  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (2**15, SMALLINT),
        (-(2**31) - 1, INT),
        (2**63, BIGINT),
        (True, INT),
        (1.5, INT),
        ("1", INT),
        (2, BOOLEAN),
        ("true", BOOLEAN),
        ("1.5", DOUBLE),
        (Decimal("10000000"), decimal(9, 2)),
        (Decimal("1E+40"), decimal(38, 0)),
        (Decimal("Infinity"), decimal(9, 2)),
        ("twelve", decimal(9, 2)),
        ("not base64", BYTES),
        (7, BYTES),
        ("\ud800", STRING),
        ("2013-02-30", DATE),
        (dt.datetime(2013, 2, 8), DATE),
        ("25:00:00", TIME),
        (dt.date(2013, 2, 8), TIMESTAMP),
        ("soon", TIMESTAMP_LTZ),
        (1.0, TIMESTAMP),
        ("{}", array(INT)),
        ([1, "two"], array(INT)),
        (7, array(INT)),
        ({}, DOUBLE),
    ],
)
def test_what_is_not_of_the_type_is_refused_with_value_and_type(value: object, type_: SqlType) -> None:
    with pytest.raises(ValueError, match="is not a ") as refused:
        store(value, type_)
    assert str(type_) in str(refused.value)


@pytest.mark.parametrize("days", [*range(-800_000, -718_000, 997), *range(2_930_000, 3_400_000, 9973)])
def test_dates_beyond_python_count_on_without_a_gap(days: int) -> None:
    text = render(days, DATE)
    assert isinstance(text, str)
    assert store(text, DATE) == days


def types() -> st.SearchStrategy[SqlType]:
    return st.recursive(st.sampled_from(list(VALUES)), lambda inner: inner.map(array), max_leaves=3)


@given(types())
def test_a_type_reads_back_from_its_text(type_: SqlType) -> None:
    assert parse_type(str(type_)) == type_


@pytest.mark.parametrize("text", ["", "INTEGER", "DECIMAL(5)", "ARRAY<>", "int", "ARRAY<INT"])
def test_unknown_types_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Unknown SQL type"):
        parse_type(text)
