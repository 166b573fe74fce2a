"""Windowing table functions: what is refused and what to write instead; joins of windows; how closing shows in programs."""

from __future__ import annotations

import pytest

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import DATE, INT, STRING, TIMESTAMP, TIMESTAMP_LTZ
from springline.errors import SqlError
from springline.sql import compile_query, compile_view, explain
from springline.testing.sql_harness import SqlHarness

SECOND = 1_000_000
BIDS = TableSchema(
    "air.bids",
    (
        Column("id", INT, nullable=False),
        Column("item", STRING),
        Column("at", TIMESTAMP),
        Column("seen", TIMESTAMP_LTZ),
        Column("day", DATE),
    ),
    ("id",),
    event_time=EventTime("at"),
)
BAG = TableSchema("air.bag", (Column("item", STRING), Column("at", TIMESTAMP)))
CATALOG = {one.name: one for one in (BIDS, BAG)}

REFUSED = [
    (
        "TUMBLE(TABLE bids, DESCRIPTOR(at))",
        21,
        "TUMBLE needs SIZE",
        "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    ),
    ("TUMBLE(TABLE bids)", 21, "TUMBLE needs TIMECOL", "DESCRIPTOR"),
    ("HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '2' SECOND)", 21, "HOP needs SIZE", "slide, then size"),
    (
        "HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '2' SECOND, INTERVAL '5' SECOND)",
        21,
        "not a whole number of steps",
        "multiple",
    ),
    (
        "HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '1' SECOND, INTERVAL '1' DAY)",
        21,
        "86400 windows",
        "longer step",
    ),
    ("TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '1' MONTH)", 65, "fixed length", "days"),
    ("TUMBLE(TABLE bids, DESCRIPTOR(at), 10)", 56, "SIZE is an interval", "INTERVAL '10' MINUTE"),
    ("TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '0' SECOND)", 65, "at least a millisecond", ""),
    ("TUMBLE(TABLE bids, DESCRIPTOR(day), INTERVAL '1' HOUR)", 51, "'day' is DATE, not a timestamp", "CAST"),
    ("TUMBLE(TABLE bids, DESCRIPTOR(att), INTERVAL '1' HOUR)", 51, "no column 'att'", "'at'"),
    ("TUMBLE(TABLE bids, DESCRIPTOR(at, seen), INTERVAL '1' HOUR)", 51, "one time column", ""),
    ("TUMBLE(TABLE bids, at, INTERVAL '1' HOUR)", 40, "one time column", "DESCRIPTOR(ts)"),
    ("TUMBLE(bids, DESCRIPTOR(at), INTERVAL '1' HOUR)", 28, "TUMBLE reads a table", "TABLE t"),
    ("TUMBLE(TABLE bid, DESCRIPTOR(at), INTERVAL '1' HOUR)", 34, "no table or view 'bid'", "'bids'"),
    (
        "TUMBLE(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '1' HOUR)",
        34,
        "PARTITION BY is for SESSION",
        "GROUP BY",
    ),
    (
        "SESSION(TABLE bids PARTITION BY itm, DESCRIPTOR(at), INTERVAL '1' HOUR)",
        53,
        "no column 'itm'",
        "'item'",
    ),
    (
        "SESSION(TABLE bids, DESCRIPTOR(at), INTERVAL '1' HOUR, INTERVAL '1' HOUR)",
        85,
        "at most 3 arguments",
        "",
    ),
    (
        "TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(at), LENGTH => INTERVAL '1' HOUR)",
        75,
        "no argument LENGTH",
        "SIZE, OFFSET",
    ),
    ("TUMBLE(DATA => TABLE bids, DATA => TABLE bids)", 62, "given DATA twice", ""),
]


@pytest.mark.parametrize(("call", "column", "message", "hint"), REFUSED)
def test_what_is_refused(call: str, column: int, message: str, hint: str) -> None:
    for compiled in (
        lambda text: compile_view("v", text, CATALOG),
        lambda text: compile_query(text, CATALOG),
    ):
        with pytest.raises(SqlError) as caught:
            compiled(f"SELECT * FROM TABLE({call})")
        assert message in caught.value.message
        assert hint in (caught.value.hint or "")
        assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "SELECT HOP_START(at) AS s FROM bids GROUP BY HOP(at, INTERVAL '1' HOUR)",
            "HOP is a table function",
            "FROM TABLE(HOP(",
        ),
        ("SELECT PROCTIME() AS p FROM bids", "Processing time is not supported", "app.event_time"),
        ("SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '1' HOUR) w", "Expecting )", ""),
    ],
)
def test_other_forms_are_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        compile_view("v", text, CATALOG)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_windows_of_windows_are_renamed_first() -> None:
    inner = "SELECT id, window_start, window_time FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '1' HOUR))"
    with pytest.raises(SqlError, match="has a column 'window_start' already"):
        compile_view(
            "v", f"SELECT * FROM TABLE(TUMBLE(({inner}), DESCRIPTOR(window_time), INTERVAL '1' DAY))", CATALOG
        )


