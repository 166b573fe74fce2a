"""Random queries over the supported grammar, in Flink SQL and in DuckDB's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from springline.core.types import BIGINT, INT, STRING, TIMESTAMP, SqlType
from tests.law.aggregates import Aggregates
from tests.law.choices import Choices, chance, pick
from tests.law.expressions import Expressions
from tests.law.features import taken
from tests.law.pieces import Expr, Piece, both, listed, pair, same
from tests.law.user_functions import climbed
from tests.law.windows import WINDOWS, windowed

Columns = list[tuple[str, SqlType]]


@dataclass(frozen=True, slots=True)
class Relation:
    """What stands in FROM. Without a ``key`` equal rows may occur more than once."""

    name: Piece
    columns: tuple[tuple[str, SqlType], ...]
    key: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT or a set operation: its text, its columns, and those that identify a row."""

    piece: Piece
    columns: tuple[tuple[str, SqlType], ...]
    key: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Item:
    """One relation of a FROM clause under its alias."""

    alias: str
    relation: Relation

    def column(self, name: str) -> Expr:
        kind = dict(self.relation.columns)[name]
        return Expr(same(f"{self.alias}.{name}"), kind, name)

    @property
    def columns(self) -> list[Expr]:
        return [self.column(name) for name, _ in self.relation.columns]


