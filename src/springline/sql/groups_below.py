"""A query over groups as a query of its own over a derived table of the groups.

Functions OVER windows, DISTINCT and subqueries are computed over rows. Where they stand in a query with GROUP BY, its groups and
aggregates become a derived table, and what is over them reads that.
"""

from __future__ import annotations

from typing import Final, cast

from sqlglot import exp

from springline.sql.aggregate_calls import is_aggregate
from springline.sql.check_calls import contains_aggregate
from springline.sql.dialect import Tree
from springline.sql.over import GROUPS, contains_window
from springline.sql.trees import derived_table, has_subquery, named

_QUERY: Final = exp.Query


def needs_groups_below(node: exp.Select) -> bool:
    """Whether a query with GROUP BY has something over its groups that is computed over rows."""
    having = node.args.get("having")
    grouped = (
        node.args.get("group") is not None
        or having is not None
        or any(map(contains_aggregate, node.expressions))
    )
    over = any(contains_window(one) or has_subquery(one) for one in node.expressions)
    return grouped and (
        over or bool(node.args.get("distinct")) or (having is not None and has_subquery(having))
    )


def over_groups(node: exp.Select) -> exp.Select:
    """``SELECT … FROM (SELECT keys, aggregates FROM … GROUP BY keys) WHERE …``."""
    inner = node.copy()
    inner.parent = None
    group = inner.args.get("group")
    lifted = _Lifted([] if group is None else [one.unnest() for one in group.expressions])
    outer = exp.select(*(_output(lifted, one) for one in inner.expressions))
    outer.set("distinct", inner.args.get("distinct"))
    having = inner.args.get("having")
    if having is not None and has_subquery(having):
        outer = outer.where(lifted.of(having.this), copy=False)
        inner.set("having", None)
    for name in ("distinct", "with_"):
        inner.set(name, None)
    keys = [named(one, f"_g{index}") for index, one in enumerate(lifted.keys)]
    aggregates = [named(one, f"_a{index}") for index, one in enumerate(lifted.aggregates)]
    inner.set("expressions", [*keys, *aggregates] or [named(exp.Literal.number(1), "_one")])
    made = derived_table(inner)
    made.set("alias", exp.TableAlias(this=exp.to_identifier(GROUPS)))
    return outer.from_(made, copy=False)


def _output(lifted: _Lifted, node: Tree) -> Tree:
    name = node.alias_or_name
    made = lifted.of(node.unalias())
    return named(made, name) if name else made


class _Lifted:
    """Expressions over groups, as expressions over the derived table; it collects the aggregates."""

    def __init__(self, keys: list[Tree]) -> None:
        self.keys = keys
        self.aggregates: list[Tree] = []

    def of(self, node: Tree, *, below: bool = False) -> Tree:
        """``below``: inside a subquery, where aggregates and names without a table are its own."""
        for index, key in enumerate(self.keys):
            if _same(node, key) and not (below and not (isinstance(node, exp.Column) and node.table)):
                return exp.column(f"_g{index}", table=GROUPS)
        if not below and _is_aggregate(node):
            if node not in self.aggregates:
                self.aggregates.append(node)
            return exp.column(f"_a{self.aggregates.index(node)}", table=GROUPS)
        made = node.copy()
        made.parent = None
        below = below or isinstance(node, _QUERY)
        for name, value in list(node.args.items()):
            if isinstance(node, exp.Window) and name == "this":
                made.set(name, self._function(value))
            elif isinstance(value, Tree):
                made.set(name, self.of(value, below=below))
            elif isinstance(value, list):
                parts = cast("list[object]", value)
                made.set(name, [self._part(one, below=below) for one in parts])
        return made

    def _part(self, value: object, *, below: bool) -> object:
        return self.of(value, below=below) if isinstance(value, Tree) else value

    def _function(self, node: Tree) -> Tree:
        """The function of an OVER is none of the groups; its arguments may have some."""
        made = node.copy()
        made.parent = None
        if isinstance(node, exp.Filter):
            made.set("this", self._function(node.this))
            made.set("expression", self.of(node.expression))
        else:
            arguments = cast("list[Tree]", node.expressions)
            made.set("expressions", [self.of(one) for one in arguments])
        return made


def _same(node: Tree, key: Tree) -> bool:
    if isinstance(node, exp.Column) and isinstance(key, exp.Column):
        return node.name == key.name and (not node.table or not key.table or node.table == key.table)
    return node == key


def _is_aggregate(node: Tree) -> bool:
    if isinstance(node, exp.Filter | exp.WithinGroup):
        return _is_aggregate(node.this)
    return is_aggregate(node)
