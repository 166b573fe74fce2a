"""Scenario files: what SQL over changing tables means, written so that a person can check it.

A scenario is a Markdown file. Its prose says what is shown; its fenced blocks are run, in order:

``table NAME``
    One column a line as in CREATE TABLE (``id INT NOT NULL``), ``PRIMARY KEY (…)`` if there is one, and where it has event time
    ``WATERMARK FOR at AS at - INTERVAL '5' SECOND``, followed by ``LATENESS '2' SECOND`` and ``IDLE AFTER '1' MINUTE`` if wanted.
``view NAME`` or ``view NAME key=a,b``, and ``windows=live``
    A SELECT.
``changes TABLE`` or ``changes TABLE at=60``
    (``at``: the second at which its source committed it.) Rows that come (``+``) and go (``-``), under a header. Blocks with nothing between them are one tick, each for another table.
``expect VIEW``
    The view's changes in that tick. A view whose changes are not given must not have changed. For ``late.VIEW``, what was late.
``rows VIEW``
    All rows of the view after that tick.

Values are written as ``CAST(… AS STRING)`` would show them and as they can be read back; ``NULL`` is null. Both runtimes run these files: they
are the one definition of meaning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import Stored, parse_type, render, store
from springline.sql.program import WindowMode
from springline.sql.text_functions import parse_value
from springline.sql.user_functions import Functions
from springline.testing.sql_harness import SqlHarness

_BLOCK = re.compile(r"^```(table|view|changes|expect|rows) ([^\n`]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SignedRow = tuple[str, tuple[str, ...]]
"""'+' or '-', and the row's values as texts."""


@dataclass(frozen=True, slots=True)
class ScenarioView:
    name: str
    text: str
    key: tuple[str, ...] | None
    windows: WindowMode = "closing"


@dataclass(slots=True)
class ScenarioTick:
    """One tick: changes by table, the expected changes by view, and all rows by view where they are given."""

    changes: dict[str, list[SignedRow]] = field(default_factory=dict[str, list[SignedRow]])
    expected: dict[str, list[SignedRow]] = field(default_factory=dict[str, list[SignedRow]])
    rows: dict[str, list[SignedRow]] = field(default_factory=dict[str, list[SignedRow]])
    committed_at_s: int = 0


@dataclass(slots=True)
class Scenario:
    """A parsed scenario file."""

    tables: list[TableSchema] = field(default_factory=list[TableSchema])
    views: list[ScenarioView] = field(default_factory=list[ScenarioView])
    ticks: list[ScenarioTick] = field(default_factory=list[ScenarioTick])


def parse_scenario(text: str) -> Scenario:
    """Reads a scenario file. Raises ValueError where a block makes no sense."""
    made = Scenario()
    end = 0
    for block in _BLOCK.finditer(text):
        kind, heading, body = block.groups()
        name, *options = heading.split()
        follows = kind == "changes" and end > 0 and not text[end : block.start()].strip()
        end = block.end() if kind == "changes" else 0
        if kind == "table":
            made.tables.append(_table(name, body))
        elif kind == "view":
            key = next((tuple(one[4:].split(",")) for one in options if one.startswith("key=")), None)
            windows: WindowMode = "live" if "windows=live" in options else "closing"
            made.views.append(ScenarioView(name, body.strip(), key, windows))
        else:
            if kind == "changes" and not (follows and name not in made.ticks[-1].changes):
                made.ticks.append(ScenarioTick())
            if not made.ticks:
                raise ValueError(f"'{kind} {name}' comes before the first changes.")
            tick = made.ticks[-1]
            tick.committed_at_s = max(
                [tick.committed_at_s, *(int(one[3:]) for one in options if one[:3] == "at=")]
            )
            {"changes": tick.changes, "expect": tick.expected, "rows": tick.rows}[kind][name] = _signed_rows(
                body
            )
    return made


def _table(name: str, body: str) -> TableSchema:
    columns: list[Column] = []
    key: tuple[str, ...] = ()
    event_time: EventTime | None = None
    for line in filter(None, (one.strip().rstrip(",") for one in body.splitlines())):
        if found := re.fullmatch(r"PRIMARY KEY ?\((.*)\)", line):
            key = tuple(part.strip() for part in found[1].split(","))
            continue
        if line.startswith("WATERMARK FOR "):
            event_time = _event_time(line)
            continue
        column, _, kind = line.partition(" ")
        required = kind.endswith(" NOT NULL")
        columns.append(
            Column(column, parse_type(kind.removesuffix(" NOT NULL").strip()), nullable=not required)
        )
    return TableSchema(name, tuple(columns), key, event_time=event_time)


_DURATION = r"'(\d+)' (SECOND|MINUTE|HOUR|DAY)"
_WATERMARK = re.compile(
    rf"WATERMARK FOR (\w+) AS \1(?: - INTERVAL {_DURATION})?(?: LATENESS {_DURATION})?(?: IDLE AFTER {_DURATION})?"
)
_SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


