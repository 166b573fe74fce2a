"""The endpoint that answers questions, whole or as a stream."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, StreamingResponse

from springline.serve import models, sse
from springline.serve.reads import bound, bound_number
from springline.serve.service import AskRequest, Limits, Service

STREAM_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with `stream: true` server-sent events: `token`, then `answer`, or `error`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def router(service: Service, limits: Limits, streams: sse.Streams) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    # The response is rendered once, by the assistant; the model is there for the OpenAPI document.
    @routes.post(
        "/ask",
        response_model=models.AnswerModel,
        responses=STREAM_RESPONSE,
        tags=["ask"],
        summary="Ask the assistant",
    )
    def ask(form: models.AskForm) -> JSONResponse | StreamingResponse:
        """Answers from one snapshot, with citations and a receipt.

        With `require: now` (the default) the answer reflects every change committed before the question; when that takes
        longer than `deadline_ms`, `on_miss` decides between a refusal (503, `not_fresh`) and an answer that states its ages.
        """
        bound("question", form.question, limits.question_characters)
        bound_number("deadline_ms", form.deadline_ms, limits.deadline_ms)
        request = AskRequest(
            question=form.question,
            subject=form.subject,
            require=form.require,
            deadline_ms=form.deadline_ms,
            on_miss=form.on_miss,
            language=form.language,
            previous=form.previous,
        )
        if not form.stream:
            return JSONResponse(service.ask(request).to_json())

        def parts(stop: threading.Event) -> Iterator[tuple[str, object]]:
            answering = service.ask_stream(request)
            for part in answering:
                if stop.is_set():
                    return
                yield part.event, dict(part.data)

        return streams.respond(lambda: sse.events_of(parts, streams.stopping))

    return routes
