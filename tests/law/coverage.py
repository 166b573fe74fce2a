"""Which constructs of the language random queries had: named by the parser, counted over accepted queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from springline.sql.dialect import Flink, JsonCall, Tree, parse_query
from springline.sql.windows_syntax import WindowTable
from tests.law.cases import Case

COUNTS: Final[Counter[str]] = Counter()
QUERIES: Final[Counter[str]] = Counter()
"""``accepted`` and ``refused`` queries of this run."""

_NAMELESS: Final = (
    exp.Column, exp.Identifier, exp.Literal, exp.DataType, exp.Paren, exp.Alias, exp.TableAlias, exp.Var, exp.From, exp.Table,
    exp.Where, exp.Select, exp.Null, exp.Boolean, exp.Tuple, exp.Star, exp.If, exp.DataTypeParam, exp.Ordered, exp.Group,
)  # fmt: skip


def counted(case: Case) -> None:
    """Adds a case to the counts."""
    QUERIES["accepted"] += len(case.views)
    QUERIES["refused"] += len(case.refused)
    earlier: set[str] = set()
    for name, text in case.views:
        COUNTS.update(constructs(text))
        if any(f"`{other}`" in text for other in earlier):
            COUNTS["view on a view"] += 1
        earlier.add(name)


def constructs(text: str) -> set[str]:
    """What a query is made of."""
    tree, _ = parse_query(text)
    return {name for node in tree.walk() for name in _names(node)}


def _names(node: Tree) -> Iterator[str]:
    if isinstance(node, exp.Anonymous):
        yield f"{node.name.upper()}({len(node.expressions)})"
    elif isinstance(node, JsonCall):
        yield "JSON_VALUE RETURNING" if node.args.get("to") else "JSON_VALUE"
    elif isinstance(node, exp.TryCast):
        yield "TRY_CAST"
    elif isinstance(node, exp.Cast):
        yield f"CAST AS {node.args['to'].this.name}"
    elif isinstance(node, exp.Join):
        yield _join(node)
    elif isinstance(node, exp.SetOperation):
        yield type(node).__name__.upper() + ("" if node.args.get("distinct") else " ALL")
    elif isinstance(node, exp.Floor | exp.Ceil):
        yield type(node).__name__.upper() + (" TO" if node.args.get("to") or node.args.get("unit") else "")
    elif isinstance(node, exp.Trim):
        yield f"TRIM {node.args.get('position') or ''}".strip()
    elif isinstance(node, exp.Like):
        yield "NOT LIKE" if node.args.get("negate") else "LIKE"
    elif isinstance(node, exp.In):
        yield "IN query" if node.args.get("query") else "IN"
    elif isinstance(node, exp.Subquery):
        yield "derived table" if isinstance(node.parent, exp.From | exp.Join) else "scalar subquery"
    elif isinstance(node, exp.Window):
        yield f"{_function(node.this)} OVER"
    elif isinstance(node, WindowTable):
        yield f"{node.name.upper()} window"
    elif not isinstance(node, _NAMELESS):
        yield type(node).__name__
    if isinstance(node, exp.Select):
        yield from _select(node)


def _function(node: Tree) -> str:
    return node.name.upper() if isinstance(node, exp.Anonymous) else type(node).__name__.upper()


def _join(node: exp.Join) -> str:
    words = [node.args.get("side"), node.args.get("kind"), "JOIN", "USING" if node.args.get("using") else ""]
    return " ".join(str(one).upper() for one in words if one and str(one).upper() not in ("OUTER", "INNER"))


def _select(node: exp.Select) -> Iterator[str]:
    if node.args.get("distinct"):
        yield "SELECT DISTINCT"
    if node.args.get("group"):
        yield "GROUP BY"
    if any(isinstance(one, exp.Star) for one in node.expressions):
        yield "SELECT *"
    tables = [
        one.this.sql(dialect=Flink)
        for one in (node.args.get("from_"), *(node.args.get("joins") or ()))
        if one is not None
    ]
    names = [one.split(" AS ")[0] for one in tables]
    if len(set(names)) < len(names):
        yield "self-join"
    if len(names) > 2:
        yield "several tables"
