"""Calls of scalar functions: those of ``function_table.py``, and those whose types or text depend on their arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from springline.core.types import (
    BOOLEAN,
    BYTES,
    DOUBLE,
    INT,
    LARGEST_SCALED_PRECISION,
    STRING,
    SqlType,
    decimal,
)
from springline.sql import temporal
from springline.sql.arrays import ARRAY_FUNCTIONS
from springline.sql.dialect import Text, Tree
from springline.sql.function_table import FUNCTIONS, Function
from springline.sql.guards import has_value, of_branches, of_coalesce
from springline.sql.operators import arithmetic, compare, divided_half_up
from springline.sql.string_functions import LONGEST_TEXT
from springline.sql.typed import (
    NULL,
    Guard,
    Typed,
    adopt,
    as_double,
    chain,
    coerce,
    common_type,
    derived,
    describe,
    exact_operand,
    is_wide,
    literal_text,
    not_nan,
)


def call(where: Text, node: Tree, name: str, arguments: Sequence[Typed]) -> Typed | None:
    """A call of a scalar function; None where there is none of this name."""
    if name in FUNCTIONS:
        return _from_table(where, node, name, FUNCTIONS[name], arguments)
    special = _SPECIAL.get(name)
    return None if special is None else special(where, node, name, list(arguments))


def names() -> list[str]:
    """Every scalar function's name."""
    return sorted([*FUNCTIONS, *_SPECIAL])


def _from_table(where: Text, node: Tree, name: str, function: Function, arguments: Sequence[Typed]) -> Typed:
    words = function.takes.split()
    least = sum(1 for word in words if not word.endswith("?"))
    repeated = bool(words) and words[-1].endswith("*")
    if repeated and name == "CONCAT_WS":
        least -= 1
    if len(arguments) < least or (len(arguments) > len(words) and not repeated):
        counts = (
            f"{least} or more"
            if repeated
            else (str(least) if least == len(words) else f"{least} to {len(words)}")
        )
        raise where.error(node, f"{name} takes {counts} arguments, not {len(arguments)}.")
    brought: list[Typed] = []
    for index, argument in enumerate(arguments):
        word = words[min(index, len(words) - 1)].rstrip("?*")
        brought.append(_argument(where, node, name, index, word, argument))
    texts = [one.sql for one in brought]
    every = {"all ||": chain(" || ", texts) if texts else "", "all": ", ".join(texts)}
    every["type"] = literal_text(str(brought[0].type)) if brought else ""

    def fill(text: str) -> str:
        return re.sub(
            r"\{(all \|\||all|type|\d)\}", lambda found: every.get(found[1]) or texts[int(found[1])], text
        )

    filled = fill(function.text)
    # CONCAT_WS is the one function that passes over NULL arguments; its separator decides.
    decides = brought[:1] if name == "CONCAT_WS" else brought
    nullable = function.nullable or function.fallible or any(one.nullable for one in decides)
    made = derived(filled, function.gives, brought, nullable=nullable or bool(function.holds))
    if function.holds:
        reason = literal_text(f"{where.quote(node)} is longer than {LONGEST_TEXT} letters")
        guard = Guard(f"ifnull(({fill(function.holds)}), 1)", reason, made.refs)
        return replace(made, guards=(*made.guards, guard))
    if not function.fallible:
        return made
    reason = literal_text(f"{where.quote(node)} failed")
    return replace(made, guards=(*made.guards, has_value(filled, brought, reason)))


_WANTED: Final = {
    "string": ("STRING", STRING),
    "integer": ("an integer", INT),
    "double": ("a number", DOUBLE),
    "bytes": ("BYTES", BYTES),
}


