"""Server-sent events: blocking iterators pumped from a thread of their own into a response that beats while it is idle."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

from fastapi.responses import StreamingResponse

from springline.serve.errors import TooManyStreams, describe

T = TypeVar("T")

HEARTBEAT_S = 10.0
"""A comment is sent after this long without an event, so that proxies keep the connection and clients notice its loss."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

HEARTBEAT = b": still here\n\n"


def event(name: str, data: object, *, identifier: str | int | None = None) -> bytes:
    """One event; the data is JSON on one line."""
    head = "" if identifier is None else f"id: {identifier}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'), default=str)}\n\n".encode()


def error_event(error: BaseException) -> bytes:
    """The event that ends a stream which failed; its data has the one error shape."""
    return event("error", describe(error).to_json())


class Streams:
    """The open streams of a server: how many there may be, and that they end when it stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    @property
    def open(self) -> int:
        return self._open

    def respond(self, make: Callable[[], AsyncIterator[bytes]]) -> StreamingResponse:
        """A response of the events that ``make()`` yields. Raises TooManyStreams."""
        with self._lock:
            if self._open >= self._limit:
                raise TooManyStreams(
                    f"{self._limit} event streams are open already.", hint="Close one, or raise the limit."
                )
        return StreamingResponse(self._run(make), media_type="text/event-stream", headers=HEADERS)

    async def _run(self, make: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
        with self._lock:
            self._open += 1
        try:
            # Sent at once, so that the client knows that the stream is open.
            yield b"retry: 1000\n\n"
            async for part in make():
                yield part
        finally:
            with self._lock:
                self._open -= 1


class Pump(Generic[T]):
    """Runs a blocking iterator in a thread and hands its items to the event loop, at most ``size`` of them ahead."""

    def __init__(self, source: Callable[[threading.Event], Iterator[T]], *, size: int = 1_024) -> None:
        self._source = source
        self._room = threading.Semaphore(size)
        self._stop = threading.Event()
        self._queue: asyncio.Queue[tuple[str, T | BaseException | None]] = asyncio.Queue()

    async def __aenter__(self) -> Pump[T]:
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, args=(loop,), name="springline-stream", daemon=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        items: Iterator[T] | None = None
        try:
            items = self._source(self._stop)
            for item in items:
                while not self._room.acquire(timeout=0.5):
                    if self._stop.is_set():
                        return
                if self._stop.is_set():
                    return
                loop.call_soon_threadsafe(self._queue.put_nowait, ("item", item))
            loop.call_soon_threadsafe(self._queue.put_nowait, ("end", None))
        except RuntimeError as error:
            # The loop is closed: nobody listens any more. Anything else is the source's own failure.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._queue.put_nowait, ("error", error))
        except BaseException as error:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._queue.put_nowait, ("error", error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    async def get(self, timeout_s: float) -> T:
        """The next item. Raises TimeoutError, StopAsyncIteration at the end, or what the iterator raised."""
        async with asyncio.timeout(timeout_s):
            kind, value = await self._queue.get()
        if kind == "item":
            self._room.release()
            return value  # type: ignore[return-value]
        if kind == "error":
            assert isinstance(value, BaseException)
            raise value
        raise StopAsyncIteration


async def events_of(
    source: Callable[[threading.Event], Iterator[tuple[str, object]]], stopping: threading.Event
) -> AsyncIterator[bytes]:
    """A stream of ``(name, data)`` pairs with heartbeats. An exception becomes the last event, ``error``."""
    idle_s = 0.0
    async with Pump(source) as pump:
        while not stopping.is_set():
            try:
                name, data = await pump.get(0.5)
            except TimeoutError:
                idle_s += 0.5
                if idle_s >= HEARTBEAT_S:
                    idle_s = 0.0
                    yield HEARTBEAT
                continue
            except StopAsyncIteration:
                return
            except Exception as error:
                yield error_event(error)
                return
            idle_s = 0.0
            yield event(name, data)
