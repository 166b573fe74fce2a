"""What the nodes of a plan keep: only rows that somebody looks up, only columns that somebody reads.

A node that is read by itself alone passes its changes on and keeps nothing (``virtual``). One that is joined keeps its rows; where they
have no key, equal rows are numbered, so that each can be taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from springline.core.schema import TableSchema
from springline.core.types import BIGINT
from springline.sql.rewrite import columns_read
from springline.sql.rows import Occurrence, Rows, delta
from springline.sql.scope import relation_columns
from springline.sql.shapes import Aggregate, Columns, Node, Outer, Over, Project, Shape, node_schema
from springline.sql.typed import Typed

if TYPE_CHECKING:
    from springline.sql.intermediates import Intermediates

COPY = "_copy"


def laid_out(planner: Intermediates, nodes: list[Node]) -> list[Node]:
    """The nodes with what they need to keep; the last one, the view, keeps everything."""
    for index in reversed(range(len(nodes) - 1)):
        node, readers = nodes[index], nodes[index + 1 :]
        _prune(planner, node, readers)
        found = [
            (reader, rows)
            for reader in readers
            for rows in rows_of(reader.shape)
            if node.name in rows.relations
        ]
        if isinstance(node.shape, Project | Aggregate) and all(
            _alone(reader, rows) for reader, rows in found
        ):
            node.virtual = True
            for _, rows in found:
                _read_changes(rows, node.name)
        elif isinstance(node.shape, Project) and not node.schema.key:
            node.virtual = True
            nodes.insert(index + 1, _numbered(planner, node, [rows for _, rows in found]))
    return nodes


def rows_of(shape: Shape) -> Iterator[Rows]:
    """The joins that a shape is made of."""
    if isinstance(shape, Project):
        yield from (rows for rows, _ in shape.branches)
    elif isinstance(shape, Aggregate):
        yield from shape.branches
    elif isinstance(rows := getattr(shape, "rows", None), Rows):
        yield rows


def _alone(reader: Node, rows: Rows) -> bool:
    return (
        isinstance(reader.shape, Project | Aggregate)
        and sum(bool(one.relation) for one in rows.occurrences) == 1
    )


def _read_changes(rows: Rows, name: str) -> None:
    """Reads the changes of a node also where it is filled: then they are all its rows."""
    for index, one in enumerate(rows.occurrences):
        if one.relation == name:
            rows.occurrences[index] = replace(one, computed=delta(name), weighted=True)


def _prune(planner: Intermediates, node: Node, readers: list[Node]) -> None:
    """Takes columns away that no later node reads."""
    shape = node.shape
    if not isinstance(shape, Project | Aggregate | Outer | Over):
        return
    used = set(node.schema.key)
    if node.schema.event_time is not None:
        used.add(node.schema.event_time.column)
    if isinstance(shape, Outer):
        used.update(shape.anchor_columns)
    if isinstance(shape, Over):
        used.update(shape.partition_columns)
    if not node.schema.key:
        return
    for reader in readers:
        for rows in rows_of(reader.shape):
            for one in rows.occurrences:
                if one.relation == node.name:
                    used |= columns_read(reader.shape, one.alias)
    kept = [index for index, name in enumerate(node.schema.names) if name in used]
    if len(kept) == len(node.schema.names):
        return
    schema = replace(node.schema, columns=tuple(node.schema.columns[index] for index in kept))
    _set_schema(readers, node.name, schema)
    node.schema = schema

    def pruned(columns: Columns) -> Columns:
        return [columns[index] for index in kept]

    if isinstance(shape, Project):
        shape.branches = [(rows, pruned(columns)) for rows, columns in shape.branches]
    elif isinstance(shape, Over):
        shape.alias = shape.alias or planner.alias()
        every = relation_columns(schema, shape.alias)
        shape.shown = pruned(shape.shown) if shape.shown else list(every.items())
    else:
        shape.columns = pruned(shape.columns)


def _set_schema(readers: list[Node], name: str, schema: TableSchema) -> None:
    for reader in readers:
        for rows in rows_of(reader.shape):
            for index, one in enumerate(rows.occurrences):
                if one.relation == name:
                    rows.occurrences[index] = replace(one, schema=schema)


def _numbered(planner: Intermediates, node: Node, readers: list[Rows]) -> Node:
    """A node that keeps the rows of a node without a key, each with the number of its copy."""
    occurrence = Occurrence(planner.alias(), node.schema, computed=delta(node.name), weighted=True)
    columns = list(relation_columns(node.schema, occurrence.alias).items())
    shape = numbered(planner.distinct([Rows([occurrence])], columns), 's."n"')
    assert shape.key is not None
    name = f"{node.name}b"
    schema = node_schema(name, shape.columns, shape.key)
    for rows in readers:
        for index, one in enumerate(rows.occurrences):
            if one.relation == node.name:
                rows.occurrences[index] = replace(one, schema=schema)
    return Node(name, shape, schema)


def numbered(shape: Aggregate, copies: str) -> Aggregate:
    """Distinct rows, each as often as ``copies`` says; the copies are numbered."""
    columns = [*shape.columns, (COPY, Typed("e.key", BIGINT, False))]
    key = (*(shape.key or ()), COPY)
    return replace(shape, columns=columns, copies=copies, key=key)
