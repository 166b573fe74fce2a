"""Is the state what the database and the folder say? Tables and views row by row, passages text by text."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import psycopg2
import psycopg2.extensions

from springline.context.knowledge_tables import passages_table
from springline.core.schema import TableSchema
from springline.core.types import store
from springline.operators.splitting import split
from springline.runtime.embedded.state import read_relations
from tests.crash.declared import FOLDER, KNOWLEDGE, SOURCE, VIEWS
from tests.crash.workload import TABLES

Rows = Counter[tuple[Any, ...]]
MOST_NOTES = 6


@dataclass(slots=True)
class Differences:
    """Rows that are missing, rows that are too many, and keys that have other values."""

    lost: int = 0
    duplicated: int = 0
    wrong: int = 0
    compared: int = 0
    notes: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.wrong)

    def add(self, other: Differences) -> None:
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.wrong += other.wrong
        self.compared += other.compared
        self.notes += other.notes

    def note(self, text: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text if len(text) < 500 else text[:500] + " …")


def compare(state: apsw.Connection, dsn: str, folder: Path) -> Differences:
    """Everything at once. Nobody writes to the database, the folder or the state meanwhile."""
    found = Differences()
    relations = read_relations(state)
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        queries = {f"{SOURCE}.{table}": f"SELECT * FROM {table}" for table in TABLES}
        queries |= {name: text.replace(f"{SOURCE}.", "public.") for name, text in VIEWS.items()}
        for name, text in queries.items():
            relation = relations.get(name)
            if relation is None or relation.state != "live":
                found.lost += 1
                found.note(
                    f"{name} is not live: {relation.state + ' ' + str(relation.error) if relation else 'not there'}"
                )
                continue
            expected = _expected_rows(cursor, text, relation.schema)
            columns = ", ".join(f'"{column}"' for column in relation.schema.names)
            actual = Counter(state.execute(f'SELECT {columns} FROM main."{name}"'))
            _compare_rows(name, relation.schema, expected, actual, found)
    _compare_passages(state, folder, found)
    if letters := state.execute("SELECT what, name, key, reason FROM _dead_letters").fetchall():
        found.wrong += len(letters)
        found.note(f"dead letters: {letters[:3]}")
    if (work := state.execute("SELECT count(*) FROM _work").fetchall()[0][0]) > 0:
        found.wrong += work
        found.note(f"{work} pieces of work are pending although the barrier was met")
    return found


def torn(state_path: Path) -> Differences:
    """What a reader of the state would see right now, right after the kill: whole transactions only, and views that equal their
    tables."""
    found = Differences()
    if not state_path.exists():
        return found
    with contextlib.closing(apsw.Connection(str(state_path), flags=apsw.SQLITE_OPEN_READONLY)) as state:
        if not state.execute("SELECT 1 FROM sqlite_schema WHERE name = 'ledger_totals'").fetchone():
            return found
        for what, query in _ALWAYS_EMPTY.items():
            if rows := state.execute(query.format(source=SOURCE)).fetchall():
                found.wrong += len(rows)
                found.note(f"{what} right after the kill: {rows[:3]}")
    return found


_ALWAYS_EMPTY = {
    "half a transaction": """
        SELECT sum(amount) FROM main."{source}.ledger" WHERE memo = 'pair' HAVING sum(amount) <> 0
        AND (SELECT state FROM _relations WHERE name = '{source}.ledger') = 'live'""",
    "ledger_totals unlike its table": """
        SELECT account, n, total FROM ledger_totals
        EXCEPT SELECT account, count(*), sum(amount) FROM main."{source}.ledger" GROUP BY account""",
    "a table unlike ledger_totals": """
        SELECT account, count(*), sum(amount) FROM main."{source}.ledger" GROUP BY account
        EXCEPT SELECT account, n, total FROM ledger_totals""",
    "order_lines unlike its tables": """
        SELECT o.id, o.amount, c.code, c.tier FROM main."{source}.orders" AS o
        JOIN main."{source}.customers" AS c ON o.customer = c.code
        EXCEPT SELECT id, amount, code, tier FROM order_lines""",
    "its tables unlike order_lines": """
        SELECT id, amount, code, tier FROM order_lines
        EXCEPT SELECT o.id, o.amount, c.code, c.tier FROM main."{source}.orders" AS o
        JOIN main."{source}.customers" AS c ON o.customer = c.code""",
}


def _expected_rows(cursor: psycopg2.extensions.cursor, text: str, schema: TableSchema) -> Rows:
    columns = ", ".join(
        f'q."{column.name}"::text' if column.type.name == "STRING" else f'q."{column.name}"'
        for column in schema.columns
    )
    cursor.execute(f"SELECT {columns} FROM ({text}) AS q")
    types = [column.type for column in schema.columns]
    return Counter(
        tuple(store(value, type_) for value, type_ in zip(row, types, strict=True))
        for row in cursor.fetchall()
    )


def _compare_rows(name: str, schema: TableSchema, expected: Rows, actual: Rows, found: Differences) -> None:
    found.compared += expected.total()
    missing, extra = expected - actual, actual - expected
    if not schema.key:
        lost, duplicated, wrong = missing.total(), extra.total(), 0
    else:
        lost, duplicated, wrong = _by_key(schema, missing, extra)
    found.lost += lost
    found.duplicated += duplicated
    found.wrong += wrong
    if missing or extra:
        found.note(
            f"{name}: {expected.total()} expected, {actual.total()} there; {lost} lost, {duplicated} extra, {wrong} wrong;"
            f" missing {list(missing.items())[:2]}, extra {list(extra.items())[:2]}"
        )


def _by_key(schema: TableSchema, missing: Rows, extra: Rows) -> tuple[int, int, int]:
    def keys(rows: Iterable[Sequence[Any]]) -> set[tuple[Any, ...]]:
        return {tuple(row[index] for index in schema.key_indexes) for row in rows}

    gone, come = keys(missing), keys(extra)
    return len(gone - come), len(come - gone), len(gone & come)


def _compare_passages(state: apsw.Connection, folder: Path, found: Differences) -> None:
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}
    documents = dict(state.execute(f'SELECT document, content FROM main."{FOLDER}.documents"').fetchall())
    _compare_texts(f"{FOLDER}.documents", files, documents, found)
    expected = {
        (document, ordinal): passage.text
        for document, text in files.items()
        for ordinal, passage in enumerate(split(text, format="markdown"))
    }
    passages = passages_table(KNOWLEDGE)
    rows = state.execute(
        f'SELECT document, ordinal, text FROM main."{passages}" WHERE visible = 1 ORDER BY document, ordinal'
    ).fetchall()
    found.duplicated += len(rows) - len({row[:2] for row in rows})
    _compare_texts(passages, expected, {(document, ordinal): text for document, ordinal, text in rows}, found)
    [(without,)] = state.execute(
        f"""SELECT count(*) FROM main."{passages}" AS p WHERE visible = 1 AND (
            NOT EXISTS (SELECT 1 FROM _memo AS m WHERE m.hash = p.hash)
            OR NOT EXISTS (SELECT 1 FROM main."k:{KNOWLEDGE}:fts" AS f WHERE f.rowid = p.id))"""
    ).fetchall()
    if without:
        found.lost += without
        found.note(f"{without} passages have no vector or no words")


def _compare_texts(
    name: str, expected: Mapping[Any, str], actual: Mapping[Any, str], found: Differences
) -> None:
    found.compared += len(expected)
    lost, duplicated = expected.keys() - actual.keys(), actual.keys() - expected.keys()
    wrong = [key for key in expected.keys() & actual.keys() if expected[key] != actual[key]]
    found.lost += len(lost)
    found.duplicated += len(duplicated)
    found.wrong += len(wrong)
    if lost or duplicated or wrong:
        found.note(
            f"{name}: lost {sorted(lost)[:3]}, extra {sorted(duplicated)[:3]}, wrong {sorted(wrong)[:3]}"
        )
