"""The intermediates of a plan: nodes whose rows are kept for others, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from springline.core.types import BIGINT
from springline.sql import outer_joins
from springline.sql.aggregates import Slots, group_output
from springline.sql.catalog import Catalog
from springline.sql.clauses import CommonTables
from springline.sql.dead_letters import Failures
from springline.sql.dialect import Text, Tree
from springline.sql.guarded import of_columns
from springline.sql.keys import row_key, with_hidden_key
from springline.sql.layout import numbered
from springline.sql.over_plan import with_hidden_partition
from springline.sql.rewrite import signature
from springline.sql.rows import Occurrence, Rows, determined
from springline.sql.scope import Scope, relation_columns
from springline.sql.shapes import (
    Aggregate,
    Columns,
    Node,
    Outer,
    Over,
    Project,
    Sessions,
    Shape,
    node_schema,
)
from springline.sql.sharing import SharedRows, closed
from springline.sql.typed import Typed
from springline.sql.windows_plan import PlannedWindows


class Intermediates:
    """Collects the nodes of one plan."""

    def __init__(self, where: Text, catalog: Catalog, view: str, *, live: bool = False) -> None:
        self.where = where
        self.catalog = catalog
        self.view = view
        self.nodes: list[Node] = []
        self.inputs: dict[str, None] = {}
        self.warnings: list[str] = []
        self.windows = PlannedWindows(live=live)
        self._aliases = 0
        self._numbers = 0
        self._signatures: dict[str, str] = {}
        self._reads: dict[str, int] = {}
        self.failures = Failures()
        self.shared: Mapping[str, SharedRows] = {}
        """Hidden views that are read in place of subqueries (``sharing.py``)."""

    def alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def distinct(self, branches: list[Rows], columns: Columns) -> Aggregate:
        """The distinct rows among ``columns``."""
        slots = Slots(self.where, [typed for _, typed in columns])
        outputs = [(name, group_output(slots, index)) for index, (name, _) in enumerate(columns)]
        return Aggregate(branches, slots, outputs, key=tuple(name for name, _ in columns))

    def guarded_columns(self, rows: Rows, columns: Columns) -> Columns:
        """The columns of a SELECT list; rows on which they fail are left out."""
        guards, columns = of_columns(columns)
        rows.filters.extend(guards)
        self.failures.note(rows)
        return columns

    def shape_of(self, rows: Rows, columns: Columns, *, of_user: bool) -> Project | Outer:
        if rows.has_left:
            expanded = None if of_user else outer_joins.branches(self, rows)
            if expanded is None:
                return with_anchor(rows, columns)
            shape = Project([(one, columns) for one in expanded])
        else:
            shape = Project([(rows, columns)])
        shape.key, shape.missing = row_key(rows, columns)
        return shape

    def materialised(self, shape: Shape) -> tuple[Rows, Columns]:
        """Makes a node of its own of a shape, and reads it."""
        visible = [name for name, _ in shape.columns]
        if isinstance(shape, Outer) and not shape.anchor_columns:
            shape = self.with_hidden_anchor(shape)
        elif isinstance(shape, Over) and not shape.alias:
            shape = with_hidden_partition(shape)
        elif isinstance(shape, Aggregate) and shape.key is None:
            hidden = [
                (f"_g{index}", group_output(shape.slots, index)) for index in range(len(shape.slots.groups))
            ]
            shape = replace(shape, columns=[*shape.columns, *hidden], key=tuple(name for name, _ in hidden))
            if shape.copies:
                shape = numbered(shape, shape.copies)
        elif isinstance(shape, Project) and shape.key is None:
            shape = with_hidden_key(shape)
        node = self._node(shape)
        self._reads[node.name] = self._reads.get(node.name, 0) + 1
        single = isinstance(shape, Aggregate) and not shape.slots.groups
        occurrence = Occurrence(self.alias(), node.schema, single=single)
        columns = relation_columns(node.schema, occurrence.alias)
        made = [(column, columns[column]) for column in visible]
        self.windows.follow(shape.columns[: len(made)], made)
        return Rows([occurrence]), made

    def read_shared(self, query: Tree, tables: CommonTables) -> tuple[Rows, Columns] | None:
        """The hidden view that holds the rows of a query, as a table of FROM; None where there is none."""
        found = self.shared.get(repr(closed(query, tables))) if self.shared else None
        if found is None:
            return None
        self.inputs[found.schema.name] = None
        occurrence = Occurrence(self.alias(), found.schema, single=found.single)
        return Rows([occurrence]), list(relation_columns(found.schema, occurrence.alias).items())

    def _node(self, shape: Shape) -> Node:
        """The node of a shape; one that the plan has already, if they are the same."""
        text = signature(shape)
        same = next((one for one in self.nodes if self._signatures.get(one.name) == text), None)
        if same is not None and not isinstance(shape, Sessions):
            return same
        self._numbers += 1
        name = f"s:{self.view}:{self._numbers}"
        self._signatures[name] = text
        schema = node_schema(name, shape.columns, shape.key or (), self.windows.event_time(shape))
        self.nodes.append(Node(name, shape, schema))
        return self.nodes[-1]

    def own_node(self, occurrence: Occurrence) -> Node | None:
        """The intermediate that this occurrence alone reads."""
        found = next((one for one in self.nodes if one.name == occurrence.relation), None)
        return found if self._reads.get(occurrence.relation) == 1 else None

    def changed(self, node: Node) -> None:
        """An intermediate is no longer what its shape was: nobody else may read it."""
        self._signatures.pop(node.name, None)

    def drop_node(self, node: Node) -> None:
        self.nodes.remove(node)

    def kept(
        self, rows: Rows, scope: Scope, used: Sequence[Typed], added: Sequence[tuple[str, Typed]] = ()
    ) -> tuple[Rows, Columns]:
        """Keeps joined rows as an intermediate; the scope's columns are then its. Also ``added`` expressions, as columns of it."""
        rows = Rows([*rows.occurrences], [*rows.filters])
        wanted = {typed.sql for typed in used}
        places = [
            (item, name, typed)
            for item in scope.items
            for name, typed in item.columns.items()
            if typed.sql in wanted
        ]
        columns = [(f"{item.name}.{name}", typed) for item, name, typed in places]
        columns = self.guarded_columns(rows, [*columns, *added] or [("_one", Typed("1", BIGINT, False))])
        read, made = self.materialised(self.shape_of(rows, columns, of_user=False))
        for (item, name, _), (_, typed) in zip(places, made, strict=False):
            item.columns[name] = typed
        return read, made[len(places) : len(places) + len(added)]

    def settle(self, rows: Rows, scope: Scope) -> None:
        """What was joined so far becomes an intermediate, whose rows are read instead."""
        read, _ = self.kept(rows, scope, [typed for item in scope.items for typed in item.columns.values()])
        rows.occurrences[:], rows.filters[:] = read.occurrences, []

    def with_hidden_anchor(self, shape: Outer) -> Outer:
        anchor = shape.rows.occurrence(shape.anchor)
        every = relation_columns(anchor.schema, anchor.alias)
        key = anchor.schema.key or anchor.schema.names
        hidden = [(f"_k{index}", every[column]) for index, column in enumerate(key)]
        return replace(
            shape, columns=[*shape.columns, *hidden], anchor_columns=tuple(name for name, _ in hidden)
        )


