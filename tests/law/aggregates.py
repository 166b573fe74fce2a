"""Aggregate functions that random queries use, with what they give and what DuckDB calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from springline.core.types import BIGINT, BOOLEAN, BYTES, DOUBLE, SqlType, decimal
from tests.law.choices import Choices, chance, pick
from tests.law.domains import duck_type
from tests.law.expressions import Expressions
from tests.law.features import compiles
from tests.law.pieces import Expr, Piece, pair, same


@dataclass(frozen=True, slots=True)
class Aggregate:
    """``takes`` is *any*, *number* or *ordered*. In the texts {0} is the argument, {1} its FILTER clause or nothing, {2} DuckDB's
    name of the result's type, {3} 10 to the power of the digits that AVG of a DECIMAL adds, {4} one unit of its last digit."""

    flink: str
    takes: str
    gives: Callable[[SqlType], SqlType]
    duck: Callable[[SqlType], str] | str = "="
    why: str = ""
    probe: str = ""
    """A view's text with it: it is generated only if that compiles."""


def _sum_type(kind: SqlType) -> SqlType:
    if kind.is_integer:
        return BIGINT
    if kind.name == "DECIMAL":
        return decimal(18, kind.scale or 0) if kind.is_scaled else kind
    return DOUBLE


def _average_type(kind: SqlType) -> SqlType:
    if kind.is_integer:
        return kind
    if not kind.is_scaled:
        return kind if kind.name == "DECIMAL" else DOUBLE
    digits, scale = (kind.precision or 0) - (kind.scale or 0), max(kind.scale or 0, 6)
    if digits + scale <= 18:
        return decimal(digits + scale, scale)
    return decimal(18, max(18 - digits, min(scale, 6)))


def _sum(kind: SqlType) -> str:
    return "sum({0}){1}" if kind.name in ("DOUBLE", "FLOAT") else "CAST(sum({0}){1} AS {2})"


def _average(kind: SqlType) -> str:
    if kind.is_integer:
        return "CAST(sum({0}){1} // count({0}){1} AS {2})"
    if kind.name == "DECIMAL":
        return (
            "CAST(CAST(half_up(unscaled(sum({0}){1}) * {3}, count({0}){1}) AS DECIMAL(38, 0)) * {4} AS {2})"
        )
    return "sum({0}){1} / count({0}){1}"


def _itself(kind: SqlType) -> SqlType:
    return kind


def _count(_: SqlType) -> SqlType:
    return BIGINT


AGGREGATES: Final[list[Aggregate]] = [
    Aggregate("COUNT(*){1}", "any", _count),
    Aggregate("COUNT({0}){1}", "any", _count),
    Aggregate("SUM({0}){1}", "number", _sum_type, _sum),
    Aggregate("MIN({0}){1}", "ordered", _itself),
    Aggregate("MAX({0}){1}", "ordered", _itself),
    Aggregate("AVG({0}){1}", "number", _average_type, _average),
    Aggregate("COUNT(DISTINCT {0}){1}", "any", _count),
]


def usable() -> list[Aggregate]:
    return [one for one in AGGREGATES if not one.probe or compiles(one.probe)]


class Aggregates:
    """Writes aggregate calls over some rows."""

    def __init__(self, choices: Choices, rows: Expressions) -> None:
        self.choices, self.rows = choices, rows
        self._usable = [one for one in usable() if not (rows.peer and one.why)]

    def any(self) -> Expr:
        one = pick(self.choices, self._usable)
        return self.call(one)

    def call(self, one: Aggregate) -> Expr:
        """This aggregate of a random argument, one in five with a FILTER."""
        argument = self.argument(one.takes)
        filtered = same("")
        if chance(self.choices, 5):
            filtered = pair(" FILTER (WHERE {0})", " FILTER (WHERE {0})", self.rows.condition().piece)
        gives = one.gives(argument.type)
        duck = one.duck if isinstance(one.duck, str) else one.duck(argument.type)
        shift = (gives.scale or 0) - (argument.type.scale or 0)
        parts: list[Piece] = [
            argument.piece,
            filtered,
            same(duck_type(gives) if gives.name != "NULL" else ""),
            same(f"{10 ** max(shift, 0)}::HUGEINT"),
            same("0." + "0" * ((gives.scale or 1) - 1) + "1" if gives.scale else "1"),
        ]
        return Expr(pair(one.flink, one.flink if duck == "=" else duck, *parts, lost=one.why), gives)

    def argument(self, takes: str) -> Expr:
        if takes == "number":
            return self.rows.numeric()
        if takes == "ordered":
            found = self.rows.any(1)
            return found if found.type not in (BOOLEAN, BYTES) else self.rows.numeric()
        return self.rows.any(1)
