"""The server: a port in use is one clear error, and stopping does not wait for open streams."""

from __future__ import annotations

import httpx
import pytest

from springline.errors import ConfigurationError
from springline.serve.server import Server
from springline.testing.fake_demo import serve_fake


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    first = Server(port=0)
    with pytest.raises(ConfigurationError) as caught:
        Server(port=first.port)
    assert str(first.port) in caught.value.message
    assert "--port" in (caught.value.hint or "")
    first.stop()


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    with pytest.raises(ConfigurationError):
        Server(host, port)


def test_it_serves_and_stops_while_a_stream_is_open() -> None:
    served = serve_fake(demo=False)
    with (
        httpx.Client(base_url=served.server.url) as client,
        client.stream("GET", "/v1/events") as response,
    ):
        lines = response.iter_lines()
        assert "event: status" in [next(lines) for _ in range(4)]
        # The stream ends by itself: the server does not wait for this client to go away.
        served.close()
        remaining = list(lines)
        assert not any("error" in line for line in remaining)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{served.server.url}/healthz")


def test_the_port_is_free_again_after_stopping() -> None:
    served = serve_fake(demo=False)
    port = served.server.port
    served.close()
    Server(port=port).stop()
