"""Windows that close: what is late, when a window's rows appear, and when its state is forgotten.

The rules are Flink's. A window is over when the watermark reaches its last millisecond (``window_end`` - 1 ms). Its rows appear then. For
the allowed lateness after that, changes are still counted and the rows follow them; then the state goes. A change is late if
that has happened as of the watermark after the tick before: it changes nothing and is written to ``late.<view>``.

``_watermarks`` holds, for each view, the watermark after the tick before (``before``) and the one that this tick reaches (``now``). A tick's
ordinary steps use ``before`` alone. Where the watermark moved, the view's ``close`` steps run once, at the end of the tick: windows that ended
between the two appear, and what is over is forgotten; an index on the windows' ends finds them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import BIGINT, BOOLEAN, TIMESTAMP_LTZ
from springline.sql.maintain import Parts
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import Rows, delta, names_of, table, terms
from springline.sql.shapes import Closing, Columns
from springline.sql.typed import Typed, literal_text, quote
from springline.sql.windows import MILLISECOND_US
from springline.sql.windows_plan import LATE_COLUMNS

NEVER: Final = -(2**62)
"""The watermark of what has shown no event yet."""


def watermark(view: str, column: str) -> str:
    """A view's watermark ``before`` this tick, or ``now``."""
    return f"(SELECT {column} FROM main._watermarks WHERE relation = {literal_text(view)})"


def last_over(view: str, column: str) -> str:
    """The largest ``window_end`` of windows that are over."""
    return f"{watermark(view, column)} + {MILLISECOND_US}"


def last_forgotten(view: str, column: str, event_time: EventTime) -> str:
    """The largest ``window_end`` of windows that take no more changes."""
    return f"{watermark(view, column)} + {MILLISECOND_US - event_time.lateness_us}"


def accepted(rows: Rows, closing: Closing, view: str) -> Rows:
    """The rows whose window takes changes. Sessions were decided on before."""
    if closing.session:
        return rows
    return _restricted(rows, closing, f"> {last_forgotten(view, 'before', closing.event_time)}")


def _restricted(rows: Rows, closing: Closing, test: str) -> Rows:
    end = closing.window_end
    condition = Typed(f"({end.sql} {test})", BOOLEAN, False, end.refs)
    return replace(rows, filters=[*rows.filters, condition])


def late_schema(name: str, columns: Columns) -> TableSchema:
    """A side table of late rows: what was late (+1 a row that came, -1 a row that went), for which watermark, and the row."""
    number, change, reached = LATE_COLUMNS
    made = [
        Column(number, BIGINT, nullable=False),
        Column(change, BIGINT, nullable=False),
        Column(reached, TIMESTAMP_LTZ, nullable=False),
        *(Column(name, typed.type) for name, typed in columns),
    ]
    return TableSchema(name, tuple(made), (number,))


def late_table(parts: Parts, node: str, side: str, columns: Columns) -> str:
    """Makes the side table; the scratch table in which late changes are collected. ``keep_late`` moves them on."""
    schema = parts.side = late_schema(side, columns)
    number, *others = (f"{quote(one.name)} {one.type.sqlite}" for one in schema.columns)
    definition = f"({number} PRIMARY KEY, {', '.join(others)}, _tick INTEGER NOT NULL) STRICT"
    parts.persistent(side, definition, "late rows")
    told = f"{literal_text(side)}, {literal_text(json.dumps(schema.to_json()))}"
    parts.state.append(Step(f"INSERT OR REPLACE INTO main._late VALUES ({told})", "late rows can be read"))
    parts.drop.append(Step(f"DELETE FROM main._late WHERE relation = {literal_text(side)}", "and no longer"))
    parts.temporary("d:" + side, [*names_list(schema), "_w"], "new late rows")
    return parts.temporary("l:" + node, [*(quote(name) for name, _ in columns), "_w"], "late changes")


def names_list(schema: TableSchema) -> list[str]:
    return [quote(name) for name in schema.names]


