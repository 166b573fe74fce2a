"""What the embedded runtime's SQL has and Flink's has not, seen from the types: refused when the job is compiled."""

from __future__ import annotations

from typing import Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.core.schema import TableSchema
from springline.runtime.flink.gaps import is_value, refused
from springline.runtime.flink.positions import span
from springline.runtime.flink.reading import Reading

_FUNCTIONS: Final = frozenset({"OCTET_LENGTH", "INET_ATON", "INET_NTOA"})
_BRANCHES: Final = frozenset({"IF"})
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_ORDERINGS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_DATED: Final = {"DATE", "TIMESTAMP"}


def check(reading: Reading) -> None:
    """Raises SqlError for a function or an operator that Flink does not know, or not for these types."""
    for node in reading.tree.walk():
        if _lacks(reading, node):
            raise refused(reading.where, node, "functions and operators of ours alone")
        if _is_of_itself(node):
            raise refused(reading.where, node, "comparisons of a value with itself")
        if _is_distinct_bytes(reading, node):
            raise refused(reading.where, node, "distinct BYTES in an aggregate")


def _lacks(reading: Reading, node: Tree) -> bool:
    if isinstance(node, exp.Anonymous) and node.name.upper() in _FUNCTIONS:
        return True
    if isinstance(node, exp.If) and not isinstance(node.parent, exp.Case):
        return _type(reading, node) in ("ARRAY", "BYTES")
    if isinstance(node, exp.Anonymous) and node.name.upper() in _BRANCHES:
        return _type(reading, node) in ("ARRAY", "BYTES")
    if isinstance(node, _COMPARISONS):
        return {_type(reading, node.left), _type(reading, node.right)} == _DATED
    if isinstance(node, exp.Between):
        others = {_type(reading, node.args[one]) for one in ("low", "high")}
        return {_type(reading, node.this), *others} == _DATED
    if isinstance(node, exp.Mod):
        return bool({_type(reading, node.left), _type(reading, node.right)} & {"DOUBLE", "FLOAT"})
    return False


def _is_of_itself(node: Tree) -> bool:
    if isinstance(node, exp.Between):
        return node.this in (node.args["low"], node.args["high"])
    if isinstance(node, exp.In):
        return node.this in node.expressions
    return isinstance(node, _ORDERINGS) and node.left == node.right


def shows_keys_alone(reading: Reading, schema: TableSchema) -> bool:
    """Whether a view is a top-N that shows and orders by nothing but columns of keys."""
    tree = reading.tree
    if isinstance(tree, exp.Select) and tree.args.get("limit") and set(schema.names) <= set(schema.key):
        return True
    return any(_numbers_keys_alone(reading, one) for one in tree.walk() if isinstance(one, exp.Window))


def _numbers_keys_alone(reading: Reading, window: exp.Window) -> bool:
    """Whether ROW_NUMBER is over one relation, of which the query uses nothing but the key."""
    query = window.find_ancestor(exp.Select)
    table = query.args["from_"].this if query is not None else None
    first = span(table.parts[0]) if isinstance(table, exp.Table) else None
    schema = reading.tables.get(first[0]) if first is not None else None
    if query is None or schema is None or query.args.get("joins"):
        return False
    used = {one.name for shown in query.expressions for one in shown.walk() if isinstance(one, exp.Column)}
    return used <= set(schema.key)


def _is_distinct_bytes(reading: Reading, node: Tree) -> bool:
    if not isinstance(node, exp.Distinct) or not isinstance(node.parent, exp.Anonymous | exp.AggFunc):
        return False
    return any(_type(reading, one) == "BYTES" for one in node.expressions)


def _type(reading: Reading, node: Tree) -> str:
    for expressions in (reading.rows, reading.groups):
        if (typed := expressions.get(node)) is not None:
            return typed.type.name
    return ""


CORRELATED: Final = "correlated value"
"""A query used as a value that reads columns from around it."""
APART: Final = "limit or existence"
"""What Flink's planner cannot take apart together with such a query: LIMIT, EXISTS and IN."""


def shapes(tree: Tree) -> set[str]:
    """Which of both a view's text has."""
    found: set[str] = set()
    for node in tree.walk():
        if (
            isinstance(node, exp.Exists)
            or (isinstance(node, exp.In) and node.args.get("query") is not None)
            or (isinstance(node, exp.Select) and (node.args.get("limit") or node.args.get("offset")))
        ):
            found.add(APART)
        elif isinstance(node, exp.Subquery) and is_value(node) and _is_correlated(node):
            found.add(CORRELATED)
    return found


def _is_correlated(node: exp.Subquery) -> bool:
    inside = {
        one.alias_or_name for one in node.walk() if isinstance(one, exp.Table | exp.Subquery | exp.TableAlias)
    }
    return any(one.table and one.table not in inside for one in node.walk() if isinstance(one, exp.Column))
