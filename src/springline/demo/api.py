"""The demo's own endpoints: the storm's controls, the twin beside us, and the visitor's SQL box."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import Field

from springline.demo.fleet import FlightStatus, judge
from springline.demo.scenario import Scenario
from springline.demo.stage import Customer, Desk, Fleet, Stage, Twin
from springline.errors import ConfigurationError, SpringlineError
from springline.serve import sse
from springline.serve.auth import Access
from springline.serve.errors import CrossSite
from springline.serve.models import Form
from springline.serve.reads import bound
from springline.serve.render import plain
from springline.serve.service import AskRequest, JsonObject, Limits, Service

STATE_INTERVAL_S = 0.5

Subject = Annotated[str, Path(max_length=200, description="The customer's key.")]


class SpeedForm(Form):
    speed: float = Field(ge=1, le=1_000_000, description="Storm seconds per real second.")


class PauseForm(Form):
    paused: bool


class JumpForm(Form):
    to: datetime = Field(description="A moment on the storm's clock, not before now.")


class TwinForm(Form):
    interval_s: float = Field(description="Seconds between refreshes, on the storm's clock: 5 to 3600.")


class DemoAskForm(Form):
    question: str = Field(min_length=1, max_length=100_000)
    subject: str = Field(max_length=500)
    sides: list[Literal["ours", "twin"]] = Field(
        default_factory=lambda: ["ours", "twin"], description="Whom to ask."
    )


class SqlForm(Form):
    sql: str = Field(
        min_length=1, max_length=1_000_000, description="Run as an ordinary client of the demo's database."
    )


class PolicyForm(Form):
    text: str = Field(
        max_length=20_000, description="Markdown of the visitor's own policy document; empty removes it."
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Demo:
    """Everything that the demo's endpoints talk to."""

    scenario: Scenario
    stage: Stage
    twin: Twin
    fleet: Fleet
    desk: Desk
    service: Service
    access: Access
    limits: Limits = dataclasses.field(default_factory=Limits)

    def live(self) -> JsonObject:
        """What changes all the time: also the part ``demo`` of /v1/events."""
        return {
            "storm": plain(self.stage.status()),
            "twin": plain(self.twin.status()),
            "fleet": plain(self.fleet.status()),
        }

    def state(self) -> JsonObject:
        scenario = self.scenario
        return {
            "name": scenario.name,
            "title": scenario.title,
            "summary": scenario.summary,
            "clock_start": scenario.clock_start.isoformat(),
            "clock_end": scenario.clock_end.isoformat(),
            "default_speed": scenario.speed,
            "featured": [plain(featured) for featured in scenario.featured],
            "provenance": dict(scenario.provenance),
            "sql_allowed": self.access.is_loopback,
            **self.live(),
        }


def router(demo: Demo, streams: sse.Streams | None = None) -> APIRouter:
    """The endpoints under /demo."""
    routes = APIRouter(prefix="/demo", tags=["demo"])

    @routes.get("/state", summary="The scenario, the storm's clock, the twin and the fleet")
    def state() -> dict[str, Any]:
        return demo.state()

    @routes.get(
        "/events", response_class=StreamingResponse, summary="The changing part of the state, twice a second"
    )
    def events() -> StreamingResponse:
        open_streams = streams or sse.Streams(demo.limits.streams)
        return open_streams.respond(lambda: _events(demo, open_streams))

    _controls(routes, demo)
    _asking(routes, demo)
    _visitors(routes, demo)
    return routes


