"""A fake application for developing and testing the interfaces: the real HTTP code over a small airline in memory.

``python -m springline.testing.fake_service`` serves the page on it. A "source" database is changed by the storm and by the
visitor; a thread carries its changes into a second one, the "state", in ticks. Twin and fleet are the real classes.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from springline.core.position import PositionVector, PostgresPosition, Tick
from springline.core.schema import TableSchema
from springline.core.types import DOUBLE, INT, STRING, SqlType, Stored
from springline.errors import ConfigurationError, NotFound, SqlError
from springline.runtime.base import (
    ChangeBatch,
    Freshness,
    KnowledgeStatus,
    OnMiss,
    QueryResult,
    RelationChange,
    RelationStatus,
    Require,
    SourceAge,
    Status,
    TickNotice,
)
from springline.serve.service import AskRequest, AssistantInfo, JsonObject
from springline.sources.base import SourceStatus
from springline.testing import fake_world
from springline.testing.fake_world import VIEW, now_us

LAG_S = 0.003
"""From a commit in the source to the tick that shows it."""


@dataclass(frozen=True, slots=True)
class FakeHit:
    document: str
    section: tuple[str, ...]
    language: str
    text: str
    score: float


class FakeSnapshot:
    """A copy of the state at one tick."""

    def __init__(
        self, database: sqlite3.Connection, tick: int, freshness: Freshness, documents: Mapping[str, str]
    ) -> None:
        self.tick = Tick(tick)
        self.applied = PositionVector({"airline": PostgresPosition(0x1_6B37480 + tick * 88)})
        self.freshness = freshness
        self.taken_at_us = now_us()
        self.log_sequence = tick
        self.schemas: Mapping[str, TableSchema] = fake_world.schemas()
        self._database = database
        self._documents = documents

    def ages(self) -> Mapping[str, SourceAge]:
        position = f"postgres:{self.applied['airline']}"
        age_ms = (now_us() - self.taken_at_us) / 1_000 + 2.4
        return {"airline": SourceAge("airline", position, position, self.taken_at_us, age_ms)}

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, limit: int | None = None
    ) -> QueryResult:
        try:
            # The source's name is a part of the table's name here, and a name of its own in our SQL.
            text = sql.replace("`airline`.`", "`airline.").replace("springline.dead_letters", "dead_letters")
            cursor = self._database.execute(text, dict(parameters or {}))
        except sqlite3.Error as error:
            raise SqlError(str(error), hint="Look at the names under Tables.", line=1, column=1) from error
        rows = [tuple(row) for row in (cursor.fetchall() if limit is None else cursor.fetchmany(limit))]
        names = [column[0] for column in cursor.description or ()]
        kinds: dict[type[Any], SqlType] = {int: INT, float: DOUBLE}
        types = [
            next(
                (kinds.get(cast("type[Any]", type(row[i])), STRING) for row in rows if row[i] is not None),
                STRING,
            )
            for i in range(len(names))
        ]
        return QueryResult(
            tuple(zip(names, types, strict=True)),
            rows,
            tuple(n for n in fake_world.schemas() if n in sql.replace("`", "")),
        )

    def search(self, knowledge_base: str, text: str, *, limit: int = 8, also: str = "") -> Sequence[FakeHit]:
        if knowledge_base != "policies":
            raise NotFound(f"There is no knowledge base {knowledge_base!r}.", hint="There is: policies.")
        language = "zh-TW" if "航班" in text or "旅館" in text else "ja" if "便" in text else "en"
        hits = [FakeHit(d, s, of, t, 0.9) for d, s, of, t in fake_world.PASSAGES if of == language]
        own = [
            FakeHit(name, ("Your own policy",), "en", body, 0.95) for name, body in self._documents.items()
        ]
        return [*own, *hits][:limit]

    def last_change(self, relation: str, key: Sequence[Stored]) -> tuple[int, int | None] | None:
        return (int(self.tick), None)

    def sources_of(self, relation: str) -> Sequence[str]:
        return ["airline"]


@dataclass
class FakeRuntime:
    """See ``runtime.base.Runtime``. ``start`` begins to carry changes from the source into the state."""

    state: str = "running"
    errors: list[str] = field(default_factory=list[str])
    loading: bool = False

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.source = fake_world.connect()
        fake_world.populate(self.source)
        self.documents: dict[str, str] = {}
        self._schemas = fake_world.schemas()
        self._started_at_us = now_us()
        self._tick = 1
        self._touched = dict.fromkeys(self._schemas, 1)
        self._changes = 0
        self._rate: deque[tuple[float, int]] = deque(maxlen=200)
        self._arrived = threading.Condition()
        self._notices: deque[TickNotice] = deque(maxlen=1_000)
        self._feed: deque[tuple[int, RelationChange]] = deque(maxlen=5_000)
        self._fed = 0
        self._stop = threading.Event()
        self._images = {name: self._image(name) for name in self._schemas}

    def start(self) -> None:
        threading.Thread(target=self._run, name="fake-ticks", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def prepare(self, question: str) -> None:
        """Nothing: the fake has no vectors."""

    def schemas(self) -> Mapping[str, TableSchema]:
        return self._schemas

    def explain(self, view: str) -> str:
        if view != "customer_flights":
            raise NotFound(f"There is no view {view!r}.", hint="There is: customer_flights.")
        return "customer_flights\n  inner join airline.bookings, airline.flights   delta: cost follows the change\n"

    @contextmanager
    def read(
        self, *, require: Require = "none", deadline_ms: float = 2_000, on_miss: OnMiss = "refuse"
    ) -> Iterator[FakeSnapshot]:
        asked = now_us()
        if require == "now":
            self.carry()
        with self.lock:
            yield FakeSnapshot(
                self.copy(), self._tick,
                Freshness(require, True, (now_us() - asked) / 1_000, PositionVector(), asked), dict(self.documents),
            )  # fmt: skip

    def copy(self) -> sqlite3.Connection:
        """The source's tables under the names that Springline gives them, in a database of their own."""
        copied = fake_world.connect()
        with self.lock:
            self.source.backup(copied)
        for name in self._schemas:
            if name.startswith("airline."):
                copied.execute(f'ALTER TABLE "{name.partition(".")[2]}" RENAME TO "{name}"')
        text = VIEW.replace(
            "FROM bookings b JOIN flights f", 'FROM "airline.bookings" b JOIN "airline.flights" f'
        )
        copied.execute(f"CREATE TABLE customer_flights AS {text}")
        copied.executescript(fake_world.DEAD_LETTERS)
        copied.commit()
        return copied

    def status(self) -> Status:
        recent = [count for at, count in self._rate if at > time.monotonic() - 5]
        position = PostgresPosition(0x1_6B37480 + self._tick * 88)
        source = SourceStatus("streaming", position, 0, 16_384, now_us(), 172, 172)
        relations = [
            RelationStatus(
                name, "view" if name == "customer_flights" else "table", "loading" if self.loading else "live",
                len(self._images[name]), self._touched[name],
            )
            for name in self._schemas
        ]  # fmt: skip
        return Status(
            self.state, self._tick, self._started_at_us, PositionVector({"airline": position}),  # type: ignore[arg-type]
            {"airline": SourceStatus("snapshot", position, None, None, now_us(), 90, 172) if self.loading else source},
            relations, [KnowledgeStatus("policies", 12, 12, 84, 0, 0, None)], self._changes, sum(recent) / 5, len(recent) / 5,
            {"p50": 2.4, "p99": 7.9}, 81_920, 1_204_224, 3_407_872, 0, tuple(self.errors),
        )  # fmt: skip

    def changes(
        self, relations: Sequence[str], stop: threading.Event, timeout_s: float = 1.0
    ) -> Iterator[RelationChange | None]:
        seen = self._fed
        while not stop.is_set() and not self._stop.is_set():
            with self._arrived:
                self._arrived.wait_for(lambda: self._fed > seen, timeout_s)  # noqa: B023
                fresh = [
                    change for number, change in self._feed if number > seen and change.relation in relations
                ]
                seen = self._fed
            yield from fresh or [None]

    def subscribe(
        self,
        relation: str,
        after: str | None = None,
        *,
        stop: threading.Event | None = None,
        timeout_s: float = 1.0,
    ) -> Iterator[ChangeBatch]:
        raise ConfigurationError(f"The changes of {relation!r} are not kept.")

    def ticks(self, stop: threading.Event, timeout_s: float = 1.0) -> Iterator[TickNotice | None]:
        seen = self._tick
        while not stop.is_set() and not self._stop.is_set():
            with self._arrived:
                self._arrived.wait_for(lambda: self._tick > seen, timeout_s)  # noqa: B023
                fresh = [notice for notice in self._notices if notice.tick > seen]
                seen = self._tick
            yield from fresh or [None]

    def _run(self) -> None:
        while not self._stop.wait(LAG_S):
            self.carry()

    def carry(self) -> None:
        """One tick: what changed in the source since the last one becomes visible, together."""
        with self.lock:
            if self._marker() == self._seen_marker:
                return
            self._seen_marker = self._marker()
            began = time.perf_counter()
            deltas: dict[str, tuple[dict[Any, Any], dict[Any, Any]]] = {}
            for name in self._schemas:
                image = self._image(name)
                if image != self._images[name]:
                    deltas[name] = (self._images[name], image)
                    self._images[name] = image
            if deltas:
                self._commit(deltas, began)

    _seen_marker = -1

    def _marker(self) -> int:
        return self.source.total_changes

    def _commit(self, deltas: Mapping[str, tuple[dict[Any, Any], dict[Any, Any]]], began: float) -> None:
        with self._arrived:
            self._tick += 1
            touched: dict[str, int] = {}
            for name, (old, new) in deltas.items():
                keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
                touched[name] = len(keys)
                self._touched[name] = self._tick
                for key in keys:
                    self._add(name, -1, old.get(key))
                    self._add(name, 1, new.get(key))
            count = sum(touched.values())
            self._changes += count
            self._rate.append((time.monotonic(), count))
            took_ms = (time.perf_counter() - began) * 1_000
            self._notices.append(
                TickNotice(Tick(self._tick), now_us(), count, touched, now_us() - 2_400, took_ms)
            )
            self._arrived.notify_all()

    def _add(self, name: str, weight: Literal[1, -1], row: dict[str, Any] | None) -> None:
        if row is not None:
            self._fed += 1
            self._feed.append((self._fed, RelationChange(Tick(self._tick), name, weight, row)))

    def _image(self, name: str) -> dict[Any, dict[str, Any]]:
        key = self._schemas[name].key[0]
        text = VIEW if name == "customer_flights" else f"SELECT * FROM {name.partition('.')[2]}"
        with self.lock:
            return {row[key]: dict(row) for row in self.source.execute(text)}


