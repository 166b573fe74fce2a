"""The clauses of a SELECT that whole queries and views read in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile, islice
from typing import Final, Literal, TypeAlias

from sqlglot import exp

from springline.core.schema import TableSchema, column_problem
from springline.sql.catalog import Catalog, near_misses
from springline.sql.check import Checker
from springline.sql.dialect import Text, Tree
from springline.sql.interval_joins import range_conjuncts
from springline.sql.operators import compare
from springline.sql.over import contains_window
from springline.sql.scope import Item, Scope
from springline.sql.typed import INTERVAL_MICROSECONDS, INTERVAL_MONTHS, Typed

JoinKind: TypeAlias = Literal["inner", "left", "right", "full"]

_READ: Final = frozenset(
    """expressions from_ joins where group having distinct with_ kind hint order limit offset""".split()
)
_NAMES: Final = {
    "laterals": ("LATERAL", None),
    "qualify": ("QUALIFY", "Filter in a query around it: SELECT … FROM (SELECT …) AS t WHERE …."),
    "windows": ("WINDOW", "Write each OVER (PARTITION BY … ORDER BY …) out."),
}


def refuse_clauses(where: Text, select: exp.Select) -> None:
    """Every clause that is not understood is refused, never passed over."""
    for name, value in select.args.items():
        if not value or name in _READ:
            continue
        clause, hint = _NAMES.get(name, (name.upper(), None))
        raise where.error(value if isinstance(value, Tree) else select, f"{clause} is not supported.", hint)
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        raise where.error(select, "DISTINCT ON is not Flink SQL.")
    group = select.args.get("group")
    if group is not None and any(value for name, value in group.args.items() if name != "expressions"):
        raise where.error(group, "GROUPING SETS, CUBE and ROLLUP are not yet in this version.")
    if select.args.get("with_") is not None and select.args["with_"].args.get("recursive"):
        raise where.error(select, "WITH RECURSIVE is not supported.")


def refuse_order(where: Text, query: Tree) -> None:
    """A view's rows have no order; with LIMIT, ORDER BY says which rows there are."""
    order = query.args.get("order")
    if order is not None and not query.args.get("limit") and not query.args.get("offset"):
        raise where.error(
            order,
            "The rows of a view have no order.",
            "Order when reading the view, or add LIMIT for a top-N.",
        )


def resolve(where: Text, catalog: Catalog, table: exp.Table) -> TableSchema:
    """The relation that a FROM names. Raises SqlError with near misses."""
    for name, value in table.args.items():
        if value and name not in ("this", "db", "catalog", "alias"):
            raise where.error(
                table,
                f"{where.quote(table)} is not supported here.",
                "Name a table or view, with an alias if you like.",
            )
    if not isinstance(table.this, exp.Identifier):
        raise where.error(
            table,
            f"{where.quote(table)} is not a table.",
            "FROM t CROSS JOIN LATERAL TABLE(f(t.x)) AS u(a), or CROSS JOIN UNNEST(t.tags) AS u(a).",
        )
    written = written_name(table)
    found = catalog.candidates(written)
    if len(found) == 1:
        return catalog[found[0]]
    if found:
        raise where.error(table, f"{written!r} could be several relations.", f"Write {' or '.join(found)}.")
    raise where.error(table, f"There is no table or view {written!r}.", catalog.near(written))


def written_name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def is_preserved(node: exp.Select, join: exp.Join) -> bool:
    """Whether a RIGHT or FULL JOIN follows: it gives rows of NULLs for all that is before it."""
    following = dropwhile(lambda one: one is not join, joins(node))
    return any(one.side.upper() in ("RIGHT", "FULL") for one in islice(following, 1, None))


def joins(select: exp.Select) -> list[exp.Join]:
    """The JOINs of a FROM, in order."""
    first: list[exp.Join] = select.args["from_"].this.args.get("joins") or []
    others: list[exp.Join] = select.args.get("joins") or []
    return [*first, *others]


def join_kind(where: Text, join: exp.Join) -> JoinKind:
    side, kind, method = join.side.upper(), join.kind.upper(), join.method.upper()
    for name in ("global_", "hint", "match_condition", "pivots", "directed"):
        if join.args.get(name):
            raise where.error(join, f"{where.quote(join)} is not supported.")
    if method:
        raise where.error(
            join, f"{method} JOIN is not supported.", "Write the condition: JOIN … ON a.id = b.id."
        )
    if kind in ("SEMI", "ANTI") or side not in _KINDS:
        raise where.error(
            join,
            f"{side or kind} JOIN is not Flink SQL.",
            "Use WHERE x IN (SELECT …), or NOT IN, EXISTS, NOT EXISTS.",
        )
    if side and not (join.args.get("on") or join.args.get("using")):
        raise where.error(join, f"A {side} JOIN needs ON.", f"{side} JOIN … ON a.id = b.id.")
    if side in ("RIGHT", "FULL") and join.args.get("using"):
        raise where.error(
            join,
            f"USING with {side} JOIN is not supported: its column has two sides.",
            "Write ON, and COALESCE(a.x, b.x) in the SELECT list.",
        )
    return _KINDS[side]


_KINDS: Final[Mapping[str, JoinKind]] = {"": "inner", "LEFT": "left", "RIGHT": "right", "FULL": "full"}


