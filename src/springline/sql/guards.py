"""Which rows a view leaves out because an expression fails on them, and where that is checked.

Flink fails the job where an expression overflows, divides by zero or cannot cast; a view goes on without the row and says so. Every
:class:`~springline.sql.typed.Typed` carries guards, conditions that hold where its evaluation does not fail. They are composed
here as Flink evaluates operands: CASE, IF, AND and OR do not evaluate what they do not need. The clauses of a SELECT then put
guards among their conditions, each before what it guards, so that the maintained view and its batch query leave out the
same rows; ``dead_letters.py`` lists those rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from springline.core.types import BOOLEAN
from springline.sql.typed import Guard, Typed, failures_of

Columns = list[tuple[str, Typed]]


# -- expressions -------------------------------------------------------------------------------------------------------


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
        made += [_unless(branches, guard, before) for guard in operand.failures]
    return tuple(dict.fromkeys(made))


def of_branches(conditions: Sequence[Typed], results: Sequence[Typed]) -> tuple[Guard, ...]:
    """The failures of CASE: a result is evaluated only where its condition holds and none before it did. ``results`` has one
    more entry than ``conditions``, that of ELSE."""
    made: list[Guard] = []
    for index, condition in enumerate(conditions):
        before, until = conditions[:index], conditions[: index + 1]
        branches = "".join(f"WHEN {one.sql} THEN 1 " for one in before)
        made += [_unless(branches, guard, before) for guard in condition.failures]
        for guard in results[index].failures:
            sql = f"(CASE {branches}WHEN {condition.sql} THEN {guard.sql} ELSE 1 END)"
            made.append(Guard(sql, guard.reason, guard.refs | _refs(until)))
    branches = "".join(f"WHEN {one.sql} THEN 1 " for one in conditions)
    made += [_unless(branches, guard, conditions) for guard in results[-1].failures]
    return tuple(dict.fromkeys(made))


def of_coalesce(operands: Sequence[Typed]) -> tuple[Guard, ...]:
    """The failures of COALESCE: an operand is evaluated only where those before it are NULL."""
    made: list[Guard] = []
    for index, operand in enumerate(operands):
        before = operands[:index]
        branches = "".join(f"WHEN {one.sql} IS NOT NULL THEN 1 " for one in before)
        made += [_unless(branches, guard, before) for guard in operand.failures]
    return tuple(dict.fromkeys(made))


def _unless(branches: str, guard: Guard, before: Sequence[Typed]) -> Guard:
    if not before:
        return guard
    return Guard(f"(CASE {branches}ELSE {guard.sql} END)", guard.reason, guard.refs | _refs(before))


def _refs(parts: Iterable[Typed]) -> frozenset[str]:
    return frozenset[str]().union(*(one.refs for one in parts))


# -- clauses -----------------------------------------------------------------------------------------------------------


def settled(typed: Typed) -> Typed:
    """An expression whose failures are conditions of their own: where it is evaluated, it does not fail."""
    return replace(typed, guards=(), unchecked=None)


def conditions(guards: Iterable[Guard]) -> list[Typed]:
    """Guards as conditions."""
    return [Typed(one.sql, BOOLEAN, False, one.refs, failure=one.reason) for one in guards]


def guarded(conjuncts: Iterable[Typed]) -> list[Typed]:
    """Conditions that AND joins, each after what must hold for it not to fail."""
    made: list[Typed] = []
    for one in conjuncts:
        made += [*conditions(one.failures), settled(one)]
    return made


def of_row(columns: Iterable[Typed]) -> list[Typed]:
    """What must hold for a row's expressions not to fail."""
    return conditions(failures_of(columns))


def settled_columns(columns: Columns) -> Columns:
    return [(name, settled(typed)) for name, typed in columns]


def of_left_join(conjuncts: Sequence[Typed], joined: frozenset[str]) -> tuple[list[Typed], list[Typed]]:
    """The condition of a LEFT JOIN whose right side has the aliases ``joined``, guarded: (what belongs to ON, what the preserved
    rows must obey). A preserved row on which the condition fails whatever it is joined to is left out; a pair on which it
    fails does not match."""
    on: list[Typed] = []
    preserved: list[Typed] = []
    before: list[Typed] = []
    for one in conjuncts:
        for guard in conditions(one.failures):
            if guard.refs & joined:
                on.append(guard)
                continue
            earlier = [part for part in before if not part.refs & joined]
            branches = "".join(f"WHEN {part.sql} IS 0 THEN 1 " for part in earlier)
            [typed] = conditions([_unless(branches, Guard(guard.raw, guard.failure, guard.refs), earlier)])
            preserved.append(typed)
        on.append(settled(one))
        before.append(one)
    return on, preserved
