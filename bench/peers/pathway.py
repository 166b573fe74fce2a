# pyright: basic
"""Pathway. ``streaming``: the lines lie in 20 files of a folder that is followed, so the result is maintained in steps; the clock stops at the
last write of the sink (which is known after it was quiet for ``QUIET_S``). ``static``: one batch; nothing is maintained.

Sums are ``strict=True``: the default sum of floats loses updates of a group whose number of rows stays the same (0.33.0). The column ``id`` is
read under another name, because it clashes with Pathway's row id. Nothing is durable: no persistence is configured.
"""

from __future__ import annotations

import importlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from bench.peers.common import Job, report, report_latencies, start_feeder, stop_clock, write_rows
from bench.workloads import CATEGORY, NEAR, WINDOW_MS

pw: Any = importlib.import_module("pathway")

FILES = 20
QUIET_S = 8.0
AUTOCOMMIT_MS = 100
FRESH_AUTOCOMMIT_MS = 10

ORDER = {"op": str, "key": int, "customer_id": int, "amount": float, "ts": int}
CUSTOMER = {"customer_id": int, "name": str, "region": str}
BID = {"auction": int, "price": int, "ts": int}
PERSON = {"pid": int, "name": str, "city": str, "state": str}
AUCTION = {"aid": int, "seller": int, "category": int}


