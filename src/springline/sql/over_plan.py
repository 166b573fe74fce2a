"""Functions OVER windows, and LIMIT, in a plan: partitions are computed again where they are touched.

The rows that a window function reads are those of one table, found by an index on the partition; a join is kept as an intermediate
first. A filter on the function's result (``WHERE n <= 3``) becomes part of the operator, which then keeps and reads the first rows
of a partition only. LIMIT is ROW_NUMBER over all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from springline.core.types import BIGINT, BOOLEAN
from springline.sql.clauses import CommonTables
from springline.sql.dialect import Tree
from springline.sql.keys import row_key
from springline.sql.over import WindowUse, resolved, tie_columns, ties, used_columns
from springline.sql.rows import Rows
from springline.sql.scope import Scope, relation_columns
from springline.sql.shapes import Columns, First, NotIncremental, Over, Project, Shape
from springline.sql.trees import named, split
from springline.sql.typed import Typed, is_wide, quote, wide_as_key

if TYPE_CHECKING:
    from springline.sql.plan import Planner


@dataclass(frozen=True, slots=True)
class _Limit:
    count: int
    offset: int


def over(planner: Planner, node: exp.Select, rows: Rows, scope: Scope) -> Over:
    """The shape of a SELECT whose list has functions OVER windows."""
    columns, windows = _columns(planner, node, scope)
    partition = _common_partition(windows)
    plain = all(map(_is_plain, partition))
    if len(rows.occurrences) > 1 or not rows.occurrences[0].relation or not plain:
        added = [
            (f"_p{index}", wide_as_key(one)) for index, one in enumerate(partition) if not _is_plain(one)
        ]
        rows, found = planner.kept(rows, scope, used_columns(scope), added)
        columns, windows = _columns(planner, node, scope)
        kept = iter(typed for _, typed in found)
        partition = [one if _is_plain(one) else next(kept) for one in _common_partition(windows)]
    columns = planner.guarded_columns(rows, columns)
    shape = Over(rows, columns, list(partition))
    shape.first = _first(windows, columns, scope)
    shape.key, shape.missing = row_key(rows, columns)
    _name_partition(shape)
    numbers = [name for name, typed in columns if typed.raw.startswith("row_number() OVER (")]
    if len(windows) == 1 and numbers and len(shape.partition_columns) == len(partition):
        shape.keys.append((*shape.partition_columns, numbers[0]))
    if shape.key is None and shape.keys:
        shape.key = shape.keys[0]
    return shape


def _columns(planner: Planner, node: exp.Select, scope: Scope) -> tuple[Columns, list[WindowUse]]:
    scope.used.clear()
    checker = planner.checker(scope)
    columns = planner.columns(checker, node)
    return resolved(columns, ties(tie_columns(scope))), checker.windows


def _is_plain(typed: Typed) -> bool:
    return typed.column is not None and not is_wide(typed.type)


def _common_partition(windows: Sequence[WindowUse]) -> list[Typed]:
    """What all windows are partitioned by: rows that differ in it have nothing to do with each other."""
    first, *others = windows
    return [
        one
        for one in first.partition
        if all(one.sql in [two.sql for two in other.partition] for other in others)
    ]


def _name_partition(shape: Over) -> None:
    """Finds the columns of the answer that hold the partition."""
    shown = {typed.column: name for name, typed in reversed(shape.inner) if typed.column is not None}
    names = [shown[one.column] for one in shape.partition if one.column in shown]
    if len(names) == len(shape.partition):
        shape.partition_columns = tuple(names)


def with_hidden_partition(shape: Over) -> Over:
    """Shows the partition in columns of its own, for an intermediate; and its key, where it has none."""
    if len(shape.partition_columns) < len(shape.partition):
        hidden = [(f"_p{index}", typed) for index, typed in enumerate(shape.partition)]
        shape = replace(
            shape, inner=[*shape.inner, *hidden], partition_columns=tuple(name for name, _ in hidden)
        )
    if shape.key is None:
        occurrence = shape.rows.occurrences[0]
        every = relation_columns(occurrence.schema, occurrence.alias)
        hidden = [(f"_k{index}", every[part]) for index, part in enumerate(occurrence.schema.key)]
        if hidden:
            shape = replace(shape, inner=[*shape.inner, *hidden])
            shape.key, _ = row_key(shape.rows, shape.inner)
    return shape


def _first(windows: Sequence[WindowUse], columns: Columns, scope: Scope) -> First | None:
    """How the first rows of a partition are found, where ROW_NUMBER alone counts them."""
    if len(windows) != 1 or windows[0].function != "ROW_NUMBER":
        return None
    use = windows[0]
    name = next((name for name, typed in columns if typed.raw.startswith("row_number() OVER (")), None)
    if name is None:
        return None
    order = ", ".join(use.order) + ties(tie_columns(scope))
    return First(name, order, _plain([column for column, _ in use.ordered_columns]))


def warn(planner: Planner, shape: Shape) -> None:
    """Says where every change computes all rows again."""
    if isinstance(shape, Over) and not shape.partition and (shape.first is None or shape.first.count is None):
        planner.warnings.append(
            "OVER without PARTITION BY: every change computes all its rows again. PARTITION BY a column, or keep the first rows."
        )


# -- filters over it ---------------------------------------------------------------------------------------------------


def push_filters(planner: Planner, rows: Rows, condition: Tree | None) -> None:
    """Filters on an intermediate of window functions that nobody else reads become its own."""
    for occurrence in rows.occurrences:
        node = planner.own_node(occurrence)
        if node is None or not isinstance(node.shape, Over) or node.shape.alias or occurrence.kind != "inner":
            continue
        mine = [one for one in rows.filters if one.refs == frozenset({occurrence.alias}) and not one.failure]
        if not mine:
            continue
        rows.filters[:] = [one for one in rows.filters if one not in mine]
        node.shape.alias, node.shape.filters = occurrence.alias, mine
        first = node.shape.first
        if first is not None and condition is not None and len(rows.occurrences) == 1:
            node.shape.first = replace(first, count=_count(first, condition))
        planner.changed(node)


def _count(first: First, condition: Tree) -> int | None:
    """How many of the first rows a filter lets pass; None where it says nothing of that."""
    counts: list[int] = []
    for part in split(condition):
        if not isinstance(part, exp.LT | exp.LTE | exp.EQ):
            continue
        one, other = part.left, part.right
        is_number = isinstance(one, exp.Column) and one.name == first.column
        if is_number and isinstance(other, exp.Literal) and other.name.isdigit() and not other.is_string:
            counts.append(int(other.name) - isinstance(part, exp.LT))
    return min(counts, default=None)


def absorbed(planner: Planner, rows: Rows, columns: Columns) -> Over | None:
    """A query that only chooses among the rows and columns of window functions is one with them, where it shows the partition."""
    if len(rows.occurrences) != 1 or rows.filters:
        return None
    [occurrence] = rows.occurrences
    node = planner.own_node(occurrence)
    if node is None or not isinstance(node.shape, Over) or node.shape.shown:
        return None
    shape = node.shape
    names = {typed.column[1]: name for name, typed in reversed(columns) if typed.column is not None}
    if not set(shape.partition_columns) <= set(names):
        return None
    keys = [*shape.keys, *([shape.key] if shape.key else [])]
    if shape.first is not None and shape.first.count == 1:
        keys.append(shape.partition_columns or tuple(names)[:1])
    found = [tuple(names[part] for part in key) for key in keys if key and set(key) <= set(names)]
    planner.drop_node(node)
    made = replace(shape, alias=occurrence.alias, shown=columns, key=min(found, key=len, default=None))
    made.partition_columns = tuple(names[one] for one in shape.partition_columns)
    made.missing = [] if found else [part for part in shape.key or () if part not in names]
    return made


# -- LIMIT -------------------------------------------------------------------------------------------------------------


def limited(planner: Planner, node: Tree, tables: CommonTables) -> Over:
    """ORDER BY … LIMIT: the first rows of all."""
    limit = _limit(planner, node)
    inner, entries, hidden = _without_limit(node)
    shape = planner.shape(inner, tables)
    if isinstance(shape, Project) and len(shape.branches) == 1 and len(shape.branches[0][0].occurrences) == 1:
        rows, columns = shape.branches[0]
    else:
        rows, columns = planner.materialised(shape)
    outputs = [(name, typed) for name, typed in columns if name not in hidden]
    ordered = [(entry, _ordered_by(planner, entry, name, columns)) for entry, name in entries]
    checker = planner.checker(Scope(planner.where))
    order = ", ".join(
        [*(checker.ordered(entry, typed) for entry, typed in ordered), *(typed.sql for _, typed in outputs)]
    )
    alias = planner.alias()
    number = Typed(f"row_number() OVER (ORDER BY {order})", BIGINT, False)
    made = Over(rows, [*outputs, ("_number", number)], [], alias=alias)
    last = limit.offset + limit.count
    made.filters = [_boolean(f"({alias}._number <= {last})", alias)]
    if limit.offset:
        made.filters.append(_boolean(f"({alias}._number > {limit.offset})", alias))
    made.first = First("_number", order, _plain([typed.column for _, typed in ordered]), last)
    made.shown = [
        (name, Typed(f"{alias}.{quote(name)}", typed.type, typed.nullable)) for name, typed in outputs
    ]
    made.key, made.missing = row_key(rows, outputs)
    if made.key is None and shape.key is not None and set(shape.key) <= {name for name, _ in outputs}:
        made.key = shape.key
    return made


def _boolean(text: str, alias: str) -> Typed:
    return Typed(text, BOOLEAN, False, frozenset({alias}))


def _plain(columns: Sequence[tuple[str, str] | None]) -> tuple[str, ...]:
    """The names of columns, up to the first that is an expression."""
    made: list[str] = []
    for column in columns:
        if column is None:
            break
        made.append(column[1])
    return tuple(dict.fromkeys(made))


def _ordered_by(planner: Planner, entry: exp.Ordered, name: str, columns: Columns) -> Typed:
    if name:
        found = dict(columns).get(name)
        if found is None:
            raise NotIncremental(planner.where.quote(entry), "Order by columns of the SELECT list.")
        return found
    position = int(entry.this.name) if entry.this.name.isdigit() else 0
    if not 1 <= position <= len(columns):
        raise planner.where.error(entry, f"ORDER BY {entry.this.name}: there are {len(columns)} columns.")
    return columns[position - 1][1]


def _without_limit(node: Tree) -> tuple[Tree, list[tuple[exp.Ordered, str]], set[str]]:
    """(the query without ORDER BY and LIMIT, each entry of ORDER BY with the column it means, columns added for that). A name is
    empty where the entry is a position."""
    order = node.args.get("order")
    listed: list[exp.Ordered] = [] if order is None else order.expressions
    inner = node.this.copy() if isinstance(node, exp.Subquery) else node.copy()
    if not isinstance(node, exp.Subquery):
        for name in ("order", "limit", "offset"):
            inner.set(name, None)
    inner.parent = None
    is_select = (
        isinstance(inner, exp.Select) and isinstance(node, exp.Select) and not node.args.get("distinct")
    )
    names = {one.alias_or_name for one in inner.expressions} if is_select else set[str]()
    entries: list[tuple[exp.Ordered, str]] = []
    hidden: set[str] = set()
    for entry in listed:
        target = entry.this
        if isinstance(target, exp.Literal) and not target.is_string:
            entries.append((entry, ""))
        elif isinstance(target, exp.Column) and not target.table and (not is_select or target.name in names):
            entries.append((entry, target.name))
        elif is_select:
            name = f"_order{len(hidden)}"
            hidden.add(name)
            inner.append("expressions", named(target, name))
            entries.append((entry, name))
        else:
            entries.append((entry, target.sql()))
    return inner, entries, hidden


def _limit(planner: Planner, node: Tree) -> _Limit:
    limit, offset = node.args.get("limit"), node.args.get("offset")
    if limit is None:
        raise NotIncremental("OFFSET without LIMIT", "Add LIMIT.")
    count = limit.expression if isinstance(limit, exp.Limit) else limit.args.get("count")
    return _Limit(
        1 if count is None else _whole(planner, count),
        0 if offset is None else _whole(planner, offset.expression),
    )


def _whole(planner: Planner, node: Tree) -> int:
    if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
        raise planner.where.error(node, "LIMIT and OFFSET take a whole number.")
    return int(node.name)
