"""SQL types in Flink's DDL, over the JSON that tables and views travel in on Kafka.

A type without a precision that Flink could hold gets the widest one it has: ``DECIMAL`` is ``DECIMAL(38, 18)``. TIME has
milliseconds in Flink, whatever its precision says.
"""

from __future__ import annotations

from typing import Final

from springline.core.types import SqlType

WIDEST_DECIMAL: Final = "DECIMAL(38, 18)"
_NAMED: Final = {
    "TIME": "TIME(3)",
    "TIMESTAMP": "TIMESTAMP(6)",
    "TIMESTAMP_LTZ": "TIMESTAMP_LTZ(6)",
}


def flink_type(type_: SqlType) -> str:
    """The type as Flink's DDL and CAST write it."""
    if type_.name == "ARRAY":
        return f"ARRAY<{flink_type(type_.element)}>" if type_.element else "ARRAY<STRING>"
    if type_.name == "DECIMAL":
        if type_.precision is None or type_.precision > 38:
            return WIDEST_DECIMAL
        return f"DECIMAL({type_.precision}, {type_.scale or 0})"
    return _NAMED.get(type_.name, type_.name)


def name(text: str) -> str:
    """A name in backticks, so that no word is reserved."""
    return "`" + text.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"
