"""The statements that maintain functions OVER windows: a partition in which a row changes is computed again."""

from __future__ import annotations

import re
from typing import Final

from springline.sql.maintain import Parts, bag_table, delta_table, keep_rows, named, net, replace_touched
from springline.sql.program import OperatorLevel, Step
from springline.sql.rewrite import with_aliases
from springline.sql.rows import Index, delta, index_for, names_of, table
from springline.sql.shapes import First, Node, Over
from springline.sql.sharing import is_shared
from springline.sql.typed import quote

_INTERMEDIATE: Final = re.compile(r"s:.+:\d+")
"""The names of intermediates (``intermediates.py``): plain tables, whose rows have numbers."""


def over(node: Node, shape: Over, *, is_view: bool, view: str) -> Parts:
    """Touched partitions are taken out as they were and put in as they are now."""
    parts = Parts()
    if not is_view:
        delta_table(parts, node)
        keep_rows(parts, node)
    elif shape.partition_columns:
        parts.indexes.extend(index_for(node.schema, shape.partition_columns))
    bag = bag_table(parts, node)
    [occurrence] = shape.rows.occurrences
    values = [one.sql for one in shape.partition] or ["0"]
    names = [f"p{index}" for index in range(len(values))]
    touched = parts.temporary("k:" + node.name, names, "touched partitions")
    conditions = "".join(f" AND {one.sql}" for one in shape.rows.filters)
    parts.on(
        occurrence.relation,
        Step(
            f"INSERT INTO {touched} SELECT DISTINCT {', '.join(values)} "
            f"FROM {delta(occurrence.relation)} AS {occurrence.alias} WHERE 1{conditions}",
            f"partitions that a change of {occurrence.relation} touches",
        ),
    )
    distinct = f"(SELECT DISTINCT {', '.join(names)} FROM {touched}) AS k"
    same = [f"n.{quote(name)} IS k.p{index}" for index, name in enumerate(shape.partition_columns)] or ["1"]
    old = ", ".join(f"n.{quote(name)}" for name in node.schema.names)
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT {old}, -1 FROM {distinct} CROSS JOIN {table(node.name)} AS n WHERE {' AND '.join(same)}",
            "the touched partitions as they were",
        )
    )
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT {names_of(node.schema.names)}, 1 FROM ({_text(parts, node, shape, distinct)})",
            "the touched partitions as they are now",
        )
    )
    parts.finish.append(net(node, bag, is_view=is_view, view=view))
    if not is_view:
        replace_touched(parts, node, distinct, same, bag)
    target = f"{delta(node.name)} SELECT *, 1" if is_view else f"{table(node.name)} SELECT *"
    parts.backfill.append(
        Step(f"INSERT INTO {target} FROM ({_text(parts, node, shape, '')})", f"all rows of {node.name}")
    )
    _levels(parts, shape)
    return parts


def _text(parts: Parts, node: Node, shape: Over, touched: str) -> str:
    """The query itself, or that of the touched partitions."""
    [occurrence] = shape.rows.occurrences
    source = f"{table(occurrence.relation)} AS {occurrence.alias}"
    conditions = [one.sql for one in shape.rows.filters]
    if touched:
        source = f"{touched} CROSS JOIN {source}"
        same = [f"{one.sql} IS k.p{index}" for index, one in enumerate(shape.partition)]
        if shape.first is not None and shape.first.count is not None:
            conditions = [_first_rows(shape, shape.first, [*same, *conditions])]
        else:
            conditions = [*same, *conditions]
        _index(parts, shape)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    inner = named([name for name, _ in shape.inner], shape.inner)
    text = f"SELECT {inner} FROM {source}{where}"
    if not shape.alias:
        return text
    names = node.schema.names
    listed = ", ".join(f"{shape.alias}.{quote(name)}" for name in names)
    if shape.shown:
        listed = named(names, shape.shown)
    return f"SELECT {listed} FROM ({text}) AS {shape.alias} WHERE {' AND '.join(one.sql for one in shape.filters) or '1'}"


def _first_rows(shape: Over, first: First, conditions: list[str]) -> str:
    """A row is among the first of its partition; these are read in order, by the index."""
    [occurrence] = shape.rows.occurrences
    key = occurrence.schema.key
    # A relation with a key that cannot be NULL may have no row numbers, and an intermediate no index on its key.
    is_numbered = _INTERMEDIATE.fullmatch(occurrence.relation) and not is_shared(occurrence.relation)
    by_key = key and not is_numbered and not any(occurrence.schema.column(part).nullable for part in key)
    mine = (
        [f"{occurrence.alias}.{quote(part)}" for part in key] if by_key else [f'{occurrence.alias}."rowid"']
    )
    names = {occurrence.alias: "f"}
    listed = with_aliases(", ".join(mine), names)
    where = with_aliases(" AND ".join(conditions) or "1", names)
    order = with_aliases(first.order, names)
    return (
        f"({', '.join(mine)}) IN (SELECT {listed} FROM {table(occurrence.relation)} AS f "
        f"WHERE {where} ORDER BY {order} LIMIT {first.count})"
    )


def _index(parts: Parts, shape: Over) -> None:
    [occurrence] = shape.rows.occurrences
    equal = [one.column[1] for one in shape.partition if one.column is not None]
    if equal and not index_for(occurrence.schema, equal):
        return  # The relation's key finds the partition.
    ordered = [] if shape.first is None else [name for name in shape.first.columns if name not in equal]
    columns = (*equal, *ordered)
    if columns and columns != occurrence.schema.key[: len(columns)]:
        parts.indexes.append(Index(occurrence.schema.name, columns))


def _levels(parts: Parts, shape: Over) -> None:
    relation = shape.rows.occurrences[0].relation
    first = shape.first
    if first is not None and first.count is not None:
        cost = f"the first {first.count} rows of each touched partition are read again"
        parts.levels.append(OperatorLevel("TOP-N", "group", cost))
    elif shape.partition:
        parts.levels.append(OperatorLevel("OVER", "group", "each touched partition is computed again"))
    else:
        cost = f"a change of {relation} computes all rows again"
        parts.levels.append(OperatorLevel("OVER without PARTITION BY", "full", cost))
