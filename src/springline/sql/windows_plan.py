"""Windows in a plan: which columns are windows, which columns are event times, and which aggregates close.

An aggregate closes if it groups by ``window_start`` and ``window_end`` of one windowing table function whose time column is the
declared event time of what it reads. Everything else over windows is live: equal to the batch answer after every tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from springline.core.schema import EventTime
from springline.core.types import BIGINT, TIMESTAMP
from springline.sql.aggregates import group_output
from springline.sql.dialect import Text
from springline.sql.rows import Rows
from springline.sql.scope import Item, Scope
from springline.sql.shapes import Aggregate, Closing, Columns, Node, Sessions, Shape
from springline.sql.typed import Typed, quote
from springline.sql.windows import (
    WINDOW_COLUMNS,
    Window,
    WindowCall,
    event_time_of_column,
    has_time,
    time_column,
    window_name,
)

COPY: Final = "#copy"
"""The number of a row among equal ones, where rows have no key; no name that a user can write."""
LATE_PREFIX: Final = "late."
LATE_COLUMNS: Final = ("late_id", "late_change", "late_watermark")


class PlannedWindows:
    """The windows of one plan. ``live``: none of them closes."""

    def __init__(self, *, live: bool = False) -> None:
        self._live = live
        self._found: list[Window] = []

    def add(self, window: Window) -> None:
        self._found.append(window)

    def follow(self, before: Sequence[tuple[str, Typed]], after: Sequence[tuple[str, Typed]]) -> None:
        """Rows were kept in an intermediate: its columns, in the same order, are windows where those before were."""
        places = {old.sql: new for (_, old), (_, new) in zip(before, after, strict=True)}
        for one in list(self._found):
            if one.start.sql in places and one.end.sql in places:
                start, end = places[one.start.sql], places[one.end.sql]
                time = places.get(one.time.sql, one.time)
                self._found.append(replace(one, start=start, end=end, time=time))

    def event_time(self, shape: Shape) -> EventTime | None:
        """The event time of a shape's rows: a column that is its input's, or the ``window_time`` of windows that close."""
        if isinstance(shape, Aggregate):
            return self._of_closed(shape)
        if isinstance(shape, Sessions):
            return self._of_rows(shape.rows, shape.data)
        rows = getattr(shape, "rows", None)
        if isinstance(rows, Rows):
            return self._of_rows(rows, shape.columns)
        branches: list[tuple[Rows, Columns]] = getattr(shape, "branches", [])
        found = [self._of_rows(one, columns) for one, columns in branches]
        names = {None if one is None else one.column for one in found}
        if len(names) != 1 or None in names:
            return None
        return max((one for one in found if one is not None), key=lambda one: one.lateness_us)

    def _of_rows(self, rows: Rows, columns: Columns) -> EventTime | None:
        inner = {one.alias for one in rows.occurrences if one.kind == "inner"}
        for name, typed in columns:
            declared = event_time_of_column(rows, typed.column)
            if declared is None:
                window = next((one for one in self._found if one.time.sql == typed.sql), None)
                declared = None if window is None else window.event_time
            if declared is not None and typed.refs <= inner:
                return EventTime(name, lateness_us=declared.lateness_us)
        return None

    def _of_closed(self, shape: Aggregate) -> EventTime | None:
        if shape.closing is None or shape.closing.time is None:
            return None
        text = group_output(shape.slots, shape.closing.time).raw
        name = next((name for name, typed in shape.columns if typed.raw == text), None)
        return None if name is None else EventTime(name, lateness_us=shape.closing.event_time.lateness_us)

    def closing(self, shape: Aggregate, scope: Scope, nodes: Sequence[Node]) -> Closing | None:
        """How an aggregate's windows close; None where they do not. Sessions then close in their intermediate."""
        if self._live:
            return None
        texts = [one.sql for one in shape.slots.groups]
        for window in self._found:
            if window.event_time is None or window.start.sql not in texts or window.end.sql not in texts:
                continue
            time = texts.index(window.time.sql) if window.time.sql in texts else None
            made = Closing(
                start=texts.index(window.start.sql),
                end=texts.index(window.end.sql),
                time=time,
                window_end=window.end,
                event_time=window.event_time,
                late=late_columns(scope),
                session=window.node,
            )
            for node in nodes:
                if node.name == window.node and isinstance(node.shape, Sessions):
                    node.shape.closing = made
            return made
        return None


def name_late_tables(view: str, nodes: Sequence[Node]) -> None:
    """Gives each aggregate that closes its table of late rows: ``late.<view>``, and ``late.<view>_2`` where there are more."""
    closings = [
        one.shape.closing
        for one in nodes
        if isinstance(one.shape, Aggregate) and one.shape.closing is not None
    ]
    for number, closing in enumerate(closings, start=1):
        closing.side = f"{LATE_PREFIX}{view}" if number == 1 else f"{LATE_PREFIX}{view}_{number}"


def late_columns(scope: Scope) -> Columns:
    """The columns of a late row: those of every table of the FROM, under names of their own."""
    made: dict[str, Typed] = {}
    for item in scope.items:
        for name, typed in item.columns.items():
            chosen = name if name not in made and name not in LATE_COLUMNS else f"{item.name}_{name}"
            while chosen in made:
                chosen += "_"
            made[chosen] = typed
    return list(made.items())


def session_shape(
    where: Text, call: WindowCall, rows: Rows, item: Item, keyed: tuple[tuple[str, ...] | None, list[str]]
) -> Sessions:
    """The shape of SESSION over ``rows``. ``keyed``: the columns of ``item`` that identify a row."""
    key, _ = keyed
    time = time_column(where, call, item)
    scope = Scope(where, [item])
    for one in call.partition:
        scope.column(one)
    data = list(item.columns.items())
    bounds = [("window_start", TIMESTAMP), ("window_end", TIMESTAMP), ("window_time", time.type)]
    columns = data + [(name, Typed(quote(name), kind, False)) for name, kind in bounds]
    if key is None:
        # Equal rows are kept one by one, with a number.
        columns.append((COPY, Typed(quote(COPY), BIGINT, False)))
        key = (*item.columns, COPY)
    partition = tuple(one.name for one in call.partition)
    kept = Rows(list(rows.occurrences), [*rows.filters, has_time(time)])
    return Sessions(kept, data, columns, partition, call.time.name, call.size_us, key)


def session_window(call: WindowCall, columns: Columns, item: Item, node: Node) -> tuple[Window, Item]:
    """The windows that an intermediate of sessions holds, and its columns in a FROM."""
    made = {name: typed for name, typed in columns if name != COPY}
    start, end, time = (made[name] for name in WINDOW_COLUMNS)
    declared = node.schema.event_time
    event_time = declared if declared is not None and declared.column == call.time.name else None
    return Window(start, end, time, event_time, node.name), Item(window_name(call.node, item), made)
