"""Where each part of a query stands in its text, and edits of the text by those places.

The text that a user wrote is what Flink is given, with edits: it is never generated again from its tree. The parser is ours
(``sql.dialect``), with its steps remembering where they began and ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from sqlglot import exp
from sqlglot.expressions.core import Expr as Tree
from sqlglot.expressions.core import Expression

from springline.sql.dialect import Flink

Span: TypeAlias = tuple[int, int]
"""Where a part begins, and where what follows it does."""

_STEPS: Final = """select table from join where group having order limit lateral unnest expression disjunction conjunction equality
    comparison range bitwise term factor unary type column primary function interval ordered cte with""".split()


class Positioned(Flink):
    """The dialect, with a parser whose nodes know their places."""

    class Parser(Flink.Parser):
        pass


def _remembering(step: Callable[..., Any]) -> Callable[..., Any]:
    def method(parser: Any, *arguments: Any, **options: Any) -> Any:
        first = parser._curr
        made = step(parser, *arguments, **options)
        is_new = isinstance(made, Expression) and "span" not in made.meta
        if is_new and first is not None and parser._prev is not None:
            made.meta["span"] = (first.start, parser._prev.end + 1)
        return made

    return method


for _step in _STEPS:
    setattr(Positioned.Parser, f"_parse_{_step}", _remembering(getattr(Flink.Parser, f"_parse_{_step}")))


def parsed(text: str) -> Tree:
    """The tree of a text that ``sql.dialect.parse_query`` accepts."""
    [tree] = [one for one in Positioned().parse(text) if one is not None]
    return tree


def span(node: Tree) -> Span | None:
    """Where a node stands: as the parser saw it, or from the first to the last of its parts."""
    if (own := node.meta.get("span")) is not None:
        return cast("Span", own)
    if "start" in node.meta:
        return node.meta["start"], node.meta["end"] + 1
    parts = [found for one in node.iter_expressions() if (found := span(one)) is not None]
    return (min(one for one, _ in parts), max(one for _, one in parts)) if parts else None


def is_query(node: Tree) -> bool:
    """Where a walk through one query's expressions stops."""
    return isinstance(node, exp.Query)


@dataclass(frozen=True, slots=True)
class _Edit:
    start: int
    end: int
    at: int
    place: int
    """Among the edits at one position: what closes (0), what is inserted (1), what opens (2), what replaces (3)."""
    depth: int
    removed: int
    text: str
    owner: int


@dataclass(slots=True)
class Edits:
    """A text and what is changed in it. ``owner`` names an edit that a rendering can leave out."""

    text: str
    _made: list[_Edit] = field(default_factory=list[_Edit])

    def replace(self, where: Span, by: str) -> None:
        """Other text in place of a token or a few."""
        start, end = where
        self._made.append(_Edit(start, end, start, 3, 0, end - start, by, 0))

    def wrap(self, where: Span, before: str, after: str, owner: int = 0) -> None:
        """Text around a part. What is inner comes nearer to it."""
        start, end = where
        self._made.append(_Edit(start, end, start, 2, -end, 0, before, owner))
        self._made.append(_Edit(start, end, end, 0, -start, 0, after, owner))

    def insert(self, at: int, text: str, within: Span) -> None:
        """Text at a position, behind what ends there. It belongs to the part ``within``."""
        self._made.append(_Edit(*within, at, 1, len(self._made), 0, text, 0))

    def render(self, where: Span | None = None, *, without: int = 0) -> str:
        """The text, or a part of it, with the edits that lie in it."""
        start, end = where or (0, len(self.text))
        inside = [
            one
            for one in self._made
            if start <= one.start and one.end <= end and not (without and one.owner == without)
        ]
        parts: list[str] = []
        at = start
        for one in sorted(inside, key=lambda edit: (edit.at, edit.place, edit.depth)):
            parts += [self.text[at : one.at], one.text]
            at = max(at, one.at + one.removed)
        return "".join([*parts, self.text[at:end]])