def _argument(where: Text, node: Tree, name: str, index: int, word: str, argument: Typed) -> Typed:
    kind, words = argument.type, word.split("/")
    if kind == NULL:
        return adopt(argument, STRING if word == "any" else _WANTED[words[0]][1])
    for one in words:
        if one == "any" or kind == _WANTED[one][1] or (one == "integer" and kind.is_integer):
            return argument
        if one == "double" and kind.is_numeric:
            return derived(as_double(argument), DOUBLE, [argument])
    wanted = " or ".join(_WANTED[one][0] for one in words)
    raise where.error(
        node,
        f"Argument {index + 1} of {name} is {describe(kind)}; it wants {wanted}.",
        f"CAST({where.quote(_argument_node(node, index))} AS {_WANTED[words[0]][1]}) converts it.",
    )


def _argument_node(node: Tree, index: int) -> Tree:
    arguments = node.expressions
    return arguments[index] if index < len(arguments) else node


def _count(where: Text, node: Tree, name: str, arguments: Sequence[Typed], least: int, most: int) -> None:
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise where.error(node, f"{name} takes {wanted} arguments, not {len(arguments)}.")


def unified(where: Text, node: Tree, name: str, operands: Sequence[Typed]) -> tuple[list[Typed], SqlType]:
    """Operands of CASE, COALESCE, GREATEST … brought to their common type."""
    target = common_type([one.type for one in operands])
    brought = [None if target is None else coerce(one, target) for one in operands]
    if target is None or any(one is None for one in brought):
        listed = ", ".join(dict.fromkeys(describe(one.type) for one in operands))
        raise where.error(
            node, f"The values of {name} have no common type: {listed}.", "CAST them to one type."
        )
    return [one for one in brought if one is not None], target


