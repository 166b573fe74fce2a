"""Windowing table functions: which windows a row belongs to.

``TUMBLE``, ``HOP`` and ``CUMULATE`` are arithmetic on a row's event time (microseconds, UTC), for HOP and CUMULATE over a short series of
numbers, one for each window of a row. ``SESSION`` windows depend on the other rows; see ``sessions.py``.

Boundaries are Flink's: a window holds ``window_start <= time < window_end``, ``window_time`` is its last millisecond, and two rows belong to one
session if they are at most the gap apart (``TimeWindow.intersects``). Rows without a time belong to no window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlglot import exp

from springline.core.schema import Column, EventTime, TableSchema
from springline.core.types import BIGINT, BOOLEAN, TIMESTAMP
from springline.sql import temporal
from springline.sql.casts import floor_to
from springline.sql.dialect import Text, Tree
from springline.sql.rows import Occurrence, Rows
from springline.sql.scope import Item, Scope
from springline.sql.typed import INTERVAL_MICROSECONDS, Typed, derived, describe, quote
from springline.sql.windows_syntax import Descriptor, WindowArgument, WindowData, WindowTable

MILLISECOND_US: Final = 1_000
LARGEST_TIME: Final = 10**18
MOST_WINDOWS: Final = 10_000
"""Windows that one row may belong to."""

WINDOW_COLUMNS: Final = ("window_start", "window_end", "window_time")
_INTERVALS: Final[Mapping[str, tuple[str, ...]]] = {
    "TUMBLE": ("SIZE", "OFFSET"),
    "HOP": ("SLIDE", "SIZE", "OFFSET"),
    "CUMULATE": ("STEP", "SIZE", "OFFSET"),
    "SESSION": ("GAP",),
}
_FORMS: Final = {
    "TUMBLE": "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    "HOP": "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR): slide, then size",
    "CUMULATE": "CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR): step, then size",
    "SESSION": "SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)",
}


@dataclass(frozen=True, slots=True)
class WindowCall:
    """A checked call. ``step_us`` is the slide of HOP, the step of CUMULATE; ``size_us`` the gap of SESSION."""

    node: WindowTable
    kind: str
    data: Tree
    partition: tuple[exp.Column, ...]
    time: exp.Column
    size_us: int
    step_us: int
    offset_us: int

    @property
    def count(self) -> int:
        """Windows that a row belongs to, at most."""
        return self.size_us // self.step_us

    @property
    def series(self) -> str:
        """A query for the numbers 0, 1, … ``count - 1``, column ``i``."""
        if self.count <= 100:
            return f"(SELECT column1 AS i FROM (VALUES {', '.join(f'({one})' for one in range(self.count))}))"
        return f"(WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n LIMIT {self.count}) SELECT i FROM n)"

    def start(self, time: str, number: str) -> str:
        """The window's first microsecond, of the row's ``number``-th window."""
        if self.kind == "HOP":
            return f"({_floor(time, self.step_us, self.offset_us)} - {number} * {self.step_us})"
        return _floor(time, self.size_us, self.offset_us)

    def end(self, time: str, number: str) -> str:
        if self.kind == "CUMULATE":
            return f"({self.start(time, number)} + ({number} + 1) * {self.step_us})"
        return f"({self.start(time, number)} + {self.size_us})"


def _floor(time: str, unit: int, offset: int) -> str:
    if not offset:
        return floor_to(time, unit)
    return f"({floor_to(f'({time} - {offset})', unit)} + {offset})"


@dataclass(frozen=True, slots=True)
class Window:
    """The windows of some rows, as columns that a query can group by. ``event_time``: of the relation they are taken from,
    if that is declared; ``node`` is the name of the intermediate that holds the sessions."""

    start: Typed
    end: Typed
    time: Typed
    event_time: EventTime | None
    node: str = ""

    @property
    def columns(self) -> dict[str, Typed]:
        return dict(zip(WINDOW_COLUMNS, (self.start, self.end, self.time), strict=True))


def window_call(where: Text, node: WindowTable) -> WindowCall:
    """Checks the arguments of a windowing table function. Raises SqlError."""
    kind = node.this.name
    names = ("DATA", "TIMECOL", *_INTERVALS[kind])
    given = _arguments(where, node, kind, names)
    for name in names:
        if name not in given and name != "OFFSET":
            raise where.error(node.this, f"{kind} needs {name}.", f"Write {_FORMS[kind]}.")
    data, timecol = given["DATA"], given["TIMECOL"]
    if not isinstance(data, WindowData):
        raise where.error(data, f"{kind} reads a table.", f"Write {_FORMS[kind]}.")
    if not isinstance(timecol, Descriptor) or len(timecol.expressions) != 1:
        raise where.error(timecol, f"{kind} wants one time column.", f"Write {_FORMS[kind]}.")
    [time] = timecol.expressions
    if not isinstance(time, exp.Column) or time.table:
        raise where.error(time, "DESCRIPTOR names a column of the data.", "Write DESCRIPTOR(ts).")
    if data.args.get("partition") and kind != "SESSION":
        raise where.error(
            data,
            f"{kind} windows are the same for all rows; PARTITION BY is for SESSION.",
            "Add the column to GROUP BY.",
        )
    lengths = {name: _length(where, given[name], name) for name in _INTERVALS[kind] if name in given}
    size = lengths.get("SIZE", lengths.get("GAP", 0))
    step = lengths.get("SLIDE", lengths.get("STEP", size))
    if size % step:
        raise where.error(
            node.this,
            f"The size of {kind} is not a whole number of steps.",
            "Choose a size that is a multiple of the step.",
        )
    if size // step > MOST_WINDOWS:
        raise where.error(
            node.this,
            f"A row would belong to {size // step} windows; {MOST_WINDOWS} are the most.",
            "Choose a longer step.",
        )
    relation = data.this
    if isinstance(relation, exp.Subquery) and not relation.alias:
        relation.set("alias", exp.TableAlias(this=exp.Identifier(this=kind.lower())))
    partition = tuple(data.args.get("partition") or ())
    return WindowCall(node, kind, relation, partition, time, size, step, lengths.get("OFFSET", 0) % size)


def _arguments(where: Text, node: WindowTable, kind: str, names: tuple[str, ...]) -> dict[str, Tree]:
    given: dict[str, Tree] = {}
    for index, argument in enumerate(node.expressions):
        assert isinstance(argument, WindowArgument)
        value: Tree = argument.expression
        if argument.this is not None:
            name = argument.this.name
            if name not in names:
                raise where.error(
                    argument.this, f"{kind} has no argument {name}.", f"It has {', '.join(names)}."
                )
        elif index >= len(names):
            raise where.error(value, f"{kind} has at most {len(names)} arguments.", f"Write {_FORMS[kind]}.")
        else:
            name = names[index]
        if name in given:
            raise where.error(value, f"{kind} is given {name} twice.", f"Write {_FORMS[kind]}.")
        given[name] = value
    return given


def _length(where: Text, node: Tree, name: str) -> int:
    if not isinstance(node, exp.Interval):
        raise where.error(node, f"{name} is an interval.", "Write INTERVAL '10' MINUTE.")
    typed = temporal.interval(where, node)
    if typed.type != INTERVAL_MICROSECONDS:
        raise where.error(node, "Windows have a fixed length: months and years do not.", "Write days.")
    microseconds = int(str(typed.value))
    if microseconds % MILLISECOND_US or (microseconds <= 0 and name != "OFFSET"):
        raise where.error(node, f"{name} is at least a millisecond, and a whole number of them.")
    return microseconds


def window_name(node: WindowTable, item: Item) -> tuple[str, ...]:
    """What the windowed table goes by: its alias, or its data's name."""
    return (node.alias,) if node.alias else item.qualifiers


