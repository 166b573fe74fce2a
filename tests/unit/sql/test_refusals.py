"""What is not understood is refused when it is declared: what, where in the text, and what to write instead."""

from __future__ import annotations

import pytest

from springline.errors import SqlError
from springline.sql import compile_query, compile_view
from tests.unit.sql.sql_tables import CATALOG

VIEWS = [
    # text, line, column, message, hint
    ("SELECT id, statu FROM flights", 1, 12, "no column 'statu'", "'status'"),
    ("SELECT id, Status FROM flights", 1, 12, "no column 'Status'", "'status'"),
    ("SELECT id FROM flihgts", 1, 16, "no table or view 'flihgts'", "'flights'"),
    ("SELECT id\nFROM bookings", 2, 6, "could be several", "air.bookings or shop.bookings"),
    ("SELECT f.id, b.seat FROM flights f JOIN air.bookings b ON b.flight = f.id", 1, 14, "no column 'seat'", "'seats'"),
    ("SELECT g.id FROM flights f", 1, 8, "No table of this query goes by 'g'", "Tables: f"),
    ("SELECT id FROM flights f JOIN flights g ON f.id = g.id", 1, 8, "several tables", "f.id or g.id"),
    ("SELECT id FROM flights WHERE leaves > NOW()", 1, 39, "NOW cannot stand in a view", "filter when reading"),
    ("SELECT id, CURRENT_TIMESTAMP AS t FROM flights", 1, 12, "CURRENT_TIMESTAMP cannot stand", "filter when reading"),
    ("SELECT id, RAND() AS r FROM flights", 1, 12, "RAND gives another value", ""),
    ("SELECT id + status AS x FROM flights", 1, 8, "+ wants numbers, not STRING", "||"),
    ("SELECT id FROM flights WHERE status = 1", 1, 30, "STRING and INT cannot be compared", "CAST"),
    ("SELECT id FROM flights WHERE delay", 1, 30, "wants a condition, not INT", "x > 0"),
    ("SELECT id, status || delay AS x FROM flights", 1, 22, "|| joins STRINGs, not INT", "CAST(delay AS STRING)"),
    ("SELECT id, UPPER(delay) AS x FROM flights", 1, 12, "Argument 1 of UPPER is INT", "CAST(delay AS STRING)"),
    ("SELECT id, UPER(status) AS x FROM flights", 1, 12, "no function UPER", "'UPPER'"),
    ("SELECT LISTAGG(delay) AS x FROM flights", 1, 8, "LISTAGG takes a STRING", "CAST(x AS STRING)"),
    ("SELECT id, MEDIAN(delay) AS x FROM flights", 1, 12, "MEDIAN is not supported", "PERCENTILE(x, 0.5)"),
    ("SELECT status, COUNT(*) AS n FROM flights GROUP BY ROLLUP (status)", 1, 60, "ROLLUP and CUBE", "UNION ALL"),
    ("SELECT FIRST_VALUE(status) IGNORE NULLS AS x FROM flights", 1, 8, "not Flink SQL", "pass over NULLs"),
    ("SELECT MAP['a', 1] AS x FROM flights", 1, 8, "MAP is not supported", "JSON_OBJECT"),
    ("SELECT id, UUID() AS x FROM flights", 1, 12, "another value each time", "MD5"),
    ("SELECT id, JSON_OBJECT(status VALUE 1) AS x FROM flights", 1, 24, "string literals", "JSON_OBJECT('a' VALUE x)"),
    ("SELECT id, ARRAY[1, 'a'] AS x FROM flights", 1, 18, "no common type: INT, STRING", "CAST"),
    ("SELECT PERCENTILE(delay, 2) AS x FROM flights", 1, 26, "is from 0 to 1", "0.95"),
    ("SELECT SUM(delay ORDER BY id) AS x FROM flights", 1, 8, "no use for ORDER BY", "FIRST_VALUE"),
    ("SELECT id, UPPER(status) FROM flights", 1, 12, "UPPER(status) has no name", "AS some_name"),
    ("SELECT id, delay, COUNT(*) AS n FROM flights GROUP BY id", 1, 12, "neither in GROUP BY", "MAX(delay)"),
    ("SELECT status, COUNT(*) AS n FROM flights GROUP BY 1", 1, 52, "not positions", "Repeat"),
    ("SELECT COUNT(*) AS n FROM flights WHERE COUNT(*) > 1", 1, 41, "cannot stand here", "HAVING"),
    ("SELECT SUM(status) AS s FROM flights", 1, 8, "SUM wants a number, not STRING", "CAST"),
    ("SELECT STDDEV_POP(DISTINCT delay) AS s FROM flights", 1, 8, "STDDEV_POP(DISTINCT …)", ""),
    ("SELECT delay FROM flights", 1, 8, "no key that can be inferred", "Add flights.id"),
    ("SELECT id, x FROM flights CROSS JOIN UNNEST(SPLIT(status, ',')) AS t(x)", 1, 8, "no key that can be inferred", "WITH ORDINALITY"),
    ("SELECT id FROM flights ORDER BY id", 1, 33, "rows of a view have no order", "add LIMIT"),
    ("SELECT a.id FROM flights a FULL JOIN flights b USING (id)", 1, 38, "USING with FULL JOIN", "COALESCE"),
    ("SELECT a.id FROM flights a LEFT SEMI JOIN flights b ON a.id = b.id", 1, 43, "not Flink SQL", "IN (SELECT"),
    ("SELECT a.id FROM flights a RIGHT JOIN flights b", 1, 39, "needs ON", "RIGHT JOIN"),
    ("SELECT flight FROM legs UNION ALL SELECT id FROM flights", 1, 8, "no key that can be inferred", "key="),
    ("SELECT status, ROW_NUMBER() OVER (ORDER BY id) AS n FROM flights WHERE open IN (SELECT id FROM flights)", 1, 72, "BOOLEAN IN", "CAST"),
    ("SELECT id, ROW_NUMBER() OVER (PARTITION BY status) AS n FROM flights", 1, 12, "ROW_NUMBER needs an order", "ORDER BY"),
    ("SELECT id, LAST_VALUE(delay) OVER (ORDER BY id) AS n FROM flights", 1, 12, "wants a frame of ROWS", "ROWS BETWEEN"),
    ("SELECT id FROM flights WHERE ROW_NUMBER() OVER (ORDER BY id) < 3", 1, 30, "cannot stand in WHERE", "AS t WHERE"),
    ("SELECT id, UPPER(status) OVER (ORDER BY id) AS n FROM flights", 1, 12, "is not supported", "ROW_NUMBER"),
    ("SELECT a.id FROM flights a NATURAL JOIN flights b", 1, 41, "NATURAL JOIN is not supported", "ON"),
    ("SELECT COUNT(*) AS n FROM flights GROUP BY TUMBLE(leaves, INTERVAL '1' HOUR)", 1, 44, "TUMBLE is a table function", "FROM TABLE(TUMBLE("),
    ('SELECT "id" FROM flights', 1, 8, "no double quotes", "backticks"),
    ("SELECT id FORM flights", 1, 16, "not Flink SQL as understood here", "docs/sql.md"),
    ("SELECT id FROM flights; SELECT 1", 1, 32, "two statements", "one SELECT"),
    ("DELETE FROM flights", 1, 1, "DELETE is not a query", "SELECT"),
    ("", 1, 1, "no SQL here", "SELECT"),
    ("SELECT id FROM flights WHERE id = :id", 1, 30, "A view has no parameters", ""),
    ("SELECT id, CAST(id AS CHAR(3)) AS c FROM flights", 1, 17, "type CHAR(3) is not known", "STRING"),
    ("SELECT id, CAST(id AS TIMESTAMP) AS t FROM flights", 1, 17, "INT cannot be cast to TIMESTAMP", "TO_TIMESTAMP_LTZ"),
    ("SELECT id FROM flights WHERE leaves > 'yesterday'", 1, 30, "'yesterday' is not a TIMESTAMP_LTZ", "2026-01-31"),
    ("SELECT id, DATE '2026-02-30' AS d FROM flights", 1, 17, "is not a DATE", ""),
    ("SELECT id FROM flights WHERE status ILIKE 'a%'", 1, 30, "ILIKE is not Flink SQL", "LOWER"),
    ("SELECT id, leaves - leaves AS d FROM flights", 1, 12, "is not defined", "TIMESTAMPDIFF"),
    ("SELECT id, leaves + INTERVAL '1' FORTNIGHT AS d FROM flights", 1, 30, "FORTNIGHT is not a unit", "Units"),
    ("SELECT id, NULL AS x FROM flights", 1, 8, "always NULL", "CAST(NULL AS STRING)"),
    ("SELECT id, id FROM flights", 1, 12, "Two columns are called 'id'", "AS other_name"),
    ("SELECT id, CASE WHEN open THEN 1 ELSE 'x' END AS c FROM flights", 1, 22, "no common type: INT, STRING", "CAST"),
    ("SELECT a.id FROM (SELECT id FROM flights) JOIN flights a ON TRUE", 1, 26, "needs a name", "AS some_name"),
    ("SELECT 1 AS x", 1, 8, "A view reads from something", "FROM"),
    ("SELECT status, COUNT(*) AS n FROM flights GROUP BY CUBE (status)", 1, 58, "CUBE", ""),
    ("SELECT id, 99999999999999999999 AS x FROM flights", 1, 12, "beyond BIGINT", "DECIMAL"),
    ("WITH RECURSIVE t AS (SELECT id FROM flights) SELECT id FROM t", 1, 16, "RECURSIVE", ""),
    ("SELECT id, 1e999 AS x FROM flights", 1, 12, "beyond DOUBLE", "Infinity"),
    ("SELECT id, 1e AS x FROM flights", 1, 12, "is no number", "1.5e3"),
    ("SELECT id, x'0' AS x FROM flights", 1, 12, "two digits for each byte", "x'0A'"),
    ("SELECT id, leaves + INTERVAL 'inf' DAY AS x FROM flights", 1, 30, "not a number of DAYs", "'90' MINUTE"),
    ("SELECT id, leaves + INTERVAL '1.5' MONTH AS x FROM flights", 1, 30, "no whole number of MONTHs", "'18' MONTH"),
    ("SELECT id, leaves + INTERVAL '999999999999' DAY AS x FROM flights", 1, 30, "longer than 31,000 years", ""),
    ("SELECT id, INTERVAL '1' DAY AS x FROM flights", 1, 8, "'x' is an INTERVAL", "TIMESTAMPDIFF"),
    ("SELECT id, delay AS ID FROM flights", 1, 12, "'id' and 'ID', which differ by capitals", "AS other_name"),
    ("SELECT id, delay AS `_tick` FROM flights", 1, 12, "cannot be called '_tick'", "AS other_name"),
    ("SELECT id, t.A FROM (SELECT id, delay FROM flights) AS t(a, A)", 1, 29, "differ by capitals", "another name"),
    ("SELECT id, 'a\x00b' AS x FROM flights", 1, 14, "cannot stand in a text of SQL", "CHR(0)"),
    ("SELECT id, '\ud800' AS x FROM flights", 1, 13, "cannot stand in a text of SQL", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), VIEWS)
