"""``deploy/compose.yaml`` run without Docker: its database, broker, Flink and commands as processes here, each with what the file gives it.

Only addresses, ports and folders are others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ruamel.yaml import YAML

from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.postgres import PostgresServer
from springline.testing.processes import ServerProcess, free_ports, lock_folder

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")["services"]
TOKEN = "a secret of a test"
PLACES = re.compile(r"(bind-)?(host|address|port)$|dir$|dirs$|storageDir|quorum|^python\.|^env\.")
"""Settings that say where things are: those of the test's own services hold."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[PostgresServer]:
    """With the settings on the command's line of the file, and its tables."""
    command = SERVICES["postgres"]["command"]
    given = dict(one.split("=", 1) for one in command if "=" in one)
    assert given["wal_level"] == "logical"
    with PostgresServer(tmp_path / "postgres", settings=given) as server:
        connection = psycopg2.connect(server.create_database("shop"))
        with connection, connection.cursor() as cursor:
            cursor.execute((DEPLOY / "shop" / "shop.sql").read_text())
        connection.close()
        yield server


@pytest.fixture
def broker(have_kafka: None, tmp_path: Path) -> Iterator[KafkaBroker]:
    """With every setting of the file that does not say where it is."""
    given = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in SERVICES["kafka"]["environment"].items()
        if name.startswith("KAFKA_")
    }
    settings = {
        name: value for name, value in given.items() if not re.search("listener|voters|log.dirs", name)
    }
    assert settings["process.roles"] == "broker,controller"
    with KafkaBroker(tmp_path / "kafka", settings=settings) as running:
        yield running


@pytest.fixture
def flink(have_flink: None, tmp_path: Path) -> Iterator[FlinkCluster]:
    given: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "flink" / "config.yaml")
    settings = {name: str(value) for name, value in given.items() if not PLACES.search(name)}
    assert settings["high-availability.type"] == "zookeeper"
    with FlinkCluster(tmp_path / "flink", zookeeper=True, settings=settings) as running:
        yield running


def test_what_java_has_to_open_is_what_the_distribution_says(flink: FlinkCluster) -> None:
    given: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "flink" / "config.yaml")
    own = json.loads(
        (flink.folder / "conf" / "config.yaml").read_text().split("env.java.opts.all: ")[1].split("\n")[0]
    )
    assert given["env.java.opts.all"].split() == own.split()


def test_the_shop_answers(
    database: PostgresServer, broker: KafkaBroker, flink: FlinkCluster, tmp_path: Path
) -> None:
    dsn = database.dsn("shop")
    [port] = free_ports(1)
    places = {
        "DATABASE_URL": dsn,
        "SPRINGLINE_KAFKA": broker.bootstrap,
        "SPRINGLINE_FLINK": flink.rest,
        "SPRINGLINE_FLINK_PYTHON": str(flink.python),
        "SPRINGLINE_HOST": "127.0.0.1",
        "SPRINGLINE_TOKEN": TOKEN,
        "SPRINGLINE_PORT": str(port),
        # In the image the connector lies beside Flink; here in a folder of its own.
        **{
            name: flink.environment[name]
            for name in ("FLINK_HOME", "FLINK_CONF_DIR", "FLINK_LIB_DIR", "FLINK_LOG_DIR")
        },
    }
    for name in ("deploy", "capture", "node"):
        shutil.copytree(DEPLOY / "shop", tmp_path / name)
    deploy = subprocess.run(
        _command("deploy"),
        cwd=tmp_path / "deploy",
        env=_environment("deploy", places, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert deploy.returncode == 0, deploy.stderr
    assert "open_orders" in deploy.stdout
    with ExitStack() as closing:

        def started(name: str) -> ServerProcess:
            folder = tmp_path / name
            lock = lock_folder(folder)
            closing.callback(os.close, lock)
            process = ServerProcess(
                name,
                _command(name),
                log=folder / "log",
                lock=lock,
                environment=_environment(name, places, tmp_path),
            )
            closing.callback(process.end)
            return process

        capture, node = started("capture"), started("node")
        node.wait_until(lambda: not capture.lives() or _is_ready(port), 120)
        assert capture.lives(), capture.log_tail()
        with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE orders SET status = 'delayed', due = '2026-12-15' WHERE id = 1")
        connection.close()
        assert "A lamp is delayed, due 15 December." in answer(port, "Where is my lamp?", "customer:1")
        node.wait_until(lambda: "free of charge" in found(port, "cancel an order that is late"), 60)


def _command(name: str) -> list[str]:
    program, *arguments = SERVICES[name]["command"]
    assert program == "springline"
    return [sys.executable, "-m", "springline.cli.main", *arguments]


def _environment(name: str, places: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What the file gives the service, with our places."""
    given = {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    data = {"SPRINGLINE_DATA": str(folder / name / "data"), "SPRINGLINE_EMBEDDER": "hashing"}
    return {**os.environ, **given, **places, **data}


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def answer(port: int, question: str, subject: str) -> str:
    return str(_asked(port, "ask", {"question": question, "subject": subject, "require": "now"})["answer"])


def found(port: int, text: str) -> str:
    """The first passage; nothing before there is one."""
    hits = _asked(port, "search", {"text": text, "knowledge_base": "rules", "limit": 1})["hits"]
    return str(hits[0]) if hits else ""


def _asked(port: int, what: str, form: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/{what}",
        data=json.dumps({**form, "deadline_ms": 60_000}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()) from error
