"""What generated SQL calls to find out whether an expression fails, and to describe a row on which one did."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from springline.core.types import Stored, parse_type, render
from springline.sql.text_functions import parse_value

REMEMBERED: Final = 16_384
"""Values that were parsed last: as many as a tick has, so that its statements parse each once."""

LONGEST_STORED: Final = 250_000_000
"""Letters of a text that SQLite can surely hold: its 1,000,000,000 bytes, at four for a letter."""

LONGEST_VALUE: Final = 1_000
"""Characters of one value that a dead letter shows."""


@functools.lru_cache(maxsize=REMEMBERED, typed=True)
def parsed(value: Stored, type_: str) -> Stored:
    """A text or double read as another type; None where it cannot be. Remembered, since a guard asks before the value is used."""
    return parse_value(value, _type(type_))


_type = functools.lru_cache(maxsize=256)(parse_type)


def parses(value: Stored, type_: str) -> int:
    """Whether ``CAST(value AS type_)`` does not fail."""
    return int(value is None or parsed(value, type_) is not None)


def described(names_and_types: str, *values: Stored) -> str:
    """A row as a JSON object of rendered values. ``names_and_types``: a JSON list of pairs."""
    pairs: list[tuple[str, str]] = json.loads(names_and_types)
    shown = {name: _shown(value, type_) for (name, type_), value in zip(pairs, values, strict=True)}
    return json.dumps(shown, ensure_ascii=False, default=str)


def _shown(value: Stored, type_: str) -> Any:
    rendered = render(value, _type(type_))
    if isinstance(rendered, bytes):
        rendered = rendered.hex()
    if isinstance(rendered, str) and len(rendered) > LONGEST_VALUE:
        return rendered[:LONGEST_VALUE] + "…"
    return rendered


def confined(name: str, function: Callable[..., Any], report: Callable[[str], None]) -> Callable[..., Any]:
    """A function whose exceptions do not reach SQLite, where they would stop the view: its value is NULL, and the exception is
    reported. The guard of an expression that is not NULL otherwise leaves the row out."""

    def call(*arguments: Any) -> Any:
        try:
            made = function(*arguments)
            if isinstance(made, str) and len(made) > LONGEST_STORED:
                raise ValueError(f"a text of {len(made)} letters is more than SQLite can hold")
        # Whatever a function raises for a row must not become an error of SQLite, which would stop the tick for all rows.
        except Exception as error:
            report(f"{name.removeprefix('sl_')} raised {type(error).__name__}: {error}")
            return None
        return made

    return call


FAILURE_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "sl_parses": parses,
    "sl_described": described,
}
