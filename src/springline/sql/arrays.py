"""Arrays: their literals, elements and functions. An array is kept as the JSON text of its rendered elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlglot import exp

from springline.core.types import BOOLEAN, INT, STRING, SqlType, array
from springline.sql.dialect import Text, Tree
from springline.sql.typed import NULL, Guard, Typed, coerce, common_type, derived, describe, literal_text


def literal(where: Text, node: exp.Array, elements: Sequence[Typed]) -> Typed:
    """ARRAY[a, b, …]: elements are brought to their common type."""
    if not elements:
        raise where.error(node, "An ARRAY has at least one element.", "ARRAY[1, 2].")
    target = common_type([one.type for one in elements])
    brought = [None if target is None else coerce(one, target) for one in elements]
    if target is None or target == NULL or any(one is None for one in brought):
        listed = ", ".join(dict.fromkeys(describe(one.type) for one in elements))
        raise where.error(
            node, f"The elements of ARRAY have no common type: {listed}.", "CAST them to one type."
        )
    if target.element is not None:
        raise where.error(
            node, "An ARRAY of arrays is not supported.", "Keep nested data as JSON (JSON_ARRAY)."
        )
    texts = ", ".join(one.sql for one in brought if one is not None)
    return derived(f"sl_array({literal_text(str(target))}, {texts})", array(target), elements, nullable=False)


def element(where: Text, node: exp.Bracket, operand: Typed, index: Typed) -> Typed:
    """array[n], from 1; NULL where there is none."""
    kind = _element(where, node, "[…]", operand)
    if not index.type.is_integer:
        raise where.error(node, f"The index of an array is an integer, not {describe(index.type)}.")
    if isinstance(index.value, int) and index.value < 1:
        raise where.error(node, "The elements of an array count from 1.", "Write [1] for the first.")
    return derived(
        f"sl_array_at({literal_text(str(kind))}, {operand.sql}, {index.sql})",
        kind,
        [operand, index],
        nullable=True,
    )


def _element(where: Text, node: Tree, name: str, operand: Typed) -> SqlType:
    if operand.type.element is None:
        raise where.error(
            node, f"{name} wants an ARRAY, not {describe(operand.type)}.", "ARRAY[1, 2] is one."
        )
    return operand.type.element


def _counted(where: Text, node: Tree, name: str, arguments: Sequence[Typed], least: int, most: int) -> None:
    if not least <= len(arguments) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise where.error(node, f"{name} takes {wanted} arguments, not {len(arguments)}.")


def _brought(where: Text, node: Tree, name: str, value: Typed, kind: SqlType) -> Typed:
    made = coerce(value, kind)
    if made is None:
        raise where.error(node, f"{name} of {array(kind)} and {describe(value.type)}.", f"CAST it to {kind}.")
    return made


def _call(function: str, kind: SqlType, *texts: str) -> str:
    return f"{function}({', '.join([literal_text(str(kind)), *texts])})"


def _cardinality(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _counted(where, node, name, arguments, 1, 1)
    _element(where, node, name, arguments[0])
    return derived(f"json_array_length({arguments[0].sql})", INT, arguments)


def _only_element(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _counted(where, node, name, arguments, 1, 1)
    kind = _element(where, node, name, arguments[0])
    made = derived(_call("sl_array_element", kind, arguments[0].sql), kind, arguments, nullable=True)
    reason = literal_text(f"{where.quote(node)}: more than one element")
    guard = Guard(f"ifnull(json_array_length({arguments[0].sql}) <= 1, 1)", reason, made.refs)
    return replace(made, guards=(*made.guards, guard))


def _search(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ARRAY_CONTAINS and ARRAY_POSITION; NULLs are equal here."""
    _counted(where, node, name, arguments, 2, 2)
    kind = _element(where, node, name, arguments[0])
    value = _brought(where, node, name, arguments[1], kind)
    gives, nullable = (BOOLEAN, arguments[0].nullable) if name == "ARRAY_CONTAINS" else (INT, None)
    operands = [arguments[0], value]
    return derived(
        _call(f"sl_{name.lower()}", kind, arguments[0].sql, value.sql), gives, operands, nullable=nullable
    )


