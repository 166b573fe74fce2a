"""A small running application over sources in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from springline.context.knowledge import KnowledgeDefinition
from springline.core.schema import Column, TableSchema
from springline.core.types import BIGINT, STRING
from springline.language import LANGUAGE
from springline.runtime.embedded.catalog import ViewDefinition
from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime, Options
from springline.storage import DataFolder
from springline.testing.memory_source import MemorySource
from springline.testing.models import FakeEmbedder

DOCUMENTS = TableSchema(
    "docs.documents", (Column("document", STRING, nullable=False), Column("content", STRING)), ("document",)
)
ORDERS = TableSchema(
    "shop.orders",
    (Column("id", BIGINT, nullable=False), Column("customer", BIGINT), Column("amount", BIGINT)),
    ("id",),
)
TOTALS = ViewDefinition(
    "totals", "SELECT customer, COUNT(*) AS n, SUM(amount) AS total FROM shop.orders GROUP BY customer"
)


def documents() -> MemorySource:
    return MemorySource("docs", [DOCUMENTS])


def orders() -> MemorySource:
    return MemorySource("shop", [ORDERS])


@contextmanager
def runtime(
    folder: Path,
    sources: Sequence[MemorySource],
    *,
    views: Sequence[ViewDefinition] = (),
    embedder: FakeEmbedder | None = None,
    options: Options | None = None,
) -> Iterator[EmbeddedRuntime]:
    bases = []
    if embedder is not None:
        bases = [(KnowledgeDefinition("kb", DOCUMENTS.name, "document", "content"), embedder)]
    made = EmbeddedRuntime(Definition("test", sources, views, bases), DataFolder(folder), LANGUAGE, options)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def found(made: EmbeddedRuntime, text: str) -> list[str]:
    """The documents that a search finds now, best first, each once."""
    made.prepare(text)
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return list(dict.fromkeys(hit.document for hit in snapshot.search("kb", text)))


def totals(made: EmbeddedRuntime) -> list[tuple[object, ...]]:
    with made.read(require="now", deadline_ms=20_000) as snapshot:
        return sorted(snapshot.query("SELECT customer, n, total FROM totals").rows, key=repr)
