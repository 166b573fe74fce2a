"""JSON objects as rows: the quick and the careful way give the same, and what cannot be a row is said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.core.change import Entry, single_rows
from springline.errors import ConfigurationError
from springline.sources.json_rows import JsonRows, JsonTable, Rejected

EVENTS = JsonTable(
    {
        "id": "BIGINT",
        "n": "INT",
        "price": "DECIMAL(12, 2)",
        "ratio": "DOUBLE",
        "ok": "BOOLEAN",
        "name": "STRING",
        "at": "TIMESTAMP_LTZ",
        "day": "DATE",
    },
    key=["id"],
)


def rows(table: JsonTable = EVENTS, **options: Any) -> JsonRows:
    named: dict[str, Any] = {"table_field": None, "operation_field": None, "time_unit": "ms"} | options
    return JsonRows("shop", {"events": table}, **named)


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def values(found: tuple[list[Entry], list[Rejected]]) -> list[list[object]]:
    entries, rejected = found
    assert rejected == []
    return [list(after or before or ()) for _, _, before, after in single_rows(entries)]


def test_values_come_in_their_stored_form_and_other_fields_are_ignored() -> None:
    line = {
        "id": 1,
        "n": 7,
        "price": 12.5,
        "ratio": 3,
        "ok": True,
        "name": "ä",
        "at": 1_360_281_600_000,
        "day": "2013-02-08",
        "x": 9,
    }
    assert values(rows().entries(lines(line))) == [[1, 7, 1250, 3.0, 1, "ä", 1_360_281_600_000_000, 15744]]


def test_missing_fields_are_null_and_times_may_be_text() -> None:
    found = values(rows().entries(lines({"id": 1}, {"id": 2, "at": "2013-02-08T00:00:00Z", "price": "0.10"})))
    assert found == [
        [1, None, None, None, None, None, None, None],
        [2, None, 10, None, None, None, 1_360_281_600_000_000, None],
    ]


@given(st.integers(-(10**12) + 1, 10**12 - 1), st.integers(0, 4))
def test_a_decimal_of_a_number_is_exact(unscaled: int, extra: int) -> None:
    """Also where the number has more decimals than the column: then it is rounded half away from zero, from its text."""
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled)).rjust(3 + extra, "0")
    text = f"{sign}{digits[: len(digits) - 2 - extra]}.{digits[len(digits) - 2 - extra :]}"
    whole, rest = divmod(abs(unscaled), 10**extra)
    expected = whole + (1 if extra and rest * 2 >= 10**extra else 0)
    block = f'{{"id": 1, "price": {text}}}\n'.encode()
    assert values(rows().entries(block))[0][2] == (-expected if unscaled < 0 else expected)


def test_wide_decimals_are_exact_too_also_between_lines_that_need_no_care() -> None:
    table = JsonTable({"id": "INT", "w": "DECIMAL(38, 20)", "u": "DECIMAL"}, key=["id"])
    block = b'{"id": 1, "w": 0.12345678901234567891, "u": 1.10}\n{"id": 2, "w": "3", "u": 12345678901234567890123}\n'
    assert values(rows(table).entries(block)) == [
        [1, "0.12345678901234567891", "1.10"],
        [2, "3.00000000000000000000", "12345678901234567890123"],
    ]


@pytest.mark.parametrize(
    ("column", "text"),
    [("TIMESTAMP", "9000000000000000000"), ("DATE", "9223372036854775808"), ("DECIMAL", "1e999999999")],
)
def test_a_number_that_no_row_can_hold_is_rejected(column: str, text: str) -> None:
    table = JsonTable({"id": "INT", "v": column}, key=["id"])
    entries, [rejected] = rows(table).entries(f'{{"id": 1, "v": {text}}}\n{{"id": 2}}\n'.encode())
    assert [after[0] for _, _, _, after in single_rows(entries) if after] == [2]
    assert (rejected.line, bool(rejected.reason)) == (0, True)


def test_a_line_of_brackets_does_not_stop_the_others() -> None:
    block = lines({"id": 1}) + b"[" * 100_000 + b"\n" + lines({"id": 2})
    entries, [rejected] = rows().entries(block)
    assert [after[0] for _, _, _, after in single_rows(entries) if after] == [1, 2]
    assert rejected.line == 1


def test_one_odd_line_does_not_harm_its_neighbours() -> None:
    block = lines({"id": 1, "n": 1}, {"id": 2, "name": {"a": 1}}, {"id": 3, "n": 3})
    assert [row[:2] + row[5:6] for row in values(rows().entries(block))] == [
        [1, 1, None],
        [2, None, '{"a": 1}'],
        [3, 3, None],
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "truncated"),
        (b"[1]", "not a JSON object"),
        (b'{"n": 1}', "id is missing"),
        (b'{"id": 1, "n": 3000000000}', "n: 3000000000 is not a INT"),
        (b'{"id": 9223372036854775808}', "id: 9223372036854775808 is not a BIGINT"),
        (b'{"id": 1, "price": "much"}', "price: 'much' is not a DECIMAL"),
        (b'{"id": 1, "price": 12345678901.00}', "price: .* too many digits"),
        (b'{"id": 1, "name": "\xff"}', "utf-8|UTF-8"),
    ],
)
def test_a_line_that_cannot_be_a_row_is_named_with_the_reason(line: bytes, reason: str) -> None:
    entries, [rejected] = rows().entries(lines({"id": 1}) + line + b"\n" + lines({"id": 2}))
    assert [after[0] for _, _, _, after in single_rows(entries) if after] == [1, 2]
    assert rejected.line == 1
    assert re.search(reason, rejected.reason), rejected.reason


def test_operations_are_read_as_several_systems_write_them() -> None:
    table = JsonTable({"id": "INT", "n": "INT NOT NULL"}, key=["id"])
    written = ["c", "+I", "update", "-U", "+U", "d", "-D", "DELETE"]
    block = lines(*({"id": 1, "n": 2, "op": one} for one in written), {"id": 5, "op": "d"})
    entries, rejected = rows(table, operation_field="op").entries(block)
    assert [entry[0] for entry in single_rows(entries)] == ["r", "r", "r", "r", "d", "d", "d", "d"]
    assert rejected == []
    _, [unknown] = rows(table, operation_field="op").entries(lines({"id": 1, "n": 1, "op": "?"}))
    assert "'?' is no operation" in unknown.reason
    _, [missing] = rows(table, operation_field="op").entries(lines({"id": 1, "op": "c"}))
    assert missing.reason == "n is missing"


def test_rows_of_a_stream_only_come() -> None:
    table = JsonTable({"id": "INT"}, kept=False)
    entries, [rejected] = rows(table, operation_field="op").entries(
        lines({"id": 1, "op": "c"}, {"id": 1, "op": "d"})
    )
    assert [entry[0] for entry in single_rows(entries)] == ["r"]
    assert rejected.reason == "rows of shop.events, a stream, only come"


def test_lines_go_to_the_table_that_their_field_names() -> None:
    tables = {
        "persons": JsonTable({"id": "INT", "name": "STRING"}, key=["id"], tag="p"),
        "auctions": JsonTable({"id": "INT", "seller": "INT"}, key=["id"], tag="a"),
    }
    made = JsonRows("n", tables, table_field="t", operation_field=None, time_unit="ms")
    quick = lines({"t": "p", "id": 1, "name": "x"}, {"t": "a", "id": 2, "seller": 1})
    assert [entry[1] for entry in made.entries(quick)[0]] == ["n.persons", "n.auctions"]
    entries, rejected = made.entries(lines({"t": "b", "id": 1}) + quick + lines({"id": 4}))
    assert [entry[1] for entry in entries] == ["n.persons", "n.auctions"]
    assert [one.reason for one in rejected] == ["t is missing"]


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "declares no table"),
        ({"a": JsonTable({"x": "INT"}), "b": JsonTable({"x": "INT"})}, "table_field"),
        ({"a": JsonTable({"x": "INTEGRAL"})}, "Unknown SQL type 'INTEGRAL'"),
        ({"a": JsonTable({"x": "INT"}, key=["y"])}, "'y' is not a column"),
    ],
)
def test_a_wrong_declaration_is_refused(tables: dict[str, JsonTable], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        JsonRows("shop", tables, table_field=None, operation_field=None, time_unit="ms")
    assert message in str(caught.value)
