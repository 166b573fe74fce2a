"""String functions of generated SQL that SQLite has none for: encodings, hashes, URLs, regular expressions. Pure; called with arguments
that are not NULL. A value that cannot be computed is None, as in Flink, or raises ValueError where Flink fails."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, unquote_plus, urlsplit

from springline.core.types import Stored

LONGEST_TEXT = 16_777_216
"""Letters of a text that a function makes of shorter ones: REPEAT of a large number must not exhaust the memory."""

_INTEGER_LIMIT = 2**63
_WORD = re.compile("[A-Za-z0-9]+")


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _regexp(text: str, pattern: str) -> int:
    """FALSE for an empty pattern and for one that is none."""
    found = compiled(pattern)
    return int(bool(pattern) and found is not None and found.search(text) is not None)


def _regexp_extract(text: str, pattern: str, group: int = 0) -> str | None:
    found = compiled(pattern)
    match = None if found is None else found.search(text)
    if match is None or not 0 <= group <= match.re.groups:
        return None
    return match[group]


def checked_length(length: int) -> None:
    """Raises ValueError for a text that would be too long."""
    if length > LONGEST_TEXT:
        raise ValueError(f"a text of {length} letters is longer than {LONGEST_TEXT}")


def _regexp_replace(text: str, pattern: str, replacement: str) -> str | None:
    """The replacement stands as it is written: $1 is no group, as in Flink."""
    found = compiled(pattern)
    if found is None:
        return None
    if (len(text) + 1) * len(replacement) > LONGEST_TEXT:
        checked_length(sum(len(replacement) for _ in found.finditer(text)))
    return found.sub(lambda _: replacement, text)


def _replace(text: str, old: str, new: str) -> str:
    if len(new) > len(old):
        checked_length(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new)


def _regexp_count(text: str, pattern: str) -> int | None:
    found = compiled(pattern)
    return None if found is None else sum(1 for _ in found.finditer(text))


def _regexp_instr(text: str, pattern: str) -> int | None:
    found = compiled(pattern)
    if found is None:
        return None
    match = found.search(text)
    return 0 if match is None else match.start() + 1


@lru_cache(maxsize=512)
def _similar_pattern(pattern: str, escape: str) -> re.Pattern[str]:
    made: list[str] = []
    letters = iter(pattern)
    in_class = False
    for letter in letters:
        if escape and letter == escape:
            made.append(re.escape(next(letters, "")))
        elif in_class or letter in "()|*+?{}":
            made.append(letter)
            in_class = in_class and letter != "]"
        elif letter == "[":
            made.append(letter)
            in_class = True
        else:
            made.append({"%": ".*", "_": "."}.get(letter, re.escape(letter)))
    return re.compile("".join(made), re.DOTALL)


def _similar(text: str, pattern: str, escape: str = "") -> int | None:
    try:
        return int(_similar_pattern(pattern, escape).fullmatch(text) is not None)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern of SIMILAR TO: {error}") from error


def _initcap(text: str) -> str:
    """Words are runs of ASCII letters and digits; other letters stay as they are, as in Flink."""
    return _WORD.sub(lambda found: found[0].capitalize(), text)


def _overlay(text: str, new: str, start: int, length: int | None = None) -> str:
    if start <= 0 or start > len(text):
        return text
    count = len(new) if length is None else length
    end = start - 1 + count if count > 0 else len(text)
    return text[: start - 1] + new + text[end:]


def _translate(text: str, letters: str, others: str) -> str:
    """Each of ``letters`` becomes the one at its place in ``others``, or goes where there is none."""
    table: dict[int, str | None] = {}
    for place, letter in enumerate(letters):
        table.setdefault(ord(letter), others[place] if place < len(others) else None)
    return text.translate(table)


def _instr(text: str, part: str, start: int = 1, occurrence: int = 1) -> int | None:
    """The place of the n-th occurrence from a place on; a negative place counts, and searches, from the end."""
    if not part:
        return 1
    if start == 0 or occurrence < 1:
        if occurrence < 1:
            raise ValueError("the occurrence of INSTR is positive")
        return 0
    found = start - 2 if start > 0 else len(text) + start + 1
    for _ in range(occurrence):
        found = text.find(part, found + 1) if start > 0 else text.rfind(part, 0, found - 1 + len(part))
        if found < 0:
            return 0
    return found + 1


def _split_index(text: str, separator: str | int, index: int) -> str | None:
    """The separator is a text, or the number of a letter from 1 to 255."""
    if isinstance(separator, int):
        if not 1 <= separator <= 255:
            return None
        separator = chr(separator)
    mark = separator
    if index < 0 or not mark or not text:
        return None
    parts = text.split(mark)
    return parts[index] if index < len(parts) else None


def _ascii(text: str) -> int:
    """The first byte, with its sign."""
    first = text.encode()[0] if text else 0
    return first - 256 if first > 127 else first


def _chr(number: int) -> str:
    return "" if number < 0 else chr(number & 255)


def _digest(text: str, name: str) -> str:
    return hashlib.new(name, text.encode()).hexdigest()


def _sha2(text: str, bits: int) -> str:
    if bits not in (224, 256, 384, 512):
        raise ValueError(f"SHA2 has 224, 256, 384 or 512 bits, not {bits}")
    return _digest(text, f"sha{bits}")


def _to_base64(value: str | bytes) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode("ascii")


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _encode(text: str, charset: str) -> bytes:
    return text.encode(_charset(charset), errors="replace")


def _decode(data: bytes, charset: str) -> str:
    return data.decode(_charset(charset), errors="replace")


def _charset(name: str) -> str:
    charsets = {"US-ASCII": "ascii", "ISO-8859-1": "latin-1", "UTF-8": "utf-8", "UTF-16BE": "utf-16-be"}
    charsets |= {"UTF-16LE": "utf-16-le", "UTF-16": "utf-16"}
    if name.upper() not in charsets:
        raise ValueError(f"{name!r} is no character set; known: {', '.join(charsets)}")
    return charsets[name.upper()]


def _hex(value: int | str) -> str:
    return f"{value & (2**64 - 1):X}" if isinstance(value, int) else value.encode().hex().upper()


def _unhex(text: str) -> bytes | None:
    """Of an odd number of digits Flink gives one zero byte for the lone one."""
    try:
        return bytes.fromhex(text if len(text) % 2 == 0 else "0" + text)
    except ValueError:
        return None


def _bin(value: int) -> str:
    return f"{value & (2**64 - 1):b}"


def _url_encode(text: str) -> str:
    return quote_plus(text, safe="*-._")


def _url_decode(text: str) -> str | None:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return None
    return unquote_plus(text)


def _parse_url(text: str, part: str, key: str | None = None) -> str | None:
    try:
        found = urlsplit(text)
        port = found.port
    except ValueError:
        return None
    if not found.scheme or (key is not None and part != "QUERY"):
        return None
    if part == "QUERY" and key is not None:
        match = re.search(rf"(?:&|^){re.escape(key)}=([^&]*)", found.query)
        return None if match is None else match[1]
    user, _, host = found.netloc.rpartition("@")
    parts = {
        "HOST": host.removesuffix(f":{port}"),
        "PATH": found.path,
        "QUERY": found.query or None,
        "REF": found.fragment or None,
        "PROTOCOL": found.scheme,
        "FILE": found.path + (f"?{found.query}" if found.query else ""),
        "AUTHORITY": found.netloc,
        "USERINFO": user or None,
    }
    return parts.get(part)


def _inet_aton(text: str) -> int | None:
    """An IPv4 address as a number; with fewer parts the last one fills the rest."""
    parts = text.split(".")
    if not 1 <= len(parts) <= 4 or not all(re.fullmatch("[0-9]+", part) for part in parts):
        return None
    *first, last = map(int, parts)
    if any(part > 255 for part in first) or last >= 256 ** (4 - len(first)):
        return None
    return sum(part << (8 * (3 - place)) for place, part in enumerate(first)) + last


def _inet_ntoa(number: int) -> str | None:
    if not 0 <= number < 2**32:
        return None
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def _map_value(text: str, pairs: str, marks: str, key: str) -> str | None:
    """STR_TO_MAP(text, pairs, marks)[key]. The last pair of a key counts."""
    between_pairs, between = compiled(pairs), compiled(marks)
    if between_pairs is None or between is None:
        raise ValueError(f"{pairs if between_pairs is None else marks!r} is no regular expression")
    made: dict[str, str | None] = {}
    for pair in between_pairs.split(text):
        name, *value = between.split(pair, maxsplit=1)
        made[name] = value[0] if value else None
    return made.get(key)


def elt(index: int | None, *texts: Stored) -> Stored:
    """The text with this number, whatever the others are."""
    return texts[index - 1] if index is not None and 1 <= index <= len(texts) else None


STRING_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sl_regexp": _regexp,
    "sl_regexp_extract": _regexp_extract,
    "sl_regexp_replace": _regexp_replace,
    "sl_replace": _replace,
    "sl_regexp_count": _regexp_count,
    "sl_regexp_instr": _regexp_instr,
    "sl_similar": _similar,
    "sl_initcap": _initcap,
    "sl_overlay": _overlay,
    "sl_translate": _translate,
    "sl_instr": _instr,
    "sl_split_index": _split_index,
    "sl_ascii": _ascii,
    "sl_chr": _chr,
    "sl_digest": _digest,
    "sl_sha2": _sha2,
    "sl_to_base64": _to_base64,
    "sl_from_base64": _from_base64,
    "sl_encode": _encode,
    "sl_decode": _decode,
    "sl_hex": _hex,
    "sl_unhex": _unhex,
    "sl_bin": _bin,
    "sl_url_encode": _url_encode,
    "sl_url_decode": _url_decode,
    "sl_parse_url": _parse_url,
    "sl_inet_aton": _inet_aton,
    "sl_inet_ntoa": _inet_ntoa,
    "sl_map_value": _map_value,
}
