"""Each of these mistakes must break the law, or the law proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from springline.sql import aggregates, groups, maintain, rows
from springline.testing import sql_harness
from tests.law.cases import Case, cases
from tests.law.check import assert_views_equal_batch, build, net

Patch = Callable[[pytest.MonkeyPatch], None]


def _holds() -> None:
    """The law, in a fixed order of examples, without shrinking."""

    @settings(
        max_examples=400, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(cases())
    def law(case: Case) -> None:
        harness = build(case)
        for start in range(0, len(case.changes), 3):
            harness.tick(net(case.changes[start : start + 3]))
            assert_views_equal_batch(harness)

    law()


def _replace_in_steps(monkeypatch: pytest.MonkeyPatch, module: Any, old: str, new: str) -> None:
    """Every step that a module makes has one text replaced by another."""
    step = module.Step
    monkeypatch.setattr(module, "Step", lambda sql, why: step(sql.replace(old, new), why))


def self_join_without_its_third_term(monkeypatch: pytest.MonkeyPatch) -> None:
    def terms(these: rows.Rows, relation: str) -> list[rows.Term]:
        return [rows.join(these, [one.alias]) for one in these.occurrences if one.relation == relation]

    monkeypatch.setattr(maintain, "terms", terms)
    monkeypatch.setattr(groups, "terms", terms)


def weights_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    join = rows.join
    monkeypatch.setattr(rows, "join", lambda *given, **named: replace(join(*given, **named), weight="1"))


def only_the_first_weight_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    join = rows.join

    def mutant(*given: Any, **named: Any) -> rows.Term:
        term = join(*given, **named)
        return replace(term, weight=term.weight.split(" * ")[0])

    monkeypatch.setattr(rows, "join", mutant)


def tables_new_before_their_delta_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrong order of a tick: a changed table already holds its new rows when the others are joined with its delta."""
    turn = sql_harness.SqlHarness._turn
    waiting: list[Any] = []

    def late(self: Any, name: str, active: set[str]) -> Any:
        if name in self.views:
            return turn(self, name, active)
        waiting.append((self, name, active))
        return []

    apply = sql_harness.SqlHarness._apply_table

    def early(self: Any, schema: Any, changed: Any) -> None:
        apply(self, schema, changed)
        turn(*waiting.pop())

    monkeypatch.setattr(sql_harness.SqlHarness, "_turn", late)
    monkeypatch.setattr(sql_harness.SqlHarness, "_apply_table", early)


def retractions_of_minima_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_in_steps(monkeypatch, groups, "AND n = 0", "AND n < -99")


def old_groups_left_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    original = groups._Group._finish

    def finish(self: Any) -> None:
        original(self)
        self.parts.finish = [step for step in self.parts.finish if "as they were" not in step.why]

    monkeypatch.setattr(groups._Group, "_finish", finish)


def right_sides_never_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    touching = maintain._touching

    def mutant(these: rows.Rows, anchor: str, changed: str) -> rows.Term:
        term = touching(these, anchor, changed)
        left = these.occurrence(changed).kind == "left"
        return (
            replace(term, source=term.source + (" AND 0" if " WHERE " in term.source else " WHERE 0"))
            if left
            else term
        )

    monkeypatch.setattr(maintain, "_touching", mutant)


def nulls_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = aggregates.Slots._count
    monkeypatch.setattr(
        aggregates.Slots,
        "_count",
        lambda self, call, argument: "n" if call.filter is None else slots(self, call, argument),
    )


def lower_half_of_sums_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_in_steps(monkeypatch, groups, "& 4294967295)), 0)", "& 1)), 0)")


def changes_not_netted(monkeypatch: pytest.MonkeyPatch) -> None:
    _replace_in_steps(monkeypatch, maintain, "HAVING sum(_w) <> 0", "HAVING sum(_w) > 0")


MUTANTS: list[Patch] = [
    self_join_without_its_third_term,
    weights_ignored,
    only_the_first_weight_of_a_product,
    tables_new_before_their_delta_is_read,
    retractions_of_minima_forgotten,
    old_groups_left_in_place,
    right_sides_never_touch,
    nulls_counted,
    lower_half_of_sums_lost,
    changes_not_netted,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_law_catches(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        _holds()
    assert not isinstance(caught.value, TypeError | NameError | AttributeError), "the mutant itself is broken"
