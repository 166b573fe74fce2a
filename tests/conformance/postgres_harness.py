"""Runs a PostgreSQL source against the in-memory log, and breaks it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
import psycopg2.errors

from springline.core.position import PostgresPosition
from springline.errors import SpringlineError
from springline.sources.postgres import PostgresSource
from springline.testing.capture import Crash, Folded, MemoryLog


class Running:
    """A source in its thread. ``crash`` ends it as a killed process would; ``start`` then resumes from the log."""

    def __init__(self, dsn: str, tables: list[str], log: MemoryLog | None = None, **options: Any) -> None:
        self.dsn, self.tables, self.options = dsn, tables, options
        self.log = log or MemoryLog()
        self.error: BaseException | None = None
        self.start()

    def start(self) -> None:
        self.error = None
        self.source = PostgresSource("crm", self.dsn, tables=self.tables, **self.options)
        self.stop_event = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        deadline = time.monotonic() + 20
        while not self.stop_event.is_set():
            try:
                self.source.run(self.log.open_writer(), self.stop_event)
            except SpringlineError as error:
                # A walsender of a connection that was just dropped may take a moment to let go of the slot.
                if error.transient and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                self.error = error
            except Crash as error:
                self.error = error
            return

    def stop(self, patience_s: float = 10.0) -> None:
        self.stop_event.set()
        self.thread.join(patience_s)
        assert not self.thread.is_alive()
        self.source.close()

    def restart(self, **changes: Any) -> None:
        self.stop()
        self.tables = changes.pop("tables", self.tables)
        self.options.update(changes)
        self.start()

    def crash_at(self, commits: int, *, durable: bool) -> None:
        """The next ``commits``-th commit kills the source, before or after it is durable."""
        number = self.log.commits + commits - 1

        def point(commit: int) -> None:
            if commit >= number:
                self.log.before_commit = self.log.after_commit = None
                raise Crash

        if durable:
            self.log.after_commit = point
        else:
            self.log.before_commit = point

    def wait_for_crash(self) -> None:
        self.thread.join(20)
        assert isinstance(self.error, Crash), self.error
        self.source.close()

    def settle(self, timeout_s: float = 30.0) -> Folded:
        """What the log amounts to as of now, once all tables are live."""
        self.wait(lambda: self.loaded(), timeout_s)
        position = self.source.current_position(10.0)
        self.wait(lambda: self.log.position is not None and not self.log.position < position, timeout_s)  # type: ignore[operator]
        self.wait(lambda: self.loaded(), timeout_s)
        return self.log.folded()

    def wait(self, condition: Any, timeout_s: float = 30.0) -> None:
        def met() -> bool:
            if self.error is not None:
                raise self.error
            return bool(condition())

        self.log.wait(met, timeout_s)

    def loaded(self) -> bool:
        saved = {name: value for name, value in self.log.saved.items() if name.startswith("table:")}
        return len(saved) == len(self.tables) and all(value["phase"] == "live" for value in saved.values())


class Workload:
    """A client that writes at random: every kind of statement, savepoints, rollbacks, transactions that stay open."""

    TABLE = """CREATE TABLE {name} (id int PRIMARY KEY, version int NOT NULL, note text, big text);
               ALTER TABLE {name} ALTER big SET STORAGE EXTERNAL;"""

    def __init__(self, dsn: str, tables: list[str], seed: int, keys: int, *, truncates: bool = False) -> None:
        self.random = random.Random(seed)
        self.tables, self.keys, self.truncates = tables, keys, truncates
        self.statements = 0
        self.error: BaseException | None = None
        self._dsn = dsn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            connection = psycopg2.connect(self._dsn)
            cursor = connection.cursor()
            cursor.execute("SET synchronous_commit = off" if self.random.random() < 0.5 else "SELECT 1")
            connection.commit()
            while not self._stop.is_set():
                try:
                    self._transaction(cursor)
                    if self.random.random() < 0.15:
                        connection.rollback()
                    else:
                        connection.commit()
                except (psycopg2.errors.UniqueViolation, psycopg2.errors.DeadlockDetected):
                    connection.rollback()
            connection.close()
        except BaseException as error:
            self.error = error

    def _transaction(self, cursor: Any) -> None:
        chance = self.random.random
        if self.truncates and chance() < 0.01:
            cursor.execute(f"TRUNCATE {self.random.choice(self.tables)}")
        for _ in range(self.random.randint(1, 6)):
            if chance() < 0.1:
                cursor.execute("SAVEPOINT s")
                self._statement(cursor)
                cursor.execute("ROLLBACK TO s")
            self._statement(cursor)
        if chance() < 0.05:
            time.sleep(0.1)

    def _statement(self, cursor: Any) -> None:
        self.statements += 1
        table, key = self.random.choice(self.tables), self.random.randint(1, self.keys)
        number = self.random.randint(0, 1_000_000)
        match self.random.choices(("touch", "grow", "insert", "delete", "move"), (5, 2, 3, 1, 1))[0]:
            case "touch":
                cursor.execute(f"UPDATE {table} SET version = %s WHERE id = %s", (number, key))
            case "grow":
                cursor.execute(f"UPDATE {table} SET big = %s WHERE id = %s", (large(number), key))
            case "insert":
                cursor.execute(
                    f"INSERT INTO {table} VALUES (%s, %s, 'new', %s) ON CONFLICT (id) DO UPDATE SET note = 'again'",
                    (key, number, large(number)),
                )
            case "delete":
                cursor.execute(f"DELETE FROM {table} WHERE id = %s", (key,))
            case _:
                # Without touching `big`: the new row's large value is not sent.
                cursor.execute(
                    f"UPDATE {table} SET id = %s, version = %s WHERE id = %s",
                    (self.random.randint(1, self.keys), number, key),
                )


def large(number: int) -> str:
    """A value that PostgreSQL stores outside the row."""
    return f"{number:08}" * 400


def rows(cursor: Any, table: str) -> list[tuple[Any, ...]]:
    """The table as it is now, in the order of ``Folded.table``."""
    cursor.execute(f"SELECT * FROM {table}")
    return sorted(cursor.fetchall(), key=repr)


Run = Callable[..., Running]
"""Starts a source on the test's database: ``run(tables, **options)``."""


def confirmed(cursor: Any) -> PostgresPosition:
    cursor.execute(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'springline_crm'"
    )
    return PostgresPosition.from_text(cursor.fetchone()[0])
