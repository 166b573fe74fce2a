"""Decoder of ``pgoutput``'s messages: protocol version 1, text format, with logical messages.

Pure functions of bytes; the formats are those of PostgreSQL's "Logical Replication Message Formats". Row messages
are the hot path: for each relation a function is generated that reads its columns without a loop or a call for each.
Truncated or malformed bytes raise :class:`MalformedMessage` through :func:`malformed`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from springline.core.change import UNCHANGED, Entry, Row
from springline.errors import SourceError
from springline.sources.postgres.values import BOOLEAN_CONVERTER, Converter

BEGIN: Final = ord("B")
COMMIT: Final = ord("C")
RELATION: Final = ord("R")
TYPE: Final = ord("Y")
INSERT: Final = ord("I")
UPDATE: Final = ord("U")
DELETE: Final = ord("D")
TRUNCATE: Final = ord("T")
MESSAGE: Final = ord("M")
ORIGIN: Final = ord("O")

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01, where PostgreSQL's timestamps begin, in microseconds since 1970."""

BROKEN: Final = (IndexError, KeyError, ValueError, struct.error)
"""What reading bytes that are not what they should be raises; see :func:`malformed`."""

_BEGIN: Final = struct.Struct(">cqqI")
_COMMIT: Final = struct.Struct(">cBqqq")
_MESSAGE: Final = struct.Struct(">cBq")
_COLUMN: Final = struct.Struct(">Ii")
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")

# Databases in SQL_ASCII may hold bytes that are not UTF-8: they are replaced, and `check` warns of such a database.
_TEXT: Final = "data[at + 5:end].decode('utf-8', 'replace')"


class MalformedMessage(SourceError):
    """The replication stream holds bytes that this decoder does not know."""

    code = "source_malformed_message"


def malformed(payload: bytes, reason: object = "") -> MalformedMessage:
    """The one error for every kind of wrong bytes. It shows the message's kind and length, never values."""
    kind = chr(payload[0]) if payload else "(empty)"
    return MalformedMessage(
        f"A replication message of kind {kind!r} with {len(payload)} bytes cannot be read"
        + (f": {type(reason).__name__ if isinstance(reason, Exception) else reason}." if reason else "."),
        hint="Nothing was skipped. Please report the PostgreSQL version; `springline resnapshot` starts afresh behind it.",
    )


@dataclass(frozen=True, slots=True)
class Begin:
    """``final_lsn`` is where the transaction's commit record begins."""

    final_lsn: int
    committed_at_us: int
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """``end_lsn`` is the byte after the commit record: the transaction's position."""

    commit_lsn: int
    end_lsn: int
    committed_at_us: int


@dataclass(frozen=True, slots=True)
class RelationColumn:
    name: str
    type_oid: int
    typmod: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the rows that follow have it. ``replica_identity`` is ``d``, ``n``, ``f`` or ``i``."""

    oid: int
    namespace: str
    name: str
    replica_identity: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Truncate:
    oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What ``pg_logical_emit_message`` wrote."""

    is_transactional: bool
    lsn: int
    prefix: str
    content: bytes


Decoded: TypeAlias = Begin | Commit | Relation | Truncate | Message | None


def decode(payload: bytes) -> Decoded:
    """Every message but rows. None for those that say nothing to us (types, origins)."""
    try:
        reader = _READERS.get(payload[0])
        if reader is None:
            raise malformed(payload, "its kind is unknown")
        return reader(payload)
    except BROKEN as error:
        raise malformed(payload, error) from error


def _begin(payload: bytes) -> Begin:
    _, final_lsn, at, xid = _BEGIN.unpack(payload)
    return Begin(final_lsn, at + POSTGRES_EPOCH_US, xid)


def _commit(payload: bytes) -> Commit:
    _, _, commit_lsn, end_lsn, at = _COMMIT.unpack(payload)
    return Commit(commit_lsn, end_lsn, at + POSTGRES_EPOCH_US)


def _relation(payload: bytes) -> Relation:
    oid = _U32.unpack_from(payload, 1)[0]
    namespace, at = _string(payload, 5)
    name, at = _string(payload, at)
    identity = chr(payload[at])
    count = _U16.unpack_from(payload, at + 1)[0]
    at += 3
    columns: list[RelationColumn] = []
    for _ in range(count):
        flags = payload[at]
        column, at = _string(payload, at + 1)
        type_oid, typmod = _COLUMN.unpack_from(payload, at)
        at += 8
        columns.append(RelationColumn(column, type_oid, typmod, bool(flags & 1)))
    _expect_end(payload, at)
    # An empty namespace stands for pg_catalog.
    return Relation(oid, namespace or "pg_catalog", name, identity, tuple(columns))


def _truncate(payload: bytes) -> Truncate:
    count = _U32.unpack_from(payload, 1)[0]
    _expect_end(payload, 6 + 4 * count)
    return Truncate(struct.unpack_from(f">{count}I", payload, 6))


