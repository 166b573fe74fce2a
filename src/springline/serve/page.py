"""The page: static files that ship with the package, and what they need to know about the application."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from springline import __version__
from springline.serve import models
from springline.serve.service import JsonObject, Limits, Service

FOLDER = Path(__file__).parent / "ui"

REVALIDATE = {"Cache-Control": "no-cache"}
"""Browsers keep the files and ask each time whether they changed, so an upgrade shows at once."""


class PageFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        found = await super().get_response(path, scope)
        found.headers.update(REVALIDATE)
        return found


def install(app: FastAPI, service: Service, limits: Limits, features: Sequence[str]) -> None:
    """Serves the page at ``/`` and tells it at /v1/ui what to show."""
    routes = APIRouter()

    @routes.get("/v1/ui", response_model=models.PageFeatures, tags=["operate"], summary="What the page shows")
    def ui() -> JsonObject:
        """`features`: `ask`, `pipeline`, `tables`; a demo adds `demo`."""
        assistant = service.assistant()
        return {
            "name": service.name,
            "version": __version__,
            "features": ["ask", "pipeline", "tables", *features],
            "mode": assistant.mode,
            "model": assistant.model,
            "knowledge_bases": list(assistant.knowledge_bases),
            "question_characters": limits.question_characters,
        }

    @routes.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(FOLDER / "index.html", media_type="text/html", headers=REVALIDATE)

    @routes.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(FOLDER / "logo.svg", media_type="image/svg+xml", headers=REVALIDATE)

    app.include_router(routes)
    app.mount("/ui", PageFiles(directory=FOLDER), name="ui")
