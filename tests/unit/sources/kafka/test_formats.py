"""Maxwell, Canal, AWS DMS and plain JSON: records as these systems write them, and what they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from springline.core.change import UNCHANGED, single_rows
from springline.errors import ConfigurationError
from springline.sources.kafka.formats.base import ManyAtOnce, NotARow, folded
from springline.sources.kafka.tables import FORMATS, check_tables
from tests.unit.sources.kafka.formats import decoded, entries, format_of, table

TIMED = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(12, 2)", "at": "TIMESTAMP"}
AT = 1_479_716_017_523_000
STORED = [1, "Ä", 1250, AT]
GONE = [1, UNCHANGED, UNCHANGED, UNCHANGED]


def maxwell(kind: str, data: Any, old: Any = None, **more: Any) -> dict[str, Any]:
    told = {} if old is None else {"old": old}
    return {
        "database": "shop",
        "table": "orders",
        "type": kind,
        "ts": 1_479_716_017,
        "xid": 940_752,
        "commit": True,
        "data": data,
        **told,
        **more,
    }


MAXWELL_ROW = {"id": 1, "name": "Ä", "amount": 12.50, "at": "2016-11-21 08:13:37.523000"}


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        (maxwell("insert", MAXWELL_ROW), None, [("r", "s.t", None, STORED)]),
        (maxwell("bootstrap-insert", MAXWELL_ROW), None, [("r", "s.t", None, STORED)]),
        (maxwell("update", MAXWELL_ROW, {"name": "x"}), None, [("r", "s.t", None, STORED)]),
        (maxwell("update", MAXWELL_ROW, {"id": 9}), None, [("u", "s.t", [9, UNCHANGED, UNCHANGED, UNCHANGED], STORED)]),
        (maxwell("delete", MAXWELL_ROW), None, [("d", "s.t", GONE, None)]),
        (maxwell("bootstrap-start", {}), None, []),
        (maxwell("bootstrap-complete", {}), None, []),
        ({"type": "table-alter", "database": "shop", "table": "orders", "sql": "ALTER TABLE …"}, None, []),
        (None, {"database": "shop", "table": "orders", "pk.id": 1}, [("d", "s.t", GONE, None)]),
        (maxwell("insert", {**MAXWELL_ROW, "at": None, "tags": ["a"]}), None, [("r", "s.t", None, [1, "Ä", 1250, None])]),
    ],
)  # fmt: skip
def test_maxwell(value: Any, key: Any, expected: Any) -> None:
    read = format_of(table(TIMED, format="maxwell"))
    assert entries(read, value, key) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (maxwell("replace", MAXWELL_ROW), "'replace' is none of Maxwell's"),
        (maxwell("insert", None), "data is missing"),
        (maxwell("insert", {"name": "x"}), "id is missing"),
        (maxwell("insert", {**MAXWELL_ROW, "at": "soon"}), "at: 'soon' is not a TIMESTAMP"),
        ([1], "not an object"),
        (None, "neither a value nor a key"),
    ],
)
def test_what_maxwell_does_not_write(value: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        entries(format_of(table(TIMED, format="maxwell")), value)


def canal(kind: str, data: Any, old: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "data": data,
        "database": "shop",
        "es": 1_589_373_515_000,
        "id": 3,
        "isDdl": False,
        "mysqlType": {"id": "bigint", "name": "varchar(255)", "amount": "decimal(12,2)", "at": "datetime(6)"},
        "old": old,
        "pkNames": ["id"],
        "sql": "",
        "sqlType": {"id": -5, "name": 12, "amount": 3, "at": 93},
        "table": "orders",
        "ts": 1_589_373_515_477,
        "type": kind,
        **more,
    }


CANAL_ROW = {"id": "1", "name": "Ä", "amount": "12.50", "at": "2016-11-21 08:13:37.523000"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (canal("INSERT", [CANAL_ROW, {**CANAL_ROW, "id": "2"}]), [("r", "s.t", None, STORED), ("r", "s.t", None, [2, *STORED[1:]])]),
        (canal("UPDATE", [CANAL_ROW], [{"name": "x"}]), [("r", "s.t", None, STORED)]),
        (canal("UPDATE", [CANAL_ROW, CANAL_ROW], [{"id": "9"}, {"name": "x"}]), [("u", "s.t", [9, UNCHANGED, UNCHANGED, UNCHANGED], STORED), ("r", "s.t", None, STORED)]),
        (canal("DELETE", [CANAL_ROW]), [("d", "s.t", GONE, None)]),
        (canal("TRUNCATE", None, isDdl=True), [("t", "s.t", None, None)]),
        (canal("ALTER", None, isDdl=True, sql="ALTER TABLE …"), []),
        # MySQL's date that is none.
        (canal("INSERT", [{**CANAL_ROW, "at": "0000-00-00 00:00:00"}]), [("r", "s.t", None, [1, "Ä", 1250, None])]),
    ],
)  # fmt: skip
def test_canal(value: Any, expected: Any) -> None:
    read = format_of(table(TIMED, format="canal"))
    assert entries(read, value) == expected


def test_canal_writes_booleans_doubles_and_bytes_as_text() -> None:
    columns = {"id": "INT", "ok": "BOOLEAN", "ratio": "DOUBLE", "data": "BYTES", "at": "TIME"}
    read = format_of(table(columns, format="canal"))
    types = {"id": "int", "ok": "tinyint(1)", "ratio": "double", "data": "blob", "at": "time"}
    row = {"id": "1", "ok": "0", "ratio": "0.1", "data": "\x00\u00ff", "at": "12:00:01"}
    assert entries(read, canal("INSERT", [row], mysqlType=types)) == [
        ("r", "s.t", None, [1, 0, 0.1, b"\x00\xff", 43_201_000_000])
    ]


def test_one_bad_row_of_a_record_rejects_all_of_it() -> None:
    read = format_of(table(TIMED, format="canal"))
    with pytest.raises(NotARow, match="id: 'x' is not a BIGINT"):
        entries(read, canal("INSERT", [CANAL_ROW, {**CANAL_ROW, "id": "x"}]))
    with pytest.raises(NotARow, match="1 rows and 2 old ones"):
        entries(read, canal("UPDATE", [CANAL_ROW], [{}, {}]))


def dms(operation: str, data: Any = None, before: Any = None, kind: str = "data") -> dict[str, Any]:
    image = {} if before is None else {"before-image": before}
    return {
        "data": data,
        **image,
        "metadata": {
            "timestamp": "2019-05-14T14:26:24.254812Z",
            "record-type": kind,
            "operation": operation,
            "partition-key-type": "primary-key",
            "schema-name": "shop",
            "table-name": "orders",
            "transaction-id": 8_589_936_000,
            "commit-timestamp": "2019-05-14T14:26:23.000001Z",
        },
    }


DMS_ROW = {"id": 1, "name": "Ä", "amount": 12.50, "at": "2016-11-21T08:13:37.523000Z"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dms("load", DMS_ROW), [("r", "s.t", None, STORED)]),
        (dms("insert", DMS_ROW), [("r", "s.t", None, STORED)]),
        (dms("update", DMS_ROW), [("r", "s.t", None, STORED)]),
        (dms("update", DMS_ROW, {"id": 9}), [("u", "s.t", [9, UNCHANGED, UNCHANGED, UNCHANGED], STORED)]),
        (dms("delete", DMS_ROW), [("d", "s.t", GONE, None)]),
        (dms("delete", {"id": 1}), [("d", "s.t", GONE, None)]),
        # Columns that are NULL are left out unless the endpoint is told otherwise.
        (dms("insert", {"id": 1}), [("r", "s.t", None, [1, None, None, None])]),
        (dms("create-table", kind="control"), []),
        (dms("truncate-table", kind="control"), [("t", "s.t", None, None)]),
    ],
)
def test_dms(value: Any, expected: Any) -> None:
    assert entries(format_of(table(TIMED, format="dms")), value) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (dms("upsert", DMS_ROW), "'upsert' is none of load"),
        ({"data": DMS_ROW}, "not an object with metadata"),
        (None, "not an object with metadata"),
        (dms("insert", {}), "id is missing"),
    ],
)
def test_what_dms_does_not_write(value: Any, reason: str) -> None:
    with pytest.raises(NotARow, match=reason):
        entries(format_of(table(TIMED, format="dms")), value)


def test_commit_times_are_the_sources() -> None:
    assert (
        decoded(format_of(table(TIMED, format="maxwell")), maxwell("insert", MAXWELL_ROW)).committed_at_us
        == 1_479_716_017_000_000
    )
    assert (
        decoded(format_of(table(TIMED, format="canal")), canal("INSERT", [CANAL_ROW])).committed_at_us
        == 1_589_373_515_000_000
    )
    assert (
        decoded(format_of(table(TIMED, format="dms")), dms("insert", DMS_ROW)).committed_at_us
        == 1_557_843_983_000_001
    )


@pytest.mark.parametrize("kind", ["maxwell", "canal", "dms"])
def test_records_of_other_tables_are_skipped(kind: str) -> None:
    records = {
        "maxwell": maxwell("insert", MAXWELL_ROW),
        "canal": canal("INSERT", [CANAL_ROW]),
        "dms": dms("insert", DMS_ROW),
    }
    mine = format_of(table(TIMED, format=kind, tag="lines"), table(TIMED, format=kind, tag="shop.orders"))
    assert [entry[1] for entry in entries(mine, records[kind])] == ["s.t2"]
    assert entries(format_of(table(TIMED, format=kind, tag="cats")), records[kind]) == []


PLAIN = {"id": "BIGINT", "name": "STRING", "amount": "DECIMAL(12, 2)", "at": "TIMESTAMP"}


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        ({"id": 1, "name": "Ä", "amount": 12.5, "at": AT // 1_000}, None, [("r", "s.t", None, STORED)]),
        ({"id": "1", "name": "Ä", "amount": "12.50", "at": "2016-11-21T08:13:37.523"}, None, [("r", "s.t", None, STORED)]),
        ({"name": "Ä"}, {"id": 1}, [("r", "s.t", None, [1, "Ä", None, None])]),
        ({"name": "Ä"}, b"1", [("r", "s.t", None, [1, "Ä", None, None])]),
        ({"id": 1, "name": {"a": [1.50]}}, None, [("r", "s.t", None, [1, '{"a":[1.5]}', None, None])]),
        ({"id": 1, "name": 1.5}, None, [("r", "s.t", None, [1, "1.5", None, None])]),
        (None, {"id": 1}, [("d", "s.t", GONE, None)]),
        (b"null", b"1", [("d", "s.t", GONE, None)]),
        # What is an envelope to Debezium is a row here.
        ({"id": 1, "op": "d", "before": {"id": 1}, "after": None}, None, [("r", "s.t", None, [1, None, None, None])]),
    ],
)  # fmt: skip
def test_plain_json(value: Any, key: Any, expected: Any) -> None:
    assert entries(format_of(table(PLAIN, format="json")), value, key) == expected


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        ({"name": "x"}, None, "id is missing"),
        (None, None, "neither a value nor a key"),
        (None, b"x", "id: 'x' is not a BIGINT"),
        ([1], None, "not a JSON object"),
        (b"{", None, "truncated"),
        ({"id": 1, "at": 1 << 62}, None, "at: .* out of range"),
        (b"[" * 100_000, None, "recursion|not a JSON"),
    ],
)
def test_what_is_no_row(value: Any, key: Any, reason: str) -> None:
    with pytest.raises((ValueError, RecursionError), match=reason):
        entries(format_of(table(PLAIN, format="json")), value, key)


def test_plain_json_may_say_what_happened() -> None:
    read = format_of(table(PLAIN, format="json", operation_field="op"))
    assert entries(read, {"op": "+I", "id": 1, "name": "Ä"}) == [("r", "s.t", None, [1, "Ä", None, None])]
    assert entries(read, {"op": "-U", "id": 1}) == []
    assert entries(read, {"op": "delete", "id": 1}) == [("d", "s.t", GONE, None)]
    with pytest.raises(NotARow, match=r"'\?' is no operation"):
        entries(read, {"op": "?", "id": 1})


def test_the_quick_way_gives_what_the_careful_one_gives() -> None:
    read: Any = format_of(table(PLAIN, format="json"))
    quick: ManyAtOnce = read
    values = [
        json.dumps({"id": number, "name": "Ä" * number, "amount": number / 4, "at": AT // 1_000}).encode()
        for number in range(1, 50)
    ]
    found = quick.decode_many(values)
    assert found is not None
    careful = [one for value in values for one in entries(read, value)]
    assert [list(one[3] or ()) for one in single_rows(found)] == [one[3] for one in careful]


@pytest.mark.parametrize(
    "odd", [b'{"id": 1,\n"name": "x"}', b"", b"{", b'{"id": "1"}', b'{"name": "x"}', b'{"id": 1}\n{"id": 2}']
)
def test_the_quick_way_leaves_what_is_odd_to_the_careful_one(odd: bytes) -> None:
    read: Any = format_of(table(PLAIN, format="json"))
    assert read.decode_many([b'{"id": 1}', odd]) is None


def test_rows_that_follow_each_other_travel_as_one() -> None:
    rows: list[Any] = [
        ("r", "a", None, [1]),
        ("r", "b", None, [1]),
        ("r", "a", None, [2]),
        ("d", "a", [1], None),
        ("r", "a", None, [3]),
    ]
    assert folded(rows) == [
        ("R", "a", None, [[1], [2]]),
        ("R", "b", None, [[1]]),
        ("d", "a", [1], None),
        ("R", "a", None, [[3]]),
    ]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "declares no table"),
        ({"a": table(format="debizium")}, f"unknown format 'debizium'.*Formats: {', '.join(FORMATS)}"),
        ({"a": table(format="json", tag="x"), "b": table(format="json", tag="y")}, "shares the topic"),
        ({"a": table(), "b": table(tag="y")}, "'a'.* shares the topic"),
        ({"a": table(tag="x"), "b": table(format="canal", tag="y")}, "different formats"),
        ({"a": table(operation_field="op")}, "operation_field"),
        ({"a": table(time_unit="minutes")}, "unknown time unit 'minutes'"),
        ({"a": table(time_unit={"when": "ms"})}, "'when', which is not among its columns"),
        ({"a": table({"id": "BIGINTEGER"})}, "Unknown SQL type"),
        ({"a": table({"id": "BIGINT"}, key=["no"])}, "'no' is not a column"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tables: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_tables("s", tables)
