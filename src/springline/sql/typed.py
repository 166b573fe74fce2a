"""Typed expressions: SQLite text over stored forms, with the SQL type that it has.

An overflowing ``+``, ``-`` or ``*`` of integers turns into a REAL in SQLite. ``Typed.raw`` is the text in which that may have
happened, so that a chain of additions is checked once, at its end; ``Typed.sql`` is the checked text, NULL with a report
(``sl_error``) where the value is outside its type.

``Typed.failures`` says when evaluating it fails in Flink. A view leaves out the rows for which it does (``guards.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from springline.core.types import DOUBLE, LARGEST_SCALED_PRECISION, STRING, SqlType, decimal

NULL: Final = SqlType("NULL")
"""The type of a bare NULL, until its surroundings give it one."""

INTERVAL_MICROSECONDS: Final = SqlType("INTERVAL DAY TO SECOND")
INTERVAL_MONTHS: Final = SqlType("INTERVAL YEAR TO MONTH")

DAY_US: Final = 86_400_000_000
INTEGER_RANGES: Final = {"SMALLINT": 2**15, "INT": 2**31, "BIGINT": 2**63}
LONGEST_CHAIN: Final = 100
INTEGER_DIGITS: Final = {"SMALLINT": 5, "INT": 10, "BIGINT": 19}


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition that holds where evaluating an expression does not fail. ``sql`` is 0 or 1, never NULL; ``reason`` is SQL for
    a sentence that says why it failed."""

    sql: str
    reason: str
    refs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Typed:
    """``refs`` are the aliases of the occurrences it reads; ``column`` is (alias, column) for a plain column; ``constant``
    is whether it is a literal, whose Python value is ``value``."""

    raw: str
    type: SqlType
    nullable: bool = True
    refs: frozenset[str] = frozenset()
    column: tuple[str, str] | None = None
    constant: bool = False
    value: object = None
    unchecked: str | None = None
    """What to report where ``raw`` overflowed: set if it may."""
    parameter: bool = False
    test: str = ""
    """Of a condition: ``=``, ``IS`` (equal, NULLs too) or ``<`` … between its two ``parts``, ``NULL`` for IS NULL of one."""
    parts: tuple[Typed, ...] = field(default=(), repr=False)
    guards: tuple[Guard, ...] = field(default=(), repr=False)
    """What must hold for its parts not to fail, in the order of evaluation."""
    failure: str = ""
    """Of a condition that is a guard: its reason."""

    @property
    def sql(self) -> str:
        if self.unchecked is None:
            return self.raw
        return check_range(self.raw, self.type, self.unchecked)

    @property
    def failures(self) -> tuple[Guard, ...]:
        """What must hold for its evaluation not to fail; nothing where it cannot."""
        if self.unchecked is None:
            return self.guards
        return (*self.guards, Guard(in_range(self.raw, self.type), literal_text(self.unchecked), self.refs))


def literal_text(value: str) -> str:
    """A string literal of SQLite. NUL cannot stand in its text."""
    if "\x00" in value:
        return f"CAST(x'{value.encode().hex()}' AS TEXT)"
    return "'" + value.replace("'", "''") + "'"


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def chain(operator: str, texts: Sequence[str]) -> str:
    """The texts joined by an operator that is associative. Many are halved in parentheses: SQLite's expressions are 1,000 deep at most."""
    if len(texts) <= LONGEST_CHAIN:
        return f"({operator.join(texts)})"
    middle = len(texts) // 2
    return f"({chain(operator, texts[:middle])}{operator}{chain(operator, texts[middle:])})"


def report(reason: str) -> str:
    """SQL that is NULL and reports why; see ``functions.register_functions``."""
    return f"sl_error({literal_text(reason)})"


def check_range(raw: str, type_: SqlType, reason: str) -> str:
    """``raw``, or NULL with a report where it is outside the type."""
    if type_.name == "BIGINT":
        return f"CASE typeof({raw}) WHEN 'integer' THEN {raw} WHEN 'real' THEN {report(reason)} END"
    fits = _fits(raw, type_)
    return f"CASE WHEN {fits} THEN {raw} WHEN {raw} IS NOT NULL THEN {report(reason)} END"


def in_range(raw: str, type_: SqlType) -> str:
    """Whether a value fits its type; NULL does."""
    if type_.name == "BIGINT":
        return f"(typeof({raw}) <> 'real')"
    return f"ifnull({_fits(raw, type_)}, 1)"


def _fits(raw: str, type_: SqlType) -> str:
    """Whether it is in the range of its type, and no REAL: a chain that left 64 bits in between has lost its last digits."""
    low, high = bounds(type_)
    return f"{raw} BETWEEN {low} AND {high} AND typeof({raw}) <> 'real'"


