"""Temporal joins: ``JOIN rates FOR SYSTEM_TIME AS OF o.at AS r ON o.currency = r.currency``.

Every row of the left side is joined with the version of the other table's row that was valid at a time of its own. A version is valid from its
event time until that of the next version of the same key. So the join is one over ranges: the table's rows get the time at which they end
(``LEAD`` of the event time over the key), and the join asks for the version that had begun and had not ended.

Where the event time is part of the table's key, its rows are the versions. Otherwise an update replaces the version before; a view then keeps the
versions that it has seen (``history.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from springline.core.types import BOOLEAN
from springline.sql.catalog import Catalog
from springline.sql.check import Checker
from springline.sql.clauses import CommonTables, JoinKind, resolve
from springline.sql.dialect import Text, Tree
from springline.sql.operators import compare
from springline.sql.rows import equalities
from springline.sql.scope import Item
from springline.sql.shapes import History
from springline.sql.typed import Typed, derived, quote

UNTIL: Final = "#until"
"""The column that says when a version ends; no name that a user can write."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of a table. ``rows``: a query for them, with the column ``UNTIL``; ``time``: the instant as of which; ``begins``: the
    column with which a version begins; ``key``: the columns that say of what it is a version. ``is_kept``: the table's own
    rows are not all the versions."""

    node: exp.Table
    rows: exp.Subquery
    time: Tree
    begins: str
    key: tuple[str, ...]
    relation: str
    is_kept: bool

    @property
    def warning(self) -> str:
        return (
            f"{self.relation} keeps one row for each key: the view joins with the versions that it has seen, from its making on. "
            f"A table keyed by its event time too keeps them all."
        )

    def history(self, catalog: Catalog) -> History:
        """The shape that keeps the versions."""
        schema = catalog[self.relation]
        columns = [(one.name, Typed(quote(one.name), one.type, one.nullable)) for one in schema.columns]
        until = Typed(quote(UNTIL), schema.column(self.begins).type)
        return History(schema, self.begins, [*columns, (UNTIL, until)], (*schema.key, self.begins))

    def valid(self, checker: Checker, item: Item, conditions: Sequence[Typed]) -> list[Typed]:
        """The conditions that the version was valid at the time. ``conditions`` are those of ON. Raises SqlError."""
        where = checker.where
        asked = checker.check(self.time)
        if asked.type.name not in ("TIMESTAMP", "TIMESTAMP_LTZ"):
            raise where.error(
                self.time, "FOR SYSTEM_TIME AS OF wants a timestamp.", "Name a column of the left table."
            )
        until, begins = item.columns.pop(UNTIL), item.columns[self.begins]
        own = {typed.column for typed in item.columns.values()}
        if {asked.column} & own:
            raise where.error(
                self.time,
                "FOR SYSTEM_TIME AS OF asks for a time of the left table.",
                "Name one of its columns.",
            )
        equal = {side.column for pair in equalities(conditions) for side in pair}
        missing = [name for name in self.key if item.columns[name].column not in equal]
        if missing:
            raise where.error(
                self.node,
                f"A temporal join needs the whole key of {self.relation!r} in its ON, and {missing[0]!r} is not.",
                f"Add … AND {item.name}.{missing[0]} = …",
            )
        begun = compare(where, self.node, "<=", begins, asked)
        later = compare(where, self.node, "<", asked, until)
        open_ = derived(f"({until.sql} IS NULL OR {later.sql})", BOOLEAN, [until, asked], nullable=False)
        return [begun, open_]


def versions(
    where: Text,
    catalog: Catalog,
    tables: CommonTables,
    node: Tree,
    kind: JoinKind | None,
    *,
    ad_hoc: bool = False,
) -> Versions | None:
    """The versions that a FROM asks for; None where it asks for none. ``kind``: of the join. Raises SqlError; a query that is
    ``ad_hoc`` cannot ask for what only views keep."""
    if not isinstance(node, exp.Table) or not node.args.get("version"):
        return None
    asked = node.args["version"]
    if str(asked.this).upper() != "TIMESTAMP" or str(asked.args.get("kind")).upper() != "AS OF":
        raise where.error(
            node,
            "Only FOR SYSTEM_TIME AS OF asks for versions.",
            "JOIN t FOR SYSTEM_TIME AS OF o.ts AS t ON …",
        )
    if kind not in ("inner", "left"):
        raise where.error(
            node,
            "FOR SYSTEM_TIME AS OF stands in a JOIN or LEFT JOIN.",
            "FROM o JOIN t FOR SYSTEM_TIME AS OF o.ts AS t ON o.k = t.k",
        )
    plain = exp.Table(
        **{
            name: part.copy()
            for name in ("this", "db", "catalog")
            if (part := node.args.get(name)) is not None
        }
    )
    if tables.find(plain) is not None:
        raise where.error(
            node, "A temporal join reads a table or a view, not a query.", "Make the query a view."
        )
    schema = resolve(where, catalog, plain)
    if schema.event_time is None or not schema.key:
        what = "has no key" if not schema.key else "has no declared event time"
        raise where.error(
            node,
            f"{schema.name!r} {what}, so it has no versions.",
            f'Declare it: app.event_time("{schema.name}", "…").',
        )
    begins = schema.event_time.column
    if ad_hoc and begins not in schema.key:
        raise where.error(
            node,
            f"{schema.name!r} keeps one row for each key; a query cannot know the versions before.",
            "Make a view of the join: it keeps the versions that it sees.",
        )
    key = tuple(name for name in schema.key if name != begins)
    window = exp.Window(
        this=exp.Anonymous(this="LEAD", expressions=[_column(begins)]),
        partition_by=[_column(name) for name in key],
        order=exp.Order(expressions=[exp.Ordered(this=_column(begins), desc=False)]),
    )
    listed: list[Tree] = [_column(name) for name in schema.names]
    listed.append(exp.Alias(this=window, alias=exp.Identifier(this=UNTIL, quoted=True)))
    chosen = exp.Select(expressions=listed, from_=exp.From(this=plain))
    shown = node.args.get("alias") or exp.TableAlias(this=exp.Identifier(this=node.name))
    rows = exp.Subquery(this=chosen, alias=shown.copy())
    _place(rows, node)
    return Versions(node, rows, asked.expression, begins, key, schema.name, begins not in schema.key)


def _column(name: str) -> exp.Column:
    return exp.Column(this=exp.Identifier(this=name, quoted=True))


def _place(made: Tree, node: Tree) -> None:
    """Errors in what was made point to where it was asked for."""
    found = next((one.meta for one in node.walk() if "start" in one.meta), None)
    for one in made.find_all(exp.Identifier):
        if found is not None and "start" not in one.meta:
            one.meta.update(found)
