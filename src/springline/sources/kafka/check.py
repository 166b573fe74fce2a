"""What ``springline doctor`` says of a Kafka source."""

from __future__ import annotations

from collections.abc import Mapping

from springline.sources.base import Finding
from springline.sources.kafka.directory import Directory
from springline.sources.kafka.reading import TopicReader

_ANSWER_S = 5.0


def examine(
    source: str, where: str, directory: Directory, readers: Mapping[str, TopicReader]
) -> list[Finding]:
    """Looks at the cluster without changing anything. Raises SourceUnavailable where it does not answer."""
    ends = directory.ends(list(readers), (), _ANSWER_S)
    findings = [Finding("ok", source, f"Kafka at {where} answers.")]
    for name in readers:
        topic = ends.topics.get(name)
        if topic is None:
            similar = directory.similar(name, _ANSWER_S)
            fix = f"Similar ones: {', '.join(similar)}." if similar else "It is read when it appears."
            findings.append(Finding("error", source, f"There is no topic {name!r}.", fix))
            continue
        count = len(topic.partitions)
        offsets = sum(ends.stable[name, number] for number in topic.partitions)
        noun = "partition" if count == 1 else "partitions"
        findings.append(Finding("ok", source, f"Topic {name!r}: {count} {noun}, {offsets:,} offsets."))
    return findings
