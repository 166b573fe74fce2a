"""Schemas that a registry holds, as the formats need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from springline.sources.kafka.formats.base import NotARow

_HEADER_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema's text and those it refers to, by the names that it has for them, each before those that need it."""

    kind: str
    text: str
    references: Mapping[str, str] = field(default_factory=dict[str, str])


class SchemaById(Protocol):
    """Finds a schema by its number. Raises NotARow for a number that the registry does not know, SourceUnavailable where it does not answer."""

    def __call__(self, identifier: int) -> RegisteredSchema: ...


def framed(value: bytes) -> tuple[int, bytes]:
    """The schema's number and the payload of a record in the registry's frame: a zero byte, four bytes, the payload. Raises NotARow."""
    if len(value) < _HEADER_BYTES or value[0] != 0:
        raise NotARow("not in a registry's frame: a zero byte and a schema's number come first")
    return int.from_bytes(value[1:_HEADER_BYTES], "big"), value[_HEADER_BYTES:]