def _with_value(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ARRAY_REMOVE, ARRAY_APPEND and ARRAY_PREPEND."""
    _counted(where, node, name, arguments, 2, 2)
    kind = _element(where, node, name, arguments[0])
    value = _brought(where, node, name, arguments[1], kind)
    text = _call(f"sl_{name.lower()}", kind, arguments[0].sql, value.sql)
    return derived(text, arguments[0].type, [arguments[0], value], nullable=arguments[0].nullable)


def _of_one(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ARRAY_DISTINCT and ARRAY_REVERSE."""
    _counted(where, node, name, arguments, 1, 1)
    kind = _element(where, node, name, arguments[0])
    return derived(_call(f"sl_{name.lower()}", kind, arguments[0].sql), arguments[0].type, arguments)


def _extreme(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _counted(where, node, name, arguments, 1, 1)
    kind = _element(where, node, name, arguments[0])
    return derived(_call(f"sl_{name.lower()}", kind, arguments[0].sql), kind, arguments, nullable=True)


def _sort(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ARRAY_SORT(array[, ascending[, nulls first]]): upwards NULLs come first, downwards last, unless it is said."""
    _counted(where, node, name, arguments, 1, 3)
    kind = _element(where, node, name, arguments[0])
    for one in arguments[1:]:
        if one.type != BOOLEAN:
            raise where.error(node, f"ARRAY_SORT takes TRUE or FALSE, not {describe(one.type)}.")
    text = _call("sl_array_sort", kind, *(one.sql for one in arguments))
    return derived(text, arguments[0].type, arguments)


def _together(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """ARRAY_CONCAT, ARRAY_UNION, ARRAY_INTERSECT and ARRAY_EXCEPT."""
    _counted(
        where,
        node,
        name,
        arguments,
        1 if name == "ARRAY_CONCAT" else 2,
        1_000 if name == "ARRAY_CONCAT" else 2,
    )
    kinds = [_element(where, node, name, one) for one in arguments]
    if len(set(kinds)) > 1:
        listed = ", ".join(str(one.type) for one in arguments)
        raise where.error(node, f"{name} of {listed}.", "CAST the elements to one type.")
    text = _call(f"sl_{name.lower()}", kinds[0], *(one.sql for one in arguments))
    return derived(text, arguments[0].type, arguments)


def _join(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _counted(where, node, name, arguments, 2, 3)
    kind = _element(where, node, name, arguments[0])
    if kind != STRING or any(one.type not in (STRING, NULL) for one in arguments[1:]):
        raise where.error(node, "ARRAY_JOIN takes an ARRAY<STRING> and STRINGs.", "ARRAY_JOIN(names, ', ').")
    return derived(_call("sl_array_join", kind, *(one.sql for one in arguments)), STRING, arguments)


def _slice(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    _counted(where, node, name, arguments, 2, 3)
    kind = _element(where, node, name, arguments[0])
    if not all(one.type.is_integer for one in arguments[1:]):
        raise where.error(node, "ARRAY_SLICE takes an array and integers.", "ARRAY_SLICE(names, 1, 3).")
    text = _call("sl_array_slice", kind, *(one.sql for one in arguments))
    return derived(text, arguments[0].type, arguments)


def _texts(where: Text, node: Tree, name: str, arguments: list[Typed]) -> Typed:
    """SPLIT and REGEXP_EXTRACT_ALL: arrays of texts."""
    _counted(where, node, name, arguments, 2, 2 if name == "SPLIT" else 3)
    wanted = [STRING, STRING, INT]
    for one, kind in zip(arguments, wanted, strict=False):
        if one.type not in (kind, NULL):
            raise where.error(node, f"{name} takes {kind}, not {describe(one.type)}.", f"CAST it to {kind}.")
    made = derived(f"sl_{name.lower()}({', '.join(one.sql for one in arguments)})", array(STRING), arguments)
    return replace(made, nullable=made.nullable or name != "SPLIT")


ARRAY_FUNCTIONS: Final[dict[str, Callable[[Text, Tree, str, list[Typed]], Typed]]] = {
    "CARDINALITY": _cardinality,
    "ELEMENT": _only_element,
    "ARRAY_CONTAINS": _search,
    "ARRAY_POSITION": _search,
    "ARRAY_REMOVE": _with_value,
    "ARRAY_APPEND": _with_value,
    "ARRAY_PREPEND": _with_value,
    "ARRAY_DISTINCT": _of_one,
    "ARRAY_REVERSE": _of_one,
    "ARRAY_MAX": _extreme,
    "ARRAY_MIN": _extreme,
    "ARRAY_SORT": _sort,
    "ARRAY_CONCAT": _together,
    "ARRAY_UNION": _together,
    "ARRAY_INTERSECT": _together,
    "ARRAY_EXCEPT": _together,
    "ARRAY_JOIN": _join,
    "ARRAY_SLICE": _slice,
    "SPLIT": _texts,
    "REGEXP_EXTRACT_ALL": _texts,
}
