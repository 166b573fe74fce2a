"""The recency barrier's question: where do all partitions end now?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from springline.core.position import KafkaPosition
from springline.errors import SourceUnavailable


class Barrier:
    """Asks for everybody who waits. Thread-safe.

    ``ask`` gets the seconds that are left and answers with the ends, asked of the broker after its call. Callers that arrive
    while a question is under way cannot use its answer; they share the next one.
    """

    def __init__(self, source: str, ask: Callable[[float], KafkaPosition]) -> None:
        self._source = source
        self._ask = ask
        self._changed = threading.Condition()
        self._ended = 0
        self._is_under_way = False
        self._outcome: KafkaPosition | Exception | None = None
        self.questions = 0
        """How many were asked."""

    def position(self, timeout_s: float) -> KafkaPosition:
        """Blocks for one answer, two at most. Raises SourceUnavailable or another SourceError."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            needed = self.questions + 1
            while self._ended < needed:
                if not self._is_under_way:
                    self._is_under_way = True
                    self.questions += 1
                    break
                if not self._changed.wait(deadline_s - time.monotonic()) and time.monotonic() >= deadline_s:
                    raise SourceUnavailable(
                        f"Source {self._source!r} did not tell its position within {timeout_s:.3g} s.",
                        hint="See `springline status`; the answer may be given with its age instead.",
                    )
            else:
                return self._result()
        outcome: KafkaPosition | Exception
        try:
            outcome = self._ask(max(0.001, deadline_s - time.monotonic()))
        except Exception as error:  # handed to every caller that waits for this answer
            outcome = error
        with self._changed:
            self._outcome = outcome
            self._ended = self.questions
            self._is_under_way = False
            self._changed.notify_all()
            return self._result()

    def _result(self) -> KafkaPosition:
        if isinstance(self._outcome, KafkaPosition):
            return self._outcome
        assert self._outcome is not None
        raise self._outcome
