"""Wrappers that try again, with waits that grow and are spread by chance.

Exponential backoff with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015); where the provider says how long to wait, not
less than that. Only ModelUnavailable is tried again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from springline.core.clock import Clock
from springline.errors import ModelUnavailable
from springline.inference.base import (
    ChatModel,
    Completion,
    CompletionStream,
    Embedder,
    Message,
    TextRole,
    Vectors,
    retry_after_s,
)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``attempts`` in all. The wait before attempt n+1 is chosen from 0 to ``first_wait_s`` · 2ⁿ⁻¹, at most ``longest_wait_s``. A provider that
    asks for more than ``longest_wait_s`` is not waited for: the error is raised, and the caller plans."""

    attempts: int = 4
    first_wait_s: float = 0.5
    longest_wait_s: float = 20.0


def wait_s(policy: RetryPolicy, attempt: int, asked_s: float | None, chance: float) -> float | None:
    """How long to wait after failed ``attempt`` (from 1); None to give up. ``chance`` is from 0 to 1."""
    if attempt >= policy.attempts or (asked_s is not None and asked_s > policy.longest_wait_s):
        return None
    backoff = min(policy.longest_wait_s, policy.first_wait_s * 2 ** (attempt - 1)) * chance
    # A little is added to what was asked for, so that all who were told the same do not return at once.
    return backoff if asked_s is None else asked_s + 0.1 * backoff


def _attempt(
    call: Callable[[], _Answer], policy: RetryPolicy, clock: Clock, chance: Callable[[], float]
) -> _Answer:
    attempt = 1
    while True:
        try:
            return call()
        except ModelUnavailable as error:
            wait = wait_s(policy, attempt, retry_after_s(error), chance())
            if wait is None:
                raise
        clock.sleep_s(wait)
        attempt += 1


class RetryingEmbedder:
    """An embedder that tries again."""

    def __init__(
        self, inner: Embedder, policy: RetryPolicy, clock: Clock, chance: Callable[[], float] = random.random
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self.name = inner.name
        self.model = inner.model
        self.dimensions = inner.dimensions
        self.languages = inner.languages
        self.maximum_tokens = inner.maximum_tokens
        self.batch_size = inner.batch_size

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        return _attempt(lambda: self._inner.embed(texts, role=role), self._policy, self._clock, self._chance)

    def close(self) -> None:
        self._inner.close()


class RetryingChatModel:
    """A chat model that tries again. A stream is tried again only until its first piece: what was shown is not shown twice."""

    def __init__(
        self, inner: ChatModel, policy: RetryPolicy, clock: Clock, chance: Callable[[], float] = random.random
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._clock = clock
        self._chance = chance
        self.name = inner.name
        self.model = inner.model

    def complete(
        self,
        messages: Sequence[Message],
        *,
        maximum_tokens: int | None = None,
        temperature: float = 0.0,
        json_schema: Mapping[str, object] | None = None,
    ) -> Completion:
        def call() -> Completion:
            return self._inner.complete(
                messages, maximum_tokens=maximum_tokens, temperature=temperature, json_schema=json_schema
            )

        return _attempt(call, self._policy, self._clock, self._chance)

    def stream(
        self, messages: Sequence[Message], *, maximum_tokens: int | None = None, temperature: float = 0.0
    ) -> CompletionStream:
        started: list[CompletionStream] = []

        def start() -> tuple[CompletionStream, str | None]:
            stream = self._inner.stream(messages, maximum_tokens=maximum_tokens, temperature=temperature)
            return stream, next(stream, None)

        def pieces() -> Iterator[str]:
            stream, first = _attempt(start, self._policy, self._clock, self._chance)
            started.append(stream)
            try:
                if first is not None:
                    yield first
                    yield from stream
            finally:
                stream.close()

        return CompletionStream(pieces(), lambda _: started[0].completion)

    def close(self) -> None:
        self._inner.close()
