"""Values at the ends of what types hold: no row stops a view, none is wrong, and what fails is said."""

from __future__ import annotations

from typing import Any

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, DOUBLE, INT, STRING, TIMESTAMP, decimal
from springline.sql.string_functions import LONGEST_TEXT
from springline.testing.sql_harness import SqlHarness

T = TableSchema(
    "t",
    (
        Column("id", INT, nullable=False),
        Column("s", STRING),
        Column("i", INT),
        Column("b", BIGINT),
        Column("d", decimal(8, 2)),
        Column("w", decimal(38, 4)),
        Column("x", DOUBLE),
        Column("at", TIMESTAMP),
    ),
    ("id",),
)
NOON = "2013-02-08T12:00:00"
FAILED = object()
NAMES = ("s", "i", "b", "d", "w", "x", "at")
TOO_LONG = f"is longer than {LONGEST_TEXT} letters"

# expression, what the row has, the value or FAILED, a part of the reason
CASES: list[tuple[str, dict[str, Any], object, str]] = [
    # texts that SQLite cannot hold
    ("JSON_VALUE(s, '$.a')", {"s": r'{"a": "x\ud800"}'}, "x?", ""),
    ("JSON_QUERY(s, '$')", {"s": r'{"\ud800": ["\ud83d\ude00"]}'}, '{"?":["😀"]}', ""),
    ("JSON_UNQUOTE(s)", {"s": r'"\ud800"'}, "?", ""),
    ("CAST(UNHEX(s) AS STRING)", {"s": "ff41"}, "\ufffdA", ""),
    # texts that are too long
    ("CHAR_LENGTH(REPEAT(s, i))", {"s": "ab", "i": LONGEST_TEXT // 2}, LONGEST_TEXT, ""),
    ("REPEAT(s, i)", {"s": "ab", "i": 2_000_000_000}, FAILED, f"REPEAT(s, i) {TOO_LONG}"),
    ("REPEAT(s, b)", {"s": "ab", "b": 2**63 - 1}, FAILED, TOO_LONG),
    ("REPEAT(s, i)", {"s": "", "i": 2_000_000_000}, "", ""),
    ("REPEAT(s, i)", {"i": 2_000_000_000}, None, ""),
    ("LPAD(s, i, 'x')", {"s": "ab", "i": 2_000_000_000}, FAILED, TOO_LONG),
    ("RPAD(s, i, 'x')", {"s": "ab", "i": 2_000_000_000}, FAILED, TOO_LONG),
    ("RPAD(s, i, 'x')", {"s": "ab", "i": -1}, None, ""),
    ("REPLACE(REPEAT(s, 100000), 'a', REPEAT(s, 100000))", {"s": "a"}, FAILED, TOO_LONG),
    ("CHAR_LENGTH(REPLACE(REPEAT(s, 100000), 'b', REPEAT(s, 100000)))", {"s": "a"}, 100_000, ""),
    ("REGEXP_REPLACE(REPEAT(s, 100000), '', REPEAT(s, 100000))", {"s": "a"}, FAILED, TOO_LONG),
    ("CHAR_LENGTH(REGEXP_REPLACE(REPEAT(s, 100000), 'b', REPEAT(s, 100000)))", {"s": "a"}, 100_000, ""),
    # JSON that is none
    ("s IS JSON", {"s": "NaN"}, 0, ""),
    ("s IS JSON", {"s": '{"a": -Infinity}'}, 0, ""),
    ("s IS JSON", {"s": "[" * 100_000}, 0, ""),
    ("JSON_EXISTS(s, '$.a' TRUE ON ERROR)", {"s": "[" * 100_000}, 1, ""),
    ("JSON_ARRAY(d, w)", {"d": "NaN", "w": "NaN"}, '["NaN","NaN"]', ""),
    ("JSON_VALUE(s, '$.a-b')", {"s": '{"a-b": 1}'}, "1", ""),
    ("JSON_VALUE(s, '$.航班')", {"s": '{"航班": 1}'}, "1", ""),
    # numbers
    ("i * i * i + 1 - i * i * i", {"i": 2**31 - 1}, FAILED, "INT overflow"),
    ("i * i + 1 - i * i", {"i": 2**31 - 1}, 1, ""),
    ("ROUND(b, -19)", {"b": 4_999_999_999_999_999_999}, 0, ""),
    ("ROUND(b, -19)", {"b": 5_000_000_000_000_000_000}, FAILED, "BIGINT overflow"),
    ("ROUND(b, -25)", {"b": -(2**63)}, 0, ""),
    ("TRUNCATE(i, -20)", {"i": 7}, 0, ""),
    ("ROUND(d, -30)", {"d": "1.50"}, 0, ""),
    ("ROUND(x, i)", {"x": 1.5, "i": 2**31 - 1}, 1.5, ""),
    ("ROUND(x, i)", {"x": 1.5, "i": -(2**31)}, 0.0, ""),
    ("CAST(ROUND(w, -30) AS STRING)", {"w": "-1.5"}, "0", ""),
    ("CAST(CAST(x AS DECIMAL(38, 2)) AS STRING)", {"x": -0.0}, "0.00", ""),
    # times
    ("at + i * INTERVAL '1' DAY", {"at": NOON, "i": -1}, 1_360_238_400_000_000, ""),
    ("at + i * INTERVAL '1' DAY", {"at": NOON, "i": 2**31 - 1}, None, ""),
    ("at - b * INTERVAL '1' DAY", {"at": NOON, "b": 2**63 - 1}, None, ""),
    ("at + i * INTERVAL '1' DAY", {"at": "infinity", "i": 1}, 2**63 - 1, ""),
    ("at + i * INTERVAL '1' DAY", {"at": "infinity"}, None, ""),
    ("UNIX_TIMESTAMP(s)", {"s": "2013-02-30 25:00:00"}, 1_362_272_400, ""),
    ("UNIX_TIMESTAMP(s)", {"s": "2013-13-01 00:00:00"}, 1_388_534_400, ""),
    ("UNIX_TIMESTAMP(s)", {"s": "0000-01-01 00:00:00"}, -(2**63), ""),
    ("CAST(s AS TIMESTAMP)", {"s": "2013-2-8 7:3:5.5"}, 1_360_306_985_500_000, ""),
    ("CAST(s AS TIMESTAMP)", {"s": "2013-02-30 00:00:00"}, FAILED, "CAST(s AS TIMESTAMP) failed"),
    ("TO_TIMESTAMP(s)", {"s": "2013-2-8 7:3:5.5559"}, 1_360_306_985_555_000, ""),
    ("TO_TIMESTAMP(s)", {"s": "2013-02-30"}, 1_362_009_600_000_000, ""),
    ("TO_TIMESTAMP(s)", {"s": "2013-13-30"}, None, ""),
    ("HOUR(at)", {"at": "infinity"}, None, ""),
    ("HOUR(at)", {"at": "1969-12-31T23:59:59"}, 23, ""),
    ("EXTRACT(EPOCH FROM at)", {"at": "-infinity"}, None, ""),
    ("CAST(at AS TIME)", {"at": "infinity"}, None, ""),
    ("CAST(at AS TIMESTAMP(3))", {"at": "-infinity"}, -(2**63), ""),
    ("TRY_CAST(s AS DECIMAL(8, 2))", {"s": "1_0"}, None, ""),
    ("TO_TIMESTAMP(s, 'd MMM yyyy')", {"s": "8 Xyz 2013"}, None, ""),
    # what Flink fails at
    ("ELEMENT(SPLIT(s, ','))", {"s": "a,b"}, FAILED, "ELEMENT(SPLIT(s, ',')): more than one element"),
    ("ELEMENT(SPLIT(s, ','))", {"s": "a"}, "a", ""),
    ("ELEMENT(SPLIT(s, ','))", {"s": ""}, None, ""),
    ("STR_TO_MAP(s, '(', '=')['a']", {"s": "a=1"}, FAILED, "no regular expression"),
    ("STR_TO_MAP(s, s, '=')['a']", {"s": "["}, FAILED, "no regular expression"),
    ("SPLIT_INDEX(s, i, 0)", {"s": "a", "i": 2**31 - 1}, None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "row", "value", "reason"), CASES)
def test_an_extreme_value(expression: str, row: dict[str, Any], value: object, reason: str) -> None:
    harness = SqlHarness([T])
    harness.add_view("v", f"SELECT id, {expression} AS r FROM t")
    stored = harness.store("t", [1, *(row.get(name) for name in NAMES)])
    harness.tick({"t": [(stored, 1)]})
    if value is FAILED:
        [(_, _, said)] = harness.dead_letters("v")
        assert reason in said
    else:
        assert harness.rows("v") == [(1, value)]
        assert harness.left_out("v") == 0
    assert harness.batch("v") == harness.rows("v")
    harness.tick({"t": [(stored, -1)]})
    assert harness.rows("v") == harness.batch("v") == []
    assert harness.left_out("v") == 0


def test_what_is_more_than_sqlite_can_hold_is_null_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.sql.failures.LONGEST_STORED", 10)
    harness = SqlHarness([T])
    harness.add_view("v", "SELECT i, LISTAGG(s) AS r FROM t GROUP BY i")
    rows = [harness.store("t", (number, "abcdef", 1, None, None, None, None, None)) for number in (1, 2)]
    harness.tick({"t": [(rows[0], 1)]})
    assert harness.rows("v") == [(1, "abcdef")]
    harness.tick({"t": [(rows[1], 1)]})
    assert harness.rows("v") == harness.batch("v") == [(1, None)]
    assert any("more than SQLite can hold" in one for one in harness.errors)


def test_paths_that_are_not_understood_are_refused_when_they_run_too() -> None:
    """One that is no literal is an error of the call, as a text that is not JSON."""
    harness = SqlHarness([T])
    harness.tick({"t": [(harness.store("t", (1, "$[*]", *[None] * 6)), 1)]})
    assert harness.query("""SELECT JSON_VALUE('{"a": 1}', s DEFAULT 'bad' ON ERROR) AS r FROM t""") == [
        ("bad",)
    ]


def test_equal_decimals_of_a_group_are_written_in_one_way() -> None:
    """As the state of the group has them, also in its batch query."""
    harness = SqlHarness([T])
    harness.add_view("v", "SELECT w, CAST(w AS STRING) AS s, COUNT(*) AS n FROM t GROUP BY w")
    rows = [harness.store("t", (number, None, None, None, None, "1.5", None, None)) for number in (1, 2)]
    harness.tick({"t": [(row, 1) for row in rows]})
    assert harness.rows("v") == harness.batch("v") == [("1.5", "1.5", 2)]


def test_a_spread_beyond_its_type_is_a_dead_letter() -> None:
    harness = SqlHarness([T])
    harness.add_view("v", "SELECT s, VAR_SAMP(i) AS r FROM t GROUP BY s")
    rows = [
        harness.store("t", (n, "a", value, None, None, None, None, None))
        for n, value in enumerate((1, 2**31 - 1))
    ]
    harness.tick({"t": [(row, 1) for row in rows]})
    assert harness.dead_letters("v") == [("group", '{"s": "a"}', "INT overflow in VAR_SAMP(i)")]
    assert harness.rows("v") == harness.batch("v") == []
    harness.tick({"t": [(rows[1], -1)]})
    assert harness.dead_letters("v") == []
    assert harness.rows("v") == harness.batch("v") == [("a", None)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY 10 / i ORDER BY id) AS r FROM t",
        "SELECT id, SUM(b) OVER (PARTITION BY s ORDER BY 10 / i) AS r FROM t",
        "SELECT id, SUM(10 / i) OVER (PARTITION BY s ORDER BY id) AS r FROM t",
        "SELECT id, LAG(10 / i) OVER (PARTITION BY s ORDER BY id) AS r FROM t",
        "SELECT id, s FROM t ORDER BY 10 / i LIMIT 5",
        "SELECT * FROM (SELECT id, s, ROW_NUMBER() OVER (PARTITION BY s ORDER BY 10 / i) AS r FROM t) AS x WHERE r < 5",
    ],
)
def test_a_row_on_which_its_place_in_a_window_fails_is_left_out(text: str) -> None:
    harness = SqlHarness([T])
    harness.add_view("v", text)
    rows = [harness.store("t", (n, "a", n, n, None, None, None, None)) for n in range(3)]
    harness.tick({"t": [(row, 1) for row in rows]})
    assert [reason for _, _, reason in harness.dead_letters("v")] == ["division by zero in 10 / i"]
    assert sorted(harness.rows("v")) == sorted(harness.batch("v"))
    assert {row[0] for row in harness.rows("v")} == {1, 2}


