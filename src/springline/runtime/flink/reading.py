"""What a view's text reads and what its expressions are, as the compiler of the embedded runtime sees them.

The one definition of meaning is ``springline.sql``. It is run over the tree whose places are known; the types and the possible
failures that it finds for each expression say which edits the text needs for Flink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.core.schema import TableSchema
from springline.runtime.flink.positions import Span, parsed, span
from springline.sql.catalog import Catalog
from springline.sql.check import Checker, SubqueryCompiler
from springline.sql.check_calls import Grouping
from springline.sql.clauses import CommonTables, resolve
from springline.sql.dialect import Text, parse_query
from springline.sql.query import Columns, Translator
from springline.sql.scope import Item, Scope
from springline.sql.typed import Guard, Typed
from springline.sql.user_functions import Functions

_NAN = "NaN in arithmetic"
"""Begins the reason of a failure that Flink's DECIMAL, which has no NaN, does not know."""


@dataclass(slots=True)
class Expressions:
    """The typed expressions of a query by where they stand."""

    found: dict[Span, Typed] = field(default_factory=dict[Span, Typed])

    def add(self, node: Tree, typed: Typed) -> None:
        if (where := span(node)) is not None:
            self.found[where] = typed

    def get(self, node: Tree) -> Typed | None:
        where = span(node)
        return None if where is None else self.found.get(where)

    def failures(self, node: Tree) -> tuple[Guard, ...] | None:
        """How evaluating it can fail; None where that is not known."""
        typed = self.get(node)
        if typed is None:
            return None
        return tuple(one for one in typed.failures if _NAN not in one.reason)

    def own_failures(self, node: Tree) -> tuple[Guard, ...] | None:
        """Its failures without those of its parts."""
        every = self.failures(node)
        if every is None:
            return None
        inner = {guard for part in node.iter_expressions() for guard in self.failures(part) or ()}
        return tuple(one for one in every if one not in inner)


@dataclass(slots=True)
class Reading:
    """A view's text with what was found in it."""

    text: str
    tree: Tree
    where: Text
    rows: Expressions = field(default_factory=Expressions)
    """Expressions over single rows."""
    groups: Expressions = field(default_factory=Expressions)
    """Expressions over groups."""
    tables: dict[int, TableSchema] = field(default_factory=dict[int, TableSchema])
    """The relation that a name in FROM means, by where the name begins. Names of WITH queries are not among them."""


def read(text: str, catalog: Mapping[str, TableSchema], functions: Functions | None) -> Reading:
    """Reads a view's text. Raises SqlError where it cannot be used."""
    _, where = parse_query(text, functions)
    made = Reading(text, parsed(text), where)
    _Reader(made, Catalog(catalog)).query(made.tree, None, CommonTables())
    return made


class _Reader(Translator):
    def __init__(self, into: Reading, catalog: Catalog) -> None:
        super().__init__(into.where, catalog, ad_hoc=False)
        self._into = into
        self._found: set[int] = set()
        """The WITH queries that something reads."""

    def query(self, node: Tree, outer: Scope | None, tables: CommonTables) -> tuple[str, Columns]:
        """Also WITH queries that nothing reads, which Flink resolves all the same."""
        made = super().query(node, outer, tables)
        clause = node.args.get("with_")
        seen = CommonTables(tables, node)
        for cte in () if clause is None else clause.expressions:
            if id(cte) not in self._found:
                self.query(cte.this, None, seen)
        return made

    def _table(self, node: Tree, tables: CommonTables, *, nullable: bool = False) -> tuple[str, Item]:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            where = span(node.parts[0])
            if (common := tables.find(node)) is not None:
                self._found.add(id(common[0]))
            elif where is not None:
                self._into.tables[where[0]] = resolve(self.where, self.catalog, node)
        return super()._table(node, tables, nullable=nullable)

    def _checker(self, scope: Scope, tables: CommonTables, grouping: Grouping | None = None) -> Checker:
        def subquery(query: Tree, inner: Scope) -> tuple[str, Columns]:
            return self.query(query, inner, tables)

        return _Recorder(self._into, scope, grouping, subquery)


class _Recorder(Checker):
    def __init__(
        self, into: Reading, scope: Scope, grouping: Grouping | None, subquery: SubqueryCompiler
    ) -> None:
        super().__init__(scope, grouping=grouping, subquery=subquery)
        self._expressions = into.rows if grouping is None else into.groups
        if grouping is None:
            self._rows = self
        else:
            self._rows = _Recorder(into, scope, None, subquery)

    def check(self, node: Tree) -> Typed:
        typed = super().check(node)
        self._expressions.add(node, typed)
        return typed
