"""The parts of a running demo, each made here and nowhere else."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from springline.app import App, Running
from springline.context.definition import Passages, Rows
from springline.demo import airline, airline_app, tau, tau_app
from springline.demo.api import Demo as DemoService
from springline.demo.api import router
from springline.demo.copy import Copier
from springline.demo.fleet import Fleet, SnapshotReader
from springline.demo.flight_sql import FLIGHT_SQL
from springline.demo.replay import Replay
from springline.demo.scenario import Scenario
from springline.demo.twin import Twin
from springline.demo.visitors import PostgresReader, VisitorDesk, create_visitor
from springline.errors import SourceError
from springline.language import LANGUAGE
from springline.serve.auth import Access
from springline.serve.http import create_app
from springline.serve.server import Server
from springline.settings import Settings
from springline.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from springline.demo.run import Options

DATABASE = "airline"
APPLICATIONS = {"blizzard": airline_app, "tau-airline": tau_app}


def scenario(data: Path | None) -> Scenario:
    """The blizzard, or the tau airline of a data set's folder."""
    return airline.scenario() if data is None else tau.scenario(data)


def remove(folder: Path) -> None:
    """Forgets an earlier demo; a server that still runs there is stopped first."""
    if folder.exists():
        PostgresServer(folder / "postgres").remove()
        shutil.rmtree(folder)


def postgres(folder: Path) -> PostgresServer:
    folder.mkdir(parents=True, exist_ok=True)
    return PostgresServer(folder / "postgres")


def database(server: PostgresServer, scenario: Scenario) -> tuple[str, bool]:
    """The scenario's database, made where it is missing: its DSN, and whether it was made now."""
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            exists = cursor.fetchone() is not None
    finally:
        connection.close()
    dsn = server.dsn(DATABASE) if exists else server.create_database(DATABASE)
    connection = psycopg2.connect(dsn)
    try:
        created = not scenario.is_created(connection)
        if created:
            scenario.create(connection)
    finally:
        connection.close()
    return dsn, created


