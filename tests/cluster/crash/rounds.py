"""A cluster of everything, and its parts killed in turn at seeded instants."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import apsw

from springline import cluster
from springline.app import App
from springline.errors import SourceError
from springline.log.kafka.clients import Kafka
from springline.runtime.embedded.outbox import waiting
from springline.runtime.flink.rest import FINISHED, FlinkRest
from springline.settings import Settings
from springline.testing.flink import FlinkCluster
from springline.testing.kafka import KafkaBroker
from springline.testing.postgres import PostgresServer
from tests.cluster.crash.check import Found, check_cuts, check_derived_topics, check_node, check_table_topics
from tests.cluster.crash.declared import create, declare, recomputed
from tests.cluster.crash.load import Load
from tests.cluster.crash.parts import LATEST_S, Node, Refused, capture, new_name, variables
from tests.cluster.crash.program import CAPTURES, NODES
from tests.cluster.crash.questions import Questions

KINDS: Final = ("taskmanager", "jobmanager", "broker", "capture", "node")


@dataclass(slots=True)
class Tally:
    """What a whole run has found."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    checks: int = 0
    answered: int = 0
    refused: int = 0
    transactions: int = 0
    found: Found = field(default_factory=Found)

    def line(self) -> str:
        kinds = " ".join(f"{kind}={number}" for kind, number in self.kills.items())
        return f"kills={sum(self.kills.values())} ({kinds}) {self.found.line()}"


