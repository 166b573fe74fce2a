"""Submits a compiled job to a cluster, and replaces the one before it.

What to do is decided by :func:`decide`, from the job that runs and the one that is wanted: the same statements go on from
a savepoint, others become a new generation with derived topics of its own, beside the old job, which the caller cancels when
readers have switched.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from springline.errors import ConfigurationError, SourceError
from springline.runtime.flink.definition import Job
from springline.runtime.flink.rest import FINISHED, FlinkRest

PROGRAM: Final = Path(__file__).with_name("job.py")
SUBMIT_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class FlinkEnvironment:
    """Where jobs are submitted from and to. ``python`` has PyFlink (``apache-flink==2.2.1``) and is an environment of its own;
    ``jars`` are on every job's class path: the connector to Kafka, if the cluster has it not; ``variables`` go to the program."""

    python: Path
    rest: str
    jars: tuple[Path, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Deployment:
    """A submitted job: what was recorded of it, so that the next one can be compared."""

    job_id: str
    generation: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Decision:
    """``keep``: the job runs and is the wanted one. ``resume``: its statements are the same; it is stopped with a savepoint, from
    which it starts again (its settings changed). ``start``: under ``generation``, from the beginning of the topics."""

    action: Literal["keep", "resume", "start"]
    generation: int


def decide(wanted: str, deployed: Deployment | None, state: str | None, *, restart: bool = False) -> Decision:
    """What to do. ``wanted``: the fingerprint of the job that is asked for; ``state``: of the deployed job in the cluster, None where
    it is not known there; ``restart``: also a job of the same statements is started again, for new settings."""
    if deployed is None:
        return Decision("start", 1)
    if deployed.fingerprint != wanted:
        return Decision("start", deployed.generation + 1)
    if state is None or state in FINISHED:
        # Its derived topics hold what it has written; a job without its state would write them anew from the beginning.
        return Decision("start", deployed.generation + 1)
    return Decision("resume" if restart else "keep", deployed.generation)


def submit(job: Job, environment: FlinkEnvironment, *, savepoint: str | None = None) -> Deployment:
    """Starts a job, from a savepoint if there is one. Blocks until Flink has accepted it (tens of seconds for many views).

    Raises ConfigurationError, with the view, for what Flink refuses; SourceError where it cannot be asked.
    """
    extra = (
        {}
        if savepoint is None
        else {
            "execution.state-recovery.path": savepoint,
            "execution.state-recovery.claim-mode": "CLAIM",
        }
    )
    answer = _run(job, environment, extra)
    return Deployment(str(answer["job_id"]), job.generation, job.fingerprint)


def restarted(
    job: Job, deployed: Deployment, environment: FlinkEnvironment, *, folder: str | None = None
) -> Deployment:
    """Stops the deployed job with a savepoint and starts ``job``, which has the same statements, from it. ``folder``: of savepoints,
    default the cluster's."""
    savepoint = FlinkRest(environment.rest).stop_with_savepoint(deployed.job_id, folder=folder)
    return submit(job, environment, savepoint=savepoint)


def plan(job: Job, environment: FlinkEnvironment) -> str:
    """Flink's own plan of a job; nothing is submitted, and no cluster is needed."""
    return str(_run(job, environment, {}, "--explain")["plan"])


def explain_job(job: Job) -> str:
    """What the job is, for people: its topics and its statements."""
    lines = [f"job {job.name}  group {job.group}  fingerprint {job.fingerprint}", "", "writes"]
    width = max((len(one.name) for one in job.relations), default=0)
    for one in job.relations:
        key = (
            f"({', '.join(one.schema.key)})"
            if one.key_column is None
            else f"{one.key_column}: JSON of ({', '.join(one.schema.key)})"
        )
        lines.append(f"  {one.name:<{width}}  {one.topic}  key {key}")
    if job.functions:
        lines += ["", "functions", *(f"  {one.sql_name}: {one.module}:{one.name}" for one in job.functions)]
    lines += ["", "statements"]
    for statement in job.statements:
        lines += ["", *(f"  {line}" for line in f"{statement.sql};".splitlines())]
    return "\n".join(lines)


def _run(job: Job, environment: FlinkEnvironment, extra: Mapping[str, str], *options: str) -> dict[str, Any]:
    told = job.to_json()
    told["configuration"] |= {**_addressed(environment), **environment.settings, **extra}
    # The program runs from a folder without our modules: its own is the first place that Python looks for modules in.
    with tempfile.TemporaryDirectory(prefix="springline-flink-") as folder:
        program = Path(shutil.copy(PROGRAM, folder))
        given = Path(folder, "job.json")
        given.write_text(json.dumps(told), encoding="utf-8")
        variables = {**os.environ, **environment.variables}
        variables.pop("PYTHONPATH", None)
        # Flink starts `python` from the path; it has to be the one with PyFlink.
        variables["PATH"] = f"{environment.python.parent}{os.pathsep}{variables.get('PATH', '')}"
        try:
            done = subprocess.run(
                [str(environment.python), str(program), str(given), *options],
                check=False,
                capture_output=True,
                text=True,
                cwd=folder,
                env=variables,
                timeout=SUBMIT_TIMEOUT_S,
            )
        except OSError as error:
            raise ConfigurationError(
                f"Flink's Python {environment.python} cannot be started: {error}",
                hint="Make an environment of its own with `pip install apache-flink==2.2.1`, and name its interpreter.",
            ) from error
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"Job {job.name} was not accepted within {SUBMIT_TIMEOUT_S:g} s.",
                hint="Does Flink's REST address answer?",
            ) from None
    return _answer(job, done)


def _addressed(environment: FlinkEnvironment) -> dict[str, str]:
    scheme, _, place = environment.rest.rstrip("/").partition("://")
    host, _, port = place.partition(":")
    made = {
        "execution.target": "remote",
        "execution.attached": "false",
        "rest.address": host,
        "rest.port": port or ("443" if scheme == "https" else "8081"),
    }
    if environment.jars:
        made["pipeline.jars"] = ";".join(one.resolve().as_uri() for one in environment.jars)
    if scheme == "https":
        made["security.ssl.rest.enabled"] = "true"
    return made


def _answer(job: Job, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    lines = done.stdout.strip().splitlines()
    try:
        answer: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        tail = " | ".join(done.stderr.strip().splitlines()[-3:]) or f"exit status {done.returncode}"
        raise SourceError(
            f"Job {job.name} could not be submitted: {tail}",
            hint="Is PyFlink in that environment, and a Java on the path?",
        ) from None
    if "error" in answer:
        about = f" ({answer['about']})" if answer.get("about") else ""
        raise ConfigurationError(
            f"Flink does not take job {job.name}{about}: {answer['error']}",
            hint="docs/flink-gaps.md lists what is different on Flink; `springline explain` shows the statements.",
        )
    return answer
