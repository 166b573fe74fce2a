"""The ``full`` level: a query that has no operator of its own is computed again, and its rows are compared with those it had.

It is right for whatever :class:`~springline.sql.query.Translator` can translate, and costs as much as the query itself in
each tick that changes one of its tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from springline.errors import SqlError
from springline.sql.clauses import CommonTables, projections
from springline.sql.dialect import Flink, Tree
from springline.sql.keys import row_key
from springline.sql.maintain import Parts, bag_table, delta_table, keep_rows, net
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import delta, names_of, table
from springline.sql.scope import Scope
from springline.sql.shapes import Columns, Full, Node, NotIncremental
from springline.sql.typed import quote

if TYPE_CHECKING:
    from springline.sql.plan import Planner


def full(node: Node, shape: Full, *, is_view: bool, view: str) -> Parts:
    """The statements that compute a query again. They do nothing in a tick that changes none of its tables."""
    parts = Parts()
    if not is_view:
        delta_table(parts, node)
        keep_rows(parts, node)
    changed = parts.temporary("c:" + node.name, ["_changed"], "whether a table has changed")
    bag = bag_table(parts, node)
    for relation in shape.relations:
        parts.on(
            relation,
            Step(
                f"INSERT INTO {changed} SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {changed})",
                "a table has changed",
            ),
        )
    names = names_of(node.schema.names)
    old = ", ".join(f"n.{quote(name)}" for name in node.schema.names)
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT {old}, -1 FROM {changed} CROSS JOIN {table(node.name)} AS n",
            "all rows as they were",
        )
    )
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT f.*, 1 FROM {changed} CROSS JOIN ({shape.sql}) AS f",
            "all rows as they are now",
        )
    )
    parts.finish.append(net(node, bag, is_view=is_view, view=view))
    if not is_view:
        parts.apply.append(
            Step(
                f"DELETE FROM {table(node.name)} WHERE EXISTS (SELECT 1 FROM {changed})",
                f"remove the rows of {node.name}",
            )
        )
        parts.apply.append(
            Step(
                f"INSERT INTO {table(node.name)} SELECT {names} FROM {bag} WHERE _w > 0",
                f"add the rows of {node.name}",
            )
        )
    target = f"{delta(node.name)} SELECT f.*, 1" if is_view else f"{table(node.name)} SELECT f.*"
    parts.backfill.append(Step(f"INSERT INTO {target} FROM ({shape.sql}) AS f", f"all rows of {node.name}"))
    read = ", ".join(shape.relations)
    parts.levels.append(
        OperatorLevel(
            shape.what, "full", f"a change of {read} computes the query again, and compares all its rows"
        )
    )
    return parts


def full_key(planner: Planner, node: Tree, tables: CommonTables) -> tuple[tuple[str, ...] | None, list[str]]:
    """The key of such a query, where its parts give one; else what is missing."""
    tables = CommonTables(tables, node)
    while isinstance(node, exp.Subquery):
        node = node.this
        tables = CommonTables(tables, node)
    if isinstance(node, exp.SetOperation):
        every = tuple(one.alias_or_name for one in node.left.selects)
        return (every, []) if node.args.get("distinct") and all(every) else (None, [])
    assert isinstance(node, exp.Select)
    if node.args.get("distinct"):
        every = tuple(one.alias_or_name for one in node.expressions)
        return (every, []) if "*" not in every else (None, [])
    group = node.args.get("group")
    if group is not None:
        shown = {_text(one): one.alias_or_name for one in reversed(node.expressions)}
        missing = [planner.where.quote(key) for key in group.expressions if _text(key) not in shown]
        return (None if missing else tuple(shown[_text(key)] for key in group.expressions)), missing
    try:
        return _rows_key(planner, node, tables)
    except (NotIncremental, SqlError):
        return None, []


def _text(node: Tree) -> str:
    """An expression of SELECT or GROUP BY, to be compared."""
    return node.unalias().unnest().sql(dialect=Flink)


def _rows_key(
    planner: Planner, node: exp.Select, tables: CommonTables
) -> tuple[tuple[str, ...] | None, list[str]]:
    """Filters only take rows away: what identifies a row of FROM identifies one of the query."""
    scope = Scope(planner.where)
    probe = planner.probe()
    rows = probe.from_clause(node, scope, tables)
    checker = probe.checker(scope)
    columns: Columns = []
    for name, expression, known in projections(checker, node, ad_hoc=False):
        if known is None and isinstance(expression.unalias(), exp.Column):
            known = checker.check(expression)
        if known is not None:
            columns.append((name, known))
    return row_key(rows, columns)
