"""Flink's functions over JSON kept as text. Paths are ``[lax | strict] $.name[0]['other']``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn, cast

from springline.core.types import SqlType, Stored, load, parse_type, render
from springline.sql.java_numbers import java_double

_STEP = re.compile(
    r"\.(?P<name>[^\s.\[\]()*?@'\"]+)|\.?\[(?:'(?P<quoted>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<index>\d+))\]"
    r"|\.\"(?P<dotted>[^\"]*)\""
)
_MISSING = object()
_BROKEN = object()
"""What a strict path finds where it does not fit the document, and any path in what is not JSON."""


@lru_cache(maxsize=512)
def _path(text: str) -> tuple[str | int, ...] | None:
    """The steps of a path such as ``lax $.a[0]['b']``; None where it is more than that."""
    rest = text.strip()
    rest = rest.removeprefix("lax ").removeprefix("strict ").strip()
    if not rest.startswith("$"):
        return None
    steps: list[str | int] = []
    position = 1
    while position < len(rest):
        found = _STEP.match(rest, position)
        if found is None:
            return None
        index = found["index"]
        name = next(
            (
                one
                for one in (found["name"], found["quoted"], found["double"], found["dotted"])
                if one is not None
            ),
            "",
        )
        steps.append(int(index) if index is not None else name)
        position = found.end()
    return tuple(steps)


def is_path(text: str) -> bool:
    """Whether a text is a path as it is understood here: steps by name and by number."""
    return _path(text) is not None


@lru_cache(maxsize=64)
def _document(text: str) -> Any:
    """The value of a JSON document. Raises ValueError for what is none, and for one that is nested deeper than Python's stack."""
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_number)
        return _well_formed(value) if "\\u" in text else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _well_formed(value: Any) -> Any:
    """Half of a surrogate pair, which JSON can write and UTF-8 cannot, becomes a question mark, as in Java."""
    match value:
        case str():
            return value if value.isascii() else value.encode(errors="replace").decode()
        case list():
            return [_well_formed(one) for one in cast("list[Any]", value)]
        case dict():
            members = cast("dict[str, Any]", value).items()
            return {_well_formed(name): _well_formed(one) for name, one in members}
        case _:
            return value


def _find(text: str, path: str) -> Any:
    """What a path leads to. A path is strict, as in Flink, unless it begins with ``lax``."""
    steps = _path(path)
    if steps is None:
        return _BROKEN
    try:
        value = _document(text)
    except ValueError:
        return _BROKEN
    for step in steps:
        value = _step(value, step)
    return _BROKEN if value is _MISSING and not path.lstrip().startswith("lax") else value


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        items = cast("list[Any]", value) if isinstance(value, list) else []
        return items[step] if step < len(items) else _MISSING
    return cast("dict[str, Any]", value).get(step, _MISSING) if isinstance(value, dict) else _MISSING


def _instead(found: Any, path: str, option: str, default: str | None) -> str | None:
    """What ON EMPTY or ON ERROR gives."""
    if option == "ERROR":
        raise ValueError(
            f"{path!r} leads to no value" if found is not _BROKEN else f"{path!r} does not fit the document"
        )
    return {"ARRAY": "[]", "OBJECT": "{}", "DEFAULT": default}.get(option)


def json_value(
    text: str | None,
    path: str | None,
    options: str = "/",
    empty_default: str | None = None,
    error_default: str | None = None,
) -> str | None:
    """JSON_VALUE: a scalar as text. ``options``: the words of ON EMPTY and ON ERROR."""
    if text is None or path is None:
        return None
    on_empty, on_error = options.split("/")
    value = _find(text, path)
    nested = isinstance(value, list | dict)
    if value is _BROKEN or (nested and not path.lstrip().startswith("lax")):
        return _instead(_BROKEN, path, on_error, error_default)
    if value is _MISSING or value is None or nested:
        return _instead(value, path, on_empty, empty_default)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def json_query(text: str, path: str, options: str = "//") -> str | None:
    """JSON_QUERY: an object or array, or with a wrapper an array around a scalar."""
    wrapper, on_empty, on_error = options.split("/")
    value = _find(text, path)
    if value is _BROKEN:
        return _instead(value, path, on_error, None)
    if value is _MISSING or value is None:
        return _instead(value, path, on_empty, None)
    if wrapper == "UNCONDITIONAL" or (wrapper and not isinstance(value, list | dict)):
        return json_text([value])
    if not isinstance(value, list | dict):
        lax = path.lstrip().startswith("lax")
        return _instead(value, path, on_empty if lax else on_error, None)
    return json_text(cast("Any", value))


