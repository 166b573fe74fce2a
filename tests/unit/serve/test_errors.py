"""Whatever goes wrong, the response has the one error shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from springline import errors
from springline.errors import SpringlineError
from springline.serve import errors as http_errors
from springline.serve.http import create_app
from springline.serve.service import Limits
from springline.testing.fake_service import FakeRuntime, FakeService

FIELDS = {"code", "message", "hint", "transient"}


@pytest.fixture
def service() -> Iterator[FakeService]:
    runtime = FakeRuntime()
    yield FakeService(runtime)
    runtime.stop()


@pytest.fixture
def client(service: FakeService) -> TestClient:
    app = create_app(
        service, limits=Limits(question_characters=100, sql_characters=200, rows=100, body_bytes=4_096)
    )
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


REQUESTS: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/v1/nowhere", None, 404, "unknown_route"),
    ("DELETE", "/v1/ask", None, 405, "unknown_route"),
    ("POST", "/v1/ask", {}, 422, "request_invalid"),
    ("POST", "/v1/ask", {"question": "?", "requier": "now"}, 422, "request_invalid"),
    ("POST", "/v1/ask", {"question": "?", "require": "later"}, 422, "request_invalid"),
    ("POST", "/v1/ask", {"question": "?", "deadline_ms": -1}, 422, "request_invalid"),
    ("POST", "/v1/ask", {"question": "x" * 101}, 413, "request_too_large"),
    ("POST", "/v1/ask", {"question": "x" * 5_000}, 413, "request_too_large"),
    ("POST", "/v1/query", {"sql": "SELECT * FROM nothing"}, 400, "sql"),
    ("POST", "/v1/query", {"sql": "x" * 201}, 413, "request_too_large"),
    ("POST", "/v1/query", {"sql": "SELECT 1", "limit": 101}, 422, "request_invalid"),
    ("POST", "/v1/search", {"text": "x", "knowledge_base": "none"}, 404, "not_found"),
    ("GET", "/v1/relations/none", None, 404, "not_found"),
    ("GET", "/v1/relations/airline.flights?limit=0", None, 422, "request_invalid"),
    ("GET", "/v1/relations/airline.flights?limit=101", None, 422, "request_invalid"),
    ("GET", "/v1/relations/airline.flights?after=bm90IGpzb24", None, 422, "request_invalid"),
    ("GET", "/v1/relations/airline.flights?after=%00%01", None, 422, "request_invalid"),
    ("GET", "/v1/explain/none", None, 404, "not_found"),
    ("GET", "/v1/receipts/none", None, 404, "not_found"),
    ("POST", "/v1/receipts/none/verify", None, 404, "not_found"),
    ("GET", "/v1/changes", None, 422, "request_invalid"),
    ("GET", "/v1/changes?relation=none", None, 404, "not_found"),
    ("GET", "/ui/none.js", None, 404, "unknown_route"),
    ("GET", "/ui/../../errors.py", None, 404, "unknown_route"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), REQUESTS)
def test_every_failure_has_the_one_shape(
    client: TestClient, method: str, path: str, body: Any, status: int, code: str
) -> None:
    response = client.request(method, path, json=body)
    assert response.status_code == status
    assert set(response.json()) >= FIELDS
    assert response.json()["code"] == code
    assert response.json()["message"]


def test_a_body_that_is_not_json_is_told_so(client: TestClient) -> None:
    response = client.post("/v1/ask", content=b"{question", headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (422, "request_invalid")
    assert response.json()["message"] == "The body is not JSON."


def test_an_unexpected_failure_keeps_its_text_from_the_client(
    client: TestClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(service, "ask", fail)
    response = client.post("/v1/ask", json={"question": "?"})
    assert response.status_code == 500
    assert set(response.json()) == FIELDS
    assert "hunter2" not in response.text


def test_transient_errors_say_when_to_try_again(
    client: TestClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: object) -> None:
        raise errors.NotFresh("Source 'crm' is 4 s behind.", hint="Ask again, or allow older facts.")

    monkeypatch.setattr(service, "ask", refuse)
    response = client.post("/v1/ask", json={"question": "?"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert response.json() == {
        "code": "not_fresh",
        "message": "Source 'crm' is 4 s behind.",
        "hint": "Ask again, or allow older facts.",
        "transient": True,
    }


def test_a_stream_that_fails_ends_with_the_same_shape(
    client: TestClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: object) -> Iterator[Any]:
        raise errors.ModelUnavailable("The model does not answer.")
        yield

    monkeypatch.setattr(service, "ask_stream", fail)
    response = client.post("/v1/ask", json={"question": "?", "stream": True})
    assert response.status_code == 200
    assert "event: error" in response.text
    assert '"code":"model_unavailable"' in response.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.SqlError("x"), 400),
        (errors.NotFound("x"), 404),
        (errors.SnapshotTooOld("x"), 503),
        (errors.SourceLost("x"), 502),
        (errors.StorageFull("x"), 507),
        (errors.NewerFormat("x"), 500),
        (errors.ModelRefused("x"), 422),
        (http_errors.CrossSite("x"), 403),
        (SpringlineError("x"), 500),
    ],
)
def test_statuses_follow_the_class(error: SpringlineError, status: int) -> None:
    assert http_errors.http_status(error) == status
