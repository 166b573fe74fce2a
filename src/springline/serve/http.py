"""The HTTP interface of an application: /v1, health, metrics and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse

from springline import __version__
from springline.serve import asks, errors, feeds, metrics, models, page, reads
from springline.serve.auth import Access, Gate
from springline.serve.errors import NotReady
from springline.serve.feed import Feed
from springline.serve.service import JsonObject, Limits, Service
from springline.serve.sse import Streams

DESCRIPTION = """Fresh context for language models, and answers that say how old their facts are.

Every error has one shape: `code` (stable), `message`, `hint` (what to do next) and `transient` (whether to try again).
Every read states its positions; with `require: now` it reflects every change committed in the sources before the request."""

ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "model": models.ErrorModel,
        "description": "Any failure.",
        # Stated, because of endpoints whose success is not JSON.
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorModel"}}},
    }
}


def create_app(
    service: Service,
    *,
    access: Access | None = None,
    limits: Limits | None = None,
    routers: Sequence[APIRouter] = (),
    features: Sequence[str] = (),
    feed_extras: Mapping[str, Callable[[], JsonObject]] | None = None,
) -> FastAPI:
    """The ASGI application. Raises ConfigurationError where ``access`` would leave the data open to the network.

    ``routers`` and ``features`` add endpoints and panels of the page; ``feed_extras`` adds parts to /v1/events.
    ``app.state.streams.stopping`` set makes the open event streams end within half a second.
    """
    access = access or Access()
    access.check()
    limits = limits or Limits()
    # Pages of interactive documentation would load scripts from elsewhere; the document itself is served.
    app = FastAPI(
        title="Springline",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
        separate_input_output_schemas=False,
    )
    streams = Streams(limits.streams)
    requests = metrics.RequestMetrics()
    app.state.streams = streams
    errors.install(app)
    app.include_router(asks.router(service, limits, streams))
    app.include_router(reads.router(service, limits))
    app.include_router(feeds.router(service, Feed(service, feed_extras), streams))
    app.include_router(_operations(service, requests, streams))
    for router in routers:
        app.include_router(router)
    page.install(app, service, limits, features)
    app.add_middleware(Gate, access=access, body_bytes=limits.body_bytes)
    app.add_middleware(metrics.Measure, metrics=requests)
    return app


def _operations(service: Service, requests: metrics.RequestMetrics, streams: Streams) -> APIRouter:
    routes = APIRouter(tags=["operate"])

    @routes.get("/healthz", response_model=models.Health, summary="Whether the process answers")
    async def health() -> JsonObject:
        """Needs no token and touches nothing."""
        return {"status": "ok"}

    @routes.get("/readyz", response_model=models.Ready, summary="Whether questions can be answered")
    def ready() -> JsonObject:
        """Needs no token. 503 while the runtime starts or stops, or while a table is loading for the first time."""
        status = service.runtime.status()
        if status.state != "running":
            raise NotReady(f"The runtime is {status.state}.", hint="Try again, or look at /v1/status.")
        loading = [relation.name for relation in status.relations if relation.state == "loading"]
        if loading:
            raise NotReady(
                f"{len(loading)} tables are loading, {loading[0]!r} among them.",
                hint="Try again in a moment.",
            )
        return {"ready": True, "tick": status.tick}

    @routes.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus")
    def prometheus() -> PlainTextResponse:
        lines = [*metrics.status_lines(service.runtime.status()), *requests.lines()]
        lines += ["# HELP springline_streams Open event streams.", "# TYPE springline_streams gauge"]
        lines.append(f"springline_streams {streams.open}")
        return PlainTextResponse("\n".join(lines) + "\n", media_type=metrics.CONTENT_TYPE)

    return routes
