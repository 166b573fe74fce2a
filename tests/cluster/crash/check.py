"""Is everything what the database says? Topics record by record, derived topics and a node's answers row by row."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from springline.log.kafka.clients import Kafka
from springline.log.kafka.cut import DerivedRelation
from springline.log.kafka.deployments import CURRENT, read_deployments
from springline.log.kafka.names import cuts_topic, table_topic
from springline.log.kafka.reading import Received, read_range
from springline.log.kafka.rows import RowCodec
from springline.log.kafka.topics import committed_ends, partitions_of
from tests.cluster.crash.declared import RELATIONS, SOURCE, TABLES, Rows
from tests.cluster.crash.load import GONE, Row
from tests.cluster.crash.parts import Node

MOST_NOTES = 8


@dataclass(slots=True)
class Found:
    """Rows and records that are missing, that are too many, and that have other values; and answers that were too old, or of two moments."""

    lost: int = 0
    duplicated: int = 0
    stale: int = 0
    mixed: int = 0
    wrong: int = 0
    compared: int = 0
    notes: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated or self.stale or self.mixed or self.wrong)

    def add(self, other: Found) -> None:
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.stale += other.stale
        self.mixed += other.mixed
        self.wrong += other.wrong
        self.compared += other.compared
        self.notes += other.notes[: max(0, MOST_NOTES - len(self.notes))]

    def note(self, text: str) -> None:
        if len(self.notes) < MOST_NOTES:
            self.notes.append(text if len(text) < 600 else text[:600] + " …")

    def line(self) -> str:
        return f"lost={self.lost} duplicated={self.duplicated} stale={self.stale} mixed={self.mixed} wrong={self.wrong}"


def check_table_topics(kafka: Kafka, name: str, history: Mapping[Row, Sequence[int]], found: Found) -> None:
    """Each change of each row is in its topic once, in its order."""
    for table in TABLES:
        there: dict[int, list[int]] = defaultdict(list)
        for record in _records(kafka, table_topic(name, f"{SOURCE}.{table}")):
            if record.value is not None:
                change = json.loads(record.value)
                row = change["after"] or change["before"]
                there[row["id"]].append(change["after"]["version"] if change["after"] else GONE)
        _compare_history(f"topic of {table}", table, history, there, found)


def check_derived_topics(
    kafka: Kafka,
    name: str,
    history: Mapping[Row, Sequence[int]],
    expected: Mapping[str, Rows],
    found: Found,
) -> None:
    """The newest record of each key is the row that a batch has computed; of tables, which are copied, each version is there once."""
    for relation in read_deployments(kafka, name)[CURRENT].relations:
        records = list(_records(kafka, relation.topic))
        newest = {record.key: record.value for record in records}
        codec = RowCodec.of(relation.schema)
        rows = Counter(codec.decode_row(value) for value in newest.values() if value is not None)
        what = f"derived {relation.schema.name}"
        compare_rows(what, relation.schema.key_indexes, expected[relation.schema.name], rows, found)
        source, _, table = relation.schema.name.partition(".")
        if source == SOURCE and table:
            _compare_history(what, table, history, _versions(relation, records), found)


def check_cuts(kafka: Kafka, name: str, found: Found) -> None:
    """Each number was given to one cut, and none was left out."""
    numbers = [json.loads(record.value or b"{}")["number"] for record in _records(kafka, cuts_topic(name))]
    found.compared += len(numbers)
    if numbers != list(range(1, len(numbers) + 1)):
        found.wrong += 1
        odd = [one for one in pairwise(numbers) if one[1] != one[0] + 1]
        found.note(f"cuts from {numbers[0]} to {numbers[-1]}, with the steps {odd[:5]}")


def check_node(node: Node, expected: Mapping[str, Rows], found: Found) -> None:
    """Every relation as a node answers that is asked for now."""
    for name in RELATIONS:
        answer = node.wait_for(f"SELECT * FROM {name}")
        columns = [one["name"] for one in answer["columns"]]
        rows = Counter(tuple(row[column] for column in columns) for row in answer["rows"])
        compare_rows(f"node's {name}", (0,), expected[name], rows, found)


def compare_rows(what: str, key: Sequence[int], expected: Rows, actual: Rows, found: Found) -> None:
    found.compared += expected.total()
    missing, extra = expected - actual, actual - expected

    def keys(rows: Iterable[Sequence[Any]]) -> set[tuple[Any, ...]]:
        return {tuple(row[place] for place in key) for row in rows}

    gone, come = keys(missing), keys(extra)
    found.lost += len(gone - come)
    found.duplicated += len(come - gone)
    found.wrong += len(gone & come)
    if missing or extra:
        found.note(
            f"{what}: {expected.total()} rows expected, {actual.total()} there; missing {list(missing)[:3]}, extra {list(extra)[:3]}"
        )


def _versions(relation: DerivedRelation, records: Iterable[Received]) -> dict[int, list[int]]:
    codec = RowCodec.of(relation.schema)
    place, version = relation.schema.names.index("id"), relation.schema.names.index("version")
    there: dict[int, list[int]] = defaultdict(list)
    for record in records:
        if record.value is None:
            [key] = codec.decode_key(record.key or b"")
            there[int(str(key))].append(GONE)
        else:
            row = codec.decode_row(record.value)
            there[int(str(row[place]))].append(int(str(row[version])))
    return there


def _compare_history(
    what: str,
    table: str,
    history: Mapping[Row, Sequence[int]],
    there: Mapping[int, Sequence[int]],
    found: Found,
) -> None:
    wanted = {key: list(versions) for (name, key), versions in history.items() if name == table}
    for key in wanted.keys() | there.keys():
        expected, actual = wanted.get(key, []), list(there.get(key, []))
        found.compared += len(expected)
        if expected == actual:
            continue
        lost = (Counter(expected) - Counter(actual)).total()
        doubled = (Counter(actual) - Counter(expected)).total()
        found.lost += lost
        found.duplicated += doubled
        found.wrong += not lost and not doubled
        found.note(f"{what}: row {key} had {expected[-9:]}, and there are {actual[-9:]}")


def _records(kafka: Kafka, topic: str) -> Iterable[Received]:
    """All that is committed; of a key in order."""
    for batch in read_range(kafka, {}, committed_ends(kafka, partitions_of(kafka, [topic]))):
        yield from batch
