"""A real Kafka broker on the loopback interface: one process that is its own controller, from Kafka's own jars.

For the cluster's tests, and for trying the cluster on one machine. It keeps its data and its ports in a folder: after
``stop``, or ``kill``, the next ``start`` finds every record that was acknowledged, at the same address.

::

    with KafkaBroker(Path("kafka")) as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from springline.errors import ConfigurationError
from springline.testing import artefacts
from springline.testing.processes import ServerProcess, free_ports, is_free, lock_folder

DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "auto.create.topics.enable": "false",
    # One broker holds one copy of everything.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Fewer files for a short life.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker may come back only when its last life is over for the controller.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}

_LOGGING: Final = """
# What the broker says while it stops is to be read too.
shutdownHook = disable
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1} - %m%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
"""


class KafkaBroker:
    """One broker. Not thread-safe; one process at a time may use a folder.

    ``settings`` go over :data:`DEFAULT_SETTINGS` and count from the next start. With ``users`` (passwords by name) there is a
    second listener at ``secured_bootstrap`` that wants one of them (SASL/PLAIN over SASL_PLAINTEXT). Without a ``port``
    a free one is chosen at the first start and kept as long as nobody else takes it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        users: Mapping[str, str] | None = None,
        heap_mb: int = 512,
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.users = dict(users or {})
        self.log_path = self.folder / "broker.log"
        self._remembered = self.folder / "ports.json"
        self._heap_mb = heap_mb
        self._asked_port = port
        self._ports: list[int] = []
        self._process: ServerProcess | None = None

    @property
    def bootstrap(self) -> str:
        """``127.0.0.1:PORT``, of the listener that asks for no password. Raises ConfigurationError before the first start."""
        return self._address(0)

    @property
    def secured_bootstrap(self) -> str:
        """``127.0.0.1:PORT``, of the listener that asks for one of ``users``."""
        if not self.users:
            raise ConfigurationError(
                f"The Kafka broker in {self.folder} has no listener with passwords.",
                hint="Give it users: KafkaBroker(folder, users={'name': 'password'}).",
            )
        return self._address(2)

    @property
    def pid(self) -> int | None:
        """The broker's process while it lives."""
        return self._process.pid if self._process is not None and self._process.lives() else None

    def start(self, timeout_s: float = 90.0) -> None:
        """Starts the broker and returns when it answers, after recovery where that is needed. Idempotent. Raises
        ConfigurationError, with the end of the broker's log, when it does not come up."""
        if self.pid is not None:
            return
        java, jars = artefacts.java(), artefacts.broker()
        lock = lock_folder(self.folder)
        try:
            self._start(java, jars, lock, timeout_s)
        finally:
            os.close(lock)

    def stop(self) -> None:
        """Stops the broker in order. Idempotent."""
        if self._process is not None:
            self._process.end()

    def kill(self) -> None:
        """SIGKILL to the broker: what it acknowledged is in the operating system's cache and survives. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Stops and starts; changed ``settings`` take effect."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of the broker's log."""
        return "" if self._process is None else self._process.log_tail(lines)

    def __enter__(self) -> KafkaBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # How it is done.

    def _start(self, java: Path, jars: Path, lock: int, timeout_s: float) -> None:
        self._choose_ports()
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        lines = [f"{name}={_escaped(value)}\n" for name, value in self._properties().items()]
        (self.folder / "server.properties").write_text("".join(lines))
        command = [
            str(java),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-cp",
            f"{jars}/*",
        ]
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(command)
        arguments = ["kafka.Kafka", str(self.folder / "server.properties")]
        self._process = ServerProcess(
            "The Kafka broker", [*command, *arguments], log=self.log_path, lock=lock
        )
        try:
            self._process.wait_until(self._answers, timeout_s)
        except BaseException:
            self._process.kill()
            raise
        self._remembered.write_text(json.dumps(self._ports))

    def _address(self, listener: int) -> str:
        if not self._ports:
            raise ConfigurationError(
                f"The Kafka broker in {self.folder} has no port yet.", hint="Call start() first."
            )
        return f"127.0.0.1:{self._ports[listener]}"

    def _choose_ports(self) -> None:
        """Of clients, the controller and clients with a password: those of the last start, where they are free."""
        ports: list[int] = json.loads(self._remembered.read_text()) if self._remembered.exists() else []
        asked = [] if self._asked_port is None else [self._asked_port]
        if not all(map(is_free, asked)):
            raise ConfigurationError(
                f"The Kafka broker in {self.folder} is to listen on port {asked[0]}, and somebody else does.",
                hint="Stop that one, or name another port (or none, and a free one is chosen).",
            )
        if not ports or ports[: len(asked)] != asked or not all(map(is_free, ports)):
            ports = [*asked, *(port for port in free_ports(4) if port not in asked)][:3]
        self._ports = ports

    def _properties(self) -> dict[str, str]:
        plain, controller, secured = (f"127.0.0.1:{port}" for port in self._ports)
        listeners = [f"PLAIN://{plain}"] + ([f"SECURED://{secured}"] if self.users else [])
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAIN",
            "listeners": ",".join([*listeners, f"CONTROLLER://{controller}"]),
            "advertised.listeners": ",".join(listeners),
            "listener.security.protocol.map": "PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
        }
        if self.users:
            users = "".join(f" user_{name}={_quoted(password)}" for name, password in self.users.items())
            login = f"org.apache.kafka.common.security.plain.PlainLoginModule required{users};"
            properties["listener.name.secured.sasl.enabled.mechanisms"] = "PLAIN"
            properties["listener.name.secured.plain.sasl.jaas.config"] = login
        return {**properties, **self.settings}

    def _format(self, command: list[str]) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = [
            "kafka.tools.StorageTool",
            "format",
            "--config",
            str(self.folder / "server.properties"),
            "--cluster-id",
            # One that begins with a dash would be taken for an option.
            cluster.replace("-", "_"),
        ]
        done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise ConfigurationError(
                f"Kafka could not format {self.folder / 'data'}: {(done.stdout + done.stderr)[-1_000:].strip()}",
                hint="See what it says about the settings or the disk, then try again.",
            )

    def _answers(self) -> bool:
        """Whether the broker takes part in its own cluster, which it does a moment after its port is open."""
        if is_free(self._ports[0]):
            return False
        try:
            quiet: dict[str, str | int | float | bool] = {"bootstrap.servers": self.bootstrap, "log_level": 0}
            return bool(AdminClient(quiet).list_topics(timeout=2.0).brokers)
        except KafkaException:
            return False


def _quoted(password: str) -> str:
    """As JAAS wants it."""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(value: str) -> str:
    """As a line of a Java properties file."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")
