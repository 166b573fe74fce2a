"""Answers by a language model, streamed and checked; when the model fails, the extractive answer takes its place and says so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from springline.assistant.base import Draft, Flag
from springline.assistant.citations import MarkerFilter, check
from springline.assistant.extractive import Extractive
from springline.assistant.phrases import phrase
from springline.assistant.prompt import Prompt
from springline.context.pieces import Context
from springline.errors import ModelError
from springline.inference.base import ChatModel, Completion

logger = logging.getLogger(__name__)

MAXIMUM_ANSWER_TOKENS: Final = 700

Token: TypeAlias = str
"""A part of the answer that may be shown at once."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """Answers with ``model``. Thread-safe if the model is. Never raises ModelError."""

    model: ChatModel
    prompt: Prompt
    fallback: Extractive
    organisation: str = "this organisation"

    def answer(self, context: Context) -> Draft:
        try:
            completion = self.model.complete(
                self.prompt.messages(context, organisation=self.organisation),
                maximum_tokens=MAXIMUM_ANSWER_TOKENS,
            )
        except ModelError as error:
            return self._failed(context, error)
        return self._checked(completion, context)

    def stream(self, context: Context) -> Iterator[Token | Draft]:
        """Tokens, then the checked draft, which replaces them. Closing the iterator closes the model's stream."""
        stream = self.model.stream(
            self.prompt.messages(context, organisation=self.organisation),
            maximum_tokens=MAXIMUM_ANSWER_TOKENS,
        )
        markers = MarkerFilter(context)
        try:
            for piece in stream:
                if shown := markers.feed(piece):
                    yield shown
            if shown := markers.finish():
                yield shown
            yield self._checked(stream.completion, context)
        except ModelError as error:
            yield self._failed(context, error)
        finally:
            stream.close()

    def _checked(self, completion: Completion, context: Context) -> Draft:
        if not completion.text.strip():
            return self._failed(context, ModelError("it gave an empty answer"))
        checked = check(completion.text, context)
        flags = checked.flags
        unknown = phrase("unknown", context.language)
        known = unknown.rstrip(".。") not in checked.text
        if not known:
            flags = tuple(flag for flag in flags if flag.kind != "uncited")
        if completion.finish_reason == "length":
            flags = (*flags, Flag("cut_off"))
        return Draft(
            text=checked.text,
            mode="model",
            cited=checked.cited,
            known=known,
            model=completion.model,
            prompt=self.prompt.version,
            flags=flags,
            input_tokens=completion.usage.input_tokens,
            output_tokens=completion.usage.output_tokens,
        )

    def _failed(self, context: Context, error: ModelError) -> Draft:
        logger.warning("The language model %s did not answer: %s", self.model.model, error)
        draft = self.fallback.answer(context)
        # The error's own words may hold what the provider echoed; its code says enough.
        return replace(
            draft,
            model=self.model.model,
            prompt=self.prompt.version,
            flags=(Flag("model_failed", error.code),),
        )
