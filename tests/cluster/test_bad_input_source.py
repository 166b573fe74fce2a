"""``springline run`` of an application that reads topics of others: what an operator sees of each bad thing, and that all that is good arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from springline.testing.kafka import KafkaBroker
from tests.cluster.commands import Commands
from tests.cluster.kafka_harness import Topic
from tests.unit.sources.kafka.fake_registry import FakeRegistry, avro

APP: Final = """
import springline as sl

app = sl.App("reader")
app.kafka(
    "k",
    {bootstrap!r},
    tables={{"t": sl.KafkaTable({topic!r}, {{"id": "BIGINT", "name": "STRING"}}, key=["id"], {table})}},
    {options}
)
app.view("names", "SELECT id, CHAR_LENGTH(name) AS length, name FROM k.t WHERE CHAR_LENGTH(name) < 100")
"""
PASSWORD: Final = "open-sesame-4711"
SASL: Final = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "shop",
    "sasl.password": "env:SHOP_KAFKA_PASSWORD",
}


def reader(
    folder: Path, bootstrap: str, topic: str, *, format: str = "json", options: str = "", **settings: str
) -> Commands:
    app = APP.format(bootstrap=bootstrap, topic=topic, table=f"format={format!r}", options=options)
    return Commands(folder, app, settings)


def names(commands: Commands) -> Any:
    return commands.query("SELECT id, name FROM names ORDER BY id", data="data")


def names_will_be(commands: Commands, wanted: list[dict[str, Any]]) -> None:
    """The source asks a broker that was away again after a while, and refuses meanwhile."""
    deadline = time.monotonic() + 120
    while (found := names(commands)) != wanted and time.monotonic() < deadline:
        assert found["code"] == "not_fresh"
        time.sleep(0.5)
    assert found == wanted


def rejected(commands: Commands) -> list[dict[str, Any]]:
    found = commands.query("SELECT * FROM k.rejected_records ORDER BY `offset`", data="data")
    assert isinstance(found, list), found
    return found


def row(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"n{number}"}


# -- at the start ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "options", "said"),
    [
        ("protobuf", "", "Table 't' of source 'k' has the unknown format 'protobuf'."),
        ("avro", "", "Format 'avro' reads its schemas from a registry, and none is named."),
        ("json", "options={'isolation.level': 'read_uncommitted'}", "on which its guarantees stand"),
        (
            "json",
            "options={'sasl.password': 'env:NOT_THERE'}",
            "The environment variable NOT_THERE holds a secret",
        ),
    ],
)
def test_what_is_declared_wrong_ends_the_start(tmp_path: Path, format: str, options: str, said: str) -> None:
    done = reader(tmp_path, "127.0.0.1:1", "t", format=format, options=options).done("run", "app.py")
    assert done.status == 2, done.said
    assert said in done.said
    assert "Hint:" in done.said
    assert "Traceback" not in done.said


def test_an_option_that_the_client_does_not_know_stops_the_source(tmp_path: Path) -> None:
    commands = reader(tmp_path, "127.0.0.1:1", "t", options="options={'sasl.mechanismus': 'PLAIN'}")
    with commands.start("run", "app.py", data="data") as running:
        running.says("source k stopped: The options of source 'k' are not what the Kafka client understands")
        running.says('No such configuration property: "sasl.mechanismus"')


def test_a_broker_that_is_down_is_waited_for(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka") as broker:
        topic = Topic(broker)
        topic.send(row(1))
    commands = reader(tmp_path, broker.bootstrap, topic.name)
    with commands.start("run", "app.py", data="data") as running:
        running.says(f"Kafka at {broker.bootstrap} (source 'k')")
        running.says("It is tried again")
        refused = names(commands)
        assert (refused["code"], refused["transient"]) == ("not_fresh", True)
        with broker:
            names_will_be(commands, [row(1)])
            topic.send(row(2))
            assert names(commands) == [row(1), row(2)]
            broker.stop()
            # What is there is there; what covers now is refused.
            assert commands.query("SELECT id FROM names", data="data", require="none") == [
                {"id": 1},
                {"id": 2},
            ]
            assert names(commands)["code"] == "not_fresh"
            broker.start()
            topic.send(row(3))
            names_will_be(commands, [row(1), row(2), row(3)])


def test_wrong_credentials_stop_the_source_and_are_shown_nowhere(have_kafka: None, tmp_path: Path) -> None:
    with KafkaBroker(tmp_path / "kafka", users={"shop": PASSWORD}) as broker:
        topic = Topic(broker)
        topic.send(row(1))
        commands = reader(tmp_path, broker.secured_bootstrap, topic.name, options=f"options={SASL!r}")
        with commands.start("run", "app.py", data="data", SHOP_KAFKA_PASSWORD="shut-sesame-0815") as running:
            running.says("sasl.password in the source's options")
            assert names(commands)["code"] == "not_fresh"
            status = commands.done("status", "--json", SPRINGLINE_DATA=str(tmp_path / "data"))
            assert "Authentication failed" in status.output
            shown = running.printed + status.output
        with commands.start("run", "app.py", data="data", SHOP_KAFKA_PASSWORD=PASSWORD) as running:
            running.says("http://")
            assert names(commands) == [row(1)]
            shown += running.printed
    assert "sesame" not in shown


# -- while it runs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[Schemas]:
    made = Schemas()
    yield made
    made.close()


class Schemas(FakeRegistry):
    """A registry in which the name became a number (8), and then came back with a column more (9)."""

    kinds: Final = {"1": ("string", ()), "8": ("long", ()), "9": ("string", ("more",))}

    def answer(self, path: str) -> tuple[int, Any]:
        found = self.kinds.get(path.removeprefix("/schemas/ids/").partition("?")[0])
        return (200, {"schema": json.dumps(self.schema(*found))}) if found else super().answer(path)

    @staticmethod
    def schema(kind: str, more: tuple[str, ...]) -> Any:
        fields = [{"name": "id", "type": ["long", "string"]}, {"name": "name", "type": kind}]
        return {
            "type": "record",
            "name": "Value",
            "fields": [*fields, *({"name": one, "type": "int"} for one in more)],
        }

    def record(self, identifier: int, value: Any) -> bytes:
        return avro(identifier, self.schema(*self.kinds[str(identifier)]), value)


def test_a_schema_that_changes_incompatibly_rejects_its_records_alone(
    kafka: KafkaBroker, registry: Schemas, tmp_path: Path
) -> None:
    topic = Topic(kafka)
    topic.send(registry.record(1, row(1)))
    commands = reader(
        tmp_path, kafka.bootstrap, topic.name, format="avro", options=f"schema_registry={registry.url!r}"
    )
    with commands.start("run", "app.py", data="data") as running:
        running.says("http://")
        assert names(commands) == [row(1)]
        # A number is text well enough; a text is no number. Then a column that is not declared, and a schema that nobody knows.
        topic.send(registry.record(8, {"id": 2, "name": 22}), registry.record(8, {"id": "three", "name": 3}))
        topic.send(registry.record(9, {**row(4), "more": 4}), avro(99, registry.schema("string", ()), row(5)))
        topic.send(registry.record(1, row(6)))
        assert names(commands) == [row(1), {"id": 2, "name": "22"}, row(4), row(6)]
        found = rejected(commands)
    assert [(one["topic"], one["partition"], one["offset"]) for one in found] == [
        (topic.name, 0, 2),
        (topic.name, 0, 4),
    ]
    assert "id" in found[0]["reason"]
    assert "the schema registry knows no schema 99" in found[1]["reason"]


def test_bad_records_are_set_aside_with_their_place_and_all_good_ones_arrive(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    topic = Topic(kafka, config={"max.message.bytes": "40000000"})
    commands = reader(tmp_path, kafka.bootstrap, topic.name)
    bad = [b"\xff\x00", b"{}", b'{"id": "x"}', b"[]", b'{"id": 1e999999999}', b"[" * 50_000]
    for number, record in enumerate(bad):
        topic.send(row(number), record)
    topic.send({"id": 100, "name": "x" * 20_000_000}, row(101))
    topic.send(None, key={"id": 0})
    with commands.start("run", "app.py", data="data") as running:
        running.says("http://")
        good = [*(row(number) for number in range(1, len(bad))), row(101)]
        assert names(commands) == good
        [large] = commands.query("SELECT CHAR_LENGTH(name) AS n FROM k.t WHERE id = 100", data="data")
        assert large == {"n": 20_000_000}
        found = rejected(commands)
        assert [one["offset"] for one in found] == [2 * number + 1 for number in range(len(bad))]
        assert all(one["topic"] == topic.name and one["reason"] for one in found)
        # Another table's type of row: a text in place of a number.
        topic.send({"id": "late", "name": "n"}, row(102))
        assert names(commands) == [*good, row(102)]
        assert len(rejected(commands)) == len(bad) + 1
