"""A case of the law: tables, views over them, and a changelog; and how random ones are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hypothesis import settings
from hypothesis import strategies as st

from springline.core.schema import Column, TableSchema
from springline.core.types import INT, STRING, SqlType, Stored
from springline.errors import ConfigurationError, SqlError
from springline.sql import compile_view
from springline.sql.program import ViewProgram
from tests.law.choices import Choices, Drawn, chance, pick
from tests.law.domains import NASTY, PLAIN
from tests.law.pieces import both, pair
from tests.law.queries import Queries, Query, Relation
from tests.law.user_functions import FUNCTIONS

Row: TypeAlias = tuple[Stored, ...]
Change: TypeAlias = tuple[str, Row | None, Row | None]
"""Table, the row that goes, the row that comes."""

EXAMPLES = int(os.environ.get("SPRINGLINE_LAW_EXAMPLES") or "0")


def law(examples: int) -> settings:
    """Settings of a law's test; the environment variable ``SPRINGLINE_LAW_EXAMPLES`` asks for another number of examples."""
    return settings(max_examples=EXAMPLES or examples, deadline=None, database=None, print_blob=True)


@dataclass
class Case:
    """``peer``: its values and queries are such that DuckDB can check them. ``queries`` are the generator's own views of them."""

    tables: list[TableSchema]
    views: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    peer: bool = False
    queries: dict[str, Query] = field(default_factory=dict, repr=False)
    refused: list[tuple[str, str]] = field(default_factory=list, repr=False)
    """What the generator wrote and the compiler did not take, with the reason."""


def made_tables(choices: Choices, *, peer: bool) -> list[TableSchema]:
    """One to three tables, ``s.a``, ``s.b``, ``s.c``. One in four has a key of two columns, one in eight no key at all."""
    domains = PLAIN if peer else NASTY
    made: list[TableSchema] = []
    for name in "abc"[: pick(choices, (2, 1, 3))]:
        shape = choices.below(8)
        columns = [Column("id", INT, nullable=False)]
        if shape in (5, 6):
            columns.append(Column("k", STRING, nullable=False))
        for index in range(1 + choices.below(4)):
            kind = pick(choices, list(domains))
            columns.append(Column(f"{name}{index}", kind, nullable=choices.below(4) < 3))
        # An integer that is small and often equal, to join and group by.
        columns.append(Column("ref", INT))
        key = ("id", "k") if shape in (5, 6) else () if shape == 7 else ("id",)
        made.append(TableSchema(f"s.{name}", tuple(columns), key))
    return made


def relation(schema: TableSchema) -> Relation:
    name = ".".join(f"`{part}`" for part in schema.name.split("."))
    columns = tuple((column.name, column.type) for column in schema.columns)
    return Relation(pair(name, schema.name), columns, schema.key or None)


def _row(choices: Choices, schema: TableSchema, domains: dict[SqlType, list[Stored]]) -> Row:
    values: list[Stored] = []
    for column in schema.columns:
        if column.name in ("id", "ref"):
            domain: Sequence[Stored] = (1, 2, 3, 4)
        elif column.name == "k":
            domain = ("x", "y")
        else:
            domain = domains[column.type]
        if column.nullable and chance(choices, 5):
            values.append(None)
        else:
            values.append(pick(choices, domain))
    return tuple(values)


