"""A view's text as Flink is given it: the user's own, edited by position.

Names of relations become one name in backticks with an alias; every other name gets backticks, so that no word of Flink's is
reserved; what can fail becomes what cannot (``failing.py``); an order that ties is completed, so that ROW_NUMBER and LIMIT
choose the same rows as in the embedded runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree

from springline.core.schema import TableSchema
from springline.runtime.flink.ddl import flink_type, name
from springline.runtime.flink.failing import Failing
from springline.runtime.flink.gaps import refused
from springline.runtime.flink.positions import Edits, Span, is_query, span
from springline.runtime.flink.reading import Reading
from springline.sql.aggregate_calls import is_aggregate
from springline.sql.check_calls import contains_aggregate
from springline.sql.clauses import joins
from springline.sql.dialect import Text
from springline.sql.windows_syntax import WindowArgument, WindowData, WindowTable

_UNITS_FIRST: Final = ("TIMESTAMPDIFF", "TIMESTAMPADD")


def rewritten(reading: Reading, relation: Callable[[TableSchema], str]) -> str:
    """The text for Flink. ``relation`` gives the name under which the job knows a relation. Raises SqlError for what cannot be
    made safe."""
    edits = Edits(reading.text)
    _Names(reading, edits, relation).edit()
    failing = Failing(reading, edits)
    failing.make_safe()
    _widen_sums(reading, edits)
    _align_choices(reading, edits)
    selects = [one for one in reading.tree.walk() if isinstance(one, exp.Select)]
    for select in reversed(selects):
        _complete_order(reading, edits, select)
    # From the inside: the conditions of a query quote the queries in it, with their own conditions.
    for select in reversed(selects):
        _guard(reading.where, failing, edits, select, reading)
    return edits.render()


# -- names -------------------------------------------------------------------------------------------------------------


class _Names:
    def __init__(self, reading: Reading, edits: Edits, relation: Callable[[TableSchema], str]) -> None:
        self._reading = reading
        self._edits = edits
        self._relation = relation
        self._done: set[int] = set()

    def edit(self) -> None:
        for node in self._reading.tree.walk():
            if isinstance(node, exp.Table):
                self._table(node)
            elif isinstance(node, exp.Column):
                self._column(node)
            elif isinstance(node, WindowTable | WindowArgument) and isinstance(node.this, exp.Identifier):
                self._done.add(id(node.this))
            elif isinstance(node, exp.Anonymous):
                self._call(node)
            elif isinstance(node, exp.Extract | exp.Interval):
                self._done |= {
                    id(one) for one in node.walk() if isinstance(one, exp.Identifier) and _is_unit(one, node)
                }
            elif isinstance(node, exp.Floor | exp.Ceil) and (unit := node.args.get("to")) is not None:
                self._done |= {id(one) for one in unit.walk()}
            if isinstance(node, exp.Identifier) and id(node) not in self._done:
                self._quote(node)

    def _quote(self, node: exp.Identifier) -> None:
        where = span(node)
        if where is not None and self._reading.text[where[0]] != "`":
            self._edits.replace(where, name(node.name))

    def _table(self, node: exp.Table) -> None:
        parts = [one for one in node.parts if isinstance(one, exp.Identifier)]
        first, last = span(parts[0]) if parts else None, span(parts[-1]) if parts else None
        schema = self._reading.tables.get(first[0]) if first is not None else None
        if schema is None or first is None or last is None:
            return
        self._done |= {id(one) for one in parts}
        alias = ""
        if not node.alias and not isinstance(node.parent, WindowData):
            alias = f" AS {name(parts[-1].name)}"
        self._edits.replace((first[0], last[1]), name(self._relation(schema)) + alias)

    def _column(self, node: exp.Column) -> None:
        """``air.flights.id`` is ``flights.id`` for Flink, whose tables go by their aliases."""
        parts = [one for one in node.parts if isinstance(one, exp.Identifier)]
        if len(parts) > 2:
            first, last = span(parts[0]), span(parts[-2])
            if first is not None and last is not None:
                self._done |= {id(one) for one in parts[:-1]}
                self._edits.replace((first[0], last[1]), name(parts[-2].name))

    def _call(self, node: exp.Anonymous) -> None:
        if node.name.upper() in _UNITS_FIRST and node.expressions:
            self._done |= {id(one) for one in node.expressions[0].walk()}
        functions = self._reading.where.functions
        where = span(node)
        if functions is None or where is None:
            return
        own = {*functions.scalars, *functions.tables}
        if node.name.upper() in own:
            self._edits.replace((where[0], where[0] + len(node.name)), name(node.name.lower()))


def _is_unit(node: exp.Identifier, of: Tree) -> bool:
    return isinstance(of, exp.Extract) and any(one is node for one in of.this.walk())


# -- sums --------------------------------------------------------------------------------------------------------------


def _widen_sums(reading: Reading, edits: Edits) -> None:
    """A sum of whole numbers is a BIGINT here; Flink's has the type of its argument, and wraps."""
    for node in reading.tree.walk():
        if not is_aggregate(node) or node.name.upper() != "SUM" or not node.expressions:
            continue
        argument = node.expressions[0]
        values = argument.expressions if isinstance(argument, exp.Distinct) else [argument]
        for value in values:
            typed, where = reading.rows.get(value), span(value)
            if typed is not None and where is not None and typed.type.name in ("SMALLINT", "INT"):
                edits.wrap(where, "CAST(", " AS BIGINT)")


