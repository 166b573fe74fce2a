"""Embeddings and chat completions over the HTTP interface that OpenAI defined and many providers and servers offer.

https://platform.openai.com/docs/api-reference (embeddings, chat completions, streaming by server-sent events). Nothing is retried here: errors
are sorted into ModelUnavailable and ModelRefused. Unavailable: no connection, time-outs, 408, 409, 425, 429, 5xx, with the wait that
``Retry-After`` asks for; also a wrong key, a wrong model name or an empty account, which no input is to blame for: when they are put right,
work goes on, and nothing went to the dead letters meanwhile. Refused: the other 4xx. The key is sent in one header and appears in no error, log or ``repr``.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httpx
import numpy as np

from springline.errors import ModelError, ModelRefused
from springline.inference.base import (
    Completion,
    CompletionStream,
    Message,
    TextRole,
    Usage,
    Vectors,
    normalised,
    unavailable,
)

_TRANSIENT: Final = frozenset({408, 409, 425, 429})
_LONGEST_QUOTE = 300
_ATTENTION_S: Final = 60.0
"""How soon to try again where a person has to do something first."""

_OUT_OF_CREDIT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the provider is. ``base_url`` ends before ``/chat/completions`` (``https://api.openai.com/v1``). ``api_key``: the key itself,
    resolved by the caller from its ``env:`` or ``file:`` reference. Times are seconds; ``read_timeout_s`` is the longest silence."""

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


