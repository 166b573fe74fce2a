"""The fleet: simulated travellers who ask about their flights all the time, and a count of who was told something false.

Each question goes to Springline (recency barrier on) and to the twin, through the same code over a :class:`ContextReader`, and
is compared with what PostgreSQL had already committed before it was asked. The truth is read again afterwards: where it
changed during the question, both values count as right; so a system is only counted wrong for what the database knew
to be false all the time from before the question until after the answer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from springline.errors import SpringlineError
from springline.runtime.base import Snapshot

logger = logging.getLogger(__name__)

EXAMPLES_KEPT = 8
TRAVELLERS_REREAD_S = 5.0


@dataclass(frozen=True, slots=True)
class FlightStatus:
    """What a traveller is told about one booked flight. ``delay_minutes`` counts only where the status is ``delayed``."""

    flight: str
    status: str
    delay_minutes: int | None = None

    @property
    def said(self) -> str:
        if self.status == "delayed" and self.delay_minutes is not None:
            return f"delayed by {self.delay_minutes} minutes"
        return self.status


class ContextReader(Protocol):
    """Reads one customer's flights from Springline's snapshot, from the twin's copy, or from PostgreSQL."""

    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]: ...


class SnapshotReader:
    """Reads through ``open_snapshot()``. ``sql`` takes ``:customer`` and gives flight, status and delay_minutes."""

    def __init__(self, open_snapshot: Callable[[], AbstractContextManager[Snapshot]], sql: str) -> None:
        self._open = open_snapshot
        self._sql = sql

    def flight_statuses(self, customer: str) -> tuple[FlightStatus, ...]:
        with self._open() as snapshot:
            return statuses(snapshot.query(self._sql, {"customer": customer}).dictionaries())


def statuses(rows: Sequence[Mapping[str, object]]) -> tuple[FlightStatus, ...]:
    return tuple(
        FlightStatus(
            flight=str(row["flight"]),
            status=str(row["status"]),
            delay_minutes=int(str(row["delay_minutes"])) if row.get("delay_minutes") is not None else None,
        )
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Contradiction:
    """``told`` is None where the traveller was told nothing of a flight that the database has; ``known`` None the other way."""

    flight: str
    told: str | None
    known: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """``contradictions``: told, but false throughout. ``undecided``: the truth moved by more than one step during the question."""

    contradictions: tuple[Contradiction, ...]
    undecided: bool


def judge(
    told: Sequence[FlightStatus], before: Sequence[FlightStatus], after: Sequence[FlightStatus]
) -> Judgement:
    """Compares what was told with the truth before the question and after the answer. Pure."""
    told_of, before_of, after_of = (
        {found.flight: found.said for found in each} for each in (told, before, after)
    )
    contradictions: list[Contradiction] = []
    undecided = False
    for flight in sorted({*told_of, *before_of, *after_of}):
        said, first, last = told_of.get(flight), before_of.get(flight), after_of.get(flight)
        if said in (first, last):
            continue
        if first == last:
            contradictions.append(Contradiction(flight, said, last))
        else:
            undecided = True
    return Judgement(tuple(contradictions), undecided)


@dataclass(frozen=True, slots=True)
class Misled:
    """One traveller who was told something false."""

    side: str
    customer: str
    contradiction: Contradiction
    at_us: int


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """Counts since the start. ``*_travellers`` are distinct people; ``refused`` questions got no answer from Springline."""

    asked: int
    travellers: int
    ours_wrong: int
    twin_wrong: int
    ours_travellers: int
    twin_travellers: int
    undecided: int
    refused: int
    per_second: float
    examples: tuple[Misled, ...] = ()
    error: str | None = None


class Fleet:
    """Asks in a thread of its own, ``per_second`` times a second at most, for customers drawn from ``travellers()``."""

    def __init__(
        self,
        *,
        truth: ContextReader,
        ours: ContextReader,
        twin: ContextReader,
        travellers: Callable[[], Sequence[str]],
        per_second: float = 7.0,
        seed: int = 1,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._truth, self._ours, self._twin = truth, ours, twin
        self._travellers = travellers
        self._per_second = per_second
        self._random = random.Random(seed)
        self._clock_us = clock_us
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked: deque[float] = deque(maxlen=64)
        self._counts = {"asked": 0, "ours": 0, "twin": 0, "undecided": 0, "refused": 0}
        self._people: dict[str, set[str]] = {"asked": set(), "ours": set(), "twin": set()}
        self._examples: deque[Misled] = deque(maxlen=EXAMPLES_KEPT)
        self._error: str | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Idempotent; returns when the question in progress is answered."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def status(self) -> FleetStatus:
        with self._lock:
            span = self._asked[-1] - self._asked[0] if len(self._asked) > 1 else 0.0
            return FleetStatus(
                asked=self._counts["asked"],
                travellers=len(self._people["asked"]),
                ours_wrong=self._counts["ours"],
                twin_wrong=self._counts["twin"],
                ours_travellers=len(self._people["ours"]),
                twin_travellers=len(self._people["twin"]),
                undecided=self._counts["undecided"],
                refused=self._counts["refused"],
                per_second=(len(self._asked) - 1) / span if span > 0 else 0.0,
                examples=tuple(reversed(self._examples)),
                error=self._error,
            )

    def _run(self) -> None:
        people: Sequence[str] = ()
        read_at = float("-inf")
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                if started - read_at > TRAVELLERS_REREAD_S:
                    people, read_at = self._travellers(), started
                if people:
                    self.ask_once(self._random.choice(people))
                    with self._lock:
                        self._error = None
            except Exception as error:
                # The database may be restarting; the fleet goes on asking, and says so.
                logger.warning("A question of the fleet failed: %s", error)
                with self._lock:
                    self._error = str(error).strip()
                self._stop.wait(1.0)
            self._stop.wait(max(0.0, 1 / self._per_second - (time.monotonic() - started)))

    def ask_once(self, customer: str) -> None:
        """One traveller asks both. The order of asking is drawn, so that neither side has the later truth more often."""
        before = self._truth.flight_statuses(customer)
        told: dict[str, tuple[FlightStatus, ...]] = {}
        sides = [("ours", self._ours), ("twin", self._twin)]
        self._random.shuffle(sides)
        refused = False
        for side, reader in sides:
            try:
                told[side] = reader.flight_statuses(customer)
            except SpringlineError:
                if side == "twin":
                    raise
                refused = True
        after = self._truth.flight_statuses(customer)
        judged = {side: judge(said, before, after) for side, said in told.items()}
        with self._lock:
            self._asked.append(time.monotonic())
            self._counts["asked"] += 1
            self._counts["refused"] += refused
            self._people["asked"].add(customer)
            self._counts["undecided"] += any(judgement.undecided for judgement in judged.values())
            for side, judgement in judged.items():
                if judgement.contradictions:
                    self._counts[side] += 1
                    self._people[side].add(customer)
                    self._examples.append(
                        Misled(side, customer, judgement.contradictions[0], self._clock_us())
                    )
