"""Joined and filtered rows: occurrences of relations, and what equalities between their columns imply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from springline.core.schema import TableSchema
from springline.sql.clauses import JoinKind
from springline.sql.typed import Typed, quote

ColumnRef = tuple[str, str]
"""(alias, column)"""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One mention of a relation in a FROM. ``on`` belongs to a LEFT JOIN; conditions of inner joins are filters."""

    alias: str
    schema: TableSchema
    kind: JoinKind = "inner"
    on: tuple[Typed, ...] = ()
    computed: str = ""
    """A query for the rows of a relation that keeps none (``plan.Node.virtual``), or of a series that never changes: that has
    no name (``windows.windowed``)."""

    weighted: bool = False
    """Whether the computed rows have weights."""

    single: bool = False
    """Whether there is never more than one row."""

    beside: frozenset[str] = frozenset()
    """Of rows that are computed from others (``lateral.py``): the aliases of those."""

    @property
    def relation(self) -> str:
        return self.schema.name


@dataclass(slots=True)
class Rows:
    """Occurrences in the order of the text, and the conjuncts of all inner joins and WHERE. ``sign`` is -1 where the rows are
    taken from those of another branch (``outer_joins.py``)."""

    occurrences: list[Occurrence] = field(default_factory=list[Occurrence])
    filters: list[Typed] = field(default_factory=list[Typed])
    sign: int = 1

    @property
    def has_left(self) -> bool:
        return any(one.kind == "left" for one in self.occurrences)

    @property
    def relations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.relation for one in self.occurrences if one.relation))

    def occurrence(self, alias: str) -> Occurrence:
        return next(one for one in self.occurrences if one.alias == alias)


def table(name: str) -> str:
    return f"main.{quote(name)}"


def delta(name: str) -> str:
    return f"temp.{quote('d:' + name)}"


def names_of(columns: Iterable[str]) -> str:
    return ", ".join(quote(column) for column in columns)


def equalities(conditions: Iterable[Typed]) -> Iterator[tuple[Typed, Typed]]:
    """The two sides of each conjunct that is an equality."""
    for condition in conditions:
        if condition.test in ("=", "IS"):
            yield condition.parts[0], condition.parts[1]


def determined(rows: Rows, start: Iterable[str]) -> set[str]:
    """The aliases of which at most one row can go with given rows of ``start``: those joined on their whole key, and those
    that a filter wants to be missing (LEFT JOIN … WHERE id IS NULL)."""
    known = set(start) | _missing(rows) | {one.alias for one in rows.occurrences if one.single}
    pairs = [(pair, None) for pair in equalities(rows.filters)]
    pairs += [(pair, one.alias) for one in rows.occurrences for pair in equalities(one.on)]
    while True:
        added = False
        for occurrence in rows.occurrences:
            if occurrence.alias in known or not occurrence.schema.key:
                continue
            bound: set[str] = set()
            for (left, right), owner in pairs:
                # A LEFT JOIN's condition restricts only its own table.
                if owner is not None and owner != occurrence.alias:
                    continue
                if owner is None and occurrence.kind == "left":
                    continue
                for one, other in ((left, right), (right, left)):
                    if one.column and one.column[0] == occurrence.alias and other.refs <= known:
                        bound.add(one.column[1])
            if bound >= set(occurrence.schema.key):
                known.add(occurrence.alias)
                added = True
        if not added:
            return known


def _missing(rows: Rows) -> set[str]:
    left = {one.alias: one.schema for one in rows.occurrences if one.kind == "left"}
    tested = [one.parts[0].column for one in rows.filters if one.test == "NULL"]
    return {
        column[0]
        for column in tested
        if column is not None and column[0] in left and not left[column[0]].column(column[1]).nullable
    }


def key_aliases(rows: Rows, *, first: str | None = None) -> list[str] | None:
    """A smallest set of aliases whose keys together identify a row; None where one of them has no key."""
    every = [one.alias for one in rows.occurrences]
    needed = list(every)
    for alias in reversed(every):
        rest = [one for one in needed if one != alias]
        if alias != first and rest and determined(rows, rest) >= set(every):
            needed = rest
    if any(not rows.occurrence(alias).schema.key for alias in needed):
        return None
    return needed


def same_columns(rows: Rows) -> Callable[[ColumnRef], set[ColumnRef]]:
    """Columns that are equal in every row, because a filter says so."""
    groups: list[set[ColumnRef]] = []
    for left, right in equalities(rows.filters):
        if left.column is None or right.column is None or left.type != right.type:
            continue
        joined = {left.column, right.column}
        for group in [one for one in groups if one & joined]:
            joined |= group
            groups.remove(group)
        groups.append(joined)
    return lambda column: next((group for group in groups if column in group), {column})


@dataclass(frozen=True, slots=True)
class Index:
    """An index that a plan wants on a relation."""

    relation: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"x:{self.relation}:{','.join(self.columns)}"


