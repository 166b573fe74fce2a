"""Changes to generated text that keep its meaning: other aliases, and what a text reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, cast

from springline.sql.typed import Typed

_ALIAS: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b([A-Za-z_]\w*)(?=\.")""")


def with_aliases(text: str, names: Mapping[str, str]) -> str:
    """SQL text in which occurrences go by other aliases. String literals and quoted names stay as they are."""

    def other(found: re.Match[str]) -> str:
        return names.get(found[1], found[1]) if found[1] else found[0]

    return _ALIAS.sub(other, text)


def renamed(typed: Typed, names: Mapping[str, str]) -> Typed:
    """An expression over occurrences that go by other aliases."""
    column = typed.column and (names.get(typed.column[0], typed.column[0]), typed.column[1])
    return replace(
        typed,
        raw=with_aliases(typed.raw, names),
        refs=frozenset(names.get(one, one) for one in typed.refs),
        column=column,
        parts=tuple(renamed(one, names) for one in typed.parts),
    )


def texts(value: object) -> Iterator[str]:
    """Every text in a shape, wherever it stands."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Typed):
        yield value.sql
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from texts(getattr(value, one.name))
    elif isinstance(value, Mapping):
        for key, one in cast("Mapping[Any, Any]", value).items():
            yield from texts(key)
            yield from texts(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in cast("list[Any]", value):
            yield from texts(one)


def columns_read(value: object, alias: str) -> set[str]:
    """The columns of an occurrence that a shape's texts name."""
    pattern = re.compile(rf"""'(?:[^']|'')*'|\b{re.escape(alias)}\."((?:[^"]|"")*)"|"(?:[^"]|"")*\"""")
    found: set[str] = set()
    for text in texts(value):
        if alias in text:
            found.update(one.replace('""', '"') for one in pattern.findall(text) if one)
    return found


def signature(value: object) -> str:
    """Equal for shapes that differ in nothing but the aliases of their occurrences."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"t_{len(numbers)}")

    return re.sub(r"\bt\d+\b", number, repr(value))
