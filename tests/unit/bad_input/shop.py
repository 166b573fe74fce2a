"""A small application for these tests: one table in memory, one view, optionally a knowledge base."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from springline.context.knowledge import KnowledgeDefinition
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.inference.hashing import HashingEmbedder
from springline.language import LANGUAGE
from springline.runtime.base import Status
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.storage import DataFolder
from springline.testing.memory_source import MemorySource

ITEMS = TableSchema(
    "shop.items", (Column("id", BIGINT, nullable=False), Column("name", STRING), Column("n", BIGINT)), ("id",)
)
COUNTS = ViewDefinition(
    "counts", "SELECT name, COUNT(*) AS items, SUM(n) AS total FROM shop.items GROUP BY name"
)
PATIENCE_MS = 20_000


def source(rows: int = 0) -> MemorySource:
    shop = MemorySource("shop", [ITEMS])
    put(shop, range(rows))
    return shop


def put(shop: MemorySource, numbers: Sequence[int] | range) -> None:
    """One transaction with these items."""
    with shop.transaction():
        for number in numbers:
            shop.put("items", {"id": number, "name": f"name {number % 5}", "n": number})


def make(
    data: Path,
    shop: MemorySource,
    *,
    views: Sequence[ViewDefinition] = (COUNTS,),
    knowledge: Sequence[KnowledgeDefinition] = (),
    vfs: str | None = None,
) -> EmbeddedRuntime:
    bases = tuple((one, HashingEmbedder()) for one in knowledge)
    return EmbeddedRuntime(
        Definition("test", (shop,), tuple(views), bases), DataFolder(data), LANGUAGE, Options(vfs=vfs)
    )


@contextlib.contextmanager
def running(runtime: EmbeddedRuntime) -> Iterator[EmbeddedRuntime]:
    runtime.start()
    try:
        yield runtime
    finally:
        runtime.stop()


def totals(runtime: EmbeddedRuntime) -> tuple[int, int]:
    """(items in the table, items that the view has counted), as of now."""
    with runtime.read(require="now", deadline_ms=PATIENCE_MS) as snapshot:
        [(items,)] = snapshot.query("SELECT COUNT(*) AS n FROM shop.items").rows
        [(counted,)] = snapshot.query("SELECT SUM(items) AS n FROM counts").rows
    return int(items or 0), int(counted or 0)  # type: ignore[arg-type]


def wait_for_status(runtime: EmbeddedRuntime, condition: Callable[[Status], bool]) -> Status:
    deadline = time.monotonic() + PATIENCE_MS / 1_000
    while not condition(status := runtime.status()):
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status
