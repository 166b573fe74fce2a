"""Server-sent events: whole ticks, heartbeats, and an honest reset."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from springline.core.position import Tick
from springline.errors import SnapshotTooOld
from springline.runtime.base import ChangeBatch, RelationChange, TickNotice
from springline.serve import sse
from springline.serve.errors import TooManyStreams
from springline.serve.feed import Feed, merge
from springline.serve.feeds import change_events, subscription_events
from springline.testing.fake_service import FakeRuntime, FakeService

FLIGHTS = "airline.flights"


def change(tick: int, value: int, weight: Any = 1) -> RelationChange:
    return RelationChange(Tick(tick), FLIGHTS, weight, {"flight_id": value})


def parsed(parts: list[bytes]) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    for part in parts:
        lines = dict(
            line.split(": ", 1) for line in part.decode().strip().split("\n") if not line.startswith(":")
        )
        if "event" in lines:
            events.append((lines["event"], json.loads(lines["data"])))
    return events


class Scripted(FakeRuntime):
    """Feeds what a test says, then ends."""

    script: tuple[RelationChange | Exception | None, ...] = ()

    def changes(self, *_: object) -> Iterator[RelationChange | None]:
        for item in self.script:
            if isinstance(item, Exception):
                raise item
            yield item


def run(script: tuple[Any, ...], since: int | None = None) -> list[tuple[str, Any]]:
    runtime = Scripted()
    runtime.script = script

    async def collect() -> list[bytes]:
        return [
            part async for part in change_events(FakeService(runtime), [FLIGHTS], since, threading.Event())
        ]

    return parsed(asyncio.run(collect()))


def test_a_tick_is_complete_when_the_next_begins_or_nothing_follows() -> None:
    events = run((change(5, 1, -1), change(5, 2), change(6, 3), None))
    assert [(name, data["tick"]) for name, data in events] == [
        ("changes", 5), ("complete", 5), ("changes", 6), ("complete", 6),
    ]  # fmt: skip
    assert [each["weight"] for each in events[0][1]["changes"]] == [-1, 1]


def test_resuming_where_nothing_was_missed_goes_on_without_a_word() -> None:
    # The fake's relations all say that tick 1 changed them last.
    assert run((None, change(2, 1), None), since=1) == [
        ("changes", {"tick": 2, "changes": [{"relation": FLIGHTS, "weight": 1, "row": {"flight_id": 1}}]}),
        ("complete", {"tick": 2}),
    ]


@pytest.mark.parametrize(("script", "since"), [((None, None), 0), ((change(7, 1), None), 1)])
def test_resuming_after_changes_were_missed_says_reset(script: tuple[Any, ...], since: int) -> None:
    assert run(script, since)[0][0] == "reset"


def test_a_consumer_that_was_too_slow_is_told_to_read_again() -> None:
    events = run((change(2, 1), SnapshotTooOld("Too slow.", hint="Read again.")))
    assert events[-1][0] == "reset"
    assert events[-1][1]["reason"]["code"] == "snapshot_too_old"


def test_merged_notices_keep_everything_touched_and_the_oldest_commit() -> None:
    first = TickNotice(Tick(3), 100, 2, {"a": 1, "b": 1}, 90, 1.5)
    second = TickNotice(Tick(4), 110, 1, {"b": 1}, 105, 0.5)
    merged = merge(merge(None, first), second)
    assert merged["tick"] == 4
    assert merged["ticks"] == 2
    assert merged["touched"] == {"a": 1, "b": 2}
    assert merged["newest_source_commit_us"] == 90
    assert merged["duration_ms"] == 1.5


def test_the_page_hears_the_status_at_once_and_a_tick_soon_after_it() -> None:
    runtime = FakeRuntime()
    runtime.start()
    feed = Feed(FakeService(runtime), {"demo": lambda: {"storm": "here"}})
    stopping = threading.Event()

    async def collect() -> list[tuple[str, Any]]:
        events: list[tuple[str, Any]] = []
        stream = feed.events(stopping)
        async with asyncio.timeout(10):
            async for part in stream:
                events += parsed([part])
                if [name for name, _ in events] == ["status", "demo"]:
                    await asyncio.to_thread(_cancel_a_flight, runtime)
                if events[-1][0] == "tick":
                    break
        await stream.aclose()
        return events

    events = asyncio.run(collect())
    runtime.stop()
    assert [name for name, _ in events[:2]] == ["status", "demo"]
    assert events[-1][1]["touched"].keys() == {FLIGHTS}
    assert all("sent_at_us" in data for _, data in events)


def _cancel_a_flight(runtime: FakeRuntime) -> None:
    with runtime.lock:
        runtime.source.execute("UPDATE flights SET status = 'cancelled' WHERE flight_id = 63")
        runtime.source.commit()


def test_idle_streams_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.5)
    stopping = threading.Event()

    def nothing(stop: threading.Event) -> Iterator[tuple[str, object]]:
        stop.wait(5)
        yield from ()

    async def first() -> bytes:
        stream = sse.events_of(nothing, stopping)
        async for part in stream:
            await stream.aclose()
            return part
        raise AssertionError("the stream ended")

    assert asyncio.run(first()).startswith(b": ")


def test_streams_are_limited_and_counted_down() -> None:
    streams = sse.Streams(1)

    async def one() -> AsyncIterator[bytes]:
        yield b"x"

    async def use() -> None:
        response = streams.respond(one)
        iterator = aiter(response.body_iterator)
        await anext(iterator)
        assert streams.open == 1
        with pytest.raises(TooManyStreams):
            streams.respond(one)
        assert [part async for part in iterator] == [b"x"]
        assert streams.open == 0

    asyncio.run(use())


class Subscribed(FakeRuntime):
    """Has the batches that a test says, then fails."""

    batches: tuple[ChangeBatch | Exception, ...] = ()

    def subscribe(
        self, relation: str, after: str | None = None, *, stop: Any = None, timeout_s: float = 1.0
    ) -> Iterator[ChangeBatch]:
        for batch in self.batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch


def test_a_subscription_says_where_to_go_on() -> None:
    runtime = Subscribed()
    row = RelationChange(Tick(5), FLIGHTS, 1, {"flight_id": 1})
    runtime.batches = (
        ChangeBatch(FLIGHTS, "reset", Tick(4), None, (), "From the beginning."),
        ChangeBatch(FLIGHTS, "changes", Tick(4), None, (row,)),
        ChangeBatch(FLIGHTS, "changes", Tick(4), "1.4", (row, row)),
        ChangeBatch(FLIGHTS, "idle", Tick(9), "1.9"),
        SnapshotTooOld("It took too long."),
    )
    stop = threading.Event()

    async def collect() -> list[bytes]:
        batches = runtime.subscribe(FLIGHTS)
        return [part async for part in subscription_events(batches, stop, threading.Event())]

    parts = asyncio.run(collect())
    assert [(name, len(data.get("changes", ()))) for name, data in parsed(parts)] == [
        ("reset", 0), ("changes", 1), ("changes", 2), ("position", 0), ("error", 0),
    ]  # fmt: skip
    assert [b"id: 1." in part for part in parts] == [False, False, True, True, False]
    assert parts[2].startswith(b"id: 1.4\n")
    assert stop.is_set()
