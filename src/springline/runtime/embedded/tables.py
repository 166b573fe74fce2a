"""Relations as SQLite tables: their DDL and the statements that change them. Text only; nothing is run here.

A relation ``r`` is ``main."r"``: its columns in stored form, then ``_tick``. Its changes of the running tick are
``temp."d:r"``: its columns, then the weight ``_w``. See ``sql/program.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from springline.core.schema import Column, TableSchema

LAYOUT: Final = 2
"""Rises when ``create_relation`` makes other tables or indexes, so that views are made anew."""


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(names: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in names)


def _definition(column: Column, *, required: bool) -> str:
    return f"{quote(column.name)} {column.type.sqlite}{' NOT NULL' if required else ''}"


def create_relation(schema: TableSchema) -> list[str]:
    """The relation's table and the index behind its key.

    Keys of columns that cannot be NULL are the primary key. Other keys get a unique index, which ``IS`` can use, and, since SQLite
    lets a key with a NULL into that twice, another for the rows that have one.
    """
    name = quote(schema.name)
    strict_key = bool(schema.key) and not any(schema.column(part).nullable for part in schema.key)
    single_integer = (
        strict_key and len(schema.key) == 1 and schema.column(schema.key[0]).type.sqlite == "INTEGER"
    )
    definitions = [
        _definition(column, required=strict_key and column.name in schema.key) for column in schema.columns
    ]
    definitions.append("_tick INTEGER NOT NULL")
    if strict_key:
        definitions.append(f"PRIMARY KEY({columns_of(schema.key)})")
    options = "STRICT, WITHOUT ROWID" if strict_key and not single_integer else "STRICT"
    statements = [f"CREATE TABLE IF NOT EXISTS main.{name}({', '.join(definitions)}) {options}"]
    if not strict_key:
        lookup, unique = schema.key or schema.names[:3], "UNIQUE " if schema.key else ""
        statements.append(
            f"CREATE {unique}INDEX IF NOT EXISTS main.{quote('i:' + schema.name)} ON {name}({columns_of(lookup)})"
        )
    if schema.key and not strict_key:
        parts = ", ".join(f"{quote(part)} IS NULL, ifnull({quote(part)}, 0)" for part in schema.key)
        has_null = " OR ".join(
            f"{quote(part)} IS NULL" for part in schema.key if schema.column(part).nullable
        )
        statements.append(
            f"CREATE UNIQUE INDEX IF NOT EXISTS main.{quote('u:' + schema.name)} ON {name}({parts}) WHERE {has_null}"
        )
    return statements


def create_scratch(schema: TableSchema) -> list[str]:
    """The delta of a relation."""
    columns = ", ".join(f"{quote(column.name)} {column.type.sqlite}" for column in schema.columns)
    return [
        f"CREATE TEMP TABLE IF NOT EXISTS {quote('d:' + schema.name)}({columns}, _w INTEGER NOT NULL) STRICT"
    ]


def drop_relation(name: str) -> list[str]:
    return [
        f"DROP TABLE IF EXISTS temp.{quote('d:' + name)}",
        f"DROP TABLE IF EXISTS main.{quote('seen:' + name)}",
        f"DROP TABLE IF EXISTS main.{quote(name)}",
    ]


def key_names(schema: TableSchema) -> tuple[str, ...]:
    return schema.key or schema.names


@dataclass(frozen=True, slots=True)
class RelationStatements:
    """The statements that change one relation; the same text every tick, so that SQLite keeps them prepared."""

    add_delta: str
    add_row: str
    old_rows: str
    take_row: str
    count_delta: str
    read_delta: str
    clear: tuple[str, ...]
    read_row: str
    delete: str
    upsert: str
    upsert_delta: str
    apply_gone: str
    apply_changed: str
    apply_deletes: str
    apply_inserts: str
    all_rows: str

    def apply(self, *, has_declared_key: bool) -> tuple[str, str]:
        """Brings a view's table to its new rows from its delta. A declared key may be wrong: then two rows of one key must meet, and
        not the second replace the first. An inferred one holds, and rows that change do so in place."""
        if has_declared_key:
            return self.apply_deletes, self.apply_inserts
        return self.apply_gone, self.apply_changed

    @staticmethod
    def of(schema: TableSchema) -> RelationStatements:
        name, delta = quote(schema.name), quote("d:" + schema.name)
        names = columns_of(schema.names)
        key = key_names(schema)
        values = ", ".join("?" * len(schema.columns))
        qualified = ", ".join(f"r.{quote(column)}" for column in schema.names)
        same = " AND ".join(f"r.{quote(part)} IS k.{quote(part)}" for part in key)
        given = " AND ".join(f"{quote(part)} IS ?" for part in key)
        if schema.key:
            delete = f"DELETE FROM main.{name} WHERE {given}"
            went = f"SELECT {columns_of(key)} FROM temp.{delta} WHERE _w < 0"
            gone = f"({columns_of(key)}) IN ({went})"
            replaced = f"({columns_of(key)}) IN ({went} EXCEPT SELECT {columns_of(key)} FROM temp.{delta} WHERE _w > 0)"
            if any(schema.column(part).nullable for part in key):
                gone = f"rowid IN (SELECT r.rowid FROM temp.{delta} k CROSS JOIN main.{name} r ON {same} WHERE k._w < 0)"
                replaced = f"""rowid IN (SELECT r.rowid FROM ({went} EXCEPT SELECT {columns_of(key)} FROM temp.{delta} WHERE _w > 0) k
                    CROSS JOIN main.{name} r ON {same})"""
        else:
            # Equal rows may occur more than once: one deletion takes one of them.
            delete = (
                f"DELETE FROM main.{name} WHERE rowid = (SELECT rowid FROM main.{name} WHERE {given} LIMIT 1)"
            )
            gone = replaced = "0"
        return RelationStatements(
            add_delta=f"INSERT INTO temp.{delta} VALUES ({values}, ?)",
            add_row=f"INSERT INTO temp.{delta} VALUES ({values}, 1)",
            old_rows=f"""INSERT INTO temp.{delta}
                SELECT {qualified}, -1 FROM temp.{delta} k CROSS JOIN main.{name} r ON {same} WHERE k._w > 0""",
            take_row=f"INSERT INTO temp.{delta} SELECT {names}, -1 FROM main.{name} WHERE {given}",
            count_delta=f"SELECT count(*) FROM temp.{delta}",
            read_delta=f"SELECT {names}, _w FROM temp.{delta} ORDER BY _w",
            clear=(f"DELETE FROM temp.{delta}",),
            read_row=f"SELECT {names} FROM main.{name} WHERE {given}",
            delete=delete,
            upsert=f"INSERT OR REPLACE INTO main.{name} VALUES ({values}, ?)",
            upsert_delta=f"INSERT OR REPLACE INTO main.{name} SELECT {names}, ? FROM temp.{delta} WHERE _w > 0",
            apply_gone=f"DELETE FROM main.{name} WHERE {replaced}",
            apply_changed=f"INSERT INTO main.{name} SELECT {names}, :tick FROM temp.{delta} WHERE _w > 0{_changed(schema)}",
            apply_deletes=f"DELETE FROM main.{name} WHERE {gone}",
            apply_inserts=f"INSERT INTO main.{name} SELECT {names}, :tick FROM temp.{delta} WHERE _w > 0",
            all_rows=f"INSERT INTO temp.{delta} SELECT {names}, -1 FROM main.{name}",
        )


def _changed(schema: TableSchema) -> str:
    """What happens where a row of the same key is there: its other columns are changed in place, and no index is touched."""
    if not schema.key:
        return ""
    others = [*(name for name in schema.names if name not in schema.key), "_tick"]
    moved = "DO UPDATE SET " + ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in others)
    # A key with a NULL meets the other unique index.
    nulls = f" ON CONFLICT {moved}" if any(schema.column(part).nullable for part in schema.key) else ""
    return f" ON CONFLICT({columns_of(schema.key)}) {moved}{nulls}"