def test_views(text: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        compile_view("v", text, CATALOG)
    error = caught.value
    assert message in error.message
    assert hint in (error.hint or "")
    assert (error.line, error.column) == (line, column)
    assert error.statement == text


QUERIES = [
    ("SELECT id FROM flights WHERE id = :idd", "No value was given for :idd", "'id'"),
    ("SELECT id FROM flights ORDER BY 2", "there are 1 columns", ""),
    ("SELECT id FROM flights LIMIT id", "", ""),
    ("SELECT id FROM flights WHERE id IN (SELECT reference FROM legs)", "INT IN (a query of STRING)", "CAST"),
    ("SELECT id FROM flights UNION SELECT status FROM flights", "is INT and STRING", "CAST"),
    ("SELECT (SELECT id, delay FROM flights) AS x", "one column, not 2", ""),
    ("SELECT UPPER(status) OVER (ORDER BY id) FROM flights", "is not supported", "ROW_NUMBER"),
]


@pytest.mark.parametrize(("text", "message", "hint"), QUERIES)
def test_queries(text: str, message: str, hint: str) -> None:
    with pytest.raises(SqlError) as caught:
        compile_query(text, CATALOG, parameters={"id": 1})
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_declared_key_must_be_a_column() -> None:
    with pytest.raises(SqlError, match="'flight' is not a column of view 'v'"):
        compile_view("v", "SELECT id, status FROM flights", CATALOG, key=["flight"])


def test_nothing_is_passed_over() -> None:
    """Clauses of other systems that the parser knows are refused as well."""
    for clause in (
        "QUALIFY 1 = 1",
        "LATERAL VIEW EXPLODE(x) t AS y",
        "TABLESAMPLE (10 PERCENT)",
        "FOR UPDATE",
    ):
        with pytest.raises(SqlError):
            compile_view("v", f"SELECT id FROM flights {clause}", CATALOG)


@pytest.mark.parametrize(
    "expression",
    ["(" * 1_000 + "delay" + ")" * 1_000, " + ".join(["delay"] * 1_000), "ABS(" * 1_000 + "delay" + ")" * 1_000],
)  # fmt: skip
def test_a_query_that_is_nested_too_deeply_is_refused(expression: str) -> None:
    text = f"SELECT id, {expression} AS x FROM flights"
    for ask in (lambda: compile_view("v", text, CATALOG), lambda: compile_query(text, CATALOG)):
        with pytest.raises(SqlError, match="nested too deeply") as caught:
            ask()
        assert caught.value.statement == text


@pytest.mark.parametrize(
    "name", ["", "_ticks", "sqlite_master", "SQLite_x", "late.v", "a:b", "a\x00", "\ud800"]
)
def test_names_that_no_view_can_have(name: str) -> None:
    with pytest.raises(SqlError, match="cannot be the name of a view"):
        compile_view(name, "SELECT id FROM flights", CATALOG)


def test_names_of_relations_differ_by_more_than_capitals() -> None:
    """To SQLite they would be one table."""
    with pytest.raises(SqlError, match=r"'Air\.Flights' differs from 'air\.flights' by capitals only"):
        compile_view("Air.Flights", "SELECT id FROM flights", CATALOG)
