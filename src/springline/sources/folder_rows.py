"""The one table of a folder source, and what is remembered of each file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from springline.core.change import UNCHANGED, Entry, Operation, Row
from springline.core.schema import Column
from springline.core.types import SqlType
from springline.sources.folder_reading import FileState, Readable, Unreadable, document_format

COLUMNS: Final = (
    Column("document", SqlType("STRING"), nullable=False),
    Column("content", SqlType("STRING")),
    Column("format", SqlType("STRING"), nullable=False),
    Column("title", SqlType("STRING")),
    Column("bytes", SqlType("BIGINT"), nullable=False),
    Column("modified_at", SqlType("TIMESTAMP_LTZ"), nullable=False),
    Column("content_hash", SqlType("STRING")),
    Column("error", SqlType("STRING")),
)
"""``document``: the path in the folder, with ``/``; the key. ``content`` and ``content_hash`` are the last good ones, NULL where there never were
any. ``bytes`` and ``modified_at`` are the file's as it is now. ``error``: why it cannot be read now."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was sent of a file. ``content_hash`` None: it was never readable. ``fresh``: to be looked at again."""

    state: FileState
    content_hash: str | None
    error: str | None
    fresh: bool = False

    def to_json(self) -> list[object]:
        return [*self.state, self.content_hash, self.error]

    @staticmethod
    def from_json(data: Sequence[Any]) -> Known:
        return Known((data[0], data[1], data[2]), data[3], data[4])


def deletion(table: str, document: str) -> Entry:
    row: Row = [document, *([UNCHANGED] * (len(COLUMNS) - 1))]
    return (Operation.DELETE.value, table, row, None)


def change(
    table: str, document: str, found: Readable | Unreadable, state: os.stat_result, known: Known | None
) -> Entry | None:
    """The entry that brings the row from what is known to what was found; None where that is the same. An unreadable file keeps its content."""
    operation = (Operation.READ if known is None else Operation.UPDATE).value
    shape, modified_us = document_format(document), state.st_mtime_ns // 1_000
    row: Row
    if isinstance(found, Unreadable):
        if known is not None and known.error == found.reason:
            return None
        kept = UNCHANGED if known is not None else None
        row = [document, kept, shape, kept, state.st_size, modified_us, kept, found.reason]
    else:
        if known is not None and known.content_hash == found.content_hash and known.error is None:
            return None
        row = [
            document,
            found.content,
            shape,
            found.title,
            state.st_size,
            modified_us,
            found.content_hash,
            None,
        ]
    return (operation, table, None, row)
