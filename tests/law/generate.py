"""Random tables, queries and changelogs for the law, as hypothesis strategies.

Domains are small and nasty: NULL, NaN, both zeros, the ends of each integer type, DECIMALs of several scales and spellings;
so that groups collide, joins match, and rows come and go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, BOOLEAN, DOUBLE, INT, STRING, TIMESTAMP, SqlType, Stored, decimal

Draw = Callable[[st.SearchStrategy], object]
Row = tuple[Stored, ...]

PRICE = decimal(8, 2)
RATE = decimal(12, 4)
WIDE = decimal()

VALUES: dict[SqlType, list[Stored]] = {
    INT: [0, 1, 2, 3, -5, 2**31 - 1, -(2**31)],
    BIGINT: [0, 1, 2, 3, 2**63 - 1, -(2**63), 10**15],
    PRICE: [0, 100, 150, -325, 99_999_999, "NaN"],
    RATE: [0, 10_000, 15_000, 1, -999_999_999_999],
    DOUBLE: [0.0, -0.0, 0.1, 0.2, 1e17, -2.5, 1.7e308, "NaN", float("inf")],
    STRING: ["", "a", "A", "b", "1", "2013-02-08"],
    BOOLEAN: [0, 1],
    TIMESTAMP: [0, 1, -1, 1_360_281_600_000_000, 1_360_285_199_999_999],
    WIDE: ["0", "1.5", "1.50", "-3", "12345678901234567890.1", "NaN", "-Infinity"],
}
NUMBERS = (INT, BIGINT, PRICE, RATE, DOUBLE, WIDE)

EXAMPLES = int(os.environ.get("SPRINGLINE_LAW_EXAMPLES", "0"))


def law(examples: int) -> settings:
    """Settings of a law's test; the environment variable ``SPRINGLINE_LAW_EXAMPLES`` asks for another number of examples."""
    return settings(max_examples=EXAMPLES or examples, deadline=None, database=None, print_blob=True)


@dataclass
class Case:
    """Tables, views in order (name, text), and changes in order (table, row that goes, row that comes)."""

    tables: list[TableSchema]
    views: list[tuple[str, str]] = field(default_factory=list)
    changes: list[tuple[str, Row | None, Row | None]] = field(default_factory=list)


@st.composite
def tables(draw: Callable[..., object]) -> list[TableSchema]:
    """Two or three tables, ``s.a``, ``s.b``, ``s.c``. One in four has a key of two columns, one in eight no key at all."""
    made: list[TableSchema] = []
    for name in "abc"[: draw(st.integers(2, 3))]:
        shape = draw(st.integers(0, 7))
        columns = [Column("id", INT, nullable=False)]
        if shape in (1, 2):
            columns.append(Column("k", STRING, nullable=False))
        kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=2, max_size=4))
        for index, kind in enumerate(kinds):
            columns.append(Column(f"{name}{index}", kind, nullable=draw(st.integers(0, 3)) > 0))
        # An integer that is small and often equal, to join and group by.
        columns.append(Column("ref", INT))
        key = ("id", "k") if shape in (1, 2) else () if shape == 7 else ("id",)
        made.append(TableSchema(f"s.{name}", tuple(columns), key))
    return made


def _row(draw: Callable[..., object], schema: TableSchema) -> Row:
    values: list[Stored] = []
    for column in schema.columns:
        if column.name in ("id", "ref"):
            domain: list[Stored] = [1, 2, 3, 4]
        elif column.name == "k":
            domain = ["x", "y"]
        else:
            domain = list(VALUES[column.type])
        if column.nullable:
            domain.insert(0, None)
        values.append(draw(st.sampled_from(domain)))
    return tuple(values)


def changes(
    draw: Callable[..., object], schemas: Sequence[TableSchema], count: int
) -> list[tuple[str, Row | None, Row | None]]:
    """Inserts, updates, deletes and changes of keys, each possible at its place in the order."""
    held: dict[str, dict[Row, Row]] = {schema.name: {} for schema in schemas}
    bags: dict[str, list[Row]] = {schema.name: [] for schema in schemas}
    made: list[tuple[str, Row | None, Row | None]] = []
    for _ in range(count):
        schema = draw(st.sampled_from(list(schemas)))
        new = _row(draw, schema)
        deletes = draw(st.integers(0, 3)) == 0
        if not schema.key:
            bag = bags[schema.name]
            if deletes and bag:
                made.append((schema.name, bag.pop(0), None))
            else:
                bag.append(new)
                made.append((schema.name, None, new))
            continue
        rows = held[schema.name]
        key = tuple(new[index] for index in schema.key_indexes)
        old = rows.pop(key, None)
        if deletes:
            if old is not None:
                made.append((schema.name, old, None))
            continue
        rows[key] = new
        made.append((schema.name, old, new))
    return made


