"""The rows that a view leaves out: its dead letters, maintained like everything else.

A guard (``guarded.py``) among the conditions of a join keeps rows out of it. The rows that it keeps out, those that meet the conditions
before it but not it, are a query of their own: a node of the plan whose changes are carried to the view's table of dead letters
(``s:view:letters``) in the tick in which they happen. So a dead letter goes when its row is corrected or deleted. No more than
``MOST_LISTED`` rows are listed; ``s:view:left`` counts them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from springline.core.types import BOOLEAN, STRING
from springline.sql.aggregates import Slots
from springline.sql.maintain import Parts, selected
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import Occurrence, Rows, delta, table
from springline.sql.scope import Item, relation_columns
from springline.sql.shapes import Columns, FailedRows, Full, Node
from springline.sql.typed import Typed, literal_text, quote

MOST_LISTED: Final = 1_000
"""Dead letters of one view that are kept with their rows."""

COLUMNS: Final = ("operator", "key", "reason", "row")


@dataclass(slots=True)
class Failed:
    """A query for rows that are left out: the join it reads, and its columns (``COLUMNS``)."""

    rows: Rows
    columns: Columns


class Failures:
    """Collects the joins of a view whose guards leave rows out. A derived table that becomes part of the query around it is noted
    first, and its guards are its own. ``wholes`` are the shapes of such rows for queries that are computed again as a whole."""

    def __init__(self) -> None:
        self._joins: list[Rows] = []
        self._noted: set[str] = set()
        self.wholes: list[Full] = []

    def note(self, rows: Rows, guards: Sequence[Typed] = ()) -> None:
        """``guards``: those that follow the filters of the rows."""
        occurrences = [replace(one, on=tuple(self._own(one.on))) for one in rows.occurrences]
        self._joins.append(Rows(occurrences, self._own([*rows.filters, *guards])))
        every = [*rows.filters, *guards, *(part for one in rows.occurrences for part in one.on)]
        self._noted |= {one.raw for one in every if one.failure}

    def _own(self, conditions: Sequence[Typed]) -> list[Typed]:
        return [replace(one, failure="") if one.raw in self._noted else one for one in conditions]

    def note_whole(self, queries: Sequence[str], whole: Full) -> None:
        """``queries`` give the rows (``COLUMNS``) that a query leaves out which is computed again as a whole."""
        if queries:
            columns = [(name, Typed(quote(name), STRING, False)) for name in COLUMNS]
            self.wholes.append(Full(" UNION ".join(queries), columns, whole.relations, whole.what))

    def mark(self) -> tuple[int, set[str], int]:
        return len(self._joins), set(self._noted), len(self.wholes)

    def back_to(self, mark: tuple[int, set[str], int]) -> None:
        """Forgets what was noted after a mark."""
        del self._joins[mark[0] :]
        self._noted = mark[1]
        del self.wholes[mark[2] :]

    def queries(self) -> list[Failed]:
        return [query for rows in self._joins for query in failed(rows)]


# -- which rows --------------------------------------------------------------------------------------------------------


def failed(rows: Rows) -> list[Failed]:
    """The queries for the rows that the guards of a join leave out."""
    made: list[Failed] = []
    for occurrence in rows.occurrences:
        if occurrence.kind == "left":
            made += _of_conditions(occurrence.on, lambda refs, _: _inner(rows, refs))
    left = {one.alias for one in rows.occurrences if one.kind == "left"}

    def needed(refs: frozenset[str], conditions: Sequence[Typed]) -> list[Occurrence]:
        if refs & left:
            return list(rows.occurrences)
        inner = [one for one in rows.occurrences if one.alias not in left]
        aliases = _connected(refs or {one.alias for one in inner}, conditions, left)
        return [one for one in inner if one.alias in aliases]

    return made + _of_conditions(rows.filters, needed)


def _inner(rows: Rows, refs: frozenset[str]) -> list[Occurrence]:
    return [replace(one, kind="inner", on=()) for one in rows.occurrences if one.alias in refs]


def _connected(start: Iterable[str], conditions: Sequence[Typed], left: set[str]) -> set[str]:
    """The aliases that conditions tie to those of ``start``."""
    found = set(start)
    ties = [set(one.refs) for one in conditions if len(one.refs) > 1 and not one.refs & left]
    while more := [one for one in ties if one & found and not one <= found]:
        found = found.union(*more)
    return found


def _of_conditions(
    conditions: Sequence[Typed], needed: Callable[[frozenset[str], Sequence[Typed]], list[Occurrence]]
) -> list[Failed]:
    """One query for each run of neighbouring guards that read the same tables. A row fails where the conditions before hold, and
    the equalities of joins, which are looked up first."""
    made: list[Failed] = []
    index = 0
    while index < len(conditions):
        if not conditions[index].failure:
            index += 1
            continue
        before = [one for one in conditions[:index] if not one.failure]
        before += [
            one
            for previous, one in zip(conditions[index:], conditions[index + 1 :], strict=False)
            if one.test == "=" and len(one.refs) > 1 and not previous.failure
        ]
        occurrences = needed(conditions[index].refs, before)
        aliases = {one.alias for one in occurrences}
        run = [conditions[index]]
        index += 1
        while index < len(conditions) and conditions[index].failure and conditions[index].refs <= aliases:
            run.append(conditions[index])
            index += 1
        if any(one.relation for one in occurrences):
            passed = [one for one in conditions[: index - len(run)] if one.failure]
            kept = [one for one in [*passed, *before] if one.refs <= aliases]
            made.append(_failed(occurrences, kept, run))
    return made


def _failed(occurrences: list[Occurrence], before: list[Typed], guards: Sequence[Typed]) -> Failed:
    refs = frozenset[str]().union(*(one.refs for one in guards))
    broken = Typed(_broken(guards), BOOLEAN, False, refs)
    named = [one for one in occurrences if one.relation]
    names = _names(named)
    texts = [_own_name(one.relation) for one in named]
    key = _described(
        [
            (name + part, relation_columns(one.schema, one.alias)[part])
            for one, name in zip(named, names, strict=True)
            for part in one.schema.key or one.schema.names
        ]
    )
    row = _described(
        [
            (name + column, typed)
            for one, name in zip(named, names, strict=True)
            for column, typed in relation_columns(one.schema, one.alias).items()
            if not one.relation.startswith("s:") or column in one.schema.key or _reads(guards, typed)
        ]
    )
    columns = _columns(f"{'row' if len(named) == 1 else 'join'} of {', '.join(texts)}", key, guards, row)
    return Failed(Rows(list(occurrences), [*before, broken]), columns)


def _broken(guards: Sequence[Typed]) -> str:
    return f"(NOT ({' AND '.join(one.raw for one in guards)}))"


def _reads(guards: Sequence[Typed], column: Typed) -> bool:
    return any(column.raw in one.raw for one in guards)


def _names(occurrences: Sequence[Occurrence]) -> list[str]:
    """What the columns of each occurrence are prefixed with where there are several."""
    if len(occurrences) == 1:
        return [""]
    short = [_own_name(one.relation).rsplit(".", 1)[-1] for one in occurrences]
    return [
        f"{name}{'' if name not in short[:index] else f'#{index + 1}'}." for index, name in enumerate(short)
    ]


def _own_name(relation: str) -> str:
    return "subquery" if relation.startswith("s:") else relation


def _described(columns: Sequence[tuple[str, Typed]]) -> str:
    """SQL for a JSON object of columns."""
    listed = json.dumps([(name, str(typed.type)) for name, typed in columns], ensure_ascii=False)
    values = "".join(f", {typed.raw}" for _, typed in columns)
    return f"sl_described({literal_text(listed)}{values})"


def _columns(operator: str, key: str, guards: Sequence[Typed], row: str) -> Columns:
    reasons = " ".join(f"WHEN NOT {one.raw} THEN {one.failure}" for one in guards)
    refs = frozenset[str]().union(*(one.refs for one in guards))
    texts = (literal_text(operator), key, f"CASE {reasons} END", row)
    return [(name, Typed(text, STRING, False, refs)) for name, text in zip(COLUMNS, texts, strict=True)]


def failed_groups(slots: Slots, having: Sequence[Typed]) -> tuple[Columns, list[Typed]]:
    """The columns and conditions of the groups that the guards above an aggregate leave out; nothing where it has none."""
    guards = [one for one in having if one.failure]
    if not guards:
        return [], []
    groups: list[tuple[str, Typed]] = []
    for index, group in enumerate(slots.groups):
        shown = slots.grouped(group.sql)
        assert shown is not None
        groups.append((group.column[1] if group.column else f"GROUP BY {index + 1}", shown))
    key = _described(groups)
    before = list(having[: having.index(guards[0])])
    return _columns("group", key, guards, key), [*before, Typed(_broken(guards), BOOLEAN, False)]


@dataclass(slots=True)
class Translated:
    """A SELECT as one text: its FROM, the tables in it, its conditions in order, its groups by name and what HAVING asks."""

    source: str
    items: Sequence[Item]
    conditions: Sequence[Typed]
    groups: Columns
    having: Sequence[Typed]

    def failed(self) -> list[str]:
        """Queries for the rows and the groups that its guards leave out."""
        names = [one.name for one in self.items]
        several = len(names) > 1
        every = [
            (f"{item.name}.{name}" if several else name, typed)
            for item in self.items
            for name, typed in item.columns.items()
        ]
        operator = f"{'join' if several else 'row'} of {', '.join(names)}"
        made = [
            f"SELECT {columns} {self.source} WHERE {condition}"
            for columns, condition in _runs(self.conditions, operator, _described(every))
        ]
        where = f" WHERE {' AND '.join(one.sql for one in self.conditions)}" if self.conditions else ""
        keys = ", ".join(typed.raw for _, typed in self.groups)
        grouped = f"{self.source}{where}{f' GROUP BY {keys}' if keys else ''}"
        made += [
            f"SELECT {columns} {grouped} HAVING {condition}"
            for columns, condition in _runs(self.having, "group", _described(self.groups))
        ]
        return made


def _runs(conditions: Sequence[Typed], operator: str, row: str) -> list[tuple[str, str]]:
    """For each run of neighbouring guards: the columns of what it leaves out, and the condition that it does."""
    made: list[tuple[str, str]] = []
    index = 0
    while index < len(conditions):
        run = list(takewhile(lambda one: one.failure, conditions[index:]))
        if run:
            columns = selected(_columns(operator, row, run, row))
            passed = [one.sql for one in conditions[:index]]
            made.append((columns, " AND ".join([*passed, _broken(run)])))
        index += len(run) + 1
    return made


# -- where they are listed ---------------------------------------------------------------------------------------------


def leaves_rows_out(view: str) -> str:
    """The condition that a view leaves any rows out as of now."""
    return f"EXISTS (SELECT 1 FROM {table(count_table(view))})"


def letters_table(view: str) -> str:
    """The name of a view's table of dead letters: ``operator``, ``key``, ``reason``, ``row``, ``tick``, ``at_us``."""
    return f"s:{view}:letters"


