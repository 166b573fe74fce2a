"""Where a topic is begun that was never read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from springline.errors import ConfigurationError
from springline.sources.kafka.directory import Directory, Offsets, Partition, Topic, from_time

Start: TypeAlias = str | int | Mapping[str, Mapping[int, int]]
"""``earliest``, ``latest``, milliseconds since the epoch, or offsets by topic and partition."""

_ANSWER_S: Final = 10.0


def parse_start(source: str, given: str | Mapping[str, Mapping[int, int]]) -> Start:
    """A time becomes milliseconds. Raises ConfigurationError."""
    if not isinstance(given, str) or given in ("earliest", "latest"):
        return given
    try:
        at = dt.datetime.fromisoformat(given)
    except ValueError:
        raise ConfigurationError(
            f"Source {source!r} cannot start at {given!r}.",
            hint="start= is 'earliest', 'latest', a time such as '2026-01-01T00:00:00Z', or {topic: {partition: offset}}.",
        ) from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)).timestamp() * 1_000)


def starts(
    directory: Directory, topic: Topic, start: Start, earliest: Offsets, ends: Offsets, *, is_late: bool
) -> dict[Partition, int]:
    """The first offset of each partition. ``is_late``: the topic was waited for, so all of its records are new."""
    partitions = [(topic.name, number) for number in topic.partitions]
    if start == "earliest" or (start == "latest" and is_late):
        return {one: earliest[one] for one in partitions}
    if start == "latest":
        return {one: ends[one] for one in partitions}
    if isinstance(start, int):
        found = directory.offsets(partitions, from_time(start), _ANSWER_S)
        return {one: found[one] if found[one] >= 0 else ends[one] for one in partitions}
    named = cast("Mapping[str, Mapping[int, int]]", start).get(topic.name, {})
    return {one: min(max(named.get(one[1], 0), earliest[one]), ends[one]) for one in partitions}