def join_condition(checker: Checker, join: exp.Join, item: Item) -> list[Typed]:
    """The conjuncts of ON, or the equalities of USING. ``item`` is the joined table, already in the scope."""
    using = join.args.get("using")
    if not using:
        condition = join.args.get("on")
        return [] if condition is None else conjuncts(checker, condition, "ON")
    where, scope = checker.where, checker.scope
    made: list[Typed] = []
    for identifier in using:
        name = identifier.name
        if name not in item.columns:
            raise where.error(
                identifier, f"{item.name!r} has no column {name!r}.", near_misses(name, item.columns) or None
            )
        left = Scope(where, [one for one in scope.items if one is not item]).column(
            exp.column(name).update_positions(identifier)
        )
        made.append(compare(where, identifier, "=", left, item.columns[name]))
    item.merged = frozenset(identifier.name for identifier in using)
    return made


def row_conditions(checker: Checker, condition: Tree) -> list[Typed]:
    """The conjuncts of WHERE."""
    refuse_windows(checker.where, condition)
    return conjuncts(checker, condition, "WHERE")


def refuse_windows(where: Text, condition: Tree) -> None:
    """WHERE comes before windows."""
    if contains_window(condition):
        raise where.error(
            condition,
            "A function OVER a window cannot stand in WHERE.",
            "Filter in a query around it: SELECT … FROM (SELECT …, ROW_NUMBER() OVER (…) AS n FROM …) AS t WHERE n = 1.",
        )


def conjuncts(checker: Checker, condition: Tree, place: str) -> list[Typed]:
    """The parts of a condition that AND joins."""
    node = condition.unnest()
    if isinstance(node, exp.And):
        return [part for side in (node.left, node.right) for part in conjuncts(checker, side, place)]
    return [checker.boolean(one, place) for one in range_conjuncts(node, checker.check)]


def projections(
    checker: Checker, select: exp.Select, *, ad_hoc: bool
) -> list[tuple[str, Tree, Typed | None]]:
    """(name, expression, what it is if already known) for each output column; ``*`` is spelled out."""
    where = checker.where
    # The columns of a set operation are called as on its left.
    ad_hoc = ad_hoc or (isinstance(select.parent, exp.SetOperation) and select.arg_key == "expression")
    made: list[tuple[str, Tree, Typed | None]] = []
    for node in select.expressions:
        qualifier = node.table if isinstance(node, exp.Column) else ""
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            star = node if isinstance(node, exp.Star) else node.this
            if any(star.args.get(name) for name in ("except_", "replace", "rename", "except", "ilike")):
                raise where.error(node, "* EXCEPT and REPLACE are not Flink SQL.", "List the columns.")
            made.extend((name, node, typed) for name, typed in checker.scope.star(node, qualifier))
        else:
            made.append((_output_name(where, node, len(made), ad_hoc=ad_hoc), node, None))
    names = [name for name, _, _ in made]
    for index, (name, node, typed) in enumerate(made):
        if (problem := column_problem(name, names[:index])) is not None:
            if not ad_hoc:
                hint = "Name one of them: … AS other_name." if "Two" in problem else "… AS other_name."
                raise where.error(node, problem, hint)
            made[index] = (_free(name, names), node, typed)
            names[index] = made[index][0]
    return made


def _output_name(where: Text, node: Tree, index: int, *, ad_hoc: bool) -> str:
    if isinstance(node, exp.Alias | exp.Column):
        return node.alias_or_name
    if not ad_hoc:
        raise where.error(node, f"{where.quote(node)} has no name.", "Name it: … AS some_name.")
    return f"EXPR${index}"


def _free(name: str, taken: Sequence[str]) -> str:
    number, taken = 0, [one.lower() for one in taken]
    while f"{name}{number}".lower() in taken:
        number += 1
    return f"{name}{number}"


def alias_columns(where: Text, node: Tree, columns: Sequence[str]) -> list[str]:
    """The names of a derived table's columns: those of ``AS t(a, b)``, or its own."""
    alias = node.args.get("alias")
    given = [one.name for one in alias.columns] if alias is not None else []
    if given and len(given) != len(columns):
        raise where.error(node, f"{len(columns)} columns are called by {len(given)} names.")
    for index, name in enumerate(given):
        if (problem := column_problem(name, given[:index])) is not None:
            raise where.error(node, problem, "Give it another name.")
    return given or list(columns)


def refuse_intervals(where: Text, node: Tree, columns: Sequence[tuple[str, Typed]]) -> None:
    """An INTERVAL has no stored form: it is a part of expressions only."""
    for name, typed in columns:
        if typed.type in (INTERVAL_MICROSECONDS, INTERVAL_MONTHS):
            raise where.error(
                node, f"Column {name!r} is an INTERVAL.", "TIMESTAMPDIFF(SECOND, a, b) gives a number."
            )


class CommonTables:
    """The WITH queries that can be seen at one place."""

    def __init__(self, outer: CommonTables | None = None, query: Tree | None = None) -> None:
        self._tables: dict[str, tuple[exp.CTE, CommonTables]] = {} if outer is None else dict(outer._tables)
        clause = None if query is None else query.args.get("with_")
        for cte in () if clause is None else clause.expressions:
            seen = CommonTables()
            seen._tables = dict(self._tables)
            self._tables[cte.alias] = (cte, seen)

    def find(self, table: exp.Table) -> tuple[exp.CTE, CommonTables] | None:
        return self._tables.get(table.name) if not table.args.get("db") else None
