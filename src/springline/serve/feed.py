"""One reader of the runtime for any number of pages: status twice a second, and ticks as they commit.

Each subscriber has a mailbox of the newest status and of the ticks that it has not been sent, merged into one:
a slow page gets fewer, larger notices and never holds anything up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from springline.runtime.base import TickNotice
from springline.serve import sse
from springline.serve.render import status_json, tick_json
from springline.serve.service import JsonObject, Service

logger = logging.getLogger("springline.serve")

STATUS_INTERVAL_S = 0.5
SHORTEST_GAP_S = 1 / 60
"""Pages are told of ticks at most this often; the ticks in between arrive merged."""


def merge(earlier: JsonObject | None, notice: TickNotice) -> JsonObject:
    """Two notices as one: the newest tick, all that was touched, the oldest source commit among them."""
    later = {**tick_json(notice), "ticks": 1}
    if earlier is None:
        return later
    touched = dict(earlier["touched"])
    for relation, rows in notice.touched.items():
        touched[relation] = touched.get(relation, 0) + rows
    commits = [
        c for c in (earlier["newest_source_commit_us"], notice.newest_source_commit_us) if c is not None
    ]
    return {
        **later,
        "ticks": earlier["ticks"] + 1,
        "changes": earlier["changes"] + notice.changes,
        "touched": touched,
        "newest_source_commit_us": min(commits, default=None),
        "duration_ms": max(earlier["duration_ms"], notice.duration_ms),
    }


@dataclass(eq=False)
class Mailbox:
    """What one subscriber has not been sent yet."""

    loop: asyncio.AbstractEventLoop
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    tick: JsonObject | None = None
    parts: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])


class Feed:
    """Publishes to all mailboxes. Its threads run only while somebody listens.

    ``extras`` are further parts sent with each status, by event name: functions that must be quick.
    """

    def __init__(
        self, service: Service, extras: Mapping[str, Callable[[], JsonObject]] | None = None
    ) -> None:
        self._service = service
        self._parts: dict[str, Callable[[], JsonObject]] = {
            "status": lambda: status_json(service.runtime.status()),
            **(extras or {}),
        }
        self._lock = threading.Lock()
        self._mailboxes: set[Mailbox] = set()
        self._stop: threading.Event | None = None

    async def events(self, stopping: threading.Event) -> AsyncIterator[bytes]:
        """The stream of one subscriber: ``status`` (and the extras) at once and twice a second, ``tick`` in between.

        Every event carries ``sent_at_us``, the server's clock, so that a page can tell how long ago things were.
        """
        mailbox = Mailbox(asyncio.get_running_loop())
        self._add(mailbox)
        idle_s = 0.0
        try:
            while not stopping.is_set():
                try:
                    async with asyncio.timeout(0.5):
                        await mailbox.wake.wait()
                except TimeoutError:
                    idle_s += 0.5
                    if idle_s >= sse.HEARTBEAT_S:
                        idle_s = 0.0
                        yield sse.HEARTBEAT
                    continue
                idle_s = 0.0
                for name, data in self._take(mailbox):
                    identifier = data["tick"] if name == "tick" else None
                    yield sse.event(
                        name, {**data, "sent_at_us": time.time_ns() // 1_000}, identifier=identifier
                    )
                await asyncio.sleep(SHORTEST_GAP_S)
        finally:
            self._remove(mailbox)

    def _take(self, mailbox: Mailbox) -> list[tuple[str, JsonObject]]:
        with self._lock:
            mailbox.wake.clear()
            taken = [("tick", mailbox.tick)] if mailbox.tick is not None else []
            taken += list(mailbox.parts.items())
            mailbox.tick = None
            mailbox.parts = {}
        return taken

    def _add(self, mailbox: Mailbox) -> None:
        with self._lock:
            self._mailboxes.add(mailbox)
            if self._stop is None:
                self._stop = threading.Event()
                for work in (self._read_ticks, self._read_parts):
                    threading.Thread(
                        target=work, args=(self._stop,), name="springline-feed", daemon=True
                    ).start()

    def _remove(self, mailbox: Mailbox) -> None:
        with self._lock:
            self._mailboxes.discard(mailbox)
            if not self._mailboxes and self._stop is not None:
                self._stop.set()
                self._stop = None

    def _publish(self, change: Callable[[Mailbox], None], stop: threading.Event) -> None:
        with self._lock:
            if stop.is_set():
                return
            for mailbox in self._mailboxes:
                change(mailbox)
                try:
                    mailbox.loop.call_soon_threadsafe(mailbox.wake.set)
                except RuntimeError:
                    # The subscriber's loop has ended; the subscriber removes itself.
                    continue

    def _read_ticks(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                for notice in self._service.ticks(stop, 0.5):
                    if stop.is_set():
                        return
                    if notice is not None:
                        self._publish(lambda mailbox, notice=notice: _add_tick(mailbox, notice), stop)
            except Exception:
                logger.exception("The feed of ticks failed; it is opened again.")
            stop.wait(0.5)

    def _read_parts(self, stop: threading.Event) -> None:
        while not stop.is_set():
            for name, read in self._parts.items():
                try:
                    data = read()
                except Exception:
                    logger.exception("The part %r of the page's feed failed.", name)
                    continue
                self._publish(lambda mailbox, name=name, data=data: _add_part(mailbox, name, data), stop)
            stop.wait(STATUS_INTERVAL_S)


def _add_tick(mailbox: Mailbox, notice: TickNotice) -> None:
    mailbox.tick = merge(mailbox.tick, notice)


def _add_part(mailbox: Mailbox, name: str, data: JsonObject) -> None:
    mailbox.parts[name] = data
