"""What the HTTP interface needs from an application: a runtime, an assistant and its receipts.

The types are structural: the assistant implements them without importing this package.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from springline.assistant.base import AskRequest
from springline.runtime.base import Runtime, TickNotice

__all__ = ["Answer", "AnswerEvent", "AskRequest", "AssistantInfo", "JsonObject", "Limits", "Service"]

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for. Beyond a limit the request is refused, never cut silently."""

    body_bytes: int = 256 * 1024
    question_characters: int = 4_000
    sql_characters: int = 20_000
    rows: int = 1_000
    passages: int = 50
    deadline_ms: float = 60_000
    streams: int = 64
    """Open SSE streams at one time."""


class Answer(Protocol):
    """An answer; ``to_json`` has the shape of ``serve.models.AnswerModel``."""

    def to_json(self) -> JsonObject: ...


class AnswerEvent(Protocol):
    """One event of a streamed answer: ``token`` ``{"text": …}`` any number of times, then ``answer`` with the whole answer.

    Other names (``context``, ``action``) are passed through to the client.
    """

    @property
    def event(self) -> str: ...

    @property
    def data(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class AssistantInfo:
    """Which assistant answers. ``model`` is None where none is configured: answers are then extractive."""

    mode: Literal["extractive", "model"]
    model: str | None = None
    knowledge_bases: tuple[str, ...] = ()


class Service(Protocol):
    """A running application as the interfaces see it. Thread-safe; every method may block and runs outside the event loop."""

    @property
    def name(self) -> str:
        """The application's name, shown on the page."""
        ...

    @property
    def runtime(self) -> Runtime: ...

    def assistant(self) -> AssistantInfo: ...

    def ask(self, request: AskRequest) -> Answer:
        """Answers from one snapshot. Raises NotFresh, ReadError, ModelError."""
        ...

    def ask_stream(self, request: AskRequest) -> Iterator[AnswerEvent]:
        """The same answer in parts. Closing the iterator gives the question up."""
        ...

    def receipt(self, receipt_id: str) -> JsonObject:
        """The record behind an answer. Raises NotFound."""
        ...

    def verify(self, receipt_id: str) -> JsonObject:
        """Rebuilds the answer's context: ``{"receipt", "verified": true | false | null, "detail", "differences": […]}``; null
        means that the log no longer holds it. Raises NotFound."""
        ...

    def reload(self, tables: Sequence[str]) -> list[str]:
        """Loads tables (none named: all that can be) again from their sources while everything runs; their names. Raises NotFound."""
        ...

    def ticks(self, stop: threading.Event, timeout_s: float = 1.0) -> Iterator[TickNotice | None]:
        """Notices of ticks from now on, after their commit; None when none came within the time-out. Ends soon after
        ``stop``. A consumer that is too slow loses the oldest notices, never the newest."""
        ...
