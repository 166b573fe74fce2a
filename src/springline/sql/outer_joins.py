"""Outer joins as sums of inner ones, which are maintained from changes alone.

``A LEFT JOIN B`` is ``A JOIN B``, and ``A`` with NULLs for ``B``, less those rows of ``A`` with NULLs that have a match. The
matches are ``B`` itself where its key is looked up, else the distinct values by which it is looked up, else the keys of
the matched rows of ``A``. Weights make the difference (Z-sets, DBSP, VLDB 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from springline.core.schema import TableSchema
from springline.core.types import BOOLEAN, INT
from springline.sql.rewrite import renamed
from springline.sql.rows import Occurrence, Rows, determined
from springline.sql.scope import Scope, relation_columns
from springline.sql.shapes import Columns, Project
from springline.sql.typed import Typed, is_wide, quote, wide_as_key

if TYPE_CHECKING:
    from springline.sql.intermediates import Intermediates

MOST_LEFT_JOINS = 2
"""Each one makes three branches of one."""

Match = tuple[Occurrence, list[Typed]]
"""What has one row for each match, and the conditions by which it is joined."""


def branches(planner: Intermediates, rows: Rows) -> list[Rows] | None:
    """The inner joins, with their signs, that LEFT JOINs are the sum of; None where that would be too many, or where the
    matches of a row cannot be told from values."""
    left = [one for one in rows.occurrences if one.kind == "left"]
    if len(left) > MOST_LEFT_JOINS:
        return None
    made = [Rows([one for one in rows.occurrences if one.kind == "inner"], [])]
    for occurrence in left:
        match = _match(planner, made[0], occurrence, first=occurrence is left[0])
        if match is None:
            return None
        made = [part for branch in made for part in split(branch, occurrence, match)]
    every = [Rows(one.occurrences, [*one.filters, *rows.filters], one.sign) for one in made]
    return [one for one in every if not _is_empty(one)] or every[:1]


def split(branch: Rows, right: Occurrence, match: Match) -> list[Rows]:
    """``branch LEFT JOIN right`` as three inner joins."""
    found, conditions = match
    inner = replace(right, kind="inner", on=())
    lone = nothing(right)
    return [
        Rows([*branch.occurrences, inner], [*branch.filters, *right.on], branch.sign),
        Rows([*branch.occurrences, lone], list(branch.filters), branch.sign),
        Rows([*branch.occurrences, found, lone], [*branch.filters, *conditions], -branch.sign),
    ]


def single(planner: Intermediates, rows: Rows, scope: Scope) -> None:
    """Brings what stands on the left of a RIGHT or FULL JOIN to one relation whose columns are shown as they are."""
    plain = all(typed.column is not None for item in scope.items for typed in item.columns.values())
    if len(rows.occurrences) == 1 and rows.occurrences[0].relation and plain:
        return
    planner.settle(rows, scope)


def right_join(rows: Rows, right: Rows, on: Sequence[Typed]) -> None:
    """``rows RIGHT JOIN right`` is ``right LEFT JOIN rows``."""
    [left] = rows.occurrences
    rows.occurrences[:] = [*right.occurrences, replace(left, kind="left", on=(*rows.filters, *on))]
    rows.filters[:] = right.filters


def full_join(
    planner: Intermediates,
    rows: Rows,
    scope: Scope,
    right: Rows,
    on: Sequence[Typed],
    obeyed: Sequence[Typed],
) -> None:
    """Replaces ``rows`` by an intermediate that is ``rows FULL JOIN right``. Rows of it that do not obey ``obeyed`` are left out: on
    these, a part of the condition over one side fails."""
    [left], [other] = rows.occurrences, right.occurrences
    left_side, right_side = Rows([left], list(rows.filters)), Rows([other], list(right.filters))
    to_right = replace(other, kind="left", on=(*right.filters, *on))
    to_left = replace(left, kind="left", on=(*rows.filters, *on))
    made = split(left_side, to_right, _matched(planner, left_side, to_right))
    made += split(right_side, to_left, _matched(planner, right_side, to_left))[1:]
    made = [Rows(one.occurrences, [*one.filters, *obeyed], one.sign) for one in made]
    of_right = [one for one in obeyed if other.alias in one.refs]
    of_left = [one for one in obeyed if other.alias not in one.refs]
    planner.failures.note(Rows([left, to_right], [*rows.filters, *of_left]))
    planner.failures.note(Rows([other], [*right.filters, *of_right]))
    places = [(item, name, typed) for item in scope.items for name, typed in item.columns.items()]
    columns = [(f"{item.name}.{name}", typed) for item, name, typed in places]
    keys: list[str] = []
    for occurrence in (left, other):
        every = relation_columns(occurrence.schema, occurrence.alias, nullable=True)
        for part in occurrence.schema.key:
            shown = next((name for name, typed in columns if typed.column == (occurrence.alias, part)), None)
            if shown is None:
                shown = f"_{occurrence.alias}.{part}"
                columns.append((shown, every[part]))
            keys.append(shown)
    shape = Project([(one, columns) for one in made])
    # A row of one side alone has NULLs for the other's key: a side whose whole key may be NULL could be taken for the other.
    tellable = any(not one.schema.column(part).nullable for one in (left, other) for part in one.schema.key)
    shape.key = tuple(keys) if left.schema.key and other.schema.key and tellable else None
    read, found = planner.materialised(shape)
    for (item, name, _), (_, typed) in zip(places, found, strict=False):
        item.columns[name] = typed
    rows.occurrences[:], rows.filters[:] = read.occurrences, []


def _matched(planner: Intermediates, branch: Rows, right: Occurrence) -> Match:
    found = _match(planner, branch, right, first=True)
    assert found is not None
    return found


def nothing(occurrence: Occurrence) -> Occurrence:
    """The one row of NULLs that stands for a missing one."""
    columns = ", ".join(f"NULL AS {quote(name)}" for name in occurrence.schema.names)
    schema = TableSchema("", occurrence.schema.columns)
    return Occurrence(occurrence.alias, schema, computed=f"(SELECT {columns})", single=True)


def _match(planner: Intermediates, branch: Rows, right: Occurrence, *, first: bool) -> Match | None:
    others = [one.alias for one in branch.occurrences]
    joined = Rows([*branch.occurrences, replace(right, kind="inner", on=())], list(right.on))
    if right.alias in determined(joined, others):
        alias = planner.alias()
        again = replace(right, alias=alias, kind="inner", on=())
        return again, [renamed(one, {right.alias: alias}) for one in right.on]
    return match_by_value(planner, right) or (match_by_row(planner, branch, right) if first else None)


def match_by_value(
    planner: Intermediates, right: Occurrence, conditions: Sequence[Typed] | None = None
) -> Match | None:
    """The distinct values of ``right`` in the equalities of its ON; None where ON compares in other ways."""
    keys: Columns = []
    pairs: list[tuple[Typed, Typed]] = []
    own: list[Typed] = []
    others: list[Typed] = []
    mine = {right.alias}
    for condition in right.on if conditions is None else conditions:
        if condition.refs <= mine and condition.refs:
            own.append(condition)
        elif not condition.refs & mine:
            others.append(condition)
        else:
            pair = _sides(condition, mine)
            if pair is None:
                return None
            name = f"k{len(keys)}"
            keys.append((name, pair[0]))
            pairs.append((condition, pair[1]))
    if not keys:
        keys.append(("k0", Typed("1", INT, False)))
    inner = Rows([replace(right, kind="inner", on=())], own)
    kept, columns = planner.materialised(planner.distinct([inner], keys))
    made = [
        _equality(condition.test, column, other)
        for (condition, other), (_, column) in zip(pairs, columns, strict=False)
    ]
    return kept.occurrences[0], [*made, *others]


def match_by_row(planner: Intermediates, branch: Rows, right: Occurrence) -> Match:
    """The keys of those rows of ``branch`` that have a match."""
    keys: Columns = []
    for occurrence in branch.occurrences:
        every = relation_columns(occurrence.schema, occurrence.alias)
        for part in occurrence.schema.key or occurrence.schema.names:
            keys.append((f"k{len(keys)}", wide_as_key(every[part])))
    inner = Rows([*branch.occurrences, replace(right, kind="inner", on=())], [*branch.filters, *right.on])
    kept, columns = planner.materialised(planner.distinct([inner], keys))
    conditions = [_equality("IS", column, key) for (_, key), (_, column) in zip(keys, columns, strict=True)]
    return kept.occurrences[0], conditions


def _sides(condition: Typed, mine: set[str]) -> tuple[Typed, Typed] | None:
    """(over ``mine``, over others), of an equality between the two."""
    if condition.test not in ("=", "IS"):
        return None
    for one, other in (condition.parts, condition.parts[::-1]):
        if one.refs and one.refs <= mine and not other.refs & mine:
            # Compared DECIMALs without precision are keys already.
            return None if is_wide(one.type) else (one, other)
    return None


def _equality(test: str, one: Typed, other: Typed) -> Typed:
    refs = one.refs | other.refs
    text = f"({one.sql} {test} {other.sql})"
    return Typed(text, BOOLEAN, test == "=", refs, test=test, parts=(one, other))


def _is_empty(rows: Rows) -> bool:
    """Whether a filter can be seen to let no row pass: a row that is there is wanted to be missing, or a missing one to be equal."""
    absent = {one.alias for one in rows.occurrences if one.single and not one.relation}
    present = {one.alias: one.schema for one in rows.occurrences if one.relation}
    for condition in rows.filters:
        columns = [part.column for part in condition.parts if part.column is not None]
        if condition.test == "=" and any(column[0] in absent for column in columns):
            return True
        if condition.test != "NULL" or not columns or columns[0][0] not in present:
            continue
        if not present[columns[0][0]].column(columns[0][1]).nullable:
            return True
    return False
