"""What becomes of a job that is submitted, with an interpreter that stands in for Flink's; and what is decided before."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from springline.errors import ConfigurationError, SourceError
from springline.runtime.flink.definition import Job, Statement
from springline.runtime.flink.submit import Decision, Deployment, FlinkEnvironment, decide, plan, submit

JOB = Job(
    "store", 3, "store-3", (Statement("insert", "INSERT INTO a SELECT * FROM b", "a"),), (), (), {"x": "1"}
)


@pytest.mark.parametrize(
    ("deployed", "state", "restart", "decision"),
    [
        (None, None, False, Decision("start", 1)),
        (("same", 3), "RUNNING", False, Decision("keep", 3)),
        (("same", 3), "RESTARTING", False, Decision("keep", 3)),
        (("same", 3), "RUNNING", True, Decision("resume", 3)),
        (("other", 3), "RUNNING", False, Decision("start", 4)),
        (("other", 3), "RUNNING", True, Decision("start", 4)),
        (("same", 3), "CANCELED", False, Decision("start", 4)),
        (("same", 3), None, True, Decision("start", 4)),
    ],
)
def test_what_is_done_with_a_job(
    deployed: tuple[str, int] | None, state: str | None, restart: bool, decision: Decision
) -> None:
    before = None if deployed is None else Deployment("j", deployed[1], deployed[0])
    assert decide("same", before, state, restart=restart) == decision


def environment(folder: Path, answer: str, *, status: int = 0) -> FlinkEnvironment:
    """Flink's Python, which keeps what it is given and says ``answer``."""
    python = folder / "python"
    python.write_text(
        f'#!/bin/sh\ncp "$2" {folder}/given.json\nbasename "$1" > {folder}/program\necho "$3" >> {folder}/program\n'
        f"cat <<'EOF'\nWARNING: noise\n{answer}\nEOF\nexit {status}\n"
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return FlinkEnvironment(
        python, "http://flink:8082/", (folder / "kafka.jar",), {"parallelism.default": "4"}
    )


def test_a_job_is_given_to_flinks_python(tmp_path: Path) -> None:
    made = submit(JOB, environment(tmp_path, '{"job_id": "abc"}'), savepoint="file:/saved")
    assert made == Deployment("abc", 3, JOB.fingerprint)
    given = json.loads((tmp_path / "given.json").read_text())
    assert given["statements"] == [{"kind": "insert", "sql": "INSERT INTO a SELECT * FROM b", "about": "a"}]
    assert given["configuration"] == {
        "x": "1",
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": "flink",
        "rest.port": "8082",
        "pipeline.jars": (tmp_path / "kafka.jar").as_uri(),
        "parallelism.default": "4",
        "execution.state-recovery.path": "file:/saved",
        "execution.state-recovery.claim-mode": "CLAIM",
    }
    assert (tmp_path / "program").read_text().split() == ["job.py"]


def test_a_plan_is_asked_for_without_submitting(tmp_path: Path) -> None:
    assert plan(JOB, environment(tmp_path, '{"plan": "Sink(…)"}')) == "Sink(…)"
    assert (tmp_path / "program").read_text().split() == ["job.py", "--explain"]


def test_what_flink_refuses_names_the_view(tmp_path: Path) -> None:
    answer = json.dumps({"error": "Column 'x' not found", "about": "totals"})
    with pytest.raises(
        ConfigurationError, match=r"does not take job store-3 \(totals\): Column 'x' not found"
    ):
        submit(JOB, environment(tmp_path, answer, status=1))


def test_a_python_that_says_nothing_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="could not be submitted: exit status 3"):
        submit(JOB, environment(tmp_path, "no json", status=3))
    with pytest.raises(ConfigurationError, match="cannot be started") as caught:
        submit(JOB, FlinkEnvironment(tmp_path / "nothing", "http://flink:8082"))
    assert "pip install apache-flink" in str(caught.value.hint)
