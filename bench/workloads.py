"""The workloads, as JSON lines. Deterministic: one seed each, so that every system and every run reads the same bytes.

========  ====================================================================================================================
w1        ``changes.jsonl``: a changelog of orders by key. ``c`` and ``u`` both say "the row is now this", ``d`` of a key that is
          not there does nothing; 70 % c, 25 % u, 5 % d; 1 in 100 of the c and u moves its order to another customer.
          ``customers.jsonl``: the customers. Asked for: each customer's name, region, number of orders and their sum.
curve     w1's table with every key filled once (``fill.jsonl``), and changes after that (``changes.jsonl``): what does a change cost
          when the table is large?
w2        ``bids.jsonl``: bids with an event time that is up to five seconds out of order, 10,000 a second; half of them on a hot auction.
          Asked for: number and highest price of the bids per auction and tumbling window of 10 s. The last line is a bid an hour later, on
          an auction of its own (``LAST_AUCTION``): it closes the windows before it, and is left out of the comparison.
w3        ``events.jsonl``: persons and auctions in one stream (and the same apart: ``persons.jsonl``, ``auctions.jsonl``). Asked for:
          auctions of category 10 with a seller from Oregon, Idaho or California, with the seller's name and city (Nexmark's q3).
========  ====================================================================================================================
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

FIRST_TIME_MS: Final = 1_700_000_000_000
CUSTOMERS: Final = 10_000
ORDER_KEYS: Final = 100_000
REGIONS: Final = ("EU", "US", "APAC", "LATAM")
WINDOW_MS: Final = 10_000
LATENESS_MS: Final = 5_000
LAST_AUCTION: Final = 0
STATES: Final = ("OR", "ID", "CA", "WA", "AZ", "NV", "NY", "TX")
NEAR: Final = ("OR", "ID", "CA")
CATEGORY: Final = 10
VERSION: Final = 2
"""Rises with every change of a generator, so that files made by an older one are not taken for its own."""


def write_customers(path: Path) -> None:
    with path.open("w") as file:
        for number in range(CUSTOMERS):
            region = REGIONS[number % len(REGIONS)]
            file.write(f'{{"customer_id":{number},"name":"Customer {number:05d}","region":"{region}"}}\n')


class Orders:
    """The random walk of w1: which order changes next, and how."""

    def __init__(self, keys: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._keys = keys
        self._owner: dict[int, int] = {}

    def owner(self, key: int) -> int:
        """The customer of an order that was never moved follows from its key, so that ten million need no memory."""
        return self._owner.get(key, key * 7919 % CUSTOMERS)

    def change(self) -> tuple[str, int, int, int]:
        """(operation, key, customer, cents)."""
        pick = self._random
        share = pick.random()
        operation = "c" if share < 0.70 else "u" if share < 0.95 else "d"
        key = pick.randrange(self._keys)
        if operation != "d" and pick.random() < 0.01:
            self._owner[key] = pick.randrange(CUSTOMERS)
        return operation, key, self.owner(key), pick.randrange(100, 100_000)

    def line(self, number: int, time_ms: int) -> str:
        operation, key, customer, cents = self.change()
        return (
            f'{{"op":"{operation}","key":{key},"customer_id":{customer},"amount":{cents / 100:.2f},"ts":{time_ms},'
            f'"src":"shop.public.orders","txid":{500_000 + number // 7},"lsn":"0/{number * 64:08X}","status":"confirmed"}}\n'
        )


def write_orders(folder: Path, events: int, keys: int = ORDER_KEYS) -> None:
    write_customers(folder / "customers.jsonl")
    orders = Orders(keys, seed=1)
    with (folder / "changes.jsonl").open("w") as file:
        for number in range(events):
            file.write(orders.line(number, FIRST_TIME_MS + number))


def write_curve(folder: Path, keys: int, changes: int) -> None:
    write_customers(folder / "customers.jsonl")
    orders = Orders(keys, seed=4)
    with (folder / "fill.jsonl").open("w") as file:
        for key in range(keys):
            cents = 100 + key * 31 % 99_900
            file.write(
                f'{{"op":"c","key":{key},"customer_id":{orders.owner(key)},"amount":{cents / 100:.2f},"ts":{FIRST_TIME_MS}}}\n'
            )
    with (folder / "changes.jsonl").open("w") as file:
        for number in range(changes):
            file.write(orders.line(number, FIRST_TIME_MS + number))


def write_bids(folder: Path, events: int) -> None:
    pick = random.Random(2)
    with (folder / "bids.jsonl").open("w") as file:
        for number in range(events - 1):
            newest = number // 15
            auction = newest // 100 * 100 if pick.random() < 0.5 else newest + pick.randrange(100)
            time_ms = FIRST_TIME_MS + number // 10 + LATENESS_MS - int(pick.random() * LATENESS_MS)
            price = int(10 ** (pick.random() * 6) * 100)
            file.write(
                f'{{"auction":{1000 + auction},"bidder":{1000 + pick.randrange(50_000)},"price":{price},"ts":{time_ms},'
                f'"channel":"web","url":"https://x.example/item/{auction}"}}\n'
            )
        time_ms = FIRST_TIME_MS + events // 10 + 3_600_000
        file.write(f'{{"auction":{LAST_AUCTION},"bidder":0,"price":1,"ts":{time_ms}}}\n')


def write_sales(folder: Path, events: int) -> None:
    pick = random.Random(3)
    person = auction = 0
    with (
        (folder / "events.jsonl").open("w") as all_events,
        (folder / "persons.jsonl").open("w") as persons,
        (folder / "auctions.jsonl").open("w") as auctions,
    ):
        for number in range(events):
            time_ms = FIRST_TIME_MS + number
            if number % 4 == 0:
                line = (
                    f'{{"t":"p","id":{person},"name":"Person {person}","city":"City {person % 100}",'
                    f'"state":"{STATES[pick.randrange(len(STATES))]}","ts":{time_ms}}}\n'
                )
                person += 1
                persons.write(line)
            else:
                line = (
                    f'{{"t":"a","id":{auction},"seller":{pick.randrange(person + 50)},"category":{10 + pick.randrange(5)},'
                    f'"initial":{pick.randrange(10_000)},"ts":{time_ms}}}\n'
                )
                auction += 1
                auctions.write(line)
            all_events.write(line)


def _write_curve(folder: Path, size: int) -> None:
    write_curve(folder, size, changes_for(size))


def changes_for(keys: int) -> int:
    """How many changes the curve measures at a table size: enough for a steady rate, and the same for all large tables. They are
    measured in five equal parts."""
    return min(200_000, keys * 10) // 5 * 5


MAKERS: Final[dict[str, Callable[[Path, int], None]]] = {
    "w1": write_orders,
    "curve": _write_curve,
    "w2": write_bids,
    "w3": write_sales,
}


def prepared(workload: str, size: int, folder: Path) -> Path:
    """The folder with a workload's files; made once for each size."""
    target = folder / "data" / f"{workload}-{size}-v{VERSION}"
    if not (target / "complete").exists():
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        MAKERS[workload](target, size)
        (target / "complete").touch()
    return target
