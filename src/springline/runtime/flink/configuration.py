"""How a job is configured: one table, each line with its reason.

What an application gives goes over these, but for those that its answers' correctness stands on (``FIXED``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from springline.errors import ConfigurationError

CONFIGURATION: Final[tuple[tuple[str, str, str], ...]] = (
    ("execution.runtime-mode", "STREAMING", "views follow their tables for ever"),
    (
        "execution.checkpointing.mode",
        "EXACTLY_ONCE",
        "a cut is a checkpoint: nothing is in it twice, or not at all",
    ),
    (
        "execution.checkpointing.interval",
        "365 d",
        "switched on, and never by the clock: the coordinator asks for each checkpoint",
    ),
    ("execution.checkpointing.min-pause", "0 ms", "the next checkpoint may follow at once"),
    (
        "execution.checkpointing.max-concurrent-checkpoints",
        "1",
        "transactions of a topic are committed one after the other",
    ),
    ("execution.checkpointing.timeout", "5 min", "below the transactions' own timeout"),
    (
        "execution.checkpointing.unaligned.enabled",
        "false",
        "a cut holds all rows of its offsets, and none on the way",
    ),
    (
        "execution.checkpointing.externalized-checkpoint-retention",
        "RETAIN_ON_CANCELLATION",
        "a job that was cancelled by mistake can go on",
    ),
    ("restart-strategy.type", "exponential-delay", "what passes (a broker, a machine) is waited for"),
    ("restart-strategy.exponential-delay.initial-backoff", "1 s", "a first attempt soon"),
    ("restart-strategy.exponential-delay.max-backoff", "10 s", "and the later ones not so often"),
    (
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        "2 min",
        "after so long without a failure the next one is a first one",
    ),
    (
        "table.exec.source.cdc-events-duplicate",
        "true",
        "compacted topics lose what came between, and capture may write twice: rows are told by their key",
    ),
    (
        "table.exec.sink.not-null-enforcer",
        "DROP",
        "a NULL in a key, which the compiler has ruled out, must not restart the job for ever",
    ),
    (
        "table.exec.sink.upsert-materialize",
        "AUTO",
        "where rows of one key can overtake each other, the sink puts them in order",
    ),
    ("table.exec.state.ttl", "0 ms", "state is kept as long as its rows: what expires is wrong later"),
    ("table.local-time-zone", "UTC", "as everywhere in Springline"),
    (
        "table.exec.mini-batch.enabled",
        "false",
        "a batch in memory waits for its time also before a checkpoint; switch it on for throughput, with a latency of 50 ms or so",
    ),
    (
        "parallelism.default",
        "1",
        "set by `flink_parallelism`; the sinks are always 1, for one transaction per topic and checkpoint",
    ),
    (
        "python.execution-mode",
        "process",
        "in thread mode Flink 2.2 forgets whether a row came or went: a function over a table that changes counts it twice",
    ),
    (
        "python.fn-execution.bundle.time",
        "20",
        "rows wait in a function's process for at most so many milliseconds; a checkpoint waits for none",
    ),
    ("pipeline.operator-chaining.enabled", "true", "fewer hand-overs"),
)


FIXED: Final = frozenset(
    {
        "execution.runtime-mode",
        "execution.checkpointing.mode",
        "execution.checkpointing.interval",
        "execution.checkpointing.max-concurrent-checkpoints",
        "execution.checkpointing.unaligned.enabled",
        "table.exec.source.cdc-events-duplicate",
        "table.exec.sink.not-null-enforcer",
        "table.exec.sink.upsert-materialize",
        "table.exec.state.ttl",
        "table.local-time-zone",
    }
)
"""With other values answers could be wrong."""


def configured(parallelism: int, given: Mapping[str, str]) -> dict[str, str]:
    """What an application's own settings are, checked. Raises ConfigurationError."""
    reasons = {key: (value, reason) for key, value, reason in CONFIGURATION}
    for key, value in given.items():
        if key in FIXED and value != reasons[key][0]:
            fixed, reason = reasons[key]
            raise ConfigurationError(
                f"Flink's {key} cannot be {value!r}: it is {fixed!r}, because {reason}.",
                hint="Remove it from the job's options (setting flink_config).",
            )
    return {"parallelism.default": str(parallelism), **given}


def defaults() -> dict[str, str]:
    """The settings by name."""
    return {key: value for key, value, _ in CONFIGURATION}