def _event_time(line: str) -> EventTime:
    found = _WATERMARK.fullmatch(line)
    if found is None:
        raise ValueError(f"{line!r} is not understood.")
    column, *parts = found.groups()
    delay, lateness, idle = (
        None if number is None else int(number) * _SECONDS[unit] * 1_000_000
        for number, unit in zip(parts[::2], parts[1::2], strict=True)
    )
    return EventTime(column, delay or 0, lateness or 0, idle)


def _signed_rows(body: str) -> list[SignedRow]:
    lines = [line for line in body.splitlines() if line.strip()]
    made: list[SignedRow] = []
    for line in lines[1:]:
        sign, _, cells = line.partition("|")
        made.append(
            (sign.strip() or "+", tuple(cell.strip() for cell in cells.strip().strip("|").split("|")))
        )
    return made


def run_scenario(text: str, functions: Functions | None = None) -> None:
    """Runs a scenario on the embedded compiler. ``functions``: the Python functions that its views call. Raises AssertionError with
    both sides as text tables."""
    scenario = parse_scenario(text)
    harness = SqlHarness(scenario.tables, functions=functions)
    for view in scenario.views:
        harness.add_view(view.name, view.text, key=view.key, windows=view.windows)
    for number, tick in enumerate(scenario.ticks, start=1):
        changes = _stored_changes(harness, tick.changes)
        done = harness.tick(changes, committed_at_us=tick.committed_at_s * 1_000_000)
        for side in (name for name in harness.readable if name not in harness.schemas):
            found = _shown(harness, side, done.get(side, []))
            _assert_same(harness, side, f"late in tick {number}", tick.expected.get(side, []), found)
        for view in scenario.views:
            found = _shown(harness, view.name, done.get(view.name, []))
            _assert_same(
                harness, view.name, f"changes in tick {number}", tick.expected.get(view.name, []), found
            )
            kept = _shown(harness, view.name, [(row, 1) for row in harness.rows(view.name)])
            if not harness.views[view.name].close:
                batch = _shown(harness, view.name, [(row, 1) for row in harness.batch(view.name)])
                what = f"rows after tick {number} (expected: its query over all rows)"
                _assert_same(harness, view.name, what, batch, kept)
            if view.name in tick.rows:
                _assert_same(harness, view.name, f"rows after tick {number}", tick.rows[view.name], kept)


def _stored_changes(
    harness: SqlHarness, changes: Mapping[str, Sequence[SignedRow]]
) -> dict[str, list[tuple[tuple[Stored, ...], int]]]:
    made: dict[str, list[tuple[tuple[Stored, ...], int]]] = {}
    for table, rows in changes.items():
        columns = harness.schemas[table].columns
        made[table] = [
            (
                tuple(_read(cell, column) for cell, column in zip(cells, columns, strict=True)),
                1 if sign == "+" else -1,
            )
            for sign, cells in rows
        ]
    return made


def _read(cell: str, column: Column) -> Stored:
    if cell == "NULL":
        return None
    if column.type.name == "STRING":
        return cell.strip("'")
    if column.type.is_temporal or column.type.name == "BYTES" or cell in ("NaN", "Infinity", "-Infinity"):
        return store(cell.strip("'"), column.type)
    value = parse_value(cell, column.type)
    if value is None:
        raise ValueError(f"{cell!r} is not a {column.type} (column {column.name!r}).")
    return value


def _shown(harness: SqlHarness, name: str, rows: Iterable[tuple[tuple[Stored, ...], int]]) -> list[SignedRow]:
    schema = harness.readable[name]
    return [("+" if weight > 0 else "-", cells(row, schema)) for row, weight in rows]


def cells(row: Sequence[Stored], schema: TableSchema) -> tuple[str, ...]:
    """A stored row as a scenario file writes it."""
    return tuple(_cell(value, column) for value, column in zip(row, schema.columns, strict=True))


def _cell(value: Stored, column: Column) -> str:
    rendered = render(value, column.type)
    if rendered is None:
        return "NULL"
    if isinstance(rendered, bool):
        return "TRUE" if rendered else "FALSE"
    return repr(rendered) if rendered == "" else str(rendered)


def _assert_same(
    harness: SqlHarness, name: str, what: str, expected: Sequence[SignedRow], found: Sequence[SignedRow]
) -> None:
    if Counter(expected) != Counter(found):
        header = harness.readable[name].names
        raise AssertionError(
            f"View {name!r}, {what}:\n\nexpected\n{text_table(header, expected)}\n\nfound\n{text_table(header, found)}"
        )


def text_table(header: Sequence[str], rows: Iterable[SignedRow]) -> str:
    """Rows as a text table, in order, as scenario files have them."""
    lines = [(" ", tuple(header)), *sorted(rows, key=lambda one: (one[1], one[0]))]
    widths = [max(len(cells[index]) for _, cells in lines) for index in range(len(header))]
    return "\n".join(
        (
            f"{sign} | " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        ).rstrip()
        for sign, cells in lines
    )
