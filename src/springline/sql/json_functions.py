"""JSON_VALUE, JSON_QUERY and JSON_EXISTS over JSON kept as text. Paths are ``lax $.name[0]['other']``."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_$][\w$]*)|\[(?:'(?P<quoted>[^']*)'|\"(?P<double>[^\"]*)\"|(?P<index>\d+))\]|\.\"(?P<dotted>[^\"]*)\""
)
_MISSING = object()


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


@lru_cache(maxsize=64)
def _document(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _find(text: str, path: str) -> Any:
    steps = _path(path)
    if steps is None:
        return _MISSING
    try:
        value = _document(text)
    except ValueError:
        return _MISSING
    for step in steps:
        value = _step(value, step)
    return value


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        items = cast("list[Any]", value) if isinstance(value, list) else []
        return items[step] if step < len(items) else _MISSING
    return cast("dict[str, Any]", value).get(step, _MISSING) if isinstance(value, dict) else _MISSING


def json_value(text: str, path: str) -> str | None:
    value = _find(text, path)
    if value is _MISSING or value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def json_query(text: str, path: str) -> str | None:
    value = _find(text, path)
    if not isinstance(value, list | dict):
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)


def json_exists(text: str, path: str) -> int:
    return int(_find(text, path) is not _MISSING)
