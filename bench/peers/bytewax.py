# pyright: basic
"""Bytewax: Python functions over keyed streams, with its Rust scheduler. No recovery store is configured, so nothing is durable.

w2 waits 30 s for late bids instead of 5: its watermarks are kept per key and advance with the system's clock, so a bid that is 5 s late in event
time would be dropped now and then.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from bench.peers.common import Job, report, report_latencies, start_feeder, stop_clock, write_rows
from bench.workloads import CATEGORY, NEAR, WINDOW_MS

dataflow: Any = importlib.import_module("bytewax.dataflow")
inputs: Any = importlib.import_module("bytewax.inputs")
op: Any = importlib.import_module("bytewax.operators")
outputs: Any = importlib.import_module("bytewax.outputs")
run_main: Any = importlib.import_module("bytewax.testing").run_main
windowing: Any = importlib.import_module("bytewax.operators.windowing")

BATCH = 1_000
WAIT_S = 30
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Keyed = tuple[str, dict[str, Any]]


def keyed(lines: Iterable[bytes], key: Callable[[dict[str, Any]], object]) -> list[Keyed]:
    decode = msgspec.json.decode
    return [(str(key(one)), one) for one in map(decode, lines)]


class Lines:
    """A file's lines in batches, each with its key."""

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], object]) -> None:
        self._file = path.open("rb")
        self._key = key

    def next_batch(self) -> list[Keyed]:
        lines = list(islice(self._file, BATCH))
        if not lines:
            raise StopIteration
        return keyed(lines, self._key)


class Tail:
    """The lines of a growing file, until ``ended`` is set and all is read."""

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], object], ended: threading.Event) -> None:
        self._file = path.open("rb", buffering=0)
        self._key, self._ended, self._rest = key, ended, b""

    def next_batch(self) -> list[Keyed]:
        is_over = self._ended.is_set()
        block = self._file.read(1 << 20)
        if not block:
            if is_over:
                raise StopIteration
            time.sleep(0.001)
            return []
        *lines, self._rest = (self._rest + block).split(b"\n")
        return keyed(lines, self._key)


def source(reader: Lines | Tail) -> Any:
    part = type("Part", (inputs.StatelessSourcePartition,), {"next_batch": lambda _: reader.next_batch()})
    return type("Input", (inputs.DynamicSource,), {"build": lambda *_: part()})()


def sink(take: Callable[[list[Any]], object]) -> Any:
    part = type("Part", (outputs.StatelessSinkPartition,), {"write_batch": lambda _, items: take(items)})
    return type("Output", (outputs.DynamicSink,), {"build": lambda *_: part()})()


Order = tuple[int, float]
Difference = tuple[int, int, float, int]


def change_of(old: Order | None, event: dict[str, Any]) -> tuple[Order | None, list[Difference]]:
    """An order's new state, and what that does to its customers: (customer, count, sum, time)."""
    gone = [] if old is None else [(old[0], -1, -old[1], event["ts"])]
    if event["op"] == "d":
        return None, gone
    new = (event["customer_id"], event["amount"])
    return new, [*gone, (new[0], 1, new[1], event["ts"])]


def added(state: tuple[int, float, int] | None, one: Difference) -> tuple[Any, Any]:
    count, total, newest = state or (0, 0.0, 0)
    total = (count + one[1], total + one[2], max(newest, one[3]))
    return total, total


def totals(flow: Any, stream: Any) -> Any:
    changes = op.stateful_map("orders", stream, change_of)
    by_customer = op.flat_map("customers", changes, lambda pair: [(str(one[0]), one) for one in pair[1]])
    return op.stateful_map("totals", by_customer, added)


