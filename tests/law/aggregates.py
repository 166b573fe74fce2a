"""Aggregate functions that random queries use, with what they give and what DuckDB calls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from springline.core.types import BIGINT, DOUBLE, STRING, SqlType, array, decimal
from tests.law.choices import Choices, chance, pick
from tests.law.domains import duck_type
from tests.law.expressions import Expressions, is_ordered
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


def _variance_type(kind: SqlType) -> SqlType:
    return decimal(18, max(kind.scale or 0, 6)) if kind.is_scaled else _average_type(kind)


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


def _of_distinct(make: Callable[[SqlType], str]) -> Callable[[SqlType], str]:
    return lambda kind: make(kind).replace("({0})", "(DISTINCT {0})")


def _double(_: SqlType) -> SqlType:
    return DOUBLE


def _doubles(_: SqlType) -> SqlType:
    return array(DOUBLE)


def _text(_: SqlType) -> SqlType:
    return STRING


def _list(kind: SqlType) -> SqlType:
    return array(kind)


_PROBE: Final = "SELECT {0} AS x FROM t"
_ORDER: Final = "DuckDB has another order of rows in aggregates"
_ROUNDS: Final = "DuckDB's variances are doubles, of types that are not ours"
_FREQUENCY: Final = "DuckDB's quantiles have no frequencies"

AGGREGATES: Final[list[Aggregate]] = [
    Aggregate("COUNT(*){1}", "any", _count),
    Aggregate("COUNT({0}){1}", "any", _count),
    Aggregate("SUM({0}){1}", "number", _sum_type, _sum),
    Aggregate("MIN({0}){1}", "ordered", _itself),
    Aggregate("MAX({0}){1}", "ordered", _itself),
    Aggregate("AVG({0}){1}", "number", _average_type, _average),
    Aggregate("COUNT(DISTINCT {0}){1}", "any", _count),
    Aggregate(
        "SUM(DISTINCT {0}){1}",
        "number",
        _sum_type,
        _of_distinct(_sum),
        probe=_PROBE.format("SUM(DISTINCT n)"),
    ),
    Aggregate(
        "AVG(DISTINCT {0}){1}",
        "number",
        _average_type,
        _of_distinct(_average),
        probe=_PROBE.format("AVG(DISTINCT n)"),
    ),
    *(
        Aggregate(
            f"{name}({{0}}){{1}}",
            "number",
            _variance_type,
            f"{duck}({{0}}){{1}}",
            _ROUNDS,
            _PROBE.format(f"{name}(b)"),
        )
        for name, duck in {
            "STDDEV_POP": "stddev_pop",
            "STDDEV_SAMP": "stddev_samp",
            "STDDEV": "stddev_samp",
            "VAR_POP": "var_pop",
            "VAR_SAMP": "var_samp",
            "VARIANCE": "var_samp",
        }.items()
    ),
    Aggregate(
        "PERCENTILE({0}, 0.5){1}",
        "number",
        _double,
        "quantile_cont(CAST({0} AS DOUBLE), 0.5){1}",
        probe=_PROBE.format("PERCENTILE(n, 0.5)"),
    ),
    Aggregate(
        "PERCENTILE({0}, ARRAY[0.0, 0.25]){1}",
        "number",
        _doubles,
        "quantile_cont(CAST({0} AS DOUBLE), [0.0, 0.25]){1}",
        probe=_PROBE.format("PERCENTILE(n, ARRAY[0.5])"),
    ),
    Aggregate(
        "PERCENTILE({0}, 0.5, 2){1}",
        "number",
        _double,
        "quantile_cont(CAST({0} AS DOUBLE), 0.5){1}",
        _FREQUENCY,
        _PROBE.format("PERCENTILE(n, 0.5, n)"),
    ),
    Aggregate(
        "LISTAGG({0}){1}", "text", _text, "string_agg({0}, ','){1}", _ORDER, _PROBE.format("LISTAGG(g)")
    ),
    Aggregate(
        "LISTAGG({0}, '-') WITHIN GROUP (ORDER BY {0}){1}",
        "text",
        _text,
        "string_agg({0}, '-' ORDER BY {0}){1}",
        probe=_PROBE.format("LISTAGG(g, '-') WITHIN GROUP (ORDER BY g)"),
    ),
    Aggregate(
        "LISTAGG(DISTINCT {0}, '-'){1}",
        "text",
        _text,
        "string_agg(DISTINCT {0}, '-' ORDER BY {0}){1}",
        probe=_PROBE.format("LISTAGG(DISTINCT g, '-')"),
    ),
    Aggregate("ARRAY_AGG({0}){1}", "any", _list, "array_agg({0}){1}", _ORDER, _PROBE.format("ARRAY_AGG(g)")),
    Aggregate(
        "ARRAY_AGG({0} ORDER BY {0} DESC){1}",
        "ordered",
        _list,
        "array_agg({0} ORDER BY {0} DESC NULLS LAST){1}",
        probe=_PROBE.format("ARRAY_AGG(g ORDER BY g DESC)"),
    ),
    Aggregate(
        "ARRAY_AGG(DISTINCT {0}){1}",
        "any",
        _list,
        "array_agg(DISTINCT {0}){1}",
        _ORDER,
        _PROBE.format("ARRAY_AGG(DISTINCT g)"),
    ),
    Aggregate(
        "COLLECT({0}){1}",
        "ordered",
        _list,
        "list_sort(array_agg({0}) FILTER ({0} IS NOT NULL))",
        _ORDER,
        _PROBE.format("COLLECT(g)"),
    ),
    Aggregate(
        "COLLECT(DISTINCT {0}){1}",
        "ordered",
        _list,
        "array_agg({0})",
        _ORDER,
        _PROBE.format("COLLECT(DISTINCT g)"),
    ),
    Aggregate(
        "FIRST_VALUE({0}){1}", "any", _itself, "first({0}){1}", _ORDER, _PROBE.format("FIRST_VALUE(g)")
    ),
    Aggregate("LAST_VALUE({0}){1}", "any", _itself, "last({0}){1}", _ORDER, _PROBE.format("LAST_VALUE(g)")),
    Aggregate(
        "FIRST_VALUE({0} ORDER BY {0} DESC){1}",
        "ordered",
        _itself,
        "max({0}){1}",
        probe=_PROBE.format("FIRST_VALUE(g ORDER BY g DESC)"),
    ),
    Aggregate(
        "JSON_ARRAYAGG({0}){1}",
        "text",
        _text,
        "json_group_array({0}){1}",
        _ORDER,
        _PROBE.format("JSON_ARRAYAGG(g)"),
    ),
    Aggregate(
        "JSON_ARRAYAGG({0} NULL ON NULL){1}",
        "text",
        _text,
        "json_group_array({0}){1}",
        _ORDER,
        _PROBE.format("JSON_ARRAYAGG(g NULL ON NULL)"),
    ),
    Aggregate(
        "JSON_OBJECTAGG(KEY 'k' VALUE {0}){1}",
        "text",
        _text,
        "json_group_object('k', {0}){1}",
        _ORDER,
        _PROBE.format("JSON_OBJECTAGG(KEY 'k' VALUE g)"),
    ),
]


def usable() -> list[Aggregate]:
    return [one for one in AGGREGATES if not one.probe or compiles(one.probe)]


class Aggregates:
    """Writes aggregate calls over some rows."""

    def __init__(self, choices: Choices, rows: Expressions) -> None:
        self.choices, self.rows = choices, rows
        found = [one for one in usable() if not (rows.peer and one.why)]
        self._usable = [one for one in found if not one.probe] * 3 + found

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
        if takes == "text":
            return self.rows.of(STRING, 1)
        if takes == "ordered":
            found = self.rows.any(1)
            return found if is_ordered(found.type) else self.rows.numeric()
        return self.rows.any(1)
