"""Those who ask while everything is being killed: an answer may be refused, and may never be of two moments or older than was asked for."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.cluster.crash.check import Found
from tests.cluster.crash.declared import MONEY, ONE_MOMENT
from tests.cluster.crash.load import Load
from tests.cluster.crash.parts import Node, Refused


class Questions(threading.Thread):
    """Asks a node again and again: for now, or (``require`` none) for what it has."""

    def __init__(self, node: Node, load: Load, require: str) -> None:
        super().__init__(name=f"questions-{require}", daemon=True)
        self.answered = self.refused = 0
        self.found = Found()
        self.failure: BaseException | None = None
        self._node, self._load, self._require = node, load, require
        self._over = threading.Event()
        self._newest = 0

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._ask()
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        """Idempotent."""
        self._over.set()
        if self.is_alive():
            self.join(60)
        if self.failure is not None:
            raise self.failure

    def _ask(self) -> None:
        committed = self._load.committed
        try:
            answer = self._node.query(ONE_MOMENT, require=self._require, deadline_ms=3_000)
        except Refused:
            self.refused += 1
            self._over.wait(0.1)
            return
        self.answered += 1
        self.judge(committed, answer)
        time.sleep(0.02)

    def judge(self, committed: int, answer: dict[str, Any]) -> None:
        """``committed``: the newest transaction when the question was asked."""
        rows = {row["name"]: (row["money"], row["version"]) for row in answer["rows"]}
        money = {name: one[0] or 0 for name, one in rows.items()}
        versions = {one[1] for one in rows.values()}
        if None in versions:
            # Nothing was applied yet: there is no state of any moment.
            self.found.mixed += versions != {None}
            return
        whole = money["accounts"] + money["savings"] == money["everything"] == MONEY
        if not whole or len(versions) > 1:
            self.found.mixed += 1
            self.found.note(f"an answer of two moments: {rows}")
        newest = max(versions)
        if self._require == "now" and newest < committed:
            self.found.stale += 1
            self.found.note(
                f"an answer of transaction {newest} to a question after {committed}: {answer['snapshot']}"
            )
        if newest < self._newest:
            self.found.wrong += 1
            self.found.note(f"an answer of transaction {newest} after one of {self._newest}")
        self._newest = max(self._newest, newest)
