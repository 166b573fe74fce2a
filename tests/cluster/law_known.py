"""What is known to be different on Flink, seen from a query and its tables: keys of ``gaps.DIFFERENT``, each with its condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.core.schema import TableSchema
from springline.runtime.embedded.changing import ViewDefinition, compile_all
from springline.runtime.flink.reading import Reading, read
from springline.sql.aggregate_calls import is_aggregate
from springline.sql.compile import compile_view
from springline.testing.sql_harness import SqlHarness
from tests.cluster.law_report import Difference
from tests.law.check import net

_ADDED: Final = frozenset(
    {"SUM", "AVG", "STDDEV", "STDDEV_POP", "STDDEV_SAMP", "VARIANCE", "VAR_POP", "VAR_SAMP"}
)
_PARTS: Final = frozenset(
    "YEAR QUARTER MONTH WEEK DAYOFYEAR DAYOFMONTH DAYOFWEEK HOUR MINUTE SECOND EXTRACT FLOOR CEIL TIMESTAMPDIFF".split()
)


def known(found: Difference) -> str | None:
    """The documented difference that a query shows, None where there is none: then it is a mistake."""
    readings = list(_readings(found))
    return next((reason for reason, applies in _APPLY.items() if applies(found, readings)), None)


def _readings(found: Difference) -> Iterator[Reading]:
    tables = {one.name: one for one in found.case.case.tables}
    definitions = [ViewDefinition(*one) for one in found.needed]
    programs = compile_all(
        definitions, tables, lambda view, seen: compile_view(view.name, view.text, seen)
    ).programs
    schemas: dict[str, TableSchema] = {**tables, **{name: one.schema for name, one in programs.items()}}
    for name, text in found.needed:
        yield read(text, {one: schema for one, schema in schemas.items() if one != name}, None)


def _type(reading: Reading, node: Tree) -> str:
    for expressions in (reading.rows, reading.groups):
        if (typed := expressions.get(node)) is not None:
            return typed.type.name
    return ""


def _sums(reading: Reading) -> Iterator[str]:
    """The types that are summed."""
    for node in reading.tree.walk():
        if is_aggregate(node) and node.name.upper() in _ADDED and node.expressions:
            one = node.expressions[0]
            yield _type(reading, one.expressions[0] if isinstance(one, exp.Distinct) else one)


def _adds_doubles(_: Difference, readings: list[Reading]) -> bool:
    return any(kind in ("DOUBLE", "FLOAT") for one in readings for kind in _sums(one))


def _left_out_group(found: Difference, readings: list[Reading]) -> bool:
    """Something is summed that is no double, and the embedded runtime has left out a group because its sum is beyond its type."""
    if not any(kind not in ("DOUBLE", "FLOAT") for one in readings for kind in _sums(one)):
        return False
    harness = SqlHarness(found.case.case.tables)
    for name, text in found.needed:
        harness.add_view(name, text)
    reasons: set[str] = set()
    for tick in found.case.ticks[: found.tick + 1]:
        harness.tick(net(tick))
        reasons |= {letter[2] for name, _ in found.needed for letter in harness.dead_letters(name)}
    return any(
        "SUM" in reason or "VAR" in reason or "STDDEV" in reason or "AVG" in reason for reason in reasons
    )


def _of_nothing(found: Difference, readings: list[Reading]) -> bool:
    """A query without GROUP BY aggregates, and its row is missing on Flink as long as nothing has come to it."""
    return any(_aggregates_all(node) for one in readings for node in one.tree.walk()) and len(
        found.flink
    ) <= len(found.embedded)


def _aggregates_all(node: Tree) -> bool:
    if not isinstance(node, exp.Select) or node.args.get("group") is not None:
        return False
    return any(
        is_aggregate(each) and not isinstance(each.parent, exp.Window)
        for shown in node.expressions
        for each in shown.walk(prune=lambda part: isinstance(part, exp.Query))
    )


def _before_1970(found: Difference, readings: list[Reading]) -> bool:
    """Parts of a moment are taken, and there is one before 1970 among the changes or in the text."""
    parts = any(
        (node.name.upper() if isinstance(node, exp.Anonymous) else type(node).__name__.upper()) in _PARTS
        or (isinstance(node, exp.Cast) and node.args["to"].this.value in ("DATE", "TIME"))
        for one in readings
        for node in one.tree.walk()
    )
    texts = " ".join(text for _, text in found.needed)
    return parts and (
        "1969" in texts or "YEAR" in texts or any(_has_early(found, table) for table in found.read)
    )


def _has_early(found: Difference, table: TableSchema) -> bool:
    places = [place for place, one in enumerate(table.columns) if one.type.name.startswith("TIMESTAMP")]
    return any(
        row is not None and any(isinstance(row[place], int) and row[place] < 0 for place in places)
        for changes in found.case.ticks
        for name, old, new in changes
        for row in (old, new)
        if name == table.name
    )


_APPLY: Final[dict[str, Callable[[Difference, list[Reading]], bool]]] = {
    "sums and variances of doubles": _adds_doubles,
    "sums beyond their type": _left_out_group,
    "one row of nothing": _of_nothing,
    "moments before 1970": _before_1970,
}