def _align_choices(reading: Reading, edits: Edits) -> None:
    """GREATEST and LEAST of numbers of different types fail in Flink where one is NULL. Computed DECIMALs have other types there than here."""
    for node in reading.tree.walk():
        if not isinstance(node, exp.Anonymous) or node.name.upper() not in ("GREATEST", "LEAST"):
            continue
        chosen = reading.rows.get(node) or reading.groups.get(node)
        if chosen is None or not chosen.type.is_numeric:
            continue
        for one in node.expressions:
            typed, where = reading.rows.get(one) or reading.groups.get(one), span(one)
            same = typed is not None and typed.type == chosen.type
            if where is not None and not (
                same and (isinstance(one, exp.Column) or chosen.type.name != "DECIMAL")
            ):
                edits.wrap(where, "CAST(", f" AS {flink_type(chosen.type)})")


# -- order -------------------------------------------------------------------------------------------------------------


def _complete_order(reading: Reading, edits: Edits, select: exp.Select) -> None:
    for shown in select.expressions:
        for window in shown.walk(prune=is_query):
            if isinstance(window, exp.Window) and (order := window.args.get("order")) is not None:
                _append(edits, order, _used_columns(reading, select))
    limit = select.args.get("limit") or select.args.get("offset")
    if limit is None:
        return
    columns = [name(one.alias_or_name) for one in select.expressions if not isinstance(one, exp.Star)]
    if len(columns) < len(select.expressions):
        columns = _used_columns(reading, select)
    if (order := select.args.get("order")) is not None:
        _append(edits, order, columns)
    elif (where := span(limit)) is not None and columns:
        edits.insert(where[0] - 1, f" ORDER BY {', '.join(columns)}", span(select) or where)


def _append(edits: Edits, order: Tree, columns: Sequence[str]) -> None:
    where = span(order)
    given = {name(one.this.name) for one in order.expressions if isinstance(one.this, exp.Column)}
    rest = [one for one in columns if one not in given and one.rpartition(".")[2] not in given]
    if where is not None and rest:
        edits.insert(where[1], "".join(f", {one}" for one in rest), where)


def _used_columns(reading: Reading, select: exp.Select) -> list[str]:
    """The columns that a SELECT list uses, in the order of its tables; of a ``*`` over one relation those up to the end of its key."""
    found: dict[str, tuple[int, int]] = {}
    for shown in select.expressions:
        if isinstance(shown, exp.Star) and (starred := _starred(reading, select)):
            return starred
        for one in shown.walk(prune=is_query):
            if isinstance(one, exp.Column) and reading.rows.get(one) is not None:
                text = ".".join(name(part.name) for part in list(one.parts)[-2:])
                found.setdefault(text, _place(reading, select, one, len(found)))
    return [text for text, _ in sorted(found.items(), key=lambda one: one[1])]


def _place(reading: Reading, select: exp.Select, column: exp.Column, otherwise: int) -> tuple[int, int]:
    """Which table of a FROM a column is of, and where it stands in it."""
    items = [select.args["from_"].this, *(one.this for one in joins(select))]
    for index, item in enumerate(items):
        names = _columns_of(reading, item)
        if column.table in ("", item.alias_or_name) and column.name in names:
            return index, names.index(column.name)
    return len(items), otherwise


def _columns_of(reading: Reading, item: Tree) -> list[str]:
    if isinstance(item, exp.Subquery):
        inner = item.this
        return [] if not isinstance(inner, exp.Select) else [one.alias_or_name for one in inner.expressions]
    first = span(item.parts[0]) if isinstance(item, exp.Table) else None
    schema = reading.tables.get(first[0]) if first is not None else None
    return [] if schema is None else list(schema.names)


def _starred(reading: Reading, select: exp.Select) -> list[str]:
    table = select.args["from_"].this
    first = span(table.parts[0]) if isinstance(table, exp.Table) else None
    schema = reading.tables.get(first[0]) if first is not None else None
    if schema is None or joins(select):
        return []
    names: list[str] = []
    for one in schema.names:
        names.append(one)
        if schema.key and set(schema.key) <= set(names):
            break
    return [name(one) for one in names]


# -- conditions --------------------------------------------------------------------------------------------------------