def orders_by_customer(job: Job) -> list[tuple[object, ...]]:
    with job.input("customers.jsonl").open("rb") as file:
        customers = {one["customer_id"]: one for one in map(msgspec.json.decode, file)}
    found: dict[str, tuple[int, float, int]] = {}
    flow = dataflow.Dataflow("w1")
    stream = op.input("lines", flow, source(Lines(job.input("changes.jsonl"), lambda one: one["key"])))
    op.output("result", totals(flow, stream), sink(found.update))
    run_main(flow)
    return [
        (int(key), customers[int(key)]["name"], customers[int(key)]["region"], count, total)
        for key, (count, total, _) in found.items()
        if count
    ]


def windows(job: Job) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []

    def take(items: list[Any]) -> None:
        found.extend((window * WINDOW_MS, int(auction), *both) for auction, (window, both) in items)

    clock = windowing.EventClock(
        ts_getter=lambda bid: datetime.fromtimestamp(bid["ts"] / 1_000, UTC),
        wait_for_system_duration=timedelta(seconds=WAIT_S),
    )
    flow = dataflow.Dataflow("w2")
    stream = op.input("lines", flow, source(Lines(job.input("bids.jsonl"), lambda one: one["auction"])))
    folded = windowing.fold_window(
        "windows",
        stream,
        clock,
        windowing.TumblingWindower(length=timedelta(milliseconds=WINDOW_MS), align_to=EPOCH),
        lambda: (0, 0),
        lambda state, bid: (state[0] + 1, max(state[1], bid["price"])),
        lambda one, other: (one[0] + other[0], max(one[1], other[1])),
    )
    op.output("result", folded.down, sink(take))
    run_main(flow)
    return found


def meet(state: Any, event: dict[str, Any]) -> tuple[Any, list[tuple[object, ...]]]:
    """A seller and the auctions that wait for it."""
    seller, waiting = state or (None, [])
    if event["t"] == "p":
        found = [(one, event["name"], event["city"], event["state"]) for one in waiting]
        return ((event["name"], event["city"], event["state"]), []), found
    if seller is None:
        return (None, [*waiting, event["id"]]), []
    return (seller, waiting), [(event["id"], *seller)]


def sales(job: Job) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    flow = dataflow.Dataflow("w3")
    lines = Lines(job.input("events.jsonl"), lambda one: one["id"] if one["t"] == "p" else one["seller"])
    stream = op.input("lines", flow, source(lines))
    wanted = op.filter(
        "wanted",
        stream,
        lambda pair: pair[1]["state"] in NEAR if pair[1]["t"] == "p" else pair[1]["category"] == CATEGORY,
    )
    met = op.stateful_map("join", wanted, meet)
    op.output("result", met, sink(lambda items: found.extend(row for _, rows in items for row in rows)))
    run_main(flow)
    return found


def follow(job: Job) -> None:
    path, ended = job.scratch("followed.jsonl"), threading.Event()
    path.touch()
    samples: list[tuple[float, float]] = []
    found: dict[str, tuple[int, float, int]] = {}

    def take(items: list[tuple[str, tuple[int, float, int]]]) -> None:
        at = time.time()
        for customer, one in items:
            if one[2] > found.get(customer, (0, 0.0, 0))[2]:
                samples.append((at, at * 1_000 - one[2] / 1_000))
            found[customer] = one

    def feed() -> None:
        start_feeder(job, "file", str(path)).wait()
        ended.set()

    flow = dataflow.Dataflow("w6")
    stream = op.input("lines", flow, source(Tail(path, lambda one: one["key"], ended)))
    op.output("result", totals(flow, stream), sink(take))
    threading.Thread(target=feed, daemon=True).start()
    run_main(flow)
    write_rows(job, [(int(key), count, total) for key, (count, total, _) in found.items() if count])
    report_latencies(samples, samples[0][0], samples[-1][0])


def main() -> None:
    job = Job.from_arguments()
    if job.workload == "w6":
        follow(job)
        return
    began = time.perf_counter()
    rows = {"w1": orders_by_customer, "w2": windows, "w3": sales}[job.workload](job)
    seconds = stop_clock(job, began)
    write_rows(job, rows)
    report(seconds=seconds, events=job.events)


if __name__ == "__main__":
    main()
