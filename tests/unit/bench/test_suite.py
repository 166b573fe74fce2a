"""The benchmark's own rules: every result is checked, wrong ones are called wrong, missing peers are said to be missing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import suite as suites
from bench.environments import Unavailable
from bench.feeder import batch
from bench.peers.common import Job
from bench.peers.plain import answer_to_fed, sales, totals, windows
from bench.results import OURS, Result, Row, medians, ratio, table
from bench.runner import Outcome, Watch
from bench.settings import FAMILIES, Settings
from bench.suite import INCREMENTAL, Suite, System, comparable, difference
from bench.targets import judged
from bench.workloads import MAKERS, Orders, prepared


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in {
        "BENCH_SCALE": "0.0003",
        "BENCH_REPETITIONS": "1",
        "BENCH_KEYS": "500",
        "BENCH_FOLDER": str(tmp_path / "bench"),
        "BENCH_RESULTS": str(tmp_path / "results"),
        "PEERS": "springline,plain",
    }.items():
        monkeypatch.setenv(name, value)

    return Settings.load()


def job_of(folder: Path, workload: str) -> Job:
    return Job(workload, "", str(folder), str(folder), str(folder / "rows"), 0)


@pytest.mark.parametrize("workload", ["w1", "w2", "w3"])
def test_workloads_are_deterministic(workload: str, tmp_path: Path) -> None:
    made: list[dict[str, bytes]] = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        MAKERS[workload](folder, 500)
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[0] == made[1]


def test_plain_totals_equal_the_last_word_on_every_key(tmp_path: Path) -> None:
    folder = prepared("w1", 30_000, tmp_path)
    last: dict[int, dict[str, object]] = {}
    with (folder / "changes.jsonl").open() as file:
        for line in file:
            one = json.loads(line)
            last[one["key"]] = one
    expected: Counter[object] = Counter(one["customer_id"] for one in last.values() if one["op"] != "d")
    found = totals(job_of(folder, "w1"))
    assert {row[0]: row[3] for row in found} == dict(expected)
    moved = {
        one["customer_id"]
        for one in last.values()
        if one["customer_id"] != int(str(one["key"])) * 7919 % 10_000
    }
    assert moved, "some orders were moved to another customer"


def test_plain_windows_lose_no_bid(tmp_path: Path) -> None:
    folder = prepared("w2", 5_000, tmp_path)
    rows = windows(job_of(folder, "w2"))
    assert sum(int(str(row[2])) for row in rows) == 5_000
    assert len({row[:2] for row in rows}) == len(rows)


def test_plain_sales_join_late_sellers_too(tmp_path: Path) -> None:
    folder = prepared("w3", 4_000, tmp_path)
    with (folder / "persons.jsonl").open() as file:
        near = {one["id"] for one in map(json.loads, file) if one["state"] in ("OR", "ID", "CA")}
    with (folder / "auctions.jsonl").open() as file:
        wanted = {
            one["id"] for one in map(json.loads, file) if one["category"] == 10 and one["seller"] in near
        }
    assert {row[0] for row in sales(job_of(folder, "w3"))} == wanted


def test_no_two_fed_changes_have_the_same_time(tmp_path: Path) -> None:
    lines = batch(Orders(100, seed=6), 50)
    times = [json.loads(line)["ts"] for line in lines.splitlines()]
    assert times == sorted(set(times))
    path = tmp_path / "fed.jsonl"
    path.write_bytes(lines)
    assert sum(int(str(row[1])) for row in answer_to_fed(path)) <= 50


def test_wrong_rows_are_called_wrong() -> None:
    right = Counter(
        [comparable("w1", [1, "a", "EU", 2, 10.50]), comparable("w1", [2, "b", "US", 1, 0.1 + 0.2])]
    )
    assert (
        difference(right, Counter([comparable("w1", [2, "b", "US", 1, 0.3]), (1, "a", "EU", 2, 1050)]))
        is None
    )
    missing = difference(right, Counter([(1, "a", "EU", 2, 1050)]))
    assert missing is not None
    assert missing.startswith("WRONG: 1 rows missing, 0 not in the answer")
    doubled = difference(right, right + Counter([(1, "a", "EU", 2, 1050)]))
    assert doubled is not None
    assert doubled.startswith("WRONG: 0 rows missing, 1 not in the answer")


def test_a_system_with_wrong_rows_has_no_figures(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = suites.run

    def forging(module: str, python: Path, job: Job, **options: object) -> Outcome:
        outcome = real(module, python, job, core=None, timeout_s=60)
        if job.variant == "forged":
            lines = Path(job.rows).read_text().splitlines()
            Path(job.rows).write_text("\n".join(lines[1:]) + "\n")
        return outcome

    monkeypatch.setattr(suites, "run", forging)
    monkeypatch.setitem(
        suites.SYSTEMS,
        "w3",
        [System("honest", "plain", INCREMENTAL), System("forger", "plain", INCREMENTAL, "forged")],
    )
    suite = Suite(settings)
    suite.measure("w3")
    assert {one.system for one in suite.results} == {"honest"}
    [said] = [line for line in suite.lines if line.startswith("| forger")]
    assert "WRONG: 1 rows missing" in said


def test_a_peer_that_cannot_be_installed_is_skipped_with_a_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(peer: str, folder: Path) -> Path:
        raise Unavailable(f"could not be installed: no matching distribution for {peer}")

    monkeypatch.setattr(suites, "python_of", refuse)
    suite = Suite(settings)
    suite.measure("w1")
    assert suite.results == []
    assert (
        f"| {OURS} | incremental | – | – | – | – |  |  | skipped: could not be installed: no matching distribution for springline |"
        in suite.lines
    )


def test_a_run_measures_checks_and_writes_both_files(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["w1"]) == 0
    found = json.loads((settings.results / "latest.json").read_text())
    assert {(one["workload"], one["system"]) for one in found} == {
        ("w1", OURS),
        ("w1", "plain Python"),
        ("curve", "500 keys"),
    }
    assert all(set(one) == {"workload", "system", "metric", "value", "unit"} for one in found)
    assert all(one["value"] > 0 for one in found if one["metric"] in ("events_per_s", "peak_mb"))
    text = (settings.results / "latest.md").read_text()
    assert "## w1" in text
    assert "## w1, the cost of a change" in text
    assert f"| {OURS} | incremental |" in capsys.readouterr().out


def test_memory_counts_until_the_clock_stops(tmp_path: Path) -> None:
    measured = tmp_path / "measured"
    script = f"""