class Queries:
    """Writes queries over some relations. ``peer`` keeps to what DuckDB can check."""

    def __init__(self, choices: Choices, relations: Sequence[Relation], *, peer: bool) -> None:
        self.choices = choices
        self.relations = list(relations)
        self.peer = peer
        self._aliases = 0

    def view(self) -> Query:
        """A query that can be a view: it has a key."""
        shape = pick(
            self.choices,
            [self.rows, self.groups, self.groups, self.distinct, self.whole, self.set_operation, self.ranked, self.over,
             self.with_common, self.windows, self.first_rows],
        )  # fmt: skip
        made = shape(2)
        return made if made.key is not None else self.distinct_of(made)

    # -- shapes ----------------------------------------------------------------------------------------------------

    def rows(self, depth: int) -> Query:
        """Filtered and joined rows with their keys and some expressions."""
        source, items = self.source(depth)
        expressions = self._expressions(items)
        where = self._where(expressions, depth)
        if len(items) == 1 and chance(self.choices, 6):
            star = pick(self.choices, ("*", items[0].alias + ".*"))
            relation = items[0].relation
            return Query(both("SELECT " + star + "{0}{1}", source, where), relation.columns, relation.key)
        kept = [
            (f"{item.alias}_{name}", item.column(name))
            for item in items
            for name in (item.relation.key or [name for name, _ in item.relation.columns])
        ]
        computed = [(f"c{index}", expressions.any()) for index in range(self.choices.below(4))]
        if chance(self.choices, 8) and taken("correlated scalar subquery"):
            computed.append(("sub", self._scalar_subquery(items, correlated=True)))
        keyed = all(item.relation.key is not None for item in items)
        names = tuple(name for name, _ in kept) if keyed else None
        return self._select([*kept, *computed], both("{0}{1}", source, where), names)

    def distinct(self, depth: int) -> Query:
        source, items = self.source(depth)
        expressions = self._expressions(items)
        where = self._where(expressions, depth)
        columns = [(f"c{index}", expressions.any()) for index in range(1 + self.choices.below(3))]
        return self._select(
            columns, both("{0}{1}", source, where), tuple(name for name, _ in columns), "DISTINCT "
        )

    def groups(self, depth: int) -> Query:
        """GROUP BY one or two expressions."""
        source, items = self.source(depth)
        expressions = self._expressions(items)
        where = self._where(expressions, depth)
        keys: dict[str, Expr] = {}
        for _ in range(1 + self.choices.below(2)):
            key = expressions.any(1)
            if key.piece.flink not in keys and not _constant(key):
                keys[key.piece.flink] = key
        if not keys:
            keys = {(first := items[0].columns[0]).piece.flink: first}
        columns = [(f"g{index}", key) for index, key in enumerate(keys.values())]
        names = tuple(name for name, _ in columns)
        aggregates = Aggregates(self.choices, expressions)
        measured = [(f"m{index}", aggregates.any()) for index in range(1 + self.choices.below(3))]
        group = both(" GROUP BY {0}", listed(key.piece for key in keys.values()))
        tail = both("{0}{1}{2}{3}", source, where, group, self._having(aggregates))
        return self._select([*columns, *measured], tail, names)

    def whole(self, depth: int) -> Query:
        """Aggregates of all rows: one row."""
        source, items = self.source(depth)
        expressions = self._expressions(items)
        where = self._where(expressions, depth)
        aggregates = Aggregates(self.choices, expressions)
        measured = [(f"m{index}", aggregates.any()) for index in range(1 + self.choices.below(3))]
        tail = both("{0}{1}{2}", source, where, self._having(aggregates))
        return self._select(measured, tail, (measured[0][0],))

    def set_operation(self, depth: int) -> Query:
        """Two or three queries of the same columns."""
        operators = ["UNION ALL"] + [
            one for one in ("UNION", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL") if taken(one)
        ]
        operator = pick(self.choices, operators)
        sides = [self._side() for _ in range(2)]
        common = [kind for kind in sides[0][1] if kind in sides[1][1]] or [INT]
        kinds = [pick(self.choices, common) for _ in range(1 + self.choices.below(2))]
        texts = [self._side_text(side, kinds) for side in sides]
        piece = both("{0} " + operator + " {1}", *texts)
        columns = tuple((f"u{index}", kind) for index, kind in enumerate(kinds))
        names = tuple(name for name, _ in columns)
        return Query(piece, columns, None if operator.endswith("ALL") else names)

    def ranked(self, depth: int) -> Query:
        """The first rows of each group: ROW_NUMBER in a derived table, filtered outside."""
        if not taken("top-N"):
            return self.groups(depth)
        inner = self.relation()
        if inner.key is None:
            return self.groups(depth)
        item = self._item(inner)
        names = [name for name, _ in inner.columns]
        order = [pick(self.choices, names), *inner.key]
        directions = [pick(self.choices, ("", " DESC", " ASC")) for _ in order]
        window = self._window(item, [pick(self.choices, names)], list(zip(order, directions, strict=True)))
        alias = self._alias()
        number = f"rn{len(names)}"
        piece = both(
            "SELECT {0}{5} FROM (SELECT {1}, ROW_NUMBER() OVER ({2}) AS "
            + number
            + " FROM {3}) AS {4} WHERE "
            + number
            + " {6}",
            same(", ".join(names)),
            listed(column.piece for column in item.columns),
            window,
            both("{0} AS " + item.alias, inner.name),
            same(alias),
            same(
                f", {number}"
                if (numbered := taken("top-N with its number") and chance(self.choices, 3))
                else ""
            ),
            same(pick(self.choices, ("<= 2", "= 1", "< 3"))),
        )
        columns = inner.columns + (((number, BIGINT),) if numbered else ())
        return Query(piece, columns, inner.key)

    def over(self, depth: int) -> Query:
        """OVER windows that keep every row."""
        calls = [
            ("RANK", "RANK()", BIGINT),
            ("RANK", "DENSE_RANK()", BIGINT),
            ("ROW_NUMBER", "ROW_NUMBER()", BIGINT),
            ("LAG", "LAG({0})", None),
            ("LAG", "LEAD({0})", None),
            ("aggregate OVER", "COUNT(*)", BIGINT),
            ("aggregate OVER", "MAX({0})", None),
            ("ordered aggregate OVER", "MIN({0})", None),
        ]
        usable = [one for one in calls if taken(one[0])]
        inner = self.relation()
        if not usable or inner.key is None:
            return self.rows(depth)
        item = self._item(inner)
        feature, text, kind = pick(self.choices, usable)
        names = [name for name, _ in inner.columns]
        order: list[tuple[str, str]] = []
        if feature != "aggregate OVER":
            order = [(pick(self.choices, names), pick(self.choices, ("", " DESC")))]
            order += [(name, "") for name in inner.key]
        window = self._window(item, [pick(self.choices, names)], order)
        value = item.column(pick(self.choices, names))
        if value.type.name in ("BOOLEAN", "BYTES"):
            value = item.column("id") if "id" in names else value
        call = both(text + " OVER ({1})", value.piece, window)
        columns = [(name, item.column(name)) for name in names]
        columns.append((f"w{len(names)}", Expr(call, value.type if kind is None else kind)))
        return self._select(columns, both(" FROM {0} AS " + item.alias, inner.name), inner.key)

    def first_rows(self, depth: int) -> Query:
        """The first rows of all: ORDER BY … LIMIT."""
        inner = self.relation()
        if not taken("ORDER BY LIMIT") or inner.key is None:
            return self.groups(depth)
        item = self._item(inner)
        names = [pick(self.choices, [name for name, _ in inner.columns]), *inner.key]
        order = self._ordered(item, [(name, pick(self.choices, ("", " DESC"))) for name in names])
        rows = self._expressions([item])
        limit = pick(self.choices, ("1", "2", "3", "2 OFFSET 1"))
        piece = both(
            "SELECT {0} FROM {1} AS " + item.alias + "{2} ORDER BY {3} LIMIT " + limit,
            listed(both("{0} AS " + column.column, column.piece) for column in item.columns),
            inner.name,
            self._where(rows, 0),
            order,
        )
        return Query(piece, inner.columns, inner.key)

    def windows(self, depth: int) -> Query:
        """GROUP BY the windows of a table function, and by another column in half of them."""
        timed = [one for one in self.relations if any(kind == TIMESTAMP for _, kind in one.columns)]
        if not timed:
            return self.groups(depth)
        inner = pick(self.choices, timed)
        time = pick(self.choices, [name for name, kind in inner.columns if kind == TIMESTAMP])
        other = pick(
            self.choices,
            [name for name, kind in inner.columns if name != time and kind.element is None] or [time],
        )
        call = pick(self.choices, WINDOWS)
        item = self._item(inner)
        expressions = self._expressions([item])
        aggregates = Aggregates(self.choices, expressions)
        columns = [
            (name, Expr(same(f"{item.alias}.{name}"), TIMESTAMP)) for name in ("window_start", "window_end")
        ]
        if call.name == "SESSION" or chance(self.choices, 2):
            columns.append(("g", item.column(other)))
        names = tuple(name for name, _ in columns)
        measured = [(f"m{index}", aggregates.any()) for index in range(1 + self.choices.below(3))]
        group = both(" GROUP BY {0}", listed(one.piece for _, one in columns))
        source = both(" FROM {0}", windowed(call, inner.name, time, other, item.alias))
        where = both(" WHERE {0}", expressions.condition().piece) if chance(self.choices, 5) else same("")
        tail = both("{0}{1}{2}{3}", source, where, group, self._having(aggregates))
        return self._select([*columns, *measured], tail, names)

    def with_common(self, depth: int) -> Query:
        """WITH: a query that others read by name."""
        inner = pick(self.choices, (self.groups, self.rows, self.distinct))(1)
        if inner.key is None:
            return self.groups(depth)
        name = f"t{self._alias()}"
        common = Relation(same(name), inner.columns, inner.key)
        outside = self.relations
        self.relations = [common, common, *outside[:1]]
        body = pick(self.choices, (self.rows, self.groups))(0)
        self.relations = outside
        return replace(body, piece=both("WITH " + name + " AS ({0}) {1}", inner.piece, body.piece))

    def distinct_of(self, inner: Query) -> Query:
        """A bag made into a view: its distinct rows with their counts."""
        alias = self._alias()
        names = [name for name, _ in inner.columns]
        listing = ", ".join(names)
        piece = both(
            f"SELECT {listing}, COUNT(*) AS times FROM ({{0}}) AS {alias} GROUP BY {listing}", inner.piece
        )
        return Query(piece, (*inner.columns, ("times", BIGINT)), tuple(names))

    # -- FROM ------------------------------------------------------------------------------------------------------

    def relation(self) -> Relation:
        return pick(self.choices, self.relations)

    def source(self, depth: int) -> tuple[Piece, list[Item]]:
        """`` FROM a JOIN b ON …``: one to three relations."""
        text, first = self._from(depth)
        items = [first]
        made = both(" FROM {0}", text)
        for _ in range(pick(self.choices, (0, 0, 1, 1, 2)) if depth else pick(self.choices, (0, 1))):
            kinds = ["JOIN", "JOIN", "LEFT JOIN"]
            kinds += [one for one in ("RIGHT JOIN", "FULL JOIN", "CROSS JOIN") if taken(one)]
            kind = pick(self.choices, kinds)
            text, item = self._from(depth)
            if kind == "CROSS JOIN" and len(items) == 1:
                made = both("{0} CROSS JOIN {1}", made, text)
            else:
                kind = "JOIN" if kind == "CROSS JOIN" else kind
                made = both("{0} " + kind + " {1} {2}", made, text, self._on(kind, items, item))
            items.append(item)
        return self._climbed(made, items)

    def _climbed(self, made: Piece, items: list[Item]) -> tuple[Piece, list[Item]]:
        """One in ten times, a table function of each row behind the joins."""
        numbers = [one for item in items for one in item.columns if one.type == INT]
        if not numbers or not taken("LATERAL TABLE") or not chance(self.choices, 10):
            return made, items
        item = self._item(Relation(same(""), (("stair", INT), ("below", INT)), None))
        call = climbed(pick(self.choices, numbers).piece, item.alias, left=chance(self.choices, 2))
        return both("{0}{1}", made, call), [*items, item]

    def _on(self, kind: str, items: list[Item], item: Item) -> Piece:
        before = pick(self.choices, items)
        shared = [
            one.column
            for one in item.columns
            for two in before.columns
            if (one.column, one.type) == (two.column, two.type)
        ]
        if len(items) == 1 and shared and kind in ("JOIN", "LEFT JOIN") and chance(self.choices, 10):
            return same(f"USING ({shared[0]})")
        condition = Expressions(self.choices, item.columns, peer=self.peer).equality(before.columns).piece
        times = [
            (one, two) for one in item.columns for two in before.columns if one.type == two.type == TIMESTAMP
        ]
        if times and taken("interval join") and chance(self.choices, 3):
            one, two = pick(self.choices, times)
            between = "{0} AND {1} BETWEEN {2} - INTERVAL '1' HOUR AND {2} + INTERVAL '30' MINUTE"
            condition = both(between, condition, one.piece, two.piece)
        if chance(self.choices, 4):
            rows = self._expressions([*items, item])
            condition = both("{0} AND {1}", condition, rows.condition().piece)
        return both("ON {0}", condition)

    def _from(self, depth: int) -> tuple[Piece, Item]:
        """A relation, or one in six times a derived table."""
        if depth and chance(self.choices, 6):
            shape = pick(self.choices, (self.rows, self.groups, self.distinct, self.set_operation))
            inner = shape(0)
            if inner.key is None and not chance(self.choices, 3):
                inner = self.distinct_of(inner)
            item = self._item(Relation(inner.piece, inner.columns, inner.key))
            return both("({0}) AS " + item.alias, inner.piece), item
        item = self._item(self.relation())
        return both("{0} AS " + item.alias, item.relation.name), item

    def _item(self, relation: Relation) -> Item:
        return Item(self._alias(), relation)

    def _alias(self) -> str:
        self._aliases += 1
        return f"q{self._aliases}"

    # -- parts -----------------------------------------------------------------------------------------------------

    def _expressions(self, items: Sequence[Item]) -> Expressions:
        return Expressions(
            self.choices, [column for item in items for column in item.columns], peer=self.peer
        )

    def _select(
        self,
        columns: Sequence[tuple[str, Expr]],
        tail: Piece,
        key: tuple[str, ...] | None,
        distinct: str = "",
    ) -> Query:
        shown = listed(both("{0} AS " + name, expr.piece) for name, expr in columns)
        piece = both("SELECT " + distinct + "{0}{1}", shown, tail)
        return Query(piece, tuple((name, expr.type) for name, expr in columns), key)

    def _where(self, rows: Expressions, depth: int) -> Piece:
        if not chance(self.choices, 3):
            return same("")
        if depth and chance(self.choices, 3) and (made := self._subquery_condition(rows)) is not None:
            return both(" WHERE {0}", made)
        return both(" WHERE {0}", rows.condition().piece)

    def _having(self, aggregates: Aggregates) -> Piece:
        if not chance(self.choices, 4):
            return same("")
        template = pick(
            self.choices,
            ("{0} IS NOT NULL", "COUNT(*) > 1", "COUNT(*) < 3", "NOT ({0} IS NULL) OR COUNT(*) = 2"),
        )
        return both(" HAVING " + template, aggregates.any().piece)

    def _subquery_condition(self, rows: Expressions) -> Piece | None:
        kinds = [one for one in ("IN", "NOT IN", "EXISTS", "NOT EXISTS", "scalar subquery") if taken(one)]
        if not kinds:
            return None
        kind = pick(self.choices, kinds)
        item = self._item(self.relation())
        inner = Expressions(self.choices, item.columns, peer=self.peer)
        table = both("{0} AS " + item.alias, item.relation.name)
        filtered = both(" WHERE {0}", inner.condition().piece) if chance(self.choices, 3) else same("")
        if kind in ("IN", "NOT IN"):
            pairs = [(one, two) for one in rows.columns for two in item.columns if one.type == two.type]
            if not pairs:
                return None
            one, two = pick(self.choices, pairs)
            return both("{0} " + kind + " (SELECT {1} FROM {2}{3})", one.piece, two.piece, table, filtered)
        if kind == "scalar subquery":
            numbers = [one for one in rows.columns if one.type in (INT, BIGINT)]
            found = [one for one in item.columns if one.type == INT]
            if not numbers or not found:
                return None
            template = "{0} >= (SELECT MAX({1}) FROM {2}{3})"
            return both(
                template, pick(self.choices, numbers).piece, pick(self.choices, found).piece, table, filtered
            )
        equality = rows.equality(item.columns).piece
        return both(kind + " (SELECT 1 FROM {0} WHERE {1})", table, equality)

    def _scalar_subquery(self, items: Sequence[Item], *, correlated: bool) -> Expr:
        item = self._item(self.relation())
        rows = self._expressions(items)
        argument = pick(
            self.choices, [one for one in item.columns if one.type in (INT, BIGINT, STRING)] or item.columns
        )
        table = both("{0} AS " + item.alias, item.relation.name)
        where = both(" WHERE {0}", rows.equality(item.columns).piece) if correlated else same("")
        if argument.type in (INT, BIGINT, STRING):
            return Expr(both("(SELECT MAX({0}) FROM {1}{2})", argument.piece, table, where), argument.type)
        return Expr(both("(SELECT COUNT({0}) FROM {1}{2})", argument.piece, table, where), BIGINT)

    def _window(self, item: Item, partition: Sequence[str], order: Sequence[tuple[str, str]]) -> Piece:
        parts = listed(item.column(name).piece for name in partition)
        if not order:
            return both("PARTITION BY {0}", parts)
        return both("PARTITION BY {0} ORDER BY {1}", parts, self._ordered(item, order))

    def _ordered(self, item: Item, order: Sequence[tuple[str, str]]) -> Piece:
        return listed(
            pair(
                "{0}" + direction,
                "{0}" + direction + (" NULLS LAST" if direction == " DESC" else " NULLS FIRST"),
                item.column(name).piece,
            )
            for name, direction in order
        )

    def _side(self) -> tuple[Item, list[SqlType]]:
        item = self._item(self.relation())
        return item, list(dict.fromkeys(kind for _, kind in item.relation.columns))

    def _side_text(self, side: tuple[Item, list[SqlType]], kinds: Sequence[SqlType]) -> Piece:
        item, _ = side
        rows = self._expressions([item])
        shown = listed(both(f"{{0}} AS u{index}", rows.of(kind, 1).piece) for index, kind in enumerate(kinds))
        where = both(" WHERE {0}", rows.condition().piece) if chance(self.choices, 3) else same("")
        return both("SELECT {0} FROM {1} AS " + item.alias + "{2}", shown, item.relation.name, where)


def _constant(expr: Expr) -> bool:
    """Whether it reads no column: GROUP BY takes no literals."""
    return re.search(r"\bq\d+\.", expr.piece.flink) is None
