"""The assistant: one question in, one answer with its receipt out.

The steps, always the same: the question's vector, the recency barrier and a snapshot, the context, the snapshot's end, the answer, the receipt.
No model is called while the snapshot is open. What the answer is based on is fixed before any model sees it, so no text can widen it.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from springline.assistant.base import Answer, AnswerEvent, AskRequest, Citation, Draft, Flag
from springline.assistant.extractive import Extractive
from springline.assistant.model import Modelled
from springline.assistant.phrases import phrase
from springline.assistant.prompt import Prompt, default_prompt
from springline.assistant.receipts import RECEIPTS, Receipt, Recorder, make_receipt, new_identifier
from springline.assistant.verify import Rebuild, Verification, verify
from springline.context.assemble import assemble
from springline.context.definition import ContextDefinition
from springline.context.pieces import Context, content_hash
from springline.core.clock import Clock, SystemClock
from springline.errors import ConfigurationError
from springline.inference.base import ChatModel
from springline.runtime.base import OnMiss, Require, Snapshot

MOST_STANDING: Final = 512


class Reader(Protocol):
    """What the assistant needs of a runtime."""

    def prepare(self, question: str) -> None:
        """Whatever a search for this question needs from a model; called before a snapshot is opened. Blocks."""
        ...

    def read(
        self, *, require: Require = "none", deadline_ms: float = 2_000, on_miss: OnMiss = "refuse"
    ) -> AbstractContextManager[Snapshot]: ...


@dataclass(slots=True)
class _Timing:
    """Milliseconds of each step."""

    clock: Clock
    asked_at_us: int = field(init=False)
    _started_s: float = field(init=False)
    took_ms: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self.asked_at_us = self.clock.now_us()
        self._started_s = self.clock.monotonic_s()

    def elapsed_ms(self) -> float:
        return (self.clock.monotonic_s() - self._started_s) * 1_000

    def finish(self, context_ms: float, answer_ms: float, barrier_ms: float) -> dict[str, float]:
        self.took_ms.update(barrier=barrier_ms, context=context_ms, answer=answer_ms, total=self.elapsed_ms())
        return self.took_ms


class Assistant:
    """Answers questions from a runtime's snapshots. Thread-safe.

    Without a ``model`` it answers extractively. Without a ``recorder`` answers have no receipt; with one, an answer whose receipt cannot be
    stored is not given. ``random`` gives that many random bytes.
    """

    def __init__(
        self,
        runtime: Reader,
        definition: ContextDefinition,
        model: ChatModel | None = None,
        recorder: Recorder | None = None,
        *,
        organisation: str = "this organisation",
        prompt: Prompt | None = None,
        clock: Clock | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._runtime = runtime
        self.definition = definition
        self._recorder = recorder
        self._clock = clock or SystemClock()
        self._random = random
        self._extractive = Extractive(definition.topics)
        self._modelled = (
            None
            if model is None
            else Modelled(model, prompt or default_prompt(), self._extractive, organisation)
        )
        self.model = None if model is None else model.model
        self._standing = _Standing()

    def ask(self, request: AskRequest) -> Answer:
        """Raises NotFresh, NotFound (the subject), other ReadErrors, and StateError where the receipt cannot be stored. A model's failure
        is no error: the answer is then extractive and says so."""
        timing = _Timing(self._clock)
        context, barrier_ms, context_ms = self._read(request)
        began_ms = timing.elapsed_ms()
        standing = self._standing.get(request.previous, context)
        draft = standing or self._draft(context)
        took_ms = timing.finish(context_ms, timing.elapsed_ms() - began_ms, barrier_ms)
        if standing is not None:
            return self._made(context, standing, request.previous, took_ms)
        return self._answer(request, context, draft, timing.asked_at_us, took_ms)

    def ask_stream(self, request: AskRequest) -> Iterator[AnswerEvent]:
        """``context``, then ``token`` …, then ``answer``. Errors are raised by the first event that is asked for. Closing the iterator gives
        the question up: the model's stream is closed, and the receipt keeps what was already told."""
        timing = _Timing(self._clock)
        context, barrier_ms, context_ms = self._read(request)
        began_ms = timing.elapsed_ms()
        told: list[str] = []
        draft: Draft | None = None
        parts = self._parts(context)
        try:
            yield AnswerEvent("context", _announced(context))
            for part in parts:
                if isinstance(part, Draft):
                    draft = part
                else:
                    told.append(part)
                    yield AnswerEvent("token", {"text": part})
        except GeneratorExit:
            parts.close()
            if told and draft is None:
                took_ms = timing.finish(context_ms, timing.elapsed_ms() - began_ms, barrier_ms)
                self._record(
                    request,
                    context,
                    self._abandoned("".join(told)),
                    timing.asked_at_us,
                    took_ms,
                    complete=False,
                )
            raise
        assert draft is not None
        took_ms = timing.finish(context_ms, timing.elapsed_ms() - began_ms, barrier_ms)
        answer = self._answer(request, context, draft, timing.asked_at_us, took_ms)
        yield AnswerEvent("answer", answer.to_json())

    def answer_from(self, request: AskRequest, snapshot: Snapshot) -> Answer:
        """Answers from a snapshot that the caller holds, as it is: no barrier, no receipt. For copies that never change; not for read
        transactions, which must not stay open while a model works."""
        timing = _Timing(self._clock)
        context = self._assemble(request, snapshot)
        context_ms = timing.elapsed_ms()
        draft = self._draft(context)
        took_ms = timing.finish(context_ms, timing.elapsed_ms() - context_ms, 0.0)
        return self._made(context, draft, None, took_ms)

    def context(self, request: AskRequest) -> Context:
        """What ``request`` would be answered from. Nothing is answered or recorded."""
        return self._read(request)[0]

    def verify(self, receipt: Receipt, rebuild: Rebuild) -> Verification:
        """See ``assistant.verify``."""
        self._runtime.prepare(receipt.question)
        return verify(receipt, self.definition, rebuild)

    def _read(self, request: AskRequest) -> tuple[Context, float, float]:
        """The context, how long the barrier took and how long the rest."""
        if not request.question.strip():
            raise ConfigurationError("The question is empty.", hint="Ask something.")
        self._runtime.prepare(request.question)
        began_s = self._clock.monotonic_s()
        with self._runtime.read(
            require=request.require, deadline_ms=request.deadline_ms, on_miss=request.on_miss
        ) as snapshot:
            opened_s = self._clock.monotonic_s()
            context = self._assemble(request, snapshot)
        done_s = self._clock.monotonic_s()
        return context, (opened_s - began_s) * 1_000, (done_s - opened_s) * 1_000

    def _assemble(self, request: AskRequest, snapshot: Snapshot) -> Context:
        return assemble(
            snapshot, self.definition, request.question, subject=request.subject, language=request.language
        )

    def _draft(self, context: Context) -> Draft:
        return self._extractive.answer(context) if self._modelled is None else self._modelled.answer(context)

    def _parts(self, context: Context) -> _Parts:
        if self._modelled is not None:
            return _Parts(self._modelled.stream(context))
        draft = self._extractive.answer(context)
        return _Parts(iter([draft.text, draft]))

    def _abandoned(self, text: str) -> Draft:
        if self._modelled is None:
            return Draft(text, "extractive", ())
        return Draft(text, "model", (), model=self.model, prompt=self._modelled.prompt.version)

    def _answer(
        self, request: AskRequest, context: Context, draft: Draft, asked_at_us: int, took_ms: dict[str, float]
    ) -> Answer:
        identifier = self._record(request, context, draft, asked_at_us, took_ms)
        self._standing.put(identifier, context, draft)
        return self._made(context, draft, identifier, took_ms)

    def _made(self, context: Context, draft: Draft, receipt: str | None, took_ms: dict[str, float]) -> Answer:
        pieces = [context.piece(number) for number in draft.cited]
        return Answer(
            text=draft.text,
            mode=draft.mode,
            model=draft.model,
            notice=_notice(context, draft),
            known=draft.known,
            citations=tuple(Citation(piece) for piece in pieces if piece is not None),
            context=context,
            flags=draft.flags,
            receipt=receipt,
            took_ms=took_ms,
        )

    def _record(
        self,
        request: AskRequest,
        context: Context,
        draft: Draft,
        asked_at_us: int,
        took_ms: dict[str, float],
        *,
        complete: bool = True,
    ) -> str | None:
        if self._recorder is None:
            return None
        identifier = new_identifier(asked_at_us, self._random)
        receipt = make_receipt(
            identifier, request, context, draft, asked_at_us=asked_at_us, took_ms=took_ms, complete=complete
        )
        self._recorder.record(RECEIPTS.name, receipt.to_row())
        return identifier


