"""One way to write a scalar expression, in Flink's words and DuckDB's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from springline.core.types import SqlType

Constants: TypeAlias = tuple[str, ...]
"""Texts that mean the same in both languages; one of them is taken."""

Argument: TypeAlias = "SqlType | Constants"


@dataclass(frozen=True, slots=True)
class Form:
    """One way to make a value of type ``gives``. ``duck`` is DuckDB's text, ``flink`` itself if it is the same (``=``); without
    one, ``why`` says what DuckDB lacks. ``risky`` forms can fail at run time."""

    gives: SqlType
    takes: tuple[Argument, ...]
    flink: str
    duck: str | None = "="
    why: str = ""
    risky: bool = False