def bounds(type_: SqlType) -> tuple[int, int]:
    """The least and greatest stored value of an integer or scaled DECIMAL."""
    if type_.is_scaled:
        limit = 10 ** (type_.precision or 0)
        return -limit + 1, limit - 1
    limit = INTEGER_RANGES[type_.name]
    return -limit, limit - 1


def failures_of(parts: Iterable[Typed]) -> tuple[Guard, ...]:
    """The failures of expressions that are all evaluated, in order."""
    return tuple(dict.fromkeys(guard for part in parts for guard in part.failures))


def not_nan(typed: Typed) -> Typed:
    """A DECIMAL that arithmetic reads: a NaN in its column makes that fail."""
    if not may_be_nan(typed):
        return typed
    reason = literal_text(f"NaN in arithmetic ({typed.column[1] if typed.column else typed.type})")
    return replace(
        typed, guards=(*typed.guards, Guard(f"(typeof({typed.raw}) <> 'text')", reason, typed.refs))
    )


def derived(sql: str, type_: SqlType, parts: Sequence[Typed], *, nullable: bool | None = None) -> Typed:
    """An expression over others, which are all evaluated: it reads what they read, fails where one of them does and, unless told
    otherwise, is NULL where one of them is."""
    refs = frozenset[str]().union(*(part.refs for part in parts)) if parts else frozenset[str]()
    maybe = any(part.nullable for part in parts) if nullable is None else nullable
    return Typed(sql, type_, maybe, refs, guards=failures_of(parts))


def null_of(type_: SqlType) -> Typed:
    return Typed("NULL", type_, True, constant=True)


def adopt(typed: Typed, type_: SqlType) -> Typed:
    """A bare NULL, or a parameter whose type is not known, takes the type that its place asks for."""
    if not typed.parameter or not (type_.is_temporal or type_.name == "DECIMAL"):
        return replace(typed, type=type_)
    return Typed(f"sl_parse({typed.raw}, {literal_text(str(type_))}, '')", type_, True, parameter=True)


def as_decimal(type_: SqlType) -> SqlType | None:
    """The DECIMAL that holds every value of an exact numeric type; None for the others."""
    if type_.name == "DECIMAL":
        return type_
    if type_.is_integer:
        return decimal(INTEGER_DIGITS[type_.name], 0)
    return None


def is_wide(type_: SqlType) -> bool:
    """DECIMALs kept as text."""
    return type_.name == "DECIMAL" and not type_.is_scaled


def wide_as_key(typed: Typed) -> Typed:
    """A value by which rows are told apart: equal wide DECIMALs can be written with more or fewer zeros."""
    if not is_wide(typed.type):
        return typed
    return Typed(f"sl_wide_key({typed.sql})", STRING, typed.nullable, typed.refs)


def capped(precision: int, scale: int) -> SqlType:
    """DECIMAL(precision, scale), brought within 18 digits as Flink brings it within 38: integer digits are kept, and at
    least 6 digits of the fraction where there are as many."""
    if precision <= LARGEST_SCALED_PRECISION:
        return decimal(precision, scale)
    smallest = min(scale, 6)
    integer_digits = precision - scale
    return decimal(LARGEST_SCALED_PRECISION, max(LARGEST_SCALED_PRECISION - integer_digits, smallest))


def common_type(types: Sequence[SqlType]) -> SqlType | None:
    """The type that values of all these types are brought to in CASE, COALESCE, UNION, GREATEST; None where there is none."""
    known = [one for one in types if one != NULL]
    if not known:
        return NULL
    first = known[0]
    if all(one == first for one in known):
        return first
    if all(one.is_numeric for one in known):
        return _common_numeric(known)
    names = {one.name for one in known}
    if names <= {"DATE", "TIMESTAMP"}:
        return SqlType("TIMESTAMP")
    if names <= {"TIMESTAMP", "TIMESTAMP_LTZ"}:
        return SqlType("TIMESTAMP_LTZ")
    return None


def _common_numeric(types: Sequence[SqlType]) -> SqlType:
    if any(one.name in ("DOUBLE", "FLOAT") for one in types):
        return DOUBLE
    if any(one.name == "DECIMAL" for one in types):
        exact = [one for one in map(as_decimal, types) if one is not None]
        if any(one.precision is None for one in exact):
            return decimal()
        if any(one.name == "DECIMAL" and not one.is_scaled for one in types):
            return decimal()
        scale = max(one.scale or 0 for one in exact)
        digits = max((one.precision or 0) - (one.scale or 0) for one in exact)
        return capped(digits + scale, scale)
    return max(types, key=lambda one: INTEGER_DIGITS[one.name])


