"""Springline: the application as users declare it, with durable files and the view materialised.

One process: the JSON-lines source, the log (``log.db``, synchronous=FULL), ticks, ``state.db`` (synchronous=FULL) and the reader. The clock
starts before the application is declared and stops when a snapshot that covers the whole file (recency barrier) has answered.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from bench.nexmark.queries import QUERIES, SIDE, SOURCE, TABLES
from bench.peers.common import CLOSING, Job, report, report_latencies, start_feeder, stop_clock, write_rows
from bench.workloads import CATEGORY, LATENESS_MS, NEAR
from springline.app import App, Running
from springline.core.types import load
from springline.errors import SqlError
from springline.runtime.embedded import loop
from springline.settings import Settings
from springline.sources import jsonl
from springline.sources.json_rows import JsonTable

DEADLINE_MS = 3_600_000.0
CURVE_TICK = 1_000
"""Changes in one tick of the curve."""
SLICES = 5

# Amounts have two decimals, and are declared so: sums are exact.
ORDERS = JsonTable(
    {"key": "BIGINT NOT NULL", "customer_id": "BIGINT NOT NULL", "amount": "DECIMAL(12, 2)", "ts": "BIGINT"},
    key=["key"],
)
CUSTOMERS = JsonTable(
    {"customer_id": "BIGINT NOT NULL", "name": "STRING", "region": "STRING"}, key=["customer_id"]
)
# Streams: their rows only come.
BIDS = JsonTable({"auction": "BIGINT", "price": "BIGINT", "ts": "TIMESTAMP_LTZ"}, kept=False)
PERSONS = JsonTable(
    {"id": "BIGINT NOT NULL", "name": "STRING", "city": "STRING", "state": "STRING"},
    key=["id"],
    kept=False,
    tag="p",
)
AUCTIONS = JsonTable(
    {"id": "BIGINT NOT NULL", "seller": "BIGINT", "category": "INT"}, key=["id"], kept=False, tag="a"
)

TOTALS = """
SELECT v.customer_id, c.name, c.region, v.orders, v.total
FROM (SELECT customer_id, COUNT(*) AS orders, SUM(amount) AS total FROM shop.orders GROUP BY customer_id) AS v
JOIN crm.customers AS c ON c.customer_id = v.customer_id
"""

WINDOWS = """
SELECT window_start, window_end, auction, COUNT(*) AS bids, MAX(price) AS highest
FROM TABLE(TUMBLE(TABLE market.bids, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end, auction
"""

SALES = f"""
SELECT a.id, p.name, p.city, p.state FROM market.auctions AS a JOIN market.persons AS p ON a.seller = p.id
WHERE a.category = {CATEGORY} AND p.state IN {NEAR}
"""

FRESH = """
SELECT customer_id, COUNT(*) AS orders, SUM(amount) AS total, MAX(ts) AS newest FROM shop.orders GROUP BY customer_id
"""


def application(job: Job) -> App:
    app = App("bench", settings=replace(Settings(), data=job.scratch("data")))
    match job.workload:
        case "w1" | "curve":
            path = job.input("changes.jsonl") if job.workload == "w1" else job.scratch("orders.jsonl")
            app.jsonl("shop", path, tables={"orders": ORDERS}, operation_field="op")
            app.jsonl("crm", job.input("customers.jsonl"), tables={"customers": CUSTOMERS})
            app.view("answer", TOTALS)
        case "w2":
            app.jsonl("market", job.input("bids.jsonl"), tables={"bids": BIDS})
            app.event_time("market.bids", "ts", delay_s=LATENESS_MS / 1_000)
            app.view("answer", WINDOWS, windows="closing" if job.variant == CLOSING else "live")
        case "w3":
            tables = {"persons": PERSONS, "auctions": AUCTIONS}
            app.jsonl("market", job.input("events.jsonl"), tables=tables, table_field="t")
            app.view("answer", SALES)
        case "nexmark":
            query = QUERIES[job.variant]
            assert query.sql is not None
            read = {
                name: one for name, one in TABLES.items() if re.search(rf"\b{SOURCE}\.{name}\b", query.sql)
            }
            app.jsonl(SOURCE, job.input("events.jsonl"), tables=read, table_field="type")
            if "side.side" in query.sql:
                app.jsonl("side", job.input("side.jsonl"), tables={"side": SIDE})
            app.view("answer", query.sql, key=query.key)
        case _:
            app.jsonl("shop", job.scratch("followed.jsonl"), tables={"orders": ORDERS}, operation_field="op")
            app.view("answer", FRESH)
    return app


def wait_for_all(running: Running) -> None:
    """Returns when a snapshot that covers everything in the sources has answered."""
    with running.runtime.read(require="now", deadline_ms=DEADLINE_MS) as snapshot:
        snapshot.query("SELECT COUNT(*) AS n FROM answer")


def rows_of(running: Running, job: Job) -> Iterator[tuple[object, ...]]:
    with running.runtime.read() as snapshot:
        found = snapshot.query("SELECT * FROM answer")
    types = [kind for _, kind in found.columns]
    for row in found.rows:
        match job.workload:
            case "w2":
                yield int(str(row[0])) // 1_000, *row[2:]
            case "nexmark":
                yield tuple(load(value, kind) for value, kind in zip(row, types, strict=True))
            case "w6":
                yield row[0], row[1], load(row[2], types[2])
            case _:
                yield tuple(load(value, kind) for value, kind in zip(row, types, strict=True))


class Ticks:
    """Counts ticks and their changes while something is measured."""

    def __init__(self, running: Running) -> None:
        self.count = self.changes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(running,), daemon=True)
        self._thread.start()

    def _run(self, running: Running) -> None:
        for notice in running.runtime.ticks(self._stop, 0.1):
            if notice is not None and notice.changes:
                self.count += 1
                self.changes += notice.changes

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def measure(job: Job) -> None:
    began = time.perf_counter()
    with application(job).start() as running:
        wait_for_all(running)
        seconds = stop_clock(job, began)
        write_rows(job, rows_of(running, job))
    report(seconds=seconds, events=job.events)


def measure_curve(job: Job) -> None:
    """Fills the table as fast as it goes, then measures the changes alone, in ticks of a thousand: the median of ``SLICES`` parts of them."""
    orders = job.scratch("orders.jsonl")
    shutil.copyfile(job.input("fill.jsonl"), orders)
    changes = job.input("changes.jsonl")
    with changes.open("rb") as file:
        total = sum(1 for _ in file)
    size = total // SLICES
    with application(job).start() as running:
        began = time.perf_counter()
        wait_for_all(running)
        fill_s = time.perf_counter() - began
        # What the source reads at once, and what a tick takes at most, are a thousand changes each.
        loop.MOST_CHANGES = CURVE_TICK
        jsonl._BLOCK_BYTES = changes.stat().st_size * CURVE_TICK // total  # pyright: ignore[reportPrivateUsage]
        ticks = Ticks(running)
        with changes.open("rb") as file:
            times = [
                seconds_until_visible(running, orders, b"".join(islice(file, size))) for _ in range(SLICES)
            ]
        stop_clock(job, began)
        ticks.stop()
        state_bytes = running.runtime.status().state_bytes
        write_rows(job, rows_of(running, job))
    report(
        seconds=statistics.median(times),
        events=size,
        fill_s=fill_s,
        changes_per_tick=ticks.changes / max(1, ticks.count),
        state_mb=state_bytes / 1e6,
    )


def seconds_until_visible(running: Running, path: Path, lines: bytes) -> float:
    """From the append of some lines to the answer of a snapshot that covers them."""
    began = time.perf_counter()
    with path.open("ab") as file:
        file.write(lines)
    wait_for_all(running)
    return time.perf_counter() - began


def measure_freshness(job: Job) -> None:
    """From the append of an event until its customer's row, with that event's time, has been handed to a subscriber after the commit."""
    path = job.scratch("followed.jsonl")
    path.touch()
    samples: list[tuple[float, float]] = []
    newest: dict[object, int] = {}
    stop = threading.Event()

    def observe(running: Running) -> None:
        for change in running.runtime.changes(["answer"], stop, 0.1):
            if change is not None and change.weight > 0:
                at, row = time.time(), change.row
                sent_us = int(str(row["newest"]))
                if sent_us > newest.get(row["customer_id"], 0):
                    newest[row["customer_id"]] = sent_us
                    samples.append((at, at * 1_000 - sent_us / 1_000))

    with application(job).start() as running, contextlib.ExitStack() as closing:
        observer = threading.Thread(target=observe, args=(running,), daemon=True)
        observer.start()
        closing.callback(observer.join)
        closing.callback(stop.set)
        start_feeder(job, "file", str(path)).wait()
        wait_for_all(running)
        time.sleep(0.2)
        write_rows(job, rows_of(running, job))
    report_latencies(samples, samples[0][0], samples[-1][0])


def main() -> None:
    job = Job.from_arguments()
    try:
        {"w6": measure_freshness, "curve": measure_curve}.get(job.workload, measure)(job)
    except SqlError as error:
        report(skip=f"does not compile: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
