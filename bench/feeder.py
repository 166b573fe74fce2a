"""Feeds w6: appends w1's changes to a file, or sends them to a socket, at a steady rate. Runs on another core than what is measured.

``python -m bench.feeder file|socket TARGET SECONDS RATE COPY``: each change carries the time at which it is handed over, in microseconds;
every 10 ms one batch. COPY receives the same lines, so that the answer can be checked. Needs the standard library only.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.workloads import Orders

BATCH_S = 0.01


def batch(orders: Orders, count: int) -> bytes:
    made = [orders.change() for _ in range(count)]
    # No two changes have the same time: which of them is the newer one must be plain.
    first_us = time.time_ns() // 1_000 - count
    return "".join(
        f'{{"op":"{operation}","key":{key},"customer_id":{customer},"amount":{cents / 100:.2f},"ts":{first_us + number},'
        '"src":"shop.public.orders","status":"confirmed"}\n'
        for number, (operation, key, customer, cents) in enumerate(made)
    ).encode()


@contextlib.contextmanager
def opened(kind: str, target: str) -> Iterator[Callable[[bytes], object]]:
    if kind == "file":
        with Path(target).open("ab", buffering=0) as file:
            yield file.write
        return
    with contextlib.closing(socket.create_server(("127.0.0.1", int(target)))) as server:
        server.settimeout(120)
        peer, _ = server.accept()
        with peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield peer.sendall


def feed(kind: str, target: str, seconds: float, rate: int, copy: Path, keys: int = 100_000) -> None:
    orders = Orders(keys, seed=6)
    with opened(kind, target) as send, copy.open("wb", buffering=0) as kept:
        start = time.monotonic()
        for number in range(int(seconds / BATCH_S)):
            wait_s = start + number * BATCH_S - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            lines = batch(orders, max(1, int(rate * BATCH_S)))
            send(lines)
            kept.write(lines)


if __name__ == "__main__":
    feed(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