class Query:
    """Writes one random SELECT over some relations."""

    def __init__(self, draw: Callable[..., object], schemas: Sequence[TableSchema]) -> None:
        self.draw = draw
        self.schemas = schemas
        self.items: list[tuple[str, TableSchema]] = []

    def choose(self, *options: object) -> object:
        return self.draw(st.sampled_from(options))

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(1, one_in)) == one_in

    # -- FROM ------------------------------------------------------------------------------------------------------

    def source(self) -> str:
        text = "FROM " + self._item()
        for _ in range(self.draw(st.sampled_from([0, 0, 1, 1, 2]))):
            kind = self.choose("JOIN", "JOIN", "LEFT JOIN")
            item = self._item()
            condition = self._equality()
            if self.chance(4):
                condition += f" AND {self.condition()}"
            text += f" {kind} {item} ON {condition}"
        return text

    def _item(self) -> str:
        alias = f"q{len(self.items)}"
        schema = self.draw(st.sampled_from(list(self.schemas)))
        name = schema.name
        text = ".".join(f"`{part}`" for part in name.split("."))
        if self.chance(6) and schema.key:
            columns = [column.name for column in schema.columns]
            where = f" WHERE {self._null_test([(alias, schema)])}".replace(f"{alias}.", "")
            text = f"(SELECT {', '.join(columns)} FROM {text}{where})"
        self.items.append((alias, schema))
        return f"{text} AS {alias}"

    def _equality(self) -> str:
        *before, (alias, schema) = self.items
        other_alias, other = self.draw(st.sampled_from(before))
        pairs = [
            (f"{alias}.{one.name}", f"{other_alias}.{two.name}")
            for one in schema.columns
            for two in other.columns
            if one.type == two.type
        ]
        if not pairs:
            pairs = [("1", "1")]
        one, two = self.draw(st.sampled_from(pairs[:12]))
        return f"{one} {self.choose('=', '=', '=', '=', 'IS NOT DISTINCT FROM')} {two}"

    # -- expressions -----------------------------------------------------------------------------------------------

    def columns(self, *kinds: SqlType) -> list[str]:
        return [
            f"{alias}.{column.name}"
            for alias, schema in self.items
            for column in schema.columns
            if not kinds or column.type in kinds
        ]

    def _null_test(self, items: list[tuple[str, TableSchema]]) -> str:
        names = [f"{alias}.{column.name}" for alias, schema in items for column in schema.columns]
        return f"{self.draw(st.sampled_from(names))} IS {self.choose('', 'NOT ')}NULL"

    def condition(self) -> str:
        numbers = self.columns(INT, BIGINT, PRICE, RATE, DOUBLE)
        options = [self._null_test(self.items)]
        if numbers:
            one, two = self.draw(st.sampled_from(numbers)), self.draw(st.sampled_from(numbers))
            options.append(f"{one} {self.choose('<', '>=', '=', '<>')} {two}")
            options.append(f"{one} > {self.choose('0', '1.5', '2')}")
            options.append(f"{one} BETWEEN 0 AND 2 OR {two} IN (1, 3)")
            options.append(f"NOT ({one} < {two}) AND {one} IS DISTINCT FROM {two}")
        if texts := self.columns(STRING):
            options.append(f"{self.draw(st.sampled_from(texts))} LIKE '{self.choose('a%', '_', '%')}'")
        if flags := self.columns(BOOLEAN):
            options.append(f"{self.draw(st.sampled_from(flags))}")
        return f"({self.draw(st.sampled_from(options))})"

    def scalar(self) -> str:
        every = self.columns()
        column = self.draw(st.sampled_from(every))
        options = [
            column,
            column,
            f"COALESCE({column}, {column})",
            f"CASE WHEN {self.condition()} THEN {column} END",
        ]
        if integers := self.columns(INT):
            one, two = self.draw(st.sampled_from(integers)), self.draw(st.sampled_from(integers))
            options += [
                f"{one} + {two}",
                f"{one} * 2 - {two}",
                f"{one} / {two}",
                f"MOD({one}, 3)",
                f"GREATEST({one}, {two})",
            ]
        if prices := self.columns(PRICE, RATE):
            price = self.draw(st.sampled_from(prices))
            options += [
                f"{price} + 1",
                f"{price} * 2",
                f"ROUND({price}, 1)",
                f"CAST({price} AS STRING)",
                f"ABS({price})",
            ]
        if doubles := self.columns(DOUBLE):
            options += [
                f"{self.draw(st.sampled_from(doubles))} * 2",
                f"-{self.draw(st.sampled_from(doubles))}",
            ]
        if texts := self.columns(STRING):
            text = self.draw(st.sampled_from(texts))
            options += [
                f"UPPER({text})",
                f"{text} || '!'",
                f"CHAR_LENGTH({text})",
                f"TRY_CAST({text} AS INT)",
            ]
        if times := self.columns(TIMESTAMP):
            time = self.draw(st.sampled_from(times))
            options += [f"FLOOR({time} TO HOUR)", f"{time} + INTERVAL '1' DAY", f"EXTRACT(HOUR FROM {time})"]
        return str(self.draw(st.sampled_from(options)))

    def aggregate(self) -> str:
        numbers = self.columns(*NUMBERS)
        column = self.draw(st.sampled_from(self.columns()))
        options = [
            "COUNT(*)",
            f"COUNT({column})",
            f"COUNT(DISTINCT {column})",
            f"MIN({column})",
            f"MAX({column})",
        ]
        if numbers:
            number = self.draw(st.sampled_from(numbers))
            options += [f"SUM({number})", f"AVG({number})", f"SUM({number})", f"MIN({number})"]
        made = str(self.draw(st.sampled_from(options)))
        return f"{made} FILTER (WHERE {self.condition()})" if self.chance(5) else made

    # -- whole queries ---------------------------------------------------------------------------------------------

    def text(self) -> str:
        shape = self.choose("rows", "rows", "groups", "groups", "groups", "distinct", "whole", "union")
        if shape == "union":
            return self._union()
        source = self.source()
        where = f" WHERE {self.condition()}" if self.chance(3) else ""
        if shape == "rows":
            return f"SELECT {self._rows()} {source}{where}"
        if shape == "distinct":
            scalars = [f"{self.scalar()} AS c{index}" for index in range(self.draw(st.integers(1, 3)))]
            return f"SELECT DISTINCT {', '.join(scalars)} {source}{where}"
        aggregates = [f"{self.aggregate()} AS m{index}" for index in range(self.draw(st.integers(1, 3)))]
        having = (
            f" HAVING {self.choose('COUNT(*) > 1', 'COUNT(*) < 3', self.aggregate() + ' IS NOT NULL')}"
            if self.chance(4)
            else ""
        )
        if shape == "whole":
            return f"SELECT {', '.join(aggregates)} {source}{where}{having}"
        keys = list(dict.fromkeys(self.scalar() for _ in range(self.draw(st.integers(1, 2)))))
        listed = [f"{key} AS g{index}" for index, key in enumerate(keys)] + aggregates
        return f"SELECT {', '.join(listed)} {source}{where} GROUP BY {', '.join(keys)}{having}"

    def _rows(self) -> str:
        """Every key that the answer may need, and some expressions."""
        listed = [
            f"{alias}.{part} AS {alias}_{part}"
            for alias, schema in self.items
            for part in (schema.key or schema.names)
        ]
        listed += [f"{self.scalar()} AS c{index}" for index in range(self.draw(st.integers(0, 3)))]
        return ", ".join(listed)

    def _union(self) -> str:
        """A group over UNION ALL of two tables."""
        sides: list[str] = []
        for index in range(2):
            schema = self.draw(st.sampled_from(list(self.schemas)))
            numbers = [column.name for column in schema.columns if column.type == INT] or ["1"]
            name = ".".join(f"`{part}`" for part in schema.name.split("."))
            first, second = self.draw(st.sampled_from(numbers)), self.draw(st.sampled_from(numbers))
            sides.append(f"SELECT {first} AS u, {second} + {index} AS w FROM {name}")
        return f"SELECT u, COUNT(*) AS n, SUM(w) AS s, MAX(w) AS m FROM ({' UNION ALL '.join(sides)}) AS both_ GROUP BY u"
