"""The outbox: what ticks did to tables, as records, each once and in order, also across crashes and when the other log is away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType
from springline.errors import ConfigurationError, SourceUnavailable
from springline.language import LANGUAGE
from springline.log.base import Commit, Foreign, Outgoing, RowChange, Unfit
from springline.log.kafka.rows import RowCodec
from springline.runtime.embedded.outbox import last_number, row_changes, waiting
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime
from springline.sources.json_rows import JsonTable
from springline.sources.jsonl import JsonLinesSource
from springline.storage import DataFolder

SCHEMA = TableSchema(
    "s.t", (Column("id", SqlType("BIGINT"), nullable=False), Column("v", SqlType("STRING"))), ("id",)
)


@pytest.mark.parametrize(
    ("rows", "loading", "expected"),
    [
        ([(1, 1, "a")], False, [("c", None, (1, "a"))]),
        ([(1, 1, "a")], True, [("r", None, (1, "a"))]),
        ([(-1, 1, "a"), (1, 1, "b")], False, [("u", (1, "a"), (1, "b"))]),
        ([(-1, 1, "a"), (1, 1, "a")], False, []),
        ([(-1, 1, "a")], False, [("d", (1, "a"), None)]),
        ([(-1, 1, "a"), (1, 2, "a")], False, [("c", None, (2, "a")), ("d", (1, "a"), None)]),
    ],
)
def test_a_delta_as_changes_of_rows(
    rows: list[tuple[object, ...]], loading: bool, expected: list[object]
) -> None:
    assert [tuple(one) for one in row_changes(SCHEMA, rows, loading=loading)] == expected


class MemoryPublisher:
    """Another log, in memory. ``failures``: how the next calls of ``publish`` end: before or after everything has arrived."""

    def __init__(self) -> None:
        self.records_held: list[Outgoing] = []
        self.through = 0
        self.identity: str | None = None
        self.failures: list[str] = []
        self.transactions: list[int] = []
        self.resumed = 0
        self.is_away = False
        self.strangers: list[Foreign] = []

    def records(
        self, schema: TableSchema, change: RowChange, commit: Commit
    ) -> Sequence[tuple[bytes | None, bytes | None]]:
        row = change.after or change.before
        assert row is not None
        if "unfit" in row:
            raise Unfit("Column 'v' of 's.t': unfit")
        codec = RowCodec.of(schema)
        value = None if change.after is None else codec.encode_row(change.after)
        return [(codec.encode_key(row), value)]

    def resume(
        self, schemas: Sequence[TableSchema], identity: str, check: Callable[[int], None] = lambda _: None
    ) -> int:
        check(self.through)
        self.resumed += 1
        if self.is_away:
            raise SourceUnavailable("Not there.", hint="Again.")
        if self.identity not in (None, identity):
            raise ConfigurationError("Somebody else's.", hint="No.")
        self.identity = identity
        return self.through

    def publish(self, pages: Iterable[Sequence[Outgoing]], through: int) -> None:
        failure = self.failures.pop(0) if self.failures else ""
        found = [record for page in pages for record in page]
        if failure == "before":
            raise SourceUnavailable("Not there.", hint="Again.")
        self.records_held += found
        self.transactions.append(len(found))
        self.through = through
        if failure == "after":
            raise SourceUnavailable("Nobody knows.", hint="Again.")

    def foreign(self) -> Sequence[Foreign]:
        found, self.strangers = self.strangers, []
        return found

    def close(self) -> None:
        """Nothing is held."""

    def rows(self) -> dict[int, object]:
        held: dict[int, object] = {}
        for record in self.records_held:
            key = json.loads(record.key or b"{}")["id"]
            held.pop(key, None)
            if record.value is not None:
                held[key] = json.loads(record.value)["v"]
        return held


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = folder / "in.jsonl"
        self.lines.touch()
        self.publisher = MemoryPublisher()

    def write(self, *changes: tuple[str, int, str | None]) -> None:
        with self.lines.open("a") as file:
            for operation, number, value in changes:
                file.write(json.dumps({"op": operation, "id": number, "v": value}) + "\n")

    def runtime(self) -> EmbeddedRuntime:
        table = JsonTable({"id": "BIGINT", "v": "STRING"}, ["id"])
        source = JsonLinesSource("s", self.lines, tables={"t": table}, operation_field="op")
        definition = Definition("a", (source,), publisher=self.publisher)
        return EmbeddedRuntime(definition, DataFolder(self.folder / "data"), LANGUAGE)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def settle(runtime: EmbeddedRuntime) -> None:
    """Until everything that is in the file has been handed over."""
    position = runtime.definition.sources[0].current_position(10)
    missing = runtime.progress.wait_for({"s": position}, complete=False, deadline_s=time.monotonic() + 20)
    assert not missing
    with runtime.read() as snapshot:
        number = last_number(snapshot.connection)
    assert runtime.publishing is not None
    assert runtime.publishing.wait_published(number, 20)


def left(runtime: EmbeddedRuntime) -> int:
    runtime.settle()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with runtime.read() as snapshot:
            if not (count := waiting(snapshot.connection)):
                return count
        time.sleep(0.01)
    return count


def test_every_change_goes_out_once_and_the_outbox_is_emptied(place: Place) -> None:
    place.write(("u", 1, "a"), ("u", 2, "b"))
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    place.write(("u", 1, "c"), ("d", 2, None), ("u", 3, "d"))
    settle(runtime)
    assert place.publisher.rows() == {1: "c", 3: "d"}
    assert left(runtime) == 0
    runtime.stop()
    again = place.runtime()
    again.start()
    place.write(("u", 4, "e"))
    settle(again)
    again.stop()
    assert place.publisher.rows() == {1: "c", 3: "d", 4: "e"}
    numbers = [record.number for record in place.publisher.records_held]
    assert numbers == sorted(set(numbers))
    commit = place.publisher.records_held[-1].commit
    assert (commit.source, commit.position_text.split(":")[0]) == ("s", "file")


@pytest.mark.parametrize("failure", ["before", "after"])
def test_a_failed_transaction_is_asked_for_and_never_repeated_in_vain(place: Place, failure: str) -> None:
    place.publisher.failures = [failure, "before", failure]
    place.write(*(("u", number, "x") for number in range(50)))
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    runtime.stop()
    numbers = [record.number for record in place.publisher.records_held]
    assert numbers == sorted(set(numbers))
    assert place.publisher.rows() == dict.fromkeys(range(50), "x")
    assert place.publisher.resumed > 1


def test_rows_of_before_there_was_an_outbox_go_out(place: Place) -> None:
    publisher, place.publisher = place.publisher, None  # type: ignore[assignment]
    place.write(("u", 1, "a"), ("u", 2, "b"))
    plain = place.runtime()
    plain.start()
    position = plain.definition.sources[0].current_position(10)
    assert not plain.progress.wait_for({"s": position}, complete=False, deadline_s=time.monotonic() + 20)
    plain.stop()
    place.publisher = publisher
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    runtime.stop()
    assert publisher.rows() == {1: "a", 2: "b"}


def test_a_row_without_a_form_is_left_out_until_it_changes(place: Place) -> None:
    place.write(("u", 1, "a"))
    runtime = place.runtime()
    runtime.start()
    settle(runtime)

    def dead() -> list[str]:
        with runtime.read() as snapshot:
            return [
                str(row["reason"])
                for row in snapshot.query("SELECT reason FROM springline.dead_letters").dictionaries()
            ]

    place.write(("u", 1, "unfit"), ("u", 2, "unfit"))
    settle(runtime)
    assert place.publisher.rows() == {}
    assert dead() == ["Column 'v' of 's.t': unfit"] * 2
    place.write(("u", 1, "b"), ("d", 2, None))
    settle(runtime)
    runtime.stop()
    assert place.publisher.rows() == {1: "b"}


def test_a_dead_letter_goes_when_its_row_has_a_form(place: Place) -> None:
    place.write(("u", 1, "unfit"))
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    place.write(("u", 1, "b"))
    settle(runtime)
    with runtime.read() as snapshot:
        found = snapshot.query("SELECT name FROM springline.dead_letters").dictionaries()
    runtime.stop()
    assert found == []


def test_nothing_goes_out_while_it_is_held(place: Place) -> None:
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    assert runtime.publishing is not None
    with runtime.publishing.held():
        place.write(("u", 1, "a"))
        position = runtime.definition.sources[0].current_position(10)
        assert not runtime.progress.wait_for(
            {"s": position}, complete=False, deadline_s=time.monotonic() + 20
        )
        before = place.publisher.rows()
    settle(runtime)
    runtime.stop()
    assert before == {}
    assert place.publisher.rows() == {1: "a"}


def test_nobody_can_hold_what_is_in_doubt(place: Place) -> None:
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    publishing = runtime.publishing
    assert publishing is not None
    place.publisher.failures, place.publisher.is_away = ["after"], True
    place.write(("u", 1, "a"))
    _wait_for_error(runtime)
    with pytest.raises(SourceUnavailable, match="not known whether"), publishing.held():
        pass
    place.publisher.is_away = False
    settle(runtime)
    with publishing.held():
        assert place.publisher.rows() == {1: "a"}
    runtime.stop()


def test_another_folders_records_are_refused(place: Place) -> None:
    place.publisher.identity = "another"
    runtime = place.runtime()
    runtime.start()
    assert runtime.publishing is not None
    _wait_for_error(runtime)
    error = runtime.publishing.error
    runtime.stop()
    assert isinstance(error, ConfigurationError)


def test_a_state_that_is_older_than_what_was_published_is_refused(place: Place) -> None:
    place.publisher.through = 99
    runtime = place.runtime()
    runtime.start()
    assert runtime.publishing is not None
    _wait_for_error(runtime)
    error = runtime.publishing.error
    runtime.stop()
    assert error is not None
    assert "ends at record 99, and this data folder holds records" in str(error)
    assert place.publisher.resumed == 0, "it has shut out whoever can go on from there"


def _wait_for_error(runtime: EmbeddedRuntime) -> None:
    assert runtime.publishing is not None
    waited = threading.Event()
    for _ in range(500):
        if runtime.publishing.error is not None:
            return
        waited.wait(0.02)


def test_records_of_somebody_else_become_dead_letters(place: Place) -> None:
    place.write(("u", 1, "a"))
    runtime = place.runtime()
    runtime.start()
    settle(runtime)
    place.publisher.strangers = [Foreign("a.s.t", "partition 0, offset 7", 2)]
    place.write(("u", 2, "b"))
    settle(runtime)
    assert left(runtime) == 0
    with runtime.read() as snapshot:
        [letter] = snapshot.query("SELECT * FROM springline.dead_letters").dictionaries()
    runtime.stop()
    assert (letter["what"], letter["name"], letter["key"]) == ("record", "a.s.t", "partition 0, offset 7")
    assert "2 records that were not written by capture" in str(letter["reason"])
