"""FROM items that are made of the row beside them: ``UNNEST(array)`` and ``LATERAL TABLE(function(…))``.

Both are SQLite's ``json_each`` over a JSON list that an expression of the row gives. What a row is unpacked to depends on that row
alone, so a change of it is a change of the rows it gives. A LEFT JOIN keeps a row whose list is empty: its list is then one NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from springline.core.schema import Column, TableSchema
from springline.core.types import INT, SqlType
from springline.sql.check import Checker
from springline.sql.dialect import Tree
from springline.sql.guarded import of_row
from springline.sql.rows import Occurrence, Rows
from springline.sql.scope import Item
from springline.sql.typed import Typed, describe, literal_text
from springline.sql.user_functions import table_call

_AS_THEY_ARE: Final = frozenset({"SMALLINT", "INT", "BIGINT", "STRING", "BOOLEAN", "DOUBLE", "FLOAT"})
"""Types whose values stand in an array's JSON as they are stored."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """One such FROM item. ``guards`` are the conditions under which its list can be computed."""

    source: str
    occurrence: Occurrence
    item: Item
    guards: tuple[Typed, ...]


def is_lateral(node: Tree) -> bool:
    return isinstance(node, exp.Unnest | exp.Lateral)


def unpacked(checker: Checker, join: exp.Join, alias: str) -> Unpacked:
    """Checks UNNEST or LATERAL TABLE behind JOIN. ``alias`` is free, for its rows. Raises SqlError."""
    node = join.this
    where = checker.where
    side, condition = join.side.upper(), join.args.get("on")
    if side not in ("", "LEFT") or join.args.get("using"):
        raise where.error(
            node,
            f"{side} JOIN of {where.quote(node)} is not supported.",
            "Use CROSS JOIN or LEFT JOIN … ON TRUE.",
        )
    is_true = isinstance(condition, exp.Boolean) and bool(condition.this)
    if condition is not None and not is_true:
        raise where.error(condition, "What is unpacked from a row is joined ON TRUE.", "Filter it in WHERE.")
    given = node.args.get("alias")
    names = [one.name for one in given.columns] if given is not None else []
    if given is None or not given.name:
        raise where.error(node, f"{where.quote(node)} needs a name.", "UNNEST(tags) AS t(tag).")
    left = side == "LEFT"
    is_unnest = isinstance(node, exp.Unnest)
    listed, columns = _elements(checker, node, alias, names) if is_unnest else _rows(checker, node, names)
    text = listed.sql
    some = f"json_array_length({text}) > 0"
    if left:
        text = f"CASE WHEN {some} THEN {text} ELSE '[null]' END"
    shown = {name: _over(typed, alias, listed) for name, typed in columns}
    if is_unnest and (place := node.args.get("offset")):
        number = Typed(f"({alias}.key + 1)", INT, left, frozenset({alias}), (alias, "key"))
        if left:
            number = Typed(
                f"CASE WHEN {some} THEN {number.raw} END", INT, True, listed.refs | {alias}, (alias, "key")
            )
        shown[place.name] = number
    schema = TableSchema("", (Column("key", INT, nullable=False), Column("value", INT)), ("key",))
    source = f"json_each({text})"
    occurrence = Occurrence(alias, schema, computed=source, beside=listed.refs)
    return Unpacked(f"{source} AS {alias}", occurrence, Item((given.name,), shown), tuple(of_row([listed])))


def _over(typed: Typed, alias: str, listed: Typed) -> Typed:
    """A column over one element, ``value``."""
    raw = typed.raw.replace("json_extract(value,", f"json_extract({alias}.value,")
    return Typed(raw, typed.type, True, listed.refs | {alias})


def _elements(
    checker: Checker, node: exp.Unnest, alias: str, names: Sequence[str]
) -> tuple[Typed, list[tuple[str, Typed]]]:
    where = checker.where
    if len(node.expressions) != 1:
        raise where.error(node, "UNNEST takes one array.", "CROSS JOIN UNNEST(tags) AS t(tag).")
    listed = checker.check(node.expressions[0])
    kind = listed.type.element
    if kind is None:
        raise where.error(node, f"UNNEST wants an ARRAY, not {describe(listed.type)}.", "ARRAY[1, 2] is one.")
    if len(names) != 1:
        raise where.error(node, "The elements of UNNEST need a name.", "UNNEST(tags) AS t(tag).")
    return listed, [(names[0], Typed(_element(kind, listed, alias), kind, True))]


def _element(kind: SqlType, listed: Typed, alias: str) -> str:
    if kind.name in _AS_THEY_ARE:
        return f"{alias}.value"
    return f"sl_array_at({literal_text(str(kind))}, {listed.sql}, {alias}.key + 1)"


def _rows(checker: Checker, node: exp.Lateral, names: Sequence[str]) -> tuple[Typed, list[tuple[str, Typed]]]:
    where = checker.where
    called = node.this
    inner = called.expressions[0] if isinstance(called, exp.Anonymous) and called.expressions else None
    if (
        not isinstance(called, exp.Anonymous)
        or called.name.upper() != "TABLE"
        or not isinstance(inner, exp.Anonymous)
    ):
        raise where.error(
            node, f"{where.quote(node)} cannot stand in FROM.", "LATERAL TABLE(some_function(x)) AS t(a, b)."
        )
    functions = where.functions
    known = {} if functions is None else functions.tables
    if inner.name.upper() not in known:
        listed = ", ".join(sorted(one.name for one in known.values())) or "none yet (app.table_function)"
        raise where.error(inner, f"There is no table function {inner.name}.", f"Table functions: {listed}.")
    operands = [checker.check(one) for one in inner.expressions]
    rows, columns = table_call(where, inner, known[inner.name.upper()], operands)
    if names and len(names) != len(columns):
        raise where.error(node, f"{len(columns)} columns are called by {len(names)} names.")
    return rows, [(names[place] if names else name, typed) for place, (name, typed) in enumerate(columns)]


def beside(rows: Rows, made: Unpacked) -> None:
    """Adds what is unpacked to the rows of a FROM."""
    rows.occurrences.append(made.occurrence)
    rows.filters.extend(made.guards)
