"""Change data capture end to end: PostgreSQL's commit to Springline's view, bulk, idle and memory figures.

Both databases are durable (fsync on, synchronous_commit on, synchronous=FULL). The writers are processes of their own and tell when each
commit had returned; a reader in the application's process notes after every tick which commits its view shows. All share this machine.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import psutil
import psycopg2

from springline.app import App, Running
from springline.settings import Settings
from springline.testing.postgres import PostgresServer

RATE = 2_000
WRITERS = 2
SECONDS = 12.0
WARM_UP_S = 2.0
BULK_ROWS = 500_000
DOCUMENTS = 600
ACCOUNTS = 1_000

DDL = """
CREATE TABLE accounts(id bigint PRIMARY KEY, writer integer NOT NULL, name text NOT NULL, balance numeric(12,2) NOT NULL,
                      seq bigint NOT NULL, updated_at timestamptz NOT NULL);
CREATE TABLE bulk(id bigint PRIMARY KEY, name text, amount numeric(12,2), kind integer, at timestamptz);
"""

TARGETS = {
    "p50": 3.0,
    "p99": 15.0,
    "backfill p99": 40.0,
    "bulk rows/s": 60_000,
    "idle CPU %": 2.0,
    "import s": 0.3,
    "RSS MB": 250.0,
}


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the commit's return to the tick whose snapshot shows it."""

    samples: tuple[float, ...]
    achieved_per_s: float

    def percentile(self, share: float) -> float:
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _write(dsn: str, writer: int, rate: float, seconds: float, out: Connection) -> None:
    """Commits single-row updates at ``rate`` a second; sends (seq, when the commit had returned) at the end."""
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    commits: list[tuple[int, float]] = []
    start = time.monotonic()
    due, seq = start, 0
    while due < start + seconds:
        now = time.monotonic()
        if now < due:
            time.sleep(due - now)
        seq += 1
        account = (seq * 7919) % (ACCOUNTS // WRITERS) * WRITERS + writer
        cursor.execute(
            "UPDATE accounts SET balance = balance + 1, seq = %s, updated_at = now() WHERE id = %s",
            (seq, account),
        )
        commits.append((seq, time.monotonic()))
        due += 1 / rate
    out.send(commits)


class Observer:
    """Follows the view tick by tick: when was each writer's sequence first visible?"""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stop = threading.Event()
        self.seen: dict[int, list[tuple[int, float]]] = {writer: [] for writer in range(WRITERS)}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        seen_tick = 0
        for notice in self._running.runtime.ticks(self._stop, 0.2):
            # A snapshot that was read already may show later ticks than the one it was read for.
            if notice is None or notice.tick <= seen_tick or "by_writer" not in notice.touched:
                continue
            with self._running.runtime.read() as snapshot:
                seen_tick = snapshot.tick
                rows = snapshot.query("SELECT writer, newest FROM by_writer").rows
            now = time.monotonic()
            for writer, newest in rows:
                self.seen[cast("int", writer)].append((cast("int", newest), now))

    def wait_for(self, newest: Mapping[int, int], timeout_s: float = 60.0) -> None:
        """Waits until the last commit of every writer was seen."""
        deadline = time.monotonic() + timeout_s
        while any(not self.seen[writer] or self.seen[writer][-1][0] < seq for writer, seq in newest.items()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"The view did not show {newest} within {timeout_s} s.")
            time.sleep(0.01)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def measure_latency(running: Running, dsn: str, seconds: float) -> Latency:
    observer = Observer(running)
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(WRITERS)]
    writers = [
        multiprocessing.get_context("spawn").Process(
            target=_write, args=(dsn, number, RATE / WRITERS, seconds, pipe[1])
        )
        for number, pipe in enumerate(pipes)
    ]
    for writer in writers:
        writer.start()
    commits = [pipe[0].recv() for pipe in pipes]
    for writer in writers:
        writer.join()
    observer.wait_for({number: sent[-1][0] for number, sent in enumerate(commits)})
    observer.stop()
    samples: list[float] = []
    for number, sent in enumerate(commits):
        visible = iter(observer.seen[number])
        newest, at = next(visible)
        begin = sent[0][1] + WARM_UP_S
        for seq, committed in sent:
            while newest < seq:
                newest, at = next(visible)
            if committed > begin:
                samples.append(max(0.0, (at - committed) * 1_000))
    span = max(one[-1][1] for one in commits) - min(one[0][1] for one in commits)
    return Latency(tuple(samples), sum(map(len, commits)) / span)