@dataclass(frozen=True)
class FakeAnswer:
    content: JsonObject

    def to_json(self) -> JsonObject:
        return self.content


@dataclass(frozen=True)
class FakeEvent:
    event: str
    data: Mapping[str, object]


class FakeService:
    """See ``serve.service.Service``: quotes the customer's flight and the passages."""

    name = "blizzard"

    def __init__(self, runtime: FakeRuntime | None = None, *, model: str | None = None) -> None:
        self.runtime = runtime or FakeRuntime()
        self.model = model
        self.receipts: dict[str, JsonObject] = {}

    def assistant(self) -> AssistantInfo:
        return AssistantInfo("model" if self.model else "extractive", self.model, ("policies",))

    def ask(self, request: AskRequest) -> FakeAnswer:
        with self.runtime.read(require=request.require, deadline_ms=request.deadline_ms) as snapshot:
            return self.answer(request, snapshot)

    def ask_stream(self, request: AskRequest) -> Iterator[FakeEvent]:
        answer = self.ask(request)
        for word in str(answer.content["answer"]).split(" "):
            time.sleep(0.01)
            yield FakeEvent("token", {"text": word + " "})
        yield FakeEvent("answer", answer.content)

    def receipt(self, receipt_id: str) -> JsonObject:
        if receipt_id not in self.receipts:
            raise NotFound(
                f"There is no receipt {receipt_id!r}.", hint="Receipts are listed with every answer."
            )
        return self.receipts[receipt_id]

    def verify(self, receipt_id: str) -> JsonObject:
        self.receipt(receipt_id)
        detail = "The context was rebuilt from the log and is the same, byte for byte."
        return {"receipt": receipt_id, "verified": True, "detail": detail, "differences": []}

    def reload(self, tables: Sequence[str]) -> list[str]:
        return list(tables)

    def ticks(self, stop: threading.Event, timeout_s: float = 1.0) -> Iterator[TickNotice | None]:
        return self.runtime.ticks(stop, timeout_s)

    def answer(self, request: AskRequest, snapshot: Any) -> FakeAnswer:
        """The assistant over any snapshot: Springline's, or the twin's copy."""
        began = time.perf_counter()
        found = snapshot.query(
            "SELECT * FROM customer_flights WHERE customer_id = :c", {"c": request.subject}
        ).dictionaries()
        hits = snapshot.search("policies", request.question, limit=3)
        parts, citations = _compose(found, hits, snapshot)
        age_ms = snapshot.ages()["airline"].age_ms
        receipt = f"r_{uuid.uuid4().hex[:12]}"
        took_ms = (time.perf_counter() - began) * 1_000
        content: JsonObject = {
            "answer": " ".join(parts), "mode": "model" if self.model else "extractive", "model": self.model,
            "notice": None if self.model else "No language model is configured: this answer quotes the rows and passages found.",
            "language": hits[0].language if hits else "en", "question": request.question, "subject": request.subject,
            "citations": citations,
            "snapshot": {"tick": snapshot.tick, "positions": snapshot.applied.to_json(), "ages": {"airline": age_ms}},
            "freshness": {"require": request.require, "met": True, "waited_ms": snapshot.freshness.waited_ms, "missing": []},
            "receipt": receipt,
            "took_ms": {"barrier": snapshot.freshness.waited_ms, "context": took_ms, "answer": 0.3, "total": took_ms + 0.3},
        }  # fmt: skip
        self.receipts[receipt] = {"id": receipt, **content}
        return FakeAnswer(content)


