"""Deploys an application's job, and writes down what is deployed, in the application's own topic.

The record under the key ``current`` is what serving nodes follow. A new generation is recorded under ``next``; the coordinator makes it the
current one when it has caught up (``coordinator``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from springline.errors import SourceError
from springline.log.kafka.clients import Kafka
from springline.log.kafka.cut import Deployed, DerivedRelation
from springline.log.kafka.deployments import CURRENT, NEXT, read_deployments, write_deployment
from springline.log.kafka.topics import COMPACTED, Topic, ensure_topics
from springline.runtime.flink.definition import Job
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import Deployment as Submitted
from springline.runtime.flink.submit import FlinkEnvironment, decide, restarted, submit


@dataclass(frozen=True)
class Target:
    """Where to: Kafka, and a Flink cluster with the interpreter and the jars that jobs are submitted with."""

    kafka: Kafka
    rest: str
    python: Path
    jars: tuple[Path, ...]


def deploy(
    compiled: Callable[[int], Job], target: Target, *, inputs: tuple[str, ...], restart: bool, partitions: int
) -> tuple[str, Deployed]:
    """``compiled``: the job of a generation; ``inputs``: the topics that it reads. Returns what was done, and what is deployed then."""
    job = compiled(1)
    known = read_deployments(target.kafka, job.application)
    newest = known.get(NEXT) or known.get(CURRENT)
    before = None if newest is None else Submitted(newest.job_id, newest.generation, newest.fingerprint)
    decision = decide(job.fingerprint, before, _state(newest), restart=restart)
    if decision.action == "keep" and newest is not None:
        return "keep", newest
    job = compiled(decision.generation)
    ensure_topics(target.kafka, [Topic(one.topic, partitions, COMPACTED) for one in job.relations])
    environment = FlinkEnvironment(target.python, target.rest, target.jars)
    if decision.action == "resume" and before is not None:
        submitted = restarted(job, before, environment)
    else:
        submitted = submit(job, environment)
    deployed = Deployed(
        job.generation,
        submitted.job_id,
        job.fingerprint,
        tuple(DerivedRelation(one.schema, one.topic, one.key_column) for one in job.relations),
        target.rest,
        inputs,
    )
    replaces = decision.action == "resume" and NEXT not in known
    key = CURRENT if replaces or CURRENT not in known else NEXT
    write_deployment(target.kafka, job.application, key, deployed)
    return decision.action, deployed


def _state(deployed: Deployed | None) -> str | None:
    """The deployed job's state in its cluster; None where it is not known there."""
    if deployed is None:
        return None
    try:
        return FlinkRest(deployed.rest).state(deployed.job_id)
    except SourceError as error:
        if error.transient:
            raise
        return None
