"""Models that do what a test tells them: answer, wait, fail, answer nonsense; and remember what they were asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from springline.core.clock import Clock
from springline.inference.base import (
    Completion,
    CompletionStream,
    Message,
    TextRole,
    Usage,
    Vectors,
    unavailable,
)
from springline.inference.hashing import HashingEmbedder


@dataclass(slots=True)
class Plan:
    """What the next calls do. ``failures`` are raised first, one a call, in order; ``refuse`` is asked about every text and raises
    ModelRefused or returns None; ``latency_s`` is slept on ``clock`` before anything else. May be changed between calls."""

    latency_s: float = 0.0
    failures: list[Exception] = field(default_factory=list[Exception])
    refuse: Callable[[str], Exception | None] | None = None
    blocked: threading.Event | None = None
    """While this is set to an event that is not set, calls wait for it."""

    def before(self, texts: Sequence[str], clock: Clock | None) -> None:
        if self.blocked is not None:
            self.blocked.wait()
        if self.latency_s and clock is not None:
            clock.sleep_s(self.latency_s)
        if self.failures:
            raise self.failures.pop(0)
        if self.refuse is not None:
            for text in texts:
                if (error := self.refuse(text)) is not None:
                    raise error


class FakeEmbedder:
    """A :class:`HashingEmbedder` with a :class:`Plan`. ``requests`` holds every batch it was asked for, with its role; ``embedded`` every
    passage text that it answered. ``malformed``: answers one row too few."""

    name = "fake"
    maximum_tokens = 256

    def __init__(
        self,
        *,
        dimensions: int = 64,
        model: str = "fake/1",
        languages: frozenset[str] | None = None,
        batch_size: int = 8,
        plan: Plan | None = None,
        clock: Clock | None = None,
        malformed: bool = False,
    ) -> None:
        self.dimensions = dimensions
        self.model = model
        self.languages = languages
        self.batch_size = batch_size
        self.plan = plan or Plan()
        self.malformed = malformed
        self.requests: list[tuple[TextRole, list[str]]] = []
        self.embedded: list[str] = []
        self.closed = False
        self._clock = clock
        self._inner = HashingEmbedder(dimensions)

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        self.requests.append((role, list(texts)))
        self.plan.before(texts, self._clock)
        vectors = self._inner.embed(texts, role=role)
        if role == "passage":
            self.embedded.extend(texts)
        return np.ascontiguousarray(vectors[:-1]) if self.malformed else vectors

    def close(self) -> None:
        self.closed = True


class FakeChatModel:
    """Answers with ``answer``, a text or a function of the messages. ``requests`` holds every conversation it was asked to continue.

    ``break_after``: a stream raises ModelUnavailable after that many pieces (words).
    """

    name = "fake"
    model = "fake-chat/1"

    def __init__(
        self,
        answer: str | Callable[[Sequence[Message]], str] = "An answer.",
        *,
        plan: Plan | None = None,
        clock: Clock | None = None,
        break_after: int | None = None,
    ) -> None:
        self.answer = answer
        self.plan = plan or Plan()
        self.break_after = break_after
        self.requests: list[list[Message]] = []
        self.closed = False
        self._clock = clock

    def complete(
        self,
        messages: Sequence[Message],
        *,
        maximum_tokens: int | None = None,
        temperature: float = 0.0,
        json_schema: Mapping[str, object] | None = None,
    ) -> Completion:
        text = self._answer(messages)
        return Completion(text, self.model, self._usage(messages, text))

    def stream(
        self, messages: Sequence[Message], *, maximum_tokens: int | None = None, temperature: float = 0.0
    ) -> CompletionStream:
        def pieces() -> Iterator[str]:
            words = self._answer(messages).split(" ")
            for number, word in enumerate(words):
                if number == self.break_after:
                    raise unavailable("The fake model broke off, as it was told to.")
                yield word if number == 0 else f" {word}"

        return CompletionStream(
            pieces(), lambda text: Completion(text, self.model, self._usage(messages, text))
        )

    def _answer(self, messages: Sequence[Message]) -> str:
        self.requests.append(list(messages))
        self.plan.before([message.content for message in messages], self._clock)
        return self.answer if isinstance(self.answer, str) else self.answer(messages)

    def _usage(self, messages: Sequence[Message], text: str) -> Usage:
        return Usage(sum(len(message.content.split()) for message in messages), len(text.split()))

    def close(self) -> None:
        self.closed = True
