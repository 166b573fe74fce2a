"""Tick notices for whoever listens: the page, tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from springline.runtime.base import TickNotice

MOST_WAITING = 1_000


class Notices:
    """Thread-safe. A slow listener loses the oldest notices, never the newest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._listeners: list[deque[TickNotice]] = []

    def publish(self, notice: TickNotice) -> None:
        with self._changed:
            for waiting in self._listeners:
                waiting.append(notice)
            self._changed.notify_all()

    def subscribe(self, stop: threading.Event, timeout_s: float) -> Iterator[TickNotice | None]:
        """Notices from now on; None when none came within ``timeout_s``. Ends when ``stop`` is set."""
        waiting: deque[TickNotice] = deque(maxlen=MOST_WAITING)
        with self._changed:
            self._listeners.append(waiting)
        try:
            while not stop.is_set():
                with self._changed:
                    self._changed.wait_for(lambda: bool(waiting), timeout_s)
                    notice = waiting.popleft() if waiting else None
                yield notice
        finally:
            with self._changed:
                self._listeners.remove(waiting)