def _compose(
    found: list[dict[str, Any]], hits: Sequence[FakeHit], snapshot: Any
) -> tuple[list[str], list[JsonObject]]:
    parts: list[str] = []
    citations: list[JsonObject] = []
    position = f"postgres:{snapshot.applied['airline']}"
    common = {
        "source": "airline",
        "position": position,
        "age_ms": snapshot.ages()["airline"].age_ms,
        "changed_at": None,
    }
    for row in found or []:
        number = len(citations) + 1
        late = f" by {row['delay_minutes']} minutes" if row["status"] == "delayed" else ""
        gate = f" It leaves from gate {row['gate']}." if row["gate"] else ""
        parts.append(
            f"Flight {row['flight_code']} from {row['origin']} to {row['destination']} is {row['status']}{late}.{gate} [{number}]"
        )
        badges = {name: fake_world.PROVENANCE.get(f"flights.{name}", "generated") for name in row}
        citations.append({
            **common, "id": number, "kind": "row", "relation": "customer_flights", "document": None,
            "key": {"booking_reference": row["booking_reference"]}, "title": f"{row['flight_code']} for {row['customer_id']}",
            "text": None, "columns": row, "section": [], "badges": badges,
        })  # fmt: skip
    for hit in hits:
        number = len(citations) + 1
        parts.append(f"“{hit.text}” [{number}]")
        citations.append({
            **common, "id": number, "kind": "passage", "relation": None, "document": hit.document, "key": None,
            "title": hit.document, "text": hit.text, "columns": None, "section": list(hit.section), "source": "policies",
            "position": "folder:4", "badges": {"text": "generated"},
        })  # fmt: skip
    return parts or ["I found no booking for this customer."], citations


def main() -> None:
    """Serves the page over the fake until interrupted."""
    import sys

    from springline.testing.fake_demo import serve_fake

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    served = serve_fake(port=port, demo="--plain" not in sys.argv, model="--model" in sys.argv)
    print(f"The page over a fake application: {served.server.url}  ({Path(__file__).name})", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        served.close()


if __name__ == "__main__":
    main()