def test_a_filter_decides_which_arguments_of_a_window_are_evaluated() -> None:
    harness = SqlHarness([T])
    harness.add_view("v", "SELECT id, SUM(10 / i) FILTER (WHERE i <> 0) OVER (PARTITION BY s) AS r FROM t")
    harness.tick(
        {"t": [(harness.store("t", (n, "a", n, None, None, None, None, None)), 1) for n in range(3)]}
    )
    assert harness.rows("v") == harness.batch("v") == [(0, 15), (1, 15), (2, 15)]
    assert harness.left_out("v") == 0


def test_equal_decimals_match_in_a_full_join_of_rows_without_a_key() -> None:
    """Rows without a key are told apart by all their values."""
    bag = TableSchema("bag", (Column("id", INT, nullable=False), Column("w", decimal())))
    harness = SqlHarness([T, bag])
    harness.add_view("v", "SELECT x.id, COUNT(*) AS n FROM bag AS x FULL JOIN t ON t.w = x.w GROUP BY x.id")
    matched = harness.store("t", (1, None, None, None, None, "1.5", None, None))
    for changes in (
        {"t": [(matched, 1)], "bag": [((1, "1.5"), 1)]},
        {"bag": [((1, "1.50"), 1), ((2, "1.500"), 1), ((3, "2.0"), 1)]},
        {"bag": [((1, "1.5"), -1)]},
        {"t": [(matched, -1)]},
    ):
        harness.tick(changes)
        assert sorted(harness.rows("v")) == sorted(harness.batch("v"))
    assert sorted(harness.rows("v")) == [(1, 1), (2, 1), (3, 1)]
