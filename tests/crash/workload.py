"""What happens to the database and to the folder while the application is killed: seeded, continual, of every kind."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

SCHEMA = """
CREATE TABLE customers(code text PRIMARY KEY, name text NOT NULL, tier text, region int);
CREATE TABLE orders(
    id bigint PRIMARY KEY, customer text NOT NULL, amount numeric(12, 2) NOT NULL, ratio numeric, placed_at timestamptz NOT NULL,
    details jsonb, notes text);
ALTER TABLE orders ALTER COLUMN notes SET STORAGE EXTERNAL;
CREATE TABLE marks(tag text, n int);
ALTER TABLE marks REPLICA IDENTITY FULL;
CREATE TABLE ledger(account int NOT NULL, amount int NOT NULL, memo text);
ALTER TABLE ledger REPLICA IDENTITY FULL;
"""
"""A text key; decimals, instants, JSON and large values; a bag that is changed; and a bag that is only ever added to."""

TABLES = ("customers", "orders", "marks", "ledger")

_INSERT_ORDERS = """
INSERT INTO orders SELECT n, 'C' || n %% 300, (n * 37 %% 100000) / 100.0, n / 7.0, timestamptz '2024-01-01' + n * interval '61 seconds',
       jsonb_build_object('n', n, 'tags', jsonb_build_array('a', n %% 3)), repeat(md5(n::text), 30 + n::int %% 120)
