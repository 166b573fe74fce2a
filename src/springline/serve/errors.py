"""Errors over HTTP: every response that is not a success has one shape, ``SpringlineError.to_json()``.

The classes here are those that only HTTP knows; everything else comes from :mod:`springline.errors`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from springline import errors
from springline.errors import SpringlineError

logger = logging.getLogger("springline.serve")


class RequestInvalid(SpringlineError):
    """The request is not of the documented form."""

    code = "request_invalid"


class RequestTooLarge(SpringlineError):
    """The request is larger than the limits allow."""

    code = "request_too_large"


class UnknownRoute(SpringlineError):
    """No endpoint has this path and method."""

    code = "unknown_route"


class Unauthorized(SpringlineError):
    """The request carries no token, or a wrong one."""

    code = "unauthorized"


class CrossSite(SpringlineError):
    """The request comes from a web page elsewhere, or names a host that is not this server's."""

    code = "cross_site"


class NotReady(SpringlineError):
    """The application is starting or stopping."""

    code = "not_ready"
    transient = True


class TooManyStreams(SpringlineError):
    """As many event streams are open as the limits allow."""

    code = "too_many_streams"
    transient = True


class Internal(SpringlineError):
    """Something failed that should not; the log has the details."""

    code = "internal"


STATUS: Sequence[tuple[type[SpringlineError], int]] = (
    (RequestTooLarge, 413),
    (RequestInvalid, 422),
    (UnknownRoute, 404),
    (Unauthorized, 401),
    (CrossSite, 403),
    (NotReady, 503),
    (TooManyStreams, 503),
    (errors.ConfigurationError, 400),
    (errors.NotFound, 404),
    (errors.NotFresh, 503),
    (errors.ViewBuilding, 503),
    (errors.SnapshotTooOld, 503),
    (errors.ReadError, 400),
    (errors.SourceUnavailable, 503),
    (errors.SourceError, 502),
    (errors.StorageFull, 507),
    (errors.ModelUnavailable, 503),
    (errors.ModelRefused, 422),
    (errors.ModelError, 502),
)
"""First match wins. What is not listed is 500."""


def http_status(error: SpringlineError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def response(error: SpringlineError) -> JSONResponse:
    """The response for an error. Transient ones carry Retry-After, in seconds."""
    status = http_status(error)
    headers = {"Retry-After": "1"} if error.transient else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.to_json(), status_code=status, headers=headers)


async def send_error(error: SpringlineError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with an error from inside a middleware."""
    await response(error)(scope, receive, send)


def describe(error: BaseException) -> SpringlineError:
    """The error to show for any exception. What was not raised on purpose is logged and its text kept from the client."""
    if isinstance(error, SpringlineError):
        return error
    logger.error("A request failed.", exc_info=error)
    return Internal(
        f"The request failed with an unexpected {type(error).__name__}.",
        hint="The server's log has the details; please report it.",
    )


def install(app: FastAPI) -> None:
    """Gives every failure of ``app`` the one shape."""
    app.add_exception_handler(SpringlineError, _on_any)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_any)


def _on_any(request: Request, error: Exception) -> JSONResponse:
    return response(describe(error))


def _on_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: Mapping[str, Any] = error.errors()[0]
    if first["type"] == "json_invalid":
        return response(
            RequestInvalid(
                "The body is not JSON.", hint=f"{first.get('ctx', {}).get('error', first['msg'])}."
            )
        )
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    # Large or binary input is not repeated to the client.
    got = json.dumps(first.get("input"), default=str, ensure_ascii=False)
    shown = got if len(got) <= 80 else got[:77] + "…"
    more = len(error.errors()) - 1
    also = (
        "" if more == 0 else f" There {'is one more problem' if more == 1 else f'are {more} more problems'}."
    )
    return response(
        RequestInvalid(
            f"{where}: {first['msg']}; got {shown}.{also}", hint="The form is described at /v1/openapi.json."
        )
    )


def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        found = UnknownRoute(
            f"There is no {request.method} {request.url.path}.",
            hint="The endpoints are listed at /v1/openapi.json.",
        )
        shown = response(found)
        shown.status_code = error.status_code
        return shown
    shown = response(RequestInvalid(str(error.detail)))
    shown.status_code = error.status_code
    return shown
