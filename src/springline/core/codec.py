"""How entries are written in the log: MessagePack, with one extension for UNCHANGED."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from springline.core.change import UNCHANGED, Entry, Unchanged

_UNCHANGED_CODE = 1
_UNCHANGED_EXTENSION = msgspec.msgpack.Ext(_UNCHANGED_CODE, b"")


def _encode_other(value: object) -> object:
    if isinstance(value, Unchanged):
        return _UNCHANGED_EXTENSION
    raise TypeError(f"A value of type {type(value).__name__} cannot stand in the log; use its stored form.")


def _decode_extension(code: int, data: memoryview) -> object:
    if code == _UNCHANGED_CODE:
        return UNCHANGED
    raise ValueError(f"The log holds an extension {code} that this version does not know.")


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_other)
_decoder = msgspec.msgpack.Decoder(ext_hook=_decode_extension)


def encode_entries(entries: Sequence[Entry]) -> bytes:
    return _encoder.encode(entries)


def decode_entries(data: bytes) -> list[Entry]:
    """Entries come back as lists of four; readers index them and never compare them with tuples."""
    return _decoder.decode(data)


def encode_value(value: object) -> bytes:
    return _encoder.encode(value)


def decode_value(data: bytes) -> object:
    return _decoder.decode(data)
