"""The recency barrier: asks every source where it stands now, then waits until that is applied and complete."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Mapping

from springline.core.position import Position, PositionVector
from springline.errors import NotFresh, SpringlineError
from springline.runtime.base import Freshness, OnMiss, Require
from springline.runtime.embedded.progress import Progress
from springline.sources.base import Source


class Barrier:
    """Thread-safe. Source look-ups of concurrent questions run side by side and share their work (``Source.current_position``)."""

    def __init__(self, sources: Mapping[str, Source], progress: Progress) -> None:
        self._sources = sources
        self._progress = progress
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=16, thread_name_prefix="barrier")

    def wait(
        self, require: Require, deadline_ms: float, on_miss: OnMiss, *, complete: bool = True
    ) -> Freshness:
        """Blocks at most ``deadline_ms``. Raises NotFresh where the deadline is missed and ``on_miss`` is ``refuse``."""
        asked_at_us, started = time.time_ns() // 1_000, time.monotonic()
        if require == "none":
            return Freshness(require, True, 0.0, PositionVector(), asked_at_us)
        deadline_s = started + deadline_ms / 1_000
        required, failed = self.current_positions(deadline_s)
        missing = tuple(failed) or self._progress.wait_for(required, complete=complete, deadline_s=deadline_s)
        waited_ms = (time.monotonic() - started) * 1_000
        if missing and on_miss == "refuse":
            behind = f"behind: {', '.join(_told(one, failed.get(one)) for one in sorted(missing))}"
            if loading := self._progress.reached.loading:
                behind += f"; being loaded: {', '.join(sorted(loading))}"
            raise NotFresh(
                f"The answer could not be brought up to date within {deadline_ms:g} ms; {behind}.",
                hint="Try again, allow a longer deadline_ms, or accept ages with on_miss=state_age.",
            )
        return Freshness(
            require, not missing, waited_ms, PositionVector(required), asked_at_us, tuple(missing)
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def current_positions(self, deadline_s: float) -> tuple[dict[str, Position], dict[str, str]]:
        """Every source's position now, and those that did not answer in time, with what they said instead."""
        timeout_s = max(0.001, deadline_s - time.monotonic())
        if len(self._sources) == 1:
            [(name, source)] = self._sources.items()
            try:
                return {name: source.current_position(timeout_s)}, {}
            except SpringlineError as error:
                return {}, {name: error.message}
        futures = {
            name: self._pool.submit(one.current_position, timeout_s) for name, one in self._sources.items()
        }
        positions: dict[str, Position] = {}
        failed: dict[str, str] = {}
        for name, future in futures.items():
            try:
                positions[name] = future.result(max(0.001, deadline_s - time.monotonic()))
            except SpringlineError as error:
                failed[name] = error.message
            except TimeoutError:
                failed[name] = ""
        return positions, failed


def _told(source: str, reason: str | None) -> str:
    """A source that is behind, with the reason where it gave one."""
    return f"{source} ({reason.rstrip('.')})" if reason else source
