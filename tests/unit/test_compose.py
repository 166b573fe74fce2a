"""``deploy/compose.yaml``: a file that Compose takes, and whose parts agree with each other and with what the cluster is tested with."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from springline.cli.main import main
from springline.settings import TABLE
from springline.testing.artefacts import FLINK_VERSION

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {"zookeeper", "jobmanager", "taskmanager", "deploy", "capture", "node"}
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_it_is_what_compose_takes() -> None:
    schemas = resources.files("check_jsonschema.builtin_schemas.vendor")
    jsonschema.validate(COMPOSE, json.loads((schemas / "compose-spec.json").read_text()))


def test_the_check_sees_a_mistake() -> None:
    schemas = resources.files("check_jsonschema.builtin_schemas.vendor")
    wrong = {"services": {"kafka": {"image": "apache/kafka", "enviroment": {}}}}
    with pytest.raises(jsonschema.ValidationError, match="enviroment"):
        jsonschema.validate(wrong, json.loads((schemas / "compose-spec.json").read_text()))


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {"postgres", "kafka", *OURS}
    assert {one for one in SERVICES if "build" in SERVICES[one]} == OURS


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_names_only_what_there_is(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]
    waited = service.get("depends_on", ())
    for other, how in waited.items() if isinstance(waited, dict) else ():
        assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_nothing_is_open_beyond_this_machine(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image == "springline" if name in OURS else re.search(r":[a-z]*\d", image)


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings(name: str) -> None:
    given = {one for one in SERVICES[name]["environment"] if one.startswith("SPRINGLINE_")}
    assert given <= {setting.variable for setting in TABLE}


@pytest.mark.parametrize("name", ["deploy", "capture", "node"])
def test_commands_are_ours(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, command, *options = SERVICES[name]["command"]
    assert program == "springline"
    assert options[-1] == "app.py"
    with pytest.raises(SystemExit):
        main([command, "--help"])
    described = capsys.readouterr().out
    assert all(option in described for option in options[:-1])


def test_the_versions_are_those_that_are_tested() -> None:
    pom = (DEPLOY / "services" / "pom.xml").read_text()
    kafka = re.search("<kafka.version>(.*)</kafka.version>", pom)
    assert kafka is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert f"apache-flink=={FLINK_VERSION} " in DOCKERFILE


def test_what_the_image_takes_is_there_and_is_sent() -> None:
    sent = [line[1:] for line in (DEPLOY.parent / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [
        path
        for line in re.findall("^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for path in line.split()[:-1]
    ]
    assert copied
    for path in copied:
        assert (DEPLOY.parent / path).exists(), path
        assert path.split("/")[0] in sent, path


def test_a_node_that_others_reach_has_a_token() -> None:
    environment = SERVICES["node"]["environment"]
    assert environment["SPRINGLINE_HOST"] == "0.0.0.0"
    assert environment["SPRINGLINE_TOKEN"].startswith("${SPRINGLINE_TOKEN:?")


def test_jobs_outlive_their_processes() -> None:
    flink = YAML(typ="safe").load(DEPLOY / "flink" / "config.yaml")
    mounted = {volume.split(":")[1] for volume in SERVICES["jobmanager"]["volumes"]}
    assert SERVICES["jobmanager"]["volumes"] == SERVICES["taskmanager"]["volumes"]
    for setting in ("execution.checkpointing.dir", "high-availability.storageDir"):
        folder = flink[setting].removeprefix("file://")
        assert any(Path(folder).is_relative_to(one) for one in mounted)
        assert f"/{Path(folder).parts[1]}" in DOCKERFILE
