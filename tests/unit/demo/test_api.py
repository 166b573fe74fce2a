"""The demo's own endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from springline.demo import api
from springline.demo.fleet import FlightStatus
from springline.serve import errors
from springline.serve.auth import Access
from springline.testing.fake_demo import Served, serve_fake


@pytest.fixture
def served() -> Iterator[Served]:
    running = serve_fake()
    assert running.stage is not None
    running.stage.pause()
    yield running
    running.close()


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.server.url, timeout=10) as opened:
        yield opened


def test_state_has_all_that_the_page_needs(client: httpx.Client) -> None:
    state = client.get("/demo/state").json()
    assert state["title"] == "New York, February 2013"
    assert state["storm"]["paused"] is True
    assert state["storm"]["clock"].endswith("-05:00")
    assert state["featured"][0]["questions"]
    assert state["provenance"]["flights.status"] == "recorded"
    assert state["sql_allowed"] is True
    assert {"asked", "ours_wrong", "twin_wrong"} <= set(state["fleet"])


def test_controls(client: httpx.Client) -> None:
    assert client.post("/demo/speed", json={"speed": 60}).json()["storm"]["speed"] == 60
    assert client.post("/demo/speed", json={"speed": 0}).status_code == 422
    assert client.post("/demo/pause", json={"paused": False}).json()["storm"]["paused"] is False
    assert client.post("/demo/jump", json={"to": "2013-02-08T15:00:00"}).json()["code"] == "configuration"
    moved = client.post("/demo/jump", json={"to": "2013-02-08T20:00:00Z"}).json()["storm"]["clock"]
    assert moved.startswith("2013-02-08T15:00")
    assert client.post("/demo/twin", json={"interval_s": 300}).json()["twin"]["interval_s"] == 300
    assert client.post("/demo/twin", json={"interval_s": 1}).json()["code"] == "configuration"


def test_the_same_question_to_both_and_the_truth(client: httpx.Client) -> None:
    outcome = client.post(
        "/demo/sql", json={"sql": "UPDATE flights SET status = 'cancelled' WHERE flight_id = 21"}
    ).json()
    assert outcome["rows_affected"] == 1
    assert outcome["committed_at_us"] <= outcome["returned_at_us"]
    found = client.post("/demo/ask", json={"question": "Is my flight cancelled?", "subject": "C0001"}).json()
    assert found["truth"]["ours"] == []
    assert [(each["told"], each["known"]) for each in found["truth"]["twin"]] == [("scheduled", "cancelled")]
    only = client.post("/demo/ask", json={"question": "?", "subject": "C0001", "sides": ["twin"]}).json()
    assert only["ours"] is None


def test_a_bad_statement_has_the_error_shape(client: httpx.Client) -> None:
    response = client.post("/demo/sql", json={"sql": "SELEKT 1"})
    assert response.status_code == 400
    assert set(response.json()) >= {"code", "message", "hint", "transient", "line", "column"}


def test_the_box_is_closed_beyond_loopback(served: Served) -> None:
    # The routes themselves, over the parts of the running fake; only where it listens is another.
    assert served.demo is not None
    app = FastAPI()
    errors.install(app)
    app.include_router(api.router(replace(served.demo, access=Access(host="0.0.0.0", token="x" * 16))))
    client = TestClient(app)
    for path, body in (("/demo/sql", {"sql": "SELECT 1"}), ("/demo/policy", {"text": "x"})):
        assert (client.post(path, json=body).status_code, client.post(path, json=body).json()["code"]) == (
            403,
            "cross_site",
        )
    assert client.get("/demo/state").json()["sql_allowed"] is False


def test_silence_about_a_flight_is_no_claim() -> None:
    known = [FlightStatus("A", "cancelled"), FlightStatus("B", "scheduled")]
    assert api.claims_against(known[:1], known, known) == []
    answer = {"citations": [{"columns": {"flight_code": "A", "status": "scheduled"}}, {"columns": None}]}
    assert api.told_by(answer) is None
