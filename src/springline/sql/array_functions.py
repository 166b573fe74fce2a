"""Functions of generated SQL over arrays. The first argument is the type of the elements; arrays are JSON texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, cast

from springline.core.types import SqlType, Stored, parse_type, render, store
from springline.sql.exact import wide_key
from springline.sql.string_functions import compiled

_type = lru_cache(maxsize=256)(parse_type)


def _elements(text: str) -> list[Any]:
    return cast("list[Any]", json.loads(text))


def _array(rendered: Iterable[Any]) -> str:
    return json.dumps(list(rendered), ensure_ascii=False)


def _rendered(kind: str, value: Stored) -> Any:
    return render(value, _type(kind))


def _stored(kind: str, rendered: Any) -> Stored:
    return store(rendered, _type(kind))


def _order(kind: str, rendered: Any) -> Any:
    """What elements are compared by; only asked of those that are not NULL."""
    type_: SqlType = _type(kind)
    value = store(rendered, type_)
    if isinstance(value, str) and type_.name == "DECIMAL" and not type_.is_scaled:
        return wide_key(value)
    return (value == "NaN", 0 if value == "NaN" else value) if type_.is_numeric else value


def _literal(kind: str, *values: Stored) -> str:
    return _array(_rendered(kind, value) for value in values)


def _at(kind: str, text: str, index: int) -> Stored:
    elements = _elements(text)
    return _stored(kind, elements[index - 1]) if 1 <= index <= len(elements) else None


def _element(kind: str, text: str) -> Stored:
    elements = _elements(text)
    if len(elements) > 1:
        raise ValueError("ELEMENT of an array with more than one element")
    return _stored(kind, elements[0]) if elements else None


def _position(kind: str, text: str, value: Stored) -> int:
    elements, wanted = _elements(text), _rendered(kind, value)
    return elements.index(wanted) + 1 if wanted in elements else 0


def _contains(kind: str, text: str | None, value: Stored) -> int | None:
    return None if text is None else int(_position(kind, text, value) > 0)


def _remove(kind: str, text: str | None, value: Stored) -> str | None:
    wanted = _rendered(kind, value)
    return None if text is None else _array(one for one in _elements(text) if one != wanted)


def _append(kind: str, text: str | None, value: Stored) -> str | None:
    return None if text is None else _array([*_elements(text), _rendered(kind, value)])


def _prepend(kind: str, text: str | None, value: Stored) -> str | None:
    return None if text is None else _array([_rendered(kind, value), *_elements(text)])


def _once(elements: Iterable[Any]) -> list[Any]:
    made: list[Any] = []
    for one in elements:
        if one not in made:
            made.append(one)
    return made


def _extreme(kind: str, text: str, choose: Callable[..., Any]) -> Stored:
    known = [one for one in _elements(text) if one is not None]
    return _stored(kind, choose(known, key=partial(_order, kind))) if known else None


def _max(kind: str, text: str) -> Stored:
    return _extreme(kind, text, max)


def _min(kind: str, text: str) -> Stored:
    return _extreme(kind, text, min)


def _distinct(kind: str, text: str) -> str:
    return _array(_once(_elements(text)))


def _reverse(kind: str, text: str) -> str:
    return _array(reversed(_elements(text)))


def _concat(kind: str, *texts: str) -> str:
    return _array(one for text in texts for one in _elements(text))


def _union(kind: str, one: str, other: str) -> str:
    return _array(_once([*_elements(one), *_elements(other)]))


def _intersect(kind: str, one: str, other: str) -> str:
    others = _elements(other)
    return _array(_once(each for each in _elements(one) if each in others))


def _except(kind: str, one: str, other: str) -> str:
    others = _elements(other)
    return _array(_once(each for each in _elements(one) if each not in others))


def _sort(kind: str, text: str, ascending: int = 1, nulls_first: int | None = None) -> str:
    elements = _elements(text)
    nulls = [one for one in elements if one is None]
    known = sorted(
        (one for one in elements if one is not None), key=lambda one: _order(kind, one), reverse=not ascending
    )
    first = ascending if nulls_first is None else nulls_first
    return _array([*nulls, *known] if first else [*known, *nulls])


def _slice(kind: str, text: str, start: int, end: int | None = None) -> str:
    """From one place to another, both included; from 1, negative ones from the end."""
    elements = _elements(text)
    first = max(len(elements) + start + 1 if start < 0 else start, 1)
    last = len(elements) if end is None else (len(elements) + end + 1 if end < 0 else end)
    return _array(elements[first - 1 : max(last, 0)])


def _join(kind: str, text: str, separator: str, missing: str | None = None) -> str:
    parts = [missing if one is None else one for one in _elements(text)]
    return separator.join(str(one) for one in parts if one is not None)


def _split(text: str, separator: str) -> str:
    if not text:
        return _array([])
    return _array(text.split(separator) if separator else list(text))


def _extract_all(text: str, pattern: str, group: int = 1) -> str | None:
    found = compiled(pattern)
    if found is None or not 0 <= group <= found.groups:
        return None
    return _array(match[group] for match in found.finditer(text))


ARRAY_FUNCTIONS_WITH_NULLS: dict[str, Callable[..., Any]] = {
    "sl_array": _literal,
    "sl_array_contains": _contains,
    "sl_array_remove": _remove,
    "sl_array_append": _append,
    "sl_array_prepend": _prepend,
}
"""Those that are called with NULLs."""

ARRAY_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sl_array_at": _at,
    "sl_array_element": _element,
    "sl_array_position": _position,
    "sl_array_distinct": _distinct,
    "sl_array_reverse": _reverse,
    "sl_array_max": _max,
    "sl_array_min": _min,
    "sl_array_sort": _sort,
    "sl_array_concat": _concat,
    "sl_array_union": _union,
    "sl_array_intersect": _intersect,
    "sl_array_except": _except,
    "sl_array_slice": _slice,
    "sl_array_join": _join,
    "sl_split": _split,
    "sl_regexp_extract_all": _extract_all,
}
