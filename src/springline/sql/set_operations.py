"""UNION, INTERSECT and EXCEPT, each with ALL and without, as groups of equal rows.

UNION ALL passes rows on. UNION is DISTINCT over it. INTERSECT and EXCEPT count the equal rows of either side and show a row once
(or with ALL as often as it is there), by the two counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from springline.core.types import BOOLEAN, INT
from springline.sql.check_calls import AggregateCall
from springline.sql.clauses import CommonTables
from springline.sql.dialect import Text, Tree
from springline.sql.rows import Rows
from springline.sql.shapes import Aggregate, Columns, Project, Shape
from springline.sql.typed import Typed, coerce, common_type, describe

if TYPE_CHECKING:
    from springline.sql.plan import Planner

_SIDE = "_side"


def set_operation(planner: Planner, node: exp.SetOperation, tables: CommonTables) -> Shape:
    """The shape of a set operation of two queries."""
    name = type(node).__name__.upper()
    sides = [_side(planner, side, tables) for side in (node.left, node.right)]
    branches = [branch for side in _common(planner.where, node, name, sides) for branch in side]
    if isinstance(node, exp.Union):
        if not node.args.get("distinct"):
            return Project([branch for side in branches for branch in side])
        merged = Project([branch for side in branches for branch in side])
        read, columns = planner.materialised(merged)
        return planner.distinct([read], columns)
    return _counted(planner, node, name, branches)


def _side(planner: Planner, side: Tree, tables: CommonTables) -> list[tuple[Rows, Columns]]:
    shape = planner.shape(side, tables)
    return shape.branches if isinstance(shape, Project) else [planner.materialised(shape)]


def _common(
    where: Text, node: Tree, name: str, sides: list[list[tuple[Rows, Columns]]]
) -> list[list[list[tuple[Rows, Columns]]]]:
    """The sides with their columns brought to common types, called as on the left."""
    first = sides[0][0][1]
    every = [columns for side in sides for _, columns in side]
    for columns in every:
        if len(columns) != len(first):
            raise where.error(
                node,
                f"{name} of {len(first)} and {len(columns)} columns.",
                "Select the same columns on both sides.",
            )
    targets: Columns = []
    for index, (column, _) in enumerate(first):
        kinds = [columns[index][1].type for columns in every]
        target = common_type(kinds)
        if target is None:
            listed = " and ".join(dict.fromkeys(map(describe, kinds)))
            raise where.error(node, f"Column {column!r} of {name} is {listed}.", "CAST one of them.")
        nullable = any(columns[index][1].nullable for columns in every)
        targets.append((column, Typed("", target, nullable)))
    return [[[(rows, _brought(columns, targets)) for rows, columns in side]] for side in sides]


def _brought(columns: Columns, targets: Columns) -> Columns:
    made: Columns = []
    for (_, typed), (name, target) in zip(columns, targets, strict=True):
        brought = coerce(typed, target.type)
        assert brought is not None
        made.append((name, replace(brought, nullable=target.nullable)))
    return made


def _counted(
    planner: Planner, node: exp.SetOperation, name: str, sides: list[list[tuple[Rows, Columns]]]
) -> Aggregate:
    marked = Project(
        [
            (rows, [*columns, (_SIDE, Typed(str(number), INT, False, constant=True))])
            for number, side in enumerate(sides)
            for rows, columns in side
        ]
    )
    read, columns = planner.materialised(marked)
    *shown, (_, side) = columns
    shape = planner.distinct([read], shown)
    left, right = (_count(shape, side, number, name) for number in (0, 1))
    if node.args.get("distinct"):
        test = f"({left} > 0 AND {right} > 0)" if name == "INTERSECT" else f"({left} > 0 AND {right} = 0)"
        return replace(shape, having=[Typed(test, BOOLEAN, False)])
    copies = f"min({left}, {right})" if name == "INTERSECT" else f"max({left} - {right}, 0)"
    return replace(shape, copies=copies, key=None)


def _count(shape: Aggregate, side: Typed, number: int, name: str) -> str:
    """The count of a group's rows of one side, in its state."""
    condition = Typed(f"({side.sql} = {number})", BOOLEAN, False, side.refs)
    call = AggregateCall("COUNT", None, condition, False, f"rows of side {number + 1} of {name}")
    return shape.slots.aggregate(call).sql
