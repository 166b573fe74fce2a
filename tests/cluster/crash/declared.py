"""The application under test: a bank's tables, and views of every kind; and what they must hold, computed by SQLite from the database's rows."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any, Final

import apsw
import psycopg2

from springline.app import App

SOURCE: Final = "bank"
OWNERS, ACCOUNTS = 12, 60
MONEY: Final = 2 * ACCOUNTS * 100
"""What all accounts hold together, whoever moves what."""

TABLES: Final = {
    "owners": "id int PRIMARY KEY, name text NOT NULL, region text, version int NOT NULL",
    "accounts": "id int PRIMARY KEY, owner int NOT NULL, amount int NOT NULL, version int NOT NULL",
    "savings": "id int PRIMARY KEY, amount int NOT NULL, version int NOT NULL",
    "orders": "id int PRIMARY KEY, account int NOT NULL, amount int NOT NULL, version int NOT NULL",
    "marks": "id int PRIMARY KEY, version int NOT NULL",
}
"""``version`` is the number of the transaction that wrote the row, so that every change of a row can be told from every other."""

ROWS: Final = (
    f"INSERT INTO owners SELECT n, 'owner ' || n, 'r' || n % 4, 0 FROM generate_series(1, {OWNERS}) n",
    f"INSERT INTO accounts SELECT n, n % {OWNERS + 4}, 100, 0 FROM generate_series(1, {ACCOUNTS}) n",
    f"INSERT INTO savings SELECT n, 100, 0 FROM generate_series(1, {ACCOUNTS}) n",
    "INSERT INTO orders SELECT n, n % 60 + 1, n * 7 % 50, 0 FROM generate_series(1, 100) n",
    "INSERT INTO marks VALUES (1, 0)",
)

VIEWS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "totals": (
        "SELECT o.id, o.name, COUNT(*) AS n, SUM(a.amount) AS total"
        " FROM bank.owners AS o JOIN bank.accounts AS a ON a.owner = o.id GROUP BY o.id, o.name",
        (),
    ),
    "held": (
        "SELECT o.id, o.name, a.id AS account, a.amount FROM bank.owners AS o LEFT JOIN bank.accounts AS a ON a.owner = o.id",
        (),
    ),
    "everything": (
        "SELECT 1 AS kind, id, amount, version FROM bank.accounts UNION ALL SELECT 2, id, amount, version FROM bank.savings",
        ("kind", "id"),
    ),
    "largest": ("SELECT id, amount FROM bank.orders ORDER BY amount DESC, id LIMIT 10", ()),
}
"""SQL that Flink, Springline and SQLite understand alike."""

RELATIONS: Final = (*(f"{SOURCE}.{name}" for name in TABLES), *VIEWS)

ONE_MOMENT: Final = """
SELECT 'accounts' AS name, SUM(amount) AS money, MAX(version) AS version FROM bank.accounts
UNION ALL SELECT 'savings', SUM(amount), MAX(version) FROM bank.savings
UNION ALL SELECT 'everything', SUM(amount), MAX(version) FROM everything
UNION ALL SELECT 'marks', 0, MAX(version) FROM bank.marks"""
"""Every transaction writes an account, a saving and the mark, so all versions are the same; and it takes from one what it gives to the other."""


def declare(app: App, dsn: str) -> None:
    app.postgres(SOURCE, dsn, tables=list(TABLES))
    for name, (sql, key) in VIEWS.items():
        app.view(name, sql, **({"key": list(key)} if key else {}))


def create(dsn: str) -> None:
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        for name, columns in TABLES.items():
            cursor.execute(f"CREATE TABLE {name}({columns})")
        for statement in ROWS:
            cursor.execute(statement)


Rows = Counter[tuple[Any, ...]]


def recomputed(dsn: str) -> dict[str, Rows]:
    """Every relation's rows as the database has them now, its columns in their order."""
    memory = apsw.Connection(":memory:")
    memory.execute(f"ATTACH ':memory:' AS {SOURCE}")
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for name, columns in TABLES.items():
            memory.execute(f"CREATE TABLE {SOURCE}.{name}({columns})")
            cursor.execute(f"SELECT * FROM {name}")
            places = ", ".join("?" * (columns.count(",") + 1))
            memory.executemany(f"INSERT INTO {SOURCE}.{name} VALUES ({places})", cursor.fetchall())
    queries = {f"{SOURCE}.{name}": f"SELECT * FROM {SOURCE}.{name}" for name in TABLES}
    queries |= {name: sql for name, (sql, _) in VIEWS.items()}
    return {name: Counter(memory.execute(sql).fetchall()) for name, sql in queries.items()}
