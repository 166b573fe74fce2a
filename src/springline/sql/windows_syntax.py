"""The syntax of windowing table functions: ``TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '10' SECOND))``.

Parsed by hand, since sqlglot knows no table arguments and no ``DESCRIPTOR``. What the arguments mean, and whether they are the right
ones, is decided in ``windows.py``, where errors can say more.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree
from sqlglot.expressions.core import Expression
from sqlglot.tokenizer_core import TokenType

WINDOW_KINDS: Final = ("TUMBLE", "HOP", "CUMULATE", "SESSION")


class WindowTable(Expression):
    """``TABLE(KIND(arguments)) AS alias``. ``this`` is the kind's name as an identifier, each argument a ``WindowArgument``."""

    arg_types: ClassVar[dict[str, bool]] = {
        "this": True,
        "expressions": True,
        "alias": False,
        "joins": False,
    }


class WindowArgument(Expression):
    """One argument: its name (``SIZE => …``), if it has one, and its value."""

    arg_types: ClassVar[dict[str, bool]] = {"this": False, "expression": True}


class WindowData(Expression):
    """``TABLE name PARTITION BY a, b``, or a query in parentheses."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "partition": False}


class Descriptor(Expression):
    """``DESCRIPTOR(column, …)``."""

    arg_types: ClassVar[dict[str, bool]] = {"expressions": True}


def begins_window_table(found: Any) -> bool:
    """Whether the parser stands before ``TABLE(TUMBLE(…``."""
    tokens, index = found._tokens, found._index
    texts = [one.text.upper() for one in tokens[index : index + 4]]
    return len(texts) == 4 and texts[:2] == ["TABLE", "("] and texts[2] in WINDOW_KINDS and texts[3] == "("


def parse_window_table(found: Any, *, joins: bool) -> Tree:
    """The windowing table function at which the parser stands, with its alias and, for a FROM, its joins."""
    found._advance(2)
    kind = exp.Identifier(this=found._curr.text.upper())
    kind.update_positions(found._curr)
    found._advance()
    found._match_l_paren()
    arguments = found._parse_csv(lambda: _argument(found))
    found._match_r_paren()
    found._match_r_paren()
    made = WindowTable(this=kind, expressions=arguments)
    if alias := found._parse_table_alias(alias_tokens=found.TABLE_ALIAS_TOKENS):
        made.set("alias", alias)
    if joins:
        for join in found._parse_joins():
            made.append("joins", join)
    return made


def _argument(found: Any) -> Tree:
    name: Tree | None = None
    if found._next and found._next.token_type == TokenType.FARROW:
        name = exp.Identifier(this=found._curr.text.upper())
        name.update_positions(found._curr)
        found._advance(2)
    return WindowArgument(this=name, expression=_value(found))


def _value(found: Any) -> Tree:
    if found._match(TokenType.TABLE):
        return _data(found, found._parse_table_parts())
    if found._curr.token_type == TokenType.L_PAREN:
        return _data(found, found._parse_table())
    if found._match_text_seq("DESCRIPTOR"):
        return Descriptor(expressions=found._parse_wrapped_csv(found._parse_column))
    return found._parse_disjunction()


def _data(found: Any, relation: Tree) -> Tree:
    partition: list[Tree] = []
    if found._match(TokenType.PARTITION_BY):
        if found._curr.token_type == TokenType.L_PAREN:
            partition = found._parse_wrapped_csv(found._parse_column)
        else:
            partition = [found._parse_column()]
            # A comma ends the list where the next argument begins: DESCRIPTOR(…), or a name with =>.
            while found._curr.token_type == TokenType.COMMA and _continues_partition(found):
                found._advance()
                partition.append(found._parse_column())
    return WindowData(this=relation, partition=partition)


def _continues_partition(found: Any) -> bool:
    tokens, index = found._tokens, found._index
    following = tokens[index + 1 : index + 3]
    if len(following) < 2:
        return False
    return following[0].text.upper() != "DESCRIPTOR" and following[1].token_type != TokenType.FARROW
