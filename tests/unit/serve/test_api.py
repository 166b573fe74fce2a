"""The endpoints that read and ask."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from springline.core.schema import Column, TableSchema
from springline.core.types import DATE, STRING
from springline.serve import models
from springline.serve.http import create_app
from springline.serve.reads import page_statement, read_cursor, write_cursor
from springline.testing.fake_service import FakeService


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> TestClient:
    return TestClient(create_app(service), base_url="http://127.0.0.1")


def test_an_answer_has_the_documented_shape_and_a_receipt(client: TestClient) -> None:
    response = client.post("/v1/ask", json={"question": "Is my flight cancelled?", "subject": "C0001"})
    answer = models.AnswerModel.model_validate(response.json())
    assert "[1]" in answer.answer
    assert answer.freshness.met
    assert client.get(f"/v1/receipts/{answer.receipt}").json()["question"] == "Is my flight cancelled?"
    assert client.post(f"/v1/receipts/{answer.receipt}/verify").json()["verified"] is True


def test_a_streamed_answer_ends_with_the_whole_one(client: TestClient) -> None:
    response = client.post("/v1/ask", json={"question": "?", "subject": "C0001", "stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in response.text.strip().split("\n\n") if "data: " in block]
    names = [lines[0].removeprefix("event: ") for lines in events]
    assert set(names[:-1]) == {"token"}
    assert names[-1] == "answer"
    streamed = "".join(json.loads(lines[1].removeprefix("data: "))["text"] for lines in events[:-1])
    assert json.loads(events[-1][1].removeprefix("data: "))["answer"] == streamed.strip()


def test_query_says_what_it_read_and_whether_there_is_more(client: TestClient) -> None:
    body = {
        "sql": "SELECT * FROM `airline`.`flights` WHERE flight_id > :least",
        "parameters": {"least": 10},
        "limit": 5,
    }
    found = client.post("/v1/query", json={**body, "require": "now"}).json()
    assert [row["flight_id"] for row in found["rows"]] == [11, 12, 13, 14, 15]
    assert found["truncated"] is True
    assert found["relations"] == ["airline.flights"]
    assert found["freshness"]["require"] == "now"
    assert found["columns"][0] == {"name": "flight_id", "type": "INT"}


def test_search(client: TestClient) -> None:
    found = client.post(
        "/v1/search", json={"text": "refund", "knowledge_base": "policies", "limit": 2}
    ).json()
    assert [hit["document"] for hit in found["hits"]] == ["rebooking.md", "refunds.md"]


def test_pages_follow_the_key_to_the_end(client: TestClient) -> None:
    seen: list[int] = []
    after: str | None = None
    while True:
        params: dict[str, Any] = {"limit": 25} if after is None else {"limit": 25, "after": after}
        page = client.get("/v1/relations/airline.flights", params=params).json()
        seen += [row["flight_id"] for row in page["rows"]]
        after = page["next"]
        if after is None:
            break
    assert seen == list(range(1, 65))


def test_relations_are_listed_with_their_schema(client: TestClient) -> None:
    listed = {found["name"]: found for found in client.get("/v1/relations").json()["relations"]}
    assert listed["customer_flights"]["kind"] == "view"
    assert listed["airline.flights"]["key"] == ["flight_id"]
    assert listed["airline.flights"]["rows"] == 64


def test_a_page_after_a_key_of_two_columns() -> None:
    schema = TableSchema(
        "weather", (Column("day", DATE), Column("place", STRING), Column("note", STRING)), ("day", "place")
    )
    cursor = write_cursor(schema, {"day": "2013-02-08", "place": "JFK", "note": "snow"})
    values = read_cursor(schema, cursor)
    assert values == [(dt.date(2013, 2, 8) - dt.date(1970, 1, 1)).days, "JFK"]
    assert page_statement(schema, values) == (
        "SELECT `day`, `place`, `note` FROM `weather`"
        " WHERE (`day` > :key0) OR (`day` = :key0 AND `place` > :key1) ORDER BY `day`, `place`",
        {"key0": 15_744, "key1": "JFK"},
    )


def test_explain_status_and_what_the_page_shows(client: TestClient) -> None:
    assert "inner join" in client.get("/v1/explain/customer_flights").json()["text"]
    assert client.get("/v1/status").json()["sources"]["airline"]["state"] == "streaming"
    shown = client.get("/v1/ui").json()
    assert shown["features"] == ["ask", "pipeline", "tables"]
    assert shown["mode"] == "extractive"


def test_readiness_follows_the_runtime(client: TestClient, service: FakeService) -> None:
    assert client.get("/readyz").status_code == 200
    service.runtime.loading = True
    assert (client.get("/readyz").status_code, client.get("/readyz").json()["code"]) == (503, "not_ready")
    service.runtime.state, service.runtime.loading = "stopping", False
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").json() == {"status": "ok"}


def test_openapi_describes_every_endpoint_and_the_error_shape(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) >= {
        "/v1/ask", "/v1/query", "/v1/search", "/v1/status", "/v1/relations", "/v1/relations/{name}", "/v1/explain/{view}",
        "/v1/receipts/{receipt_id}", "/v1/receipts/{receipt_id}/verify", "/v1/changes", "/v1/events", "/healthz", "/readyz",
    }  # fmt: skip
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {path}"
            shape = operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
            assert shape.endswith("/ErrorModel"), f"{method} {path}"
    _assert_references(document, document)


def _assert_references(document: dict[str, Any], part: Any) -> None:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            found: Any = document
            for name in reference.removeprefix("#/").split("/"):
                found = found[name]
        for value in part.values():
            _assert_references(document, value)
    elif isinstance(part, list):
        for value in part:
            _assert_references(document, value)


def test_openapi_validates_where_the_validator_is_installed(client: TestClient) -> None:
    validator = pytest.importorskip(
        "openapi_spec_validator", reason="openapi-spec-validator is not installed"
    )
    validator.validate(client.get("/v1/openapi.json").json())