def _message(payload: bytes) -> Message:
    _, flags, lsn = _MESSAGE.unpack_from(payload)
    prefix, at = _string(payload, _MESSAGE.size)
    length = _U32.unpack_from(payload, at)[0]
    _expect_end(payload, at + 4 + length)
    return Message(bool(flags & 1), lsn, prefix, payload[at + 4 :])


def _nothing(payload: bytes) -> None:
    return None


def _string(payload: bytes, at: int) -> tuple[str, int]:
    end = payload.index(0, at)
    return payload[at:end].decode(), end + 1


def _expect_end(payload: bytes, at: int) -> None:
    if at != len(payload):
        raise malformed(payload, "its length is wrong")


_READERS: Final[dict[int, Callable[[bytes], Decoded]]] = {
    BEGIN: _begin,
    COMMIT: _commit,
    RELATION: _relation,
    TRUNCATE: _truncate,
    MESSAGE: _message,
    TYPE: _nothing,
    ORIGIN: _nothing,
}


class RowDecoder:
    """Reads the row messages of one relation as log entries. Made once for each shape of a table.

    ``insert``, ``update`` and ``delete`` take a whole payload; wrong bytes raise one of :data:`BROKEN`.
    """

    __slots__ = ("_is_key", "_read", "_table", "insert")

    def __init__(self, table: str, columns: Sequence[Converter | None], key: Sequence[bool]) -> None:
        """``columns``: how to read each column of the message, None for one that is not kept. ``key``: for each *kept* column,
        whether an old key holds it."""
        self._table = table
        self._is_key = tuple(key)
        self.insert: Callable[[bytes], Entry]
        self.insert, self._read = _compile(table, columns)

    def update(self, payload: bytes) -> Entry:
        kind = payload[5]
        if kind == 78:  # N: the key did not change
            after, end = self._read(payload, 6)
            if end != len(payload):
                raise ValueError
            return ("u", self._table, None, after)
        before, at = self._read(payload, 6)
        if payload[at] != 78:
            raise ValueError
        after, end = self._read(payload, at + 1)
        if end != len(payload):
            raise ValueError
        if kind == 75:  # K: the old key, the rest of the old row unknown
            return ("u", self._table, self._only_key(before), after)
        if kind != 79:  # O: the whole old row
            raise ValueError
        if UNCHANGED in after:
            after = [old if new is UNCHANGED else new for new, old in zip(after, before, strict=True)]
        return ("u", self._table, before, after)

    def delete(self, payload: bytes) -> Entry:
        kind = payload[5]
        before, end = self._read(payload, 6)
        if end != len(payload) or kind not in (75, 79):
            raise ValueError
        return ("d", self._table, before if kind == 79 else self._only_key(before), None)

    def _only_key(self, row: Row) -> Row:
        return [value if is_key else UNCHANGED for value, is_key in zip(row, self._is_key, strict=True)]


def _compile(
    table: str, columns: Sequence[Converter | None]
) -> tuple[Callable[[bytes], Entry], Callable[[bytes, int], tuple[Row, int]]]:
    """Generates the two readers of a relation. A loop over columns with a call for each costs about three times as much."""
    names: dict[str, object] = {
        "length": _U32.unpack_from,
        "UNCHANGED": UNCHANGED,
        "table": table,
        "count": len(columns).to_bytes(2, "big"),
    }
    body: list[str] = ["    if data[at:at + 2] != count: raise ValueError", "    at += 2"]
    for index, convert in enumerate(columns):
        names[f"convert{index}"] = convert
        body += _column_source(index, convert)
    kept = ", ".join(f"v{index}" for index, convert in enumerate(columns) if convert is not None)
    source = [
        "def read(data, at):",
        *body,
        f"    return [{kept}], at",
        "def insert(data):",
        "    at = 6",
        "    if data[5] != 78: raise ValueError",
        *body,
        # A slice beyond the end is silently short: the length tells.
        "    if at != len(data): raise ValueError",
        f"    return ('c', table, None, [{kept}])",
    ]
    exec("\n".join(source), names)
    return names["insert"], names["read"]  # type: ignore[return-value]


def _column_source(index: int, convert: Converter | None) -> list[str]:
    if convert is None:
        value = "None"
    elif convert is int:
        value = "int(data[at + 5:end])"
    elif convert is str:
        value = _TEXT
    elif convert is BOOLEAN_CONVERTER:
        value = "1 if data[at + 5] == 116 else 0"
    else:
        value = f"convert{index}({_TEXT})"
    return [
        "    kind = data[at]",
        "    if kind == 116:",
        "        end = at + 5 + length(data, at + 1)[0]",
        f"        v{index} = {value}",
        "        at = end",
        "    elif kind == 110:",
        f"        v{index} = None",
        "        at += 1",
        "    elif kind == 117:",
        f"        v{index} = UNCHANGED",
        "        at += 1",
        "    else:",
        "        raise ValueError",
    ]