class _Standing:
    """The newest answers, by receipt: an answer stands as long as its question's context is the same. Thread-safe."""

    def __init__(self) -> None:
        self._drafts: OrderedDict[str, tuple[str, Draft]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, receipt: str | None, context: Context) -> Draft | None:
        if receipt is None:
            return None
        with self._lock:
            found = self._drafts.get(receipt)
        return found[1] if found is not None and found[0] == self._key(context) else None

    def put(self, receipt: str | None, context: Context, draft: Draft) -> None:
        if receipt is None:
            return
        with self._lock:
            self._drafts[receipt] = (self._key(context), draft)
            while len(self._drafts) > MOST_STANDING:
                self._drafts.popitem(last=False)

    @staticmethod
    def _key(context: Context) -> str:
        subject = None if context.subject is None else str(context.subject)
        return content_hash(
            [context.hash, context.question, subject, context.language, context.freshness.met]
        )


class _Parts:
    """Tokens and a draft at the end; closable."""

    def __init__(self, parts: Iterator[str | Draft]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str | Draft]:
        return self._parts

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _announced(context: Context) -> dict[str, Any]:
    return {
        "pieces": [Citation(piece).to_json() for piece in context.pieces],
        "topics": list(context.topics),
        "tick": int(context.tick),
        "positions": dict(context.positions),
    }


def _notice(context: Context, draft: Draft) -> str | None:
    """What a reader should know about this answer, in its language."""
    language = context.language
    kinds = {flag.kind: flag for flag in draft.flags}
    parts: list[str] = []
    if draft.mode == "extractive":
        failed: Flag | None = kinds.get("model_failed")
        parts.append(
            phrase("no_model", language)
            if failed is None
            else phrase("model_failed", language, reason=failed.text)
        )
    if not context.freshness.met:
        parts.append(phrase("not_fresh", language, sources=", ".join(context.freshness.missing)))
    if context.loading:
        parts.append(phrase("loading", language, tables=", ".join(context.loading)))
    if context.needs_subject:
        parts.append(phrase("no_subject", language))
    if figures := [flag.text for flag in draft.flags if flag.kind == "unsupported_figure"]:
        parts.append(phrase("flagged", language, figures=", ".join(figures[:5])))
    if "cut_off" in kinds:
        parts.append(phrase("cut_off", language))
    separator = "" if language.startswith(("zh", "ja")) else " "
    return separator.join(parts) or None
