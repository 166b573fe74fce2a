"""What a Kafka source refuses before it connects to anything."""

from __future__ import annotations

from typing import Any

import pytest

from springline.app import App
from springline.errors import ConfigurationError
from springline.sources.kafka.commits import Commits
from springline.sources.kafka.connection import Connector
from springline.sources.kafka.source import KafkaSource
from springline.sources.kafka.start import parse_start
from tests.unit.sources.kafka.formats import table


@pytest.mark.parametrize("option", ["enable.auto.commit", "isolation.level", "auto.offset.reset"])
def test_an_option_on_which_the_guarantees_stand_cannot_be_set(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        KafkaSource("k", "localhost:9092", tables={"t": table()}, options={option: "x"})


def test_secrets_are_read_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "tell-nobody-42")
    options = {
        "sasl.password": "env:SHOP_PASSWORD",
        "ssl.key.password": "plain-and-secret",
        "no.such": "option",
    }
    source = KafkaSource("k", "localhost:9092", tables={"t": table()}, options=options)
    with pytest.raises(ConfigurationError, match=r"no\.such") as refused:
        Connector("k", "localhost:9092", options).consumer()
    shown = f"{source!r} {source.status()} {refused.value} {refused.value.hint}"
    assert "tell-nobody" not in shown
    assert "plain-and-secret" not in shown


def test_a_secret_that_is_not_there_is_said_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(ConfigurationError, match="SHOP_PASSWORD"):
        KafkaSource("k", "b:1", tables={"t": table()}, options={"sasl.password": "env:SHOP_PASSWORD"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bootstrap": " "}, "names no Kafka broker"),
        ({"on_lost": "ignore"}, "unknown on_lost 'ignore'"),
        ({"start": "yesterday"}, "cannot start at 'yesterday'"),
        ({"tables": {"t": table(format="avro")}}, "schema_registry="),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    given = {"bootstrap": "localhost:9092", "tables": {"t": table()}, **options}
    with pytest.raises(ConfigurationError, match=message):
        App("test").kafka("k", given.pop("bootstrap"), **given)


def test_a_start_is_a_word_a_time_or_offsets() -> None:
    assert parse_start("k", "latest") == "latest"
    assert parse_start("k", "2026-01-01T00:00:00Z") == parse_start("k", "2026-01-01") == 1_767_225_600_000
    assert parse_start("k", {"t": {0: 5}}) == {"t": {0: 5}}


@pytest.mark.parametrize(
    "options", [{"sasl.mechanism": "OAUTHBEARER"}, {"ssl.ca.pem": "x"}, {"sasl.mechanism": "GSSAPI"}]
)
def test_commits_are_not_asked_for_with_options_that_only_one_client_knows(options: dict[str, Any]) -> None:
    commits = Commits("k", "localhost:9092", {"security.protocol": "sasl_ssl", **options})
    assert not commits.wait(0.0)
