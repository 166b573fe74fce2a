"""Who may use the interface: a bearer token beyond loopback, and no web page from elsewhere anywhere.

A server on a laptop's loopback is reachable by every web page that the laptop's browser shows. Three checks keep
such pages out: the Host header must name this server (a page that rebinds its DNS name to 127.0.0.1 still sends its own name),
a foreign Origin is refused, and so is every cross-site request that browsers mark with Sec-Fetch-Site. Bodies
must be declared as JSON, which a foreign page can not send without asking first.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from springline.errors import ConfigurationError, SpringlineError
from springline.serve.errors import CrossSite, RequestInvalid, RequestTooLarge, Unauthorized, send_error

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/favicon.ico"})
"""Served without a token: nothing here tells anything about the data. The page's own files (``/ui/``) are too."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the server listens and who may use it.

    ``token``: required of every request if set; must be set beyond loopback. ``hosts``: further names that clients may
    use for this server, such as that of a reverse proxy. ``port``: with it, loopback requests must name this port too.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    hosts: tuple[str, ...] = ()
    port: int | None = None

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)

    def check(self) -> None:
        """Raises ConfigurationError where anybody on the network could read the data."""
        if not self.is_loopback and not self.token:
            raise ConfigurationError(
                f"Listening on {self.host} needs a token, because others can reach it.",
                hint='Set SPRINGLINE_TOKEN (or token="env:NAME"), or listen on 127.0.0.1.',
            )
        if self.token is not None and len(self.token) < 16:
            raise ConfigurationError(
                "The token is too short to be a secret.",
                hint="Use at least 16 characters, for example from `openssl rand -hex 24`.",
            )


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The name in a Host header or an origin's authority, without port and brackets, in lower case."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def refuse(access: Access, method: str, path: str, headers: Mapping[str, str]) -> SpringlineError | None:
    """Why a request may not pass, or None. ``headers`` have lower-case names. Pure."""
    return (
        _refuse_host(access, headers)
        or _refuse_site(method, path, headers)
        or _refuse_token(access, path, headers)
    )


def _refuse_host(access: Access, headers: Mapping[str, str]) -> SpringlineError | None:
    name = host_name(headers.get("host", ""))
    if (
        access.is_loopback
        and access.token is None
        and ("x-forwarded-for" in headers or "forwarded" in headers)
    ):
        return CrossSite(
            "The request was forwarded by a proxy, but this server has no token and serves this machine only.",
            hint="Set SPRINGLINE_TOKEN before putting a proxy in front of it.",
        )
    known = {access.host.strip("[]").lower(), *(host.lower() for host in access.hosts)}
    if name in known or (access.is_loopback and name in LOOPBACK_NAMES):
        port = headers.get("host", "").rpartition(":")[2]
        if (
            access.port is None
            or not access.is_loopback
            or access.hosts
            or port == str(access.port)
            or not port.isdigit()
        ):
            return None
    # Beyond loopback the token protects: a page that rebinds its name does not have it.
    if not access.is_loopback and not access.hosts:
        return None
    return CrossSite(
        f"The request names the host {name or '(none)'!r}, which is not this server.",
        hint="Use http://127.0.0.1 or http://localhost, or list the name with `--allow-host`.",
    )


def _refuse_site(method: str, path: str, headers: Mapping[str, str]) -> SpringlineError | None:
    origin = headers.get("origin")
    refused = CrossSite(
        "The request comes from a web page of another site.",
        hint="Open this server's own page, or call it from a program.",
    )
    if origin is not None and origin.partition("://")[2].lower() != headers.get("host", "").lower():
        return refused
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        # Following a link to the page is how people arrive; everything else from another site is not.
        arrives = method == "GET" and headers.get("sec-fetch-mode") == "navigate" and path == "/"
        return None if arrives else refused
    if method in ("POST", "PUT", "PATCH", "DELETE"):
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and (kind or headers.get("content-length", "0") != "0"):
            return RequestInvalid(
                f"The body is {kind or 'of no stated type'}.",
                hint="Send JSON: Content-Type: application/json.",
            )
    return None


def _refuse_token(access: Access, path: str, headers: Mapping[str, str]) -> SpringlineError | None:
    if access.token is None or path in OPEN_PATHS or path.startswith("/ui/"):
        return None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), access.token.encode()):
        return None
    return Unauthorized(
        "This server needs a token." if not given else "The token is not right.",
        hint="Send the header Authorization: Bearer followed by the server's token.",
    )


class Gate:
    """The middleware that applies :func:`refuse` and the limit on body size."""

    def __init__(self, app: ASGIApp, *, access: Access, body_bytes: int) -> None:
        self._app = app
        self._access = access
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = refuse(self._access, scope["method"], scope["path"], headers)
        declared = headers.get("content-length", "0")
        if refusal is None and (not declared.isdigit() or int(declared) > self._body_bytes):
            refusal = self._too_large()
        if refusal is not None:
            await send_error(refusal, scope, receive, _secured(send))
            return
        if declared != "0" or "transfer-encoding" in headers:
            # Read here, so that a body whose length is not declared is bounded too.
            body = await self._body(receive)
            if body is None:
                await send_error(self._too_large(), scope, receive, _secured(send))
                return
            receive = _replay(body, receive)
        await self._app(scope, receive, _secured(send))

    async def _body(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)
            part = message.get("body", b"")
            size += len(part)
            if size > self._body_bytes:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> SpringlineError:
        return RequestTooLarge(
            f"The body is larger than {self._body_bytes} bytes.", hint="Send less in one request."
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def next_message() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return next_message


SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def _secured(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *SECURITY_HEADERS]}
        await send(message)

    return with_headers
