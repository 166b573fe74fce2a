"""Plays a scenario's events into its database, as one more ordinary client.

What is guaranteed: each event is applied exactly once, whole, in order, and never before its moment on the storm's
clock. The place reached is kept in ``replay_progress`` and moves in the same transaction as the events, so a stopped
or killed replay, or a lost connection, resumes where it was. A transaction holds one event while the replay keeps up
with its clock, and up to ``BATCH`` when it has fallen behind, for example after a jump. Others may change the same rows
meanwhile; an event that the database then refuses (its row's parent was deleted, say) is skipped and counted.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import psycopg2

from springline.demo.scenario import Event
from springline.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

logger = logging.getLogger(__name__)

PROGRESS_TABLE = "replay_progress"
"""Kept in the same database and not captured: it says where the client is, nothing about the world."""

BATCH = 200
KEEPS_UP = 8
"""Up to this many due events are applied one by one; more are a backlog and are applied in batches."""

LONGEST_NAP_S = 0.25
RETRY_AFTER_S = 1.0

_CREATE = f"""
CREATE TABLE IF NOT EXISTS {PROGRESS_TABLE} (
    scenario text PRIMARY KEY,
    plan_digest text NOT NULL,
    events_done integer NOT NULL,
    clock timestamptz NOT NULL
)"""


@dataclass(frozen=True, slots=True)
class ReplayStatus:
    """``clock`` is the storm's; ``speed`` is storm seconds per real second, also while paused.

    ``cancelled`` and ``delayed`` count flights so far; a flight that was delayed and then cancelled is in both.
    ``skipped`` counts events that the database refused since the start of this process. ``problem`` says why nothing moves at the moment, if the database does not answer; the replay keeps trying.
    """

    clock: datetime
    clock_end: datetime
    speed: float
    paused: bool
    finished: bool
    events_done: int
    events_total: int
    cancelled: int
    delayed: int
    skipped: int
    last_event: str | None
    problem: str | None


class StormClock:
    """A clock that runs at ``speed`` times the real one and can be paused, moved forward and asked. Not locked."""

    def __init__(
        self, start: datetime, speed: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._storm = start
        self._real = monotonic()
        self._speed = speed
        self._paused = False

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused

    def now(self) -> datetime:
        if self._paused:
            return self._storm
        return self._storm + timedelta(seconds=(self._monotonic() - self._real) * self._speed)

    def set(
        self, *, at: datetime | None = None, speed: float | None = None, paused: bool | None = None
    ) -> None:
        """Change any of the three from this moment on. ``at`` may move the clock either way."""
        self._storm = self.now() if at is None else at
        self._real = self._monotonic()
        self._speed = self._speed if speed is None else speed
        self._paused = self._paused if paused is None else paused


class Replay:
    """The client. ``start`` begins or resumes in a thread of its own; every method may be called from any thread."""

    def __init__(
        self,
        dsn: str,
        name: str,
        events: Sequence[Event],
        clock_start: datetime,
        clock_end: datetime,
        *,
        speed: float,
        paused: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._events = events
        self._digest = plan_digest(events)
        self._clock_start = clock_start
        self._clock_end = clock_end
        self._clock = StormClock(clock_start, speed, monotonic)
        self._clock.set(paused=paused)
        self._cancelled = [0, *accumulate(int(event.kind == "cancelled") for event in events)]
        self._delayed = [0, *accumulate(int(event.kind == "delayed") for event in events)]
        self._done = 0
        self._skipped = 0
        self._problem: str | None = None
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read the place reached, set the clock there, and begin. Raises if the stored place is of another plan."""
        connection = self._connect()
        self._thread = threading.Thread(target=self._run, args=(connection,), name="replay", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the transaction in progress, keeping the clock for the next start. Idempotent; blocks until done."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def pause(self) -> None:
        self._set(paused=True)

    def resume(self) -> None:
        self._set(paused=False)

    def set_speed(self, speed: float) -> None:
        """``speed`` is in storm seconds per real second, from 1 up."""
        if not 1 <= speed <= 1_000_000:
            raise ConfigurationError(
                f"The replay cannot run at speed {speed}.", hint="Choose from 1 to 1000000."
            )
        self._set(speed=speed)

    def jump(self, to: datetime) -> None:
        """Move the clock forward; what happened in between is applied at once, in order.

        Raises if ``to`` lies before the clock: what has been committed is not taken back.
        """
        with self._changed:
            now = self._clock.now()
            if to < now:
                raise ConfigurationError(
                    f"The replay cannot go back from {now:%d %B %H:%M} to {to:%d %B %H:%M}.",
                    hint="Start the demo again with a fresh data folder.",
                )
            self._clock.set(at=min(to, self._clock_end))
            self._changed.notify_all()

    def status(self) -> ReplayStatus:
        with self._changed:
            done = self._done
            return ReplayStatus(
                clock=min(self._clock.now(), self._clock_end),
                clock_end=self._clock_end,
                speed=self._clock.speed,
                paused=self._clock.paused,
                finished=done == len(self._events),
                events_done=done,
                events_total=len(self._events),
                cancelled=self._cancelled[done],
                delayed=self._delayed[done],
                skipped=self._skipped,
                last_event=self._events[done - 1].description if done else None,
                problem=self._problem,
            )

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until all events are applied or the replay is stopped. False if neither came in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._stopping or self._done == len(self._events), timeout_s
            )

    def _set(self, *, speed: float | None = None, paused: bool | None = None) -> None:
        with self._changed:
            self._clock.set(speed=speed, paused=paused)
            self._changed.notify_all()

    def _connect(self) -> Connection:
        connection = psycopg2.connect(self._dsn, application_name=f"{self._name} replay")
        try:
            done, clock = _resume(connection, self._name, self._digest, self._clock_start)
        except BaseException:
            connection.close()
            raise
        with self._changed:
            self._done = done
            self._clock.set(at=max(clock, self._clock.now()) if self._thread else clock)
            self._problem = None
        return connection

    def _run(self, connection: Connection | None) -> None:
        while not self._stopping:
            try:
                connection = connection or self._connect()
                self._apply_until_stopped(connection)
            except psycopg2.Error as error:
                # Whether the last commit counted is not known here; reconnecting reads it from the database.
                logger.warning("the replay lost its database and will try again: %s", error)
                with self._changed:
                    self._problem = str(error).strip()
                    self._changed.wait_for(lambda: self._stopping, RETRY_AFTER_S)
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            self._keep_clock(connection)
            connection.close()

    def _apply_until_stopped(self, connection: Connection) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                now, done = self._clock.now(), self._done
                due = due_count(self._events, done, now)
                if due == 0:
                    self._changed.wait(self._nap_s(done, now))
                    continue
            batch = self._events[done : done + (1 if due <= KEEPS_UP else min(due, BATCH))]
            self._apply(connection, batch, done)

    def _apply(self, connection: Connection, batch: Sequence[Event], done: int) -> None:
        """Commit the batch and the new place together; event by event if the database refuses one of them."""
        skipped = 0
        try:
            self._commit(connection, batch, batch, done)
        except (psycopg2.DataError, psycopg2.IntegrityError, psycopg2.ProgrammingError) as error:
            if len(batch) > 1:
                for offset, event in enumerate(batch):
                    self._apply(connection, [event], done + offset)
                return
            logger.warning("skipped '%s': %s", batch[0].description, error)
            self._commit(connection, (), batch, done)
            skipped = 1
        with self._changed:
            self._done = done + len(batch)
            self._skipped += skipped
            self._changed.notify_all()

    def _commit(
        self, connection: Connection, applied: Sequence[Event], passed: Sequence[Event], done: int
    ) -> None:
        with connection, connection.cursor() as cursor:
            for event in applied:
                cursor.execute(event.sql, event.parameters)
            cursor.execute(
                f"UPDATE {PROGRESS_TABLE} SET events_done = %s, clock = %s WHERE scenario = %s",
                (done + len(passed), passed[-1].at, self._name),
            )

    def _nap_s(self, done: int, now: datetime) -> float | None:
        """Real seconds until the next event is due, at most a quarter; None, for ever, when nothing can become due."""
        if done == len(self._events) or self._clock.paused:
            return None
        return min(LONGEST_NAP_S, (self._events[done].at - now).total_seconds() / self._clock.speed)

    def _keep_clock(self, connection: Connection) -> None:
        """A quiet stretch must not be played again after a restart, so the clock itself is kept too."""
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {PROGRESS_TABLE} SET clock = %s WHERE scenario = %s",
                    (min(self._clock.now(), self._clock_end), self._name),
                )
        except psycopg2.Error as error:
            logger.warning("the replay could not keep its clock: %s", error)