def in_pieces(source: Path, folder: Path) -> Path:
    """Spreads the lines over ``FILES`` files, in order."""
    folder.mkdir()
    with source.open("rb") as lines:
        size = -(-sum(1 for _ in lines) // FILES)
    with source.open("rb") as lines:
        for number in range(FILES):
            with (folder / f"{number:03d}.jsonl").open("wb") as piece:
                piece.writelines(islice(lines, size))
    return folder


class Inputs:
    """The job's files, read as its variant says. Splitting is done before the clock starts."""

    def __init__(self, job: Job, names: Iterable[str]) -> None:
        self._streams = job.variant == "streaming"
        self._paths = {
            name: in_pieces(job.input(name), job.scratch(name + ".d")) if self._streams else job.input(name)
            for name in names
        }

    def table(self, name: str, columns: dict[str, type], paths: dict[str, str] | None = None) -> Any:
        options: dict[str, Any] = {"autocommit_duration_ms": AUTOCOMMIT_MS} if self._streams else {}
        return pw.io.jsonlines.read(
            str(self._paths[name]),
            schema=pw.schema_from_types(**columns),
            mode="streaming" if self._streams else "static",
            json_field_paths=paths,
            **options,
        )


def totals(orders: Any) -> Any:
    newest = orders.deduplicate(
        value=orders.ts, instance=orders.key, acceptor=lambda new, old: new >= old
    ).filter(pw.this.op != "d")
    return newest.groupby(newest.customer_id).reduce(
        newest.customer_id,
        orders=pw.reducers.count(),
        total=pw.reducers.sum(newest.amount, strict=True),
        newest=pw.reducers.max(newest.ts),
    )


def orders_by_customer(job: Job, inputs: Inputs) -> tuple[Any, list[str]]:
    orders = inputs.table("changes.jsonl", ORDER)
    customers = pw.io.jsonlines.read(
        str(job.input("customers.jsonl")), schema=pw.schema_from_types(**CUSTOMER), mode="static"
    )
    found = totals(orders)
    joined = found.join(customers, found.customer_id == customers.customer_id).select(
        customers.customer_id, customers.name, customers.region, found.orders, found.total
    )
    return joined, ["customer_id", "name", "region", "orders", "total"]


def windows(_: Job, inputs: Inputs) -> tuple[Any, list[str]]:
    bids = inputs.table("bids.jsonl", BID)
    placed = bids.select(bids.auction, bids.price, w=bids.ts // WINDOW_MS * WINDOW_MS)
    found = placed.groupby(placed.w, placed.auction).reduce(
        placed.w, placed.auction, bids=pw.reducers.count(), highest=pw.reducers.max(placed.price)
    )
    return found, ["w", "auction", "bids", "highest"]


def sales(_: Job, inputs: Inputs) -> tuple[Any, list[str]]:
    persons = inputs.table("persons.jsonl", PERSON, {"pid": "/id"})
    auctions = inputs.table("auctions.jsonl", AUCTION, {"aid": "/id"})
    first, second, third = NEAR
    near = persons.filter((persons.state == first) | (persons.state == second) | (persons.state == third))
    wanted = auctions.filter(auctions.category == CATEGORY)
    found = wanted.join(near, wanted.seller == near.pid).select(wanted.aid, near.name, near.city, near.state)
    return found, ["aid", "name", "city", "state"]


WORKLOADS: dict[str, tuple[Any, list[str]]] = {
    "w1": (orders_by_customer, ["changes.jsonl"]),
    "w2": (windows, ["bids.jsonl"]),
    "w3": (sales, ["persons.jsonl", "auctions.jsonl"]),
}


def consolidated(sink: Path, columns: list[str]) -> list[tuple[object, ...]]:
    """The rows that the sink's differences add up to."""
    rows: Counter[tuple[object, ...]] = Counter()
    with sink.open("rb") as file:
        for line in file:
            one = json.loads(line)
            rows[tuple(one[column] for column in columns)] += one["diff"]
    return [row for row, count in rows.items() for _ in range(count)]


def measure(job: Job) -> None:
    make, names = WORKLOADS[job.workload]
    inputs, sink = Inputs(job, names), job.scratch("sink.jsonl")
    began = time.perf_counter()
    table, columns = make(job, inputs)
    pw.io.jsonlines.write(table, str(sink))
    if job.variant == "streaming":
        # A table that is followed never ends: the watching thread reports, and ends the process.
        threading.Thread(target=watch, args=(job, sink, columns, began), daemon=True).start()
        pw.run(monitoring_level=pw.MonitoringLevel.NONE)
        return
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    seconds = stop_clock(job, began)
    write_rows(job, consolidated(sink, columns))
    report(seconds=seconds, events=job.events)


def watch(job: Job, sink: Path, columns: list[str], began: float) -> None:
    size, at = 0, time.perf_counter()
    while True:
        time.sleep(0.05)
        now, grown = time.perf_counter(), sink.stat().st_size if sink.exists() else 0
        if grown != size:
            size, at = grown, now
        elif size and now - at > QUIET_S:
            break
    stop_clock(job, began)
    write_rows(job, consolidated(sink, columns))
    report(seconds=at - began, events=job.events)
    os._exit(0)


def follow(job: Job) -> None:
    """w6, through a connector of its own in Python: the fastest way in that was found (files are followed in 300 ms and more)."""
    path = job.scratch("followed.jsonl")
    path.touch()
    wall_clock = time.time
    samples: list[tuple[float, float]] = []
    rows: dict[int, tuple[int, int, float]] = {}
    newest: dict[int, int] = {}
    ended = threading.Event()

    def read(subject: Any) -> None:
        decode, rest = json.loads, b""
        with path.open("rb", buffering=0) as file:
            while not ended.is_set():
                block = file.read(1 << 20)
                if not block:
                    time.sleep(0.001)
                    continue
                *lines, rest = (rest + block).split(b"\n")
                for line in lines:
                    one = decode(line)
                    subject.next(**{name: one[name] for name in ORDER})

    # Pathway calls it with these names.
    def seen(key: object, row: dict[str, Any], time: int, is_addition: bool) -> None:
        at, customer = wall_clock(), row["customer_id"]
        if not is_addition:
            if rows.get(customer, (0, 0, 0.0))[1:] == (row["orders"], row["total"]):
                del rows[customer]
            return
        rows[customer] = (customer, row["orders"], row["total"])
        # A deletion brings an older time back: only what is newer tells when it was handed over.
        if row["newest"] > newest.get(customer, 0):
            newest[customer] = row["newest"]
            samples.append((at, at * 1_000 - row["newest"] / 1_000))

    subject = type("Tail", (pw.io.python.ConnectorSubject,), {"run": read})()
    orders = pw.io.python.read(
        subject, schema=pw.schema_from_types(**ORDER), autocommit_duration_ms=FRESH_AUTOCOMMIT_MS
    )
    pw.io.subscribe(totals(orders), on_change=seen)

    def drive() -> None:
        time.sleep(3.0)
        start_feeder(job, "file", str(path)).wait()
        time.sleep(2.0)
        write_rows(job, list(rows.values()))
        report_latencies(samples, samples[0][0], samples[-1][0])
        os._exit(0)

    threading.Thread(target=drive, daemon=True).start()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


if __name__ == "__main__":
    job = Job.from_arguments()
    follow(job) if job.workload == "w6" else measure(job)
