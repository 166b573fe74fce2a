"""Extreme values of every type through a real server: the stream and the snapshot must read each of them the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from springline.core.types import FOREVER, NEVER, STRING, parse_type, render
from tests.conformance.postgres_harness import Running
from tests.conftest import PostgresDatabase

SETUP = """
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
CREATE TYPE point3 AS (x int, y text, z numeric);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN stack AS positive[];
"""

TYPES: dict[str, tuple[str, list[str], list[Any] | None]] = {
    # PostgreSQL's type: (ours, SQL values, stored forms where they are plain to write down)
    "boolean": ("BOOLEAN", ["true", "false"], [1, 0]),
    "smallint": ("SMALLINT", ["-32768", "32767"], [-32768, 32767]),
    "integer": ("INT", ["-2147483648", "2147483647"], [-(2**31), 2**31 - 1]),
    "bigint": ("BIGINT", ["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
    "real": (
        "FLOAT",
        ["'NaN'", "'Infinity'", "'-Infinity'", "3.4028235e38", "1e-45", "'-0'", "0.1"],
        ["NaN", float("inf"), float("-inf"), 3.4028235e38, 1e-45, -0.0, 0.1],
    ),
    "double precision": (
        "DOUBLE",
        [
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "1.7976931348623157e308",
            "5e-324",
            "0.1",
            "1e15",
            "123456789.123456789",
        ],
        ["NaN", float("inf"), float("-inf"), 1.7976931348623157e308, 5e-324, 0.1, 1e15, 123456789.123456789],
    ),
    "numeric": (
        "DECIMAL",
        ["'NaN'", "'Infinity'", "'-Infinity'", "1e-20", "12345678901234567890.123456789", "-0.50", "1e30"],
        [
            "NaN",
            "Infinity",
            "-Infinity",
            "0." + "0" * 19 + "1",
            "12345678901234567890.123456789",
            "-0.50",
            "1" + "0" * 30,
        ],
    ),
    "numeric(10,2)": (
        "DECIMAL(10, 2)",
        ["'NaN'", "99999999.99", "-0.01", "0", "1"],
        ["NaN", 9999999999, -1, 0, 100],
    ),
    "numeric(18,4)": ("DECIMAL(18, 4)", ["99999999999999.9999"], [10**18 - 1]),
    "numeric(18)": ("DECIMAL(18, 0)", ["-999999999999999999"], [-(10**18) + 1]),
    "numeric(38,10)": (
        "DECIMAL(38, 10)",
        ["1234567890123456789012345678.0123456789"],
        ["1234567890123456789012345678.0123456789"],
    ),
    "numeric(3,-2)": ("DECIMAL(5, 0)", ["12345", "-99900"], [12300, -99900]),
    "numeric(3,5)": ("DECIMAL(5, 5)", ["0.00999"], [999]),
    "text": (
        "STRING",
        [
            "''",
            "E'tab\\tnewline\\nreturn\\rback\\\\slash\\x01\\x7f'",
            "'\\N'",
            "'日本語 🛫 á'",
            "repeat('x', 100000)",
            "E'\\\\.'",
        ],
        ["", "tab\tnewline\nreturn\rback\\slash\x01\x7f", "\\N", "日本語 🛫 á", "x" * 100_000, "\\."],
    ),
    "varchar(10)": ("STRING", ["'ab  '"], ["ab  "]),
    "char(5)": ("STRING", ["'ab'", "''", "' a'"], ["ab", "", " a"]),
    "name": ("STRING", ["'n'"], ["n"]),
    '"char"': ("STRING", ["'x'"], ["x"]),
    "citext": ("STRING", ["'MiXed'"], ["MiXed"]),
    "bytea": (
        "BYTES",
        ["''", "'\\x00ff5c0a'", "decode(repeat('ab', 50000), 'hex')"],
        [b"", b"\x00\xff\\\n", b"\xab" * 50_000],
    ),
    "date": (
        "DATE",
        [
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 BC'",
            "'0001-12-31 BC'",
            "'0001-01-01'",
            "'1970-01-01'",
            "'9999-12-31'",
            "'10000-01-01'",
            "'5874897-12-31'",
        ],
        [FOREVER, NEVER, -2440550, -719163, -719162, 0, 2932896, 2932897, 2145042905],
    ),
    "time": (
        "TIME",
        ["'00:00'", "'24:00'", "'23:59:59.999999'", "'01:02:03.5'"],
        [0, 86_400_000_000, 86_399_999_999, 3_723_500_000],
    ),
    "time(3)": ("TIME", ["'01:02:03.456789'"], [3_723_457_000]),
    "timetz": ("STRING", ["'01:02:03.5+05:30'", "'24:00-15:59:59'"], None),
    "timestamp": (
        "TIMESTAMP",
        [
            "'infinity'",
            "'-infinity'",
            "'4714-11-24 00:00 BC'",
            "'1969-12-31 23:59:59.999999'",
            "'2013-02-08 10:00:00.5'",
            "'294276-12-31 23:59:59.999999'",
        ],
        [FOREVER, NEVER, -210_866_803_200_000_000, -1, 1_360_317_600_500_000, FOREVER - 1],
    ),
    "timestamptz": (
        "TIMESTAMP_LTZ",
        [
            "'infinity'",
            "'-infinity'",
            "'4714-11-24 00:00+00 BC'",
            "'2013-02-08 10:00:00.5-05'",
            "'2013-02-08 10:00:00.000001+05:45:30'",
            "'20000-01-01 00:00+00'",
            "'294276-12-31 23:59:59.999999+00'",
        ],
        [
            FOREVER,
            NEVER,
            -210_866_803_200_000_000,
            1_360_335_600_500_000,
            1_360_296_870_000_001,
            568_971_820_800_000_000,
            FOREVER - 1,
        ],
    ),
    "timestamptz(0)": ("TIMESTAMP_LTZ", ["'2013-02-08 10:00:00.5+00'"], [1_360_317_601_000_000]),
    "interval": (
        "STRING",
        ["'1 year 2 mons -3 days 04:05:06.789'", "'0'", "'-1 mon'"],
        ["P1Y2M-3DT4H5M6.789S", "PT0S", "P-1M"],
    ),
    "uuid": ("STRING", ["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"], ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    "json": ("STRING", ["'{ \"a\" : [1,\t2] }'", "'\"\\u65e5\\n\"'"], ['{ "a" : [1,\t2] }', '"\\u65e5\\n"']),
    "jsonb": ("STRING", ['\'{ "b": 1, "a" : 1.10 }\''], ['{"a": 1.10, "b": 1}']),
    "mood": ("STRING", ["'very happy'"], ["very happy"]),
    "positive": ("INT", ["7"], [7]),
    "short": ("STRING", ["'abc'"], ["abc"]),
    "stack": ("ARRAY<INT>", ["'{1,2}'"], ["[1, 2]"]),
    "oid": ("STRING", ["4294967295"], ["4294967295"]),
    "regclass": (
        "STRING",
        ["'pg_class'", "'public.values_snapshot'"],
        ["pg_class", "public.values_snapshot"],
    ),
    "money": ("STRING", ["'-1234.56'"], ["-$1,234.56"]),
    "bit(4)": ("STRING", ["B'1010'"], ["1010"]),
    "bit varying": ("STRING", ["B''", "B'101'"], ["", "101"]),
    "inet": ("STRING", ["'10.0.0.1/8'", "'::1'"], ["10.0.0.1/8", "::1"]),
    "macaddr": ("STRING", ["'08:00:2b:01:02:03'"], ["08:00:2b:01:02:03"]),
    "point": ("STRING", ["'(1.5,-2)'"], ["(1.5,-2)"]),
    "polygon": ("STRING", ["'((0,0),(1,1),(2,0))'"], ["((0,0),(1,1),(2,0))"]),
    "int4range": ("STRING", ["'[1,5)'", "'empty'"], ["[1,5)", "empty"]),
    "tstzrange": ("STRING", ["'[2013-02-08 10:00+00,)'"], ['["2013-02-08 10:00:00+00",)']),
    "int4multirange": ("STRING", ["'{[1,3),[5,7)}'"], ["{[1,3),[5,7)}"]),
    "point3": ("STRING", ["ROW(1, 'a \"b\", c', 2.50)"], ['(1,"a ""b"", c",2.50)']),
    "hstore": ("STRING", ["'a=>1, b=>NULL'"], ['"a"=>"1", "b"=>NULL']),
    "tsvector": ("STRING", ["to_tsvector('simple', 'b a b')"], ["'a':2 'b':1,3"]),
    "pg_lsn": ("STRING", ["'16/B374D848'"], ["16/B374D848"]),
    "integer[]": (
        "ARRAY<INT>",
        ["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"],
        ["[]", "[1, null, -3]", "[[1, 2], [3, 4]]", "[7, 8]"],
    ),
    "text[]": (
        "ARRAY<STRING>",
        ["ARRAY['a,b', 'say \"hi\"', E'back\\\\slash', 'NULL', NULL, '', '{x}', E'new\\nline', '日本']"],
        [
            json.dumps(
                ["a,b", 'say "hi"', "back\\slash", "NULL", None, "", "{x}", "new\nline", "日本"],
                ensure_ascii=False,
            )
        ],
    ),
    "boolean[]": ("ARRAY<BOOLEAN>", ["'{t,f,NULL}'"], ["[true, false, null]"]),
    "numeric(8,2)[]": ("ARRAY<DECIMAL(8, 2)>", ["'{1.5,NaN}'"], ['["1.50", "NaN"]']),
    "double precision[]": ("ARRAY<DOUBLE>", ["'{0.1,NaN,-Infinity}'"], ['[0.1, "NaN", "-Infinity"]']),
    "bytea[]": ("ARRAY<BYTES>", ["ARRAY['\\x00ff'::bytea]"], ['["AP8="]']),
    "date[]": ("ARRAY<DATE>", ["'{2020-02-29,infinity,0044-03-15 BC}'"], None),
    "timestamptz[]": (
        "ARRAY<TIMESTAMP_LTZ>",
        ["'{2013-02-08 10:00:00.5+00,NULL}'"],
        ['["2013-02-08T10:00:00.500000Z", null]'],
    ),
    "char(3)[]": ("ARRAY<STRING>", ["'{a}'"], ['["a"]']),
    "mood[]": ("ARRAY<STRING>", ["'{sad,\"very happy\"}'"], ['["sad", "very happy"]']),
    "uuid[]": ("ARRAY<STRING>", ["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'"], None),
    "jsonb[]": ("ARRAY<STRING>", ["ARRAY['{\"a\": [1, 2]}'::jsonb]"], ['["{\\"a\\": [1, 2]}"]']),
    "box[]": ("ARRAY<STRING>", ["'{(1,1),(0,0);(3,3),(2,2)}'"], ['["(1,1),(0,0)", "(3,3),(2,2)"]']),
    "point3[]": ("ARRAY<STRING>", ["ARRAY[ROW(1, 'a,b', 2)::point3]"], None),
    "int2vector": ("STRING", ["'1 2 3'"], ["1 2 3"]),
}


@pytest.fixture
def tables(postgres_database: PostgresDatabase) -> Any:
    connection = postgres_database.server.connect(postgres_database.name)
    cursor = connection.cursor()
    # Settings of the database that must not show in the text of values.
    cursor.execute(
        f"""ALTER DATABASE {postgres_database.name} SET datestyle = 'German, DMY';
            ALTER DATABASE {postgres_database.name} SET timezone = 'Asia/Kathmandu';
            ALTER DATABASE {postgres_database.name} SET intervalstyle = 'sql_standard';
            ALTER DATABASE {postgres_database.name} SET extra_float_digits = 0;
            ALTER DATABASE {postgres_database.name} SET bytea_output = 'escape'"""
    )
    cursor.execute(SETUP)
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(TYPES))
    for table in ("values_snapshot", "values_stream"):
        cursor.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, {columns})")
    yield cursor
    connection.close()


def test_every_type_is_read_exactly_by_stream_and_snapshot(
    tables: Any, postgres_database: PostgresDatabase
) -> None:
    longest = max(len(values) for _, values, _ in TYPES.values())
    statements = [
        f"INSERT INTO @table VALUES ({number}, "
        + ", ".join(
            f"{values[number] if number < len(values) else 'NULL'}" for _, values, _ in TYPES.values()
        )
        + ")"
        for number in range(longest)
    ]
    for statement in statements:
        tables.execute(statement.replace("@table", "values_snapshot"))
    running = Running(postgres_database.dsn, ["values_snapshot", "values_stream"])
    try:
        running.settle()
        for statement in statements:
            tables.execute(statement.replace("@table", "values_stream"))
        folded = running.settle()
    finally:
        running.stop()
    read, streamed = folded.table("crm.values_snapshot"), folded.table("crm.values_stream")
    assert len(read) == longest
    assert read == streamed
    schema = folded.schemas["crm.values_stream"]
    rows = {row[0]: row for row in streamed}
    for column, (name, (type_text, values, stored)) in enumerate(TYPES.items(), start=1):
        type_ = schema.columns[column].type
        assert type_ == parse_type(type_text), name
        found = [rows[number][column] for number in range(len(values))]
        if stored is not None:
            assert [(type(value), value) for value in found] == [(type(value), value) for value in stored], (
                name
            )
        assert all(rows[number][column] is None for number in range(len(values), longest)), name
        for value in found:
            json.dumps(render(value, type_))
    assert schema.columns[0].type != STRING
