"""When evaluating an expression fails.

Flink fails the job where an expression overflows, divides by zero or cannot cast; a view goes on without the row and says so. Every
:class:`~springline.sql.typed.Typed` carries guards, conditions that hold where its evaluation does not fail. They are composed
here as Flink evaluates operands: CASE, IF, AND and OR do not evaluate what they do not need. ``guarded.py`` puts them
among the conditions of a query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from springline.core.types import BOOLEAN
from springline.sql.typed import Guard, Typed


def has_value(text: str, operands: Sequence[Typed], reason: str) -> Guard:
    """Of a function that is NULL where an operand is NULL or where it fails: that it did not fail."""
    missing = "".join(f" OR {one.sql} IS NULL" for one in operands if one.nullable)
    return Guard(f"({text} IS NOT NULL{missing})", reason, _refs(operands))


def in_turn(operands: Sequence[Typed], *, stop: str) -> tuple[Guard, ...]:
    """The failures of AND (``stop`` is 0) and OR (1): operands are evaluated from the left until one decides."""
    made: list[Guard] = []
    for index, operand in enumerate(operands):
        before = operands[:index]
        branches = "".join(f"WHEN {one.sql} IS {stop} THEN 1 " for one in before)
        made += [unless(branches, guard, before) for guard in operand.failures]
    return tuple(dict.fromkeys(made))


def of_branches(conditions: Sequence[Typed], results: Sequence[Typed]) -> tuple[Guard, ...]:
    """The failures of CASE: a result is evaluated only where its condition holds and none before it did. ``results`` has one
    more entry than ``conditions``, that of ELSE."""
    made: list[Guard] = []
    for index, condition in enumerate(conditions):
        before, until = conditions[:index], conditions[: index + 1]
        branches = "".join(f"WHEN {one.sql} THEN 1 " for one in before)
        made += [unless(branches, guard, before) for guard in condition.failures]
        for guard in results[index].failures:
            sql = f"(CASE {branches}WHEN {condition.sql} THEN {guard.sql} ELSE 1 END)"
            made.append(Guard(sql, guard.reason, guard.refs | _refs(until)))
    branches = "".join(f"WHEN {one.sql} THEN 1 " for one in conditions)
    made += [unless(branches, guard, conditions) for guard in results[-1].failures]
    return tuple(dict.fromkeys(made))


def of_coalesce(operands: Sequence[Typed]) -> tuple[Guard, ...]:
    """The failures of COALESCE: an operand is evaluated only where those before it are NULL."""
    made: list[Guard] = []
    for index, operand in enumerate(operands):
        before = operands[:index]
        branches = "".join(f"WHEN {one.sql} IS NOT NULL THEN 1 " for one in before)
        made += [unless(branches, guard, before) for guard in operand.failures]
    return tuple(dict.fromkeys(made))


def of_argument(argument: Typed | None, condition: Typed | None) -> tuple[Guard, ...]:
    """The failures of an aggregate's argument, which is evaluated only where its FILTER holds."""
    value = argument or Typed("1", BOOLEAN, False)
    if condition is None:
        return value.failures
    return of_branches([condition], [value, Typed("NULL", BOOLEAN)])


def unless(branches: str, guard: Guard, before: Sequence[Typed]) -> Guard:
    """A guard that holds anyway where one of the branches over ``before`` is taken."""
    if not before:
        return guard
    return Guard(f"(CASE {branches}ELSE {guard.sql} END)", guard.reason, guard.refs | _refs(before))


def _refs(parts: Iterable[Typed]) -> frozenset[str]:
    return frozenset[str]().union(*(one.refs for one in parts))
