"""Search in the knowledge bases of a snapshot."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from springline.context.retrieve import Hit, Weights, embed_query, search
from springline.errors import ModelError, NotFound
from springline.runtime.embedded.knowledge import Knowledge
from springline.runtime.embedded.snapshot import EmbeddedSnapshot

MOST_VECTORS = 512

_logger = logging.getLogger("springline.search")


class Search:
    """Hybrid search by knowledge base. Thread-safe.

    The vector of a question is made before the snapshot is opened (``prepare``), so that no read transaction is held while a model works.
    """

    def __init__(self, knowledge: Mapping[str, Knowledge]) -> None:
        self._knowledge = knowledge
        self._vectors: OrderedDict[tuple[str, str], npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, text: str) -> None:
        """Makes the question's vector for every embedder in use. Blocks for the model; repeated questions cost nothing."""
        for knowledge in self._knowledge.values():
            self._vector(knowledge, text)

    def search(
        self, snapshot: EmbeddedSnapshot, name: str, text: str, limit: int, also: str = ""
    ) -> Sequence[Hit]:
        """The best passages. ``also``: further words for the full-text half."""
        knowledge = self._knowledge.get(name)
        if knowledge is None:
            known = ", ".join(sorted(self._knowledge)) or "none"
            raise NotFound(f"There is no knowledge base {name!r}.", hint=f"Known: {known}.")
        vector = self._vector(knowledge, text)
        return search(
            snapshot.connection,
            knowledge.index,
            knowledge.embedder,
            f"{text} {also}" if also else text,
            kb=name,
            k=limit,
            tick=snapshot.tick,
            query_vector=np.zeros(knowledge.index.dimensions, np.float32) if vector is None else vector,
            weights=Weights(vector=0.0, text=1.0) if vector is None else None,
        )

    def _vector(self, knowledge: Knowledge, text: str) -> npt.NDArray[Any] | None:
        key = (knowledge.embedder.model, text)
        with self._lock:
            if (vector := self._vectors.get(key)) is not None:
                self._vectors.move_to_end(key)
                return vector
        try:
            vector = embed_query(knowledge.embedder, text)
        except ModelError as error:
            # Words alone still find; the question is not kept waiting for a model that is down.
            _logger.warning(
                "knowledge base %s is searched by words only: %s", knowledge.definition.name, error
            )
            return None
        with self._lock:
            self._vectors[key] = vector
            while len(self._vectors) > MOST_VECTORS:
                self._vectors.popitem(last=False)
        return vector
