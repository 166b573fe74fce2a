"""The typed analysis of Flink's JSON functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

from sqlglot import exp

from springline.core.types import BOOLEAN, STRING
from springline.sql.casts import cast, read_type
from springline.sql.dialect import JsonCall, Text, Tree
from springline.sql.json_functions import is_path
from springline.sql.typed import NULL, Guard, Typed, derived, describe, literal_text


class Checks(Protocol):
    @property
    def where(self) -> Text: ...

    def check(self, node: Tree) -> Typed: ...


_NESTED: Final = frozenset({"JSON_OBJECT", "JSON_ARRAY", "JSON", "JSON_QUERY"})
_KINDS: Final = {"": "VALUE", "VALUE": "VALUE", "SCALAR": "SCALAR", "ARRAY": "ARRAY", "OBJECT": "OBJECT"}


def json_call(checker: Checks, node: JsonCall) -> Typed:
    """JSON_VALUE, JSON_QUERY, JSON_EXISTS, JSON_OBJECT or JSON_ARRAY."""
    name = node.name.upper()
    if name == "JSON_OBJECT":
        return _object(checker, node)
    if name == "JSON_ARRAY":
        return _array(checker, node)
    operands = [checker.check(one) for one in node.expressions]
    if len(operands) != 2 or any(one.type not in (STRING, NULL) for one in operands):
        raise checker.where.error(node, f"{name} takes a STRING and a path.", f"{name}(payload, '$.name').")
    path = operands[1].value
    if isinstance(path, str) and not is_path(path):
        raise checker.where.error(
            node, f"{path!r} is no path that is understood here.", "[lax | strict] $.name[0]['other name']."
        )
    if name == "JSON_VALUE":
        return _value(checker, node, operands)
    if node.args.get("to") is not None and read_type(checker.where, node.args["to"])[0] != STRING:
        raise checker.where.error(
            node, f"{name} gives a STRING.", "JSON_VALUE(… RETURNING type) gives others."
        )
    if name == "JSON_QUERY":
        options = "/".join(node.option(place) for place in ("wrapper", "empty", "error"))
        return _asked(node, "sl_json_query", operands, literal_text(options), STRING)
    return _asked(node, "sl_json_exists", operands, literal_text(node.option("error")), BOOLEAN)


def _asked(node: JsonCall, function: str, operands: Sequence[Typed], options: str, kind: object) -> Typed:
    """A call that fails only where ERROR ON EMPTY or ON ERROR asks for it."""
    arguments = ", ".join([*(one.sql for one in operands), options])
    made = derived(f"{function}({arguments})", STRING if kind == STRING else BOOLEAN, operands, nullable=True)
    if "ERROR" not in (node.option("empty"), node.option("error")):
        return made
    reason = literal_text(f"{node.name} failed: no value, or not JSON")
    guard = Guard(f"sl_succeeds('{function}', {arguments})", reason, made.refs)
    return replace(made, guards=(*made.guards, guard))


def _value(checker: Checks, node: JsonCall, operands: Sequence[Typed]) -> Typed:
    target = node.args.get("to")
    text = target is None or read_type(checker.where, target)[0] == STRING
    options = "/".join(node.option(place) for place in ("empty", "error"))
    defaults: list[Typed] = []
    for place in ("empty_default", "error_default"):
        default = node.args.get(place)
        typed = Typed("NULL", STRING, True) if default is None else checker.check(default)
        if typed.type not in (STRING, NULL):
            typed = cast(checker.where, node, typed, exp.DataType.build("TEXT"), attempt=False)
        defaults.append(typed)
    listed = f"{literal_text(options)}, {', '.join(one.sql for one in defaults)}"
    found = _asked(node, "sl_json_value", operands, listed, STRING)
    return found if text or target is None else cast(checker.where, node, found, target, attempt=True)


def _parts(checker: Checks, values: Sequence[Tree]) -> tuple[list[Typed], str]:
    """Values with their types, for ``sl_json_object`` and ``sl_json_array``; what is JSON already is marked so."""
    typed = [checker.check(one) for one in values]
    texts: list[str] = []
    for node, one in zip(values, typed, strict=True):
        nested = isinstance(node, JsonCall | exp.Anonymous) and node.name.upper() in _NESTED
        kind = "JSON" if nested else str(STRING if one.type == NULL else one.type)
        texts.append(f"{literal_text(kind)}, {one.sql}")
    return typed, ", ".join(texts)


def _object(checker: Checks, node: JsonCall) -> Typed:
    names = [checker.check(one) for one in node.expressions[::2]]
    for name in names:
        if name.type != STRING or not name.constant:
            raise checker.where.error(
                node,
                f"The names of JSON_OBJECT are string literals, not {describe(name.type)}.",
                "JSON_OBJECT('a' VALUE x).",
            )
    values, texts = _parts(checker, node.expressions[1::2])
    listed = literal_text("\n".join(str(name.value) for name in names))
    absent = int(node.option("null") == "ABSENT")
    text = f"sl_json_object({absent}, {listed}{', ' if texts else ''}{texts})"
    return derived(text, STRING, values, nullable=False)


def _array(checker: Checks, node: JsonCall) -> Typed:
    values, texts = _parts(checker, node.expressions)
    absent = int(node.option("null") != "NULL")
    return derived(f"sl_json_array({absent}{', ' if texts else ''}{texts})", STRING, values, nullable=False)


def is_json(checker: Checks, node: exp.Is) -> Typed:
    """``x IS JSON [VALUE | SCALAR | ARRAY | OBJECT]``; FALSE for NULL."""
    kind = str(node.expression.args.get("this") or "").upper()
    operand = checker.check(node.this)
    if kind not in _KINDS or operand.type not in (STRING, NULL):
        raise checker.where.error(
            node,
            f"{checker.where.quote(node)} is not supported.",
            "Write text IS JSON [VALUE | SCALAR | ARRAY | OBJECT].",
        )
    return derived(f"sl_is_json({operand.sql}, '{_KINDS[kind]}')", BOOLEAN, [operand], nullable=False)
