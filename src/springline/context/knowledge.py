"""What a knowledge base is: the declaration that the application makes."""

from __future__ import annotations

from dataclasses import dataclass, field

from springline.operators.splitting import SplitLimits


@dataclass(frozen=True, slots=True)
class KnowledgeDefinition:
    """Documents are the rows of ``relation``; its key is one column. The other names are columns of it, or None.

    ``format``: says ``markdown`` or ``text`` for each document; without it the text is Markdown. ``error``: why a document cannot be read
    now; its last good version then stays searchable. ``content_hash``: changes whenever the text does; without it the text is hashed.
    ``metadata``: columns that come back with every passage found.
    """

    name: str
    relation: str
    document: str
    text: str
    title: str | None = None
    format: str | None = None
    error: str | None = None
    content_hash: str | None = None
    metadata: tuple[str, ...] = ()
    limits: SplitLimits = field(default_factory=SplitLimits)
