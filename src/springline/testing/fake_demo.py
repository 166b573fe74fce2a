"""The fake application's demo: storm, twin, fleet and desk, wired as the real one is, and served."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass

from springline.core.position import PositionVector
from springline.demo import api
from springline.demo.fleet import Fleet, FlightStatus, SnapshotReader, statuses
from springline.demo.flight_sql import BLIZZARD
from springline.demo.scenario import Scenario
from springline.demo.stage import Customer, Example, SqlOutcome
from springline.demo.twin import Twin
from springline.errors import NotFound, SqlError
from springline.runtime.base import Freshness
from springline.serve.auth import Access
from springline.serve.http import create_app
from springline.serve.server import Server
from springline.serve.service import Limits
from springline.testing import fake_world
from springline.testing.fake_service import FakeRuntime, FakeService, FakeSnapshot
from springline.testing.fake_world import FakeStage, now_us


class FakeTruth:
    """Reads the source itself."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]:
        with self._runtime.lock:
            rows = self._runtime.source.execute(
                f"{fake_world.VIEW} WHERE b.customer_id = ?", (customer,)
            ).fetchall()
        return statuses([dict(row) for row in rows])


class FakeDesk:
    """See ``demo.stage.Desk``; SQLite stands in for PostgreSQL."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime

    def customers(self, text: str, limit: int) -> Sequence[Customer]:
        with self._runtime.lock:
            rows = self._runtime.source.execute(
                "SELECT * FROM customers WHERE customer_id LIKE :t OR full_name LIKE :t LIMIT :n",
                {"t": f"%{text}%", "n": limit},
            ).fetchall()
        return [Customer(row["customer_id"], row["full_name"], row["preferred_language"]) for row in rows]

    def customer(self, subject: str) -> Customer:
        found = [customer for customer in self.customers(subject, 1) if customer.subject == subject]
        if not found:
            raise NotFound(f"There is no customer {subject!r}.", hint="Search by a part of the id or name.")
        with self._runtime.lock:
            row = self._runtime.source.execute(
                "SELECT f.* FROM flights f JOIN bookings b USING (flight_id) WHERE b.customer_id = ?",
                (subject,),
            ).fetchone()
        code, number = row["flight_code"], row["flight_id"]
        examples = (
            Example(
                f"Cancel {code}",
                f"UPDATE flights\nSET status = 'cancelled', cancel_reason = 'weather'\nWHERE flight_id = {number};",
            ),
            Example(
                f"Delay {code} by 95 minutes",
                f"UPDATE flights\nSET status = 'delayed', delay_minutes = 95\nWHERE flight_id = {number};",
            ),
            Example(
                f"Move {code} to gate B42", f"UPDATE flights SET gate = 'B42' WHERE flight_id = {number};"
            ),
        )
        return Customer(subject, found[0].name, found[0].language, self.truth(subject), examples)

    def truth(self, subject: str) -> tuple[FlightStatus, ...]:
        return FakeTruth(self._runtime).flight_statuses(subject)

    def run(self, sql: str) -> SqlOutcome:
        began = time.perf_counter_ns()
        with self._runtime.lock:
            try:
                cursor = self._runtime.source.execute(sql)
                rows = tuple(tuple(row) for row in cursor.fetchmany(50))
                columns = tuple(column[0] for column in cursor.description or ())
                self._runtime.source.commit()
            except sqlite3.Error as error:
                self._runtime.source.rollback()
                raise SqlError(str(error), hint="This is the fake's SQLite.", line=1, column=1) from error
            committed = now_us()
        command = sql.split()[0].upper()
        return SqlOutcome(
            command,
            max(cursor.rowcount, 0),
            (time.perf_counter_ns() - began) // 1_000,
            committed,
            columns,
            rows,
        )

    def write_policy(self, text: str) -> int:
        with self._runtime.lock:
            self._runtime.documents = {"your-own-policy.md": text} if text.strip() else {}
        return now_us()


def scenario() -> Scenario:
    return Scenario(
        name="blizzard",
        title="New York, February 2013",
        summary="A small fake of the blizzard of February 2013: 64 flights and 40 customers, all of them made up.",
        clock_start=fake_world.START,
        clock_end=fake_world.END,
        speed=120.0,
        tables=("customers", "flights", "bookings", "hotels"),
        subject_table="customers",
        subject_key="customer_id",
        documents=(),
        provenance=fake_world.PROVENANCE,  # type: ignore[arg-type]
        featured=fake_world.FEATURED,
        create=lambda connection: None,
        is_created=lambda connection: True,
        events=tuple,
    )


@dataclass
class Served:
    """A running fake: what tests hold on to."""

    server: Server
    service: FakeService
    runtime: FakeRuntime
    stage: FakeStage | None
    twin: Twin | None
    fleet: Fleet | None
    demo: api.Demo | None

    def close(self) -> None:
        for part in (self.fleet, self.twin, self.stage, self.runtime, self.server):
            if part is not None:
                part.stop()


def serve_fake(
    *,
    port: int = 0,
    demo: bool = True,
    model: bool = False,
    access: Access | None = None,
    limits: Limits | None = None,
) -> Served:
    """Starts everything and serves it on loopback; port 0 takes a free one."""
    runtime = FakeRuntime()
    service = FakeService(runtime, model="fake-model" if model else None)
    access, limits = access or Access(), limits or Limits()
    server = Server(port=port)
    runtime.start()
    if not demo:
        server.start(create_app(service, access=access, limits=limits))
        return Served(server, service, runtime, None, None, None, None)
    stage = FakeStage(runtime.source, runtime.lock)
    twin = Twin(
        copy=lambda: _copy(runtime), answer=service.answer, storm=stage.now, speed=stage.speed, interval_s=900
    )
    fleet = Fleet(
        truth=FakeTruth(runtime),
        ours=SnapshotReader(lambda: runtime.read(require="now"), BLIZZARD.snapshot),
        twin=SnapshotReader(twin.read, BLIZZARD.snapshot),
        travellers=lambda: [f"C{index:04d}" for index in range(1, fake_world.CUSTOMERS + 1)],
    )
    twin.refresh()
    for part in (stage, twin, fleet):
        part.start()
    served = api.Demo(scenario(), stage, twin, fleet, FakeDesk(runtime), service, access, limits)
    app = create_app(
        service,
        access=access,
        limits=limits,
        routers=[api.router(served)],
        features=["demo"],
        feed_extras={"demo": served.live},
    )
    server.start(app)
    return Served(server, service, runtime, stage, twin, fleet, served)


def _copy(runtime: FakeRuntime) -> FakeSnapshot:
    with runtime.lock:
        asked = now_us()
        return FakeSnapshot(
            runtime.copy(), 1, Freshness("none", True, 0.0, PositionVector(), asked), dict(runtime.documents)
        )