def test_types_are_flinks() -> None:
    text = "SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(seen), INTERVAL '1' HOUR))"
    columns = {column.name: column for column in compile_view("v", text, CATALOG).schema.columns}
    assert [str(columns[name].type) for name in ("window_start", "window_end", "window_time")] == [
        "TIMESTAMP",
        "TIMESTAMP",
        "TIMESTAMP_LTZ",
    ]
    assert not columns["window_start"].nullable


GROUPED = "SELECT window_start, window_end, COUNT(*) AS n FROM TABLE({}) GROUP BY window_start, window_end"
TUMBLE = "TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' SECOND)"


@pytest.mark.parametrize(
    ("text", "closes"),
    [
        (GROUPED.format(TUMBLE), True),
        (
            GROUPED.format(
                TUMBLE.replace("bids", "(SELECT at, id FROM bids WHERE id > 1)").replace("TABLE (", "(")
            ),
            True,
        ),
        (GROUPED.format("SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' SECOND)"), True),
        # Another timestamp is no event time.
        (GROUPED.format(TUMBLE.replace("DESCRIPTOR(at)", "DESCRIPTOR(seen)")), False),
        # Without both ends it is a plain group.
        (f"SELECT window_start, COUNT(*) AS n FROM TABLE({TUMBLE}) GROUP BY window_start", False),
        (f"SELECT id, window_start FROM TABLE({TUMBLE})", False),
        # The windows reach an aggregate through a derived table, and through a LEFT JOIN that is kept.
        (
            f"SELECT s, e, COUNT(*) AS n FROM (SELECT window_start AS s, window_end AS e FROM TABLE({TUMBLE})) AS d GROUP BY s, e",
            True,
        ),
        (
            f"""SELECT w.window_start, w.window_end, COUNT(o.id) AS n FROM TABLE({TUMBLE}) AS w
            LEFT JOIN bids AS o ON o.id = w.id + 1 GROUP BY w.window_start, w.window_end""",
            True,
        ),
    ],
)
def test_what_closes(text: str, closes: bool) -> None:
    program = compile_view("v", text, CATALOG)
    assert bool(program.close) == closes
    assert [side.name for side in program.sides] == (["late.v"] if closes else [])
    assert ("close when the watermark" in explain(program)) == closes
    live = compile_view("v", text, CATALOG, windows="live")
    assert not live.close
    assert not live.sides


def harness() -> SqlHarness:
    return SqlHarness([BIDS, BAG])


def bid(key: int, item: str, second: float) -> tuple[object, ...]:
    return (key, item, int(second * SECOND), None, None)


def test_window_join_is_live() -> None:
    """Windows of two relations, joined on both ends: embedded only over changes, and equal to the batch answer."""
    made = harness()
    made.add_view(
        "pairs",
        f"""SELECT a.id, b.id AS other, a.window_start FROM TABLE({TUMBLE}) AS a JOIN TABLE({TUMBLE}) AS b
        ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.item = b.item WHERE a.id < b.id""",
    )
    first = bid(1, "x", 1)
    made.tick({"air.bids": [(first, 1), (bid(2, "x", 9), 1), (bid(3, "x", 11), 1)]})
    assert made.rows("pairs") == [(1, 2, 0)]
    made.tick({"air.bids": [(first, -1), (bid(1, "x", 12), 1)]})
    assert made.rows("pairs") == [(1, 3, 10 * SECOND)]


