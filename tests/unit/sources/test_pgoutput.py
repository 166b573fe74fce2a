"""Replication messages, hand-made as PostgreSQL's "Logical Replication Message Formats" describes them."""

from __future__ import annotations

import struct
from types import EllipsisType

import pytest

from springline.core.change import UNCHANGED
from springline.sources.postgres import pgoutput
from springline.sources.postgres.pgoutput import (
    BROKEN,
    Begin,
    Commit,
    MalformedMessage,
    Message,
    Relation,
    RelationColumn,
    RowDecoder,
    Truncate,
    decode,
    malformed,
)
from springline.sources.postgres.values import PgType, converter

OID = struct.pack(">I", 16_400)

BEGIN = b"B" + struct.pack(">qqI", 0x1_0000_0010, 1_000_000, 4_000_000_000)
COMMIT = b"C\x00" + struct.pack(">qqq", 0x1_0000_0010, 0x1_0000_0040, 1_000_000)
RELATION = (
    b"R" + OID + b"public\0flights\0d" + struct.pack(">H", 2)
    + b"\x01id\0" + struct.pack(">Ii", 23, -1)
    + b"\x00note\0" + struct.pack(">Ii", 1043, 54)
)  # fmt: skip
TRUNCATE = b"T" + struct.pack(">IBII", 2, 1, 16_400, 16_401)
MESSAGE = b"M\x01" + struct.pack(">q", 77) + b"springline\0" + struct.pack(">I", 2) + b"{}"


def row(*values: bytes | EllipsisType | None) -> bytes:
    """A tuple: bytes are text, None is null, ``...`` an unchanged large value."""
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if isinstance(value, bytes):
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
        else:
            parts.append(b"n" if value is None else b"u")
    return b"".join(parts)


@pytest.fixture
def decoder() -> RowDecoder:
    types = (PgType("int4"), PgType("text"), PgType("bool"), PgType("timestamptz"))
    return RowDecoder("crm.t", [converter(type_) for type_ in types], [True, False, False, False])


def test_messages() -> None:
    assert decode(BEGIN) == Begin(0x1_0000_0010, 946_684_801_000_000, 4_000_000_000)
    assert decode(COMMIT) == Commit(0x1_0000_0010, 0x1_0000_0040, 946_684_801_000_000)
    columns = (RelationColumn("id", 23, -1, True), RelationColumn("note", 1043, 54, False))
    assert decode(RELATION) == Relation(16_400, "public", "flights", "d", columns)
    assert decode(TRUNCATE) == Truncate((16_400, 16_401))
    assert decode(MESSAGE) == Message(True, 77, "springline", b"{}")
    assert decode(b"Y" + OID + b"public\0mood\0") is None
    assert decode(b"O" + struct.pack(">q", 5) + b"elsewhere\0") is None


def test_insert(decoder: RowDecoder) -> None:
    payload = b"I" + OID + b"N" + row(b"7", "日本".encode(), b"t", b"1970-01-01 00:00:01+00")
    assert decoder.insert(payload) == ("c", "crm.t", None, [7, "日本", 1, 1_000_000])
    assert decoder.insert(b"I" + OID + b"N" + row(b"7", None, None, None)) == (
        "c",
        "crm.t",
        None,
        [7, None, None, None],
    )


def test_update(decoder: RowDecoder) -> None:
    new = row(b"7", ..., b"f", None)
    assert decoder.update(b"U" + OID + b"N" + new) == ("u", "crm.t", None, [7, UNCHANGED, 0, None])
    key = row(b"6", None, None, None)
    assert decoder.update(b"U" + OID + b"K" + key + b"N" + new) == (
        "u",
        "crm.t",
        [6, UNCHANGED, UNCHANGED, UNCHANGED],
        [7, UNCHANGED, 0, None],
    )


def test_a_whole_old_row_fills_what_did_not_change(decoder: RowDecoder) -> None:
    old = row(b"7", b"large", b"t", None)
    assert decoder.update(b"U" + OID + b"O" + old + b"N" + row(b"7", ..., b"f", None)) == (
        "u",
        "crm.t",
        [7, "large", 1, None],
        [7, "large", 0, None],
    )


def test_delete(decoder: RowDecoder) -> None:
    assert decoder.delete(b"D" + OID + b"K" + row(b"7", None, None, None)) == (
        "d",
        "crm.t",
        [7, UNCHANGED, UNCHANGED, UNCHANGED],
        None,
    )
    assert decoder.delete(b"D" + OID + b"O" + row(b"7", b"x", None, None)) == (
        "d",
        "crm.t",
        [7, "x", None, None],
        None,
    )


def test_columns_that_are_not_kept() -> None:
    decoder = RowDecoder("crm.t", [int, None, str], [True, False])
    assert decoder.insert(b"I" + OID + b"N" + row(b"1", b"secret", b"x")) == ("c", "crm.t", None, [1, "x"])


def test_bytes_that_are_not_utf8_are_replaced(decoder: RowDecoder) -> None:
    entry = decoder.insert(b"I" + OID + b"N" + row(b"1", b"caf\xe9", None, None))
    assert entry[3] == [1, "caf\ufffd", None, None]


@pytest.mark.parametrize(
    "payload", [BEGIN, COMMIT, RELATION, TRUNCATE, MESSAGE], ids=lambda payload: chr(payload[0])
)
def test_a_truncated_message_is_one_clear_error(payload: bytes) -> None:
    for length in range(1, len(payload)):
        with pytest.raises(MalformedMessage, match="cannot be read"):
            decode(payload[:length])
    with pytest.raises(MalformedMessage):
        decode(payload + b"x")


@pytest.mark.parametrize("kind", ["I", "U", "D"])
def test_a_truncated_row_is_an_error(decoder: RowDecoder, kind: str) -> None:
    rows = {
        "I": b"N" + row(b"7", b"note", b"t", b"1970-01-01 00:00:01+00"),
        "U": b"K" + row(b"6", None, None, None) + b"N" + row(b"7", ..., b"f", None),
        "D": b"K" + row(b"7", None, None, None),
    }
    payload = kind.encode() + OID + rows[kind]
    read = {"I": decoder.insert, "U": decoder.update, "D": decoder.delete}[kind]
    read(payload)
    for length in range(5, len(payload)):
        with pytest.raises(BROKEN):
            read(payload[:length])
    for wrong in (payload + b"x", payload[:5] + b"?" + payload[6:]):
        with pytest.raises(BROKEN):
            read(wrong)


def test_an_unknown_message_is_an_error() -> None:
    with pytest.raises(MalformedMessage, match="its kind is unknown"):
        decode(b"?abc")


def test_errors_show_no_values() -> None:
    error = malformed(b"I" + OID + b"N" + row(b"secret"), ValueError("secret"))
    assert "secret" not in str(error)
    assert "'I'" in error.message
    assert pgoutput.POSTGRES_EPOCH_US == 946_684_800_000_000
