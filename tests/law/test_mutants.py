"""Each of these mistakes must break the law, or the law proves nothing.

A mutant changes what a view compiles to: steps are dropped by what they say they are for, or their SQL is changed. Two change the order
of a tick instead. The law is then tried on a fixed sequence of cases until it fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import apsw
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from springline.sql import compile_view
from springline.sql.program import Step, ViewProgram
from springline.testing import sql_harness
from springline.testing.sql_harness import SqlHarness
from tests.law import test_windows
from tests.law.cases import made_case
from tests.law.check import assert_views_equal_batch, build, net
from tests.law.choices import Seeded

MOST_CASES: Final = 900

Change = Callable[[Step], Step | None]
"""What becomes of a step; None if it is forgotten."""


def try_the_law() -> None:
    """The law, on a fixed sequence of cases."""
    for seed in range(MOST_CASES):
        case = made_case(Seeded(seed), most_views=2)
        harness = build(case)
        for start in range(0, len(case.changes), 3):
            harness.tick(net(case.changes[start : start + 3]))
            assert_views_equal_batch(harness)


def try_the_law_of_windows() -> None:
    """The law of windows that close, in a fixed order of examples."""
    inner = test_windows.test_closing_windows_are_the_models.hypothesis.inner_test  # pyright: ignore[reportFunctionMemberAccess]
    settled = settings(
        max_examples=MOST_CASES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    arguments = test_windows.test_closing_windows_are_the_models.hypothesis._given_kwargs
    settled(given(**arguments)(inner))()


def every_step(change: Change) -> Callable[[ViewProgram], ViewProgram]:
    """A mutant that changes the steps of a tick."""

    def changed(steps: Iterable[Step]) -> tuple[Step, ...]:
        return tuple(one for step in steps if (one := change(step)) is not None)

    def mutated(program: ViewProgram) -> ViewProgram:
        moments = {relation: changed(steps) for relation, steps in program.on_input.items()}
        return replace(
            program, on_input=moments, finish=changed(program.finish), close=changed(program.close)
        )

    return mutated


def forgotten(why: str) -> Callable[[ViewProgram], ViewProgram]:
    """Steps that say this of themselves do not run."""
    return every_step(lambda step: None if re.search(why, step.why) else step)


def written(old: str, new: str) -> Callable[[ViewProgram], ViewProgram]:
    """The SQL of steps has another text instead of one that matches."""
    return every_step(lambda step: replace(step, sql=re.sub(old, new, step.sql)))


def without_the_last_term_of_a_self_join(program: ViewProgram) -> ViewProgram:
    """Of a table that occurs several times, one occurrence's changes are forgotten."""

    def terms(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        targets = [step.sql.split(" SELECT ")[0] for step in steps]
        last = max((i for i, one in enumerate(targets) if targets.count(one) > 1), default=None)
        return tuple(step for i, step in enumerate(steps) if i != last)

    return replace(program, on_input={name: terms(steps) for name, steps in program.on_input.items()})


def without_one_input(program: ViewProgram) -> ViewProgram:
    """Of several inputs, the last one's changes are not read."""
    if len(program.inputs) < 2:
        return program
    return replace(program, on_input={**program.on_input, program.inputs[-1]: ()})


PROGRAMS: Final[dict[str, Callable[[ViewProgram], ViewProgram]]] = {
    "retractions of tables dropped": written(r'FROM (temp\."d:s\.\w"|temp\."d:v\d") AS (\w+)', r"FROM (SELECT * FROM \1 WHERE _w > 0) AS \2"),
    "retractions counted as insertions": written(r"\b(\w+)\._w AS _w\b", r"abs(\1._w) AS _w"),
    "a term of a self-join forgotten": without_the_last_term_of_a_self_join,
    "one input forgotten": without_one_input,
    "MIN and MAX never fall back": forgotten("^forget values without rows"),
    "DISTINCT counts a value each time it comes": written(r"ifnull\(v\.n, 0\) \+ c\.n > 0", "c.n > 0"),
    "old groups left in place": forgotten("^groups that went"),
    "empty groups kept": written(r"WHERE s\.n > 0", "WHERE s.n >= 0"),
    "groups not moved on": forgotten("^add the changes to the groups"),
    "NULLs counted": written(r"CASE WHEN a\d+ IS NOT NULL THEN _w ELSE 0 END", "_w"),
    "the lower half of sums lost": written(r"& 4294967295\)\)", "& 1))"),
    "changes not netted": written(r"HAVING sum\(_w\) <> 0", "HAVING sum(_w) > 0"),
    "intermediates keep rows that went": forgotten("^remove changed rows"),
    "intermediates miss rows that came": forgotten("^add changed rows"),
    "outer joins not touched": forgotten("^rows that a change of .* touches"),
    "partitions not ranked again": forgotten("^the touched partitions as they are now"),
}  # fmt: skip

WINDOWS: Final[dict[str, Callable[[ViewProgram], ViewProgram]]] = {
    "a late row lost": forgotten("late"),
    "windows never close": every_step(lambda step: None if "clos" in step.why else step),
}


def mutate(monkeypatch: pytest.MonkeyPatch, mutant: Callable[[ViewProgram], ViewProgram]) -> list[bool]:
    """From here on views compile to the mutant's programs; the list says of each whether it is another."""
    changed: list[bool] = []

    def compiled(*given: Any, **named: Any) -> ViewProgram:
        program = compile_view(*given, **named)
        made = mutant(program)
        changed.append(made != program)
        return made

    monkeypatch.setattr(sql_harness, "compile_view", compiled)
    return changed


def test_without_a_mistake_the_law_holds() -> None:
    try_the_law()


@pytest.mark.parametrize("mutant", PROGRAMS)
def test_the_law_catches(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = mutate(monkeypatch, PROGRAMS[mutant])
    with pytest.raises((AssertionError, apsw.ConstraintError)):
        try_the_law()
    assert any(changed), "the mutant changed nothing"


@pytest.mark.parametrize("mutant", WINDOWS)
def test_the_law_of_windows_catches(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = mutate(monkeypatch, WINDOWS[mutant])
    with pytest.raises((AssertionError, apsw.ConstraintError)):
        try_the_law_of_windows()
    assert any(changed), "the mutant changed nothing"


def test_the_law_catches_tables_that_are_new_before_their_changes_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The wrong order of a tick: a changed table already holds its new rows when the others are joined with its changes."""
    turn, apply = SqlHarness._turn, SqlHarness._apply_table
    waiting: list[tuple[SqlHarness, str, set[str]]] = []

    def late(self: SqlHarness, name: str, active: set[str]) -> list[Any]:
        if name in self.views:
            return turn(self, name, active)
        waiting.append((self, name, active))
        return []

    def early(self: SqlHarness, schema: Any, changed: Any) -> None:
        apply(self, schema, changed)
        turn(*waiting.pop())

    monkeypatch.setattr(SqlHarness, "_turn", late)
    monkeypatch.setattr(SqlHarness, "_apply_table", early)
    with pytest.raises((AssertionError, apsw.ConstraintError)):
        try_the_law()


def test_the_law_catches_a_change_lost_where_ticks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last change of a table in a tick comes to the table, and not to the views."""
    turn = SqlHarness._turn

    def short(self: SqlHarness, name: str, active: set[str]) -> list[Any]:
        if name not in self.views:
            delta = f'temp."d:{name}"'
            self.connection.execute(f"DELETE FROM {delta} WHERE rowid = (SELECT max(rowid) FROM {delta})")
        return turn(self, name, active)

    monkeypatch.setattr(SqlHarness, "_turn", short)
    with pytest.raises((AssertionError, apsw.ConstraintError)):
        try_the_law()