def may_be_nan(typed: Typed) -> bool:
    """Whether a scaled DECIMAL may hold the text 'NaN': columns, and what passes their values on; arithmetic never does."""
    return typed.type.is_scaled and not typed.constant and typed.unchecked is None


def exact_operand(typed: Typed) -> str:
    """A DECIMAL for arithmetic: SQLite would read the text 'NaN' as 0."""
    if may_be_nan(typed):
        reason = report(f"NaN in arithmetic ({typed.column[1] if typed.column else typed.type})")
        return f"CASE typeof({typed.raw}) WHEN 'text' THEN {reason} ELSE {typed.raw} END"
    return typed.raw


def rescaled(typed: Typed, scale: int) -> str:
    """The scaled integer of an integer or DECIMAL at a scale that is not smaller than its own."""
    shift = scale - (typed.type.scale or 0)
    text = exact_operand(typed)
    return text if shift == 0 else f"({text}*{10**shift})"


def moved_to_scale(typed: Typed, scale: int) -> str:
    """The same value at a scale that is not smaller, where NaN may stay NaN: to compare it or to pass it on."""
    shift = scale - (typed.type.scale or 0)
    if shift == 0:
        return typed.sql
    moved = f"({typed.sql}*{10**shift})"
    return (
        f"CASE typeof({typed.raw}) WHEN 'text' THEN {typed.raw} ELSE {moved} END"
        if may_be_nan(typed)
        else moved
    )


def as_double(typed: Typed) -> str:
    """The REAL nearest to an exact number, or the double itself."""
    if typed.type.name in ("DOUBLE", "FLOAT"):
        return typed.sql
    if is_wide(typed.type):
        return f"sl_wide_to_double({typed.sql})"
    if typed.type.is_scaled:
        scale = typed.type.scale or 0
        whole = f"CAST({typed.sql} AS REAL)"
        number = f"({whole}/{10**scale}.0)" if scale else whole
        if may_be_nan(typed):
            return f"CASE typeof({typed.raw}) WHEN 'text' THEN {typed.raw} ELSE {number} END"
        return number
    if typed.constant and isinstance(typed.value, int):
        return repr(float(typed.value))
    return f"CAST({typed.sql} AS REAL)"


def as_wide(typed: Typed) -> str:
    """The text of an exact number as an unbounded DECIMAL."""
    if is_wide(typed.type):
        return typed.sql
    return f"sl_wide({typed.sql}, {typed.type.scale or 0})"


def coerce(typed: Typed, target: SqlType) -> Typed | None:
    """The same value as another type, where that loses nothing but digits beyond the target's scale; None where it cannot."""
    source = typed.type
    if source == target:
        return typed
    if source == NULL:
        return adopt(typed, target)
    sql: str | None = None
    unchecked: str | None = None
    if target.name in ("DOUBLE", "FLOAT") and source.is_numeric:
        sql = as_double(typed)
    elif is_wide(target) and as_decimal(source) is not None:
        sql = as_wide(typed)
    elif target.is_scaled and (exact := as_decimal(source)) is not None and not is_wide(source):
        if (target.scale or 0) >= (source.scale or 0):
            sql = moved_to_scale(typed, target.scale or 0)
            room = (target.precision or 0) - (target.scale or 0)
            if (exact.precision or 0) - (exact.scale or 0) > room:
                unchecked = f"value does not fit {target}"
    elif (
        target.is_integer and source.is_integer and INTEGER_DIGITS[target.name] >= INTEGER_DIGITS[source.name]
    ):
        return replace(typed, raw=typed.sql, unchecked=None, guards=typed.failures, type=target)
    elif source.name == "DATE" and target.name in ("TIMESTAMP", "TIMESTAMP_LTZ"):
        sql = date_to_timestamp(typed.sql)
    elif {source.name, target.name} == {"TIMESTAMP", "TIMESTAMP_LTZ"}:
        return replace(typed, type=target)
    if sql is None:
        return None
    nullable = typed.nullable or unchecked is not None or typed.type.name == "DECIMAL"
    return replace(derived(sql, target, [typed], nullable=nullable), unchecked=unchecked)


def date_to_timestamp(sql: str) -> str:
    """Infinite dates stay infinite."""
    return f"CASE WHEN {sql} BETWEEN -99999999 AND 99999999 THEN {sql}*{DAY_US} ELSE {sql} END"


def describe(type_: SqlType) -> str:
    return "NULL" if type_ == NULL else str(type_)
