"""The rows that golden expressions over columns are evaluated over, as SQL literals. Imports nothing of Springline."""

from __future__ import annotations

SAMPLES: dict[str, tuple[str, list[str]]] = {
    "k": ("INT", ["1", "2", "3", "4", "5", "6"]),
    "i": ("INT", ["7", "-7", "0", "NULL", "2147483647", "-2147483648"]),
    "h": ("SMALLINT", ["3", "-3", "0", "NULL", "32767", "-32768"]),
    "b": ("BIGINT", ["10", "-10", "0", "NULL", "4611686018427387904", "-4611686018427387904"]),
    "d": ("DOUBLE", ["2.5", "-2.5", "0", "NULL", "1e300", "-1e-5"]),
    "n": ("DECIMAL(10, 2)", ["12.34", "-12.35", "0", "NULL", "99999999.99", "-0.05"]),
    "m": (
        "DECIMAL(30, 10)",
        ["1.5", "-1.5", "0", "NULL", "'12345678901234567890.0123456789'", "-0.0000000001"],
    ),
    "s": ("STRING", ["'Springline'", "''", "'  Äb Ç '", "NULL", "'航班 B6'", "'a,b,,c'"]),
    "p": ("STRING", ["'S%'", "'%'", "'__Äb%'", "NULL", "'_班%'", "'%,%'"]),
    "j": (
        "STRING",
        [
            """'{"a": {"b": [1, 2.50, "x"]}, "t": true}'""",
            "''",
            "'[1, 2]'",
            "NULL",
            """'{"a": null}'""",
            "'not json'",
        ],
    ),
    "dt": ("DATE", ["'2013-02-08'", "'2012-02-29'", "'1969-12-31'", "NULL", "'9999-12-31'", "'0001-01-01'"]),
    "ts": (
        "TIMESTAMP(6)",
        [
            "'2013-02-08 17:30:59.123456'",
            "'2012-02-29 00:00:00'",
            "'1969-12-31 23:59:59.999999'",
            "NULL",
            "'2099-12-31 23:59:59'",
            "'1900-01-01 00:00:00'",
        ],
    ),
    "f": ("BOOLEAN", ["TRUE", "FALSE", "TRUE", "NULL", "FALSE", "TRUE"]),
}

FACTS: dict[str, tuple[str, list[str]]] = {
    "k": ("INT", ["1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    "g": ("STRING", ["'a'", "'a'", "'a'", "'a'", "'a'", "'n'", "'n'", "'o'", "NULL"]),
    "x": ("INT", ["3", "1", "NULL", "3", "-8", "NULL", "NULL", "5", "2"]),
    "h": ("SMALLINT", ["3", "1", "NULL", "3", "-8", "NULL", "NULL", "5", "2"]),
    "b": ("BIGINT", ["30", "10", "NULL", "30", "-80", "NULL", "NULL", "50", "20"]),
    "d": ("DOUBLE", ["0.5", "1.25", "NULL", "0.5", "-2", "NULL", "NULL", "5.5", "0"]),
    "n": ("DECIMAL(10, 2)", ["3.10", "1.05", "NULL", "3.10", "-8.00", "NULL", "NULL", "5.55", "0.01"]),
    "m": (
        "DECIMAL(30, 10)",
        ["1.5", "2.5", "NULL", "1.5", "-0.25", "NULL", "NULL", "'12345678901234567890.5'", "1"],
    ),
    "s": ("STRING", ["'c'", "'a'", "NULL", "'c'", "'Ä'", "NULL", "NULL", "''", "'b'"]),
    "t": (
        "TIMESTAMP(6)",
        [
            "'2013-02-08 10:00:00'",
            "'2013-02-08 09:00:00'",
            "NULL",
            "'2013-02-08 10:00:00'",
            "'1969-12-31 00:00:00'",
            "NULL",
            "NULL",
            "'2020-01-01 00:00:00'",
            "'2020-01-02 00:00:00'",
        ],
    ),
    "dt": (
        "DATE",
        [
            "'2013-02-08'",
            "'2013-02-07'",
            "NULL",
            "'2013-02-08'",
            "'1969-12-31'",
            "NULL",
            "NULL",
            "'2020-01-01'",
            "NULL",
        ],
    ),
    "f": ("BOOLEAN", ["TRUE", "FALSE", "NULL", "TRUE", "FALSE", "NULL", "NULL", "TRUE", "FALSE"]),
}

GROUPED = ("a", "n", "o", None, "all", "none")
"""The groups that an aggregate over facts is shown for: each ``g``, all rows as one group, and no row at all."""


def rows(table: dict[str, tuple[str, list[str]]]) -> list[list[str]]:
    """Each row's expressions, ``CAST(literal AS type)``."""
    columns = [[f"CAST({value} AS {kind})" for value in values] for kind, values in table.values()]
    return [list(row) for row in zip(*columns, strict=True)]


def relation(table: dict[str, tuple[str, list[str]]]) -> str:
    """The table as a query of literals."""
    listed = ", ".join(f"({', '.join(row)})" for row in rows(table))
    names = ", ".join(f"`{name}`" for name in table)
    return f"SELECT * FROM (VALUES {listed}) AS v({names})"
