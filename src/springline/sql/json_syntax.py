"""The syntax of Flink's JSON functions, which is SQL's own: RETURNING, ON EMPTY, ON ERROR, ON NULL, KEY … VALUE …, wrappers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree
from sqlglot.expressions.core import Expression
from sqlglot.tokenizer_core import TokenType


class JsonCall(Expression):
    """A JSON function by its name. JSON_OBJECT's ``expressions`` are names and values in turn. ``options`` are words by their
    place: ``empty`` and ``error`` (NULL, ERROR, DEFAULT, TRUE, FALSE, UNKNOWN, ARRAY, OBJECT), ``null`` (NULL, ABSENT) and
    ``wrapper`` (CONDITIONAL, UNCONDITIONAL)."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "expressions": True,
        "to": False,
        "options": False,
        "empty_default": False,
        "error_default": False,
    }

    def option(self, place: str) -> str:
        options: dict[str, str] = self.args.get("options") or {}
        return options.get(place, "")


_ANSWERS: Final = ("NULL", "ERROR", "TRUE", "FALSE", "UNKNOWN")


def _finished(self: Any, name: str, arguments: list[Tree], **others: Any) -> Tree:
    call = JsonCall(this=exp.Identifier(this=name), expressions=arguments, **others)
    return call.update_positions(self._prev)


def _on_event(self: Any, others: dict[str, Any], options: dict[str, str]) -> bool:
    """``NULL ON EMPTY``, ``DEFAULT 1 ON ERROR`` and their like; whether one stood here."""
    default: Tree | None = None
    if self._match_text_seq("DEFAULT"):
        word, default = "DEFAULT", self._parse_disjunction()
    elif self._match_text_seq("EMPTY"):
        word = "OBJECT" if self._match_text_seq("OBJECT") else "ARRAY"
        if word == "ARRAY":
            self._match_text_seq("ARRAY")
    else:
        word = next((one for one in _ANSWERS if self._match_text_seq(one)), "")
    if not word:
        return False
    place = (
        "empty"
        if self._match_text_seq("ON", "EMPTY")
        else "error"
        if self._match_text_seq("ON", "ERROR")
        else ""
    )
    if not place:
        self.raise_error("Expected ON EMPTY or ON ERROR")
    options[place] = word
    if default is not None:
        others[f"{place}_default"] = default
    return True


def _query_call(name: str) -> Callable[[Any], Tree]:
    """JSON_VALUE, JSON_QUERY, JSON_EXISTS."""

    def parse(self: Any) -> Tree:
        arguments: list[Tree] = self._parse_csv(self._parse_disjunction)
        others: dict[str, Any] = {}
        options: dict[str, str] = {}
        if self._match_text_seq("RETURNING"):
            others["to"] = self._parse_types()
        if self._match_text_seq("WITH"):
            options["wrapper"] = "CONDITIONAL" if self._match_text_seq("CONDITIONAL") else "UNCONDITIONAL"
            self._match_text_seq("UNCONDITIONAL")
            self._match_text_seq("ARRAY")
            self._match_text_seq("WRAPPER")
        elif self._match_text_seq("WITHOUT"):
            self._match_text_seq("ARRAY")
            self._match_text_seq("WRAPPER")
        while _on_event(self, others, options):
            pass
        return _finished(self, name, arguments, options=options, **others)

    return parse


def _on_null(self: Any) -> dict[str, str]:
    if self._match_text_seq("NULL", "ON", "NULL"):
        return {"null": "NULL"}
    if self._match_text_seq("ABSENT", "ON", "NULL"):
        return {"null": "ABSENT"}
    return {}


def _member(self: Any) -> list[Tree]:
    following = self._next.text.upper() if self._next else ""
    if self._curr and self._curr.text.upper() == "KEY" and following not in ("VALUE", ":", ""):
        self._match_text_seq("KEY")
    name = self._parse_disjunction()
    if not self._match(TokenType.COLON) and not self._match_text_seq("VALUE"):
        self.raise_error("Expected VALUE after the name of a JSON member")
    return [name, self._parse_disjunction()]


def _object_call(name: str) -> Callable[[Any], Tree]:
    """JSON_OBJECT and JSON_OBJECTAGG."""

    def parse(self: Any) -> Tree:
        members: list[Tree] = []
        if self._curr and self._curr.token_type != TokenType.R_PAREN and not _begins_on_null(self):
            members = [one for pair in self._parse_csv(lambda: _member(self)) for one in pair]
        return _finished(self, name, members, options=_on_null(self))

    return parse


def _begins_on_null(self: Any) -> bool:
    following = self._next.text.upper() if self._next else ""
    return self._curr.text.upper() in ("NULL", "ABSENT") and following == "ON"


def _element(self: Any) -> Tree:
    value = self._parse_disjunction()
    return self._parse_order(this=value)


def _array_call(name: str) -> Callable[[Any], Tree]:
    """JSON_ARRAY and JSON_ARRAYAGG."""

    def parse(self: Any) -> Tree:
        values: list[Tree] = []
        if self._curr and self._curr.token_type != TokenType.R_PAREN and not _begins_on_null(self):
            values = self._parse_csv(lambda: _element(self))
        return _finished(self, name, values, options=_on_null(self))

    return parse


JSON_PARSERS: Final[dict[str, Callable[[Any], Tree]]] = {
    "JSON_VALUE": _query_call("JSON_VALUE"),
    "JSON_QUERY": _query_call("JSON_QUERY"),
    "JSON_EXISTS": _query_call("JSON_EXISTS"),
    "JSON_OBJECT": _object_call("JSON_OBJECT"),
    "JSON_OBJECTAGG": _object_call("JSON_OBJECTAGG"),
    "JSON_ARRAY": _array_call("JSON_ARRAY"),
    "JSON_ARRAYAGG": _array_call("JSON_ARRAYAGG"),
}


def write_json_call(self: Any, node: JsonCall) -> str:
    """The call as text, for messages."""
    if node.name.startswith("JSON_OBJECT"):
        parts = [self.sql(one) for one in node.expressions]
        listed = ", ".join(
            f"KEY {name} VALUE {value}" for name, value in zip(parts[::2], parts[1::2], strict=True)
        )
    else:
        listed = self.expressions(node, flat=True)
    returning = f" RETURNING {self.sql(node, 'to')}" if node.args.get("to") else ""
    on_null = f" {node.option('null')} ON NULL" if node.option("null") else ""
    return f"{node.name}({listed}{returning}{on_null})"