def due_count(events: Sequence[Event], done: int, now: datetime) -> int:
    """How many of the events from ``done`` on are due at ``now``, at most ``BATCH``."""
    count = 0
    while count < BATCH and done + count < len(events) and events[done + count].at <= now:
        count += 1
    return count


def plan_digest(events: Sequence[Event]) -> str:
    """Tells whether a stored place belongs to this plan."""
    digest = hashlib.sha256()
    for event in events:
        digest.update(
            repr((event.at.timestamp(), event.sql, [str(value) for value in event.parameters])).encode()
        )
    return digest.hexdigest()[:16]


def _resume(connection: Connection, name: str, digest: str, start: datetime) -> tuple[int, datetime]:
    """The events done and the clock, as stored, or a new row for the beginning."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_CREATE)
        cursor.execute(
            f"INSERT INTO {PROGRESS_TABLE} VALUES (%s, %s, 0, %s) ON CONFLICT DO NOTHING",
            (name, digest, start),
        )
        cursor.execute(
            f"SELECT plan_digest, events_done, clock FROM {PROGRESS_TABLE} WHERE scenario = %s", (name,)
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None
    stored, done, clock = row
    if stored != digest:
        raise ConfigurationError(
            f"The database was filled by another version of the demo '{name}' and cannot be continued.",
            hint="Start the demo again with a fresh data folder.",
        )
    return int(done), clock.astimezone(start.tzinfo)
