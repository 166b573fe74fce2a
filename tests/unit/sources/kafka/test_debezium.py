"""Debezium's records, as Kafka Connect and Debezium Server write them, and what they become."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from springline.core.change import UNCHANGED
from springline.core.types import FOREVER, NEVER
from springline.sources.kafka.formats.base import NotARow
from tests.unit.sources.kafka.formats import decoded, entries, format_of, table

SOURCE = {
    "version": "3.0.0.Final",
    "connector": "postgresql",
    "name": "shop",
    "ts_ms": 1_700_000_000_123,
    "snapshot": "false",
    "db": "shop",
    "sequence": '["24023119","24023128"]',
    "ts_us": 1_700_000_000_123_456,
    "ts_ns": 1_700_000_000_123_456_789,
    "schema": "public",
    "table": "orders",
    "txId": 555,
    "lsn": 24_023_128,
    "xmin": None,
}
TEXTS = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(12, 2)"}
ROW = {"id": 1, "name": "äpple", "amount": "12.50"}
STORED = [1, "äpple", 1250]
GONE = [1, UNCHANGED, UNCHANGED]


def event(operation: str, before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "before": before,
        "after": after,
        "source": SOURCE,
        "transaction": None,
        "op": operation,
        "ts_ms": 1_700_000_000_500,
        **more,
    }


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        (event("c", None, ROW), {"id": 1}, [("r", "s.t", None, STORED)]),
        (event("r", None, ROW), {"id": 1}, [("r", "s.t", None, STORED)]),
        (event("u", None, ROW), {"id": 1}, [("r", "s.t", None, STORED)]),
        (event("u", {**ROW, "name": "x"}, ROW), {"id": 1}, [("r", "s.t", None, STORED)]),
        (event("u", {"id": 7, "name": None, "amount": None}, ROW), {"id": 1}, [("u", "s.t", [7, UNCHANGED, UNCHANGED], STORED)]),
        (event("d", ROW, None), {"id": 1}, [("d", "s.t", GONE, None)]),
        (event("d", {"id": 1, "name": None, "amount": None}, None), None, [("d", "s.t", GONE, None)]),
        (event("d", None, None), {"id": 1}, [("d", "s.t", GONE, None)]),
        (event("t"), None, [("t", "s.t", None, None)]),
        (event("m", message={"prefix": "x", "content": "aGk="}), {"prefix": "x"}, []),
        (None, {"id": 1}, [("d", "s.t", GONE, None)]),
        (None, 1, [("d", "s.t", GONE, None)]),
        ({"schema": None, "payload": None}, {"schema": None, "payload": {"id": 1}}, [("d", "s.t", GONE, None)]),
        ({"schema": None, "payload": event("c", None, ROW)}, None, [("r", "s.t", None, STORED)]),
        # A value that PostgreSQL did not send, because it lies outside the row and did not change.
        (event("u", None, {**ROW, "name": "__debezium_unavailable_value"}), None, [("u", "s.t", None, [1, UNCHANGED, 1250])]),
        # Fields that are not declared, and columns that are not there.
        (event("c", None, {"id": 1, "other": [1, 2]}), None, [("r", "s.t", None, [1, None, None])]),
        # Flattened by ExtractNewRecordState.
        (ROW, {"id": 1}, [("r", "s.t", None, STORED)]),
        ({**ROW, "__deleted": "false", "__op": "u"}, {"id": 1}, [("r", "s.t", None, STORED)]),
        ({**ROW, "__deleted": "true"}, {"id": 1}, [("d", "s.t", GONE, None)]),
        ({**ROW, "__deleted": True}, None, [("d", "s.t", GONE, None)]),
        ({"id": 1, "__op": "d"}, None, [("d", "s.t", GONE, None)]),
        ({"name": "äpple", "amount": "12.50"}, {"id": 1}, [("r", "s.t", None, STORED)]),
    ],
)  # fmt: skip
def test_what_a_record_becomes(value: Any, key: Any, expected: Any) -> None:
    assert entries(format_of(table(TEXTS)), value, key) == expected


def test_an_operation_may_stand_in_a_header() -> None:
    found = entries(format_of(table(TEXTS)), ROW, None, [("__op", b'"d"')])
    assert found == [("d", "s.t", GONE, None)]


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (event("c", None, {"name": "x"}), None, "id is missing"),
        (event("c", None, {**ROW, "amount": "much"}), None, "amount: 'much' is not a DECIMAL"),
        (event("c", None, {**ROW, "amount": "12345678901.00"}), None, "too many digits"),
        # Without a schema, Debezium's default form of a DECIMAL is a text that may also be a number.
        (event("c", None, {**ROW, "amount": "1234"}), None, "declare the table's decimals"),
        (event("c", None, {**ROW, "id": 1 << 63}), None, "id: .* is not a BIGINT"),
        (event("c", None, None), None, "after is missing"),
        (event("d", None, None), None, "tells no key"),
        (None, None, "neither a value nor a key"),
        (None, {"other": 1}, "neither a value nor a key"),
        (b"\xff\xfe", None, "invalid|utf-8"),
        (b"[1]", None, "not a JSON object"),
        (b'{"op": "c", ', None, "truncated"),
    ],
)
def test_what_cannot_be_a_row_is_said(value: Any, key: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        entries(format_of(table(TEXTS)), value, key)


def field(name: str, type_: str, logical: str | None = None, **more: Any) -> dict[str, Any]:
    named = {} if logical is None else {"name": logical, "version": 1}
    return {"type": type_, "optional": True, **named, **more, "field": name}


def wrapped(fields: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """An envelope with its schema beside it, as JsonConverter writes it."""
    struct = {"type": "struct", "fields": fields, "optional": True, "name": "shop.public.orders.Value"}
    schema = {
        "type": "struct",
        "fields": [
            {**struct, "field": "before"},
            {**struct, "field": "after"},
            {"type": "struct", "fields": [], "optional": False, "field": "source"},
            {"type": "string", "optional": False, "field": "op"},
            {"type": "int64", "optional": True, "field": "ts_ms"},
        ],
        "optional": False,
        "name": "shop.public.orders.Envelope",
    }
    return {"schema": schema, "payload": event("c", None, row)}


def base64_of(number: int, length: int) -> str:
    return base64.b64encode(number.to_bytes(length, "big", signed=True)).decode()


DAY, SECOND = 19_675, 1_699_920_000
NOON_US = SECOND * 1_000_000 + 123_456


@pytest.mark.parametrize(
    ("sql", "type_", "logical", "more", "value", "stored"),
    [
        ("DATE", "int32", "io.debezium.time.Date", {}, DAY, DAY),
        ("DATE", "int32", "org.apache.kafka.connect.data.Date", {}, -1, -1),
        ("TIMESTAMP", "int32", "io.debezium.time.Date", {}, DAY, DAY * 86_400_000_000),
        ("STRING", "int32", "io.debezium.time.Date", {}, DAY, "2023-11-14"),
        ("TIME", "int32", "io.debezium.time.Time", {}, 3_600_000, 3_600_000_000),
        ("TIME", "int64", "io.debezium.time.MicroTime", {}, 3_600_000_001, 3_600_000_001),
        ("TIME", "int64", "io.debezium.time.NanoTime", {}, 3_600_000_001_999, 3_600_000_001),
        ("TIMESTAMP", "int64", "io.debezium.time.Timestamp", {}, NOON_US // 1_000, NOON_US // 1_000 * 1_000),
        ("TIMESTAMP", "int64", "org.apache.kafka.connect.data.Timestamp", {}, -1, -1_000),
        ("TIMESTAMP", "int64", "io.debezium.time.MicroTimestamp", {}, NOON_US, NOON_US),
        ("TIMESTAMP_LTZ", "int64", "io.debezium.time.MicroTimestamp", {}, NOON_US, NOON_US),
        ("TIMESTAMP", "int64", "io.debezium.time.NanoTimestamp", {}, NOON_US * 1_000 + 999, NOON_US),
        ("TIMESTAMP", "int64", "io.debezium.time.NanoTimestamp", {}, -1, -1),
        ("TIMESTAMP", "int64", "io.debezium.time.MicroTimestamp", {}, 9_223_372_036_825_200_000, FOREVER),
        ("TIMESTAMP", "int64", "io.debezium.time.MicroTimestamp", {}, -9_223_372_036_832_400_000, NEVER),
        ("BIGINT", "int64", "io.debezium.time.MicroTimestamp", {}, NOON_US, NOON_US),
        ("TIMESTAMP_LTZ", "string", "io.debezium.time.ZonedTimestamp", {}, "2023-11-14T02:00:00.5+02:00", SECOND * 1_000_000 + 500_000),
        ("TIMESTAMP_LTZ", "string", "io.debezium.time.ZonedTimestamp", {}, "+292278994-08-16T23:00:00Z", FOREVER),
        ("TIMESTAMP_LTZ", "string", "io.debezium.time.ZonedTimestamp", {}, "-292275055-05-16T23:00:00Z", NEVER),
        ("TIMESTAMP", "string", "io.debezium.time.ZonedTimestamp", {}, "2023-11-14T02:00:00+02:00", SECOND * 1_000_000),
        ("DECIMAL(12, 2)", "bytes", "org.apache.kafka.connect.data.Decimal", {"parameters": {"scale": "2", "connect.decimal.precision": "12"}}, base64_of(-1250, 2), -1250),
        ("DECIMAL(38, 4)", "bytes", "org.apache.kafka.connect.data.Decimal", {"parameters": {"scale": "4"}}, base64_of(10**30 + 1, 13), "100000000000000000000000000.0001"),
        ("DECIMAL", "struct", "io.debezium.data.VariableScaleDecimal", {}, {"scale": 3, "value": base64_of(1_500, 2)}, "1.500"),
        ("DECIMAL(12, 2)", "string", None, {}, "1234", 123_400),
        ("BIGINT", "bytes", "org.apache.kafka.connect.data.Decimal", {"parameters": {"scale": "0"}}, base64_of(1 << 40, 6), 1 << 40),
        ("DOUBLE", "double", None, {}, 0.1, 0.1),
        ("DOUBLE", "double", None, {}, "NaN", "NaN"),
        ("BOOLEAN", "boolean", None, {}, True, 1),
        ("BOOLEAN", "int16", None, {}, 1, 1),
        ("BYTES", "bytes", None, {}, base64.b64encode(b"\x00\xff").decode(), b"\x00\xff"),
        ("STRING", "string", "io.debezium.data.Json", {}, '{"a":1}', '{"a":1}'),
        ("STRING", "string", "io.debezium.data.Uuid", {}, "0b0d", "0b0d"),
        ("ARRAY<DATE>", "array", None, {"items": {"type": "int32", "optional": True, "name": "io.debezium.time.Date"}}, [DAY, None], '["2023-11-14", null]'),
        ("STRING", "struct", "io.debezium.data.geometry.Point", {}, {"x": 1.50, "srid": None}, '{"x":1.5,"srid":null}'),
    ],
)  # fmt: skip
def test_a_schema_says_what_values_are(
    sql: str, type_: str, logical: str | None, more: Any, value: Any, stored: Any
) -> None:
    fields = [field("id", "int64"), field("v", type_, logical, **more)]
    read = format_of(table({"id": "BIGINT", "v": sql}))
    for _ in range(2):
        [(_, _, _, row)] = entries(read, wrapped(fields, {"id": 1, "v": value}))
        assert row == [1, stored]


@pytest.mark.parametrize(
    ("sql", "logical", "value"),
    [
        ("TIMESTAMP", "io.debezium.time.Timestamp", 1 << 62),
        ("TIMESTAMP", "io.debezium.time.ZonedTimestamp", "+300000-01-01T00:00:00Z"),
        ("DATE", "io.debezium.time.Date", 1 << 31),
        ("TIME", "io.debezium.time.MicroTime", -1),
        ("TIME", "io.debezium.time.Date", 5),
        ("TIMESTAMP", "io.debezium.time.MicroTimestamp", 1.5),
    ],
)
def test_times_out_of_range_are_rejected(sql: str, logical: str, value: Any) -> None:
    with pytest.raises(NotARow, match="v: "):
        entries(
            format_of(table({"id": "BIGINT", "v": sql})),
            wrapped([field("v", "int64", logical)], {"id": 1, "v": value}),
        )


def test_times_that_are_numbers_without_a_schema_need_a_unit() -> None:
    columns = {"id": "BIGINT", "a": "TIMESTAMP", "b": "TIMESTAMP"}
    record = event("c", None, {"id": 1, "a": 5, "b": 7_000})
    with pytest.raises(NotARow, match="a: 5 is a time without a unit"):
        entries(format_of(table(columns)), record)
    assert entries(format_of(table(columns, time_unit="us")), record)[0][3] == [1, 5, 7_000]
    mixed = format_of(table(columns, time_unit={"a": "ms", "b": "ns"}))
    assert entries(mixed, record)[0][3] == [1, 5_000, 7]


def test_decimals_without_a_schema_are_as_declared() -> None:
    record = event("c", None, {**ROW, "amount": base64_of(-1250, 2)})
    assert entries(format_of(table(TEXTS, decimals="base64")), record)[0][3] == [1, "äpple", -1250]
    text = event("c", None, {**ROW, "amount": "1234"})
    assert entries(format_of(table(TEXTS, decimals="text")), text)[0][3] == [1, "äpple", 123_400]


def test_numbers_are_exact() -> None:
    columns = {"id": "BIGINT", "a": "DECIMAL(38, 20)", "b": "DECIMAL(12, 2)", "c": "DOUBLE"}
    value = b'{"id": 1, "a": 0.12345678901234567891, "b": 1234567890.12, "c": 0.1}'
    assert entries(format_of(table(columns)), value)[0][3] == [
        1,
        "0.12345678901234567891",
        123_456_789_012,
        0.1,
    ]
    with pytest.raises(NotARow, match="out of range"):
        entries(format_of(table(columns)), b'{"id": 1, "c": 1e400}')
    with pytest.raises(NotARow, match="too many digits"):
        entries(format_of(table({"id": "BIGINT", "a": "DECIMAL"})), b'{"id": 1, "a": 1e999999999}')


@pytest.mark.parametrize("unsent", ["__debezium_unavailable_value", base64.b64encode(b"__debezium_unavailable_value").decode(), ["__debezium_unavailable_value"], list(b"__debezium_unavailable_value"), {"__debezium_unavailable_value": "__debezium_unavailable_value"}])  # fmt: skip
def test_a_value_that_was_not_sent_is_unchanged_in_every_form(unsent: Any) -> None:
    read = format_of(table({"id": "BIGINT", "v": "STRING"}))
    assert entries(read, event("u", None, {"id": 1, "v": unsent})) == [("u", "s.t", None, [1, UNCHANGED])]


def test_the_commit_time_is_the_sources_in_its_finest_unit() -> None:
    read = format_of(table(TEXTS))
    assert decoded(read, event("c", None, ROW)).committed_at_us == 1_700_000_000_123_456
    older = {**event("c", None, ROW), "source": {"ts_ms": 1_700_000_000_123, "table": "orders"}}
    assert decoded(read, older).committed_at_us == 1_700_000_000_123_000
    assert (
        decoded(read, {**ROW, "__source_ts_ms": 1_700_000_000_123}).committed_at_us == 1_700_000_000_123_000
    )
    assert decoded(read, ROW).committed_at_us is None


def test_a_topic_may_hold_several_tables() -> None:
    read = format_of(table(TEXTS, tag="public.orders"), table({"id": "BIGINT"}, tag="shop.public.lines"))
    other = {**event("c", None, {"id": 5}), "source": {**SOURCE, "table": "lines"}}
    unknown = {**event("c", None, {"id": 5}), "source": {**SOURCE, "table": "cats"}}
    assert entries(read, event("c", None, ROW)) == [("r", "s.t1", None, STORED)]
    assert entries(read, other) == [("r", "s.t2", None, [5])]
    assert entries(read, unknown) == []
    # Whose row is no more was said by the change event before it.
    assert entries(read, None, {"id": 1}) == []


def test_a_table_without_a_key_is_a_bag_of_whole_rows() -> None:
    read = format_of(table(TEXTS, key=()))
    old = {**ROW, "name": "x"}
    assert entries(read, event("c", None, ROW)) == [("r", "s.t", None, STORED)]
    assert entries(read, event("u", old, ROW)) == [("u", "s.t", [1, "x", 1250], STORED)]
    assert entries(read, event("d", ROW, None)) == [("d", "s.t", STORED, None)]
    with pytest.raises(NotARow, match="without its old row"):
        entries(read, event("u", None, ROW))


def test_rows_of_a_stream_only_come() -> None:
    read = format_of(table(TEXTS, key=(), kept=False))
    assert entries(read, event("c", None, ROW)) == [("r", "s.t", None, STORED)]
    for other in (event("u", None, ROW), event("d", ROW, None), event("t")):
        with pytest.raises(NotARow, match="only come"):
            entries(read, other)


def test_a_key_may_be_a_text_that_is_no_json() -> None:
    read = format_of(table({"id": "STRING", "n": "INT"}))
    assert entries(read, None, b"00123") == [("d", "s.t", ["00123", UNCHANGED], None)]
    assert entries(read, None, b"1e5") == [("d", "s.t", ["1e5", UNCHANGED], None)]
    assert entries(read, None, b'"quoted"') == [("d", "s.t", ["quoted", UNCHANGED], None)]


def test_a_key_that_cannot_be_read_does_no_harm_to_a_row_that_has_its_own() -> None:
    read = format_of(table(TEXTS))
    assert entries(read, event("u", None, ROW), b"\xff{") == [("r", "s.t", None, STORED)]
    assert entries(read, event("d", ROW, None), b"Struct{id=1}") == [("d", "s.t", GONE, None)]
