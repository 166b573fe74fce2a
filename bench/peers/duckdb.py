"""The limit of batch work: DuckDB computes the answer once, over all lines, with one thread. Nothing is kept up to date."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers.common import Job, report, stop_clock, write_rows
from bench.workloads import CATEGORY, NEAR, WINDOW_MS

duckdb: Any = importlib.import_module("duckdb")


def lines(path: object, columns: str) -> str:
    return f"read_json('{path}', format='newline_delimited', columns={{{columns}}})"


def query(job: Job) -> str:
    if job.workload == "w1":
        columns = "op: 'VARCHAR', key: 'BIGINT', customer_id: 'BIGINT', amount: 'DOUBLE', ts: 'BIGINT'"
        return f"""
            WITH newest AS (
                SELECT key, arg_max(op, ts) AS op, arg_max(customer_id, ts) AS customer_id, arg_max(amount, ts) AS amount
                FROM {lines(job.input("changes.jsonl"), columns)} GROUP BY key)
            SELECT c.customer_id, c.name, c.region, count(*), sum(n.amount)
            FROM newest AS n
            JOIN {lines(job.input("customers.jsonl"), "customer_id: 'BIGINT', name: 'VARCHAR', region: 'VARCHAR'")} AS c
                USING (customer_id)
            WHERE n.op <> 'd' GROUP BY ALL"""
    if job.workload == "w2":
        columns = "auction: 'BIGINT', price: 'BIGINT', ts: 'BIGINT'"
        return f"""
            SELECT ts // {WINDOW_MS} * {WINDOW_MS} AS w, auction, count(*), max(price)
            FROM {lines(job.input("bids.jsonl"), columns)} GROUP BY ALL"""
    columns = "t: 'VARCHAR', id: 'BIGINT', name: 'VARCHAR', city: 'VARCHAR', state: 'VARCHAR', seller: 'BIGINT', category: 'INTEGER'"
    return f"""
        WITH events AS (SELECT * FROM {lines(job.input("events.jsonl"), columns)})
        SELECT a.id, p.name, p.city, p.state FROM events AS a JOIN events AS p ON a.seller = p.id
        WHERE a.t = 'a' AND p.t = 'p' AND a.category = {CATEGORY} AND p.state IN {NEAR}"""


def main() -> None:
    job = Job.from_arguments()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    began = time.perf_counter()
    connection.execute(f"CREATE TABLE answer AS {query(job)}")
    seconds = stop_clock(job, began)
    write_rows(job, connection.execute("FROM answer").fetchall())
    report(seconds=seconds, events=job.events)


if __name__ == "__main__":
    main()