def time_column(where: Text, call: WindowCall, item: Item) -> Typed:
    """The event time column of the data. Raises SqlError where it is none, or the data has columns of windows already."""
    typed = Scope(where, [item]).column(call.time)
    if typed.type.name not in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        raise where.error(
            call.time,
            f"{call.time.name!r} is {describe(typed.type)}, not a timestamp.",
            "CAST it in a derived table: (SELECT …, CAST(x AS TIMESTAMP) AS ts FROM t).",
        )
    taken = next((name for name in WINDOW_COLUMNS if name in item.columns), None)
    if taken is not None:
        raise where.error(
            call.time,
            f"The data has a column {taken!r} already.",
            f"Rename it in a derived table: (SELECT {taken} AS other, … FROM t).",
        )
    return typed


def has_time(time: Typed) -> Typed:
    """The condition that a row belongs to windows at all: its time is known and finite."""
    return derived(f"({time.sql} BETWEEN -{LARGEST_TIME} AND {LARGEST_TIME})", BOOLEAN, [time])


def event_time_of_column(rows: Rows, column: tuple[str, str] | None) -> EventTime | None:
    """The declared event time that a plain column is, if it is one."""
    if column is None:
        return None
    declared = next((one.schema.event_time for one in rows.occurrences if one.alias == column[0]), None)
    return declared if declared is not None and declared.column == column[1] else None


