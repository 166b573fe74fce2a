"""How golden tables are written: lines of ``expression | type | result``, and one notation for values.

Imports nothing of Springline: Flink's own Python environment uses it too.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

TABLES = Path(__file__).parent / "tables"
SEPARATOR = " | "
REFUSED = "refused"
"""Stands in the type's place where Flink does not accept the expression."""
ERROR = "error: "
"""Begins a result that is a failure at run time."""


@dataclass(frozen=True, slots=True)
class Line:
    """One expression; type and result are empty where it has not been evaluated yet."""

    expression: str
    type: str = ""
    result: str = ""


@dataclass(slots=True)
class Table:
    """A file: a heading (lines that begin with ``#``), its lines, and blank lines between them (an empty expression)."""

    path: Path
    heading: list[str]
    lines: list[Line]

    @property
    def over(self) -> str:
        """What the expressions are evaluated over: ``nothing``, ``samples``, or ``facts`` for aggregates."""
        found = re.search(r"^# over: (\w+)", "\n".join(self.heading), re.MULTILINE)
        return found[1] if found else "nothing"

    @property
    def expressions(self) -> list[str]:
        return [line.expression for line in self.lines if line.expression]

    def with_answers(self, answers: dict[str, tuple[str, str]]) -> Table:
        """The same table with other types and results, where there are any."""
        lines = [
            replace(line, type=answers[line.expression][0], result=answers[line.expression][1])
            if line.expression in answers
            else line
            for line in self.lines
        ]
        return Table(self.path, self.heading, lines)

    def write(self) -> None:
        width = min(max((len(line.expression) for line in self.lines), default=0), 72)
        kinds = min(max((len(line.type) for line in self.lines), default=0), 24)
        text = [*self.heading]
        for line in self.lines:
            parts = [line.expression.ljust(width), line.type.ljust(kinds), line.result]
            text.append(SEPARATOR.join(parts).rstrip() if line.expression else "")
        self.path.write_text("\n".join(text) + "\n")


def read_table(path: Path) -> Table:
    heading: list[str] = []
    lines: list[Line] = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if text.startswith("#"):
            heading.append(text)
            continue
        parts = [part.strip() for part in text.split(SEPARATOR)]
        if len(parts) not in (1, 3):
            raise ValueError(f"{path.name}:{number}: not `expression | type | result`: {text}")
        lines.append(Line(*parts))
    return Table(path, heading, lines)


def read_tables() -> list[Table]:
    return [read_table(path) for path in sorted(TABLES.glob("*.txt"))]


def written(value: object) -> str:
    """A value as the tables show it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case float():
            return repr(0.0 if value == 0 else value) if math.isfinite(value) else str(value)
        case int():
            return str(value)
        case Decimal():
            return format(abs(value) if value == 0 else value, "f")
        case str():
            plain = value.replace("'", "''").replace("\\", "\\\\").replace("|", "¦")
            return "'" + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", plain) + "'"
        case bytes() | bytearray():
            return f"x'{bytes(value).hex()}'"
        case dt.datetime():
            return moment(value.isoformat().replace("+00:00", "Z"))
        case dt.date():
            return value.isoformat()
        case dt.time():
            return clock(value.isoformat())
        case list() | tuple():
            return "[" + ", ".join(written(one) for one in value) + "]"
        case dict():
            return (
                "{" + ", ".join(sorted(f"{written(key)}: {written(one)}" for key, one in value.items())) + "}"
            )
        case _:
            return str(value)


def clock(text: str) -> str:
    """A time of day with seconds, and no more digits of the second than there are."""
    whole, _, fraction = text.partition(".")
    whole = whole if whole.count(":") == 2 else whole + ":00"
    return whole + (f".{fraction.rstrip('0')}" if fraction.strip("0") else "")


def moment(text: str) -> str:
    """An ISO timestamp in the same way."""
    zone = "Z" if text.endswith("Z") else ""
    day, _, time = text.removesuffix("Z").partition("T")
    return f"{day}T{clock(time)}{zone}"
