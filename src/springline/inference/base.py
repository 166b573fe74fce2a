"""What every model offers. Nothing here talks to a network or a file; one implementation stands in each file beside this one.

Two kinds of failure: :class:`ModelUnavailable` (try again, not before ``retry_after_s``) and :class:`ModelRefused`
(this input never will; where a batch was sent, the caller finds the culprit by halving it). Retries, caches and limits are wrappers of
these contracts, not flags of their implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from springline.errors import ModelUnavailable

Vectors = npt.NDArray[np.float32]
"""Shape ``(texts, dimensions)``, C-contiguous; every row has length 1."""

_RETRY_AFTER: Final = "retry_after_s"

TextRole = Literal["passage", "query"]
"""Some models put different words before what is stored and what is asked; the others ignore it."""


def unavailable(
    message: str, *, hint: str | None = None, retry_after_s: float | None = None
) -> ModelUnavailable:
    """The error to raise when a provider does not answer now. ``retry_after_s``: how long it asks to wait, None where it does not
    say; :func:`retry_after_s` reads it."""
    error = ModelUnavailable(message, hint=hint)
    setattr(error, _RETRY_AFTER, retry_after_s)
    return error


def retry_after_s(error: ModelUnavailable) -> float | None:
    """How long the provider asked to wait, if it did."""
    return getattr(error, _RETRY_AFTER, None)


class Embedder(Protocol):
    """Turns texts into vectors. Thread-safe. Deterministic for one ``model``."""

    @property
    def name(self) -> str:
        """How people call it: in settings, status and errors."""
        ...

    @property
    def model(self) -> str:
        """The model's identity with everything that changes its vectors (weights, quantisation, truncation). Part of every memo key
        and of the index: vectors of two identities are never compared."""
        ...

    @property
    def dimensions(self) -> int: ...

    @property
    def languages(self) -> frozenset[str] | None:
        """The languages (``core.text.Language``) in which its distances mean something; None: all."""
        ...

    @property
    def maximum_tokens(self) -> int:
        """Longer texts are truncated by the model, in its own tokens."""
        ...

    @property
    def batch_size(self) -> int:
        """How many texts ``embed`` likes best at once. More are accepted and cut into batches."""
        ...

    def embed(self, texts: Sequence[str], *, role: TextRole = "passage") -> Vectors:
        """One row for each text, in order; an empty text has a vector too. Blocks. Idempotent. Raises ModelUnavailable,
        ModelRefused; then nothing of the batch is returned."""
        ...

    def close(self) -> None:
        """Releases memory and connections. Idempotent; ``embed`` may not be called after."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counts them; None where it does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """``finish_reason``: ``stop`` is a complete answer, ``length`` one that was cut off."""

    text: str
    model: str
    usage: Usage = Usage()
    finish_reason: str = "stop"


class CompletionStream(Iterator[str]):
    """Pieces of an answer as they come. ``completion`` is whole once the iterator is exhausted.

    Iterating raises ModelUnavailable when the connection breaks; what was yielded before stays true, but ``completion`` raises
    RuntimeError. ``close`` stops early and releases the connection; idempotent.
    """

    def __init__(self, pieces: Iterator[str], finish: Callable[[str], Completion]) -> None:
        self._pieces = pieces
        self._finish = finish
        self._text: list[str] = []
        self._completion: Completion | None = None

    def __iter__(self) -> CompletionStream:
        return self

    def __next__(self) -> str:
        try:
            piece = next(self._pieces)
        except StopIteration:
            if self._completion is None:
                self._completion = self._finish("".join(self._text))
            raise
        self._text.append(piece)
        return piece

    @property
    def completion(self) -> Completion:
        if self._completion is None:
            raise RuntimeError("The answer is not complete; read the stream to its end first.")
        return self._completion

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class ChatModel(Protocol):
    """Answers a conversation. Thread-safe."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str:
        """As the provider names it; recorded in receipts."""
        ...

    def complete(
        self,
        messages: Sequence[Message],
        *,
        maximum_tokens: int | None = None,
        temperature: float = 0.0,
        json_schema: Mapping[str, object] | None = None,
    ) -> Completion:
        """The whole answer. ``json_schema`` asks for JSON of that shape where the provider can; the caller still validates. Blocks.
        Raises ModelUnavailable, ModelRefused."""
        ...

    def stream(
        self, messages: Sequence[Message], *, maximum_tokens: int | None = None, temperature: float = 0.0
    ) -> CompletionStream:
        """The answer in pieces. The connection is made, and its errors are raised, by the first piece that is read."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


def normalised(matrix: npt.ArrayLike) -> Vectors:
    """Rows scaled to length 1, float32, C-contiguous. A row of zeros becomes the first axis, so that every text has a vector."""
    rows = np.array(matrix, dtype=np.float32, order="C", ndmin=2)
    lengths = np.linalg.norm(rows, axis=1)
    empty = lengths == 0
    if empty.any():
        rows[empty, 0] = 1.0
        lengths[empty] = 1.0
    rows /= lengths[:, None]
    return rows


def vector_to_bytes(vector: npt.NDArray[np.float32]) -> bytes:
    """Little-endian float32, four bytes a dimension: the form in memos and files."""
    return vector.astype("<f4", copy=False).tobytes()


def vectors_from_bytes(blobs: Sequence[bytes], dimensions: int) -> Vectors:
    """The inverse of :func:`vector_to_bytes` for many. Raises ValueError where one has another length."""
    if any(len(blob) != 4 * dimensions for blob in blobs):
        raise ValueError(f"A stored vector does not have {dimensions} dimensions.")
    return (
        np.frombuffer(b"".join(blobs), dtype="<f4")
        .reshape(len(blobs), dimensions)
        .astype(np.float32, copy=False)
    )
