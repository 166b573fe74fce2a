"""What names mean at one place of a query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from springline.core.schema import TableSchema
from springline.sql.catalog import near_misses
from springline.sql.dialect import Text, Tree
from springline.sql.typed import Typed, quote


@dataclass(slots=True)
class Item:
    """One table of a FROM: the names it goes by, and its columns as expressions."""

    qualifiers: tuple[str, ...]
    columns: dict[str, Typed]
    merged: frozenset[str] = frozenset()
    """Columns of USING: without a qualifier they mean the left table's."""
    order: tuple[str, ...] = ()
    """The columns that rows are ordered by where an aggregate needs an order and has none; without any, all columns."""

    @property
    def name(self) -> str:
        return self.qualifiers[0]


@dataclass(slots=True)
class Scope:
    """The tables of one FROM, in order. ``outer`` is the surrounding query's, for correlated subqueries."""

    where: Text
    items: list[Item] = field(default_factory=list[Item])
    outer: Scope | None = None
    used: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """(item, column) pairs that were asked for."""

    def add(self, node: Tree, item: Item) -> None:
        if any(item.name == other.name for other in self.items):
            raise self.where.error(
                node, f"Two tables go by the name {item.name!r}.", "Give one an alias: … AS other_name."
            )
        self.items.append(item)

    def column(self, node: exp.Column) -> Typed:
        """The column that a name means here. Raises SqlError with near misses."""
        found = self._find(node)
        if found is not None:
            return found
        if self.outer is not None:
            return self.outer.column(node)
        name, qualifier = node.name, _qualifier(node)
        if qualifier and not any(qualifier in item.qualifiers for item in self.items):
            known = [name for item in self.items for name in item.qualifiers]
            hint = near_misses(qualifier, known) or f"Tables: {', '.join(item.name for item in self.items)}."
            raise self.where.error(node, f"No table of this query goes by {qualifier!r}.", hint)
        items = [item for item in self.items if not qualifier or qualifier in item.qualifiers]
        columns = list(dict.fromkeys(column for item in items for column in item.columns))
        listed = ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
        hint = near_misses(name, columns) or (f"Columns: {listed}." if columns else None)
        raise self.where.error(node, f"There is no column {name!r}.", hint)

    def row_order(self) -> list[Typed]:
        """The columns that decide the order of rows: the tables' keys, in the order of FROM."""
        found: list[Typed] = []
        for item in self.items:
            for name in item.order or tuple(item.columns):
                self.used.add((item.name, name))
                found.append(item.columns[name])
        return found

    def _find(self, node: exp.Column) -> Typed | None:
        name, qualifier = node.name, _qualifier(node)
        found = [
            item
            for item in self.items
            if name in item.columns
            and (qualifier in item.qualifiers if qualifier else name not in item.merged)
        ]
        if len(found) > 1:
            choices = " or ".join(f"{item.name}.{name}" for item in found)
            raise self.where.error(
                node, f"{name!r} could be a column of several tables.", f"Write {choices}."
            )
        if not found:
            return None
        self.used.add((found[0].name, name))
        return found[0].columns[name]

    def star(self, node: Tree, qualifier: str = "") -> Iterable[tuple[str, Typed]]:
        """The columns of ``*`` or ``t.*``, in order."""
        items = [item for item in self.items if not qualifier or qualifier in item.qualifiers]
        if not items:
            known = [item.name for item in self.items]
            message = (
                f"No table of this query goes by {qualifier!r}." if qualifier else "SELECT * needs a FROM."
            )
            raise self.where.error(node, message, near_misses(qualifier, known) or None)
        for item in items:
            for name, typed in item.columns.items():
                if not qualifier and name in item.merged:
                    continue
                self.used.add((item.name, name))
                yield name, typed


def _qualifier(node: exp.Column) -> str:
    return ".".join(part.name for part in node.parts[:-1])


def relation_columns(schema: TableSchema, alias: str, *, nullable: bool = False) -> dict[str, Typed]:
    """The columns of a relation under an alias."""
    return {
        column.name: Typed(
            f"{alias}.{quote(column.name)}",
            column.type,
            column.nullable or nullable,
            frozenset({alias}),
            (alias, column.name),
        )
        for column in schema.columns
    }


def relation_qualifiers(name: str, written: str, alias: str) -> tuple[str, ...]:
    """The names a table of a FROM goes by: its alias alone, or else its own name, short and long."""
    if alias:
        return (alias,)
    return tuple(dict.fromkeys((name.rsplit(".", 1)[-1], written, name)))