def _guard(where: Text, failing: Failing, edits: Edits, select: exp.Select, reading: Reading) -> None:
    """Gives a SELECT the conditions under which none of its expressions fails."""
    rows = reading.rows
    group, having = select.args.get("group"), select.args.get("having")
    keys: list[Tree] = [] if group is None else group.expressions
    grouped = bool(keys) or having is not None or any(map(contains_aggregate, select.expressions))
    ordered = [one.this for one in _entries(select)]
    shown = [*select.expressions, *([having.this] if having is not None else []), *ordered]
    of_rows = _of_joins(where, failing, edits, select, reading)
    if (clause := select.args.get("where")) is not None:
        of_rows += failing.conditions(clause.this, rows)
    of_groups: list[str] = []
    if grouped:
        of_rows += [one for key in keys for one in failing.conditions(key, rows)]
        of_rows += failing.of_aggregates(shown)
        of_groups = [one for part in shown for one in failing.over_groups(part, keys)]
    else:
        of_rows += [one for part in shown for one in failing.conditions(part, rows)]
    end_of_from = _end(select, "from_", "joins")
    whole = span(select)
    assert whole is not None
    _add(edits, "WHERE", clause, of_rows, end_of_from, whole)
    end_of_groups = _end(select, "from_", "joins", "where", "group")
    _add(edits, "HAVING", having, of_groups, end_of_groups, whole)


def _entries(select: exp.Select) -> list[exp.Ordered]:
    order = select.args.get("order")
    return [] if order is None or not select.args.get("limit") else order.expressions


def _add(
    edits: Edits, word: str, clause: Tree | None, conditions: Sequence[str], end: int, whole: Span
) -> None:
    made = list(dict.fromkeys(conditions))
    if not made:
        return
    if clause is None:
        edits.insert(end, f" {word} {' AND '.join(made)}", whole)
        return
    where = span(clause if word == "ON" else clause.this)
    assert where is not None
    edits.wrap(where, "(", ")")
    edits.insert(where[1], "".join(f" AND {one}" for one in made), whole)


def _end(select: exp.Select, *names: str) -> int:
    ends: list[int] = []
    for one in names:
        part: Any = select.args.get(one)
        nodes = cast("list[object]", part if isinstance(part, list) else [part])
        for node in nodes:
            if isinstance(node, Tree) and (where := span(node)) is not None:
                ends.append(where[1])
    return max(ends)


def _of_joins(where: Text, failing: Failing, edits: Edits, select: exp.Select, reading: Reading) -> list[str]:
    """Adds the conditions of ON where a pair must not match; gives those that the joined rows must obey."""
    obeyed: list[str] = []
    if select.args.get("from_") is None:
        return obeyed
    seen = _names_of(select.args["from_"].this)
    every = joins(select)
    for index, join in enumerate(every):
        if isinstance(join.this, exp.Unnest | exp.Lateral):
            called = (
                join.this.expressions
                if isinstance(join.this, exp.Unnest)
                else [join.this.this.expressions[0]]
            )
            obeyed += [one for part in called for one in failing.conditions(part, reading.rows)]
        condition = join.args.get("on")
        side = join.side.upper()
        preserved = any(one.side.upper() in ("RIGHT", "FULL") for one in every[index + 1 :])
        names = _names_of(join.this)
        of_pairs: list[str] = []
        before = ""
        for part in [] if condition is None else _conjuncts(condition):
            made = failing.conditions(part, reading.rows)
            if made and side == "FULL":
                raise refused(where, part, "conditions of FULL JOIN that fail")
            kept = {"LEFT": seen, "RIGHT": names}.get(side, set[str]())
            if side in ("LEFT", "RIGHT") and _qualifiers(part, failing=True) <= kept:
                obeyed += [f"({before}{one})" if before else one for one in made]
            elif side == "" and not preserved:
                obeyed += made
            else:
                of_pairs += made
            if _qualifiers(part) <= kept and (spot := span(part)) is not None:
                before += f"({edits.render(spot)}) IS FALSE OR "
        if condition is not None:
            _add(edits, "ON", condition, of_pairs, 0, span(join) or (0, 0))
        seen |= names
    return obeyed


def _conjuncts(node: Tree) -> list[Tree]:
    node = node.unnest()
    if isinstance(node, exp.And):
        return [*_conjuncts(node.left), *_conjuncts(node.right)]
    return [node]


def _names_of(node: Tree) -> set[str]:
    return {node.alias_or_name} if node.alias_or_name else set()


def _qualifiers(node: Tree, *, failing: bool = False) -> set[str]:
    """The tables whose columns a condition reads, all or in what may fail; a column without a qualifier could be of any."""
    columns = (one for one in node.walk() if isinstance(one, exp.Column))
    return {one.table or "?" for one in columns if not failing or _may_fail_with(one, node)}


def _may_fail_with(column: exp.Column, condition: Tree) -> bool:
    place: Tree | None = column
    while place is not None and place is not condition:
        if isinstance(place, exp.Cast | exp.Div | exp.Mod | exp.Anonymous | exp.Add | exp.Sub | exp.Mul):
            return True
        place = place.parent
    return False