class _Provider:
    """One connection pool, and the sorting of errors."""

    def __init__(self, endpoint: Endpoint, transport: httpx.BaseTransport | None) -> None:
        headers = dict(endpoint.headers)
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._secrets = [value for value in (endpoint.api_key, *endpoint.headers.values()) if value]
        self._host = httpx.URL(endpoint.base_url).host
        self._client = httpx.Client(
            base_url=endpoint.base_url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(endpoint.read_timeout_s, connect=endpoint.connect_timeout_s),
            transport=transport,
        )

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        try:
            response = self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise self._no_answer(error) from error
        self._check(response)
        try:
            answer = response.json()
        except ValueError as error:
            raise unavailable(
                f"{self._host} answered something that is not JSON: {self._quote(response.text)}"
            ) from error
        if not isinstance(answer, dict):
            raise unavailable(f"{self._host} answered JSON of an unknown shape: {self._quote(response.text)}")
        return cast("dict[str, Any]", answer)

    def events(self, path: str, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """The ``data:`` events of a streamed answer; ``{"done": True}`` stands for ``[DONE]``, which not every server sends."""
        try:
            with self._client.stream("POST", path, json=body) as response:
                if response.status_code >= 400:
                    response.read()
                    self._check(response)
                for line in response.iter_lines():
                    if not line.startswith("data:"):
                        continue
                    data = line[5:].strip()
                    if data == "[DONE]":
                        yield {"done": True}
                        return
                    yield self._event(data)
        except httpx.HTTPError as error:
            raise self._no_answer(error) from error

    def _event(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except ValueError as error:
            raise unavailable(
                f"{self._host} streamed something that is not JSON: {self._quote(data)}"
            ) from error
        if not isinstance(event, dict):
            raise unavailable(f"{self._host} streamed JSON of an unknown shape: {self._quote(data)}")
        event = cast("dict[str, Any]", event)
        if event.get("error"):
            raise unavailable(f"{self._host} broke off its answer: {self._quote(json.dumps(event['error']))}")
        return event

    def _no_answer(self, error: httpx.HTTPError) -> ModelError:
        what = "took too long" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        return unavailable(
            f"The model at {self._host} {what} ({type(error).__name__}).",
            hint="Check the base URL and that the server is running.",
        )

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status < 400:
            return
        message, code = _error_of(response)
        text = f"{self._host} answered {status}: {self._quote(message)}"
        if status in (401, 403):
            raise unavailable(text, hint="Check the API key and what it may do.", retry_after_s=_ATTENTION_S)
        if code in _OUT_OF_CREDIT:
            raise unavailable(text, hint="The account has no credit left.", retry_after_s=_ATTENTION_S)
        if status == 404:
            hint = "Check the base URL (it usually ends with /v1) and the model's name."
            raise unavailable(text, hint=hint, retry_after_s=_ATTENTION_S)
        if status in _TRANSIENT or status >= 500:
            raise unavailable(text, retry_after_s=parse_retry_after(response.headers, time.time()))
        raise ModelRefused(text)

    def _quote(self, text: str) -> str:
        """A short quotation; some providers repeat the key in their errors, we do not."""
        for secret in self._secrets:
            text = text.replace(secret, "•••")
        text = " ".join(text.split())
        return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"

    def close(self) -> None:
        self._client.close()


def _error_of(response: httpx.Response) -> tuple[str, str | None]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return response.text, None
    if isinstance(error, dict):
        details = cast("dict[str, object]", error)
        return str(details.get("message") or details), str(
            details.get("code") or details.get("type") or ""
        ) or None
    return str(error), None


def parse_retry_after(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that the answer asks to wait: ``retry-after-ms``, or ``Retry-After`` as a number or a date (RFC 9110, 10.2.3)."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1_000)
    except ValueError:
        pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now_s)
    except ValueError:
        return None


class OpenAiEmbedder:
    """``POST /embeddings``. ``prefixes``: words that the model wants before passages and questions (``{"query": "query: "}``)."""

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        dimensions: int,
        *,
        name: str = "openai-compatible",
        languages: frozenset[str] | None = None,
        maximum_tokens: int = 8_191,
        batch_size: int = 64,
        send_dimensions: bool = False,
        prefixes: Mapping[TextRole, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = name
        self.dimensions = dimensions
        self.languages = languages
        self.maximum_tokens = maximum_tokens
        self.batch_size = batch_size
        self._asked = model
        self._send_dimensions = send_dimensions
        self._prefixes = dict(prefixes or {})
        self._provider = _Provider(endpoint, transport)
        marks = "".join(f"/{role}={prefix!r}" for role, prefix in sorted(self._prefixes.items()))
        self.model = f"{model}/{dimensions}{marks}"

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        prefix = self._prefixes.get(role, "")
        parts = [
            self._embed_batch([prefix + text or " " for text in texts[start : start + self.batch_size]])
            for start in range(0, len(texts), self.batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimensions), dtype=np.float32)

    def _embed_batch(self, texts: list[str]) -> Vectors:
        body: dict[str, object] = {"model": self._asked, "input": texts, "encoding_format": "float"}
        if self._send_dimensions:
            body["dimensions"] = self.dimensions
        answer = self._provider.post("embeddings", body)
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            matrix = np.array([row["embedding"] for row in rows], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise unavailable("The model's answer holds no vectors that can be read.") from error
        if matrix.shape != (len(texts), self.dimensions) or not np.isfinite(matrix).all():
            got, expected = matrix.shape, (len(texts), self.dimensions)
            raise unavailable(
                f"Model {self._asked!r} answered vectors of shape {got}, expected {expected}.",
                hint="Set the dimensions to what the model gives.",
                retry_after_s=_ATTENTION_S,
            )
        return normalised(matrix)

    def close(self) -> None:
        self._provider.close()


class OpenAiChatModel:
    """``POST /chat/completions``."""

    def __init__(
        self,
        endpoint: Endpoint,
        model: str,
        *,
        name: str = "openai-compatible",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self._provider = _Provider(endpoint, transport)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        maximum_tokens: int | None = None,
        temperature: float = 0.0,
        json_schema: Mapping[str, object] | None = None,
    ) -> Completion:
        body = self._body(messages, maximum_tokens, temperature)
        if json_schema is not None:
            schema = {"name": "answer", "strict": True, "schema": dict(json_schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        answer = self._provider.post("chat/completions", body)
        choice = _first_choice(answer)
        if "message" not in choice:
            raise unavailable("The model's answer holds no message.")
        text = _mapping(choice["message"]).get("content") or ""
        finish = choice.get("finish_reason") or "stop"
        return Completion(str(text), str(answer.get("model") or self.model), _usage(answer), str(finish))

    def stream(
        self, messages: Sequence[Message], *, maximum_tokens: int | None = None, temperature: float = 0.0
    ) -> CompletionStream:
        body = self._body(messages, maximum_tokens, temperature)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        seen: dict[str, Any] = {}

        def pieces() -> Iterator[str]:
            for event in self._provider.events("chat/completions", body):
                seen.update({name: event[name] for name in ("model", "usage", "done") if event.get(name)})
                choice = _first_choice(event)
                if choice.get("finish_reason"):
                    seen["finish"] = seen["done"] = choice["finish_reason"]
                if text := _mapping(choice.get("delta")).get("content"):
                    yield str(text)
            if "done" not in seen:
                raise unavailable("The model ended its answer before it was complete.")

        def finish(text: str) -> Completion:
            return Completion(
                text, str(seen.get("model") or self.model), _usage(seen), str(seen.get("finish") or "stop")
            )

        return CompletionStream(pieces(), finish)

    def _body(
        self, messages: Sequence[Message], maximum_tokens: int | None, temperature: float
    ) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": temperature,
        }
        if maximum_tokens is not None:
            body["max_tokens"] = maximum_tokens
        return body

    def close(self) -> None:
        self._provider.close()


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _first_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    choices = answer.get("choices")
    return _mapping(cast("list[object]", choices)[0]) if isinstance(choices, list) and choices else {}


def _usage(answer: Mapping[str, Any]) -> Usage:
    usage = _mapping(answer.get("usage"))
    return Usage(usage.get("prompt_tokens"), usage.get("completion_tokens"))
