"""What the commands of a cluster say when they cannot begin: status, message, and what to do next. No password is ever shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.processes import free_ports
from tests.cluster.commands import SHOP, Commands
from tests.cluster.kafka_harness import Topic
from tests.cluster.local import write

PASSWORD: Final = "open-sesame-4711"
WRONG: Final = "shut-sesame-0815"
OPTIONS: Final = """# Of every client: ours and Flink's.
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.username=shop
sasl.password=env:SHOP_KAFKA_PASSWORD
"""


@pytest.fixture(scope="module")
def secured(have_kafka: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A broker with a listener that asks for a password."""
    with KafkaBroker(tmp_path_factory.mktemp("secured"), users={"shop": PASSWORD}) as broker:
        yield broker


def shop(folder: Path, name: str, kafka: str, flink: FlinkCluster | None = None, **settings: str) -> Commands:
    """An application of orders, one of them there."""
    lines = folder / "shop.jsonl"
    write(lines, {"op": "u", "id": 1, "customer": "Ada", "amount": "1.50"})
    cluster = {"SPRINGLINE_FLINK": "http://127.0.0.1:1", "SPRINGLINE_FLINK_PYTHON": "python-of-flink"}
    if flink is not None:
        jars = [
            str(one)
            for one in Path(flink.environment["FLINK_LIB_DIR"]).glob("flink-sql-connector-kafka-*.jar")
        ]
        cluster = {
            "SPRINGLINE_FLINK": flink.rest,
            "SPRINGLINE_FLINK_PYTHON": str(flink.python),
            "SPRINGLINE_FLINK_JARS": ",".join(jars),
        }
    return Commands(
        folder,
        SHOP.format(name=name, lines=lines),
        {"SPRINGLINE_KAFKA": kafka, "SPRINGLINE_KAFKA_PARTITIONS": "2", **cluster, **settings},
    )


def configured(folder: Path, text: str = OPTIONS) -> str:
    path = folder / "kafka.properties"
    path.write_text(text)
    return str(path)


# -- a broker that is not there ----------------------------------------------------------------------------------------


def test_a_deployment_ends_when_kafka_does_not_answer(tmp_path: Path) -> None:
    [port] = free_ports(1)
    done = shop(tmp_path, "down", f"127.0.0.1:{port}").done("deploy", "app.py")
    assert done.status == 3
    assert f"Error: Kafka at 127.0.0.1:{port} cannot be used now, while looking at its topics:" in done.said
    assert "Connection refused" in done.said
    assert "Hint:" in done.said
    assert "Traceback" not in done.said


def test_services_wait_for_kafka_and_begin_when_it_is_there(
    have_kafka: None, flink: FlinkCluster, tmp_path: Path
) -> None:
    broker = KafkaBroker(tmp_path / "kafka")
    with broker:
        commands = shop(tmp_path, "late", broker.bootstrap, flink)
    with (
        commands.start("capture", "app.py", data="capture") as capture,
        commands.start("serve", "--from-kafka", "app.py", data="node") as node,
    ):
        for process, said in ((capture, "publishing will be tried again"), (node, "Waiting:")):
            process.says(said)
            process.says(f"Kafka at {broker.bootstrap} cannot be used now")
        with broker:
            node.says("Waiting: Application 'late' is not deployed. Run `springline deploy` first.")
            assert commands.done("deploy", "app.py").status == 0
            node.says("http://127.0.0.1:")
            try:
                wanted = [{"customer": "Ada", "n": 1, "total": "1.50"}]
                assert commands.query("SELECT * FROM totals", data="node") == wanted
            finally:
                assert node.stop() == 0
                assert capture.stop() == 0
                _cancel(flink, "late")


# -- credentials -------------------------------------------------------------------------------------------------------


