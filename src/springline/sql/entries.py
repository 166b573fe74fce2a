"""Entries: several stored values as one BLOB that sorts as they do, one after another.

Aggregates whose result depends on an order (FIRST_VALUE, LISTAGG, ARRAY_AGG …) or on several values of a row (COUNT(DISTINCT
a, b), JSON_OBJECTAGG) keep a table (group, entry, n). An entry's bytes compare as its values: NULL first, numbers, texts by
code point, blobs; a value that is ordered downwards has its bytes inverted. Equal values have equal bytes, and the values can be
read back.
"""

from __future__ import annotations

import struct
from typing import Final

from springline.core.types import Stored
from springline.sql.exact import wide_key, wide_unkey

_NULL, _INTEGER, _REAL, _TEXT, _BLOB, _WIDE = range(1, 7)
_OFFSET: Final = 1 << 63
_SIGN: Final = 1 << 63
_ALL: Final = (1 << 64) - 1
_INVERTED: Final = bytes(255 - byte for byte in range(256))
_END: Final = b"\x00\x00"


def entry(directions: str, *values: Stored) -> bytes:
    """The values as one entry. ``directions`` has a letter for each: ``a`` upwards, ``d`` downwards (NULL last); ``w`` and ``x``
    are the same for DECIMALs kept as text, which are written without the zeros that make no difference."""
    made = bytearray()
    for direction, value in zip(directions, values, strict=True):
        part = _packed(value, wide=direction in "wx")
        made += part.translate(_INVERTED) if direction in "dx" else part
    return bytes(made)


def entry_values(data: bytes, directions: str) -> list[Stored]:
    """The values of an entry."""
    made: list[Stored] = []
    place = 0
    for direction in directions:
        down = direction in "dx"
        tag = 255 - data[place] if down else data[place]
        place += 1
        if tag == _NULL:
            made.append(None)
            continue
        if tag in (_INTEGER, _REAL):
            part, place = data[place : place + 8], place + 8
        else:
            part, place = _until_end(data, place, down=down)
        made.append(_unpacked(tag, part.translate(_INVERTED) if down else part))
    return made


def _packed(value: Stored, *, wide: bool) -> bytes:
    match value:
        case None:
            return bytes([_NULL])
        case int():
            return bytes([_INTEGER]) + (value + _OFFSET).to_bytes(8, "big")
        case float():
            return bytes([_REAL]) + _float_bits(value).to_bytes(8, "big")
        case str() if wide:
            return bytes([_WIDE]) + _escaped(wide_key(value).encode())
        case str():
            return bytes([_TEXT]) + _escaped(value.encode())
        case bytes():
            return bytes([_BLOB]) + _escaped(value)


def _float_bits(value: float) -> int:
    """A double's bits, turned so that they sort as the numbers do; -0.0 is 0.0."""
    [bits] = struct.unpack(">Q", struct.pack(">d", value or 0.0))
    return bits ^ _ALL if bits & _SIGN else bits | _SIGN


def _escaped(data: bytes) -> bytes:
    return data.replace(b"\x00", b"\x00\xff") + _END


def _until_end(data: bytes, place: int, *, down: bool) -> tuple[bytes, int]:
    end = _END.translate(_INVERTED) if down else _END
    zero, escaped = end[:1], bytes([255 if down else 0, 0 if down else 255])
    found = place
    while True:
        found = data.index(zero, found)
        if data[found : found + 2] == end:
            return data[place:found].replace(escaped, zero), found + 2
        found += 2


def _unpacked(tag: int, data: bytes) -> Stored:
    if tag == _INTEGER:
        return int.from_bytes(data, "big") - _OFFSET
    if tag == _REAL:
        bits = int.from_bytes(data, "big")
        bits = bits ^ _SIGN if bits & _SIGN else bits ^ _ALL
        [value] = struct.unpack(">d", bits.to_bytes(8, "big"))
        return value
    if tag == _BLOB:
        return data
    return wide_unkey(data.decode()) if tag == _WIDE else data.decode()
