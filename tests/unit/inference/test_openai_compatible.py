"""What providers answer, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from springline.errors import ModelError, ModelRefused, ModelUnavailable
from springline.inference.base import Message, Usage, retry_after_s
from springline.inference.openai_compatible import (
    Endpoint,
    OpenAiChatModel,
    OpenAiEmbedder,
    parse_retry_after,
)

KEY = "sk-very-secret"
ENDPOINT = Endpoint("https://models.example/v1", KEY)
QUESTION = [Message("system", "Be brief."), Message("user", "Hello?")]
Handler = Callable[[httpx.Request], httpx.Response]


def chat(handler: Handler) -> OpenAiChatModel:
    return OpenAiChatModel(ENDPOINT, "small", transport=httpx.MockTransport(handler))


def embedder(handler: Handler, **options: object) -> OpenAiEmbedder:
    return OpenAiEmbedder(ENDPOINT, "embed", 2, transport=httpx.MockTransport(handler), **options)  # type: ignore[arg-type]


def test_a_completion() -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        choice = {"message": {"content": "Hi."}, "finish_reason": "length"}
        return httpx.Response(
            200,
            json={
                "model": "small-1",
                "choices": [choice],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2},
            },
        )

    answer = chat(handler).complete(QUESTION, maximum_tokens=5, json_schema={"type": "object"})
    assert (answer.text, answer.model, answer.finish_reason) == ("Hi.", "small-1", "length")
    assert answer.usage == Usage(9, 2)
    assert str(requests[0].url) == "https://models.example/v1/chat/completions"
    assert requests[0].headers["authorization"] == f"Bearer {KEY}"
    body = json.loads(requests[0].content)
    assert body["messages"][1] == {"role": "user", "content": "Hello?"}
    assert body["max_tokens"] == 5
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}


def events(*data: object) -> bytes:
    lines = [": a comment"] + [
        f"data: {item if isinstance(item, str) else json.dumps(item)}\n" for item in data
    ]
    return "\n".join(lines).encode()


def piece(text: str, finish: str | None = None) -> dict[str, object]:
    return {"model": "small-1", "choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def test_a_stream() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    content = events(
        {"choices": [{"delta": {"role": "assistant"}}]}, piece("大"), piece("阪", "stop"), usage, "[DONE]"
    )
    stream = chat(lambda request: httpx.Response(200, content=content)).stream(QUESTION)
    with pytest.raises(RuntimeError, match="not complete"):
        _ = stream.completion
    assert list(stream) == ["大", "阪"]
    assert (stream.completion.text, stream.completion.usage) == ("大阪", Usage(3, 2))


@pytest.mark.parametrize(
    "content",
    [
        events(piece("half")),
        events(piece("half"), "{not json"),
        events(piece("half"), {"error": {"message": "overloaded"}}),
        events(piece("half"), "[1]"),
    ],
)
def test_a_stream_that_breaks_is_never_a_whole_answer(content: bytes) -> None:
    stream = chat(lambda request: httpx.Response(200, content=content)).stream(QUESTION)
    assert next(stream) == "half"
    with pytest.raises(ModelUnavailable):
        list(stream)
    with pytest.raises(RuntimeError):
        _ = stream.completion


def test_a_stream_without_done_is_whole_when_it_says_so() -> None:
    stream = chat(lambda request: httpx.Response(200, content=events(piece("all", "stop")))).stream(QUESTION)
    assert list(stream) == ["all"]
    assert stream.completion.finish_reason == "stop"


def test_a_stream_that_breaks_in_the_middle_of_the_connection() -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield events(piece("half")) + b"\n"
            raise httpx.ReadError("reset")

    stream = chat(lambda request: httpx.Response(200, stream=Broken())).stream(QUESTION)
    assert next(stream) == "half"
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        next(stream)


def test_vectors_in_order_in_batches() -> None:
    bodies: list[dict[str, object]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        bodies.append(body)
        rows = [{"index": n, "embedding": [len(text), 0.0]} for n, text in enumerate(body["input"])]
        return httpx.Response(200, json={"data": rows[::-1]})

    model = embedder(handler, batch_size=2, send_dimensions=True, prefixes={"query": "query: "})
    assert model.embed(["a", "", "ccc"]).tolist() == [[1.0, 0.0]] * 3
    assert [body["input"] for body in bodies] == [["a", " "], ["ccc"]]
    assert bodies[0]["dimensions"] == 2
    model.embed(["x"], role="query")
    assert bodies[-1]["input"] == ["query: x"]
    assert model.embed([]).shape == (0, 2)
    assert model.model != embedder(handler).model


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait"),
    [
        (429, {"error": {"message": "slow down"}}, ModelUnavailable, 7.0),
        (503, "<html>gateway</html>", ModelUnavailable, 7.0),
        (500, {"error": "oops"}, ModelUnavailable, 7.0),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, ModelUnavailable, 60.0),
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, ModelUnavailable, 60.0),
        (404, {"error": {"message": "no such model"}}, ModelUnavailable, 60.0),
        (400, {"error": {"message": "too long"}}, ModelRefused, None),
        (413, "", ModelRefused, None),
        (422, {"detail": "bad"}, ModelRefused, None),
    ],
)
def test_errors_are_sorted_and_never_tell_the_key(
    status: int, body: object, kind: type[ModelError], wait: float | None
) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return httpx.Response(status, headers={"Retry-After": "7"}, text=text)

    calls: list[Callable[[], object]] = [
        lambda: chat(handler).complete(QUESTION),
        lambda: list(chat(handler).stream(QUESTION)),
        lambda: embedder(handler).embed(["x"]),
    ]
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert KEY not in str(caught.value)
        assert str(status) in str(caught.value)
        if isinstance(caught.value, ModelUnavailable):
            assert retry_after_s(caught.value) == wait


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")]
)
def test_no_answer_is_transient(failure: Exception) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(ModelUnavailable, match=r"models\.example"):
        chat(handler).complete(QUESTION)


@pytest.mark.parametrize(
    "answer",
    [
        "not json",
        "[]",
        '{"choices": []}',
        '{"data": [{"index": 0}]}',
        '{"data": [{"index": 0, "embedding": [1]}]}',
    ],
)
def test_nonsense_is_transient(answer: str) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=answer)

    with pytest.raises(ModelUnavailable):
        chat(handler).complete(QUESTION)
    with pytest.raises(ModelUnavailable):
        embedder(handler).embed(["x"])


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, 60.0) == seconds


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(ENDPOINT)