def test_the_right_credentials_do_for_every_client(
    secured: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    """librdkafka's (capture, nodes, deploy), kafka-python's (cuts) and Java's (Flink)."""
    settings = {"SPRINGLINE_KAFKA_CONFIG": configured(tmp_path), "SHOP_KAFKA_PASSWORD": PASSWORD}
    commands = shop(tmp_path, "safe", secured.secured_bootstrap, flink, **settings)
    explained = commands.done("explain", "--runtime", "flink", "--app", "app.py")
    deployed = commands.done("deploy", "app.py")
    assert (explained.status, deployed.status) == (0, 0), explained.said + deployed.said
    with (
        commands.start("capture", "app.py", data="capture", SPRINGLINE_LOG_LEVEL="debug") as capture,
        commands.start("serve", "--from-kafka", "app.py", data="node", SPRINGLINE_LOG_LEVEL="debug") as node,
    ):
        node.says("http://127.0.0.1:")
        try:
            wanted = [{"customer": "Ada", "n": 1, "total": "1.50"}]
            assert commands.query("SELECT * FROM totals", data="node") == wanted
            # A new password is no other application.
            status = commands.done("status", "--json", SPRINGLINE_DATA=str(tmp_path / "node"))
        finally:
            capture.stop()
            node.stop()
            _cancel(flink, "safe")
    shown = [*explained[1:], *deployed[1:], *status[1:], capture.printed, node.printed]
    assert "sesame" not in "".join(shown)
    # Neither in what Flink keeps of the job.
    assert PASSWORD not in "".join(one.read_text(errors="replace") for one in flink.logs.glob("*.log"))


@pytest.mark.parametrize("command", ["deploy", "capture", "serve --from-kafka"])
def test_wrong_credentials_end_a_command_and_are_not_shown(
    secured: KafkaBroker, tmp_path: Path, command: str
) -> None:
    settings = {"SPRINGLINE_KAFKA_CONFIG": configured(tmp_path), "SHOP_KAFKA_PASSWORD": WRONG}
    commands = shop(tmp_path, "locked", secured.secured_bootstrap, **settings)
    done = commands.done(*command.split(), "app.py", SPRINGLINE_DATA=str(tmp_path / "data"))
    assert done.status == 2, done.said
    assert f"Kafka at {secured.secured_bootstrap} refuses this while" in done.said
    assert "Authentication failed" in done.said
    assert (
        "Hint:  Check sasl.mechanism, sasl.username and sasl.password in the file of `kafka_config`"
        in done.said
    )
    assert "sesame" not in done.said + done.output
    assert "Traceback" not in done.said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            OPTIONS,
            "The environment variable SHOP_KAFKA_PASSWORD holds a secret that is needed, but it is not set.",
        ),
        (OPTIONS.replace("PLAIN\n", "SCRAM-SHA-512\n"), "refuses this while"),
        ("nonsense\n", "Line 1 of the Kafka options is no option: 'nonsense'."),
        ("sasl.mechanismus=PLAIN\n", 'No such configuration property: "sasl.mechanismus"'),
        (None, "cannot be read: "),
    ],
)
def test_options_that_cannot_be_used(
    secured: KafkaBroker, tmp_path: Path, text: str | None, said: str
) -> None:
    path = str(tmp_path / "nowhere") if text is None else configured(tmp_path, text)
    settings = {} if text == OPTIONS else {"SHOP_KAFKA_PASSWORD": PASSWORD}
    commands = shop(tmp_path, "odd", secured.secured_bootstrap, SPRINGLINE_KAFKA_CONFIG=path, **settings)
    for command in ("deploy", "capture"):
        done = commands.done(command, "app.py", SPRINGLINE_DATA=str(tmp_path / "data"))
        assert done.status == 2, done.said
        assert said in done.said
        assert "Hint:" in done.said
        assert "Traceback" not in done.said


# -- topics that are kept in another way -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "policy", "said"),
    [
        ("shop.orders", "delete", "has cleanup.policy=delete, and needs compact: rows would be lost."),
        ("cuts", "delete", "has cleanup.policy=delete, and needs compact: rows would be lost."),
        ("barriers", "compact", "has cleanup.policy=compact, and needs delete: it would grow without end."),
    ],
)
def test_a_topic_that_is_kept_in_another_way_is_refused(
    kafka: KafkaBroker, tmp_path: Path, topic: str, policy: str, said: str
) -> None:
    name = f"kept-{topic.split('.')[0]}"
    Topic(kafka, name=f"{name}.{topic}", config={"cleanup.policy": policy})
    commands = shop(tmp_path, name, kafka.bootstrap)
    for command in ("deploy", "capture"):
        done = commands.done(command, "app.py", SPRINGLINE_DATA=str(tmp_path / "data"))
        assert done.status == 2
        assert f"Topic '{name}.{topic}' {said}" in done.said
        assert (
            f"kafka-configs.sh --alter --entity-type topics --entity-name {name}.{topic} --add-config"
            in done.said
        )


def _cancel(flink: FlinkCluster, name: str) -> None:
    from springline.runtime.flink.rest import FINISHED, FlinkRest

    rest = FlinkRest(flink.rest)
    for job in rest.jobs():
        if job.name.startswith(f"{name}-") and job.state not in FINISHED:
            rest.cancel(job.id)