async def _events(demo: Demo, streams: sse.Streams) -> AsyncIterator[bytes]:
    while not streams.stopping.is_set():
        live = await anyio.to_thread.run_sync(demo.live)
        yield sse.event("demo", {**live, "sent_at_us": time.time_ns() // 1_000})
        await anyio.sleep(STATE_INTERVAL_S)


def _controls(routes: APIRouter, demo: Demo) -> None:
    @routes.post("/speed", summary="Set the storm's speed")
    def speed(form: SpeedForm) -> dict[str, Any]:
        demo.stage.set_speed(form.speed)
        return demo.live()

    @routes.post("/pause", summary="Pause or resume the storm")
    def pause(form: PauseForm) -> dict[str, Any]:
        (demo.stage.pause if form.paused else demo.stage.resume)()
        return demo.live()

    @routes.post("/jump", summary="Move the storm's clock forward")
    def jump(form: JumpForm) -> dict[str, Any]:
        """What happens in between is committed at once, in order."""
        if form.to.tzinfo is None:
            raise ConfigurationError(
                "The moment has no time zone.", hint="Write it like 2013-02-08T15:00:00-05:00."
            )
        # Kept in the scenario's own time zone, in which the page shows it.
        demo.stage.jump(form.to.astimezone(demo.scenario.clock_start.tzinfo))
        return demo.live()

    @routes.post("/twin", summary="Set how often the twin refreshes")
    def twin(form: TwinForm) -> dict[str, Any]:
        demo.twin.set_interval(form.interval_s)
        return demo.live()


def _asking(routes: APIRouter, demo: Demo) -> None:
    @routes.post("/ask", summary="Ask Springline and the twin the same question")
    def ask(form: DemoAskForm) -> JSONResponse:
        """`{"ours", "twin", "truth"}`. `truth.ours` and `truth.twin` list what each was told about the customer's flights that the
        database had committed otherwise before the question and still had after the answer. A side that failed has the
        error shape under `error`."""
        bound("question", form.question, demo.limits.question_characters)
        request = AskRequest(question=form.question, subject=form.subject)
        before = demo.desk.truth(form.subject)
        asked = {"ours": demo.service.ask, "twin": demo.twin.ask}
        answers: JsonObject = {"ours": None, "twin": None}
        with ThreadPoolExecutor(max_workers=2, thread_name_prefix="demo-ask") as pool:
            running = {side: pool.submit(asked[side], request) for side in dict.fromkeys(form.sides)}
            for side, future in running.items():
                try:
                    answers[side] = future.result().to_json()
                except SpringlineError as error:
                    answers[side] = {"error": error.to_json()}
        after = demo.desk.truth(form.subject)
        truth: JsonObject = {"flights": [_flight(flight) for flight in after]}
        for side in form.sides:
            told = told_by(answers[side])
            truth[side] = None if told is None else claims_against(told, before, after)
        return JSONResponse({**answers, "truth": truth})


def claims_against(
    told: Sequence[FlightStatus], before: Sequence[FlightStatus], after: Sequence[FlightStatus]
) -> list[JsonObject]:
    """What was told and is false. An answer need not name every flight, so silence about one is no claim."""
    return [plain(found) for found in judge(told, before, after).contradictions if found.told is not None]


def told_by(answer: JsonObject) -> tuple[FlightStatus, ...] | None:
    """The flight statuses among an answer's cited rows; None where it cites none, as it then claims nothing about them."""
    found: dict[str, FlightStatus] = {}
    for citation in answer.get("citations", ()):
        columns: JsonObject = citation.get("columns") or {}
        # Only the view of a customer's own flights has this column; what else the answer offers is no claim about them.
        name = columns.get("flight")
        if name is not None and columns.get("status") is not None:
            delay = columns.get("delay_minutes")
            found[name] = FlightStatus(
                str(name), str(columns["status"]), None if delay is None else int(delay)
            )
    return tuple(found.values()) or None


def _flight(flight: FlightStatus) -> JsonObject:
    return {**plain(flight), "said": flight.said}


def _customer(customer: Customer) -> JsonObject:
    return {**plain(customer), "flights": [_flight(flight) for flight in customer.flights]}


def _visitors(routes: APIRouter, demo: Demo) -> None:
    def only_here() -> None:
        if not demo.access.is_loopback:
            raise CrossSite(
                "The SQL box works only while the demo listens on this machine alone.",
                hint="Start the demo without --host, or with --host 127.0.0.1.",
            )

    @routes.get("/customers", summary="Find customers by id or name")
    def customers(q: Annotated[str, Query(max_length=200)] = "") -> list[dict[str, Any]]:
        return [_customer(customer) for customer in demo.desk.customers(q, 8)]

    @routes.get("/customers/{subject}", summary="A customer's flights, with statements to try")
    def customer(subject: Subject) -> dict[str, Any]:
        return _customer(demo.desk.customer(subject))

    @routes.post("/sql", summary="You are the storm")
    def sql(form: SqlForm) -> dict[str, Any]:
        """Commits the statement in the demo's PostgreSQL, as an ordinary client would. Only while listening on loopback."""
        only_here()
        bound("sql", form.sql, demo.limits.sql_characters)
        outcome = demo.desk.run(form.sql)
        return {**plain(outcome), "returned_at_us": time.time_ns() // 1_000}

    @routes.post("/policy", summary="Write a policy of your own")
    def policy(form: PolicyForm) -> dict[str, Any]:
        """Writes a Markdown file into the demo's documents folder; empty text removes it. Only while listening on loopback."""
        only_here()
        return {
            "committed_at_us": demo.desk.write_policy(form.text),
            "returned_at_us": time.time_ns() // 1_000,
        }
