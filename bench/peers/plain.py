"""The limit: a Python loop over dicts, without durability, without a result that anybody else can read. Its answers are what all others
are checked against."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.peers.common import Job, report, report_latencies, start_feeder, stop_clock, write_rows
from bench.workloads import CATEGORY, LATENESS_MS, NEAR, WINDOW_MS

BLOCK_BYTES = 1 << 20


class Change(msgspec.Struct):
    op: str
    key: int
    customer_id: int
    amount: float
    ts: int


class Customer(msgspec.Struct):
    customer_id: int
    name: str
    region: str


class Bid(msgspec.Struct):
    auction: int
    price: int
    ts: int


class Sale(msgspec.Struct):
    t: str
    id: int
    name: str = ""
    city: str = ""
    state: str = ""
    seller: int = 0
    category: int = 0


class Totals:
    """w1's view, right after every change."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[int, float]] = {}
        self.count: dict[int, int] = {}
        self.total: dict[int, float] = {}

    def change(self, one: Change) -> None:
        old = self.orders.pop(one.key, None)
        if old is not None:
            self.count[old[0]] -= 1
            self.total[old[0]] -= old[1]
        if one.op != "d":
            customer = one.customer_id
            self.orders[one.key] = (customer, one.amount)
            self.count[customer] = self.count.get(customer, 0) + 1
            self.total[customer] = self.total.get(customer, 0.0) + one.amount

    def rows(self) -> Iterator[tuple[int, int, float]]:
        return ((customer, count, self.total[customer]) for customer, count in self.count.items() if count)


def read_customers(path: Path) -> dict[int, Customer]:
    decoder = msgspec.json.Decoder(Customer)
    with path.open("rb") as file:
        return {one.customer_id: one for one in map(decoder.decode, file)}


def totals(job: Job) -> list[tuple[object, ...]]:
    customers = read_customers(job.input("customers.jsonl"))
    decode = msgspec.json.Decoder(Change).decode
    state = Totals()
    for name in ("fill.jsonl", "changes.jsonl"):
        if job.input(name).exists():
            with job.input(name).open("rb") as file:
                for line in file:
                    state.change(decode(line))
    return [
        (number, customers[number].name, customers[number].region, count, total)
        for number, count, total in state.rows()
        if number in customers
    ]


def windows(job: Job) -> list[tuple[object, ...]]:
    """Closes each window once the watermark has passed its end."""
    decode = msgspec.json.Decoder(Bid).decode
    found: list[tuple[object, ...]] = []
    opened: dict[int, dict[int, list[int]]] = {}
    newest, closed = 0, -1

    def close(window: int) -> None:
        found.extend((window * WINDOW_MS, auction, *both) for auction, both in opened.pop(window).items())

    with job.input("bids.jsonl").open("rb") as file:
        for line in file:
            bid = decode(line)
            if bid.ts > newest:
                newest = bid.ts
                if (past := (newest - LATENESS_MS) // WINDOW_MS) > closed:
                    for window in [one for one in opened if one < past]:
                        close(window)
                    closed = past
            groups = opened.setdefault(bid.ts // WINDOW_MS, {})
            group = groups.get(bid.auction)
            if group is None:
                groups[bid.auction] = [1, bid.price]
            else:
                group[0] += 1
                if bid.price > group[1]:
                    group[1] = bid.price
    for window in list(opened):
        close(window)
    return found


def sales(job: Job) -> list[tuple[object, ...]]:
    decode = msgspec.json.Decoder(Sale).decode
    near: dict[int, Sale] = {}
    waiting: dict[int, list[int]] = {}
    found: list[tuple[object, ...]] = []
    with job.input("events.jsonl").open("rb") as file:
        for line in file:
            one = decode(line)
            if one.t == "p":
                if one.state in NEAR:
                    near[one.id] = one
                    found.extend(
                        (auction, one.name, one.city, one.state) for auction in waiting.pop(one.id, ())
                    )
            elif one.category == CATEGORY:
                seller = near.get(one.seller)
                if seller is not None:
                    found.append((one.id, seller.name, seller.city, seller.state))
                else:
                    waiting.setdefault(one.seller, []).append(one.id)
    return found


def answer_to_fed(path: Path) -> list[tuple[object, ...]]:
    """w6's result: w1's without the customers' names."""
    decode = msgspec.json.Decoder(Change).decode
    state = Totals()
    with path.open("rb") as file:
        for line in file:
            state.change(decode(line))
    return list(state.rows())


def follow(job: Job) -> None:
    """w6: reads the growing file, polling each millisecond."""
    path = job.scratch("followed.jsonl")
    path.touch()
    feeder = start_feeder(job, "file", str(path))
    decode = msgspec.json.Decoder(Change).decode
    state, samples, rest = Totals(), list[tuple[float, float]](), b""
    with path.open("rb", buffering=0) as file:
        while True:
            ended = feeder.poll() is not None
            block = file.read(BLOCK_BYTES)
            if not block:
                if ended:
                    break
                time.sleep(0.001)
                continue
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                change = decode(line)
                state.change(change)
                now = time.time()
                samples.append((now, now * 1_000 - change.ts / 1_000))
    write_rows(job, state.rows())
    report_latencies(samples, samples[0][0], samples[-1][0])


def main() -> None:
    job = Job.from_arguments()
    if job.workload == "w6":
        follow(job)
        return
    answer = {"w1": totals, "curve": totals, "w2": windows, "w3": sales}[job.workload]
    began = time.perf_counter()
    rows = answer(job)
    seconds = stop_clock(job, began)
    write_rows(job, rows)
    report(seconds=seconds, events=job.events)


if __name__ == "__main__":
    main()
