"""``springline run``."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from springline.cli import logs
from springline.cli.application import DEFAULT_FILE, load_app, split_target
from springline.cli.main import show_error
from springline.cli.options import ROWS, config_option, setting_option
from springline.cli.output import number
from springline.errors import ConfigurationError, SpringlineError
from springline.settings import TABLE, Settings, given

if TYPE_CHECKING:
    from springline.app import App, Running
    from springline.runtime.embedded.runtime import Definition

PROGRESS_EVERY_S = 0.5


def all_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Every setting as a flag."""
    decorated = config_option(command)
    for setting in reversed(TABLE):
        decorated = setting_option(ROWS[setting.name])(decorated)
    return decorated


@click.command("run")
@click.argument("app", default=DEFAULT_FILE)
@click.option("--reload", is_flag=True, help="Start again with the new definitions when the file changes.")
@all_settings
def command(app: str, reload: bool, config: Path | None, **flags: Any) -> None:
    """Run the application in a Python file (default app.py), and serve its page and HTTP interface until Ctrl-C.

    The file makes one springline.App; app.py:name chooses among several. A second start resumes where the first stopped.
    """
    path, _ = split_target(app)
    with given(flags, config=config, beside=path.parent), stopped_by_signals() as stop:
        settings = Settings.load()
        logs.configure(settings)
        if reload:
            serve_reloading(app, settings, stop)
        else:
            serve(load_app(app), settings, stop)


def serve_reloading(target: str, settings: Settings, stop: threading.Event) -> None:
    """Runs the application until ``stop``, and starts it again as its file says now whenever that changes. A file that cannot be used
    is told, and what ran before goes on. The state stays: views that did not change are served at once."""
    path, _ = split_target(target)
    current, before = load_app(target), None
    while True:
        changed = Changed(path, target)
        try:
            settings = serve(current, settings, stop, changed)
        except SpringlineError as error:
            if before is None:
                raise
            show_error(error, as_json=False)
            current, before = before, None
            continue
        if changed.app is None:
            return
        current, before = changed.app, current
        click.echo(f"{path} has changed.", err=True)


class Changed:
    """Looks at an application's file; ``app`` is what it has made since it changed, None before."""

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._seen = self._stamp()
        self.app: App | None = None

    def __call__(self) -> bool:
        """Whether the file has changed and can be used."""
        if (stamp := self._stamp()) == self._seen or stamp is None:
            return False
        self._seen = stamp
        try:
            self.app = load_app(self._target)
        except SpringlineError as error:
            show_error(error, as_json=False)
        return self.app is not None

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None  # An editor is about to put another one there.
        return found.st_mtime_ns, found.st_size


def serve(
    app: App,
    settings: Settings,
    stop: threading.Event,
    is_over: Callable[[], bool] = lambda: False,
    definition: Definition | None = None,
) -> Settings:
    """Runs the application (``definition``: as another one, a serving node's) until ``stop``, or until ``is_over``. The port is taken first, so that nothing else has started when it is in
    use. Returns the settings with that port."""
    try:
        from springline.serve.auth import Access
        from springline.serve.http import create_app
        from springline.serve.server import Server
    except ImportError as error:
        raise ConfigurationError(
            f"Serving needs a library that is not installed: {error.name}.",
            hint='Install it with: pip install "springline[serve]"',
        ) from error
    with contextlib.ExitStack() as closing:
        server = Server(settings.host, settings.port)
        closing.callback(server.stop)
        access = Access(
            host=server.host,
            port=server.port,
            token=settings.token.reveal() if settings.token else None,
            hosts=settings.allow_hosts,
        )
        access.check()
        running = closing.enter_context(app.start(data=settings.data, definition=definition))
        server.start(create_app(running, access=access))
        running.runtime.folder.write_owner({"url": server.url, "name": app.name})
        click.echo(
            f"{app.name}  {click.style(server.url, bold=True)}  (data in {settings.data}; Ctrl-C stops)"
        )
        _show_loading(running, stop)
        while not stop.wait(PROGRESS_EVERY_S) and not is_over():
            continue
        settings = dataclasses.replace(settings, port=server.port)
        click.echo("Stopping …", err=True)
    click.echo("Stopped. The next start goes on where this one was.", err=True)
    return settings


def _show_loading(running: Running, stop: threading.Event) -> None:
    """Says how far the first load is, until every table is live. On a terminal in one line, otherwise when it begins and ends."""
    began, told = time.monotonic(), False
    while not stop.is_set():
        status = running.runtime.status()
        tables = [one for one in status.relations if one.kind == "table"]
        loading = [one for one in tables if one.state == "loading"]
        if not loading:
            break
        loaded = sum(source.rows_loaded for source in status.sources.values())
        estimated = sum(source.rows_estimated or 0 for source in status.sources.values())
        text = f"Loading: {len(tables) - len(loading)} of {len(tables)} tables, {number(loaded)}"
        text += f" of about {number(estimated)} rows" if estimated else " rows"
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[2K{text}", err=True, nl=False)
        elif not told:
            click.echo(text, err=True)
        told = True
        stop.wait(PROGRESS_EVERY_S)
    if told and not stop.is_set():
        clear = "\r\x1b[2K" if sys.stderr.isatty() else ""
        click.echo(f"{clear}All tables are live after {time.monotonic() - began:.1f} s.", err=True)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set. A second signal interrupts at once."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    previous = {name: signal.signal(name, handle) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
