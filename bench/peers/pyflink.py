# pyright: basic
"""Flink SQL through PyFlink, on its local cluster with parallelism 1, in streaming mode. The job's submission and warm-up are counted (about 8 s,
whatever the size), the start of the Java machine is not. Throughput: mini-batches of up to 1 s; freshness: none. No checkpoints: nothing is durable.

Results go to files, as they would to a database: for w1 as changes in Debezium's format, since the rows are updated.
"""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.peers.common import Job, report, report_latencies, start_feeder, stop_clock, write_rows
from bench.settings import ROOT
from bench.workloads import CATEGORY, NEAR

pyflink: Any = importlib.import_module("pyflink.table")

CHILD = "child"

TOTALS = """
INSERT INTO answer SELECT v.customer_id, c.name, c.region, v.orders, v.total FROM (
    SELECT customer_id, COUNT(*) AS orders, SUM(amount) AS total FROM (
        SELECT op, customer_id, amount FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY `key` ORDER BY arrived DESC) AS place FROM changes)
        WHERE place = 1)
    WHERE op <> 'd' GROUP BY customer_id) AS v
JOIN customers AS c ON v.customer_id = c.customer_id
"""

WINDOWS = """
INSERT INTO answer SELECT UNIX_TIMESTAMP(CAST(window_start AS STRING)) * 1000, auction, COUNT(*), MAX(price)
FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(et), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, auction
"""

SALES = f"""
INSERT INTO answer SELECT a.id, p.name, p.city, p.state FROM auctions AS a JOIN persons AS p ON a.seller = p.id
WHERE a.category = {CATEGORY} AND p.state IN {NEAR}
"""

FRESH = """
INSERT INTO answer SELECT customer_id, COUNT(*), SUM(amount), MAX(ts) FROM (
    SELECT op, customer_id, amount, ts FROM (
        SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY arrived DESC) AS place FROM events)
    WHERE place = 1)
WHERE op <> 'd' GROUP BY customer_id
"""


def configure(environment: Any, *, mini_batch: bool) -> None:
    config = environment.get_config()
    for name in (
        "parallelism.default",
        "table.exec.resource.default-parallelism",
        "taskmanager.numberOfTaskSlots",
    ):
        config.set(name, "1")
    config.set("taskmanager.memory.managed.size", "256m")
    config.set("table.local-time-zone", "UTC")
    if mini_batch:
        config.set("table.exec.mini-batch.enabled", "true")
        config.set("table.exec.mini-batch.allow-latency", "1 s")
        config.set("table.exec.mini-batch.size", "50000")


def statements(job: Job) -> tuple[list[str], str]:
    """The tables and the job's INSERT."""

    def table(name: str, columns: str, path: Path, form: str = "json") -> str:
        return (
            f"CREATE TABLE {name} ({columns}) "
            f"WITH ('connector' = 'filesystem', 'path' = 'file://{path}', 'format' = '{form}')"
        )

    sink = job.scratch("sink")
    if job.workload == "w1":
        order = "op STRING, `key` INT, customer_id INT, amount DOUBLE, ts BIGINT, arrived AS PROCTIME()"
        answer = "customer_id INT, name STRING, region STRING, orders BIGINT, total DOUBLE"
        return [
            table("changes", order, job.input("changes.jsonl")),
            table("customers", "customer_id INT, name STRING, region STRING", job.input("customers.jsonl")),
            table("answer", answer, sink, "debezium-json"),
        ], TOTALS
    if job.workload == "w2":
        bid = """auction INT, price BIGINT, ts BIGINT, et AS TO_TIMESTAMP_LTZ(ts, 3),
                 WATERMARK FOR et AS et - INTERVAL '5' SECOND"""
        return [
            table("bids", bid, job.input("bids.jsonl")),
            table("answer", "w BIGINT, auction INT, bids BIGINT, highest BIGINT", sink),
        ], WINDOWS
    return [
        table("persons", "id INT, name STRING, city STRING, state STRING", job.input("persons.jsonl")),
        table("auctions", "id INT, seller INT, category INT", job.input("auctions.jsonl")),
        table("answer", "id INT, name STRING, city STRING, state STRING", sink),
    ], SALES