class World:
    """An application on a broker and a cluster that run: PostgreSQL, capture and a node, and those who write and ask. Used in ``with``."""

    def __init__(
        self,
        folder: Path,
        broker: KafkaBroker,
        flink: FlinkCluster,
        *,
        seed: int,
        say: Callable[[str], None] = lambda _: None,
        mutant: str = "",
    ) -> None:
        self.chance = random.Random(seed)
        self.tally = Tally()
        self.broker, self.flink, self.mutant = broker, flink, mutant
        self._folder, self._seed, self._say = folder, seed, say
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> World:
        with contextlib.ExitStack() as closing:
            server = closing.enter_context(database(self._folder / "postgres"))
            self.dsn = server.create_database("bank")
            create(self.dsn)
            self.name = new_name()
            self.kafka = Kafka(self.broker.bootstrap)
            self.environment = variables(self.name, self.dsn, self.broker, self.flink)
            self._deploy()
            closing.callback(self._end_jobs)
            self._say("deployed")
            self.capture = capture(self._folder / "capture", self.environment)
            self.node = Node(self._folder / "node", self.environment)
            for part in (self.capture, self.node):
                closing.callback(part.kill)
                part.start(mutant=self.mutant)
            self.node.wait_for("SELECT version FROM bank.marks")
            self._say("the node answers")
            self.load = Load(self.dsn, self._seed)
            closing.callback(self.load.stop)
            self.questions = [Questions(self.node, self.load, require) for require in ("now", "none")]
            for thread in (self.load, *self.questions):
                thread.start()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _deploy(self) -> None:
        app = App(self.name, settings=Settings.load(environment=self.environment))
        declare(app, self.dsn)
        cluster.deploy(app)

    def _end_jobs(self) -> None:
        rest = FlinkRest(self.flink.rest)
        with contextlib.suppress(SourceError):
            for job in rest.jobs():
                if job.name.startswith(self.name + "-") and job.state not in FINISHED:
                    rest.cancel(job.id)

    # -- kills -----------------------------------------------------------------------------------------------------

    def kill(self, kind: str) -> None:
        """Kills one part at an instant under load, and starts it again. Nothing else is started again."""
        time.sleep(self.chance.uniform(0.3, 2.5))
        how = getattr(self, f"_kill_{kind}")()
        self.tally.kills[kind] += 1
        self._say(f"kill {sum(self.tally.kills.values())}: {kind}{how}")

    def _kill_taskmanager(self) -> str:
        [number] = self.flink.taskmanagers
        self.flink.kill_taskmanager(number)
        self._down()
        self.flink.start_taskmanager()
        return ""

    def _kill_jobmanager(self) -> str:
        self.flink.kill_jobmanager()
        self._down()
        self.flink.start_jobmanager()
        return ""

    def _kill_broker(self) -> str:
        self.broker.kill()
        self._down()
        self.broker.start()
        return ""

    def _kill_capture(self) -> str:
        return self._kill_part(CAPTURES)

    def _kill_node(self) -> str:
        return self._kill_part(NODES)

    def _kill_part(self, points: Sequence[str]) -> str:
        part = self.capture if points is CAPTURES else self.node
        part.kill()
        point = ""
        if self.chance.random() < 0.6:
            # Once more, in the midst of something.
            point = f"{self.chance.choice(points)}:{self.chance.choice((1, 2, 3, 7))}"
            part.start(die_at=point, mutant=self.mutant)
            if not part.wait_gone(60):
                point += ", which it did not come to"
                part.kill()
        self._down()
        part.start(mutant=self.mutant)
        return f", also at {point}" if point else ""

    def outage(self, lasts_s: float) -> None:
        """No broker for a while: capture goes on into its outbox, and the node answers from what it has."""
        committed = self.load.committed
        self.broker.kill()
        before = self._waiting()
        deadline = time.monotonic() + lasts_s
        answers = 0
        while time.monotonic() < deadline or self.load.committed < committed + 50:
            self.node.query("SELECT version FROM bank.marks", require="none")
            answers += 1
            time.sleep(0.5)
        after = self._waiting()
        self.broker.start()
        self._say(
            f"no broker for {lasts_s:g} s: {answers} answers without it; the outbox went from {before} to {after} records"
        )
        if after <= before:
            self.tally.found.wrong += 1
            self.tally.found.note("capture did not go on into its outbox")

    def _waiting(self) -> int:
        state = apsw.Connection(
            str(self.capture.folder / "data" / "state.db"), flags=apsw.SQLITE_OPEN_READONLY
        )
        try:
            return waiting(state)
        finally:
            state.close()

    def _down(self) -> None:
        time.sleep(self.chance.choice((0.0, 0.5, 2.0)))

    # -- checks ----------------------------------------------------------------------------------------------------

    def check(self) -> bool:
        """Nobody writes; once the node covers now, everything is compared. Whether all is well."""
        found, began = Found(), time.monotonic()
        with self.load.held():
            try:
                self.node.wait_for("SELECT version FROM bank.marks", LATEST_S)
            except Refused as error:
                raise AssertionError(f"it does not come back: {error}\n{self.told()}") from error
            took_s = time.monotonic() - began
            expected = recomputed(self.dsn)
            check_table_topics(self.kafka, self.name, self.load.history, found)
            check_derived_topics(self.kafka, self.name, self.load.history, expected, found)
            check_cuts(self.kafka, self.name, found)
            check_node(self.node, expected, found)
        self.tally.checks += 1
        self._gather(found)
        self._say(
            f"check {self.tally.checks} of transaction {self.load.committed}: an answer after {took_s:.1f} s, {found.compared} rows and records: "
            + ("equal" if not self.tally.found else "\n  ".join(["DIFFERENT", *self.tally.found.notes]))
        )
        return not self.tally.found

    def finish(self) -> Tally:
        for one in self.questions:
            one.stop()
        self._gather(Found())
        return self.tally

    def _gather(self, found: Found) -> None:
        for one in self.questions:
            found.add(one.found)
            one.found = Found()
        self.tally.found.add(found)
        self.tally.answered = sum(one.answered for one in self.questions)
        self.tally.refused = sum(one.refused for one in self.questions)
        self.tally.transactions = self.load.committed

    def told(self) -> str:
        """What capture and the node printed last."""
        return f"capture:\n{self.capture.said()}\nnode:\n{self.node.said()}"


@contextlib.contextmanager
def database(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.remove()


def crash(
    folder: Path, *, kills: int, seed: int, outage_s: float = 0.0, say: Callable[[str], None] = lambda _: None
) -> Tally:
    """Kills every kind of part in turn, in a seeded order, until there were so many, or something was found."""
    with (
        KafkaBroker(folder / "kafka") as broker,
        FlinkCluster(folder / "flink", slots=2, zookeeper=True) as flink,
        World(folder, broker, flink, seed=seed, say=say) as world,
    ):
        world.check()
        while (made := sum(world.tally.kills.values())) < kills and not world.tally.found:
            for kind in world.chance.sample(KINDS, len(KINDS))[: kills - made]:
                world.kill(kind)
                if not world.check():
                    break
        if outage_s and not world.tally.found:
            world.outage(outage_s)
            world.check()
        return world.finish()
