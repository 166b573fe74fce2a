"""Clients of one cluster, all with the same settings, and their errors as ours.

Options are librdkafka's own (``security.protocol``, ``sasl.mechanism``, ``ssl.ca.location`` …). A value ``env:NAME`` or ``file:PATH`` is read where
it is needed; no password is ever shown: neither in ``repr`` nor in an error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from springline.errors import ConfigurationError, SourceError, SourceUnavailable
from springline.secret import Secret, redact
from springline.sources.kafka.commits import Commits

_OWNED: Final[Mapping[str, object]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
"""What the guarantees stand on, and nobody may set."""

_DEFAULTS: Final[Mapping[str, object]] = {
    # An empty answer of the broker is what tells that a transaction's marker was the last record; it is not waited for longer.
    "fetch.wait.max.ms": 20,
    # A broker sends a record that is larger than fetch.max.bytes all the same; this is only the client's guard.
    "receive.message.max.bytes": 1_000_000_000,
    "queued.max.messages.kbytes": 65_536,
    "reconnect.backoff.max.ms": 2_000,
    "socket.keepalive.enable": True,
    "client.id": "springline",
}
_CONSUMERS_ALONE: Final = re.compile(
    r"^(fetch\.|queued\.|group\.|max\.partition|check\.crcs|session\.timeout|heartbeat|max\.poll|consume|isolation"
    r"|enable\.|auto\.|allow\.|partition\.assignment)"
)
_SECRET_NAMES: Final = re.compile(r"password|secret|\.pem$|token|user\.info|sasl\.oauthbearer\.config")

_LOST_TOPIC: Final = frozenset(
    (
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    )
)
_LOST_PLACE: Final = frozenset(
    (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION)
)

_TERMINAL: Final[Mapping[int, str]] = {
    KafkaError._AUTHENTICATION: "Check sasl.mechanism, sasl.username and sasl.password in the source's options.",
    KafkaError.SASL_AUTHENTICATION_FAILED: "Check sasl.mechanism, sasl.username and sasl.password in the source's options.",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "Name one of the broker's mechanisms in sasl.mechanism.",
    KafkaError._SSL: "Check security.protocol, ssl.ca.location and the certificates in the source's options.",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Allow the user READ and DESCRIBE on the topic.",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Allow the user READ on the group, or name another in the option group.id.",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "Allow the user DESCRIBE on the cluster.",
    KafkaError.MSG_SIZE_TOO_LARGE: "Raise fetch.max.bytes and receive.message.max.bytes in the source's options.",
    KafkaError._BAD_COMPRESSION: "The topic is compressed in a way that this client library does not know; update it.",
    KafkaError._UNSUPPORTED_FEATURE: "The broker is too old for this client library; update the one or the other.",
    KafkaError.UNSUPPORTED_VERSION: "The broker is too old for this client library; update the one or the other.",
}
"""Errors that no retry will change, and what to do about them."""


def _is_news(record: logging.LogRecord) -> bool:
    """Not that a connection failed: the client says so many times a second, and the source says it once for each attempt."""
    return not record.getMessage().startswith("FAIL ")


_logger = logging.getLogger("springline.kafka.client")
_logger.addFilter(_is_news)


class Connector:
    """Makes the clients of one cluster. Thread-safe."""

    def __init__(self, source: str, bootstrap: str, options: Mapping[str, Any]) -> None:
        self.source = source
        self.where = bootstrap
        if not bootstrap.strip():
            raise ConfigurationError(
                f"Source {source!r} names no Kafka broker.", hint="app.kafka('shop', 'localhost:9092', …)"
            )
        if owned := sorted(set(options) & set(_OWNED)):
            raise ConfigurationError(
                f"Source {source!r} sets the option {owned[0]!r}, on which its guarantees stand.",
                hint="Leave it out.",
            )
        self._options = {name: revealed(source, name, value) for name, value in options.items()}
        self.problem: KafkaError | None = None
        """What a client last said of its connections; None once they answer."""
        self.is_down = False
        """Whether no broker could be reached, as far as the clients know."""

    def __repr__(self) -> str:
        return f"Connector({self.source!r}, {self.where!r})"

    def consumer(self) -> Consumer:
        """A consumer that belongs to no group and commits nothing. Raises ConfigurationError."""
        # The library asks for a group; with partitions that are assigned by hand it plays no part.
        settings = {"group.id": f"springline-{self.source}", **self._settings(), **_OWNED}
        return self._made(lambda: Consumer(settings, logger=_logger))

    def admin(self) -> AdminClient:
        """A client for questions. Raises ConfigurationError."""
        settings = {
            name: value for name, value in self._settings().items() if not _CONSUMERS_ALONE.match(name)
        }
        return self._made(lambda: AdminClient(settings, logger=_logger))

    def error(self, error: KafkaError | KafkaException) -> SourceError:
        """A client's error as ours: SourceUnavailable where a retry may help."""
        found = error.args[0] if isinstance(error, KafkaException) else error
        if not isinstance(found, KafkaError):
            return SourceUnavailable(f"{self._named}: {redact(str(found))}.")
        problem = (
            self.problem if found.code() in (KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN) else None
        )
        said = problem or found
        message = f"{self._named}: {redact(said.str()).rstrip('.')}."
        if (hint := _TERMINAL.get(said.code())) is not None:
            return SourceError(message, hint=hint)
        return SourceUnavailable(
            message, hint="It is tried again; check that the broker runs and can be reached."
        )

    def answered(self) -> None:
        """The brokers answer, so whatever there was is over."""
        self.problem, self.is_down = None, False

    @property
    def is_hopeless(self) -> bool:
        """Whether waiting longer for an answer will not bring one."""
        return self.is_down or (self.problem is not None and self.problem.code() in _TERMINAL)

    def late(self, timeout_s: float) -> SourceError:
        """No answer within a time: what the connections' last problem says, or that."""
        if self.problem is not None:
            return self.error(self.problem)
        return SourceUnavailable(
            f"{self._named} did not answer within {timeout_s:.3g} s.",
            hint="It is tried again; check that the broker runs and can be reached.",
        )

    def commits(self) -> Commits:
        """What is asked for commits under way."""
        return Commits(self.source, self.where, self._options)

    @property
    def _named(self) -> str:
        return f"Kafka at {self.where} (source {self.source!r})"

    def _settings(self) -> dict[str, Any]:
        return {
            **_DEFAULTS,
            **self._options,
            "bootstrap.servers": self.where,
            "error_cb": self._on_error,
        }

    def _on_error(self, error: KafkaError) -> None:
        """Called by a client, within its ``poll``. What is terminal is kept over what only follows from it, and a reason over its
        consequence."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.is_down = True
        known = self.problem
        if known is None or not (known.code() in _TERMINAL or error.code() == KafkaError._ALL_BROKERS_DOWN):
            self.problem = error

    def _made(self, make: Any) -> Any:
        try:
            return make()
        except KafkaException as error:
            raise ConfigurationError(
                f"The options of source {self.source!r} are not what the Kafka client understands: {redact(error.args[0].str())}.",
                hint="They are librdkafka's settings, such as security.protocol and sasl.mechanism.",
            ) from None


def revealed(source: str, name: str, value: Any) -> Any:
    """An option's value for use: what ``env:NAME`` or ``file:PATH`` refers to, or the value itself. Secrets are remembered, so that no message
    shows them. Raises ConfigurationError."""
    if not isinstance(value, str):
        return value
    is_secret = _SECRET_NAMES.search(name) is not None
    if is_secret or value.startswith(("env:", "file:")):
        return Secret.parse(value, what=f"Option {name!r} of source {source!r}", plain=True).reveal()
    return value


def is_lost_topic(error: KafkaError) -> bool:
    """Whether a partition that was read is not there, or not the same."""
    return error.code() in _LOST_TOPIC


def is_lost_place(error: KafkaError) -> bool:
    """Whether the broker no longer, or never, had the offset that was asked for."""
    return error.code() in _LOST_PLACE