def count_table(view: str) -> str:
    """The name of the table whose one row counts the rows that a view leaves out; it is empty where there never were any."""
    return f"s:{view}:left"


def dead_letters(view: str, nodes: Sequence[tuple[Node, Parts]]) -> Parts:
    """The statements that keep the dead letters of a view whose nodes are all maintained; none where no expression can fail."""
    parts = Parts()
    changed: list[str] = []
    filled: list[str] = []
    for node, part in nodes:
        if part.failed:
            changed.append(part.failed)
            filled.append(part.failed)
        if isinstance(node, FailedRows):
            changed.append(delta(node.name))
            kept = f"(SELECT {', '.join(COLUMNS)}, 1 AS _w FROM {table(node.name)})"
            filled.append(delta(node.name) if node.virtual else kept)
    parts.finish = _recorded(view, changed)
    parts.backfill = _recorded(view, filled)
    if parts.finish:
        columns = "operator TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, row TEXT NOT NULL"
        when = "tick INTEGER NOT NULL, at_us INTEGER NOT NULL, PRIMARY KEY(key, operator)"
        parts.persistent(letters_table(view), f"({columns}, {when}) STRICT, WITHOUT ROWID", "rows left out")
        parts.persistent(
            count_table(view),
            "(only INTEGER PRIMARY KEY, rows INTEGER NOT NULL) STRICT",
            "how many rows are left out",
        )
        cost = "the changed rows on which an expression fails, once more"
        parts.levels.append(OperatorLevel("DEAD LETTERS", "delta", cost))
    return parts