def inlined(shape: Shape, *, nullable: bool) -> tuple[Rows, Columns] | None:
    """The joins and filters of a derived table, to become part of the query around it; None where they cannot. On the right of a
    LEFT JOIN it must be one table whose columns are shown as they are: an expression would not be NULL for a missing row."""
    if not isinstance(shape, Project) or len(shape.branches) != 1:
        return None
    rows, columns = shape.branches[0]
    plain = len(rows.occurrences) == 1 and all(typed.column for _, typed in columns)
    return (rows, columns) if plain or not nullable else None


def with_anchor(rows: Rows, columns: Columns) -> Outer:
    """Chooses the preserved occurrence whose rows determine those of the other inner ones, so that as little as possible is
    recomputed; the first one if there is none."""
    inner = [one.alias for one in rows.occurrences if one.kind == "inner"]
    leading = [one for one in inner if determined(rows, [one]) >= set(inner)]
    anchor = (leading or inner)[0]
    occurrence = rows.occurrence(anchor)
    shown: list[str] = []
    for part in occurrence.schema.key or occurrence.schema.names:
        found = next((name for name, typed in columns if typed.column == (anchor, part)), None)
        if found is not None:
            shown.append(found)
    whole = len(shown) == len(occurrence.schema.key or occurrence.schema.names)
    shape = Outer(rows, columns, anchor, tuple(shown) if whole else ())
    shape.key, shape.missing = row_key(rows, columns, first=anchor)
    return shape
