"""Talks HTTP to a running application; standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from springline import errors
from springline.errors import ConfigurationError, SpringlineError, StateError
from springline.settings import Settings
from springline.storage import DataFolder

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 120.0
"""For a model's answer; the barrier's own deadline is part of the request."""

Json = dict[str, Any]


def running_url(folder: DataFolder) -> str | None:
    """The address of the process that works on a data folder; None where none does, or it serves none."""
    url = folder.owner().get("url") if folder.is_locked() else None
    return url if isinstance(url, str) else None


def connect(settings: Settings, url: str | None = None) -> Client:
    """A client of the process on the data folder, or of ``url``. Raises StateError where nothing runs."""
    token = settings.token.reveal() if settings.token else None
    if url is not None:
        return Client(url, token)
    folder = DataFolder(settings.data)
    if (found := running_url(folder)) is not None:
        return Client(found, token)
    if folder.is_locked():
        raise StateError(
            f"Process {folder.owner().get('pid', 'unknown')} works on {folder.path}, but it serves no HTTP.",
            hint="Start the application with `springline run`, or wait until it has started.",
        )
    raise StateError(
        f"No application runs on the data folder {folder.path}.",
        hint="Start it with `springline run app.py`, or name its folder with --data.",
    )


@dataclass(frozen=True)
class Client:
    """One server."""

    url: str
    token: str | None = None

    def get(self, path: str, parameters: Mapping[str, object] | None = None) -> Json:
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        with self._exchange("GET", path + query, None) as response:
            return self._read(response)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Json:
        with self._exchange("POST", path, body) as response:
            return self._read(response)

    def stream(self, path: str, body: Mapping[str, object]) -> Iterator[tuple[str, Json]]:
        """Server-sent events as (name, data). An ``error`` event is raised."""
        with self._exchange("POST", path, {**body, "stream": True}) as response:
            for name, content, _ in self._events(response):
                yield name, content

    def follow(self, path: str, parameters: Mapping[str, object]) -> Iterator[tuple[str, Json, str | None]]:
        """Server-sent events of an endless stream as (name, data, id). An ``error`` event is raised."""
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        with self._exchange("GET", path + query, None) as response:
            yield from self._events(response)

    def _events(self, response: http.client.HTTPResponse) -> Iterator[tuple[str, Json, str | None]]:
        if response.status != 200:
            self._read(response)
        name, data, identifier = "message", "", None
        for raw in response:
            line = raw.decode().rstrip("\r\n")
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data += line[5:].strip()
            elif line.startswith("id:"):
                identifier = line[3:].strip()
            elif not line and data:
                content: Json = json.loads(data)
                if name == "error":
                    raise error_of(content)
                yield name, content, identifier
                name, data, identifier = "message", "", None

    @contextlib.contextmanager
    def _exchange(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> Iterator[http.client.HTTPResponse]:
        """One request and its response, on a connection of its own."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(
                f"{self.url!r} is not the URL of a server.", hint="Write http://host:port."
            )
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Accept": "application/json, text/event-stream"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            with contextlib.closing(
                kind(parts.hostname, parts.port, timeout=CONNECT_TIMEOUT_S)
            ) as connection:
                connection.connect()
                connection.sock.settimeout(ANSWER_TIMEOUT_S)
                connection.request(method, parts.path.rstrip("/") + path, content, headers)
                with connection.getresponse() as response:
                    yield response
        except BrokenPipeError:
            # Our own output's reader has gone, while the response was being printed.
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._no_answer(error) from error

    def _read(self, response: http.client.HTTPResponse) -> Json:
        content = response.read()
        try:
            data: Json = json.loads(content or b"{}")
        except ValueError as error:
            raise StateError(
                f"{self.url} answered with status {response.status} and no JSON: it is not a Springline server.",
                hint="Check --url, or what else listens there.",
            ) from error
        if response.status >= 400:
            raise error_of(data)
        return data

    def _no_answer(self, error: Exception) -> StateError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return StateError(
            f"The application at {self.url} does not answer: {reason}.",
            hint="Look at its messages, or start it again with `springline run`.",
        )


def error_of(data: Mapping[str, Any]) -> SpringlineError:
    """The error that a server told of, as the class that has its code, so that the exit status is the same as in-process."""
    known = {kind.code: kind for kind in _kinds(errors.SpringlineError)}
    code = str(data.get("code", "springline_error"))
    kind = known.get(code, SpringlineError)
    error = kind(str(data.get("message", "The server refused the request.")), hint=data.get("hint"))
    # Codes that only HTTP knows (`unauthorized`) have no class here, and a SQL error's place is in its message already.
    vars(error).update(code=code, transient=bool(data.get("transient")))
    if isinstance(error, errors.SqlError):
        error.line, error.column = data.get("line"), data.get("column")
    return error


def _kinds(parent: type[SpringlineError]) -> Iterator[type[SpringlineError]]:
    yield parent
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _kinds(child)