import pathlib, time
held = bytearray(50_000_000); time.sleep(0.5)
pathlib.Path({str(measured)!r}).touch()
more = bytearray(300_000_000); time.sleep(0.5)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    watch = Watch(process.pid, measured)
    process.wait()
    assert watch.stop() > 0
    assert 50_000_000 < watch.peak_bytes < 200_000_000


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["w9"]) == 2
    assert "There is no benchmark 'w9'; there are: w1, curve, w2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PEERS", "pathwya", "There is no peer 'pathwya'"),
        ("BENCH_SCALE", "much", "could not convert string to float"),
    ],
)
def test_a_wrong_option_is_refused(
    variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert command.main(["w1"]) == 2
    assert said in capsys.readouterr().err


def test_figures() -> None:
    runs = [
        {"events_per_s": 10.0, "peak_mb": 5.0},
        {"events_per_s": 30.0, "peak_mb": 9.0, "seconds": 1.0},
        {"events_per_s": 20.0, "peak_mb": 7.0},
    ]
    assert medians(runs) == {"events_per_s": 20.0, "peak_mb": 9.0}
    ours = Row(OURS, "incremental", {"events_per_s": 300.0, "p50_ms": 2.0, "peak_mb": 50.0})
    peer = Row("peer", "incremental", {"events_per_s": 100.0, "p50_ms": 5.0, "peak_mb": 200.0}, "a|b")
    assert (ratio(ours, peer, "events_per_s"), ratio(ours, peer, "p50_ms")) == ("3.00 ×", "2.50 ×")
    assert ratio(ours, ours, "events_per_s") == ratio(None, peer, "events_per_s") == ""
    assert table([ours, peer], ["events_per_s"], "events_per_s")[2:] == [
        f"| {OURS} | incremental | 300 |  |  |  |",
        "| peer | incremental | 100 | 3.00 × | 4.00 × | a\\|b |",
    ]


def test_every_system_can_be_chosen() -> None:
    assert {system.family for systems in suites.SYSTEMS.values() for system in systems} == set(FAMILIES)


def test_targets_are_judged_by_ratios_of_the_same_run() -> None:
    def figure(system: str, value: float, metric: str = "events_per_s", workload: str = "w1") -> Result:
        return Result(workload, system, metric, value, "")

    assert judged([figure(OURS, 300.0)]) == []
    lines = judged(
        [
            figure(OURS, 300.0),
            figure("Bytewax", 100.0),
            figure("Pathway, streaming", 250.0),
            figure(OURS, 9.5, "p99_ms", "w6"),
        ]
    )
    assert "| w1, over the best peer that is run incrementally | ≥ 1.5 × | 1.20 × | **missed** |" in lines
    assert "| w6, p99 | ≤ 8 ms | 9.50 ms | **missed** |" in lines
    assert judged([figure(OURS, 300.0), figure("Bytewax", 100.0)])[-1].endswith("| 3.00 × | met |")
