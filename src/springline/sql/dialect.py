"""Flink SQL as sqlglot reads it: tokens, identifiers, and only the constructs whose meaning we define.

sqlglot has no Flink dialect. Its parser also rewrites many functions of other systems into common ones, which could change
their meaning without a word; here every function stays a call by its own name, and ``check.py`` decides what it means.
Names are case-sensitive and quoted with backticks, strings are quoted with apostrophes (doubled inside), as in Flink.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from sqlglot import exp, generator, parser, tokens
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy
from sqlglot.errors import ParseError, TokenError
from sqlglot.expressions.core import Expr as Tree
from sqlglot.tokenizer_core import TokenType

from springline.errors import SqlError
from springline.sql.json_syntax import JSON_PARSERS, JsonCall, write_json_call
from springline.sql.windows_syntax import WINDOW_KINDS, WindowTable, begins_window_table, parse_window_table

if TYPE_CHECKING:
    from springline.sql.user_functions import Functions

_OWN_SYNTAX = ("CAST", "TRY_CAST", "CEIL", "FLOOR", "EXTRACT", "TRIM", "POSITION", "SUBSTRING", "OVERLAY")
_BASE: Any = parser.Parser
_FOREIGN_TOKENS = (
    "<=>",
    "::",
    "<->",
    "@>",
    "<@",
    "~~",
    "~",
    "~*",
    "?|",
    "?&",
    "||/",
    "|/",
    "DIV",
    "GLOB",
    "RLIKE",
)


def _write_window_table(_: Any, node: WindowTable) -> str:
    return f"TABLE({node.this.name}(…))"


def _write_array(writer: Any, node: exp.Array) -> str:
    return f"ARRAY[{writer.expressions(node, flat=True)}]"


class Flink(Dialect):
    """The dialect. Use :func:`parse_query`, which reports errors with our positions."""

    NORMALIZATION_STRATEGY = NormalizationStrategy.CASE_SENSITIVE

    class Tokenizer(tokens.Tokenizer):
        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`"]
        QUOTES: ClassVar[list[str | tuple[str, str]]] = ["'"]
        STRING_ESCAPES: ClassVar[list[str]] = ["'"]
        HEX_STRINGS: ClassVar[list[str | tuple[str, str]]] = [("x'", "'"), ("X'", "'")]
        KEYWORDS: ClassVar[dict[str, TokenType]] = {
            key: kind for key, kind in tokens.Tokenizer.KEYWORDS.items() if key not in _FOREIGN_TOKENS
        } | {
            "BYTES": TokenType.VARBINARY,
        }

    class Parser(parser.Parser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
        NO_PAREN_FUNCTIONS: ClassVar[dict[TokenType, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = {
            name: _BASE.FUNCTION_PARSERS[name] for name in _OWN_SYNTAX
        } | {
            **JSON_PARSERS,
        }

        def _parse_table(self, *args: Any, joins: bool = False, **options: Any) -> Any:
            if begins_window_table(self):
                return parse_window_table(self, joins=joins)
            return _BASE._parse_table(self, *args, joins=joins, **options)

    class Generator(generator.Generator):
        TRANSFORMS: ClassVar[dict[Any, Any]] = {
            **generator.Generator.TRANSFORMS,
            exp.Array: _write_array,
            JsonCall: write_json_call,
            WindowTable: _write_window_table,
        }


@dataclass(frozen=True, slots=True)
class Text:
    """The text that is being compiled, for errors that say where, and the application's functions that it may call."""

    text: str
    functions: Functions | None = None

    def error(self, node: Tree | None, message: str, hint: str | None = None) -> SqlError:
        """An error at a node of the tree; the caller raises it."""
        offset = None if node is None else _first_offset(node)
        return self.error_at(offset, message, hint)

    def error_at(self, offset: int | None, message: str, hint: str | None = None) -> SqlError:
        if offset is None:
            return SqlError(message, hint=hint, statement=self.text)
        before = self.text[:offset]
        line = before.count("\n") + 1
        column = offset - (before.rfind("\n") + 1) + 1
        return SqlError(message, hint=hint, statement=self.text, line=line, column=column)

    def quote(self, node: Tree) -> str:
        """The node as the user would write it, shortened."""
        rendered = node.sql(dialect=Flink)
        return rendered if len(rendered) <= 60 else rendered[:57] + "…"


