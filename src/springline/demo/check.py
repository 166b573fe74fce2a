"""``make demo-check``: proves the demo's promise against the database itself.

The blizzard is replayed fast. In the middle of its stream of changes, thirty times, a change is committed to the very flight that is then
asked about, at once and with the recency barrier on. What the right answer is, PostgreSQL says: a second logical slot with
``test_decoding``, which shares no code with Springline's capture, tells every change of that flight and the position of its commit; the
last one up to the position that the answer declares is the truth. An answer is *stale* if the position that it declares
is before our commit, and *wrong* if what it says of the flight is not the truth at that position.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from springline.assistant.base import Answer, AskRequest
from springline.core.position import PostgresPosition, position_from_text
from springline.demo.run import Demo, Options, started
from springline.errors import SpringlineError
from springline.runtime.base import Require

if TYPE_CHECKING:
    from springline.app import App

ASKS = 30
DEADLINE_MS = 30_000
SPEED = 18_000.0
SLOT = "springline_check"
QUESTION = "Is my flight cancelled, and what are my options?"
COLUMNS = ("status", "delay_minutes", "gate")

_CHANGED = re.compile(r"^table public\.flights: (?:UPDATE|INSERT): .*?\bflight_id\[integer\]:(\d+) ")
_BOOKED = re.compile(
    r"^table public\.booking_flights: (?:UPDATE|INSERT): .*?\bbooking_flight_id\[integer\]:(\d+) "
    r".*?\bflight_id\[integer\]:(\d+) "
)
_VALUE = re.compile(r"\b(status|delay_minutes|gate)\[(?:text|integer)\]:(null|\d+|-\d+|'(?:[^']|'')*')")


@dataclass(frozen=True)
class Outcome:
    """What thirty questions showed. ``checkpoint_ms``: on a cluster, how often it is asked for a checkpoint at least."""

    asks: int
    stale: int
    wrong: int
    context_ms: tuple[float, ...]
    problems: tuple[str, ...]
    checkpoint_ms: float | None = None

    @property
    def line(self) -> str:
        ordered = sorted(self.context_ms)
        p50 = ordered[len(ordered) // 2]
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        return (
            f"stale={self.stale}/{self.asks} wrong={self.wrong}/{self.asks}"
            f" commit_to_context_ms p50={p50:.1f} p99={p99:.1f}"
            + ("" if self.checkpoint_ms is None else f" checkpoint_interval_ms={self.checkpoint_ms:g}")
        )

    @property
    def passed(self) -> bool:
        return self.stale == 0 and self.wrong == 0


Cells = dict[str, object]


@dataclass(frozen=True)
class Booked:
    """A customer's booking of a flight."""

    booking_flight: int
    customer: str
    flight: int


class Oracle:
    """What PostgreSQL says that a flight was at a position, and who was booked on it. Reads a slot of its own with ``test_decoding``."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn, application_name="springline-check")
        self._connection.autocommit = True
        self._history: dict[int, list[tuple[PostgresPosition, Cells]]] = {}
        self._rebooked: dict[int, list[tuple[PostgresPosition, int]]] = {}
        self._run(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", SLOT
        )
        self._run("SELECT 1 FROM pg_create_logical_replication_slot(%s, 'test_decoding')", SLOT)

    def flight_at(self, flight: int, position: PostgresPosition) -> Cells | None:
        """The flight's last committed values up to ``position``; None if it was not changed since the oracle began."""
        self._read()
        found = [cells for at, cells in self._history.get(flight, []) if not position < at]
        return found[-1] if found else None

    def is_booked(self, booked: Booked, position: PostgresPosition) -> bool:
        """Whether a booking that was read before still was of its flight at ``position``: the storm rebooks people."""
        self._read()
        since = [flight for at, flight in self._rebooked.get(booked.booking_flight, []) if not position < at]
        return not since or since[-1] == booked.flight

    def first_commit(self, flight: int, gate: str) -> PostgresPosition:
        """Where the commit that brought this gate stands."""
        self._read()
        return next(at for at, cells in self._history[flight] if cells["gate"] == gate)

    def close(self) -> None:
        self._run("SELECT pg_drop_replication_slot(%s)", SLOT)
        self._connection.close()

    def _read(self) -> None:
        pending: list[tuple[int, Cells]] = []
        moved: list[tuple[int, int]] = []
        for lsn, data in self._run(
            "SELECT lsn::text, data FROM pg_logical_slot_get_changes(%s, NULL, NULL)", SLOT
        ):
            if data.startswith("BEGIN"):
                pending, moved = [], []
            elif data.startswith("COMMIT"):
                at = PostgresPosition.from_text(lsn)
                for flight, cells in pending:
                    self._history.setdefault(flight, []).append((at, cells))
                for booking, flight in moved:
                    self._rebooked.setdefault(booking, []).append((at, flight))
            elif found := _BOOKED.match(data):
                moved.append((int(found[1]), int(found[2])))
            elif changed := _CHANGED.match(data):
                pending.append(
                    (int(changed[1]), {name: _literal(text) for name, text in _VALUE.findall(data)})
                )

    def _run(self, sql: str, *parameters: object) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()