def test_sessions_of_equal_rows_count_each() -> None:
    made = harness()
    text = GROUPED.format("SESSION(TABLE bag PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' SECOND)")
    program = made.add_view("v", text)
    assert not program.warnings
    made.add_view(
        "rows_",
        "SELECT item, at, window_end FROM TABLE(SESSION(TABLE bag, DESCRIPTOR(at), INTERVAL '5' SECOND))",
        key=("item", "at"),
    )
    made.tick({"air.bag": [(("a", 4 * SECOND), 1)]})
    assert made.rows("rows_") == [("a", 4 * SECOND, 9 * SECOND)]
    other = harness()
    other.add_view("v", text)
    other.tick({"air.bag": [(("a", 0), 2), (("a", 4 * SECOND), 1)]})
    assert other.rows("v") == [(0, 9 * SECOND, 3)]
    other.tick({"air.bag": [(("a", 0), -1)]})
    assert other.rows("v") == [(0, 9 * SECOND, 2)]
    other.tick({"air.bag": [(("a", 0), -1), (("a", 1 * SECOND), 3)]})
    assert other.rows("v") == [(1 * SECOND, 9 * SECOND, 4)]
    assert other.rows("v") == other.batch("v")


def test_groups_over_windows_of_a_kept_join_close() -> None:
    made = harness()
    made.add_view(
        "v",
        f"""SELECT w.window_start, w.window_end, COUNT(o.id) AS n FROM TABLE({TUMBLE}) AS w
        LEFT JOIN bids AS o ON o.id = w.id + 1 GROUP BY w.window_start, w.window_end""",
    )
    made.tick({"air.bids": [(bid(1, "x", 1), 1), (bid(2, "x", 2), 1)]})
    assert made.rows("v") == []
    made.tick({"air.bids": [(bid(5, "x", 11), 1)]})
    assert made.rows("v") == [(0, 10 * SECOND, 1)]
    # What joins a row of a closed window changes that row: one late retraction, one late row.
    made.tick({"air.bids": [(bid(3, "x", 12), 1)]})
    assert made.rows("v") == [(0, 10 * SECOND, 1)]
    assert sorted(row[1] for row in made.rows("late.v")) == [-1, 1]


def test_two_aggregates_that_close_have_a_table_of_late_rows_each() -> None:
    made = harness()
    one, other = (
        f"(SELECT window_start AS s, window_end AS e, COUNT(*) AS n FROM TABLE({TUMBLE}) {where} GROUP BY window_start, window_end)"
        for where in ("", "WHERE item = 'x'")
    )
    program = made.add_view(
        "v", f"SELECT a.s, a.e, a.n, b.n AS xs FROM {one} AS a JOIN {other} AS b ON a.s = b.s AND a.e = b.e"
    )
    assert [side.name for side in program.sides] == ["late.v", "late.v_2"]
    made.tick({"air.bids": [(bid(1, "x", 1), 1), (bid(2, "y", 2), 1), (bid(3, "x", 10), 1)]})
    assert made.rows("v") == [(0, 10 * SECOND, 2, 1)]
    made.tick({"air.bids": [(bid(4, "x", 3), 1), (bid(5, "y", 4), 1)]})
    assert made.rows("v") == [(0, 10 * SECOND, 2, 1)]
    assert (len(made.rows("late.v")), len(made.rows("late.v_2"))) == (2, 1)


def test_queries_have_windows_too() -> None:
    made = harness()
    made.tick({"air.bids": [(bid(1, "x", 1), 1), (bid(2, "x", 7), 1), (bid(3, "x", 20), 1)]})
    hops = made.query(
        "SELECT window_start, COUNT(*) FROM TABLE(HOP(TABLE bids, DESCRIPTOR(at), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start ORDER BY 1"
    )
    assert [count for _, count in hops] == [1, 2, 1, 1, 1]
    sessions = made.query(
        "SELECT window_start, COUNT(*) FROM TABLE(SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '6' SECOND)) GROUP BY window_start ORDER BY 1"
    )
    assert [count for _, count in sessions] == [2, 1]


def test_dropping_a_view_leaves_nothing() -> None:
    made = harness()
    before = set(made.connection.execute("SELECT name FROM sqlite_schema").fetchall())
    program = made.add_view(
        "v", GROUPED.format("SESSION(TABLE bids PARTITION BY item, DESCRIPTOR(at), INTERVAL '5' SECOND)")
    )
    for step in program.drop:
        made.connection.execute(step.sql)
    made.connection.execute('DROP TABLE main."v"')
    assert set(made.connection.execute("SELECT name FROM sqlite_schema").fetchall()) == before
    assert made.connection.execute("SELECT relation FROM _watermarks").fetchall() == [("air.bids",)]
    assert made.connection.execute("SELECT relation FROM _late").fetchall() == []
