"""Endpoints that stream: changes of relations, and the page's events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from springline.runtime.base import ChangeBatch, RelationChange
from springline.serve import sse
from springline.serve.errors import RequestInvalid, describe
from springline.serve.feed import Feed
from springline.serve.reads import RelationName, find_schema
from springline.serve.render import change_json
from springline.serve.service import Service

POSITION_EVERY_S = 5.0

GATHER_S = 0.005
"""Changes of one tick that arrive within this time are sent as one event."""

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def router(service: Service, feed: Feed, streams: sse.Streams) -> APIRouter:
    routes = APIRouter(prefix="/v1")

    @routes.get(
        "/changes", responses=STREAM, response_class=StreamingResponse, tags=["feeds"], summary="Live changes"
    )
    def changes(
        relation: Annotated[
            list[str], Query(max_length=100, description="Tables and views; repeat for several.")
        ],
        last_event_id: Annotated[
            str | None, Header(description="The last `id` received, to continue there.")
        ] = None,
    ) -> StreamingResponse:
        """Changes from now on. Event `changes`: `{"tick", "changes": [{"relation", "weight": 1 | -1, "row"}]}`; a tick may come
        in several. Event `complete`, which carries the `id`: everything up to this tick was sent. Event `reset`: changes were
        missed, read the relations again; the stream goes on from there. Comments are sent while nothing changes."""
        for name in relation:
            find_schema(service, name)
        since = _since(last_event_id)
        return streams.respond(lambda: change_events(service, relation, since, streams.stopping))

    @routes.get(
        "/changes/{relation}",
        responses=STREAM,
        response_class=StreamingResponse,
        tags=["feeds"],
        summary="Changes from a position on",
    )
    def subscription(
        relation: RelationName,
        after: Annotated[
            str | None,
            Query(
                max_length=50,
                description="The last `id` that was dealt with, to continue there; `now`: only what comes; none: the whole relation first.",
            ),
        ] = None,
        last_event_id: Annotated[
            str | None, Header(description="The same, as browsers send it when they connect again.")
        ] = None,
    ) -> StreamingResponse:
        """Every change of one relation whose changes are kept (`retain_s`), once and without a gap, also across restarts of either side.

        Event `changes`: `{"tick", "changes": [{"weight": 1 | -1, "row"}]}`, rows of a tick that go first. It carries an `id` when the
        tick is complete; keep that together with what you made of the changes. Event `reset`: forget what you hold of the relation, all
        of its rows follow. Event `position` has the `id` up to which nothing has changed. Event `error` ends the stream."""
        token = last_event_id or after
        stop = threading.Event()
        batches = service.runtime.subscribe(relation, token, stop=stop, timeout_s=POSITION_EVERY_S)
        return streams.respond(lambda: subscription_events(batches, stop, streams.stopping))

    @routes.get(
        "/events",
        responses=STREAM,
        response_class=StreamingResponse,
        tags=["feeds"],
        summary="The page's events",
    )
    def events() -> StreamingResponse:
        """Event `status` at once and every 500 ms; event `tick` after ticks, merged to at most 60 a second."""
        return streams.respond(lambda: feed.events(streams.stopping))

    return routes


def _since(last_event_id: str | None) -> int | None:
    if last_event_id is None or last_event_id == "":
        return None
    if not last_event_id.isdigit():
        raise RequestInvalid(
            f"Last-Event-ID is {last_event_id[:40]!r}, not a tick.",
            hint="Send the last `id` of this stream, or none.",
        )
    return int(last_event_id)


def unbroken(service: Service, relations: Sequence[str], since: int) -> bool:
    """Whether nothing changed in the relations after tick ``since``. Asked once the subscription is known to be live."""
    ticks = {found.name: found.tick for found in service.runtime.status().relations}
    return all(ticks.get(name, since + 1) <= since for name in relations)


async def change_events(
    service: Service, relations: Sequence[str], since: int | None, stopping: threading.Event
) -> AsyncIterator[bytes]:
    """The events of /v1/changes.

    The runtime feeds changes from the moment of the subscription on. Whether the client missed any before that can only be
    told when the subscription is live, which the first item shows; if that is a change, the answer is to reset.
    """

    def source(stop: threading.Event) -> Iterator[RelationChange | None]:
        return service.runtime.changes(relations, stop, 0.5)

    idle_s = 0.0
    resuming = since is not None
    gathered: list[RelationChange] = []
    unsettled: int | None = None
    """The tick of which more changes may follow."""
    async with sse.Pump(source) as pump:
        while not stopping.is_set():
            try:
                change = await pump.get(GATHER_S if gathered else 0.5)
            except TimeoutError:
                if gathered:
                    yield _changes(gathered)
                    gathered = []
                continue
            except StopAsyncIteration:
                return
            except Exception as error:
                # Too slow (SnapshotTooOld) or worse: either way the client must read again.
                yield sse.event("reset", {"reason": describe(error).to_json()})
                return
            if resuming:
                resuming = False
                if change is not None or not await asyncio.to_thread(
                    unbroken, service, relations, since or 0
                ):
                    yield sse.event("reset", {"reason": f"Changes after tick {since} were missed."})
            if gathered and (change is None or change.tick != gathered[0].tick):
                yield _changes(gathered)
                gathered = []
            if unsettled is not None and (change is None or change.tick != unsettled):
                yield sse.event("complete", {"tick": unsettled}, identifier=unsettled)
                unsettled = None
            if change is None:
                idle_s += 0.5
                if idle_s >= sse.HEARTBEAT_S:
                    idle_s = 0.0
                    yield sse.HEARTBEAT
                continue
            idle_s = 0.0
            gathered.append(change)
            unsettled = change.tick


async def subscription_events(
    batches: Iterator[ChangeBatch], stop: threading.Event, stopping: threading.Event
) -> AsyncIterator[bytes]:
    """The events of /v1/changes/{relation}. ``stop`` ends the batches."""

    def source(gone: threading.Event) -> Iterator[ChangeBatch]:
        for batch in batches:
            yield batch
            if gone.is_set():
                return

    idle_s = 0.0
    try:
        async with sse.Pump(source) as pump:
            while not stopping.is_set():
                try:
                    batch = await pump.get(0.5)
                except TimeoutError:
                    idle_s += 0.5
                    if idle_s >= sse.HEARTBEAT_S:
                        idle_s = 0.0
                        yield sse.HEARTBEAT
                    continue
                except StopAsyncIteration:
                    return
                except Exception as error:
                    yield sse.error_event(error)
                    return
                idle_s = 0.0
                yield batch_event(batch)
    finally:
        stop.set()


def batch_event(batch: ChangeBatch) -> bytes:
    """A batch of a subscription as an event."""
    if batch.event == "reset":
        return sse.event("reset", {"tick": batch.tick, "reason": batch.reason})
    if batch.event == "idle":
        return sse.event("position", {"tick": batch.tick}, identifier=batch.token)
    changes = [{"weight": change.weight, "row": change.row} for change in batch.changes]
    return sse.event("changes", {"tick": batch.tick, "changes": changes}, identifier=batch.token)


def _changes(gathered: Sequence[RelationChange]) -> bytes:
    return sse.event(
        "changes", {"tick": gathered[0].tick, "changes": [change_json(change) for change in gathered]}
    )
