"""Functions over dates and timestamps. The session's time zone is UTC."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from springline.core.types import BIGINT, DATE, INT, STRING, TIMESTAMP, TIMESTAMP_LTZ, SqlType
from springline.sql.casts import floor_to
from springline.sql.dialect import Text, Tree
from springline.sql.typed import (
    DAY_US,
    INTERVAL_MICROSECONDS,
    INTERVAL_MONTHS,
    Typed,
    as_double,
    date_to_timestamp,
    derived,
    describe,
    is_wide,
)

UNIT_US: Final = {
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": DAY_US,
}
LONGEST_INTERVAL: Final = 10**18
"""Microseconds (or months). The sum of one and a finite timestamp is within 64 bits."""

UNIT_MONTHS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
EXTRACTED: Final = {
    "YEAR": "%Y",
    "MONTH": "%m",
    "DAY": "%d",
    "DOY": "%j",
}
UNITS: Final = (*UNIT_US, "WEEK", *UNIT_MONTHS)
_OTHER_PARTS: Final = ("QUARTER", "WEEK", "DOW", "ISODOW", "ISOYEAR", "DECADE", "CENTURY", "MILLENNIUM")
_EXTRACTED_ONLY: Final = ("MILLISECOND", "MICROSECOND", "DOY", "EPOCH", *_OTHER_PARTS)


def unit_of(where: Text, node: Tree) -> str:
    """A time unit as written: HOUR, HOURS …"""
    name = node.name.upper()
    for unit in (*UNITS, *_EXTRACTED_ONLY):
        if name in (unit, unit + "S", "SQL_TSI_" + unit):
            return unit
    raise where.error(node, f"{where.quote(node)} is not a unit of time.", f"Units: {', '.join(UNITS)}.")


_SPANS: Final = {
    ("DAY", "HOUR"): r"(\d+) (\d+)",
    ("DAY", "MINUTE"): r"(\d+) (\d+):(\d+)",
    ("DAY", "SECOND"): r"(\d+) (\d+):(\d+):(\d+(?:\.\d+)?)",
    ("HOUR", "MINUTE"): r"(\d+):(\d+)",
    ("HOUR", "SECOND"): r"(\d+):(\d+):(\d+(?:\.\d+)?)",
    ("MINUTE", "SECOND"): r"(\d+):(\d+(?:\.\d+)?)",
    ("YEAR", "MONTH"): r"(\d+)-(\d+)",
}


def interval(where: Text, node: exp.Interval) -> Typed:
    """INTERVAL '3' DAY; INTERVAL '1 02:03:04' DAY TO SECOND; INTERVAL '1-6' YEAR TO MONTH."""
    value, unit = node.this, node.args.get("unit")
    if unit is None or not isinstance(value, exp.Literal | exp.Neg):
        raise where.error(
            node,
            f"{where.quote(node)} is not understood.",
            "Write INTERVAL '90' MINUTE: one number, one unit.",
        )
    text = value.name if isinstance(value, exp.Literal) else f"-{value.this.name}"
    if isinstance(unit, exp.IntervalSpan):
        return _span(where, node, text, unit_of(where, unit.this), unit_of(where, unit.expression))
    name = unit_of(where, unit)
    if not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text, re.ASCII):
        raise where.error(node, f"{text!r} is not a number of {name}s.", "Write INTERVAL '90' MINUTE.")
    amount = float(text)
    if name in UNIT_MONTHS and amount == int(amount):
        return _constant(where, node, int(amount) * UNIT_MONTHS[name], INTERVAL_MONTHS)
    size = 7 * DAY_US if name == "WEEK" else UNIT_US.get(name)
    if name in UNIT_MONTHS:
        raise where.error(node, f"{text!r} is no whole number of {name}s.", "Write INTERVAL '18' MONTH.")
    if size is None:
        raise where.error(node, f"Intervals of {name} are not defined.", f"Units: {', '.join(UNITS)}.")
    return _constant(where, node, round(amount * size), INTERVAL_MICROSECONDS)


def _constant(where: Text, node: Tree, value: int, kind: SqlType) -> Typed:
    if abs(value) > LONGEST_INTERVAL:
        raise where.error(node, f"{where.quote(node)} is longer than 31,000 years.", "Write a shorter one.")
    return Typed(f"({value})", kind, False, constant=True, value=value)


def _span(where: Text, node: Tree, text: str, first: str, last: str) -> Typed:
    """An interval of several units, from the first to the last."""
    pattern = _SPANS.get((first, last))
    found = None if pattern is None else re.fullmatch("(-?)" + pattern, text.strip())
    if found is None:
        raise where.error(
            node, f"{text!r} is no interval {first} TO {last}.", "Write INTERVAL '1 02:03:04' DAY TO SECOND."
        )
    sign = -1 if found[1] else 1
    if first == "YEAR":
        return _constant(where, node, sign * (int(found[2]) * 12 + int(found[3])), INTERVAL_MONTHS)
    units = list(UNIT_US)[::-1]
    sizes = [UNIT_US[unit] for unit in units[units.index(first) : units.index(last) + 1]]
    total = sum(round(float(part) * size) for part, size in zip(found.groups()[1:], sizes, strict=True))
    return _constant(where, node, sign * total, INTERVAL_MICROSECONDS)


def instant(where: Text, node: Tree, operand: Typed) -> str:
    """A date or timestamp as microseconds since 1970."""
    if operand.type.name == "DATE":
        return date_to_timestamp(operand.sql)
    if operand.type.name in ("TIMESTAMP", "TIMESTAMP_LTZ", "TIME"):
        return operand.sql
    raise where.error(
        node,
        f"{where.quote(node)} wants a date or timestamp, not {describe(operand.type)}.",
        "CAST it to TIMESTAMP.",
    )


def extract(where: Text, node: Tree, unit: str, operand: Typed) -> Typed:
    """EXTRACT(unit FROM x), YEAR(x), …: a BIGINT."""
    sql = instant(where, node, operand)
    if unit in EXTRACTED:
        seconds = f"{floor_to(sql, 1_000_000)} / 1000000"
        return derived(
            f"CAST(strftime('{EXTRACTED[unit]}', {seconds}, 'unixepoch') AS INTEGER)",
            BIGINT,
            [operand],
            nullable=True,
        )
    within = {
        "HOUR": DAY_US,
        "MINUTE": UNIT_US["HOUR"],
        "SECOND": UNIT_US["MINUTE"],
        "MILLISECOND": 1_000_000,
        "MICROSECOND": 1_000_000,
    }
    if unit in within:
        size, step = within[unit], UNIT_US.get(unit, 1 if unit == "MICROSECOND" else 1_000)
        return _of_finite(f"((({sql} % {size}) + {size}) % {size}) / {step}", sql, operand)
    if unit == "EPOCH":
        return _of_finite(f"{floor_to(sql, 1_000_000)} / 1000000", sql, operand)
    if unit in _OTHER_PARTS:
        return derived(f"sl_extract({sql}, '{unit}')", BIGINT, [operand], nullable=True)
    raise where.error(node, f"EXTRACT({unit} …) is not defined here.")


def _of_finite(text: str, moment: str, operand: Typed) -> Typed:
    """A part of a moment; an infinite one has none."""
    if operand.type.name == "TIME" or operand.constant:
        return derived(text, BIGINT, [operand])
    finite = f"CASE WHEN {moment} BETWEEN -{10**18} AND {10**18} THEN {text} END"
    return derived(finite, BIGINT, [operand], nullable=True)


def floor_time(where: Text, node: Tree, unit: str, operand: Typed, *, up: bool) -> Typed:
    """FLOOR(ts TO unit) and CEIL(ts TO unit)."""
    sizes = {**UNIT_US, "MILLISECOND": 1_000, "MICROSECOND": 1}
    if unit not in (*sizes, "WEEK", *UNIT_MONTHS, "DECADE"):
        raise where.error(node, f"Nothing is rounded to {unit}.", f"Units: {', '.join(UNITS)}.")
    if operand.type.name not in ("TIMESTAMP", "TIMESTAMP_LTZ", "DATE"):
        instant(where, node, operand)
        raise where.error(node, f"{describe(operand.type)} cannot be rounded to {unit}.")
    if operand.type == DATE:
        if unit in sizes:
            return operand
        return derived(f"sl_floor_date({operand.sql}, '{unit}', {int(up)})", DATE, [operand], nullable=True)
    sql = operand.sql
    if unit in sizes:
        size = sizes[unit]
        lower = floor_to(sql, size)
        if up:
            lower = f"CASE WHEN {sql} % {size} = 0 THEN {sql} ELSE {lower} + {size} END"
        finite = f"CASE WHEN {sql} BETWEEN -{10**18} AND {10**18} THEN {lower} ELSE {sql} END"
        return derived(finite, operand.type, [operand])
    return derived(f"sl_floor_time({sql}, '{unit}', {int(up)})", operand.type, [operand], nullable=True)


def difference(where: Text, node: Tree, unit: str, start: Typed, end: Typed) -> Typed:
    """TIMESTAMPDIFF(unit, start, end): whole units, towards zero."""
    first, second = instant(where, node, start), instant(where, node, end)
    if unit in UNIT_MONTHS:
        text = f"sl_months_between({first}, {second}) / {UNIT_MONTHS[unit]}"
        return derived(text, INT, [start, end], nullable=True)
    size = 7 * DAY_US if unit == "WEEK" else UNIT_US.get(unit)
    if size is None:
        raise where.error(
            node, f"TIMESTAMPDIFF by {unit} is not defined here.", f"Units: {', '.join(UNITS)}."
        )
    # The difference with an infinite timestamp overflows into a REAL; it is NULL.
    whole = f"({second} - {first})"
    text = f"CASE WHEN {whole} BETWEEN -{4 * 10**18} AND {4 * 10**18} THEN {whole} / {size} END"
    return derived(text, INT if unit != "SECOND" else BIGINT, [start, end], nullable=True)


def add_units(where: Text, node: Tree, unit: str, amount: Typed, operand: Typed) -> Typed:
    """TIMESTAMPADD(unit, amount, ts)."""
    if not amount.type.is_integer:
        raise where.error(node, "TIMESTAMPADD wants a whole number of units.", "CAST it to INT.")
    if unit in UNIT_MONTHS:
        step = "DAY" if operand.type == DATE else "MICROSECOND"
        text = f"sl_add_months({operand.sql}, {amount.sql} * {UNIT_MONTHS[unit]}, '{step}')"
        return derived(text, operand.type, [amount, operand], nullable=True)
    size = 7 * DAY_US if unit == "WEEK" else UNIT_US.get(unit)
    if size is None:
        raise where.error(node, f"TIMESTAMPADD by {unit} is not defined here.", f"Units: {', '.join(UNITS)}.")
    if operand.type == DATE:
        if size % DAY_US:
            moment = derived(date_to_timestamp(operand.sql), TIMESTAMP, [operand])
            return add_units(where, node, unit, amount, moment)
        return _moved(operand, amount, size // DAY_US, 99_999_999)
    instant(where, node, operand)
    return _moved(operand, amount, size, 10**18)


def _moved(operand: Typed, amount: Typed, size: int, limit: int) -> Typed:
    """Later by so many units; NULL beyond what is finite. Infinite ones stay."""
    moved = f"({operand.sql} + {amount.sql} * {size})"
    text = (
        f"CASE WHEN {operand.sql} NOT BETWEEN -{limit} AND {limit} THEN CASE WHEN {amount.sql} IS NOT NULL THEN {operand.sql} END "
        f"WHEN {moved} BETWEEN -{limit} AND {limit} THEN {moved} END"
    )
    return derived(text, operand.type, [amount, operand], nullable=True)


_PATTERN_LETTERS = frozenset("yuMLdHhKkmsSaEDQ")


def check_pattern(where: Text, node: Tree, pattern: Typed) -> None:
    """A literal pattern of DATE_FORMAT or TO_TIMESTAMP: only letters that we know."""
    if not pattern.constant or not isinstance(pattern.value, str):
        return
    quoted = False
    for letter in pattern.value:
        quoted ^= letter == "'"
        if not quoted and letter.isalpha() and letter not in _PATTERN_LETTERS:
            raise where.error(
                node,
                f"The pattern letter {letter!r} is not known here.",
                f"Known: {' '.join(sorted(_PATTERN_LETTERS))}.",
            )


def date_format(where: Text, node: Tree, operand: Typed, pattern: Typed) -> Typed:
    check_pattern(where, node, pattern)
    return derived(
        f"sl_date_format({instant(where, node, operand)}, {pattern.sql})",
        STRING,
        [operand, pattern],
        nullable=True,
    )


def to_timestamp(where: Text, node: Tree, text: Typed, pattern: Typed | None, target: str) -> Typed:
    """TO_TIMESTAMP(text[, pattern]) and TO_DATE(text[, pattern]): NULL where the text is not one, as in Flink."""
    kind = DATE if target == "DATE" else TIMESTAMP
    if pattern is None:
        return derived(f"sl_parse_plain({text.sql}, '{kind}')", kind, [text], nullable=True)
    check_pattern(where, node, pattern)
    return derived(
        f"sl_parse_pattern({text.sql}, {pattern.sql}, '{kind}')", kind, [text, pattern], nullable=True
    )


def to_timestamp_ltz(where: Text, node: Tree, arguments: Sequence[Typed]) -> Typed:
    """TO_TIMESTAMP_LTZ(number[, 0 | 3]): seconds or milliseconds (the default) since the epoch."""
    number = arguments[0]
    precision = arguments[1].value if len(arguments) == 2 else 3
    if len(arguments) > 2 or precision not in (0, 3):
        raise where.error(
            node, "TO_TIMESTAMP_LTZ takes a number and the precision 0 (seconds) or 3 (milliseconds)."
        )
    if not number.type.is_integer:
        whole = f"CAST({as_double(number)} AS INTEGER)" if number.type.name != "DECIMAL" else _whole(number)
        number = derived(whole, BIGINT, [number])
    scale = 10 ** (6 - int(str(precision)))
    limit = (2**63 - 1) // scale
    moment = f"CASE WHEN {number.sql} BETWEEN -{limit} AND {limit} THEN {number.sql} * {scale} END"
    return derived(moment, TIMESTAMP_LTZ, [number], nullable=True)


def _whole(number: Typed) -> str:
    return (
        f"CAST({as_double(number)} AS INTEGER)"
        if is_wide(number.type)
        else f"({number.sql} / {10 ** (number.type.scale or 0)})"
    )


def text_to_timestamp_ltz(where: Text, node: Tree, arguments: Sequence[Typed]) -> Typed:
    """TO_TIMESTAMP_LTZ(text[, pattern[, time zone]]): in UTC unless a zone is given; NULL where the text is no timestamp."""
    if len(arguments) == 1:
        text = f"sl_parse_plain({arguments[0].sql}, 'TIMESTAMP')"
        return derived(text, TIMESTAMP_LTZ, arguments, nullable=True)
    check_pattern(where, node, arguments[1])
    zone = arguments[2].sql if len(arguments) == 3 else "'UTC'"
    text = f"sl_in_zone({arguments[0].sql}, {arguments[1].sql}, {zone})"
    return derived(text, TIMESTAMP_LTZ, arguments, nullable=True)
