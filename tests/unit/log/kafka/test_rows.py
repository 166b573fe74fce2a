"""Rows in topics: what goes in comes out, in the form that Flink reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType, Stored, parse_type, store
from springline.log.base import Unfit
from springline.log.kafka.rows import RowCodec

MOST_US = 253_402_300_799_999_999
LEAST_US = -62_135_596_800_000_000

CASES = [
    ("BOOLEAN", True, True),
    ("BIGINT", 2**63 - 1, 2**63 - 1),
    ("DOUBLE", 1e308, 1e308),
    ("DOUBLE", "NaN", "NaN"),
    ("DOUBLE", "-Infinity", "-Infinity"),
    ("DECIMAL(12, 2)", "-1.5", "-1.50"),
    ("DECIMAL(30, 4)", "12345678901234567890.1", "12345678901234567890.1000"),
    ("STRING", '航班 "x"\n', '航班 "x"\n'),
    ("BYTES", b"\x00\xff", "AP8="),
    ("DATE", "0001-01-01", "0001-01-01"),
    ("TIME", "23:59:59.5", "23:59:59.500000"),
    ("TIMESTAMP", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
    ("TIMESTAMP_LTZ", "2026-02-08T09:30:00+09:00", "2026-02-08 00:30:00.000000Z"),
    ("ARRAY<DECIMAL(5, 2)>", ["1.5", None], ["1.50", None]),
    ("ARRAY<TIMESTAMP>", ["2026-02-08 09:30:00"], ["2026-02-08 09:30:00.000000"]),
    ("ARRAY<INT>", [[1, 2], [3]], [[1, 2], [3]]),
]


def _schema(type_: SqlType) -> TableSchema:
    columns = (Column("id", SqlType("BIGINT"), nullable=False), Column("select", type_))
    return TableSchema("crm.things", columns, ("id",))


@pytest.mark.parametrize(("type_text", "value", "written"), CASES)
def test_each_type_has_one_form(type_text: str, value: Any, written: Any) -> None:
    type_ = parse_type(type_text)
    codec, row = RowCodec.of(_schema(type_)), (7, store(value, type_))
    data = codec.encode_row(row)
    assert json.loads(data) == {"id": 7, "select": written}
    assert codec.decode_row(data) == row


def test_numbers_that_flink_writes_are_read_exactly() -> None:
    codec = RowCodec.of(_schema(parse_type("DECIMAL(38, 9)")))
    data = b'{"id": 1, "select": 12345678901234567890123456789.123456789}'
    assert codec.decode_row(data) == (1, "12345678901234567890123456789.123456789")
    assert RowCodec.of(_schema(parse_type("DECIMAL(9, 2)"))).decode_row(b'{"id":1,"select":1.5E+2}') == (
        1,
        15_000,
    )


def test_timestamps_may_have_any_number_of_decimals() -> None:
    codec = RowCodec.of(_schema(parse_type("TIMESTAMP")))
    for text, us in (("", 0), (".5", 500_000), (".123", 123_000), (".123456789", 123_456)):
        data = json.dumps({"id": 1, "select": f"1970-01-01 00:00:00{text}"}).encode()
        assert codec.decode_row(data) == (1, us)


def test_a_missing_column_is_null_and_another_one_is_ignored() -> None:
    codec = RowCodec.of(_schema(parse_type("STRING")))
    assert codec.decode_row(b'{"other": [1, 2], "id": 3}') == (3, None)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"id": "x"}', b'{"id": 1, "select": 5}', b"\xff"])
def test_what_is_no_row_is_unfit(data: bytes) -> None:
    with pytest.raises(Unfit, match=r"is not a row of 'crm\.things'"):
        RowCodec.of(_schema(parse_type("STRING"))).decode_row(data)


@pytest.mark.parametrize(
    ("type_text", "value"),
    [
        ("TIMESTAMP", "infinity"),
        ("DATE", "-infinity"),
        ("DECIMAL(12, 2)", "NaN"),
        ("DATE", "+12013-02-08"),
        ("TIMESTAMP_LTZ", "+12013-02-08T00:00:00Z"),
        ("TIME", "24:00:00"),
    ],
)
def test_what_flink_cannot_read_is_unfit(type_text: str, value: str) -> None:
    type_ = parse_type(type_text)
    with pytest.raises(Unfit, match=r"Column 'select' of 'crm\.things': .* Flink can read"):
        RowCodec.of(_schema(type_)).encode_row((1, store(value, type_)))


def test_a_key_is_the_object_of_its_columns() -> None:
    columns = (
        Column("b", SqlType("STRING")),
        Column("a", parse_type("DECIMAL(5, 1)"), nullable=False),
        Column("c", SqlType("INT"), nullable=False),
    )
    codec = RowCodec.of(TableSchema("s.t", columns, ("c", "a")))
    row: tuple[Stored, ...] = ("x", 15, 2)
    key = codec.encode_key(row)
    assert key == b'{"c":2,"a":"1.5"}'
    assert codec.decode_key(key) == (2, 15)
    assert RowCodec.of(TableSchema("s.u", columns)).encode_key(row) is None


@pytest.mark.parametrize(
    ("type_text", "text", "value"),
    [
        ("BOOLEAN", "TRUE", True),
        ("BIGINT", "-7", -7),
        ("DOUBLE", "1.0E10", 1e10),
        ("DOUBLE", "NaN", "NaN"),
        ("DOUBLE", "-Infinity", "-Infinity"),
        ("DECIMAL(12, 2)", "-1.50", "-1.5"),
        ("STRING", '航班 "x"', '航班 "x"'),
        ("DATE", "0001-01-01", "0001-01-01"),
        ("TIME", "23:59:59.5", "23:59:59.5"),
        ("TIMESTAMP", "1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"),
        ("TIMESTAMP_LTZ", "2026-02-08 00:30:00.000000", "2026-02-08T00:30:00Z"),
        ("STRING", None, None),
    ],
)
def test_a_key_of_one_column_holds_texts(type_text: str, text: str | None, value: Any) -> None:
    """What Flink's CAST to STRING writes of each type: a deletion has nothing else."""
    type_ = parse_type(type_text)
    schema = TableSchema("v", (Column("k", type_), Column("id", SqlType("INT"))), ("k", "id"))
    data = json.dumps({"_key": json.dumps([text, "5"])}).encode()
    assert RowCodec.of(schema).decode_key_texts(data, "_key") == (store(value, type_), 5)
    for bad in (b'{"_key":"[]"}', b'{"_key":"[\\"x\\",\\"y\\"]"}', b"{}"):
        with pytest.raises(Unfit, match="has no key of 'v'"):
            RowCodec.of(schema).decode_key_texts(bad, "_key")


def test_a_change_is_debeziums_envelope() -> None:
    codec = RowCodec.of(_schema(SqlType("STRING")))
    data = codec.encode_change("u", (1, "a"), (1, None), {"name": "crm"}, 17)
    assert json.loads(data) == {
        "before": {"id": 1, "select": "a"},
        "after": {"id": 1, "select": None},
        "op": "u",
        "source": {"name": "crm"},
        "ts_ms": 17,
    }


@given(
    st.integers(LEAST_US, MOST_US),
    st.decimals(-(10**9), 10**9, places=4),
    st.floats(allow_nan=False),
    st.text(),
)
def test_every_row_survives(at: int, amount: Any, number: float, text: str) -> None:
    types = [parse_type(one) for one in ("TIMESTAMP", "TIMESTAMP_LTZ", "DECIMAL(20, 4)", "DOUBLE", "STRING")]
    schema = TableSchema("s.t", tuple(Column(f"c{place}", type_) for place, type_ in enumerate(types)))
    row = (at, at, store(amount, types[2]), number, text)
    codec = RowCodec.of(schema)
    assert codec.decode_row(codec.encode_row(row)) == row