def windowed(where: Text, call: WindowCall, rows: Rows, item: Item, alias: str) -> tuple[Rows, Item, Window]:
    """Rows with the windows they belong to. ``alias`` is free, for the series of HOP and CUMULATE."""
    time = time_column(where, call, item)
    number = Typed(f"{alias}.i", BIGINT, False, frozenset({alias}), (alias, "i"))
    parts = [time, number] if call.count > 1 else [time]
    number_text = number.sql if call.count > 1 else "0"
    start = derived(call.start(time.sql, number_text), TIMESTAMP, parts, nullable=False)
    end = derived(call.end(time.sql, number_text), TIMESTAMP, parts, nullable=False)
    filters = [*rows.filters, has_time(time)]
    occurrences = list(rows.occurrences)
    if call.count > 1:
        # Given the row, the one identifies the window: it stands for the number in keys.
        if call.kind == "HOP":
            start = replace(start, column=number.column)
        else:
            end = replace(end, column=number.column)
            filters.append(derived(f"({end.sql} > {time.sql})", BOOLEAN, [end, time], nullable=False))
        schema = TableSchema("", (Column("i", BIGINT, nullable=False),), ("i",))
        occurrences.append(Occurrence(alias, schema, computed=call.series))
    last = derived(f"({end.sql} - {MILLISECOND_US})", time.type, [end], nullable=False)
    window = Window(start, end, last, event_time_of_column(rows, time.column))
    shown = Item(window_name(call.node, item), {**item.columns, **window.columns})
    return Rows(occurrences, filters), shown, window


def windowed_sql(
    where: Text,
    node: WindowTable,
    from_item: Callable[[Tree], tuple[str, Item]],
    alias: str,
    *,
    nullable: bool,
) -> tuple[str, Item]:
    """A query for the rows of a windowing table function, and its columns under ``alias``. ``from_item`` makes SQL of its data."""
    call = window_call(where, node)
    source, item = from_item(call.data)
    time = time_column(where, call, item)
    columns = ", ".join(f"{typed.sql} AS {quote(name)}" for name, typed in item.columns.items())
    if call.kind == "SESSION":
        inner = _sessions_sql(where, call, source, item, time, columns)
    else:
        start, end = call.start(time.sql, "n.i"), call.end(time.sql, "n.i")
        inner = f"SELECT {columns}, {start} AS window_start, {end} AS window_end FROM {source} CROSS JOIN {call.series} AS n WHERE {has_time(time).sql}"
        if call.kind == "CUMULATE":
            inner += f" AND {end} > {time.sql}"
    sql = f"(SELECT *, window_end - {MILLISECOND_US} AS window_time FROM ({inner})) AS {alias}"
    kinds = {name: (typed.type, typed.nullable or nullable) for name, typed in item.columns.items()}
    for name in WINDOW_COLUMNS:
        kinds[name] = (time.type if name == "window_time" else TIMESTAMP, nullable)
    made = {
        name: Typed(f"{alias}.{quote(name)}", kind, may_miss, frozenset({alias}), (alias, name))
        for name, (kind, may_miss) in kinds.items()
    }
    return sql, Item(window_name(call.node, item), made)


def _sessions_sql(where: Text, call: WindowCall, source: str, item: Item, time: Typed, columns: str) -> str:
    keys = [Scope(where, [item]).column(one).sql for one in call.partition]
    by = f"PARTITION BY {', '.join(keys)} " if keys else ""
    again = ", ".join(["_number", *(f"_k{index}" for index in range(len(keys)))])
    kept = ", ".join([*(f"{key} AS _k{index}" for index, key in enumerate(keys)), f"{time.sql} AS _at"])
    begins = f"CASE WHEN {time.sql} - lag({time.sql}) OVER ({by}ORDER BY {time.sql}) <= {call.size_us} THEN 0 ELSE 1 END AS _begins"
    first = f"SELECT {columns}, {kept}, {begins} FROM {source} WHERE {has_time(time).sql}"
    partition = ", ".join(f"_k{index}" for index in range(len(keys)))
    over = f"{'PARTITION BY ' + partition + ' ' if keys else ''}ORDER BY _at"
    second = f"SELECT *, sum(_begins) OVER ({over}) AS _number FROM ({first})"
    names = ", ".join(quote(name) for name in item.columns)
    return (
        f"SELECT {names}, min(_at) OVER (PARTITION BY {again}) AS window_start, "
        f"max(_at) OVER (PARTITION BY {again}) + {call.size_us} AS window_end FROM ({second})"
    )
