"""Runs the HTTP interface in a thread of the application's process."""

from __future__ import annotations

import errno
import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from springline.errors import ConfigurationError

START_TIMEOUT_S = 10.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ConfigurationError that names the port and what to do."""
    if not 0 <= port <= 65_535:
        raise ConfigurationError(
            f"Port {port} does not exist.", hint="Choose one from 1024 to 65535 with --port."
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, OverflowError) as error:
        raise ConfigurationError(
            f"Cannot listen on {host!r} port {port}: {error}.",
            hint="Use 127.0.0.1 or an address of this machine.",
        ) from error
    listener = socket.socket(family, kind, protocol)
    # A stopped server's port is free at once; a running server's is still refused.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, host, port) from error
    return listener


def _cannot_listen(error: OSError, host: str, port: int) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"Port {port} on {host} is in use by another process.",
            hint=f"Stop that process (`lsof -i :{port}` shows it), or choose another port with --port; --port 0 takes a free one.",
        )
    if error.errno == errno.EACCES:
        return ConfigurationError(
            f"Port {port} on {host} may only be opened by root.",
            hint="Choose a port from 1024 up with --port.",
        )
    return ConfigurationError(
        f"Cannot listen on {host} port {port}: {error.strerror}.",
        hint="Use 127.0.0.1 or an address of this machine.",
    )


class Server:
    """A running server. The port is taken on construction, so a port in use is told before anything else starts."""

    def __init__(self, host: str = "127.0.0.1", port: int = 8765) -> None:
        self.host = host
        self._socket = bind(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._app: FastAPI | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    @property
    def url(self) -> str:
        """The address to open. A server on all interfaces is shown by its loopback address."""
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{shown if ':' not in shown or shown.startswith('[') else f'[{shown}]'}:{self.port}"

    def start(self, app: FastAPI) -> None:
        """Serves ``app``; returns when it answers."""
        self._app = app
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
            lifespan="off",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="springline-http", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if self._failure is not None or not self._thread.is_alive() or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"The HTTP server did not start: {self._failure or 'no reason given'}."
                )
            time.sleep(0.005)

    def _run(self) -> None:
        assert self._server is not None
        try:
            self._server.run(sockets=[self._socket])
        except BaseException as error:
            self._failure = error

    def stop(self) -> None:
        """Ends the open streams, lets running requests finish for three seconds, and frees the port. Idempotent."""
        if self._app is not None:
            self._app.state.streams.stopping.set()
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=6)
        self._socket.close()
