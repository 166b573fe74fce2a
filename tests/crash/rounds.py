"""A round: one database, one folder and one data folder, through several kills; and what must hold after each."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import apsw
import psycopg2

from springline.core.position import PostgresPosition, position_from_text
from springline.testing.crash import POINTS
from springline.testing.postgres import PostgresServer
from tests.crash import workload
from tests.crash.compare import Differences, compare, torn
from tests.crash.declared import SOURCE
from tests.crash.process import Application

CATCH_UP_MS = 60_000
SNAPSHOT_ROWS = 6_000
KINDS = {"start": 3, "running": 4, "bulk": 3, "stopping": 2, "point": 3, "postgres": 2, "both": 1}
"""How a kill is made, and how often beside the others."""

_numbers = count(1)


@dataclass(slots=True)
class Tally:
    """What the whole run has found."""

    kills: int = 0
    power_losses: int = 0
    checks: int = 0
    acknowledged_too_much: int = 0
    found: Differences = field(default_factory=Differences)
    kinds: dict[str, int] = field(default_factory=dict[str, int])
    start_s: list[float] = field(default_factory=list[float])

    def is_clean(self) -> bool:
        return not self.found and not self.acknowledged_too_much

    def line(self) -> str:
        found = self.found
        lost = found.lost + self.acknowledged_too_much
        power = f" power_losses={self.power_losses}" if self.power_losses else ""
        return f"kills={self.kills}{power} lost={lost} duplicated={found.duplicated} wrong={found.wrong}"


class World:
    """What the application is connected to, and those who write there. Used in ``with``."""

    def __init__(self, server: PostgresServer, seed: int, *, rows: int = SNAPSHOT_ROWS) -> None:
        self.server = server
        self.chance = random.Random(seed)
        self.name = f"crash_{next(_numbers)}"
        self.home = Path(tempfile.mkdtemp(prefix="springline-crash-"))
        self.folder, self.data = self.home / "papers", self.home / "data"
        self.folder.mkdir()
        server.start()
        self.dsn = server.create_database(self.name)
        workload.create(self.dsn, rows=rows)
        self.slot = f"springline_{SOURCE}"
        self._was_captured = False
        self.client = workload.Client(self.dsn, seed)
        self.editor = workload.Editor(self.folder, seed + 1)

    def __enter__(self) -> World:
        self.client.start()
        self.editor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop()
        self.editor.stop()
        self.server.start()
        self.server.drop_database(self.name)
        shutil.rmtree(self.home, ignore_errors=True)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nobody writes."""
        with self.client.held(), self.editor.held():
            yield

    def acknowledged_too_much(self) -> bool:
        """Whether PostgreSQL was told that it may forget what ``log.db`` does not hold. After the application is dead."""
        held = log_position(self.data / "log.db", SOURCE)
        if held is None:
            # The slot is made before its first position is written. Killed in between, nothing was captured yet.
            return self._was_captured
        self._was_captured = True
        confirmed = self._confirmed()
        return confirmed is not None and confirmed.lsn > held.lsn

    def _confirmed(self) -> PostgresPosition | None:
        """What the slot was told; read when its connection is gone, for a message may still be on its way."""
        deadline = time.monotonic() + 10.0
        with contextlib.closing(psycopg2.connect(self.dsn)) as connection, connection.cursor() as cursor:
            while True:
                cursor.execute(
                    "SELECT active, confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = %s",
                    (self.slot,),
                )
                row = cursor.fetchone()
                connection.rollback()
                if row is None:
                    return None
                if not row[0] or time.monotonic() > deadline:
                    return PostgresPosition.from_text(row[1])
                time.sleep(0.01)


def log_position(path: Path, source: str) -> PostgresPosition | None:
    """How far a source is captured durably, read from the file alone."""
    if not path.exists():
        return None
    log = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        if log.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sources'").fetchone() is None:
            return None
        row = log.execute("SELECT position FROM sources WHERE name = ?", (source,)).fetchone()
    finally:
        log.close()
    position = position_from_text(row[0]) if row is not None and row[0] is not None else None
    assert position is None or isinstance(position, PostgresPosition)
    return position


