"""Functions over dates and timestamps. The session's time zone is UTC."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from springline.core.types import BIGINT, DATE, INT, STRING, TIMESTAMP, TIMESTAMP_LTZ
from springline.sql.casts import floor_to
from springline.sql.dialect import Text, Tree
from springline.sql.typed import (
    DAY_US,
    INTERVAL_MICROSECONDS,
    INTERVAL_MONTHS,
    Typed,
    date_to_timestamp,
    derived,
    describe,
)

UNIT_US: Final = {
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": DAY_US,
}
UNIT_MONTHS: Final = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
EXTRACTED: Final = {
    "YEAR": "%Y",
    "MONTH": "%m",
    "DAY": "%d",
    "DOY": "%j",
}
UNITS: Final = (*UNIT_US, "WEEK", *UNIT_MONTHS)


def unit_of(where: Text, node: Tree) -> str:
    """A time unit as written: HOUR, HOURS …"""
    name = node.name.upper()
    for unit in (*UNITS, "MILLISECOND", "MICROSECOND", "DOY", "DOW", "EPOCH"):
        if name in (unit, unit + "S", "SQL_TSI_" + unit):
            return unit
    raise where.error(node, f"{where.quote(node)} is not a unit of time.", f"Units: {', '.join(UNITS)}.")


def interval(where: Text, node: exp.Interval) -> Typed:
    """INTERVAL '3' DAY, and INTERVAL '1 02:03:04' DAY TO SECOND as days and a time."""
    value, unit = node.this, node.args.get("unit")
    if unit is None or isinstance(unit, exp.IntervalSpan) or not isinstance(value, exp.Literal | exp.Neg):
        raise where.error(
            node,
            f"{where.quote(node)} is not understood.",
            "Write INTERVAL '90' MINUTE: one number, one unit.",
        )
    name = unit_of(where, unit)
    try:
        amount = float(value.name) if isinstance(value, exp.Literal) else -float(value.this.name)
    except ValueError as error:
        raise where.error(
            node, f"{value.name!r} is not a number of {name}s.", "Write INTERVAL '90' MINUTE."
        ) from error
    if name in UNIT_MONTHS and amount == int(amount):
        months = int(amount) * UNIT_MONTHS[name]
        return Typed(f"({months})", INTERVAL_MONTHS, False, constant=True, value=months)
    size = 7 * DAY_US if name == "WEEK" else UNIT_US.get(name)
    if size is None:
        raise where.error(node, f"Intervals of {name} are not defined.", f"Units: {', '.join(UNITS)}.")
    microseconds = round(amount * size)
    return Typed(f"({microseconds})", INTERVAL_MICROSECONDS, False, constant=True, value=microseconds)


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
    }
    if unit in within:
        size, step = within[unit], UNIT_US.get(unit, 1_000)
        return derived(f"((({sql} % {size}) + {size}) % {size}) / {step}", BIGINT, [operand])
    if unit == "EPOCH":
        return derived(f"{floor_to(sql, 1_000_000)} / 1000000", BIGINT, [operand])
    if unit in ("QUARTER", "WEEK", "DOW"):
        return derived(f"sl_extract({sql}, '{unit}')", BIGINT, [operand], nullable=True)
    raise where.error(node, f"EXTRACT({unit} …) is not defined here.")


def floor_time(where: Text, node: Tree, unit: str, operand: Typed, *, up: bool) -> Typed:
    """FLOOR(ts TO unit) and CEIL(ts TO unit)."""
    if operand.type.name not in ("TIMESTAMP", "TIMESTAMP_LTZ", "DATE"):
        instant(where, node, operand)
        raise where.error(node, f"{describe(operand.type)} cannot be rounded to {unit}.")
    if operand.type == DATE:
        if unit in UNIT_US:
            return operand
        return derived(f"sl_floor_date({operand.sql}, '{unit}', {int(up)})", DATE, [operand], nullable=True)
    sql = operand.sql
    if unit in UNIT_US:
        size = UNIT_US[unit]
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
            raise where.error(node, "A DATE moves by whole days.", "CAST the DATE to TIMESTAMP first.")
        return derived(f"({operand.sql} + {amount.sql} * {size // DAY_US})", DATE, [amount, operand])
    instant(where, node, operand)
    moved = f"({operand.sql} + {amount.sql} * {size})"
    finite = f"CASE WHEN {moved} BETWEEN -{10**18} AND {10**18} THEN {moved}"
    text = f"{finite} WHEN {amount.sql} IS NOT NULL THEN {operand.sql} END"
    return derived(text, operand.type, [amount, operand])


_PATTERN_LETTERS = frozenset("yMdHhmsSaE")


def check_pattern(where: Text, node: Tree, pattern: Typed) -> None:
    """A literal pattern of DATE_FORMAT or TO_TIMESTAMP: only letters that we know."""
    if not pattern.constant or not isinstance(pattern.value, str):
        return
    quoted = False
    for letter in pattern.value:
        quoted ^= letter == "'"
        if not quoted and letter.isalpha() and letter not in _PATTERN_LETTERS:
            raise where.error(
                node, f"The pattern letter {letter!r} is not known here.", "Known: y M d H h m s S a E."
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
        return derived(f"sl_parse({text.sql}, '{kind}', '')", kind, [text], nullable=True)
    check_pattern(where, node, pattern)
    return derived(
        f"sl_parse_pattern({text.sql}, {pattern.sql}, '{kind}')", kind, [text, pattern], nullable=True
    )


def to_timestamp_ltz(where: Text, node: Tree, number: Typed, precision: Typed) -> Typed:
    """TO_TIMESTAMP_LTZ(number, 0 | 3): seconds or milliseconds since the epoch."""
    if not number.type.is_integer or precision.value not in (0, 3):
        raise where.error(
            node, "TO_TIMESTAMP_LTZ wants a whole number and the precision 0 (seconds) or 3 (milliseconds)."
        )
    return derived(f"({number.sql} * {10 ** (6 - int(str(precision.value)))})", TIMESTAMP_LTZ, [number])
