"""``springline explain --runtime flink``: the job of an application, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.harness import CommandLine, assert_error

APP = """
import springline as sl
from springline.sources.json_rows import JsonTable

app = sl.App("shop")
app.jsonl("shop", "in.jsonl", tables={"orders": JsonTable({"id": "BIGINT", "amount": "BIGINT"}, ["id"])})
app.view("big", "SELECT id, amount FROM shop.orders WHERE amount > 5")
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)


def test_the_job_of_an_application(springline: CommandLine) -> None:
    out = springline("explain", "--runtime", "flink", "--kafka", "127.0.0.1:1").out
    assert "job shop-1" in out
    assert "CREATE TEMPORARY VIEW `big` AS SELECT `id`, `amount` FROM `shop.orders`" in out
    assert "'topic' = 'shop.derived-1.big'" in out


def test_the_statements_of_one_view(springline: CommandLine) -> None:
    out = springline("explain", "big", "--runtime", "flink", "--kafka", "127.0.0.1:1").out
    assert "INSERT INTO `to:big`" in out
    assert "CREATE TABLE `shop.orders`" not in out
    outcome = springline("explain", "bog", "--runtime", "flink", "--kafka", "127.0.0.1:1")
    assert_error(outcome, 5, "There is no view 'bog'", "shop.orders")


def test_a_password_is_not_shown(springline: CommandLine) -> None:
    options = (
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=ann\nsasl.password=hunter'2\n"
    )
    Path("kafka.properties").write_text(options)
    out = springline(
        "explain", "--runtime", "flink", "--kafka", "127.0.0.1:1", "--kafka-config", "kafka.properties"
    ).out
    assert "'properties.sasl.jaas.config' = '***'" in out
    assert "hunter" not in out


def test_what_is_missing_is_said(springline: CommandLine) -> None:
    assert_error(
        springline("explain", "--runtime", "flink"), 2, "No Kafka cluster is named", "SPRINGLINE_KAFKA"
    )
    assert springline("explain").status == 64
    assert_error(springline("serve", "app.py"), 2, "Say where the node's data comes from", "--from-kafka")
    outcome = springline("deploy", "app.py", "--kafka", "127.0.0.1:1")
    assert_error(outcome, 2, "No Flink cluster is named", "SPRINGLINE_FLINK")
