"""The statements that maintain SESSION windows.

The rows of each partition are kept in order of time. A change touches the sessions within the gap around it: those rows are
taken out with their windows and put in again with their new ones, so sessions merge and split as rows come and go. Rows beyond that
stretch are more than the gap away from it and keep their windows.

Where the sessions close, only the rows of open ones are kept. A new session that is over already, and has none of the rows that were there
before, is late; so is the retraction of a row that is not kept. A session that has closed takes no more rows: what comes near it begins a new one.
"""

from __future__ import annotations

from springline.sql.maintain import (
    Parts,
    apply_delta,
    bag_table,
    delta_table,
    describe_rows,
    keep_rows,
    net,
    note,
)
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import join, names_of, table, terms
from springline.sql.shapes import Closing, Node, Sessions
from springline.sql.typed import quote
from springline.sql.windows import MILLISECOND_US
from springline.sql.windows_close import keep_late, last_forgotten, late_table
from springline.sql.windows_plan import COPY


def maintain_sessions(node: Node, shape: Sessions, *, view: str) -> Parts:
    """An intermediate that holds rows with their sessions."""
    return _Sessions(node, shape, view).parts


class _Sessions:
    def __init__(self, node: Node, shape: Sessions, view: str) -> None:
        self.parts = Parts()
        self.node, self.shape, self.view = node, shape, view
        self.names = names_of(name for name, _ in shape.data)
        self.time = quote(shape.time)
        self.kept = table(node.name)
        self.has_copies = COPY in node.schema
        delta_table(self.parts, node)
        keep_rows(self.parts, node)
        self._index("t:", (*shape.partition, shape.time), "finds rows of a partition by time")
        self.changed = self.parts.temporary("c:" + node.name, [*self._data_names(), "_w"], "row changes")
        self.net = self.parts.temporary("e:" + node.name, [*self._data_names(), "_w"], "net row changes")
        self.bag = bag_table(self.parts, node)
        self._changes()
        if shape.closing is not None:
            self.shown = [pair for pair in shape.columns if pair[0] != COPY]
            self.late = late_table(self.parts, node.name, shape.closing.side, self.shown)
            self._late_retractions()
        self._touched()
        self._again()
        if shape.closing is not None:
            self._late_rows(shape.closing)
            self._forget(shape.closing)
        copy = f", {quote(COPY)}" if self.has_copies else ""
        put = f"INSERT INTO {self.bag} SELECT {self.names}, window_start, window_end, window_time{copy}, 1 FROM {self.made}"
        self.parts.finish.append(Step(put, "the touched rows with their sessions"))
        self.parts.finish.append(net(node, self.bag, is_view=False, view=view))
        apply_delta(self.parts, node)
        self._backfill()
        describe_rows(self.parts, shape.rows)
        cost = "the rows of the touched sessions are read and written again"
        self.parts.levels.append(OperatorLevel("SESSION", "group", cost))

    def _data_names(self) -> list[str]:
        return [quote(name) for name, _ in self.shape.data]

    def _index(self, prefix: str, columns: tuple[str, ...], why: str) -> None:
        name = quote(prefix + self.node.name)
        self.parts.state.append(
            Step(
                f"CREATE INDEX IF NOT EXISTS main.{name} ON {quote(self.node.name)}({names_of(columns)})", why
            )
        )

    def _same_partition(self, one: str, other: str) -> list[str]:
        return [f"{one}.{quote(name)} IS {other}.{quote(name)}" for name in self.shape.partition]

    def _changes(self) -> None:
        rows = self.shape.rows
        values = ", ".join(typed.sql for _, typed in self.shape.data)
        for relation in rows.relations:
            found = terms(rows, relation)
            note(self.parts, found)
            for term in found:
                text = f"INSERT INTO {self.changed} SELECT {values}, {term.weight} {term.source}"
                self.parts.on(relation, Step(text, f"rows that a change of {relation} adds or takes"))
        self.parts.finish.append(
            Step(
                f"INSERT INTO {self.net} SELECT {self.names}, sum(_w) FROM {self.changed} GROUP BY {self.names} HAVING sum(_w) <> 0",
                "the net change of rows",
            )
        )

    def _late_retractions(self) -> None:
        """Rows that go and are not kept: their session has closed, or they were late themselves."""
        parts = [name for name in self.node.schema.key if name != COPY]
        same = " AND ".join(
            f"n.{quote(name)} IS e.{quote(name)}" for name in dict.fromkeys((*parts, self.shape.time))
        )
        here = f"(SELECT count(*) FROM {self.kept} AS n WHERE {same})"
        missing = f"e._w < 0 AND e._w + {here} < 0"
        end = f"e.{self.time} + {self.shape.gap_us}"
        values = ", ".join(f"e.{name}" for name in self._data_names())
        self.parts.finish.append(
            Step(
                f"INSERT INTO {self.late} SELECT {values}, e.{self.time}, {end}, {end} - {MILLISECOND_US}, e._w + {here} "
                f"FROM {self.net} AS e WHERE {missing}",
                "retractions that are late",
            )
        )
        self.parts.finish.append(
            Step(
                f"UPDATE {self.net} AS e SET _w = -{here} WHERE {missing}",
                "which change nothing",
            )
        )

    def _touched(self) -> None:
        """For each partition, the stretch of time whose sessions may change."""
        partition = [quote(name) for name in self.shape.partition]
        self.range = self.parts.temporary(
            "r:" + self.node.name, [*partition, "lo", "hi"], "touched stretches"
        )
        near = " AND ".join([*self._same_partition("n", "e"), ""])
        gap = self.shape.gap_us
        first = (
            f"(SELECT n.window_start FROM {self.kept} AS n WHERE {near}n.{self.time} >= e.{self.time} - {gap} "
            f"ORDER BY n.{self.time} LIMIT 1)"
        )
        last = (
            f"(SELECT n.window_end - {gap} FROM {self.kept} AS n WHERE {near}n.{self.time} <= e.{self.time} + {gap} "
            f"ORDER BY n.{self.time} DESC LIMIT 1)"
        )
        at = f"e.{self.time}"
        low, high = f"min(min({at}, ifnull({first}, {at})))", f"max(max({at}, ifnull({last}, {at})))"
        listed = ", ".join([*(f"e.{name}" for name in partition), low, high])
        grouped = (
            " GROUP BY " + ", ".join(f"e.{name}" for name in partition)
            if partition
            else " HAVING count(*) > 0"
        )
        self.parts.finish.append(
            Step(
                f"INSERT INTO {self.range} SELECT {listed} FROM {self.net} AS e{grouped}",
                "the stretches that changes touch",
            )
        )
        within = " AND ".join([*self._same_partition("n", "r"), f"n.{self.time} BETWEEN r.lo AND r.hi"])
        self.within = f"{self.range} AS r CROSS JOIN {self.kept} AS n WHERE {within}"
        every = ", ".join(f"n.{quote(name)}" for name in self.node.schema.names)
        self.parts.finish.append(
            Step(
                f"INSERT INTO {self.bag} SELECT {every}, -1 FROM {self.within}",
                "the touched rows as they were",
            )
        )

    def _again(self) -> None:
        """The touched rows and the changes, in sessions."""
        listed = [*self._data_names(), quote(COPY), "window_start", "window_end", "window_time", "_kept"]
        self.made = self.parts.temporary("w:" + self.node.name, listed, "rows with their new sessions")
        kept = ", ".join(f"n.{name}" for name in self._data_names())
        rows = self._one_by_one(
            f"SELECT {self.names}, max(_kept) AS _kept, sum(_w) AS _n FROM (SELECT {kept}, 1 AS _w, 1 AS _kept FROM {self.within} "
            f"UNION ALL SELECT {self.names}, _w, 0 FROM {self.net}) GROUP BY {self.names} HAVING sum(_w) > 0"
        )
        self.parts.finish.append(
            Step(f"INSERT INTO {self.made} {self._in_sessions(rows)}", "the touched sessions anew")
        )

    def _one_by_one(self, counted: str) -> str:
        """The rows of a query as often as its column ``_n`` says, numbered. With a key there is one of each."""
        names = f"{self.names}, _kept"
        if not self.has_copies:
            return f"(SELECT {names}, 1 AS {quote(COPY)} FROM ({counted}))"
        return (
            f"(WITH RECURSIVE e({names}, {quote(COPY)}) AS (SELECT * FROM ({counted}) UNION ALL "
            f"SELECT {names}, {quote(COPY)} - 1 FROM e WHERE {quote(COPY)} > 1) SELECT * FROM e)"
        )

    def _in_sessions(self, rows: str) -> str:
        """A query for rows (with ``_kept`` and their number) and their sessions. Rows of one time are of one session: the frame is RANGE."""
        partition = names_of(self.shape.partition)
        over = f"{f'PARTITION BY {partition} ' if partition else ''}ORDER BY {self.time}"
        begins = (
            f"CASE WHEN {self.time} - lag({self.time}) OVER ({over}) <= {self.shape.gap_us} THEN 0 ELSE 1 END"
        )
        flagged = f"(SELECT *, {begins} AS _begins FROM {rows})"
        numbered = f"(SELECT *, sum(_begins) OVER ({over}) AS _number FROM {flagged})"
        session = f"PARTITION BY {f'{partition}, ' if partition else ''}_number"
        last = f"max({self.time}) OVER ({session}) + {self.shape.gap_us}"
        return (
            f"SELECT {self.names}, {quote(COPY)}, min({self.time}) OVER ({session}), {last}, {last} - {MILLISECOND_US}, "
            f"max(_kept) OVER ({session}) FROM {numbered}"
        )

    def _late_rows(self, closing: Closing) -> None:
        late = f"_kept = 0 AND window_end <= {last_forgotten(self.view, 'before', closing.event_time)}"
        self.parts.finish.append(
            Step(
                f"INSERT INTO {self.late} SELECT {self.names}, window_start, window_end, window_time, 1 FROM {self.made} WHERE {late}",
                "rows that are late",
            )
        )
        self.parts.finish.append(Step(f"DELETE FROM {self.made} WHERE {late}", "which change nothing"))
        self.parts.finish.extend(keep_late(self.parts, self.late, self.view, self.shown))

    def _forget(self, closing: Closing) -> None:
        self._index("e:", ("window_end",), "finds sessions that close")
        gone = f"window_end <= {last_forgotten(self.view, 'now', closing.event_time)}"
        self.parts.forget.append(
            Step(f"DELETE FROM {self.kept} WHERE {gone}", "forget the rows of closed sessions")
        )

    def _backfill(self) -> None:
        values = ", ".join(f"{typed.sql} AS {quote(name)}" for name, typed in self.shape.data)
        source = f"SELECT {values} {join(self.shape.rows, []).source}"
        if self.has_copies:
            source = f"SELECT {self.names}, 0 AS _kept, count(*) AS _n FROM ({source}) GROUP BY {self.names}"
        else:
            source = f"SELECT {self.names}, 0 AS _kept, 1 AS _n FROM ({source})"
        columns = ", ".join([*self._data_names(), quote(COPY), "_c1", "_c2", "_c3", "_c4"])
        copy = f", {quote(COPY)}" if self.has_copies else ""
        made = f"WITH made({columns}) AS ({self._in_sessions(self._one_by_one(source))})"
        self.parts.backfill.append(
            Step(
                f"INSERT INTO {self.kept} SELECT * FROM ({made} SELECT {self.names}, _c1, _c2, _c3{copy} FROM made)",
                f"all rows of {self.node.name}",
            )
        )
