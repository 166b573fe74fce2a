"""Rates and latencies of the last minute. Cheap enough for every tick."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping


class Measure:
    """Counts ticks and changes, and keeps commit-to-visible times, of the last ``window_s`` seconds. Thread-safe."""

    def __init__(self, window_s: float = 60.0, most_samples: int = 20_000) -> None:
        self._window_s = window_s
        self._ticks: deque[tuple[float, int]] = deque(maxlen=most_samples)
        self._latencies_ms: deque[tuple[float, float]] = deque(maxlen=most_samples)
        self._lock = threading.Lock()
        self.changes_total = 0

    def tick(self, changes: int, latencies_ms: Iterable[float]) -> None:
        now = time.monotonic()
        with self._lock:
            self.changes_total += changes
            self._ticks.append((now, changes))
            self._latencies_ms.extend((now, latency) for latency in latencies_ms)

    def rates(self, over_s: float = 5.0) -> tuple[float, float]:
        """(changes, ticks) per second, over the last few seconds."""
        since = time.monotonic() - over_s
        with self._lock:
            recent = [changes for at, changes in self._ticks if at >= since]
        return sum(recent) / over_s, len(recent) / over_s

    def commit_to_visible_ms(self) -> Mapping[str, float]:
        """p50, p99 and the number of samples of the last minute; empty when nothing came."""
        since = time.monotonic() - self._window_s
        with self._lock:
            samples = sorted(latency for at, latency in self._latencies_ms if at >= since)
        if not samples:
            return {}
        return {
            "p50": samples[len(samples) // 2],
            "p99": samples[min(len(samples) - 1, len(samples) * 99 // 100)],
            "samples": float(len(samples)),
        }
