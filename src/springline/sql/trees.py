"""Pieces of syntax trees: what is in them, and new ones."""

from __future__ import annotations

from sqlglot import exp

from springline.sql.dialect import Tree


def has_subquery(node: Tree) -> bool:
    return node.find(exp.Query) is not None


def split(condition: Tree) -> list[Tree]:
    """The conjuncts of a condition."""
    node = condition.unnest()
    if isinstance(node, exp.And):
        return [*split(node.left), *split(node.right)]
    return [node]


def named(node: Tree, name: str) -> exp.Alias:
    made = node.copy()
    made.parent = None
    return exp.Alias(this=made, alias=exp.to_identifier(name))


def derived_table(query: Tree) -> exp.Subquery:
    made = query.copy()
    made.parent = None
    return exp.Subquery(this=made, alias=exp.TableAlias(this=exp.to_identifier("_query")))
