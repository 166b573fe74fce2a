"""Scalar functions and operators that random expressions are made of: what they take and give, in Flink's words and DuckDB's.

Where DuckDB has no equal, the reason stands here, and the law counts how often it cannot compare.
"""

from __future__ import annotations

from typing import Final

from springline.core.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    FLOAT,
    INT,
    SMALLINT,
    STRING,
    TIME,
    TIMESTAMP,
    TIMESTAMP_LTZ,
    decimal,
)
from tests.law.arrays_and_json import ARRAYS, JSON
from tests.law.domains import PRICE, RATE
from tests.law.form import Form
from tests.law.texts_and_times import MORE_TEXTS, MORE_TIMES
from tests.law.user_functions import PYTHON

LENGTHS: Final = ("3", "1", "0", "5")
POSITIONS: Final = ("1", "2", "3")
LETTERS: Final = ("'a'", "'b'", "','")
_S, _I, _D, _T = STRING, INT, DOUBLE, TIMESTAMP
_DATED: Final = "DuckDB reads other texts as dates"
_DATES: Final = ("'2013-02-08'", "'x'", "'2012-02-29'")
_STARTS: Final = "DuckDB counts starts before the first letter differently"
_JAVA: Final = "DuckDB writes doubles differently"
_UNICODE: Final = "DuckDB has no INITCAP"

TEXTS: Final = [
    Form(_S, (_S,), "UPPER({0})"),
    Form(_S, (_S,), "LOWER({0})"),
    Form(_S, (_S,), "INITCAP({0})", None, _UNICODE),
    Form(_S, (_S, _S), "({0} || {1})"),
    Form(_S, (_S, _S), "CONCAT({0}, {1})", "({0} || {1})"),
    Form(_S, (_S, _S, _S), "CONCAT({0}, {1}, {2})", "({0} || {1} || {2})"),
    Form(_S, (("'-'",), _S, _S), "CONCAT_WS({0}, {1}, {2})"),
    Form(_S, (("'-'",), _S, _S, _S), "CONCAT_WS({0}, {1}, {2}, {3})"),
    Form(_S, (_S, POSITIONS), "SUBSTRING({0}, {1})"),
    Form(_S, (_S, POSITIONS, LENGTHS), "SUBSTRING({0}, {1}, {2})"),
    Form(_S, (_S, POSITIONS), "SUBSTRING({0} FROM {1})", "substring({0}, {1})"),
    Form(_S, (_S, POSITIONS, LENGTHS), "SUBSTRING({0} FROM {1} FOR {2})", "substring({0}, {1}, {2})"),
    Form(_S, (_S, _I, LENGTHS), "SUBSTR({0}, {1}, {2})", None, _STARTS),
    Form(_S, (_S, POSITIONS, LENGTHS), "SUBSTR({0}, {1}, {2})"),
    Form(_S, (_S, LENGTHS), "LEFT({0}, {1})"),
    Form(_S, (_S, LENGTHS), "RIGHT({0}, {1})"),
    Form(_S, (_S,), "TRIM({0})"),
    Form(_S, (LETTERS, _S), "TRIM(BOTH {0} FROM {1})", "trim({1}, {0})"),
    Form(_S, (LETTERS, _S), "TRIM(LEADING {0} FROM {1})", "ltrim({1}, {0})"),
    Form(_S, (LETTERS, _S), "TRIM(TRAILING {0} FROM {1})", "rtrim({1}, {0})"),
    Form(_S, (_S,), "LTRIM({0})"),
    Form(_S, (_S,), "RTRIM({0})"),
    Form(_S, (_S, LETTERS), "BTRIM({0}, {1})", "trim({0}, {1})"),
    Form(_S, (_S, LETTERS, _S), "REPLACE({0}, {1}, {2})"),
    Form(_S, (_S, LENGTHS, LETTERS), "LPAD({0}, {1}, {2})"),
    Form(_S, (_S, LENGTHS, LETTERS), "RPAD({0}, {1}, {2})"),
    Form(_S, (_S, LENGTHS), "REPEAT({0}, {1})"),
    Form(_S, (_S,), "REVERSE({0})"),
    Form(
        _S,
        (_S, LETTERS, ("0", "1")),
        "SPLIT_INDEX({0}, {1}, {2})",
        "CASE WHEN {0} <> '' THEN str_split({0}, {1})[{2} + 1] END",
    ),
    Form(
        _S,
        (_S, ("'([a-z])([0-9])'",), ("0", "1", "2")),
        "REGEXP_EXTRACT({0}, {1}, {2})",
        "CASE WHEN regexp_matches({0}, {1}) THEN regexp_extract({0}, {1}, {2}) END",
    ),
    Form(
        _S,
        (_S, ("'[0-9]+'", "'a'"), ("'#'",)),
        "REGEXP_REPLACE({0}, {1}, {2})",
        "regexp_replace({0}, {1}, {2}, 'g')",
    ),
    Form(_S, (("65", "97"),), "CHR({0})"),
    Form(_S, (_S,), "MD5({0})"),
    Form(_S, (_S,), "SHA1({0})"),
    Form(_S, (_S,), "SHA256({0})"),
    Form(
        _S,
        (_S,),
        "JSON_VALUE({0}, '$.a')",
        "CASE WHEN json_valid({0}) THEN json_extract_string({0}, '$.a') END",
    ),
    Form(_S, (_S,), "JSON_QUERY({0}, '$.a')", None, "DuckDB has no JSON_QUERY"),
    Form(_S, (_I,), "CAST({0} AS STRING)", "CAST({0} AS VARCHAR)"),
    Form(_S, (BOOLEAN,), "CAST({0} AS STRING)", "upper(CAST({0} AS VARCHAR))"),
    Form(_S, (PRICE,), "CAST({0} AS STRING)", "CAST({0} AS VARCHAR)"),
    Form(_S, (_D,), "CAST({0} AS STRING)", None, _JAVA),
    Form(_S, (_T,), "CAST({0} AS STRING)", "strftime({0}, '%Y-%m-%d %H:%M:%S.%f')"),
    Form(_S, (DATE,), "CAST({0} AS STRING)", "CAST({0} AS VARCHAR)"),
    Form(_S, (_S,), "CAST({0} AS VARCHAR(2))", "left({0}, 2)"),
    Form(_S, (_T,), "DATE_FORMAT({0}, 'yyyy-MM-dd HH:mm')", "strftime({0}, '%Y-%m-%d %H:%M')"),
]