@dataclass(frozen=True, slots=True)
class Term:
    """A FROM and WHERE over deltas and tables, and the product of the deltas' weights."""

    source: str
    weight: str
    indexes: tuple[Index, ...] = ()
    scans: tuple[str, ...] = ()
    """Relations that are read whole, for want of an equality."""


def terms(rows: Rows, relation: str) -> list[Term]:
    """How a delta of ``relation`` changes the join: one term for each non-empty set of its occurrences, those in the set from
    the delta, the others from the table as it was before (the product rule of Z-sets, DBSP, VLDB 2023, section 4)."""
    mine = [one.alias for one in rows.occurrences if one.relation == relation]
    made: list[Term] = []
    for size in range(1, len(mine) + 1):
        for chosen in combinations(mine, size):
            made.append(join(rows, chosen))
    return made


def join(rows: Rows, deltas: Sequence[str], *, only: Iterable[str] | None = None) -> Term:
    """An inner join in a fixed order (SQLite keeps the order of CROSS JOIN): the deltas' occurrences first, then whatever can
    be looked up by an equality. ``only`` restricts it to some aliases."""
    wanted = set(only) if only is not None else {one.alias for one in rows.occurrences}
    conditions = [one for one in rows.filters if one.refs <= wanted]
    order, indexes, scans = join_order(rows, deltas, wanted, conditions)
    parts: list[str] = []
    for alias in order:
        occurrence = rows.occurrence(alias)
        name = (
            delta(occurrence.relation)
            if alias in deltas
            else occurrence.computed or table(occurrence.relation)
        )
        parts.append(f"{name} AS {alias}")
    source = "FROM " + " CROSS JOIN ".join(parts)
    if conditions:
        source += " WHERE " + " AND ".join(one.sql for one in conditions)
    weighted = [*deltas, *(one.alias for one in rows.occurrences if one.alias in wanted and one.weighted)]
    weight = " * ".join(f"{alias}._w" for alias in dict.fromkeys(weighted)) or "1"
    if rows.sign < 0:
        weight = f"-({weight})"
    return Term(source, weight, tuple(indexes), tuple(scans))


def join_order(
    rows: Rows, start: Sequence[str], wanted: set[str], conditions: Sequence[Typed]
) -> tuple[list[str], list[Index], list[str]]:
    """Aliases in an order in which each is found from those before it, with the indexes for that."""
    order: list[str] = list(start[:1])
    waiting = [one.alias for one in rows.occurrences if one.alias in wanted and one.alias not in order]
    indexes: list[Index] = []
    scans: list[str] = []
    if not order and waiting:
        order.append(waiting.pop(0))
    while waiting:
        possible = [alias for alias in waiting if rows.occurrence(alias).beside <= set(order)]
        found = [(alias, lookup_columns(alias, set(order), conditions)) for alias in possible]
        found.sort(key=lambda one: (not one[1], not _covers_key(rows.occurrence(one[0]), one[1])))
        alias, columns = found[0]
        waiting.remove(alias)
        order.append(alias)
        if alias in start or not rows.occurrence(alias).relation:
            continue
        if columns:
            ranged = range_column(alias, set(order) - {alias}, conditions)
            indexes.extend(index_for(rows.occurrence(alias).schema, columns, ranged))
        else:
            scans.append(rows.occurrence(alias).relation)
    return order, indexes, scans


def _covers_key(occurrence: Occurrence, columns: Sequence[str]) -> bool:
    return bool(occurrence.schema.key) and set(columns) >= set(occurrence.schema.key)


def lookup_columns(alias: str, known: set[str], conditions: Sequence[Typed]) -> list[str]:
    """The columns of ``alias`` that an equality gives from rows of ``known``."""
    columns: list[str] = []
    for left, right in equalities(conditions):
        for one, other in ((left, right), (right, left)):
            usable = one.column is not None and one.column[0] == alias and one.type == other.type
            if usable and one.column is not None and other.refs and other.refs <= known:
                columns.append(one.column[1])
    return list(dict.fromkeys(columns))


def range_column(alias: str, known: set[str], conditions: Sequence[Typed]) -> str | None:
    """A column of ``alias`` that a comparison bounds from rows of ``known``."""
    for condition in conditions:
        if condition.test in ("<", "<=", ">", ">="):
            for one, other in (condition.parts, condition.parts[::-1]):
                if one.column is not None and one.column[0] == alias and other.refs and other.refs <= known:
                    return one.column[1]
    return None


def index_for(schema: TableSchema, columns: Sequence[str], ranged: str | None = None) -> list[Index]:
    """The index for a look-up by these columns, and within a range of another; none where the relation's key serves."""
    key = schema.key
    if key and (set(key) <= set(columns) or (ranged is None and set(key[: len(columns)]) == set(columns))):
        return []
    if ranged is not None and ranged not in columns:
        return [Index(schema.name, (*columns, ranged))]
    return [Index(schema.name, tuple(columns))]