def _coalesce(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    most = 2 if name == "IFNULL" else 1_000
    _count(where, node, name, arguments, 2 if name == "IFNULL" else 1, most)
    operands, target = unified(where, node, name, arguments)
    if len(operands) == 1:
        return operands[0]
    nullable = all(one.nullable for one in operands)
    made = derived(f"coalesce({', '.join(one.sql for one in operands)})", target, operands, nullable=nullable)
    return replace(made, guards=of_coalesce(operands))


def _nullif(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 2, 2)
    same = compare(where, node, "=", *arguments)
    return derived(
        f"CASE WHEN {same.sql} THEN NULL ELSE {arguments[0].sql} END",
        arguments[0].type,
        arguments,
        nullable=True,
    )


def _if(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 3, 3)
    if arguments[0].type != BOOLEAN:
        raise where.error(node, f"The first argument of IF is {describe(arguments[0].type)}, not BOOLEAN.")
    (one, other), target = unified(where, node, name, arguments[1:])
    text = f"CASE WHEN {arguments[0].sql} THEN {one.sql} ELSE {other.sql} END"
    made = derived(text, target, arguments, nullable=one.nullable or other.nullable)
    return replace(made, guards=of_branches(arguments[:1], [one, other]))


def _extreme(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """GREATEST and LEAST: NULL where an argument is NULL."""
    _count(where, node, name, arguments, 1, 1_000)
    operands, target = unified(where, node, name, arguments)
    if len(operands) == 1:
        return operands[0]
    if is_wide(target):
        return derived(
            f"sl_wide_extreme('{name}', {', '.join(one.sql for one in operands)})", target, operands
        )
    function = "max" if name == "GREATEST" else "min"
    return derived(f"{function}({', '.join(one.sql for one in operands)})", target, operands)


def _number(where: Text, node: Tree, name: str, operand: Typed) -> None:
    if not operand.type.is_numeric and operand.type != NULL:
        raise where.error(node, f"{name} wants a number, not {describe(operand.type)}.")


def _absolute(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 1)
    [operand] = arguments
    _number(where, node, name, operand)
    if operand.type.name in ("DOUBLE", "FLOAT"):
        return derived(f"sl_math('fabs', {operand.sql})", operand.type, arguments)
    if is_wide(operand.type):
        return derived(f"ltrim({operand.sql}, '-')", operand.type, arguments)
    text = exact_operand(operand)
    made = derived(
        f"(CASE WHEN {text} < 0 THEN -{text} ELSE {text} END)",
        operand.type,
        [not_nan(operand)],
        nullable=True,
    )
    return replace(made, unchecked=f"{operand.type} overflow in {where.quote(node)}")


def _sign(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 1)
    [operand] = arguments
    _number(where, node, name, operand)
    if operand.type.name in ("DOUBLE", "FLOAT") or is_wide(operand.type):
        return derived(f"sl_math('sign', {as_double(operand)})", DOUBLE, arguments)
    unit = 10 ** (operand.type.scale or 0)
    text = exact_operand(operand)
    return derived(
        f"CASE WHEN {text} > 0 THEN {unit} WHEN {text} < 0 THEN -{unit} WHEN {text} = 0 THEN 0 END",
        operand.type,
        [not_nan(operand)],
    )


def _round(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ROUND half away from zero; TRUNCATE towards zero. A DECIMAL keeps only the digits that are asked for."""
    _count(where, node, name, arguments, 1, 2)
    operand = arguments[0]
    _number(where, node, name, operand)
    digits = arguments[1] if len(arguments) == 2 else Typed("0", INT, False, constant=True, value=0)
    if not digits.type.is_integer:
        raise where.error(node, f"{name} wants a whole number of digits.")
    kind, mode = operand.type, "round" if name == "ROUND" else "truncate"
    if kind.name in ("DOUBLE", "FLOAT"):
        return derived(f"sl_round({operand.sql}, {digits.sql}, '{mode}')", kind, arguments)
    if is_wide(kind):
        kept = max(digits.value, 0) if isinstance(digits.value, int) else kind.scale or 0
        if kind.precision is not None and kept < (kind.scale or 0):
            kind = decimal(min(38, kind.precision - (kind.scale or 0) + 1 + kept), kept)
        return derived(
            f"sl_wide_round({operand.sql}, {digits.sql}, '{mode}')", kind, arguments, nullable=True
        )
    if not isinstance(digits.value, int):
        raise where.error(
            node, f"{name} of {kind} wants a literal number of digits.", "CAST the number to DOUBLE."
        )
    scale = kind.scale or 0
    down = scale - digits.value
    if down <= 0:
        return operand
    text = exact_operand(operand)
    if down > LARGEST_SCALED_PRECISION:
        return _rounded_away(operand, down, overflow=f"{kind} overflow in {where.quote(node)}", mode=mode)
    rounded = divided_half_up(text, 10**down) if name == "ROUND" else f"({text} / {10**down})"
    if digits.value < 0 and not kind.is_integer:
        rounded = f"(({rounded}) * {10**-digits.value})"
    if kind.is_integer:
        made = derived(f"(({rounded}) * {10**down})", kind, arguments, nullable=True)
        return replace(made, unchecked=f"{kind} overflow in {where.quote(node)}")
    kept = max(digits.value, 0)
    target = decimal(min(18, (kind.precision or 0) - scale + 1 + kept), kept)
    return derived(rounded, target, [not_nan(operand)], nullable=True)


def _rounded_away(operand: Typed, down: int, *, overflow: str, mode: str) -> Typed:
    """ROUND and TRUNCATE to a power of ten that 64 bits cannot hold: zero, but for a BIGINT that would become 10**19."""
    text = exact_operand(operand)
    if operand.type.name == "BIGINT" and down == 19 and mode == "round":
        most = 5 * 10**18 - 1
        zero = f"(CASE WHEN {text} BETWEEN -{most} AND {most} THEN 0 WHEN {text} IS NOT NULL THEN 1e19 END)"
        return replace(derived(zero, operand.type, [operand], nullable=True), unchecked=overflow)
    kind = operand.type if operand.type.is_integer else decimal(operand.type.precision, 0)
    return derived(f"({text} * 0)", kind, [not_nan(operand)], nullable=True)


def _floor(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 1)
    [operand] = arguments
    _number(where, node, name, operand)
    kind = operand.type
    if kind.is_integer or kind == NULL:
        return operand
    if kind.name in ("DOUBLE", "FLOAT"):
        return derived(f"sl_math('{name.lower()}', {operand.sql})", kind, arguments)
    if is_wide(kind):
        whole = f"sl_wide_round({operand.sql}, 0, '{name.lower()}')"
        kind = decimal() if kind.precision is None else decimal(kind.precision, 0)
        return derived(whole, kind, arguments, nullable=True)
    unit = 10 ** (kind.scale or 0)
    text = exact_operand(operand)
    if name == "FLOOR":
        whole = f"({text} / {unit} - ({text} % {unit} < 0))"
    else:
        whole = f"({text} / {unit} + ({text} % {unit} > 0))"
    return derived(whole, decimal(kind.precision, 0), [not_nan(operand)], nullable=True)


def _modulo(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 2, 2)
    return arithmetic(where, node, "%", *arguments)


def _substring(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """SQLite's substr means the same where the start is positive; from 0 and for negative lengths it differs."""
    numbers = [one.value for one in arguments[1:] if one.constant and isinstance(one.value, int)]
    simple = len(arguments) in (2, 3) and len(numbers) == len(arguments) - 1
    if simple and arguments[0].type == STRING and numbers[0] >= 1 and numbers[-1] >= 0:
        return derived(f"substr({', '.join(one.sql for one in arguments)})", STRING, arguments)
    return _from_table(where, node, name, FUNCTIONS["SUBSTR"], arguments)


def _part(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 1)
    unit = {"DAYOFMONTH": "DAY", "DAYOFYEAR": "DOY", "DAYOFWEEK": "DOW"}.get(name, name)
    return temporal.extract(where, node, unit, arguments[0])


def _date_format(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 2, 2)
    moment, pattern = arguments[0], _argument(where, node, name, 1, "string", arguments[1])
    if moment.type == STRING:
        moment = temporal.to_timestamp(where, node, moment, None, "TIMESTAMP")
    return temporal.date_format(where, node, moment, pattern)


def _to_timestamp(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 2)
    strings = [_argument(where, node, name, index, "string", one) for index, one in enumerate(arguments)]
    target = "DATE" if name == "TO_DATE" else "TIMESTAMP"
    return temporal.to_timestamp(where, node, strings[0], strings[1] if len(strings) == 2 else None, target)


def _to_timestamp_ltz(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 3)
    if arguments[0].type.is_numeric:
        return temporal.to_timestamp_ltz(where, node, arguments)
    strings = [_argument(where, node, name, index, "string", one) for index, one in enumerate(arguments)]
    return temporal.text_to_timestamp_ltz(where, node, strings)


def _type_of(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _count(where, node, name, arguments, 1, 1)
    return Typed(literal_text(describe(arguments[0].type)), STRING, False)


_SPECIAL: Final[dict[str, Callable[[Text, Tree, str, list[Typed]], Typed]]] = {
    "COALESCE": _coalesce,
    "IFNULL": _coalesce,
    "NULLIF": _nullif,
    "IF": _if,
    "GREATEST": _extreme,
    "LEAST": _extreme,
    "ABS": _absolute,
    "SIGN": _sign,
    "ROUND": _round,
    "TRUNCATE": _round,
    "FLOOR": _floor,
    "CEIL": _floor,
    "CEILING": _floor,
    "MOD": _modulo,
    "SUBSTRING": _substring,
    "YEAR": _part,
    "QUARTER": _part,
    "MONTH": _part,
    "WEEK": _part,
    "DAYOFYEAR": _part,
    "DAYOFMONTH": _part,
    "DAYOFWEEK": _part,
    "HOUR": _part,
    "MINUTE": _part,
    "SECOND": _part,
    "DATE_FORMAT": _date_format,
    "TO_TIMESTAMP": _to_timestamp,
    "TO_DATE": _to_timestamp,
    "TO_TIMESTAMP_LTZ": _to_timestamp_ltz,
    "TYPEOF": _type_of,
    **ARRAY_FUNCTIONS,
}
