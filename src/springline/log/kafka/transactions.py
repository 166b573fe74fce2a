"""Whether a job's transactions of a checkpoint are committed: a completed checkpoint commits them a little later.

A sink of Flink's with exactly-once delivery writes the records between two checkpoints in one transaction, whose id ends with the number of its subtask
and that of the checkpoint that ends it (``sink.transaction-naming-strategy`` INCREMENTING, the connector's default).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from kafka.errors import KafkaError

from springline.errors import ConfigurationError, SourceUnavailable
from springline.kafka_admin import NAMES, connected
from springline.log.kafka.clients import Kafka
from springline.log.kafka.topics import Offsets

_OPEN: Final = frozenset(("Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"))
_COMMITTED: Final = frozenset(("CompleteCommit",))
_ENDING: Final = re.compile(r"-\d+-(\d+)$")


class Transactions:
    """A connection that is kept, for what librdkafka cannot ask, and for offsets of groups, over which it has been seen to crash while their
    coordinator was being loaded. Not thread-safe."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._admin: Any = None

    def states(self, prefix: str) -> list[tuple[int, str]]:
        """(checkpoint, state) of every transaction whose id begins with the prefix. Raises SourceUnavailable."""
        listed = self._asked("its transactions", lambda admin: admin.list_transactions())
        groups = cast("Iterable[Any]", listed.values() if isinstance(listed, dict) else [listed])
        return [
            (int(found[1]), str(one.state.value))
            for group in groups
            for one in group
            if one.transactional_id.startswith(prefix) and (found := _ENDING.search(one.transactional_id))
        ]

    def group_offsets(self, group: str) -> Offsets:
        """What a consumer group has committed. Raises SourceUnavailable."""
        listed = self._asked("a group's offsets", lambda admin: admin.list_group_offsets([group]))
        found = cast("Mapping[Any, Any]", listed.get(group, {}))
        return {
            (str(place.topic), int(place.partition)): int(one.offset)
            for place, one in found.items()
            if one.offset >= 0
        }

    def _asked(self, what: str, ask: Callable[[Any], Any]) -> Any:
        try:
            if self._admin is None:
                self._admin = connected(_options(self._kafka))
            return ask(self._admin)
        except (KafkaError, OSError) as error:
            self.close()
            raise SourceUnavailable(
                f"Kafka at {self._kafka.bootstrap} does not tell {what}: {error}.",
                hint="It is tried again; nothing is lost.",
            ) from error

    def close(self) -> None:
        """Idempotent."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def is_settled(states: Iterable[tuple[int, str]], checkpoint: int) -> bool:
    """Whether everything up to a checkpoint is committed. Pure."""
    return not any(number <= checkpoint and state in _OPEN for number, state in states)


def newest_committed(states: Iterable[tuple[int, str]]) -> int:
    """The last checkpoint of which something is committed; 0 if nothing is. Pure."""
    return max((number for number, state in states if state in _COMMITTED), default=0)


def _options(kafka: Kafka) -> dict[str, Any]:
    unknown = [
        name
        for name in kafka.options
        if name.startswith(("sasl.", "ssl.", "security.")) and name not in NAMES
    ]
    if unknown:
        raise ConfigurationError(
            f"The Kafka option {unknown[0]!r} cannot be used with a cluster's cuts.",
            hint=f"Known: {', '.join(NAMES)}.",
        )
    given = {NAMES[name]: value for name, value in kafka.options.items() if name in NAMES}
    return {"bootstrap_servers": kafka.bootstrap.split(","), **given}
