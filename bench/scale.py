"""How an application on Kafka and Flink scales: ``python -m bench.scale``, or ``make bench-scale``.

Three figures, each of one core: what a job's subtasks read, keep and write, with 1, 2 and 4 of them (is the work split by key?); what capture
takes from a source into topics; what a serving node takes from derived topics into its file. Kafka, Flink and all else share this machine, so
rates are those of a machine, and the figure to compute with is what a record costs: processor seconds, by thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from springline import cluster
from springline.app import App
from springline.log.base import Commit, RowChange
from springline.log.kafka.names import table_topic
from springline.log.kafka.publisher import KafkaPublisher
from springline.log.kafka.topics import ensure_topics, table_topics
from springline.runtime.flink.rest import FlinkRest
from springline.settings import Settings
from springline.sources.json_rows import JsonTable
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker

CHANGES = 1_000_000
CAPTURED = 300_000
ROWS = 200_000
CUSTOMERS = 50_000
PARTITIONS = 8
PARALLELISMS = (1, 2, 4)
IDLE_S = 3.0
"""A job that has read nothing for so long has read everything."""
ORDERS = JsonTable({"id": "BIGINT", "customer": "BIGINT", "amount": "DECIMAL(12, 2)"}, ["id"])
TOTALS = "SELECT customer, COUNT(*) AS orders, SUM(amount) AS total FROM shop.orders GROUP BY customer"


@dataclass(frozen=True)
class Subtask:
    """One of an operator's: what it read, and the processor time of its thread."""

    read: int
    cpu_s: float


@dataclass(frozen=True)
class JobRun:
    """A job that read everything: ``seconds`` from the first record to the last; ``cpu_s`` of the whole TaskManager, with its compiler and
    collector; ``subtasks`` by operator."""

    parallelism: int
    changes: int
    seconds: float
    cpu_s: float
    subtasks: dict[str, list[Subtask]]


def declared(name: str, settings: Settings, lines: Path) -> App:
    app = App(name, settings=settings)
    app.jsonl("shop", lines, tables={"orders": ORDERS}, operation_field="op")
    app.view("totals", TOTALS)
    return app


