"""Connections to a Kafka cluster, and its errors as ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import confluent_kafka.admin
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from springline.errors import ConfigurationError, SourceUnavailable, SpringlineError
from springline.secret import redact

LARGEST_RECORD_BYTES: Final = 16 << 20
"""Of one record, key and value together. A larger row is a dead letter."""

REQUEST_TIMEOUT_S: Final = 20.0

admin_api: Any = confluent_kafka.admin
"""The client's administration, whose types are not exported."""


PATIENCE_S: Final = 4.0
"""How long is waited for brokers of which none can be reached: one that restarts is back soon."""

_FRESH_S: Final = 30.0
_ASKED_AGAIN_S: Final = 1.0


class Connections:
    """What the clients of a cluster said last of their connections: a call that got no answer does not say why. Thread-safe."""

    def __init__(self) -> None:
        self._said: tuple[KafkaError, float] | None = None
        self.is_down = False
        """Whether none of the brokers could be reached."""

    def __call__(self, error: KafkaError) -> None:
        """Called by a client, when it is polled. A reason is kept over what follows from it."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.is_down = True
        known = self.problem
        follows = error.code() not in _DENIED and known is not None and known.code() in _DENIED
        if not follows and (known is None or error.code() != KafkaError._ALL_BROKERS_DOWN):
            self._said = (error, time.monotonic())

    @property
    def problem(self) -> KafkaError | None:
        """What is wrong now, as far as is known."""
        said = self._said
        return said[0] if said is not None and time.monotonic() - said[1] < _FRESH_S else None

    def answered(self) -> None:
        self._said, self.is_down = None, False


@dataclass(frozen=True)
class Kafka:
    """A cluster: ``bootstrap`` is ``host:port``, or several with commas. ``options`` are librdkafka's (``security.protocol`` …); they hold
    secrets, and are never printed."""

    bootstrap: str
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    connections: Connections = field(default_factory=Connections, repr=False, compare=False)

    @cached_property
    def admin(self) -> Any:
        """One connection for everybody; thread-safe."""
        try:
            return admin_api.AdminClient(self._config())
        except KafkaException as error:
            raise ConfigurationError(
                f"The Kafka options are not what its client understands: {redact(error.args[0].str())}.",
                hint="They are librdkafka's settings, such as security.protocol=SASL_SSL.",
            ) from None

    def topics(self) -> Mapping[str, Any]:
        """What the cluster says of its topics, by their names. Raises KafkaException: soon, where no broker can be reached or the credentials
        are wrong."""
        began = time.monotonic()
        while True:
            try:
                found = self.admin.list_topics(timeout=_ASKED_AGAIN_S).topics
            except KafkaException:
                self.admin.poll(0)
                waited_s, problem = time.monotonic() - began, self.connections.problem
                is_denied = problem is not None and problem.code() in _DENIED
                is_hopeless = is_denied or (self.connections.is_down and waited_s > PATIENCE_S)
                if is_hopeless or waited_s > REQUEST_TIMEOUT_S:
                    raise
            else:
                self.connections.answered()
                return found

    def producer(self, transactional_id: str) -> Producer:
        return Producer(
            self._config(
                {
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": 600_000,
                    # Java's clients and Flink choose a key's partition like this.
                    "partitioner": "murmur2_random",
                    "message.max.bytes": LARGEST_RECORD_BYTES + (1 << 20),
                    "linger.ms": 1,
                    "compression.type": "lz4",
                    "queue.buffering.max.kbytes": 262_144,
                }
            )
        )

    def plain_producer(self) -> Producer:
        """For requests, each by itself."""
        return Producer(self._config({"linger.ms": 0}))

    def consumer(self, **options: Any) -> Consumer:
        """Reads what is committed, and keeps its own offsets: no group is joined."""
        return Consumer(
            self._config(
                {
                    "group.id": "springline",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "isolation.level": "read_committed",
                    "auto.offset.reset": "error",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 100,
                    "receive.message.max.bytes": 200_000_000,
                    **options,
                }
            )
        )

    def java(self) -> dict[str, str]:
        """The options as Java's client, and so Flink's connector, names them."""
        made: dict[str, str] = {}
        for name, value in self.options.items():
            if name in ("sasl.username", "sasl.password", "sasl.mechanism", "sasl.mechanisms"):
                continue
            made[_JAVA_NAMES.get(name, name)] = value
        if "ssl.ca.location" in self.options:
            made["ssl.truststore.type"] = "PEM"
        mechanism = self.options.get("sasl.mechanism") or self.options.get("sasl.mechanisms")
        if mechanism:
            module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
            user, password = (
                _quoted(self.options.get(f"sasl.{one}", "")) for one in ("username", "password")
            )
            made["sasl.mechanism"] = mechanism
            # The connector carries its own, relocated copy of Kafka's client.
            made["sasl.jaas.config"] = (
                f"org.apache.flink.kafka.shaded.org.apache.kafka.common.security.{module} required username={user} password={password};"
            )
        return made

    def _config(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        quiet = {"log_level": 2, "error_cb": self.connections}
        return {"bootstrap.servers": self.bootstrap, **quiet, **(more or {}), **self.options}


_JAVA_NAMES: Final[Mapping[str, str]] = {
    "ssl.ca.location": "ssl.truststore.location",
    "ssl.key.password": "ssl.key.password",
}


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_options(text: str, reveal: Callable[[str], str], whose: str = "Kafka") -> dict[str, str]:
    """The client's options (or another's) from a file's text: ``name=value`` on each line, ``#`` before a comment; a value may be ``env:NAME`` or
    ``file:PATH``, which ``reveal`` reads. Raises ConfigurationError."""
    options: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(
                f"Line {number} of the {whose} options is no option: {name.strip()!r}.",
                hint="Write name=value on each line, such as security.protocol=SASL_SSL.",
            )
        name, value = name.strip(), value.strip()
        is_secret = value.startswith(("env:", "file:")) or _SECRET.search(name) is not None
        options[name] = reveal(value) if is_secret else value
    return options


_SECRET: Final = re.compile(r"password|secret|\.pem$|token|oauthbearer\.config")
"""Options whose values are shown nowhere, however they are written."""


_DENIED: Final = frozenset(
    (
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError._SSL,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    )
)
_FENCED: Final = frozenset(
    (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
)


def mapped(error: KafkaError, bootstrap: str, doing: str) -> SpringlineError:
    """Our error for Kafka's. Pure."""
    code, text = error.code(), redact(error.str()).rstrip(".")
    if code in _DENIED:
        return ConfigurationError(
            f"Kafka at {bootstrap} refuses this while {doing}: {text}.",
            hint="Check sasl.mechanism, sasl.username and sasl.password in the file of `kafka_config`, and what that user is allowed to do.",
        )
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return ConfigurationError(
            f"Kafka at {bootstrap} takes no record of this size while {doing}: {text}.",
            hint=f"Raise max.message.bytes of the topic to {LARGEST_RECORD_BYTES + (1 << 20)}.",
        )
    if code in _FENCED:
        return ConfigurationError(
            f"Another process has taken over from this one while {doing}.",
            hint="Only one capture of an application runs at a time; stop the other one, or this one.",
        )
    return SourceUnavailable(
        f"Kafka at {bootstrap} cannot be used now, while {doing}: {text}.",
        hint="It is tried again; nothing is lost.",
    )


@contextmanager
def kafka_errors(kafka: Kafka, doing: str) -> Iterator[None]:
    """Kafka's errors in the body as ours."""
    try:
        yield
    except KafkaException as error:
        found: KafkaError = error.args[0]
        if found.code() in _NO_ANSWER:
            kafka.admin.poll(0)
            found = kafka.connections.problem or found
        raise mapped(found, kafka.bootstrap, doing) from error


_NO_ANSWER: Final = frozenset((KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN))
"""Errors that say that there was no answer, and not why."""


END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
TIMED_OUT: Final = KafkaError._TIMED_OUT
