"""The command line with one place in it at which it is killed, or one promise broken: ``program.py [--die-at POINT:N] [--mutant NAME] -- capture …``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from springline.cli.main import main
from springline.log.kafka.publisher import KafkaPublisher
from springline.log.sqlite import SqliteCaptureWriter
from springline.runtime.embedded.publishing import Publishing
from springline.runtime.flink.coordinator import Coordinator
from springline.runtime.flink.jobs import FlinkJobs
from springline.testing.crash import kill_self
from tests.cluster.crash import mutants
from tests.cluster.crash.mutants import MUTANTS

POINTS: Final[dict[str, tuple[Any, str, bool]]] = {
    "inside_a_publish": (KafkaPublisher, "_produce", True),
    "before_a_publish_is_committed": (KafkaPublisher, "_commit", False),
    "after_a_publish_is_committed": (KafkaPublisher, "_commit", True),
    "before_it_is_told": (Publishing, "_reached", False),
    "before_a_checkpoint": (FlinkJobs, "checkpoint", False),
    "after_a_checkpoint": (FlinkJobs, "checkpoint", True),
    "before_a_cut_is_written": (Coordinator, "_settled", True),
    "before_a_cut_is_committed": (Coordinator, "_write", False),
    "after_a_cut_is_committed": (Coordinator, "_write", True),
    "between_a_nodes_commits": (mutants, "between_commits", False),
    "before_a_nodes_commit": (SqliteCaptureWriter, "commit", False),
    "after_a_nodes_commit": (SqliteCaptureWriter, "commit", True),
}
"""Where: a class, its method, and whether it is after that. Some are in a capture, the last ones in a node."""

CAPTURES: Final = tuple(name for name in POINTS if "node" not in name)
NODES: Final = ("before_a_nodes_commit", "after_a_nodes_commit")


@contextlib.contextmanager
def dies_at(point: str, times: int) -> Iterator[None]:
    """SIGKILL for this process the so-manieth time that it comes to the point."""
    owner, name, is_after = POINTS[point]
    original: Callable[..., Any] = getattr(owner, name)
    left = times

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            kill_self()

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if not is_after:
            count()
        result = original(*arguments, **named)
        if is_after:
            count()
        return result

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)


def run() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--die-at", default="")
    parser.add_argument("--mutant", choices=sorted(MUTANTS))
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with contextlib.ExitStack() as patches:
        if options.mutant:
            patches.enter_context(MUTANTS[options.mutant]())
        if options.die_at:
            point, _, times = options.die_at.partition(":")
            patches.enter_context(dies_at(point, int(times)))
        sys.argv = ["springline", *options.command]
        main()


if __name__ == "__main__":
    run()
