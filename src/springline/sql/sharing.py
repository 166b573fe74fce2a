"""Subqueries that several views may have in common, so that one hidden view can be kept for all of them.

A candidate is a derived table or a WITH query that would be kept as an intermediate: it groups, ranks, limits, merges or outer-joins rows.
It stands for itself (``closed``): WITH queries that it reads are part of it. Its text is cut out of the view's text, not written anew, and
is used only where it reads back as the same tree; so what it means cannot change on the way. Whether two candidates are the same query is
decided by what they compile to (``runtime/embedded/sharing.py``), not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import TokenType

from springline.core.schema import TableSchema
from springline.errors import SqlError
from springline.sql.catalog import Catalog
from springline.sql.check_calls import contains_aggregate
from springline.sql.clauses import CommonTables, joins, written_name
from springline.sql.dialect import Flink, Text, Tree, parse_query
from springline.sql.over import contains_window
from springline.sql.program import Subplan
from springline.sql.trees import split
from springline.sql.windows_syntax import WindowTable

SHARED: Final = "s:shared:"
"""Begins the names of hidden views. They are intermediates, named like those of a view; a user's view cannot be called so."""


def is_shared(name: str) -> bool:
    """Whether a relation is a hidden view."""
    return name.startswith(SHARED)


@dataclass(frozen=True, slots=True)
class SharedRows:
    """The hidden view that is read in place of a subquery; ``single``: it has one row for ever."""

    schema: TableSchema
    single: bool


def closed(query: Tree, tables: CommonTables) -> Tree:
    """A copy of a query with derived tables in place of its WITH queries, and of those that it reads from around it. Its ``repr`` is
    the same for equal texts, whatever stands around them."""
    made = query.copy()
    made.parent = None
    return _inlined(made, {}, tables)


def _inlined(node: Tree, known: Mapping[str, Tree], tables: CommonTables) -> Tree:
    if (clause := node.args.get("with_")) is not None:
        seen = dict(known)
        for cte in clause.expressions:
            seen[cte.alias] = _inlined(cte.this, seen, tables)
        node.set("with_", None)
        known = seen
    if isinstance(node, exp.Table) and not node.args.get("db") and not node.args.get("version"):
        found = known.get(node.name)
        if found is None and (common := tables.find(node)) is not None:
            found = closed(common[0].this, common[1])
        if found is not None:
            alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
            made = exp.Subquery(this=found.copy(), alias=alias.copy())
            if others := node.args.get("joins"):
                made.set("joins", [_inlined(one, known, tables) for one in others])
            return made
    for name, value in list(node.args.items()):
        if isinstance(value, Tree):
            node.set(name, _inlined(value, known, tables))
        elif isinstance(value, list):
            parts = cast("list[object]", value)
            node.set(name, [_inlined(one, known, tables) if isinstance(one, Tree) else one for one in parts])
    return node


def shared_rows(readable: Sequence[tuple[str, TableSchema]], where: Text) -> dict[str, SharedRows]:
    """What a planner reads instead of subqueries: by ``repr`` of the closed query. ``readable``: texts of subqueries, each with the
    hidden view that holds its rows."""
    made: dict[str, SharedRows] = {}
    for text, schema in readable:
        query = closed(parse_query(text, where.functions)[0], CommonTables())
        made[repr(query)] = SharedRows(schema, _is_single(query))
    return made


def _is_single(query: Tree) -> bool:
    query = _bare(query)
    grouped = isinstance(query, exp.Select) and (
        query.args.get("having") is not None or any(map(contains_aggregate, query.expressions))
    )
    return grouped and query.args.get("group") is None


# -- which ---------------------------------------------------------------------------------------------------------


def subplans(query: Tree, where: Text, catalog: Catalog) -> tuple[Subplan, ...]:
    """The candidates of a view, the outermost ones first, each with those within it; none where a query is too deep to be compared."""
    try:
        return tuple(_Finder(where, catalog).of(query, CommonTables()))
    except RecursionError:
        return ()


