"""Golden expressions through Springline's own translation, in the notation of the golden tables."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import cache
from typing import cast

from springline.core.schema import Column, TableSchema
from springline.core.types import SqlType, Stored, load, parse_type
from springline.errors import SqlError
from springline.sql import compile_query
from springline.testing.sql_harness import SqlHarness
from tests.golden import samples
from tests.golden.notation import ERROR, REFUSED, Line, moment, written

ROUNDING = 4e-15
"""How far two libraries' elementary functions (sine, logarithm, …) may be apart."""


@cache
def constants() -> SqlHarness:
    return SqlHarness([])


def filled(
    name: str, table: dict[str, tuple[str, list[str]]]
) -> tuple[TableSchema, list[tuple[Stored, ...]]]:
    """A schema and the rows of a table of literals, in stored form."""
    columns = [
        Column(column, _column_type(kind), nullable=column != "k") for column, (kind, _) in table.items()
    ]
    rows = [
        tuple(
            constants().connection.execute(compile_query(f"SELECT {value} AS x", {}).sql).fetchone()[0]
            for value in row
        )  # pyright: ignore[reportOptionalSubscript]
        for row in samples.rows(table)
    ]
    return TableSchema(name, tuple(columns), ("k",)), rows


def _column_type(kind: str) -> SqlType:
    return parse_type(re.sub(r"^TIMESTAMP\(\d\)", "TIMESTAMP", kind))


@cache
def over_samples() -> SqlHarness:
    schema, rows = filled("samples", samples.SAMPLES)
    harness = SqlHarness([schema])
    harness.tick({"samples": [(row, 1) for row in rows]})
    return harness


@cache
def over_facts() -> SqlHarness:
    schema, rows = filled("facts", samples.FACTS)
    harness = SqlHarness([schema])
    harness.tick({"facts": [(row, 1) for row in rows]})
    return harness


def evaluate(over: str, expression: str) -> tuple[str, str]:
    """Type and result of an expression; a value that was reported as not computable is an error."""
    try:
        return _OVER[over](expression)
    except SqlError as error:
        return REFUSED, str(error).splitlines()[0]


def _constant(expression: str) -> tuple[str, str]:
    harness = constants()
    program = compile_query(f"SELECT {expression} AS x", {})
    harness.errors.clear()
    [(stored,)] = harness.connection.execute(program.sql).fetchall()
    [(_, kind)] = program.columns
    return str(kind), _shown(harness, stored, kind)


def _samples(expression: str) -> tuple[str, str]:
    harness = over_samples()
    program = compile_query(
        f"SELECT {expression} AS x FROM samples WHERE k = :k", harness.schemas, parameters={"k": 0}
    )
    [(_, kind)] = program.columns
    made: list[str] = []
    for key in samples.SAMPLES["k"][1]:
        harness.errors.clear()
        [(stored,)] = harness.connection.execute(program.sql, {"k": int(key)}).fetchall()
        made.append(
            _shown(harness, stored, kind).split(":")[0] if harness.errors else _shown(harness, stored, kind)
        )
    return str(kind), " ; ".join(made)


def _facts(expression: str) -> tuple[str, str]:
    harness = over_facts()
    made: dict[str | None, str] = {}
    kind = "?"
    for name, text in (
        ("", f"SELECT g, {expression} AS x FROM facts GROUP BY g"),
        ("all", f"SELECT {expression} AS x FROM facts"),
        ("none", f"SELECT {expression} AS x FROM facts WHERE k > 100"),
    ):
        program = compile_query(text, harness.schemas)
        harness.errors.clear()
        type_ = program.columns[-1][1]
        kind = str(type_)
        for row in harness.connection.execute(program.sql).fetchall():
            made[name or cast("str | None", row[0])] = _shown(harness, row[-1], type_)
    return kind, " ; ".join(made[group] for group in samples.GROUPED)


def _shown(harness: SqlHarness, stored: Stored, kind: SqlType) -> str:
    if stored is None and harness.errors:
        return ERROR + harness.errors[0]
    return written(load(stored, kind))


_OVER = {"nothing": _constant, "samples": _samples, "facts": _facts}


def agrees(line: Line, kind: str, result: str) -> bool:
    """Whether our type and result are Flink's: CHAR(n) and VARCHAR(n) are STRING here, timestamps have six digits, and computed
    DECIMALs of more than 18 digits may have fewer (docs/sql.md, Differences from Flink). What fails in Flink when it runs may be
    refused here when it is declared."""
    if line.type == REFUSED or kind == REFUSED:
        return kind == REFUSED and (line.type == REFUSED or line.result.startswith(ERROR))
    theirs = flink_type(line.type)
    if theirs.startswith("DECIMAL") and kind.startswith("DECIMAL") and _digits(theirs)[0] > 18:
        scale, (_, our_scale) = _digits(theirs)[1], _digits(kind)
        fits = kind in ("DECIMAL", theirs) or our_scale <= scale
        return fits and _decimals_agree(line.result, result, scale if kind == "DECIMAL" else our_scale)
    return kind == theirs and _results_agree(line.result, result, kind)


def flink_type(text: str) -> str:
    """Flink's type by our name."""
    text = text.replace(" NOT NULL", "")
    text = re.sub(r"\b(?:VAR)?CHAR\(\d+\)", "STRING", text)
    text = re.sub(r"\b(?:VAR)?BINARY\(\d+\)", "BYTES", text)
    return re.sub(r"\b(TIME|TIMESTAMP|TIMESTAMP_LTZ)\(\d\)", r"\1", text)


def _digits(kind: str) -> tuple[int, int]:
    found = re.fullmatch(r"DECIMAL\((\d+), (\d+)\)", kind)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _results_agree(theirs: str, ours: str, kind: str) -> bool:
    pairs = list(zip(theirs.split(" ; "), ours.split(" ; "), strict=False))
    return len(theirs.split(" ; ")) == len(ours.split(" ; ")) and all(
        _same(one, other, kind) for one, other in pairs
    )


def _same(theirs: str, ours: str, kind: str) -> bool:
    if theirs.startswith("error") or ours.startswith("error"):
        return theirs.startswith("error") and ours.startswith("error")
    if kind in ("DOUBLE", "FLOAT") and "NULL" not in (theirs, ours):
        one, other = float(theirs), float(ours)
        return one == other or (one != one and other != other) or math.isclose(one, other, rel_tol=ROUNDING)
    if kind.startswith("TIMESTAMP") and theirs != "NULL" and "T" in theirs:
        return moment(theirs) == ours
    return theirs == ours


def _decimals_agree(theirs: str, ours: str, scale: int) -> bool:
    wide = Context(prec=100, rounding=ROUND_HALF_UP)
    for one, other in zip(theirs.split(" ; "), ours.split(" ; "), strict=True):
        if one == other or (one.startswith("error") and other.startswith("error")):
            continue
        if "NULL" in (one, other) or one.startswith("error") or other.startswith("error"):
            return False
        unit = Decimal(1).scaleb(-scale)
        if Decimal(one).quantize(unit, context=wide) != Decimal(other).quantize(unit, context=wide):
            return False
    return True
