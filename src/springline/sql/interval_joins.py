"""Conditions between times of two tables, in a form that an index can serve from either side.

``a.t BETWEEN b.t - INTERVAL '1' HOUR AND b.t`` says where ``a.t`` lies, given a row of ``b``. A change of ``a`` has to find the rows of ``b``: for
that the same is said of ``b.t``. With an equality beside it this is what Flink calls an interval join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from springline.sql.dialect import Tree
from springline.sql.typed import Typed

_MIRRORED: Final[dict[type[Tree], type[Tree]]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
_INVERSE: Final[dict[type[Tree], type[Tree]]] = {exp.Add: exp.Sub, exp.Sub: exp.Add}
_FIXED: Final = ("MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK")


def range_conjuncts(node: Tree, check: Callable[[Tree], Typed]) -> list[Tree]:
    """The conjuncts that a condition is, each comparing two sides, with what follows from them for a column that stands beside an
    interval; the condition itself where it is no such one. Only instants can be moved to the other side: a TIME begins again at
    midnight, a DATE moves by whole days."""
    if isinstance(node, exp.Between) and not node.args.get("symmetric"):
        bounds = [
            exp.GTE(this=node.this.copy(), expression=node.args["low"].copy()),
            exp.LTE(this=node.this.copy(), expression=node.args["high"].copy()),
        ]
        return [part for one in bounds for part in range_conjuncts(one, check)]
    if type(node) not in _MIRRORED:
        return [node]
    left, right = _shifted(node.this), _shifted(node.expression)
    if left is None or right is None:
        return [node]
    if not {check(side[0]).type.name for side in (left, right)} <= {"TIMESTAMP", "TIMESTAMP_LTZ"}:
        return [node]
    made = [node]
    if right[1] and not left[1]:
        made.append(_solved(_MIRRORED[type(node)], right, left))
    elif left[1] and not right[1]:
        made.append(_solved(type(node), left, right))
    elif left[1] and right[1]:
        made += [_solved(type(node), left, right), _solved(_MIRRORED[type(node)], right, left)]
    return made


_Shifted = tuple[exp.Column, list[tuple[type[Tree], Tree]]]


def _shifted(node: Tree) -> _Shifted | None:
    """A column plus and minus intervals of fixed length; None for anything else."""
    node = node.unnest()
    if isinstance(node, exp.Column):
        return node, []
    if not isinstance(node, exp.Add | exp.Sub):
        return None
    inner, interval = _shifted(node.this), node.expression.unnest()
    unit = interval.args.get("unit") if isinstance(interval, exp.Interval) else None
    if inner is None or not isinstance(unit, exp.Var) or unit.name.upper().removesuffix("S") not in _FIXED:
        return None
    return inner[0], [*inner[1], (type(node), interval)]


def _solved(comparison: type[Tree], subject: _Shifted, other: _Shifted) -> Tree:
    """``subject's column <comparison> other - subject's intervals``."""
    text: Tree = other[0].copy()
    for kind, interval in [*other[1], *((_INVERSE[kind], interval) for kind, interval in subject[1])]:
        text = kind(this=text, expression=interval.copy())
    return comparison(this=subject[0].copy(), expression=text)