def documents(scenario: Scenario, folder: Path) -> Path:
    """The policies, copied to where a visitor may edit them; edited ones are left as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in scenario.documents:
        target = folder / source.name
        if not target.exists():
            shutil.copyfile(source, target)
    return folder


def application(
    scenario: Scenario,
    dsn: str,
    documents: Path,
    options: Options,
    *,
    name: str | None = None,
    settings: Settings | None = None,
) -> App:
    """The demo's application: what a user would write in ``app.py``. ``name``: another one than the scenario's."""
    settings = settings or Settings.load()
    if options.embedder is not None:
        settings = replace(settings, embedder=options.embedder)
    declared = APPLICATIONS[scenario.name]
    app = App(name or scenario.name, settings=settings)
    app.postgres("airline", dsn, tables=list(scenario.tables))
    folder = app.folder("policies", documents)
    for view, sql, key in declared.VIEWS:
        app.view(view, sql, key=key)
    app.knowledge("policies", over=folder)
    app.assistant(
        subject="customer",
        organisation=declared.ORGANISATION,
        rows=context_rows(scenario),
        passages=[Passages("policies")],
        time_zone="America/New_York",
    )
    return app


def try_query(scenario: Scenario) -> str:
    """A query worth trying on the command line."""
    return APPLICATIONS[scenario.name].TRY_QUERY


def context_rows(scenario: Scenario) -> Sequence[Rows]:
    return APPLICATIONS[scenario.name].ROWS


def wait_until_loaded(running: Running, *, show: bool, check: Callable[[], None] = lambda: None) -> None:
    """Waits until every table is live and every document searchable, with a bar. Raises SourceError where a source gave up, and what ``check``
    raises, which is called again and again."""
    bar = sys.stdout if show and sys.stdout.isatty() else None
    while True:
        check()
        status = running.runtime.status()
        for name, source in status.sources.items():
            if source.state == "stopped":
                raise SourceError(f"Source {name!r} stopped: {source.error}")
        tables = [one for one in status.relations if one.kind == "table"]
        live = sum(one.state == "live" for one in tables)
        ready = sum(one.searchable for one in status.knowledge)
        wanted = sum(one.documents for one in status.knowledge)
        pending = sum(one.pending for one in status.knowledge)
        done = live == len(tables) and wanted > 0 and pending == 0
        if bar is not None:
            share = (live + ready) / max(1, len(tables) + wanted)
            filled = round(share * 30)
            bar.write(
                f"\r     [{'█' * filled}{'·' * (30 - filled)}] {live}/{len(tables)} tables, {ready}/{wanted} documents "
            )
            bar.flush()
        if done:
            if bar is not None:
                bar.write("\n")
            return
        time.sleep(0.05)


class Show:
    """Replay, twin and fleet over a running application, and the page over all of them."""

    def __init__(
        self, scenario: Scenario, dsn: str, documents: Path, app: App, running: Running, options: Options
    ) -> None:
        sql = FLIGHT_SQL[scenario.name]
        self._options = options
        self._running = running
        self._scenario = scenario
        self.replay = Replay(
            dsn,
            scenario.name,
            scenario.events(),
            scenario.clock_start,
            scenario.clock_end,
            speed=options.speed or scenario.speed,
            paused=options.paused,
        )
        runtime = running.runtime
        schemas = list(app.sources["airline"].tables())
        [(definition, _)] = app.knowledge_bases
        knowledge = runtime.knowledge[definition.name]
        plain = replace(definition, title="title", format=None, error=None, content_hash=None)
        self._copier = Copier(
            dsn,
            schemas,
            app.views,
            plain,
            knowledge.embedder,
            documents,
            LANGUAGE,
            runtime.memo(definition.name),
        )
        self.twin = Twin(
            copy=self._copier.copy,
            answer=running.answer_from,
            storm=self._storm,
            speed=self._speed,
            interval_s=600.0,
        )
        self._truth = PostgresReader(dsn, sql.truth)
        self.fleet = Fleet(
            truth=self._truth,
            ours=SnapshotReader(lambda: runtime.read(require="now", complete=False), sql.snapshot),
            twin=SnapshotReader(self.twin.read, sql.snapshot),
            travellers=self._travellers,
        )
        visitor = create_visitor(dsn, scenario.tables)
        self._desk = VisitorDesk(visitor, sql, documents)
        self._travellers_sql = sql.travellers
        self._travellers_connection: Any = None
        self._dsn = dsn

    def http(self, server: Server) -> FastAPI:
        """The page and the HTTP interface."""
        token = self._running.app.settings.token
        access = Access(host=server.host, port=server.port, token=token.reveal() if token else None)
        demo = DemoService(
            self._scenario, self.replay, self.twin, self.fleet, self._desk, self._running, access
        )
        return create_app(
            self._running,
            access=access,
            routers=[router(demo)],
            features=("demo",),
            feed_extras={"demo": demo.live},
        )

    def start(self) -> None:
        self.replay.start()
        # The travellers ask both; so the twin has its first copy before they begin.
        self.twin.refresh()
        self.twin.start()
        self.fleet.start()

    def stop(self) -> None:
        """Idempotent."""
        self.fleet.stop()
        self.twin.stop()
        self.replay.stop()
        self._truth.close()
        self._copier.close()
        if self._travellers_connection is not None:
            self._travellers_connection.close()

    def _storm(self):
        return self.replay.status().clock

    def _speed(self) -> float:
        status = self.replay.status()
        return 0.0 if status.paused or status.finished else status.speed

    def _travellers(self) -> Sequence[str]:
        """Customers who would ask now: those whose flights leave in the next hours."""
        if self._travellers_connection is None:
            self._travellers_connection = psycopg2.connect(self._dsn, application_name="springline-fleet")
            self._travellers_connection.autocommit = True
        with self._travellers_connection.cursor() as cursor:
            cursor.execute(self._travellers_sql, {"now": self._storm()})
            return [str(row[0]) for row in cursor]
