"""Watermarks: how far event time has come in each relation that declares it, kept in ``state.db``.

``_watermarks`` has a row for each such table, and for each view over some (``bases``: the tables it follows). ``before`` is the watermark that the
tick before reached, ``now`` the one that this tick reaches; they differ only within a tick. A watermark never goes back.

A table is idle if it has had no changes for ``idle_after_us`` while other sources went on, measured on the commit times that the sources give:
so the same log gives the same watermarks. It takes effect with the next change of any source; a table that is idle holds no view up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import apsw

from springline.core.schema import EventTime, TableSchema
from springline.errors import ConfigurationError
from springline.runtime.embedded.tables import quote

WATERMARKS_DDL: Final = f"""
    CREATE TABLE _watermarks(
        relation TEXT PRIMARY KEY, before INTEGER NOT NULL, now INTEGER NOT NULL, bases TEXT,
        seen INTEGER NOT NULL DEFAULT {-(2**62)}, delay_us INTEGER NOT NULL DEFAULT 0, idle_after_us INTEGER,
        changed_at_us INTEGER, idle INTEGER NOT NULL DEFAULT 0, holds INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE _late(relation TEXT PRIMARY KEY, schema TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""
"""``seen``: the largest event time. ``holds``: the table is being loaded, its rows come in no order. ``_late``: the tables of late rows."""

NEVER: Final = -(2**62)
LARGEST_TIME: Final = 10**18


class Watermarks:
    """The watermarks of one state, on its writing connection; every change is part of the tick's transaction."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._declared: dict[str, EventTime] = {}
        self._stirred: set[str] = set()

    def __contains__(self, table: object) -> bool:
        return table in self._declared

    def __bool__(self) -> bool:
        return bool(self._declared)

    def timed(self, schemas: Mapping[str, TableSchema]) -> dict[str, TableSchema]:
        """The schemas with the event times that are declared, where the declarations (still) fit."""
        return with_event_times(schemas, self._declared)

    def declare(self, event_times: Mapping[str, EventTime], schemas: Mapping[str, TableSchema]) -> None:
        """Which tables have event time. The watermark of one that had none begins at what its rows show. Raises ConfigurationError
        where a declaration does not fit its table."""
        self._declared = dict(event_times)
        for name in event_times.keys() & schemas.keys():
            _check(schemas[name], event_times[name])
        known = {
            name
            for (name,) in self._connection.execute("SELECT relation FROM _watermarks WHERE bases IS NULL")
        }
        for name in known - set(event_times):
            self._connection.execute("DELETE FROM _watermarks WHERE relation = ?", (name,))
        for name, one in event_times.items():
            if name not in known:
                seen = self._largest_time(name, one.column) if name in schemas else NEVER
                reached = seen - one.delay_us if seen > NEVER else NEVER
                self._connection.execute(
                    "INSERT INTO _watermarks(relation, before, now, seen) VALUES (?, ?, ?, ?)",
                    (name, reached, reached, seen),
                )
            self._connection.execute(
                "UPDATE _watermarks SET delay_us = ?, idle_after_us = ? WHERE relation = ?",
                (one.delay_us, one.idle_after_us, name),
            )

    def _largest_time(self, table: str, column: str) -> int:
        name = quote(column)
        [(largest,)] = self._connection.execute(
            f"SELECT max({name}) FROM main.{quote(table)} WHERE {name} BETWEEN -{LARGEST_TIME} AND {LARGEST_TIME}"
        ).fetchall()
        return NEVER if largest is None else int(largest)

    def observe(self, schema: TableSchema, committed_at_us: int) -> None:
        """A table's delta of this tick is filled."""
        table = schema.name
        if table not in self._declared or not _fits(schema, self._declared[table]):
            return
        column = quote(self._declared[table].column)
        self._connection.execute(
            f"""UPDATE _watermarks SET changed_at_us = max(ifnull(changed_at_us, ?2), ?2), seen = max(seen, ifnull((
                    SELECT max({column}) FROM temp.{quote("d:" + table)}
                    WHERE _w > 0 AND {column} BETWEEN -{LARGEST_TIME} AND {LARGEST_TIME}), seen))
                WHERE relation = ?1""",
            (table, committed_at_us),
        )

    def advance(self, committed_at_us: int, loading: Iterable[str] = ()) -> frozenset[str]:
        """Everything of this tick has been observed. The relations whose watermark moves, or that were stirred. ``committed_at_us``: of
        its last transaction."""
        if not self._declared:
            return frozenset()
        execute = self._connection.execute
        held = frozenset(loading) & self._declared.keys()
        for name in held:
            execute("UPDATE _watermarks SET holds = 1 WHERE relation = ?", (name,))
        execute(
            "UPDATE _watermarks SET now = max(now, seen - delay_us) WHERE bases IS NULL AND NOT holds AND seen - delay_us > now"
        )
        if held:
            execute("UPDATE _watermarks SET holds = 0 WHERE holds")
        execute(
            """UPDATE _watermarks SET idle = NOT idle WHERE bases IS NULL AND idle_after_us IS NOT NULL
               AND idle <> (?1 - ifnull(changed_at_us, ?1) > idle_after_us)""",
            (committed_at_us,),
        )
        execute(
            """UPDATE _watermarks AS v SET now = max(v.now, ifnull((
                   SELECT min(b.now) FROM json_each(v.bases) AS j JOIN _watermarks AS b ON b.relation = j.value WHERE NOT b.idle
               ), v.now)) WHERE bases IS NOT NULL"""
        )
        moved = frozenset(name for (name,) in execute("SELECT relation FROM _watermarks WHERE now > before"))
        return moved | self._stirred

    def stir(self, view: str) -> None:
        """The view's state changed before the tick's last changes: it will look for windows that are over, also where its watermark
        does not move. A session that became shorter may be."""
        self._stirred.add(view)

    def settle(self) -> None:
        """The tick ends: lateness is decided against what it reached."""
        self._stirred.clear()
        if self._declared:
            self._connection.execute("UPDATE _watermarks SET before = now WHERE before <> now")


def with_event_times(
    schemas: Mapping[str, TableSchema], event_times: Mapping[str, EventTime]
) -> dict[str, TableSchema]:
    """The schemas with declared event times, where the declarations (still) fit."""
    made = dict(schemas)
    for name, event_time in event_times.items():
        if name in made and _fits(made[name], event_time):
            made[name] = replace(made[name], event_time=event_time)
    return made


def _fits(schema: TableSchema, event_time: EventTime) -> bool:
    column = event_time.column
    return column in schema and schema.column(column).type.name in ("TIMESTAMP", "TIMESTAMP_LTZ")


def _check(schema: TableSchema, event_time: EventTime) -> None:
    column = event_time.column
    if column not in schema:
        raise ConfigurationError(
            f"The event time of {schema.name!r} is declared as {column!r}, which is not a column of it.",
            hint=f"Columns: {', '.join(schema.names)}.",
        )
    if not _fits(schema, event_time):
        raise ConfigurationError(
            f"The event time of {schema.name!r} is declared as {column!r}, which is {schema.column(column).type}.",
            hint="Event time is a TIMESTAMP or TIMESTAMP_LTZ.",
        )