def _literal(text: str) -> object:
    if text == "null":
        return None
    return text[1:-1].replace("''", "'") if text.startswith("'") else int(text)


class Client:
    """An ordinary client: picks a customer, commits a change to this customer's flight, asks."""

    def __init__(self, demo: Demo, require: Require, seed: int) -> None:
        self._demo = demo
        self._require: Require = require
        self._random = random.Random(seed)
        self._connection = psycopg2.connect(demo.database_dsn, application_name="springline-check")

    def close(self) -> None:
        self._connection.close()

    def ask(self, number: int, oracle: Oracle) -> tuple[bool, bool, float, str | None]:
        """(stale, wrong, milliseconds from our commit to the context, what was wrong)."""
        booked = self._random.choice(self._travellers())
        customer, flight = booked.customer, booked.flight
        gate = f"Z{number}"
        self._commit(flight, gate)
        committed = time.perf_counter()
        answer = self._demo.running.ask(
            AskRequest(
                QUESTION, subject=f"customer:{customer}", require=self._require, deadline_ms=DEADLINE_MS
            )
        )
        took = answer.took_ms
        overhead_ms = (time.perf_counter() - committed) * 1_000 - took["total"]
        context_ms = max(0.0, overhead_ms) + took["barrier"] + took["context"]
        declared = position_from_text(answer.context.positions["airline"])
        assert isinstance(declared, PostgresPosition)
        stale = declared < oracle.first_commit(flight, gate)
        known = oracle.flight_at(flight, declared)
        truth = known if oracle.is_booked(booked, declared) else None
        told = _told(answer, flight)
        # Before our commit the oracle may know nothing of the flight: such an answer is stale.
        wrong = known is not None and told != truth
        problem = (
            f"{customer} flight {flight}: told {told}, true {truth} at {declared}" if wrong or stale else None
        )
        return stale, wrong, context_ms, problem

    def _travellers(self) -> list[Booked]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("""
                SELECT bf.booking_flight_id, b.customer_id, bf.flight_id
                FROM booking_flights bf JOIN bookings b USING (booking_reference) ORDER BY bf.booking_flight_id
            """)
            return [Booked(*row) for row in cursor]

    def _commit(self, flight: int, gate: str) -> None:
        status = self._random.choice(("cancelled", "delayed", "scheduled"))
        delay = self._random.randrange(20, 300) if status == "delayed" else 0
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                """UPDATE flights SET status = %s, delay_minutes = %s, gate = %s, actual_departure = NULL,
                       actual_arrival = NULL WHERE flight_id = %s""",
                (status, delay, gate, flight),
            )


def _told(answer: Answer, flight: int) -> Cells | None:
    """What the answer's context says of the flight."""
    for piece in answer.context.pieces:
        columns = piece.columns or {}
        if piece.relation == "customer_flights" and columns.get("flight_id") == flight:
            return {name: columns[name] for name in COLUMNS}
    return None


def run(
    options: Options,
    *,
    asks: int = ASKS,
    require: Require = "now",
    seed: int = 8,
    prepare: Callable[[App], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Starts the demo, asks, and stops it. ``prepare`` may change the application before it starts (for mutants)."""
    results: list[tuple[bool, bool, float, str | None]] = []
    with started(options, say=say, play=False, prepare=prepare) as demo:
        oracle = Oracle(demo.database_dsn)
        client = Client(demo, require, seed)
        try:
            demo.replay.start()
            say(f"Replaying at {options.speed:g} times the storm's speed, asking {asks} times …")
            while demo.replay.status().events_done < 200:
                time.sleep(0.02)
            for number in range(asks):
                results.append(client.ask(number, oracle))
            replayed = demo.replay.status()
            interval_ms = demo.running.app.settings.cut_interval_s * 1_000 if options.cluster else None
            say(f"{replayed.events_done} of {replayed.events_total} events were replayed meanwhile.")
        finally:
            client.close()
            oracle.close()
    return Outcome(
        asks,
        sum(one[0] for one in results),
        sum(one[1] for one in results),
        tuple(one[2] for one in results),
        tuple(one[3] for one in results if one[3] is not None),
        interval_ms,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m springline.demo.check", description=__doc__)
    parser.add_argument("--asks", type=int, default=ASKS)
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--cluster", action="store_true", help="on Kafka and Flink")
    parser.add_argument("--embedder", default=None, help="auto, local or hashing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="springline-check-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        options = Options(
            folder=Path(folder),
            port=0,
            speed=SPEED,
            embedder=arguments.embedder,
            quiet=True,
            cluster=arguments.cluster,
        )
        try:
            outcome = run(
                options,
                asks=arguments.asks,
                seed=arguments.seed,
                say=lambda text: print(text, file=sys.stderr),
            )
        except SpringlineError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_status
    for problem in outcome.problems:
        print(problem, file=sys.stderr)
    print(outcome.line)
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