WHOLE: Final = [
    Form(_I, (_S,), "CHAR_LENGTH({0})"),
    Form(_I, (_S,), "CHARACTER_LENGTH({0})"),
    Form(_I, (_S,), "OCTET_LENGTH({0})", "strlen({0})"),
    Form(_I, (LETTERS, _S), "POSITION({0} IN {1})", "instr({1}, {0})"),
    Form(_I, (_S, LETTERS), "INSTR({0}, {1})"),
    Form(
        _I,
        (LETTERS, _S),
        "LOCATE({0}, {1}, 2)",
        "CASE WHEN instr(substring({1}, 2), {0}) = 0 THEN 0 ELSE instr(substring({1}, 2), {0}) + 1 END",
    ),
    Form(_I, (("'a'", "''", "'A1'"),), "ASCII({0})"),
    Form(_I, (_S,), "ASCII({0})", None, "DuckDB's ASCII is a code point, Flink's a signed byte"),
    Form(
        _I,
        (_S,),
        "TRY_CAST({0} AS INT)",
        "TRY_CAST(trunc(TRY_CAST(CASE WHEN regexp_full_match({0}, '-?[0-9]+([.][0-9]+)?') THEN {0} END AS DECIMAL(30, 10))) AS INTEGER)",
    ),
    Form(_I, (PRICE,), "CAST({0} AS INT)", "CAST(trunc({0}) AS INTEGER)"),
    Form(_I, (_D,), "CAST({0} AS INT)", "CAST(trunc({0}) AS INTEGER)", risky=True),
    Form(_I, (BIGINT,), "CAST({0} AS INT)", "CAST({0} AS INTEGER)", risky=True),
    Form(_I, (SMALLINT,), "CAST({0} AS INT)", "CAST({0} AS INTEGER)"),
    Form(_I, (BOOLEAN,), "CAST({0} AS INT)", "CAST({0} AS INTEGER)"),
    Form(
        _I,
        (_S,),
        "JSON_VALUE({0}, '$.a' RETURNING INT)",
        "CASE WHEN json_valid({0}) THEN TRY_CAST(json_extract_string({0}, '$.a') AS INTEGER) END",
    ),
    Form(_I, (_I, _I), "({0} + {1})"),
    Form(_I, (_I, _I), "({0} - {1})"),
    Form(_I, (_I, _I), "({0} * {1})"),
    Form(_I, (_I,), "(-{0})"),
    Form(_I, (_I, ("2", "3", "-2")), "({0} / {1})", "({0} // {1})"),
    Form(_I, (_I, _I), "({0} / {1})", "({0} // {1})", risky=True),
    Form(_I, (_I, ("3", "-3")), "({0} % {1})"),
    Form(_I, (_I, ("3", "-3")), "MOD({0}, {1})", "({0} % {1})"),
    Form(_I, (_I, _I), "({0} % {1})", risky=True),
    Form(_I, (_I,), "ABS({0})"),
    Form(_I, (_I,), "SIGN({0})", "CAST(sign({0}) AS INTEGER)"),
    Form(_I, (_I,), "ROUND({0}, -1)", "CAST(round(CAST({0} AS DECIMAL(12, 2)) / 10) * 10 AS INTEGER)"),
    Form(BIGINT, (BIGINT, _I), "({0} + {1})"),
    Form(BIGINT, (BIGINT, _I), "({0} * {1})"),
    Form(BIGINT, (_I, BIGINT), "({0} - {1})"),
    Form(BIGINT, (_I, BIGINT), "({0} * {1})"),
    Form(BIGINT, (_I, BIGINT), "({0} % (ABS({1}) + 1))"),
    Form(BIGINT, (BIGINT, ("7", "-7")), "({0} / {1})", "({0} // {1})"),
    Form(BIGINT, (_I,), "CAST({0} AS BIGINT)"),
    Form(SMALLINT, (SMALLINT, SMALLINT), "({0} - {1})"),
    Form(SMALLINT, (_I,), "CAST({0} AS SMALLINT)", risky=True),
]

