"""Who may use the interface: pure cases first, then through the application."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from springline.errors import ConfigurationError
from springline.serve.auth import Access, refuse
from springline.serve.http import create_app
from springline.serve.service import Limits
from springline.testing.fake_service import FakeService

TOKEN = "0123456789abcdef0123"
LAPTOP = Access()
WITH_TOKEN = Access(token=TOKEN)
NETWORK = Access(host="0.0.0.0", token=TOKEN)
NAMED = Access(host="0.0.0.0", token=TOKEN, hosts=("springline.example",))
BEARER = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json", "content-length": "2"}


@pytest.mark.parametrize(
    ("access", "method", "path", "headers", "code"),
    [
        # Loopback is open to programs and to the page itself.
        (LAPTOP, "GET", "/v1/status", {"host": "127.0.0.1:8765"}, None),
        (LAPTOP, "GET", "/v1/status", {"host": "localhost:8765"}, None),
        (LAPTOP, "GET", "/v1/status", {"host": "[::1]:8765"}, None),
        (LAPTOP, "POST", "/v1/ask", {"host": "127.0.0.1:8765", **JSON}, None),
        (
            LAPTOP, "POST", "/v1/ask",
            {"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin", **JSON}, None,
        ),
        # A page that rebinds its own name to 127.0.0.1 still sends its name.
        (LAPTOP, "GET", "/v1/status", {"host": "evil.example:8765"}, "cross_site"),
        (LAPTOP, "GET", "/v1/status", {"host": "127.0.0.1.evil.example"}, "cross_site"),
        (LAPTOP, "GET", "/v1/status", {}, "cross_site"),
        # A page elsewhere.
        (LAPTOP, "POST", "/v1/ask", {"host": "127.0.0.1:8765", "origin": "https://evil.example", **JSON}, "cross_site"),
        (LAPTOP, "POST", "/v1/ask", {"host": "127.0.0.1:8765", "origin": "null", **JSON}, "cross_site"),
        (LAPTOP, "POST", "/v1/ask", {"host": "127.0.0.1:8765", "origin": "http://127.0.0.1:9999", **JSON}, "cross_site"),
        (LAPTOP, "GET", "/v1/status", {"host": "localhost:8765", "sec-fetch-site": "cross-site"}, "cross_site"),
        (LAPTOP, "GET", "/v1/status", {"host": "localhost:8765", "sec-fetch-site": "same-site"}, "cross_site"),
        (
            LAPTOP, "GET", "/v1/status",
            {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "cross_site",
        ),
        # A link from elsewhere to the page is how people arrive.
        (LAPTOP, "GET", "/", {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, None),
        # What a form of another page can send.
        (
            LAPTOP, "POST", "/v1/ask",
            {"host": "127.0.0.1", "content-type": "text/plain", "content-length": "9"}, "request_invalid",
        ),
        # A proxy in front of an open server would open it to everybody.
        (LAPTOP, "GET", "/v1/status", {"host": "127.0.0.1", "x-forwarded-for": "203.0.113.9"}, "cross_site"),
        (WITH_TOKEN, "GET", "/v1/status", {"host": "127.0.0.1", "x-forwarded-for": "203.0.113.9", **BEARER}, None),
        # Tokens.
        (WITH_TOKEN, "GET", "/v1/status", {"host": "127.0.0.1"}, "unauthorized"),
        (WITH_TOKEN, "GET", "/v1/status", {"host": "127.0.0.1", **BEARER}, None),
        (NETWORK, "GET", "/v1/status", {"host": "10.0.0.7:8765"}, "unauthorized"),
        (NETWORK, "GET", "/v1/status", {"host": "10.0.0.7:8765", "authorization": "Bearer wrong"}, "unauthorized"),
        (NETWORK, "GET", "/v1/status", {"host": "10.0.0.7:8765", "authorization": f"Basic {TOKEN}"}, "unauthorized"),
        (NETWORK, "GET", "/v1/status", {"host": "127.0.0.1:8765"}, "unauthorized"),
        (NETWORK, "GET", "/v1/status", {"host": "10.0.0.7:8765", **BEARER}, None),
        (NETWORK, "GET", "/metrics", {"host": "10.0.0.7:8765"}, "unauthorized"),
        (NETWORK, "GET", "/healthz", {"host": "10.0.0.7:8765"}, None),
        (NETWORK, "GET", "/ui/js/main.js", {"host": "10.0.0.7:8765"}, None),
        (NAMED, "GET", "/v1/status", {"host": "springline.example", **BEARER}, None),
        (NAMED, "GET", "/v1/status", {"host": "other.example", **BEARER}, "cross_site"),
        (Access(port=8765), "GET", "/", {"host": "localhost:8765"}, None),
        (Access(port=8765), "GET", "/", {"host": "localhost:1234"}, "cross_site"),
    ],
)  # fmt: skip
def test_cases(access: Access, method: str, path: str, headers: dict[str, str], code: str | None) -> None:
    refusal = refuse(access, method, path, headers)
    assert (None if refusal is None else refusal.code) == code


@pytest.mark.parametrize("access", [Access(host="0.0.0.0"), Access(host="192.0.2.1"), Access(token="short")])
def test_a_server_that_anybody_could_read_does_not_start(access: Access) -> None:
    with pytest.raises(ConfigurationError):
        create_app(FakeService(), access=access)


def test_a_refusal_has_the_error_shape_and_names_the_scheme() -> None:
    client = TestClient(create_app(FakeService(), access=WITH_TOKEN), base_url="http://127.0.0.1")
    response = client.get("/v1/status")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert set(response.json()) == {"code", "message", "hint", "transient"}
    assert client.get("/v1/status", headers=BEARER).status_code == 200
    assert client.get("/").status_code == 200


def test_every_response_tells_browsers_to_load_nothing_from_elsewhere() -> None:
    client = TestClient(create_app(FakeService()), base_url="http://127.0.0.1")
    for path in ("/", "/ui/js/main.js", "/v1/status", "/v1/nowhere"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy


def test_a_body_of_unstated_length_is_bounded_too() -> None:
    client = TestClient(
        create_app(FakeService(), limits=Limits(body_bytes=1_000)), base_url="http://127.0.0.1"
    )
    parts = iter([b" " * 600, b" " * 600])
    response = client.post("/v1/ask", content=parts, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")
