"""Deploys an application's job, and writes down what is deployed, in the application's own topic.

The record under the key ``current`` is what serving nodes follow. A new generation is recorded under ``next``; the coordinator makes it the
current one when it has caught up (``coordinator``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from springline.errors import SourceError
from springline.log.kafka.clients import Kafka, kafka_errors
from springline.log.kafka.cut import Deployed, DerivedRelation
from springline.log.kafka.deployments import CURRENT, NEXT, read_deployments, write_deployment
from springline.log.kafka.topics import COMPACTED, Topic, ensure_topics
from springline.runtime.flink.definition import Job
from springline.runtime.flink.rest import FlinkRest
from springline.runtime.flink.submit import Decision, FlinkEnvironment, decide, restarted, submit
from springline.runtime.flink.submit import Deployment as Submitted

_logger = logging.getLogger("springline.deploy")


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
    with kafka_errors(target.kafka, "looking at its topics"):
        topics = target.kafka.topics()
    if newest is not None and any(one.topic not in topics for one in newest.relations):
        # What the job wrote is gone, and it does not write it again.
        decision = Decision("start", newest.generation + 1)
    if newest is None:
        decision = replace(decision, generation=unused_generation(job.application, topics))
        if decision.generation > 1:
            _logger.warning(
                "what of %r was deployed before is not known any more, and this is generation %d. A job of an earlier one that still runs is to be cancelled in Flink.",
                job.application,
                decision.generation,
            )
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


def unused_generation(application: str, topics: Iterable[str]) -> int:
    """One that no derived topic is of: what is in another one's topics would be mixed with this one's. Pure."""
    pattern = re.compile(re.escape(application) + r"\.derived-(\d+)\.")
    return 1 + max((int(found[1]) for one in topics if (found := pattern.match(one))), default=0)


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