def keep_late(parts: Parts, collected: str, view: str, columns: Columns) -> list[Step]:
    """The net of the late changes, as rows of the side table."""
    assert parts.side is not None
    side = parts.side.name
    names = names_of(name for name, _ in columns)
    numbered = f"(SELECT ifnull(max({LATE_COLUMNS[0]}), 0) FROM {table(side)})"
    return [
        Step(
            f"INSERT INTO {delta(side)} SELECT {numbered} + row_number() OVER (ORDER BY {names}), _w, "
            f"{watermark(view, 'before')}, {names}, 1 FROM (SELECT {names}, sum(_w) AS _w FROM {collected} "
            f"GROUP BY {names} HAVING sum(_w) <> 0)",
            "what is late, for good",
        ),
        Step(
            f"INSERT INTO {table(side)} SELECT {names_of(parts.side.names)}, :tick FROM {delta(side)}",
            "keep what is late",
        ),
    ]


def collect_late(parts: Parts, branches: Sequence[Rows], closing: Closing, *, node: str, view: str) -> None:
    """Late changes of an aggregate's rows go aside."""
    collected = late_table(parts, node, closing.side, closing.late)
    shown = ", ".join(typed.sql for _, typed in closing.late)
    for rows in branches:
        late = _restricted(rows, closing, f"<= {last_forgotten(view, 'before', closing.event_time)}")
        for relation in late.relations:
            for term in terms(late, relation):
                parts.on(
                    relation,
                    Step(
                        f"INSERT INTO {collected} SELECT {shown}, {term.weight} {term.source}",
                        f"changes of {relation} that are late",
                    ),
                )
    parts.finish.extend(keep_late(parts, collected, view, closing.late))


def ends_index(state: str, closing: Closing) -> Step:
    """An index by which the windows that close are found."""
    name = quote("e:" + state)
    text = f"CREATE INDEX IF NOT EXISTS main.{name} ON {quote(state)}(g{closing.end})"
    return Step(text, "finds windows that close")


def shown_groups(closing: Closing, view: str) -> str:
    """The condition that a group ``s`` belongs to a window that was over before this tick."""
    return f"s.g{closing.end} <= {last_over(view, 'before')}"


def ending_groups(closing: Closing, view: str) -> str:
    """The condition that a group's window is over with this tick."""
    end = f"s.g{closing.end}"
    return f"{end} > {last_over(view, 'before')} AND {end} <= {last_over(view, 'now')}"


def forget_groups(
    parts: Parts, state: str, keyed: Sequence[str], keys: str, closing: Closing, view: str
) -> None:
    """Removes groups that take no more changes. ``keyed``: tables with more rows of each group."""
    gone = f"g{closing.end} <= {last_forgotten(view, 'now', closing.event_time)}"
    for one in keyed:
        parts.forget.append(
            Step(
                f"DELETE FROM {one} WHERE ({keys}) IN (SELECT {keys} FROM {state} WHERE {gone})",
                "forget the values of closed windows",
            )
        )
    parts.forget.append(Step(f"DELETE FROM {state} WHERE {gone}", "forget closed windows"))


def closing_level(closing: Closing) -> OperatorLevel:
    lateness = closing.event_time.lateness_us
    until = f", and take changes for {lateness / 1e6:g} s more" if lateness else ""
    return OperatorLevel(
        "WINDOWS",
        "delta",
        f"close when the watermark passes their end{until}; one index look-up for those that do",
    )


def follow_watermarks(view: str, inputs: Sequence[str]) -> tuple[Step, Step]:
    """Makes the view's watermark, and removes it: the smallest of the tables that it reads, itself or through views."""
    listed = ", ".join(map(literal_text, inputs))
    bases = (
        "SELECT DISTINCT b.value FROM main._watermarks AS i, json_each(ifnull(i.bases, json_array(i.relation))) AS b "
        f"WHERE i.relation IN ({listed})"
    )
    reached = (
        f"(SELECT ifnull(min(now), {NEVER}) FROM main._watermarks WHERE relation IN ({bases}) AND NOT idle)"
    )
    name = literal_text(view)
    return (
        Step(
            f"INSERT OR REPLACE INTO main._watermarks(relation, before, now, bases) SELECT {name}, {reached}, {reached}, "
            f"json_group_array(value) FROM ({bases})",
            "the view's watermark",
        ),
        Step(f"DELETE FROM main._watermarks WHERE relation = {name}", "drop the view's watermark"),
    )