COLUMNS = {
    "w1": ("customer_id", "name", "region", "orders", "total"),
    "w2": ("w", "auction", "bids", "highest"),
    "w3": ("id", "name", "city", "state"),
}


def written(job: Job) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row that the sink holds, with +1, or -1 where it was taken back."""
    for path in sorted(job.scratch("sink").rglob("*")):
        if path.is_file() and not path.name.startswith(("_", ".")):
            with path.open() as file:
                for line in file:
                    one = json.loads(line)
                    if job.workload != "w1":
                        yield 1, one
                        continue
                    if one.get("before"):
                        yield -1, one["before"]
                    if one.get("after"):
                        yield 1, one["after"]


def measure(job: Job) -> None:
    settings = pyflink.EnvironmentSettings.new_instance().in_streaming_mode().build()
    environment = pyflink.TableEnvironment.create(settings)
    configure(environment, mini_batch=True)
    tables, insert = statements(job)
    began = time.perf_counter()
    for statement in tables:
        environment.execute_sql(statement)
    environment.execute_sql(insert).wait()
    seconds = stop_clock(job, began)
    rows: Counter[tuple[object, ...]] = Counter()
    for weight, one in written(job):
        rows[tuple(one[column] for column in COLUMNS[job.workload])] += weight
    write_rows(job, [row for row, count in rows.items() for _ in range(count)])
    report(seconds=seconds, events=job.events)


def run_child(port: int) -> None:
    """w6's job: lines from a socket (the only source of Flink's own that waits for no checkpoint), rows to the standard output."""
    common: Any = importlib.import_module("pyflink.common")
    stream: Any = importlib.import_module("pyflink.datastream")
    configuration = common.Configuration()
    configuration.set_string("parallelism.default", "1")
    configuration.set_string("execution.buffer-timeout.interval", "1 ms")
    executed = stream.StreamExecutionEnvironment.get_execution_environment(configuration)
    executed.set_parallelism(1)
    environment = pyflink.StreamTableEnvironment.create(executed)
    lines = stream.DataStream(executed._j_stream_execution_environment.socketTextStream("127.0.0.1", port))
    environment.create_temporary_view("lines", environment.from_data_stream(lines).alias("line"))
    environment.execute_sql("""
        CREATE TEMPORARY VIEW events AS SELECT
            JSON_VALUE(line, '$.op') AS op, JSON_VALUE(line, '$.key' RETURNING INTEGER) AS k,
            JSON_VALUE(line, '$.customer_id' RETURNING INTEGER) AS customer_id,
            JSON_VALUE(line, '$.amount' RETURNING DOUBLE) AS amount,
            CAST(JSON_VALUE(line, '$.ts') AS BIGINT) AS ts, PROCTIME() AS arrived
        FROM lines""")
    environment.execute_sql(
        "CREATE TABLE answer (customer_id INT, orders BIGINT, total DOUBLE, newest BIGINT) WITH ('connector' = 'print')"
    )
    environment.execute_sql(FRESH).wait()


def follow(job: Job) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    feeder = start_feeder(job, "socket", str(port))
    time.sleep(0.5)
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.peers.pyflink", replace(job, variant=f"{CHILD}:{port}").to_json()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    samples: list[tuple[float, float]] = []
    rows: dict[int, tuple[int, int, float]] = {}
    newest: dict[int, int] = {}
    for line in child.stdout:
        at = time.time()
        kind, _, text = line.decode().rstrip("]\n").partition("[")
        if kind not in ("+I", "+U", "-D"):
            continue
        customer, count, total, sent_us = text.split(", ")
        if kind == "-D":
            rows.pop(int(customer), None)
            continue
        rows[int(customer)] = (int(customer), int(count), float(total))
        if int(sent_us) > newest.get(int(customer), 0):
            newest[int(customer)] = int(sent_us)
            samples.append((at, at * 1_000 - int(sent_us) / 1_000))
    child.wait()
    feeder.wait()
    write_rows(job, list(rows.values()))
    report_latencies(samples, samples[0][0], samples[-1][0])


def main() -> None:
    job = Job.from_arguments()
    if job.variant.startswith(CHILD):
        run_child(int(job.variant.partition(":")[2]))
    elif job.workload == "w6":
        follow(job)
    else:
        measure(job)


if __name__ == "__main__":
    main()