class Round:
    """Kills the application several times, over one world."""

    def __init__(
        self,
        world: World,
        tally: Tally,
        say: Callable[[str], None],
        *,
        mutant: str | None = None,
        kinds: Mapping[str, int] = KINDS,
        check_every: int = 3,
    ) -> None:
        self._world = world
        self._tally = tally
        self._say = say
        self._mutant = mutant
        self._kinds = kinds
        self._check_every = check_every
        self._running: Application | None = None

    def run(self, kills: int, deadline: float) -> None:
        """Stops early where something was found: what follows would find it again."""
        chance = self._world.chance
        try:
            for number in range(1, kills + 1):
                # The first is during the initial snapshot.
                kind = (
                    "start"
                    if number == 1
                    else chance.choices(list(self._kinds), list(self._kinds.values()))[0]
                )
                self._kill(kind, is_first=number == 1)
                if (number % self._check_every == 0 or number == kills) and not self._check():
                    return
                if time.monotonic() > deadline or not self._tally.is_clean():
                    return
        finally:
            if self._running is not None:
                self._running.kill()

    def _start(self, crash_at: str | None = None) -> Application:
        world = self._world
        self._running = Application(
            world.dsn, world.folder, world.data, mutant=self._mutant, crash_at=crash_at
        )
        return self._running

    def _ready(self) -> Application:
        """The running application, started where there is none."""
        if self._running is not None:
            return self._running
        application = self._start()
        if not application.wait_ready():
            raise RuntimeError(f"the application does not start:\n{self._log()}")
        self._tally.start_s.append(time.monotonic() - application.started)
        return application

    def _kill(self, kind: str, *, is_first: bool) -> None:
        world, chance = self._world, self._world.chance
        delay_s = chance.uniform(0.02, 0.8)
        if kind in ("start", "point") and self._running is not None:
            self._running.kill()
            self._running = None
        if kind == "start":
            application = self._start()
            time.sleep(delay_s + (chance.uniform(0.3, 0.9) if is_first else 0.0))
        elif kind == "point":
            kind = chance.choice(sorted(POINTS))
            application = self._start(f"{kind}:{chance.choice((1, 2, 5, 20))}")
            if kind == "between_fragments" and application.wait_ready():
                world.client.bulk()
            application.wait_gone(3.0)
        else:
            application = self._ready()
            if kind == "bulk":
                # It is captured as soon as it is committed, in some hundred milliseconds.
                world.client.bulk()
                delay_s /= 2
            time.sleep(delay_s)
            if kind == "stopping":
                application.tell("stop")
                time.sleep(chance.uniform(0.0, 0.25))
            if kind in ("postgres", "both"):
                world.server.kill()
                time.sleep(0.0 if kind == "both" else chance.uniform(0.0, 0.4))
        if kind != "postgres" or chance.random() < 0.5:
            application.kill()
            self._running = None
        world.server.start()
        self._tally.kills += 1
        self._tally.kinds[kind] = self._tally.kinds.get(kind, 0) + 1
        too_much = self._running is None and world.acknowledged_too_much()
        self._tally.acknowledged_too_much += too_much
        found = torn(world.data / "state.db") if self._running is None else Differences()
        self._tally.found.add(found)
        self._say(
            "\n  ".join(
                [
                    f"kill {self._tally.kills}: {kind}",
                    *(["ACKNOWLEDGED MORE THAN THE LOG HOLDS"] if too_much else []),
                    *found.notes,
                ]
            )
        )

    def _check(self) -> bool:
        """Leaves the application until it is caught up, and compares everything; whether all is well."""
        world = self._world
        application = self._ready()
        started = time.monotonic()
        with world.quiet():
            answer = application.ask(f"barrier {CATCH_UP_MS}")
            caught_up_s = time.monotonic() - started
            state = apsw.Connection(str(world.data / "state.db"), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                found = compare(state, world.dsn, world.folder)
            finally:
                state.close()
        if answer != "fresh":
            found.lost += not found
            found.note(
                f"not caught up: {answer or 'it ended'}; status {application.ask('status', 5.0)}\n{self._log()}"
            )
        self._tally.checks += 1
        self._tally.found.add(found)
        verdict = "equal" if not found else "\n  ".join(["DIFFERENT", *found.notes])
        self._say(
            f"check {self._tally.checks}: caught up in {caught_up_s:.1f} s, {found.compared} rows and texts: {verdict}"
        )
        return not found

    def _log(self) -> str:
        return "\n".join(
            (self._world.home / "application.log").read_text(errors="replace").splitlines()[-25:]
        )