class _Finder:
    """Walks through a query as the planner does."""

    def __init__(self, where: Text, catalog: Catalog) -> None:
        self._where = where
        self._catalog = catalog
        self._texts: dict[str, str] | None = None

    def of(self, node: Tree, tables: CommonTables) -> list[Subplan]:
        tables = CommonTables(tables, node)
        if isinstance(node, exp.Subquery):
            return self.of(node.this, tables)
        if isinstance(node, exp.SetOperation):
            return [*self.of(node.left, tables), *self.of(node.right, tables)]
        if not isinstance(node, exp.Select) or node.args.get("from_") is None:
            return []
        found: list[Subplan] = []
        for source in (node.args["from_"].this, *(join.this for join in joins(node))):
            found += self._source(source, tables, node)
        for part in ("where", "having", "expressions"):
            for inner in _queries(node.args.get(part)):
                found += self.of(inner, tables)
        return found

    def _source(self, source: Tree, tables: CommonTables, around: exp.Select) -> list[Subplan]:
        if isinstance(source, exp.Subquery):
            query, seen = source.this, tables
        elif isinstance(source, exp.Table) and (common := tables.find(source)) is not None:
            query, seen = common[0].this, common[1]
        else:
            return []
        inner = self.of(query, seen)
        if not _keeps_rows(query) or _is_narrowed(query, around):
            return inner
        made = closed(query, seen)
        text = self._text(query, seen, made) if self._is_allowed(made) else None
        return inner if text is None else [Subplan(text, self._reads(made), tuple(inner))]

    def _is_allowed(self, query: Tree) -> bool:
        """Whether the rows depend on nothing but the present rows of what is read: not on when a row came, nor on the code of a
        function, which may be another one when the next view is made."""
        if query.find(WindowTable, exp.Version) is not None:
            return False
        functions = self._where.functions
        own = set[str]() if functions is None else {*functions.scalars, *functions.tables}
        if any(one.name.upper() in own for one in query.find_all(exp.Anonymous)):
            return False
        return all(self._catalog[name].kept for name in self._reads(query))

    def _reads(self, query: Tree) -> tuple[str, ...]:
        found: set[str] = set()
        for one in query.find_all(exp.Table):
            named = self._catalog.candidates(written_name(one))
            found.update(named if len(named) == 1 else ())
        return tuple(sorted(found))

    # -- its text ----------------------------------------------------------------------------------------------------

    def _text(self, query: Tree, tables: CommonTables, made: Tree) -> str | None:
        """A text that reads back as the closed query; None where the view's text does not give one."""
        if self._texts is None:
            self._texts = dict(_parenthesised(self._where))
        if (body := self._texts.get(repr(query))) is None:
            return None
        needed = self._needed(query, tables)
        if None in needed.values():
            return None
        if not needed:
            return body
        # A text may end with a comment, which ends with its line.
        head = ", ".join(f"`{name}` AS ({text}\n)" for name, text in needed.items())
        is_with = body[:4].upper() == "WITH"
        text = f"WITH {head}, {body[4:].lstrip()}" if is_with else f"WITH {head} {body}"
        try:
            again = closed(parse_query(text, self._where.functions)[0], CommonTables())
        except SqlError:
            return None
        return text if repr(again) == repr(made) else None

    def _needed(self, query: Tree, tables: CommonTables) -> dict[str, str | None]:
        """The texts of the WITH queries that a query reads from around it, each after those that it reads."""
        assert self._texts is not None
        needed: dict[str, str | None] = {}
        for one in query.find_all(exp.Table):
            if (common := tables.find(one)) is not None:
                cte, seen = common
                needed |= {
                    name: text for name, text in self._needed(cte.this, seen).items() if name not in needed
                }
                needed.setdefault(cte.alias, self._texts.get(repr(cte.this)))
        return needed


def _bare(query: Tree) -> Tree:
    return query.unnest() if isinstance(query, exp.Subquery) else query


def _keeps_rows(query: Tree) -> bool:
    """Whether the rows of a query are kept for what reads it. Plain joins, filters and projections become part of the query around."""
    if query.args.get("limit") is not None or isinstance(query, exp.SetOperation):
        return True
    if isinstance(query, exp.Subquery):
        return _keeps_rows(query.this)
    if not isinstance(query, exp.Select) or query.args.get("from_") is None:
        return False
    if any(query.args.get(part) for part in ("group", "having", "distinct")):
        return True
    if any(contains_aggregate(one) or contains_window(one) for one in query.expressions):
        return True
    source = query.args["from_"].this
    ranked = isinstance(source, exp.Subquery) and _is_narrowed(source.this, query)
    return ranked or any(one.side.upper() in ("LEFT", "RIGHT", "FULL") for one in joins(query))


def _is_narrowed(query: Tree, around: exp.Select) -> bool:
    """Whether a filter of the query around narrows down what functions OVER windows are computed for (a top-N): then those two are one
    operator, and the query alone would cost more."""
    query = _bare(query)
    if not isinstance(query, exp.Select) or not any(map(contains_window, query.expressions)):
        return False
    if around.args.get("where") is not None:
        return True
    conditions = [one.args["on"] for one in joins(around) if one.args.get("on") is not None]
    return any(part.find(exp.Literal) for one in conditions for part in split(one))


def _queries(value: object) -> Iterator[Tree]:
    """The outermost queries in an expression, or in several."""
    if isinstance(value, exp.Query):
        yield value
    elif isinstance(value, Tree):
        for one in value.args.values():
            yield from _queries(one)
    elif isinstance(value, list):
        for one in cast("list[object]", value):
            yield from _queries(one)


def _parenthesised(where: Text) -> Iterator[tuple[str, str]]:
    """(``repr`` of the tree, text) of every query in parentheses."""
    tokens = Flink().tokenize(where.text)
    opened: list[int] = []
    for index, one in enumerate(tokens):
        if one.token_type == TokenType.L_PAREN:
            opened.append(index)
        elif one.token_type == TokenType.R_PAREN and opened:
            first = tokens[opened.pop() + 1]
            if first.token_type in (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN):
                text = where.text[first.start : one.start].strip()
                try:
                    [tree] = Flink().parse(text)
                except (SqlglotError, ValueError):
                    continue
                if isinstance(tree, exp.Query):
                    yield repr(tree), text