FROM generate_series(%(first)s, %(last)s) AS n ON CONFLICT (id) DO NOTHING
"""
_INSERT_LEDGER = "INSERT INTO ledger SELECT n %% 50, n %% 1000 - 500, 'm' || n FROM generate_series(%(first)s, %(last)s) AS n"
_INSERT_PAIRS = """
INSERT INTO ledger SELECT n %% 50, CASE n %% 2 WHEN 0 THEN n / 2 %% 1000 ELSE -(n / 2 %% 1000) END, 'pair'
FROM generate_series(%(first)s, %(last)s) AS n
"""
"""Amounts that add up to nothing, from an even number on: whoever sees another sum sees a part of a transaction."""

Cursor = psycopg2.extensions.cursor
BULK_ROWS = 20_000


def create(dsn: str, *, rows: int) -> None:
    """The tables, with rows for the initial snapshot."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        cursor.execute(
            "INSERT INTO customers SELECT 'C' || n, 'name ' || n, (ARRAY['gold', 'silver', NULL])[n % 3 + 1], n % 7"
            " FROM generate_series(0, 299) AS n"
        )
        cursor.execute(_INSERT_ORDERS, {"first": 1, "last": rows})
        cursor.execute(
            "INSERT INTO marks SELECT 't' || n %% 40, n %% 3 FROM generate_series(1, %s) AS n", (rows // 4,)
        )
        cursor.execute(_INSERT_LEDGER, {"first": 1, "last": rows})


class _Pausable(threading.Thread):
    """A thread that repeats a step, can be held between two steps, and is seeded."""

    def __init__(self, name: str, seed: int, pause_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self.chance = random.Random(seed)
        self.steps = 0
        self.failure: BaseException | None = None
        self._pause_s = pause_s
        self._ended = threading.Event()
        self._between = threading.Lock()

    def step(self) -> None:
        raise NotImplementedError

    def run(self) -> None:
        try:
            while not self._ended.wait(self._pause_s):
                with self._between:
                    self.step()
                    self.steps += 1
        except BaseException as error:
            self.failure = error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is changed inside; whatever was begun is finished before."""
        with self._between:
            yield
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        self._ended.set()
        self.join(30)


class Client(_Pausable):
    """Writes to PostgreSQL as applications do. Outlives the server: it connects again, and takes back nothing it was promised."""

    def __init__(self, dsn: str, seed: int, *, pause_s: float = 0.003) -> None:
        super().__init__("client", seed, pause_s)
        self._dsn = dsn
        self._connection: Any = None
        self._bulk = threading.Event()
        self._bulk_committed = threading.Event()
        self.next_order = 10_000_000
        self.next_entry = 10_000_000

    def bulk(self, timeout_s: float = 10.0) -> None:
        """Makes the next transaction one of 20,000 rows, and returns when it is committed, or when that takes too long."""
        self._bulk_committed.clear()
        self._bulk.set()
        self._bulk_committed.wait(timeout_s)

    def step(self) -> None:
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(self._dsn)
            with self._connection.cursor() as cursor:
                is_bulk = self._transaction(cursor)
            if not is_bulk and self.chance.random() < 0.06:
                self._connection.rollback()
            else:
                self._connection.commit()
            if is_bulk:
                self._bulk_committed.set()
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self._forget()
            time.sleep(0.05)
        except psycopg2.errors.UniqueViolation:
            self._connection.rollback()

    def stop(self) -> None:
        super().stop()
        self._forget()

    def _forget(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _transaction(self, cursor: Cursor) -> bool:
        """Runs the statements of one; whether it was a large one."""
        if self._bulk.is_set() or self.chance.random() < 0.0008:
            self._bulk.clear()
            self._run_bulk(cursor)
            return True
        if self.chance.random() < 0.002:
            cursor.execute(
                self.chance.choice(("TRUNCATE marks", "TRUNCATE orders", "TRUNCATE marks, customers"))
            )
        for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8))):
            self.chance.choices(self._OPERATIONS, self._WEIGHTS)[0](self, cursor)
        return False

    def _run_bulk(self, cursor: Cursor) -> None:
        if self.chance.random() < 0.5:
            first = self.next_entry
            self.next_entry += BULK_ROWS
            cursor.execute(_INSERT_PAIRS, {"first": first, "last": first + BULK_ROWS - 1})
            return
        first = self.next_order
        self.next_order += BULK_ROWS
        cursor.execute(_INSERT_ORDERS, {"first": first, "last": first + BULK_ROWS // 4 - 1})
        cursor.execute("UPDATE orders SET amount = amount + 1 WHERE id %% 2 = 0 AND id >= %s", (first,))
        cursor.execute(
            "INSERT INTO marks SELECT 'bulk' || n %% 9, n FROM generate_series(1, %s) AS n", (BULK_ROWS // 2,)
        )
        cursor.execute("DELETE FROM marks WHERE tag LIKE 'bulk%' AND n % 10 > 0")
        cursor.execute("DELETE FROM orders WHERE id < %s AND id %% 3 = 0", (first,))

    # -- one statement each --------------------------------------------------------------------------------------------

    def _code(self) -> str:
        return f"C{self.chance.randrange(360)}"

    def _insert_customer(self, cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO customers VALUES (%s, %s, %s, %s) ON CONFLICT (code) DO UPDATE SET name = excluded.name",
            (
                self._code(),
                f"né {self.chance.random()}",
                self.chance.choice(("gold", "silver", None)),
                self.chance.randrange(9),
            ),
        )

    def _update_customer(self, cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE customers SET tier = %s WHERE code = %s",
            (self.chance.choice(("gold", "a'b", None)), self._code()),
        )

    def _rename_customer(self, cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE customers SET code = %s WHERE code = %s AND NOT EXISTS (SELECT 1 FROM customers WHERE code = %s)",
            ((new := self._code()), self._code(), new),
        )

    def _delete_customer(self, cursor: Cursor) -> None:
        cursor.execute("DELETE FROM customers WHERE code = %s", (self._code(),))

    def _insert_order(self, cursor: Cursor) -> None:
        self.next_order += 1
        cursor.execute(_INSERT_ORDERS, {"first": self.next_order, "last": self.next_order})

    def _update_order(self, cursor: Cursor) -> None:
        """Leaves the large value alone: PostgreSQL does not send it."""
        cursor.execute(
            "UPDATE orders SET amount = %s, placed_at = placed_at + interval '1 microsecond', ratio = 'NaN' WHERE id %% 997 = %s",
            (round(self.chance.uniform(-9e5, 9e5), 2), self.chance.randrange(997)),
        )

    def _update_notes(self, cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE orders SET notes = repeat(%s, 400), details = details || '{\"edited\": true}' WHERE id %% 991 = %s",
            (f"{self.chance.random()}", self.chance.randrange(991)),
        )

    def _renumber_order(self, cursor: Cursor) -> None:
        """A key change that leaves the large value alone."""
        self.next_order += 1
        cursor.execute(
            "UPDATE orders SET id = %s WHERE id = (SELECT min(id) FROM orders WHERE id > %s)",
            (self.next_order, self.chance.randrange(4_000)),
        )

    def _delete_order(self, cursor: Cursor) -> None:
        cursor.execute("DELETE FROM orders WHERE id %% 4001 = %s", (self.chance.randrange(4001),))

    def _insert_mark(self, cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO marks VALUES (%s, %s)",
            (f"t{self.chance.randrange(40)}", self.chance.choice((1, 2, None))),
        )

    def _update_mark(self, cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE marks SET n = 5 WHERE ctid = (SELECT ctid FROM marks WHERE tag = %s LIMIT 1)",
            (f"t{self.chance.randrange(40)}",),
        )

    def _delete_mark(self, cursor: Cursor) -> None:
        cursor.execute(
            "DELETE FROM marks WHERE ctid = (SELECT ctid FROM marks WHERE tag = %s LIMIT 1)",
            (f"t{self.chance.randrange(40)}",),
        )

    def _insert_ledger(self, cursor: Cursor) -> None:
        cursor.execute(
            "INSERT INTO ledger VALUES (%s, %s, 'single')",
            (self.chance.randrange(50), self.chance.randrange(100)),
        )

    def _insert_pair(self, cursor: Cursor) -> None:
        first = self.next_entry
        self.next_entry += 2
        cursor.execute(_INSERT_PAIRS, {"first": first, "last": first + 1})

    _OPERATIONS: tuple[Callable[[Client, Cursor], None], ...] = (
        *(_insert_customer, _update_customer, _rename_customer, _delete_customer),
        *(_insert_order, _update_order, _update_notes, _renumber_order, _delete_order),
        *(_insert_mark, _update_mark, _delete_mark, _insert_ledger, _insert_pair),
    )
    _WEIGHTS = (2, 3, 1, 1, 6, 5, 2, 2, 2, 3, 2, 2, 4, 4)


class Editor(_Pausable):
    """Writes, edits, renames and deletes documents."""

    MOST = 40

    def __init__(self, folder: Path, seed: int, *, pause_s: float = 0.08) -> None:
        super().__init__("editor", seed, pause_s)
        self._folder = folder
        self._number = 0
        for _ in range(12):
            self._write()

    def step(self) -> None:
        documents = sorted(self._folder.rglob("*.md"))
        dice = self.chance.random()
        if not documents or (dice < 0.3 and len(documents) < self.MOST):
            self._write()
        elif dice < 0.65:
            self._replace(self.chance.choice(documents))
        elif dice < 0.85:
            self._number += 1
            chosen = self.chance.choice(documents)
            chosen.rename(chosen.with_name(f"renamed-{self._number}.md"))
        else:
            self.chance.choice(documents).unlink()

    def _write(self) -> None:
        self._number += 1
        folder = self._folder / self.chance.choice((".", "terms", "terms/old"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"document-{self._number}.md").write_text(self._text())

    def _replace(self, path: Path) -> None:
        """Half of the time in place, otherwise as editors do: a new file under the old name."""
        if self.chance.random() < 0.5:
            path.write_text(self._text())
            return
        aside = path.with_suffix(".partial")
        aside.write_text(self._text())
        aside.replace(path)

    def _text(self) -> str:
        words = "refund voucher baggage delay flight gate crew winter storm claim 航班 延誤 遅延".split()
        parts = [f"# Document {self._number}\n"]
        for number in range(self.chance.randint(1, 5)):
            parts.append(f"## Part {number}\n")
            parts += [
                " ".join(self.chance.choices(words, k=25)) + ".\n" for _ in range(self.chance.randint(1, 3))
            ]
        return "\n".join(parts)
