"""What a subquery says of the query around it, taken out of it.

Conjuncts of its WHERE that compare a column of its own with one of the query around it become keys; those that read the query around it
alone become conditions of the join. What else reads the query around it cannot be taken out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlglot import exp

from springline.errors import SqlError
from springline.sql.clauses import CommonTables, refuse_clauses
from springline.sql.dialect import Tree
from springline.sql.query import Translator
from springline.sql.scope import Scope
from springline.sql.shapes import Columns, NotIncremental
from springline.sql.trees import derived_table, has_subquery, named, split

if TYPE_CHECKING:
    from springline.sql.plan import Planner

REWRITTEN: Final = "Correlate it by equalities (inner.a = outer.b), or write a join."


@dataclass(slots=True)
class Correlated:
    """A subquery without what it says of the query around it. ``keys`` are its columns that are compared with ``outer``; ``only_outer``
    are conditions on the query around it alone."""

    select: Tree
    keys: list[str]
    outer: list[Tree]
    nulls_equal: list[bool]
    only_outer: list[Tree]


class Correlation:
    """Takes apart the subqueries of one SELECT."""

    def __init__(self, planner: Planner, scope: Scope, tables: CommonTables) -> None:
        self._planner = planner
        self._where = planner.where
        self._scope = scope
        self._tables = tables
        self._own_sides: list[Tree] = []

    def of(self, query: Tree, *, values: int = 0) -> Correlated:
        """Takes apart what a subquery says of itself and of the query around it. ``values``: how many columns it is asked for; they
        are then called ``_value``, after its keys."""
        while isinstance(query, exp.Subquery) and not (query.args.get("limit") or query.args.get("order")):
            query = query.this
        limited = any(query.args.get(name) for name in ("limit", "offset", "order", "with_"))
        if not isinstance(query, exp.Select) or limited or self._is_alone(query):
            if not self._is_alone(query):
                raise NotIncremental(self._where.quote(query), REWRITTEN)
            return Correlated(self._valued(query.copy(), values), [], [], [], [])
        refuse_clauses(self._where, query)
        made = Correlated(query.copy(), [], [], [], [])
        select = cast("exp.Select", made.select)
        select.parent = None
        self._take_apart(query, select, made)
        if values:
            if len(query.expressions) != values:
                raise NotIncremental(self._where.quote(query), "Select one column.")
            value = named(select.expressions[0].unalias(), "_value")
            select.set("expressions", [value])
        keyed = select.expressions
        own = [one.copy() for one in self._own_sides]
        select.set(
            "expressions", [*(named(one, name) for one, name in zip(own, made.keys, strict=True)), *keyed]
        )
        group = select.args.get("group")
        if group is not None:
            group.set("expressions", [*group.expressions, *(one.copy() for one in own)])
        elif select.args.get("having") is not None:
            raise NotIncremental("HAVING in a correlated subquery", REWRITTEN)
        return made

    def _take_apart(self, query: exp.Select, select: exp.Select, made: Correlated) -> None:
        inner = Translator(self._where, self._planner.catalog, ad_hoc=False).source_scope(query, self._tables)
        clause = query.args.get("where")
        kept: list[Tree] = []
        self._own_sides = []
        for part in [] if clause is None else split(clause.this):
            if self._means(part, inner):
                kept.append(part)
            elif self._means(part, self._scope):
                made.only_outer.append(part)
            else:
                self._key(part, inner, made)
        select.set("where", exp.Where(this=exp.and_(*(one.copy() for one in kept))) if kept else None)

    def _key(self, part: Tree, inner: Scope, made: Correlated) -> None:
        if isinstance(part, exp.EQ | exp.NullSafeEQ):
            for one, other in ((part.left, part.right), (part.right, part.left)):
                if self._means(one, inner) and self._means(other, self._scope):
                    made.keys.append(f"_key{len(made.keys)}")
                    made.outer.append(other)
                    made.nulls_equal.append(isinstance(part, exp.NullSafeEQ))
                    self._own_sides.append(one)
                    return
        raise NotIncremental(f"A subquery with {self._where.quote(part)}", REWRITTEN)

    def _means(self, node: Tree, scope: Scope) -> bool:
        """Whether an expression has a meaning over one query's tables alone."""
        if has_subquery(node):
            return False
        try:
            self._planner.checker(Scope(self._where, scope.items)).check(node)
        except SqlError:
            return False
        return True

    def _is_alone(self, query: Tree) -> bool:
        """Whether a subquery says nothing of the query around it."""
        try:
            self.translated(query)
        except SqlError:
            return False
        return True

    def translated(self, query: Tree) -> Columns:
        translator = Translator(self._where, self._planner.catalog, ad_hoc=False)
        return translator.query(query, Scope(self._where), self._tables)[1]

    def _valued(self, query: Tree, values: int) -> Tree:
        if not values:
            return query
        query.parent = None
        plain = isinstance(query, exp.Select) and not any(
            query.args.get(name) for name in ("limit", "offset", "order")
        )
        names = [str(one.alias_or_name) for one in cast("exp.Query", query).selects]
        if isinstance(query, exp.Select) and len(query.expressions) == values:
            query.set("expressions", [named(query.expressions[0].unalias(), "_value")])
            if plain:
                return query
        elif len(names) != values or not names[0] or names[0] == "*":
            raise NotIncremental(self._where.quote(query), "Select one column, with a name.")
        name = "_value" if isinstance(query, exp.Select) else names[0]
        return exp.select(named(exp.column(name), "_value")).from_(derived_table(query))