NUMBERS: Final = [
    Form(_D, (_D, _D), "({0} + {1})"),
    Form(_D, (_D, _I), "({0} - {1})"),
    Form(_D, (_D, _D), "({0} * {1})"),
    Form(_D, (_D, _D), "({0} / {1})", "CASE WHEN {1} = 0 THEN {0} * 'inf'::DOUBLE ELSE {0} / {1} END"),
    Form(_D, (_D, ("2e0", "4e0")), "({0} / {1})"),
    Form(_D, (PRICE, _D), "({0} + {1})", "(CAST({0} AS DOUBLE) + {1})"),
    Form(_D, (_D,), "(-{0})"),
    Form(_D, (_D,), "ABS({0})"),
    Form(_D, (_D,), "SIGN({0})", "CAST(sign({0}) AS DOUBLE)"),
    Form(_D, (_D,), "ROUND({0})"),
    Form(_D, (_D,), "ROUND({0}, 1)"),
    Form(_D, (_D,), "TRUNCATE({0}, 1)", "trunc({0}, 1)"),
    Form(_D, (_D,), "FLOOR({0})"),
    Form(_D, (_D,), "CEIL({0})"),
    Form(_D, (_D,), "CEILING({0})"),
    Form(_D, (_D, ("2", "3")), "POWER({0}, {1})"),
    Form(_D, (_I, ("2", "3")), "POWER({0}, {1})"),
    Form(_D, (_D,), "SQRT({0})", "CASE WHEN {0} < 0 THEN 'nan'::DOUBLE ELSE sqrt({0}) END"),
    Form(_D, (_I,), "EXP({0})"),
    *(
        Form(
            _D,
            (_D,),
            f"{name}({{0}})",
            f"CASE WHEN {{0}} < 0 THEN 'nan'::DOUBLE WHEN {{0}} = 0 THEN '-inf'::DOUBLE ELSE {name}({{0}}) END",
        )
        for name in ("LN", "LOG10", "LOG2")
    ),
    Form(_D, (_D,), "SIN({0})"),
    Form(_D, (_D,), "COS({0})"),
    Form(_D, (_I,), "TAN({0})"),
    Form(_D, (_D, _D), "ATAN2({0}, {1})"),
    Form(_D, (_D,), "DEGREES({0})"),
    Form(_D, (_D,), "RADIANS({0})"),
    Form(_D, (_I,), "CAST({0} AS DOUBLE)"),
    Form(_D, (PRICE,), "CAST({0} AS DOUBLE)"),
    Form(_D, (FLOAT,), "CAST({0} AS DOUBLE)"),
    Form(PRICE, (RATE,), "CAST({0} AS DECIMAL(8, 2))", risky=True),
    Form(PRICE, (_I,), "CAST({0} AS DECIMAL(8, 2))", risky=True),
    Form(
        PRICE,
        (_S,),
        "TRY_CAST({0} AS DECIMAL(8, 2))",
        "TRY_CAST(CASE WHEN regexp_full_match({0}, '-?[0-9]+([.][0-9]+)?') THEN {0} END AS DECIMAL(8, 2))",
    ),
    Form(PRICE, (PRICE,), "ABS({0})"),
    Form(PRICE, (PRICE,), "(-{0})"),
    Form(PRICE, (PRICE,), "SIGN({0})", "CAST(sign({0}) AS DECIMAL(8, 2))"),
    Form(RATE, (PRICE,), "CAST({0} AS DECIMAL(12, 4))"),
    Form(decimal(8, 1), (PRICE,), "ROUND({0}, 1)", "CAST({0} AS DECIMAL(8, 1))"),
    Form(
        decimal(8, 1),
        (PRICE,),
        "CAST(TRUNCATE({0}, 1) AS DECIMAL(8, 1))",
        "CAST(trunc({0}, 1) AS DECIMAL(8, 1))",
    ),
    Form(decimal(8, 0), (PRICE,), "FLOOR({0})"),
    Form(decimal(8, 0), (PRICE,), "CEIL({0})"),
    Form(decimal(9, 2), (PRICE, PRICE), "({0} + {1})"),
    Form(
        decimal(13, 4),
        (PRICE, RATE),
        "({0} - {1})",
        "CAST(CAST({0} AS DECIMAL(13, 4)) - {1} AS DECIMAL(13, 4))",
    ),
    Form(decimal(13, 2), (PRICE, _I), "({0} + {1})", "CAST({0} + {1} AS DECIMAL(13, 2))"),
    Form(decimal(18, 2), (PRICE, _I), "({0} * {1})", "CAST({0} * {1} AS DECIMAL(18, 2))"),
    Form(decimal(17, 4), (PRICE, PRICE), "({0} * {1})", "CAST({0} * {1} AS DECIMAL(17, 4))"),
    Form(decimal(8, 2), (PRICE, ("3",)), "({0} % {1})", None, "its type is another in DuckDB"),
    Form(
        decimal(18, 10),
        (PRICE, PRICE),
        "({0} / NULLIF({1}, 0))",
        "CAST(CAST(half_up(unscaled({0}) * 10000000000::HUGEINT, unscaled(NULLIF({1}, 0))) AS DECIMAL(38, 0)) "
        "* 0.0000000001 AS DECIMAL(18, 10))",
    ),
]