def json_exists(text: str, path: str, on_error: str = "") -> int | None:
    """JSON_EXISTS; a null is not there."""
    value = _find(text, path)
    if value is _BROKEN and on_error:
        if on_error == "ERROR":
            raise ValueError(f"{path!r} does not fit the document")
        return {"TRUE": 1, "FALSE": 0}.get(on_error)
    return int(value is not _MISSING and value is not _BROKEN and value is not None)


def is_json(text: str | None, kind: str) -> int:
    """Whether a text is JSON, of a kind: VALUE (any), SCALAR, ARRAY, OBJECT."""
    if text is None:
        return 0
    try:
        value = _document(text)
    except ValueError:
        return 0
    kinds = {"ARRAY": list, "OBJECT": dict}
    if kind == "SCALAR":
        return int(not isinstance(value, list | dict))
    return int(kind == "VALUE" or isinstance(value, kinds[kind]))


def _pairs(values: tuple[Any, ...], absent: int) -> list[Any]:
    made = [_marked(kind, value) for kind, value in zip(values[::2], values[1::2], strict=True)]
    return [one for one in made if one is not None] if absent else made


def _marked(kind: str, stored: Stored) -> Any:
    if kind == "JSON":
        return None if stored is None else RawJson(stored)
    return json_part(stored, parse_type(kind))


def json_object(absent: int, names: str, *values: Any) -> str:
    """JSON_OBJECT, its members in the order of their names as in Flink."""
    made = dict(zip(names.split("\n"), _pairs(values, 0), strict=False)) if values else {}
    return json_text({name: made[name] for name in sorted(made) if made[name] is not None or not absent})


def json_array(absent: int, *values: Any) -> str:
    return json_text(_pairs(values, absent))


def json_string(stored: Stored, kind: str) -> str:
    return json_text(json_part(stored, parse_type(kind)))


def json_quote(text: str) -> str:
    return json.dumps(text)


def json_unquote(text: str) -> str:
    """The text of a JSON string; other texts stay as they are."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            value = _document(text)
        except ValueError:
            return text
        return value if isinstance(value, str) else text
    return text


def json_normal(text: str) -> str:
    """A JSON document without blanks. Raises ValueError for what is none."""
    return json_text(_document(text))


JSON_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sl_json_query": json_query,
    "sl_json_exists": json_exists,
    "sl_json_string": json_string,
    "sl_json_quote": json_quote,
    "sl_json_unquote": json_unquote,
    "sl_json_normal": json_normal,
}
JSON_FUNCTIONS_WITH_NULLS: dict[str, Callable[..., Any]] = {
    "sl_json_value": json_value,
    "sl_json_object": json_object,
    "sl_json_array": json_array,
    "sl_is_json": is_json,
}


class RawJson(str):
    """A text that is JSON already, to be put into other JSON as it is."""

    __slots__ = ()


def json_part(stored: Stored, kind: SqlType) -> Any:
    """A stored value as a part of JSON: numbers, booleans and texts as such, dates and times as texts, BYTES in base64."""
    if stored is None or kind.name in ("STRING", "SMALLINT", "INT", "BIGINT"):
        return stored
    if kind.element is not None:
        return RawJson(str(stored))
    value = load(stored, kind)
    return value if isinstance(value, bool | float | Decimal) else render(stored, kind)


def json_text(value: Any) -> str:
    """JSON without blanks. Doubles are written as Java writes them."""
    match value:
        case RawJson():
            return str(value)
        case float():
            return java_double(value) if math.isfinite(value) else json.dumps(java_double(value))
        case Decimal():
            return str(value) if value.is_finite() else json.dumps(str(value))
        case list():
            return "[" + ",".join(json_text(one) for one in cast("list[Any]", value)) + "]"
        case dict():
            members = cast("dict[str, Any]", value).items()
            return "{" + ",".join(f"{json_text(name)}:{json_text(one)}" for name, one in members) + "}"
        case _:
            return json.dumps(value, ensure_ascii=False)
