"""Chat models for tests: they say what they are told to, or fail where they are told to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from springline.errors import ModelError
from springline.inference.base import Completion, CompletionStream, Message, Usage


class ScriptedChat:
    """Says ``text`` in pieces of ``size`` characters; raises ``error`` after ``fail_after`` pieces (0: at once)."""

    def __init__(
        self,
        text: str,
        *,
        error: ModelError | None = None,
        fail_after: int = 0,
        size: int = 3,
        finish: str = "stop",
    ) -> None:
        self.text, self.error, self.fail_after, self.size, self.finish = text, error, fail_after, size, finish
        self.asked: list[Sequence[Message]] = []
        self.closed_streams = 0

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def model(self) -> str:
        return "scripted-1"

    def complete(
        self,
        messages: Sequence[Message],
        *,
        maximum_tokens: int | None = None,
        temperature: float = 0.0,
        json_schema: Mapping[str, object] | None = None,
    ) -> Completion:
        self.asked.append(messages)
        if self.error is not None:
            raise self.error
        return self._completion(self.text)

    def stream(
        self, messages: Sequence[Message], *, maximum_tokens: int | None = None, temperature: float = 0.0
    ) -> CompletionStream:
        self.asked.append(messages)
        return CompletionStream(self._pieces(), self._completion)

    def close(self) -> None: ...

    def _pieces(self) -> Iterator[str]:
        try:
            for number, start in enumerate(range(0, len(self.text), self.size)):
                if self.error is not None and number == self.fail_after:
                    raise self.error
                yield self.text[start : start + self.size]
            if self.error is not None:
                raise self.error
        finally:
            self.closed_streams += 1

    def _completion(self, text: str) -> Completion:
        return Completion(text, self.model, Usage(900, 60), self.finish)