TIMES: Final = [
    *(
        Form(BIGINT, (_T,), f"{name}({{0}})", f"{duck}({{0}})")
        for name, duck in {
            "YEAR": "year",
            "QUARTER": "quarter",
            "MONTH": "month",
            "WEEK": "weekofyear",
            "DAYOFYEAR": "dayofyear",
            "DAYOFMONTH": "day",
            "DAYOFWEEK": "1 + dayofweek",
            "HOUR": "hour",
            "MINUTE": "minute",
            "SECOND": "second",
        }.items()
    ),
    Form(BIGINT, (DATE,), "YEAR({0})"),
    Form(BIGINT, (DATE,), "DAYOFWEEK({0})", "1 + dayofweek({0})"),
    *(
        Form(BIGINT, (_T,), f"EXTRACT({unit} FROM {{0}})", f"CAST(extract({unit} FROM {{0}}) AS BIGINT)")
        for unit in ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE")
    ),
    *(
        Form(_T, (_T,), f"FLOOR({{0}} TO {unit})", f"date_trunc('{unit}', {{0}})")
        for unit in ("SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "QUARTER", "YEAR")
    ),
    Form(_T, (_T,), "FLOOR({0} TO WEEK)", "date_trunc('week', {0} + INTERVAL 1 DAY) - INTERVAL 1 DAY"),
    *(
        Form(
            _T,
            (_T,),
            f"CEIL({{0}} TO {unit})",
            f"CASE WHEN date_trunc('{unit}', {{0}}) = {{0}} THEN {{0}} ELSE date_trunc('{unit}', {{0}}) + INTERVAL 1 {unit} END",
        )
        for unit in ("MINUTE", "HOUR", "DAY", "MONTH", "YEAR")
    ),
    Form(DATE, (DATE,), "FLOOR({0} TO MONTH)", "CAST(date_trunc('month', {0}) AS DATE)"),
    *(
        Form(_T, (_T,), f"({{0}} {sign} INTERVAL '{number}' {unit})")
        for sign, number, unit in (
            ("+", "36", "HOUR"),
            ("-", "1", "DAY"),
            ("+", "1", "MONTH"),
            ("-", "2", "YEAR"),
        )
    ),
    Form(TIMESTAMP_LTZ, (TIMESTAMP_LTZ,), "({0} + INTERVAL '90' MINUTE)"),
    Form(DATE, (DATE,), "({0} - INTERVAL '1' DAY)", "CAST({0} - INTERVAL 1 DAY AS DATE)"),
    Form(DATE, (DATE,), "({0} + INTERVAL '1' MONTH)", "CAST({0} + INTERVAL 1 MONTH AS DATE)"),
    Form(TIME, (TIME,), "({0} + INTERVAL '2' HOUR)"),
    *(
        Form(
            INT,
            (_T, _T),
            f"TIMESTAMPDIFF({unit}, {{0}}, {{1}})",
            f"CAST(datesub('{unit}', {{0}}, {{1}}) AS INTEGER)",
        )
        for unit in ("MINUTE", "HOUR", "DAY", "WEEK")
    ),
    *(
        Form(
            INT,
            (DATE, DATE),
            f"TIMESTAMPDIFF({unit}, {{0}}, {{1}})",
            f"CAST(datesub('{unit}', {{0}}, {{1}}) AS INTEGER)",
        )
        for unit in ("MONTH", "YEAR")
    ),
    Form(
        INT, (_T, _T), "TIMESTAMPDIFF(MONTH, {0}, {1})", None, "DuckDB counts months within a day differently"
    ),
    Form(BIGINT, (_T, _T), "TIMESTAMPDIFF(SECOND, {0}, {1})", "datesub('second', {0}, {1})"),
    Form(_T, (_I, _T), "TIMESTAMPADD(MINUTE, {0}, {1})", "({1} + to_minutes({0}))"),
    Form(DATE, (DATE,), "TIMESTAMPADD(WEEK, 2, {0})", "CAST({0} + INTERVAL 14 DAY AS DATE)"),
    Form(_T, (DATE,), "CAST({0} AS TIMESTAMP)"),
    Form(DATE, (_T,), "CAST({0} AS DATE)"),
    Form(TIME, (_T,), "CAST({0} AS TIME)"),
    Form(_T, (TIMESTAMP_LTZ,), "CAST({0} AS TIMESTAMP)"),
    Form(_T, (_T,), "CAST({0} AS TIMESTAMP(0))", "date_trunc('second', {0})"),
    *(
        Form(
            kind,
            (texts,),
            f"{call}",
            f"TRY_CAST({{0}} AS {kind})" if texts == _DATES else None,
            "" if texts == _DATES else _DATED,
        )
        for texts in (_DATES, _S)
        for kind, call in ((_T, "TO_TIMESTAMP({0})"), (DATE, "TO_DATE({0})"), (DATE, "TRY_CAST({0} AS DATE)"))
    ),
    Form(TIMESTAMP_LTZ, (_I,), "TO_TIMESTAMP_LTZ({0}, 0)", "make_timestamp(CAST({0} AS BIGINT) * 1000000)"),
    Form(TIMESTAMP_LTZ, (_I,), "TO_TIMESTAMP_LTZ({0}, 3)", "make_timestamp(CAST({0} AS BIGINT) * 1000)"),
]

CONDITIONS: Final = [
    Form(BOOLEAN, (_S, ("'a%'", "'_'", "'%'", "'%,_'")), "({0} LIKE {1})"),
    Form(BOOLEAN, (_S, ("'a!%%'",)), "({0} NOT LIKE {1} ESCAPE '!')"),
    Form(BOOLEAN, (_S, ("'^[a-z]+'", "'[0-9]$'")), "REGEXP({0}, {1})", "regexp_matches({0}, {1})"),
    Form(BOOLEAN, (_S, LETTERS), "STARTSWITH({0}, {1})", "starts_with({0}, {1})"),
    Form(BOOLEAN, (_S, LETTERS), "ENDSWITH({0}, {1})", "ends_with({0}, {1})"),
    Form(
        BOOLEAN,
        (_S,),
        "JSON_EXISTS({0}, '$.a')",
        "CASE WHEN json_valid({0}) THEN json_exists({0}, '$.a') WHEN {0} IS NOT NULL THEN FALSE END",
    ),
    Form(BOOLEAN, (BOOLEAN,), "(NOT {0})"),
    Form(BOOLEAN, (BOOLEAN, BOOLEAN), "({0} AND {1})"),
    Form(BOOLEAN, (BOOLEAN, BOOLEAN), "({0} OR {1})"),
    *(
        Form(BOOLEAN, (BOOLEAN,), f"({{0}} IS {word})", f"({{0}} IS {duck})")
        for word, duck in {
            "TRUE": "TRUE",
            "NOT TRUE": "NOT TRUE",
            "FALSE": "FALSE",
            "NOT FALSE": "NOT FALSE",
            "UNKNOWN": "NULL",
        }.items()
    ),
    Form(BOOLEAN, (_I, _D), "({0} < {1})"),
    Form(BOOLEAN, (PRICE, _I), "({0} >= {1})"),
    Form(BOOLEAN, (PRICE, RATE), "({0} = {1})"),
    Form(BOOLEAN, (BIGINT, _I), "({0} <> {1})"),
    Form(BOOLEAN, (DATE, _T), "({0} < {1})"),
    Form(BOOLEAN, (_T, ("'2013-02-08 12:00:00'",)), "({0} > {1})"),
    Form(BOOLEAN, (("'yes'", "'f'"),), "CAST({0} AS BOOLEAN)"),
    Form(BOOLEAN, (_S,), "TRY_CAST({0} AS BOOLEAN)", None, "DuckDB reads other words as BOOLEAN"),
]

OF_ANY: Final = [
    ("COALESCE({0}, {1})", "="),
    ("IFNULL({0}, {1})", "="),
    ("NULLIF({0}, {1})", "="),
    ("CASE WHEN {2} THEN {0} ELSE {1} END", "="),
    ("CASE WHEN {2} THEN {0} END", "="),
    ("CASE {1} WHEN {0} THEN {0} ELSE {1} END", "="),
    ("IF({2}, {0}, {1})", "CASE WHEN {2} THEN {0} ELSE {1} END"),
    ("COALESCE({0}, {1}, {0})", "="),
]
"""Forms that keep any type: {0} and {1} are of it, {2} is a condition."""

OF_ORDERED: Final = [
    ("GREATEST({0}, {1})", "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN greatest({0}, {1}) END"),
    ("GREATEST({0}, {1}, {0})", "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN greatest({0}, {1}) END"),
    ("LEAST({0}, {1})", "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL THEN least({0}, {1}) END"),
]

NULL_TESTS: Final = [("({0} IS NULL)", "="), ("({0} IS NOT NULL)", "=")]

COMPARED: Final = [
    *NULL_TESTS,
    ("({0} = {1})", "="),
    ("({0} < {1})", "="),
    ("({0} >= {1})", "="),
    ("({0} <> {1})", "="),
    ("({0} > {1})", "="),
    ("({0} <= {1})", "="),
    ("({0} IS DISTINCT FROM {1})", "="),
    ("({0} IS NOT DISTINCT FROM {1})", "="),
    ("({0} BETWEEN {1} AND {2})", "="),
    ("({0} NOT BETWEEN {1} AND {2})", "="),
    ("({0} IN ({1}, {2}))", "="),
    ("({0} NOT IN ({1}, {2}))", "="),
]
"""Conditions over values {0}, {1}, {2} of one type."""

FORMS: Final[list[Form]] = [
    *PYTHON,
    *TEXTS,
    *WHOLE,
    *NUMBERS,
    *TIMES,
    *CONDITIONS,
    *MORE_TEXTS,
    *MORE_TIMES,
    *ARRAYS,
    *JSON,
]
UNORDERED: Final = (BYTES, BOOLEAN)
