"""Python functions that random queries call: scalar ones as forms of expressions, a table function in FROM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from springline.core.types import INT, STRING
from springline.sql.user_functions import Functions
from tests.law.form import Form
from tests.law.pieces import Piece, pair

LONGEST_STAIR: Final = 3


def digit(number: int | None) -> int | None:
    return None if number is None else abs(number) % 10


def tagged(text: str | None, number: int | None) -> str:
    """Gives a value also for NULLs."""
    return f"{'?' if text is None else text}#{'?' if number is None else number}"


def stairs(number: int | None) -> Iterator[tuple[int, int | None]]:
    """None, one, two or three rows; in the first of them a NULL."""
    for step in range(0 if number is None else abs(number) % (LONGEST_STAIR + 1)):
        yield step, step or None


def made() -> Functions:
    functions = Functions()
    functions.add_scalar("digit", digit, ["INT"], "INT")
    functions.add_scalar("tagged", tagged, ["STRING", "INT"], "STRING")
    functions.add_table("stairs", stairs, ["INT"], {"stair": "INT", "below": "INT"})
    return functions


FUNCTIONS: Final = made()

PYTHON: Final = [
    Form(INT, (INT,), "DIGIT({0})", "CAST(abs(CAST({0} AS BIGINT)) % 10 AS INTEGER)"),
    Form(
        STRING,
        (STRING, INT),
        "TAGGED({0}, {1})",
        "concat(coalesce({0}, '?'), '#', coalesce(CAST({1} AS VARCHAR), '?'))",
    ),
]


def climbed(number: Piece, alias: str, *, left: bool) -> Piece:
    """The stairs of each row: `` CROSS JOIN LATERAL TABLE(STAIRS(…)) AS alias``. ``left``: rows without any stay."""
    words, on = ("LEFT", " ON TRUE") if left else ("CROSS", "")
    rows = (
        f"SELECT stair, nullif(stair, 0) AS below FROM (SELECT CAST(unnest(range(0, abs(CAST({{0}} AS BIGINT)) % "
        f"{LONGEST_STAIR + 1})) AS INTEGER) AS stair)"
    )
    return pair(
        f" {words} JOIN LATERAL TABLE(STAIRS({{0}})) AS {alias}(stair, below){on}",
        f" {words} JOIN LATERAL ({rows}) AS {alias}{on}",
        number,
    )