def _recorded(view: str, sources: Sequence[str]) -> list[Step]:
    """Carries changes of rows that are left out (``COLUMNS``, ``_w``) to the table of dead letters, and counts them. A row that fails
    elsewhere than before goes from one source and comes from another: all that go come first."""
    letters, count = table(letters_table(view)), table(count_table(view))
    listed = ", ".join(COLUMNS)
    now = "CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)"
    gone: list[Step] = []
    come: list[Step] = []
    some = " OR ".join(f"EXISTS (SELECT 1 FROM {source})" for source in sources)
    for source in sources:
        net = f"SELECT {listed}, sum(_w) AS _w FROM {source} GROUP BY {listed} HAVING sum(_w) <> 0"
        gone.append(
            Step(
                f"DELETE FROM {letters} WHERE (key, operator) IN (SELECT key, operator FROM ({net}) WHERE _w < 0)",
                "dead letters whose rows went or were corrected",
                some,
            )
        )
        come.append(
            Step(
                f"INSERT OR IGNORE INTO {letters}({listed}, tick, at_us) SELECT {listed}, :tick, {now} FROM ({net}) "
                f"WHERE _w > 0 LIMIT max(0, {MOST_LISTED} - (SELECT count(*) FROM {letters}))",
                "rows that the view leaves out",
                some,
            )
        )
        come.append(
            Step(
                f"INSERT INTO {count}(only, rows) SELECT 1, sum(_w) FROM {source} WHERE 1 HAVING sum(_w) <> 0 "
                "ON CONFLICT(only) DO UPDATE SET rows = rows + excluded.rows",
                "how many rows the view leaves out",
                some,
            )
        )
    forget = [Step(f"DELETE FROM {count} WHERE rows = 0", "no count where no row is left out", some)]
    return [*gone, *come, *forget] if sources else []
