"""With a model configured: a server that speaks the OpenAI wire format answers, streams, and fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from springline.app import App, Running
from springline.assistant.base import AskRequest
from springline.context.definition import Rows
from springline.secret import Secret
from springline.settings import Settings
from springline.testing.memory_source import MemorySource
from tests.unit.runtime.running import ORDERS

ANSWER = "Your order 1 costs 10 dollars [1]."
KEY = "sk-canary-value"


class Provider(BaseHTTPRequestHandler):
    """Chat completions, whole and streamed; 500 while ``broken``."""

    requests: list[tuple[str | None, dict[str, Any]]]
    broken: bool

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.headers["Authorization"], body))  # pyright: ignore
        if self.server.broken:  # pyright: ignore
            self.send_response(500)
            self.end_headers()
            return
        self.send_response(200)
        if not body.get("stream"):
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            choice = {"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
            self.wfile.write(json.dumps({"model": "tiny", "choices": [choice], "usage": {}}).encode())
            return
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for word in ANSWER.split(" "):
            chunk = {"choices": [{"delta": {"content": word + " "}, "finish_reason": None}]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        end: dict[str, Any] = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        self.wfile.write(f"data: {json.dumps(end)}\n\ndata: [DONE]\n\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def provider() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.requests, server.broken = [], False
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def running(provider: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("TINY_KEY", KEY)
    settings = replace(
        Settings.load(),
        model="tiny",
        model_url=f"http://127.0.0.1:{provider.server_port}/v1",
        model_key=Secret("env:TINY_KEY"),
        embedder="hashing",
    )
    app = App("shop", settings=settings)
    source = MemorySource("shop", [ORDERS])
    app.source(source)
    app.assistant(
        subject="customer",
        rows=[Rows("shop.orders", subject_column="customer", describe="Order {id} costs {amount} dollars.")],
    )
    with app.start(data=tmp_path) as running:
        source.put("orders", {"id": 1, "customer": 42, "amount": 10})
        source.put("orders", {"id": 2, "customer": 43, "amount": 99})
        yield running


REQUEST = AskRequest("What does my order cost?", subject="customer:42", deadline_ms=20_000)


def test_the_model_is_given_the_subjects_context_and_nothing_else(running: Running, provider: Any) -> None:
    answer = running.ask(REQUEST)
    assert (answer.text, answer.mode, answer.model) == (ANSWER, "model", "tiny")
    assert [citation.id for citation in answer.citations] == [1]
    [(authorization, body)] = provider.requests
    assert authorization == f"Bearer {KEY}"
    said = json.dumps(body)
    assert "Order 1 costs 10 dollars." in said
    assert "99" not in said


def test_it_streams(running: Running) -> None:
    events = list(running.ask_stream(REQUEST))
    assert next(event.event for event in events) == "context"
    assert sum(event.event == "token" for event in events) > 2
    assert events[-1].data["answer"] == ANSWER


def test_a_model_that_fails_is_replaced_by_quotations_that_say_so(running: Running, provider: Any) -> None:
    provider.broken = True
    answer = running.ask(REQUEST)
    assert answer.mode == "extractive"
    assert "Order 1 costs 10 dollars." in answer.text
    assert answer.notice
    assert KEY not in json.dumps(answer.to_json())
    assert running.verify(str(answer.receipt))["verified"] is True