def write_changes(settings: Settings, app: App, changes: int) -> None:
    """Inserts of all rows, then updates of them: the topic as capture would have written it."""
    kafka = cluster.kafka_of(settings)
    [schema] = [one for one in app.sources["shop"].tables() if one.name == "shop.orders"]
    ensure_topics(kafka, table_topics(app.name, [schema], PARTITIONS))
    publisher = KafkaPublisher(app.name, kafka)
    topic, producer = table_topic(app.name, schema.name), kafka.plain_producer()
    for number, change in enumerate(_changes(changes)):
        commit = Commit("shop", str(number), 1_700_000_000_000_000 + number, str(number))
        for key, value in publisher.records(schema, change, commit):
            while True:
                try:
                    producer.produce(topic, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
    producer.flush()


def _changes(count: int) -> Iterator[RowChange]:
    before: dict[int, tuple[int, int, str]] = {}
    for number in range(count):
        key = number % ROWS
        row = (key, (key * 7_919 + number // ROWS) % CUSTOMERS, f"{number % 9_999}.50")
        old = before.get(key)
        before[key] = row
        yield RowChange("c" if old is None else "u", old, row)


def measured(app: App, flink: FlinkCluster, parallelism: int, changes: int) -> JobRun:
    """Deploys the job anew at a parallelism, and follows it to the end of the topic."""
    rest = FlinkRest(flink.rest)
    deployed = cluster.deploy(app).deployed
    [pid] = flink.taskmanagers.values()
    began = cpu = None
    reads: dict[str, list[int]] = {}
    moved_at = 0.0
    try:
        while True:
            now, found = time.monotonic(), subtask_reads(flink, deployed.job_id)
            if found != reads:
                reads, moved_at = found, now
            sources = sum(sum(one) for name, one in reads.items() if "Source" in name)
            if began is None and sources > 0:
                began, cpu = now, thread_times(pid)
            if began is not None and sources >= changes and now - moved_at > IDLE_S:
                break
            time.sleep(0.1)
        spent = thread_times(pid)
        assert cpu is not None
        whole_s = sum(one[1] for one in spent.values()) - sum(one[1] for one in cpu.values())
        return JobRun(parallelism, changes, moved_at - began, whole_s, matched(reads, cpu, spent))
    finally:
        rest.cancel(deployed.job_id)
        rest.wait_for(deployed.job_id, lambda state: state in {"CANCELED", "FAILED", "FINISHED"}, 60)


def subtask_reads(flink: FlinkCluster, job_id: str) -> dict[str, list[int]]:
    """Records read, or emitted where it is a source, by each subtask of each operator."""
    found: dict[str, list[int]] = {}
    for vertex in flink.request(f"/jobs/{job_id}")["vertices"]:
        described = flink.request(f"/jobs/{job_id}/vertices/{vertex['id']}")
        found[vertex["name"]] = [
            int(one["metrics"]["read-records"] or one["metrics"]["write-records"])
            for one in described["subtasks"]
        ]
    return found


def thread_times(pid: int) -> dict[int, tuple[str, float]]:
    """Name (its first 15 characters) and processor seconds of each thread of a process."""
    found: dict[int, tuple[str, float]] = {}
    for thread in psutil.Process(pid).threads():
        try:
            name = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text().strip()
        except OSError:
            continue
        found[thread.id] = (name, thread.user_time + thread.system_time)
    return found


def matched(
    reads: dict[str, list[int]],
    before: dict[int, tuple[str, float]],
    after: dict[int, tuple[str, float]],
) -> dict[str, list[Subtask]]:
    """Each subtask with its thread: those of one operator have one name, and were started in their order."""
    found: dict[str, list[Subtask]] = {}
    taken: set[int] = set()
    for operator, subtasks in reads.items():
        threads = [
            (number, name, spent - before.get(number, ("", 0.0))[1])
            for number, (name, spent) in sorted(after.items())
            if number not in taken and operator.startswith(name.rstrip())
        ][: len(subtasks)]
        taken |= {number for number, _, _ in threads}
        found[operator] = [
            Subtask(read, spent) for read, (_, _, spent) in zip(subtasks, threads, strict=True)
        ]
    return found


@dataclass(frozen=True)
class Share:
    """What one process took in: rows, seconds, and processor seconds."""

    rows: int
    seconds: float
    cpu_s: float

    @property
    def per_core(self) -> float:
        return self.rows / self.cpu_s


def captured_and_served(app: App, folder: Path, rows: int) -> tuple[Share, Share]:
    """Capture of a file of rows into topics, and then a node that loads the derived topics, both in this process."""
    cluster.deploy(app)
    began, cpu = time.monotonic(), time.process_time()
    with cluster.Capture(app, data=folder / "capture") as capture:
        _wait(lambda: capture.runtime.publishing is not None and _published(capture) >= rows)
        taken = Share(rows, time.monotonic() - began, time.process_time() - cpu)
        coordinator = capture.coordinator
        assert coordinator is not None
        _wait(
            lambda: (
                coordinator.last is not None
                and not coordinator.last.loading
                and sum(coordinator.last.inputs.values()) >= rows
            )
        )
        idle = time.process_time()
        time.sleep(3)
        beside = (time.process_time() - idle) / 3
        began, cpu = time.monotonic(), time.process_time()
        with app.start(data=folder / "node", definition=cluster.serving(app)) as node:
            _wait(lambda: _count(node) >= rows)
            seconds = time.monotonic() - began
            served = Share(rows, seconds, time.process_time() - cpu - beside * seconds)
    return taken, served


def _published(capture: cluster.Capture) -> int:
    status = {one.name: one for one in capture.runtime.status().relations}
    return status["shop.orders"].rows or 0 if capture.runtime.publishing is not None else 0


def _count(node: object) -> int:
    from springline.app import Running
    from springline.errors import SpringlineError

    assert isinstance(node, Running)
    try:
        with node.runtime.read() as snapshot:
            [row] = snapshot.query("SELECT COUNT(*) AS n FROM shop.orders").dictionaries()
    except SpringlineError:
        return 0
    return int(str(row["n"]))


def _wait(done: object, timeout_s: float = 600.0) -> None:
    deadline = time.monotonic() + timeout_s
    assert callable(done)
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not there after {timeout_s:g} s")
        time.sleep(0.05)


def table(runs: Sequence[JobRun]) -> list[str]:
    """The runs as a table of Markdown."""
    lines = [
        "| parallelism | changes/s | operator | changes by subtask | CPU seconds by subtask | µs of CPU for each change |",
        "|---|---|---|---|---|---|",
    ]
    for run in runs:
        for number, (operator, subtasks) in enumerate(run.subtasks.items()):
            head = f"| {run.parallelism} | {run.changes / run.seconds:,.0f} " if number == 0 else "| | "
            reads = " · ".join(f"{one.read:,}" for one in subtasks)
            cpu = " · ".join(f"{one.cpu_s:.1f}" for one in subtasks)
            cost = sum(one.cpu_s for one in subtasks) / run.changes * 1e6
            lines.append(
                f"{head}| {operator.split('[')[0].split(' -> ')[0]} | {reads} | {cpu} | {cost:.1f} |"
            )
        whole = run.cpu_s / run.changes * 1e6
        lines.append(f"| | | the whole TaskManager | | {run.cpu_s:.1f} | {whole:.1f} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--changes", type=int, default=CHANGES, help="that the job reads")
    parser.add_argument("--rows", type=int, default=CAPTURED, help="that capture and a node take in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="springline-scale-") as made:
        folder = Path(made)
        with KafkaBroker(folder / "kafka") as broker, FlinkCluster(folder / "flink", slots=8) as flink:
            connector = next(Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-kafka-*.jar"))

            def settings(parallelism: int) -> Settings:
                return Settings(
                    kafka=broker.bootstrap,
                    kafka_partitions=PARTITIONS,
                    flink=flink.rest,
                    flink_python=flink.python,
                    flink_jars=(str(connector),),
                    flink_parallelism=parallelism,
                    embedder="hashing",
                )

            lines = folder / "orders.jsonl"
            lines.touch()
            runs: list[JobRun] = []
            for parallelism in PARALLELISMS:
                app = declared(f"scale{parallelism}", settings(parallelism), lines)
                write_changes(app.settings, app, options.changes)
                runs.append(measured(app, flink, parallelism, options.changes))
                print(*table(runs[-1:])[2:], sep="\n", flush=True)
            with lines.open("w") as file:
                for number, change in enumerate(_changes(options.rows)):
                    assert change.after is not None
                    row = dict(zip(("id", "customer", "amount"), change.after, strict=True))
                    file.write(json.dumps({"op": "u", **row, "id": number}) + "\n")
            taken, served = captured_and_served(declared("rows", settings(1), lines), folder, options.rows)
    print(*table(runs), sep="\n")
    for name, share in (("capture", taken), ("node", served)):
        print(
            f"{name}: {share.rows / share.seconds:,.0f} rows/s, {share.per_core:,.0f} rows for each second of a core"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