def measure_bulk(running: Running, dsn: str) -> tuple[float, float]:
    """(rows a second from the commit's return until the table shows them all, seconds of the INSERT itself)."""
    connection = psycopg2.connect(dsn)
    cursor = connection.cursor()
    began = time.monotonic()
    cursor.execute(
        f"""INSERT INTO bulk SELECT n, 'customer ' || n, (n % 100000) / 100.0, n % 1000, now()
            FROM generate_series(1, {BULK_ROWS}) n"""
    )
    connection.commit()
    committed = time.monotonic()
    connection.close()
    with running.runtime.read(require="now", deadline_ms=120_000, complete=False) as snapshot:
        [(count,)] = snapshot.query("SELECT COUNT(*) AS n FROM bench.bulk").rows
    visible = time.monotonic()
    assert count == BULK_ROWS, count
    return BULK_ROWS / (visible - committed), committed - began


def measure_idle(seconds: float = 10.0) -> float:
    """Per cent of one core that this process uses while nothing changes."""
    process = psutil.Process()
    time.sleep(2.0)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds * 100


def measure_import(code: str) -> float:
    """Seconds of a whole interpreter that runs ``code``; the median of five."""
    times: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def write_documents(folder: Path, count: int) -> None:
    words = "flight cancelled rebooking hotel voucher storm baggage refund passenger airport gate delay policy member".split()
    for number in range(count):
        body = "\n\n".join(
            f"## Part {part}\n\n"
            + " ".join(words[(number * 7 + part * 3 + n * 5) % len(words)] for n in range(90))
            + f" {number}."
            for part in range(4)
        )
        (folder / f"document-{number}.md").write_text(f"# Document {number}\n\n{body}\n")


@contextmanager
def application(embedder: str) -> Iterator[tuple[Running, str, Path]]:
    with tempfile.TemporaryDirectory(prefix="springline-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = PostgresServer(folder / "postgres")
        server.start()
        dsn = server.create_database("bench")
        connection = psycopg2.connect(dsn)
        with connection, connection.cursor() as cursor:
            cursor.execute(DDL)
            cursor.execute(
                f"""INSERT INTO accounts SELECT n, n % {WRITERS}, 'account ' || n, 0, 0, now()
                    FROM generate_series(0, {ACCOUNTS - 1}) n"""
            )
        connection.close()
        documents = folder / "documents"
        documents.mkdir()
        app = App("bench", settings=replace(Settings.load(), embedder=embedder))
        app.postgres("bench", dsn, tables=["accounts", "bulk"])
        source = app.folder("documents", documents)
        app.view(
            "by_writer",
            "SELECT writer, COUNT(*) AS accounts, SUM(balance) AS balance, MAX(seq) AS newest FROM bench.accounts GROUP BY writer",
        )
        app.knowledge("handbook", over=source)
        try:
            with app.start(data=folder / "data") as running:
                with running.runtime.read(require="now", deadline_ms=60_000):
                    pass  # everything is loaded
                yield running, dsn, documents
        finally:
            server.stop("immediate")


def main() -> None:
    embedder = os.environ.get("SPRINGLINE_BENCH_EMBEDDER", "auto")
    with application("hashing") as (running, dsn, _):
        print(
            f"idle CPU                       {measure_idle():7.2f} %        target < {TARGETS['idle CPU %']}"
        )
        latency = measure_latency(running, dsn, SECONDS)
        _print_latency("commit to view", latency, TARGETS["p50"], TARGETS["p99"])
        rows_per_s, insert_s = measure_bulk(running, dsn)
        print(
            f"bulk capture of {BULK_ROWS:,} rows   {rows_per_s:9,.0f} rows/s   target ≥ 60,000  (the INSERT took {insert_s:.1f} s)"
        )
        print(f"resident memory, no model      {psutil.Process().memory_info().rss / 1e6:7.0f} MB")
    with application(embedder) as (running, dsn, documents):
        write_documents(documents, DOCUMENTS)
        time.sleep(1.0)
        latency = measure_latency(running, dsn, SECONDS)
        status = running.runtime.status().knowledge[0]
        _print_latency(f"… while {DOCUMENTS} documents are embedded", latency, None, TARGETS["backfill p99"])
        print(
            f"    {status.searchable} of {status.documents} documents were searchable at the end; embedder: {embedder}"
        )
        print(f"resident memory, with model    {psutil.Process().memory_info().rss / 1e6:7.0f} MB")
    plain, whole = measure_import("import springline"), measure_import("import springline; springline.App")
    print(
        f"import springline              {plain:7.3f} s        target < {TARGETS['import s']}  (with App: {whole:.3f} s)"
    )


def _print_latency(name: str, latency: Latency, p50: float | None, p99: float) -> None:
    first = f" target p50 ≤ {p50:g}," if p50 else " target"
    print(
        f"{name}: p50 {latency.percentile(0.5):.2f} ms, p99 {latency.percentile(0.99):.2f} ms, max {latency.percentile(1.0):.1f} ms"
        f" at {latency.achieved_per_s:,.0f} changes/s ({len(latency.samples):,} samples);{first} p99 ≤ {p99:g}"
    )


if __name__ == "__main__":
    main()