@contextmanager
def told_where_too_deep(text: str) -> Iterator[None]:
    """Every step of reading a query follows its tree down; one that is deeper than Python's stack is refused."""
    try:
        yield
    except RecursionError:
        raise SqlError(
            "This query is nested too deeply.",
            hint="Take parentheses and operators apart: IN (…) for many ORs, CONCAT(…) for many ||, a derived table for a part.",
            statement=text,
        ) from None


def _first_offset(node: Tree) -> int | None:
    """Where the node begins; for one without a position of its own (a literal's sign, a parameter), what it stands in."""
    place: Tree | None = node
    while place is not None:
        found = [one.meta["start"] for one in place.walk() if "start" in one.meta]
        if found:
            return min(found)
        place = place.parent
    return None


def parse_query(text: str, functions: Functions | None = None) -> tuple[Tree, Text]:
    """The one query in ``text``. Raises SqlError with the position of what cannot be read."""
    where = Text(text, functions)
    if (unusable := re.search("[\\x00\\ud800-\\udfff]", text)) is not None:
        raise where.error_at(
            unusable.start(), f"{unusable[0]!r} cannot stand in a text of SQL.", "CHR(0) is the letter NUL."
        )
    _refuse_early(where)
    try:
        statements = [one for one in Flink().parse(text) if one is not None]
    except ParseError as error:
        _raise_parse_error(where, error)
    except TokenError as error:
        raise where.error_at(
            error.start, f"This text cannot be read as SQL: {str(error).splitlines()[0]}"
        ) from error
    if not statements:
        raise where.error_at(0, "There is no SQL here.", "Write a SELECT.")
    if len(statements) > 1:
        raise where.error(
            statements[1], "There are two statements here.", "Give one SELECT at a time, without `;`."
        )
    [query] = statements
    if not isinstance(query, exp.Select | exp.SetOperation | exp.Subquery):
        raise where.error_at(
            0,
            f"{type(query).__name__.upper()} is not a query.",
            "Write a SELECT; data changes at its source.",
        )
    return query, where


def _refuse_early(where: Text) -> None:
    """What sqlglot would stumble over with a message that does not help."""
    try:
        found = Flink().tokenize(where.text)
    except TokenError:
        return
    for index, (one, following) in enumerate(zip_longest(found, found[1:])):
        name = one.text.upper()
        called = following is not None and following.token_type == TokenType.L_PAREN
        if (
            called
            and name in WINDOW_KINDS
            and [two.text.upper() for two in found[max(0, index - 2) : index]] != ["TABLE", "("]
        ):
            raise where.error_at(
                one.start,
                f"{name} is a table function.",
                f"Write FROM TABLE({name}(TABLE t, DESCRIPTOR(ts), INTERVAL …)) and GROUP BY window_start, window_end.",
            )
        if called and name == "PROCTIME":
            raise where.error_at(
                one.start,
                "Processing time is not supported: a row's place would depend on when it was read.",
                "Use a timestamp column of the data, and declare it as event time (app.event_time).",
            )
        if one.token_type == TokenType.HINT:
            raise where.error_at(one.start, "Hints are not used here.", "Remove the /*+ … */.")
        if name == "MATCH_RECOGNIZE":
            raise where.error_at(one.start, "MATCH_RECOGNIZE is not yet in this version.")
    if '"' in "".join(one.text for one in found if one.token_type not in _QUOTED):
        offset = next(one.start for one in found if one.token_type not in _QUOTED and '"' in one.text)
        raise where.error_at(
            offset,
            "Flink SQL has no double quotes.",
            "Quote names with `backticks` and strings with 'apostrophes'.",
        )


_QUOTED = (TokenType.STRING, TokenType.IDENTIFIER)


def _raise_parse_error(where: Text, error: ParseError) -> NoReturn:
    first = error.errors[0] if error.errors else {}
    highlight = str(first.get("highlight") or "")
    line, end_column = first.get("line"), first.get("col")
    column = None if end_column is None else max(1, int(end_column) - len(highlight) + 1)
    description = str(first.get("description") or error).rstrip(".")
    if missing := re.match(r"Required keyword: '\w+' missing for <class '[\w.]+\.(\w+)'>", description):
        description = f"{missing[1].upper()} is not complete"
    near = f" near {highlight!r}" if highlight else ""
    raise SqlError(
        f"This is not Flink SQL as understood here: {description}{near}.",
        hint="docs/sql.md lists the language.",
        statement=where.text,
        line=line,
        column=column,
    ) from error
