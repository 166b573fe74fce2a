"""Random expressions, directed by the type that is wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from springline.core.types import BOOLEAN, SqlType
from tests.law.choices import Choices, chance, pick
from tests.law.domains import LITERALS, PRICE, RATE, WIDE, literal, null
from tests.law.features import problem
from tests.law.form import Form
from tests.law.functions import COMPARED, FORMS, NULL_TESTS, OF_ANY, OF_ORDERED, UNORDERED
from tests.law.pieces import Expr, both, pair, same

BY_TYPE: Final[dict[SqlType, list[Form]]] = defaultdict(list)
for _form in FORMS:
    BY_TYPE[_form.gives].append(_form)

MADE: Final[tuple[SqlType, ...]] = tuple(BY_TYPE)
"""Types that have forms of their own; an expression can be of any of these."""


@lru_cache(maxsize=256)
def _usable(type_: SqlType, peer: bool) -> tuple[Form, ...]:
    every = [one for one in BY_TYPE[type_] if not problem(one)]
    return tuple(one for one in every if not peer or (one.duck is not None and not one.risky))


def is_ordered(type_: SqlType) -> bool:
    return type_ not in UNORDERED and type_.element is None


class Expressions:
    """Writes expressions over some columns. ``peer`` keeps to what DuckDB can check and what cannot fail."""

    def __init__(self, choices: Choices, columns: Iterable[Expr], *, peer: bool) -> None:
        self.choices = choices
        self.columns = list(columns)
        self.peer = peer
        self._by_type: dict[SqlType, list[Expr]] = defaultdict(list)
        for column in self.columns:
            self._by_type[column.type].append(column)

    def any(self, depth: int = 2) -> Expr:
        """A value of some type: a column half of the time."""
        if depth == 0 or chance(self.choices, 2) is False:
            return pick(self.choices, self.columns)
        if chance(self.choices, 2):
            return self.of(pick(self.choices, self.columns).type, depth)
        return self.of(pick(self.choices, MADE), depth)

    def of(self, type_: SqlType, depth: int = 2) -> Expr:
        """A value of this type."""
        if depth <= 0:
            return self.leaf(type_)
        forms = BY_TYPE.get(type_, ())
        ways = [self.leaf, self._kept]
        if forms:
            ways += [self._formed, self._formed, self._formed]
        if type_ == BOOLEAN:
            ways += [self._compared, self._compared]
        way = pick(self.choices, ways)
        return way(type_) if way == self.leaf else way(type_, depth)

    def condition(self, depth: int = 1) -> Expr:
        """A condition of WHERE, HAVING, FILTER or ON."""
        if chance(self.choices, 3):
            return self.of(BOOLEAN, depth + 1)
        return self._compared(BOOLEAN, depth)

    def leaf(self, type_: SqlType) -> Expr:
        """A column, a constant, or NULL."""
        columns = self._by_type.get(type_, [])
        if columns and not (type_ in LITERALS and chance(self.choices, 4)):
            return pick(self.choices, columns)
        if not columns and type_ in (WIDE,):
            return Expr(same("NULL"), type_)
        if type_ in LITERALS and not chance(self.choices, 6):
            return literal(type_, self.choices.below(len(LITERALS[type_])))
        return null(type_)

    def _formed(self, type_: SqlType, depth: int) -> Expr:
        forms = _usable(type_, self.peer)
        return self.formed(pick(self.choices, forms), depth) if forms else self.leaf(type_)

    def formed(self, form: Form, depth: int) -> Expr:
        """This form over random arguments."""
        parts = [
            same(pick(self.choices, one)) if isinstance(one, tuple) else self.of(one, depth - 1).piece
            for one in form.takes
        ]
        duck = form.flink if form.duck == "=" else form.duck
        return Expr(pair(form.flink, duck, *parts, lost=form.why), form.gives)

    def _kept(self, type_: SqlType, depth: int) -> Expr:
        """A form that keeps the type: COALESCE, CASE, GREATEST …"""
        templates: Sequence[tuple[str, str]] = [*OF_ANY, *OF_ORDERED] if is_ordered(type_) else OF_ANY
        flink, duck = pick(self.choices, templates)
        one, other = self.of(type_, depth - 1), self.of(type_, depth - 1)
        condition = self._compared(BOOLEAN, depth - 1) if "{2}" in flink else one
        made = pair(flink, flink if duck == "=" else duck, one.piece, other.piece, condition.piece)
        return Expr(made, type_)

    def _compared(self, _: SqlType, depth: int) -> Expr:
        column = pick(self.choices, self.columns)
        flink, duck = pick(self.choices, COMPARED if column.type.element is None else NULL_TESTS)
        others = [self.of(column.type, depth - 1) for index in (1, 2) if f"{{{index}}}" in flink]
        one = self.of(column.type, depth - 1) if chance(self.choices, 4) else column
        parts = [one.piece, *(other.piece for other in others)]
        return Expr(pair(flink, flink if duck == "=" else duck, *parts), BOOLEAN)

    def numeric(self) -> Expr:
        """A number, for SUM and AVG."""
        kinds = [one for one in self.columns if one.type.is_numeric]
        if kinds and not chance(self.choices, 4):
            return pick(self.choices, kinds)
        return self.of(pick(self.choices, (PRICE, *(one.type for one in kinds), RATE)), 1)

    def equality(self, others: Sequence[Expr]) -> Expr:
        """One of these columns equal to one of ``others``: of the same type if there are some."""
        pairs = [(one, two) for one in self.columns for two in others if one.type == two.type]
        if not pairs:
            return Expr(same("1 = 1"), BOOLEAN)
        one, two = pick(self.choices, pairs[:12])
        template = "{0} IS NOT DISTINCT FROM {1}" if chance(self.choices, 6) else "{0} = {1}"
        return Expr(both(template, one.piece, two.piece), BOOLEAN)
