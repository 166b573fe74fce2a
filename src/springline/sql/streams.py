"""Streams in views. A stream's rows are not stored (``TableSchema.kept``), so what meets other rows later is kept by the view.

A filter, a projection or an aggregate of one stream needs its changes alone. Where a stream is joined, or its rows are otherwise read
again, the view keeps of it the columns that it uses and the rows that pass the filters on it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

from springline.core.schema import TableSchema
from springline.sql.dialect import Text
from springline.sql.maintain import Parts, delta_table
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import Occurrence, Rows, delta, table
from springline.sql.shapes import Aggregate, Full, Node, Outer, Over, Project, Sessions, Shape, Stream
from springline.sql.typed import Typed, quote


@dataclass(slots=True)
class _Use:
    """One occurrence of a stream in a node whose rows must be kept."""

    node: Node
    rows: Rows
    occurrence: Occurrence


def keep_streams(view: str, nodes: Sequence[Node], inputs: Iterable[TableSchema], where: Text) -> list[Node]:
    """The nodes with those put before them that keep what they need of streams. Raises SqlError where a query is computed again as a whole
    and so needs all rows."""
    streams = {one.name for one in inputs if not one.kept}
    if not streams:
        return list(nodes)
    uses: dict[str, list[_Use]] = {}
    for node in nodes:
        for rows, occurrence in _to_keep(node.shape):
            uses.setdefault(occurrence.alias, []).append(_Use(node, rows, occurrence))
        if isinstance(node.shape, Full):
            _refuse(node.shape, streams, where)
    made = {alias: _keeping(view, alias, found) for alias, found in uses.items()}
    laid: list[Node] = []
    for node in nodes:
        laid.extend(made[alias] for alias, found in uses.items() if found[0].node is node)
        laid.append(node)
    return laid


def only_come(branches: Sequence[Rows]) -> bool:
    """Whether the rows of a join are never taken back: all that it joins are streams, or series that never change."""
    return all(
        rows.sign == 1
        and all(one.kind == "inner" and (not one.relation or not one.schema.kept) for one in rows.occurrences)
        for rows in branches
    )


def maintain_stream(node: Node, shape: Stream) -> Parts:
    """Rows only come: nothing is netted, and nothing taken out."""
    parts = Parts()
    delta_table(parts, node)
    parts.persistent(
        node.name, _definition(node.schema), f"rows of {shape.relation} that the view needs again"
    )
    shown = ", ".join(typed.sql for _, typed in shape.columns)
    condition = " AND ".join(one.sql for one in shape.filters)
    parts.on(
        shape.relation,
        Step(
            f"INSERT INTO {delta(node.name)} SELECT {shown}, 1 FROM {delta(shape.relation)} AS {shape.alias}"
            + (f" WHERE {condition}" if condition else ""),
            f"rows of {shape.relation} that pass its filters",
        ),
    )
    names = ", ".join(quote(column.name) for column in node.schema.columns)
    parts.apply.append(
        Step(
            f"INSERT INTO {table(node.name)} SELECT {names} FROM {delta(node.name)}",
            f"keep rows of {shape.relation}",
        )
    )
    cost = f"keeps {', '.join(node.schema.names)} of each row that passes the filters"
    parts.levels.append(OperatorLevel(f"STREAM {shape.relation}", "delta", cost))
    return parts


def _definition(schema: TableSchema) -> str:
    """The columns of the table of kept rows; a key is its primary key, so that rows are found by it, and a promise that is broken is noticed."""
    columns = [
        f"{quote(column.name)} {column.type.sqlite}{' NOT NULL' if column.name in schema.key else ''}"
        for column in schema.columns
    ]
    if not schema.key:
        return f"({', '.join(columns)}) STRICT"
    columns.append(f"PRIMARY KEY({', '.join(map(quote, schema.key))})")
    is_rowid = len(schema.key) == 1 and schema.column(schema.key[0]).type.sqlite == "INTEGER"
    return f"({', '.join(columns)}) STRICT{'' if is_rowid else ', WITHOUT ROWID'}"


def _to_keep(shape: Shape) -> Iterator[tuple[Rows, Occurrence]]:
    for rows in _rows_of(shape):
        stored = [one for one in rows.occurrences if one.relation and not one.computed]
        passes = len(stored) == 1 and isinstance(shape, Project | Aggregate)
        if not passes:
            yield from ((rows, one) for one in stored if not one.schema.kept)


def _rows_of(shape: Shape) -> list[Rows]:
    match shape:
        case Project():
            return [rows for rows, _ in shape.branches]
        case Aggregate():
            return shape.branches
        case Outer() | Sessions() | Over():
            return [shape.rows]
        case _:
            return []


def _keeping(view: str, alias: str, uses: Sequence[_Use]) -> Node:
    """The node that keeps a stream's rows for all uses under one alias; the uses read it from here on."""
    schema = uses[0].occurrence.schema
    filters = _common_filters(alias, uses)
    for use in uses:
        use.rows.filters = [one for one in use.rows.filters if one not in filters]
    wanted = {name for use in uses for name in _columns_used(use.node.shape, alias)}
    if any(isinstance(use.node.shape, Outer | Over) for use in uses):
        wanted |= set(schema.key or schema.names)  # by which touched rows are found
    names = [name for name in schema.names if name in wanted] or [schema.names[0]]
    columns = [
        (
            name,
            Typed(f"{alias}.{quote(name)}", schema.column(name).type, schema.column(name).nullable),
        )
        for name in names
    ]
    is_keyed = bool(schema.key) and all(
        part in names and not schema.column(part).nullable for part in schema.key
    )
    key = schema.key if is_keyed else ()
    kept = TableSchema(
        f"s:{view}:{alias}",
        tuple(schema.column(name) for name in names),
        key,
        event_time=schema.event_time if schema.event_time and schema.event_time.column in names else None,
    )
    for use in uses:
        use.rows.occurrences = [
            replace(one, schema=kept) if one.alias == alias else one for one in use.rows.occurrences
        ]
    return Node(kept.name, Stream(schema.name, alias, columns, filters, key or None), kept)


def _common_filters(alias: str, uses: Sequence[_Use]) -> list[Typed]:
    """The filters on the stream alone that all its uses have."""
    if any(use.occurrence.kind != "inner" for use in uses):
        return []
    first, *others = ([one for one in use.rows.filters if one.refs == frozenset((alias,))] for use in uses)
    return [one for one in first if all(one in filters for filters in others)]


def _columns_used(shape: Shape, alias: str) -> set[str]:
    """The columns of an occurrence that a shape's expressions name; they are texts over ``alias."column"``."""
    pattern = re.compile(rf'\b{alias}\."((?:[^"]|"")*)"')
    return {found.replace('""', '"') for text in _texts(shape, set()) for found in pattern.findall(text)}


def _texts(value: object, seen: set[int]) -> Iterator[str]:
    """Every text in a shape."""
    if isinstance(value, str):
        yield value
        return
    if id(value) in seen or isinstance(value, TableSchema):
        return
    seen.add(id(value))
    if is_dataclass(value):
        for one in fields(value):
            yield from _texts(getattr(value, one.name), seen)
    elif isinstance(value, dict):
        for one in cast("dict[Any, Any]", value).values():
            yield from _texts(one, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in cast("Sequence[Any]", value):
            yield from _texts(one, seen)


def _refuse(shape: Full, streams: set[str], where: Text) -> None:
    for name in shape.relations:
        if name in streams:
            raise where.error(
                None,
                f"{shape.what} needs all rows of {name}, a stream whose rows are not kept.",
                "Keep them (kept=True), or aggregate the stream in a view first.",
            )
