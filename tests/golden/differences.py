"""Where Springline differs from Flink on purpose: the expressions, by the row of docs/sql.md's table that gives the reason.

A mark is strict: the test fails where the difference is gone.
"""

from __future__ import annotations

from typing import Final

# File -> row of the table -> expressions.
BY_REASON: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "aggregates": {
        "SUM of integers": (
            "SUM(x)",
            "SUM(h)",
            "SUM(x + 1)",
            "SUM(DISTINCT x)",
            "SUM(x) FILTER (WHERE f)",
            "SUM(x) FILTER (WHERE x > 100)",
            "SUM(CASE WHEN f THEN 1 ELSE 0 END)",
            "COALESCE(SUM(x), 0)",
            "SUM(CAST(NULL AS INT))",
        ),
        "order of rows in an aggregate": (
            "LISTAGG(s)",
            "LISTAGG(s, '-')",
            "LISTAGG(DISTINCT s, '-')",
            "LISTAGG(s) FILTER (WHERE x > 1)",
            "ARRAY_AGG(DISTINCT x)",
            "ARRAY_AGG(s)",
            "FIRST_VALUE(m)",
            "LISTAGG(s, '-') WITHIN GROUP (ORDER BY k DESC)",
            "ARRAY_AGG(x ORDER BY k DESC)",
        ),
        "COLLECT": ("COLLECT(x)", "COLLECT(DISTINCT x)", "COLLECT(s)"),
        "understood here": ("COUNT(DISTINCT x, s)",),
        "not supported here": ("APPROX_COUNT_DISTINCT(x)", "VAR_POP(m)"),
    },
    "arrays": {
        "an element that is not there": ("ARRAY[1, 2, 3][4]",),
        "not supported here": ("MAP['a', 1]['a']", "MAP['a', 1]['b']"),
    },
    "casts": {
        "constants": ("CAST('x' AS DECIMAL(5, 2))",),
        "understood here": (
            "CAST('2013-02-08T17:30:00' AS TIMESTAMP)",
            "CAST('2013-02-08 17:30' AS TIMESTAMP)",
            "CAST('2013-02-08 17:30:00Z' AS TIMESTAMP)",
            "CAST('2013-02-08 17:30:00+01:00' AS TIMESTAMP_LTZ)",
        ),
        "a CAST beyond the range of its type": (
            "CAST(1e10 AS INT)",
            "CAST(-1e10 AS INT)",
            "CAST(1e20 AS BIGINT)",
            "CAST(CAST('NaN' AS DOUBLE) AS INT)",
            "CAST(CAST('Infinity' AS DOUBLE) AS BIGINT)",
            "CAST(40000 AS SMALLINT)",
            "CAST(-40000 AS SMALLINT)",
            "CAST(3000000000 AS INT)",
            "CAST(3000000000.5 AS INT)",
            "TRY_CAST(3000000000 AS INT)",
            "TRY_CAST(40000 AS SMALLINT)",
        ),
        "FLOAT": ("CAST(16777217 AS FLOAT)",),
        "digits of a TIMESTAMP": (
            "CAST(TIMESTAMP '2013-02-08 17:30:00' AS STRING)",
            "CAST(TIMESTAMP '2013-02-08 17:30:00.5' AS STRING)",
            "CAST(CAST('2013-02-08 17:30:00' AS TIMESTAMP(3)) AS STRING)",
            "CAST(CAST('2013-02-08 17:30:00' AS TIMESTAMP(0)) AS STRING)",
            "CAST(TO_TIMESTAMP('2013-02-08 17:30:00') AS STRING)",
            "CAST(TO_TIMESTAMP_LTZ(1360344600, 0) AS STRING)",
        ),
        "CHAR(n)": ("CAST('ab' AS CHAR(4))", "CAST('abcdef' AS CHAR(4))"),
        "moments before 1970": ("CAST(TIMESTAMP '1969-12-31 23:59:59' AS DATE)",),
    },
    "columns": {
        "integer arithmetic beyond its type": (
            "i + 1",
            "i * 2",
            "-i",
            "b * 2",
            "b + 4611686018427387904",
            "ABS(i)",
            "ABS(h)",
            "ROUND(i, -1)",
        ),
        "DECIMAL results": ("n * n", "m * m", "m / 3", "SIGN(m)"),
        "a CAST beyond the range of its type": (
            "CAST(d AS INT)",
            "CAST(m AS BIGINT)",
            "TRY_CAST(i AS SMALLINT)",
            "TRY_CAST(b AS INT)",
            "CAST(d AS DECIMAL(10, 3))",
        ),
        "moments before 1970": (
            "CAST(ts AS DATE)",
            "YEAR(ts)",
            "HOUR(ts)",
            "MINUTE(ts)",
            "SECOND(ts)",
            "EXTRACT(EPOCH FROM ts)",
            "FLOOR(ts TO MONTH)",
            "FLOOR(ts TO QUARTER)",
            "FLOOR(ts TO YEAR)",
        ),
        "dates beyond the year 9999": ("dt + INTERVAL '1' MONTH", "TIMESTAMPADD(MONTH, k, dt)"),
        "INTERVAL": ("ts + INTERVAL '0.000001' SECOND",),
        "TIMESTAMPDIFF in seconds": ("TIMESTAMPDIFF(SECOND, ts, TIMESTAMP '2013-01-01 00:00:00')",),
        "understood here": ("d % 2", "OCTET_LENGTH(s)", "dt < ts"),
        "Flink fails by mistake": ("LEAST(n, d)", "TRUNCATE(d, 1)"),
    },
    "json": {
        "understood here": (
            """JSON_VALUE('{"a": "7"}', '$.a' RETURNING INT)""",
            "JSON_OBJECT('t' VALUE TIMESTAMP '2013-02-08 17:30:00', 'd' VALUE DATE '2013-02-08')",
        ),
        "constants": ("JSON_OBJECT('d' VALUE 1.50, 'e' VALUE 1.5e0, 'f' VALUE 1e10)",),
    },
    "numbers": {
        "integer arithmetic beyond its type": (
            "2147483647 + 1",
            "-2147483648 - 1",
            "2147483647 * 2",
            "CAST(9223372036854775807 AS BIGINT) + 1",
        ),
        "constants": (".5", "7e0 / 0", "-7e0 / 0", "0e0 / 0", "1 < '2'", "TRUE = 'true'"),
        "FLOAT": (
            "CAST(1 AS FLOAT) + 1",
            "CAST(0.1 AS FLOAT) + CAST(0.2 AS FLOAT)",
            "CAST(0.1 AS FLOAT) + CAST(0.2 AS DOUBLE)",
            "CAST(0.1 AS FLOAT) * 2",
        ),
        "understood here": (
            "7.5e0 % 2",
            "-7.5e0 % 2",
            "1 + NULL",
            "1 != 2",
            "TRUE AND NULL",
            "FALSE AND NULL",
            "TRUE OR NULL",
            "FALSE OR NULL",
        ),
        "MIN, MAX, ORDER BY with NaN": ("CAST('NaN' AS DOUBLE) > 1e0",),
        "not supported here": ("PI",),
        "UNHEX of an odd number of digits": ("UNHEX('F')",),
        "TYPEOF": (
            "TYPEOF(1)",
            "TYPEOF(1.50)",
            "TYPEOF('abc')",
            "TYPEOF(CAST('abc' AS STRING))",
            "TYPEOF(CAST(1 AS BIGINT))",
            "TYPEOF(TIMESTAMP '2013-02-08 17:30:00')",
            "TYPEOF(TRUE)",
        ),
        "UUID, RAND": ("UUID() IS NULL", "RAND() < 1"),
    },
    "strings": {
        "CHAR(n)": ("UPPER('straße')", "LOWER('İ')"),
        "understood here": ("OCTET_LENGTH('航班')",),
        "not supported here": ("PRINTF('%s has %d', 'x', 5)",),
    },
    "times": {
        "understood here": ("DATE '2013-02-08' < TIMESTAMP '2013-02-08 00:00:01'",),
        "INTERVAL": (
            "TIMESTAMP '2013-02-08 00:00:00' + INTERVAL '1.5' SECOND",
            "DATE '2013-02-08' + INTERVAL '12' HOUR",
            "DATE '2013-02-08' + INTERVAL '36' HOUR",
        ),
        "moments before 1970": (
            "HOUR(TIMESTAMP '1969-12-31 23:59:59')",
            "FLOOR(TIMESTAMP '1969-12-31 23:30:00' TO YEAR)",
        ),
        "CEIL to MONTH and YEAR": (
            "CEIL(TIMESTAMP '2013-01-01 00:00:01' TO MONTH)",
            "CEIL(TIMESTAMP '2013-01-01 00:00:01' TO YEAR)",
        ),
        "TIMESTAMPDIFF in seconds": (
            "TIMESTAMPDIFF(SECOND, TIMESTAMP '2013-02-08 17:30:00', TIMESTAMP '2013-02-08 17:31:00.9')",
        ),
        "not supported here": (
            "EXTRACT(DAY FROM INTERVAL '3 10:00:00' DAY TO SECOND)",
            "DATE_FORMAT(TIMESTAMP '2013-02-08 00:30:00', 'D w u')",
            "(TIME '2:55:00', INTERVAL '1' HOUR) OVERLAPS (TIME '3:30:00', INTERVAL '2' HOUR)",
        ),
    },
}

DIFFERENCES: Final = {
    name: {expression: reason for reason, listed in reasons.items() for expression in listed}
    for name, reasons in BY_REASON.items()
}
