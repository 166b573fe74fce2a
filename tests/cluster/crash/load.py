"""Transactions over all tables, one after the other, seeded; and what each has done to each row."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import defaultdict
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions

from tests.cluster.crash.declared import ACCOUNTS, OWNERS

Row = tuple[str, int]
"""A table's name and a row's key."""

GONE = -1
MOST_ORDERS = 300


class Load(threading.Thread):
    """Writes until it is stopped. ``committed`` is the number of the newest transaction that PostgreSQL has acknowledged.
    ``history``: of each row, the versions that it was given, in order; GONE where it was deleted."""

    def __init__(self, dsn: str, seed: int, *, pause_s: float = 0.04) -> None:
        super().__init__(name="load", daemon=True)
        self.committed = 0
        self.history: dict[Row, list[int]] = defaultdict(list)
        self.failure: BaseException | None = None
        self._chance = random.Random(seed)
        self._pause_s = pause_s
        self._over = threading.Event()
        self._between = threading.Lock()
        self._connection = psycopg2.connect(dsn)
        self._owners = dict.fromkeys(range(1, OWNERS + 1), True)
        self._orders = list(range(1, 101))
        self._next_order = 1_000
        self._touched: dict[Row, int] = {}
        for table, count in (
            ("owners", OWNERS),
            ("accounts", ACCOUNTS),
            ("savings", ACCOUNTS),
            ("orders", 100),
        ):
            for number in range(1, count + 1):
                self.history[table, number].append(0)
        self.history["marks", 1].append(0)

    def run(self) -> None:
        try:
            while not self._over.wait(self._pause_s):
                with self._between:
                    self._transaction(self.committed + 1)
        except BaseException as error:
            self.failure = error

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nobody writes inside; what was begun is committed before."""
        with self._between:
            yield
        if self.failure is not None:
            raise self.failure

    def once(self) -> None:
        """One transaction, while the others are held."""
        self._transaction(self.committed + 1)

    def stop(self) -> None:
        """Idempotent."""
        self._over.set()
        if self.is_alive():
            self.join(30)
        self._connection.close()

    def _transaction(self, number: int) -> None:
        self._touched = {}
        with self._connection, self._connection.cursor() as cursor:
            amount = self._chance.randrange(1, 9)
            giver, taker = self._chance.randint(1, ACCOUNTS), self._chance.randint(1, ACCOUNTS)
            cursor.execute(
                "UPDATE accounts SET amount = amount - %s, owner = owner + %s, version = %s WHERE id = %s",
                (amount, self._chance.choice((0, 0, 0, 1, -1)), number, giver),
            )
            cursor.execute(
                "UPDATE savings SET amount = amount + %s, version = %s WHERE id = %s", (amount, number, taker)
            )
            cursor.execute("UPDATE marks SET version = %s WHERE id = 1", (number,))
            self._touched |= {("accounts", giver): number, ("savings", taker): number, ("marks", 1): number}
            for _ in range(self._chance.choice((0, 1, 1, 2, 6))):
                self._order(cursor, number)
            if self._chance.random() < 0.1:
                self._owner(cursor, number)
        self.committed = number
        for row, version in self._touched.items():
            self.history[row].append(version)

    def _order(self, cursor: psycopg2.extensions.cursor, number: int) -> None:
        dice, chosen = self._chance.random(), self._chance.choice(self._orders)
        if len(self._orders) < 50 or (dice < 0.4 and len(self._orders) < MOST_ORDERS):
            self._next_order += 1
            values = (
                self._next_order,
                self._chance.randint(1, ACCOUNTS + 5),
                self._chance.randrange(50),
                number,
            )
            cursor.execute("INSERT INTO orders VALUES (%s, %s, %s, %s)", values)
            self._orders.append(self._next_order)
            self._touched["orders", self._next_order] = number
        elif ("orders", chosen) in self._touched:
            return
        elif dice < 0.7:
            cursor.execute(
                "UPDATE orders SET amount = amount + 1, account = %s, version = %s WHERE id = %s",
                (self._chance.randint(1, ACCOUNTS), number, chosen),
            )
            self._touched["orders", chosen] = number
        elif dice < 0.8:
            self._next_order += 1
            cursor.execute(
                "UPDATE orders SET id = %s, version = %s WHERE id = %s", (self._next_order, number, chosen)
            )
            self._orders[self._orders.index(chosen)] = self._next_order
            self._touched |= {("orders", chosen): GONE, ("orders", self._next_order): number}
        else:
            cursor.execute("DELETE FROM orders WHERE id = %s", (chosen,))
            self._orders.remove(chosen)
            self._touched["orders", chosen] = GONE

    def _owner(self, cursor: psycopg2.extensions.cursor, number: int) -> None:
        chosen = self._chance.randint(1, OWNERS)
        if not self._owners[chosen]:
            cursor.execute(
                "INSERT INTO owners VALUES (%s, %s, %s, %s)",
                (chosen, f"owner {number}", f"r{self._chance.randrange(6)}", number),
            )
        elif self._chance.random() < 0.4:
            cursor.execute("DELETE FROM owners WHERE id = %s", (chosen,))
            number = GONE
        else:
            cursor.execute(
                "UPDATE owners SET region = %s, version = %s WHERE id = %s",
                (self._chance.choice((None, "r1", "r9")), number, chosen),
            )
        self._owners[chosen] = number != GONE
        self._touched["owners", chosen] = number