class Changelog:
    """Random changes, each possible at its place in the order."""

    def __init__(self, choices: Choices, schemas: Sequence[TableSchema], *, peer: bool) -> None:
        self.choices, self.schemas = choices, list(schemas)
        self.domains = PLAIN if peer else NASTY
        self.made: list[Change] = []
        self._held: dict[str, dict[Row, Row]] = {schema.name: {} for schema in schemas}
        self._bags: dict[str, list[Row]] = {schema.name: [] for schema in schemas}
        self._gone: dict[str, list[Row]] = {schema.name: [] for schema in schemas}

    def steps(self, count: int) -> list[Change]:
        for _ in range(count):
            schema = pick(self.choices, self.schemas)
            way = pick(
                self.choices,
                (self._insert, self._insert, self._insert, self._insert, self._update, self._update, self._rekey,
                 self._delete, self._delete, self._again, self._truncate),
            )  # fmt: skip
            way(schema)
        return self.made

    def _key(self, schema: TableSchema, row: Row) -> Row:
        return tuple(row[index] for index in schema.key_indexes)

    def _put(self, schema: TableSchema, row: Row) -> None:
        """An insert, or an update where the key is there; a bag takes equal rows more than once."""
        if not schema.key:
            self._bags[schema.name].append(row)
            self.made.append((schema.name, None, row))
            return
        rows = self._held[schema.name]
        self.made.append((schema.name, rows.get(self._key(schema, row)), row))
        rows[self._key(schema, row)] = row

    def _take(self, schema: TableSchema, row: Row) -> None:
        if schema.key:
            del self._held[schema.name][self._key(schema, row)]
        else:
            self._bags[schema.name].remove(row)
        self._gone[schema.name].append(row)
        self.made.append((schema.name, row, None))

    def _rows(self, schema: TableSchema) -> list[Row]:
        return list(self._held[schema.name].values()) if schema.key else list(self._bags[schema.name])

    def _insert(self, schema: TableSchema) -> None:
        self._put(schema, _row(self.choices, schema, self.domains))

    def _update(self, schema: TableSchema) -> None:
        """One column of a row that is there changes; in a bag, one copy of the row."""
        if not (rows := self._rows(schema)):
            return self._insert(schema)
        old, other = pick(self.choices, rows), _row(self.choices, schema, self.domains)
        keys = set(schema.key_indexes) if schema.key else set[int]()
        changeable = [index for index in range(len(old)) if index not in keys]
        place = pick(self.choices, changeable)
        new = (*old[:place], other[place], *old[place + 1 :])
        if not schema.key:
            self._take(schema, old)
        return self._put(schema, new)

    def _rekey(self, schema: TableSchema) -> None:
        """A row moves to another key, onto whatever is there."""
        if not (rows := self._rows(schema)):
            return self._insert(schema)
        old, other = pick(self.choices, rows), _row(self.choices, schema, self.domains)
        self._take(schema, old)
        keys = set(schema.key_indexes)
        return self._put(schema, tuple(other[i] if i in keys else old[i] for i in range(len(old))))

    def _delete(self, schema: TableSchema) -> None:
        if not (rows := self._rows(schema)):
            return self._insert(schema)
        return self._take(schema, pick(self.choices, rows))

    def _again(self, schema: TableSchema) -> None:
        """A row that went comes again; a bag gets another copy of a row it has."""
        if not schema.key and (rows := self._rows(schema)):
            return self._put(schema, pick(self.choices, rows))
        gone = self._gone[schema.name]
        return self._put(schema, pick(self.choices, gone)) if gone else self._insert(schema)

    def _truncate(self, schema: TableSchema) -> None:
        if not self._rows(schema):
            return self._insert(schema)
        for row in self._rows(schema):
            self._take(schema, row)
        return None


def made_case(
    choices: Choices,
    *,
    most_views: int = 3,
    most_changes: int = 16,
    accept: Callable[[Case, str, str], None] | None = None,
) -> Case:
    """Tables, some views (later ones may read earlier ones), and a changelog. ``accept`` is asked about each view that the compiler took,
    by name and text, before the case has it; it raises ConfigurationError for one that is not to be in it."""
    peer = not chance(choices, 3)
    case = Case(made_tables(choices, peer=peer), peer=peer)
    catalog = {schema.name: schema for schema in case.tables}
    relations = [relation(schema) for schema in case.tables]
    for index in range(1 + choices.below(most_views)):
        name = f"v{index}"
        query = Queries(choices, relations, peer=peer).view()
        try:
            program = compile_view(name, query.piece.flink, catalog, functions=FUNCTIONS)
            if accept is not None:
                accept(case, name, query.piece.flink)
        except ConfigurationError as error:
            case.refused.append((query.piece.flink, error.message))
            continue
        assert_types(query, program)
        case.views.append((name, query.piece.flink))
        case.queries[name] = query
        catalog[name] = program.schema
        if all(kind.element is None for _, kind in query.columns):
            relations.append(relation(program.schema))
    case.changes = Changelog(choices, case.tables, peer=peer).steps(2 + choices.below(most_changes - 1))
    return case


def assert_types(query: Query, program: ViewProgram) -> None:
    """The compiler's types are those that the generator reckons with."""
    found = tuple((column.name, column.type) for column in program.schema.columns)
    assert found == query.columns, f"{program.text}\ncompiler  {found}\ngenerator {query.columns}"


@st.composite
def cases(draw: Callable[..., Any], most_views: int = 2, most_changes: int = 16) -> Case:
    return made_case(Drawn(draw), most_views=most_views, most_changes=most_changes)


def made_common_case(choices: Choices, *, most_changes: int = 14) -> Case:
    """Tables, and two or three views that contain the same query, as far as the compiler takes them."""
    peer = not chance(choices, 3)
    case = Case(made_tables(choices, peer=peer), peer=peer)
    catalog = {schema.name: schema for schema in case.tables}
    tables = [relation(schema) for schema in case.tables]
    common = Queries(choices, tables, peer=peer).view()
    derived = Relation(both("({0})", common.piece), common.columns, common.key)
    for number in range(2 + choices.below(2)):
        # With fewer tables beside it the common query is chosen more often; once in a while it is not.
        text = Queries(choices, [derived, derived, *tables[:1]], peer=peer).view().piece.flink
        try:
            compile_view("v", text, catalog)
        except SqlError as error:
            case.refused.append((text, error.message))
            continue
        case.views.append((f"v{number}", text))
    case.changes = Changelog(choices, case.tables, peer=peer).steps(2 + choices.below(most_changes - 1))
    return case


@st.composite
def common_cases(draw: Callable[..., Any], most_changes: int = 14) -> Case:
    return made_common_case(Drawn(draw), most_changes=most_changes)
