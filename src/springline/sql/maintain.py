"""From the nodes of a plan to the statements that maintain them.

Every node is maintained by the same moves: its inputs' deltas are joined into a change of rows (a weight for each), the
change is brought to its net effect, and that is the node's own delta. ``Parts`` says which statements do it and when; the
moments are those of ``program.ViewProgram``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from springline.core.schema import TableSchema
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import Index, Rows, Term, delta, index_for, join, names_of, table, terms
from springline.sql.shapes import Node, Outer, Over, Project
from springline.sql.typed import Typed, literal_text, quote


@dataclass(slots=True)
class Parts:
    """What one node contributes. ``apply`` brings an intermediate's own table to its new rows; the view's is the runtime's."""

    state: list[Step] = field(default_factory=list[Step])
    scratch: list[Step] = field(default_factory=list[Step])
    on_input: dict[str, list[Step]] = field(default_factory=dict[str, list[Step]])
    finish: list[Step] = field(default_factory=list[Step])
    apply: list[Step] = field(default_factory=list[Step])
    backfill: list[Step] = field(default_factory=list[Step])
    clear: list[Step] = field(default_factory=list[Step])
    drop: list[Step] = field(default_factory=list[Step])
    indexes: list[Index] = field(default_factory=list[Index])
    levels: list[OperatorLevel] = field(default_factory=list[OperatorLevel])
    scans: list[str] = field(default_factory=list[str])
    closing: list[Step] = field(default_factory=list[Step])
    """Run before the last step of ``finish``, where windows close."""
    forget: list[Step] = field(default_factory=list[Step])
    """Run after all else, where windows close: removes what takes no more changes."""
    failed: str = ""
    """A scratch table of groups that are left out (``dead_letters.py``)."""
    side: TableSchema | None = None
    """The table of late rows that the node fills."""

    def temporary(self, name: str, columns: Sequence[str], why: str) -> str:
        """Makes a scratch table and its clearing; its name in SQL. Its columns have no type, so that values stay as they are."""
        full = f"temp.{quote(name)}"
        self.scratch.append(Step(f"CREATE TEMP TABLE IF NOT EXISTS {quote(name)}({', '.join(columns)})", why))
        self.clear.append(Step(f"DELETE FROM {full}", f"clear {why}"))
        return full

    def persistent(self, name: str, definition: str, why: str) -> str:
        """Makes a state table and its dropping; its name in SQL."""
        self.state.append(Step(f"CREATE TABLE IF NOT EXISTS {table(name)}{definition}", why))
        self.drop.append(Step(f"DROP TABLE IF EXISTS {table(name)}", f"drop {why}"))
        return table(name)

    def on(self, relation: str, step: Step) -> None:
        self.on_input.setdefault(relation, []).append(step)


def selected(columns: Sequence[tuple[str, Typed]]) -> str:
    return ", ".join(typed.sql for _, typed in columns)


def net(node: Node, source: str, *, is_view: bool, view: str) -> Step:
    """The change of rows in ``source`` (columns, ``_w``) to the node's delta. A view's rows come and go once each."""
    names = names_of(node.schema.names)
    weight = "sum(_w)"
    if is_view:
        key = ", ".join(node.schema.key)
        failure = f"sl_not_unique({literal_text(view)}, {literal_text(key)})"
        weight = f"CASE WHEN sum(_w) IN (1, -1) THEN sum(_w) ELSE {failure} END"
    return Step(
        f"INSERT INTO {delta(node.name)} SELECT {names}, {weight} FROM {source} GROUP BY {names} HAVING sum(_w) <> 0",
        "the net change of rows",
    )


def delta_table(parts: Parts, node: Node) -> None:
    """An intermediate's delta; the view's own is made by the runtime."""
    columns = [quote(column.name) for column in node.schema.columns]
    parts.temporary("d:" + node.name, [*columns, "_w INTEGER NOT NULL"], f"changes of {node.name}")


def bag_table(parts: Parts, node: Node) -> str:
    """Where changes of rows are collected before they are brought to their net effect."""
    columns = [quote(column.name) for column in node.schema.columns]
    return parts.temporary("b:" + node.name, [*columns, "_w"], "row changes before netting")


def keep_rows(parts: Parts, node: Node) -> None:
    """An intermediate's own table, with an index by which its rows are found and replaced."""
    columns = ", ".join(f"{quote(column.name)} {column.type.sqlite}" for column in node.schema.columns)
    key = replaced_by(node)
    parts.persistent(node.name, f"({columns}) STRICT", f"rows of {node.name}")
    if not key:
        return
    parts.state.append(
        Step(
            f"CREATE INDEX IF NOT EXISTS main.{quote('i:' + node.name)} ON {quote(node.name)}({names_of(key)})",
            f"finds rows of {node.name} by {', '.join(key)}",
        )
    )


def replaced_by(node: Node) -> tuple[str, ...]:
    """The columns by which an intermediate's rows are replaced."""
    if isinstance(node.shape, Over):
        return node.shape.partition_columns
    return node.shape.anchor_columns if isinstance(node.shape, Outer) else node.schema.key


def apply_delta(parts: Parts, node: Node) -> None:
    """Brings an intermediate's table to its new rows: rows of equal key are replaced one by one."""
    names, key = node.schema.names, node.schema.key
    same = " AND ".join(f"n.{quote(part)} IS d.{quote(part)}" for part in key) or "1"
    parts.apply.append(
        Step(
            f"DELETE FROM {table(node.name)} WHERE rowid IN (SELECT n.rowid FROM {delta(node.name)} AS d "
            f"CROSS JOIN {table(node.name)} AS n WHERE d._w < 0 AND {same})",
            f"remove changed rows of {node.name}",
        )
    )
    parts.apply.append(
        Step(
            f"INSERT INTO {table(node.name)} SELECT {names_of(names)} FROM {delta(node.name)} WHERE _w > 0",
            f"add changed rows of {node.name}",
        )
    )


def note(parts: Parts, found: Sequence[Term]) -> None:
    for term in found:
        parts.indexes.extend(term.indexes)
        parts.scans.extend(term.scans)


def project(node: Node, shape: Project, *, is_view: bool, view: str) -> Parts:
    """Filter, project, inner join and UNION ALL: the delta of the join is the delta of the view."""
    parts = Parts()
    if not is_view:
        delta_table(parts, node)
    if not is_view and not node.virtual:
        keep_rows(parts, node)
        apply_delta(parts, node)
    changes = [
        (relation, term, columns)
        for rows, columns in shape.branches
        for relation in rows.relations
        for term in terms(rows, relation)
    ]
    single = len(changes) == 1
    plain = net_already(node, shape)
    bag = "" if single else bag_table(parts, node)
    for relation, term, columns in changes:
        note(parts, [term])
        change = f"SELECT {named(node.schema.names, columns)}, {term.weight} AS _w {term.source}"
        if single and relation in plain:
            parts.on(relation, Step(f"INSERT INTO {delta(node.name)} {change}", "the change of rows"))
        elif single:
            parts.on(relation, net(node, f"({change})", is_view=is_view, view=view))
        else:
            for step in _collected(node, relation, change, bag, plain):
                parts.on(relation, step)
    if not single:
        netted = net(node, bag, is_view=is_view, view=view)
        parts.finish.append(replace(netted, only_if=f"EXISTS (SELECT 1 FROM {bag})"))
    _fill_project(parts, node, shape, is_view=is_view)
    for rows, _ in shape.branches:
        describe_rows(parts, rows)
    return parts


def net_already(node: Node, shape: Project) -> set[str]:
    """The relations whose changes, where no other one has any, come to the node without a pair that cancels out: a row of theirs is one row of
    the node at most, and all its columns are shown, so that a row that changed there has changed here."""
    if len(shape.branches) != 1 or shape.key is None or node.schema.key != shape.key:
        return set()
    [(rows, columns)] = shape.branches
    is_plain = rows.sign == 1 and all(
        one.relation and one.kind == "inner" and not one.computed and one.schema.key
        for one in rows.occurrences
    )
    if not is_plain or len(rows.relations) != len(rows.occurrences):
        return set()
    shown = {typed.column for _, typed in columns if typed.column is not None}
    return {
        one.relation
        for one in rows.occurrences
        if all((one.alias, name) in shown for name in one.schema.names)
    }


def _collected(node: Node, relation: str, change: str, bag: str, plain: set[str]) -> list[Step]:
    """Collects the changes of rows that several relations bring about. Netting sorts them all; that is left out in ticks in which one
    relation alone brings some, which are net already: those go straight to the delta, and join the others when some others come."""
    why = f"rows that a change of {relation} adds or takes"
    if not plain:
        return [Step(f"INSERT INTO {bag} {change}", why)]
    target, names = delta(node.name), names_of(node.schema.names)
    has_others, has_some = f"EXISTS (SELECT 1 FROM {target})", f"EXISTS (SELECT 1 FROM {bag})"
    moved = [
        Step(
            f"INSERT INTO {bag} SELECT {names}, _w FROM {target}", "not the only change of rows", has_others
        ),
        Step(f"DELETE FROM {target}", "not the only change of rows", has_others),
    ]
    if relation not in plain:
        return [*moved, Step(f"INSERT INTO {bag} {change}", why)]
    return [
        *moved,
        Step(f"INSERT INTO {bag} {change}", why, has_some),
        Step(f"INSERT INTO {target} {change}", f"{why}, the first ones", f"NOT {has_some}"),
    ]


def _fill_project(parts: Parts, node: Node, shape: Project, *, is_view: bool) -> None:
    to_delta = is_view or node.virtual
    target = delta(node.name) if to_delta else table(node.name)
    wholes = [(join(rows, []), columns) for rows, columns in shape.branches]
    if all(term.weight == "1" for term, _ in wholes):
        weight = ", 1" if to_delta else ""
        for term, columns in wholes:
            filled = f"INSERT INTO {target} SELECT {selected(columns)}{weight} {term.source}"
            parts.backfill.append(Step(filled, f"all rows of {node.name}"))
        return
    names = node.schema.names
    changes = " UNION ALL ".join(
        f"SELECT {named(names, columns)}, {term.weight} AS _w {term.source}" for term, columns in wholes
    )
    listed = names_of(names)
    weight = ", sum(_w)" if to_delta else ""
    filled = (
        f"INSERT INTO {target} SELECT {listed}{weight} FROM ({changes}) GROUP BY {listed} HAVING sum(_w) <> 0"
    )
    parts.backfill.append(Step(filled, f"all rows of {node.name}"))


def named(names: Sequence[str], columns: Sequence[tuple[str, Typed]]) -> str:
    """Columns as a SELECT list under other names."""
    return ", ".join(f"{typed.sql} AS {quote(name)}" for name, (_, typed) in zip(names, columns, strict=True))


def describe_rows(parts: Parts, rows: Rows) -> None:
    """The levels of a join, its filters and its projection."""
    for occurrence in rows.occurrences[1:]:
        if occurrence.beside:
            parts.levels.append(
                OperatorLevel("UNNEST", "delta", "each changed row, for each of its elements")
            )
        elif occurrence.single and not occurrence.relation:
            continue
        elif not occurrence.relation:
            parts.levels.append(
                OperatorLevel("WINDOWS", "delta", "each changed row, for each of its windows")
            )
        elif occurrence.kind == "inner":
            cost = "one index look-up for each changed row, on either side"
            if occurrence.relation in parts.scans:
                cost = "no equality to look up by: each change reads a table whole"
            parts.levels.append(OperatorLevel(f"JOIN {occurrence.relation}", "delta", cost))
    if any(len(one.refs) < 2 or one.test not in ("=", "IS") for one in rows.filters):
        parts.levels.append(OperatorLevel("FILTER", "delta", "each changed row once"))
    parts.levels.append(OperatorLevel("PROJECT", "delta", "each changed row once"))


# -- LEFT JOIN ---------------------------------------------------------------------------------------------------------


def outer(node: Node, shape: Outer, *, is_view: bool, view: str) -> Parts:
    """LEFT JOINs: the anchor rows that a change touches are found by their keys, and what the query makes of them is replaced."""
    parts = Parts()
    rows = shape.rows
    anchor = rows.occurrence(shape.anchor)
    # Equal rows of an anchor without a key have a number each; they are recomputed together.
    key = (anchor.schema.key or anchor.schema.names)[: len(shape.anchor_columns)]
    touched = parts.temporary("k:" + node.name, [quote(part) for part in key], "keys of touched rows")
    bag = bag_table(parts, node)
    if is_view:
        parts.indexes.extend(index_for(node.schema, shape.anchor_columns))
    else:
        delta_table(parts, node)
        keep_rows(parts, node)
    for occurrence in (one for one in rows.occurrences if one.relation):
        term = _touching(rows, shape.anchor, occurrence.alias)
        note(parts, [term])
        found = ", ".join(f"{shape.anchor}.{quote(part)}" for part in key)
        parts.on(
            occurrence.relation,
            Step(
                f"INSERT INTO {touched} SELECT DISTINCT {found} {term.source}",
                f"rows that a change of {occurrence.relation} touches",
            ),
        )
    distinct = f"(SELECT DISTINCT {names_of(key)} FROM {touched}) AS k"
    same = [
        f"n.{quote(name)} IS k.{quote(part)}" for name, part in zip(shape.anchor_columns, key, strict=True)
    ]
    old = ", ".join(f"n.{quote(name)}" for name in node.schema.names)
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT {old}, -1 FROM {distinct} CROSS JOIN {table(node.name)} AS n WHERE {' AND '.join(same)}",
            "the touched rows as they were",
        )
    )
    look_up = " AND ".join(f"{shape.anchor}.{quote(part)} IS k.{quote(part)}" for part in key)
    parts.finish.append(
        Step(
            f"INSERT INTO {bag} SELECT {selected(shape.columns)}, 1 {_recomputed(parts, rows, shape.anchor, distinct, look_up)}",
            "the touched rows as they are now",
        )
    )
    parts.finish.append(net(node, bag, is_view=is_view, view=view))
    if not is_view:
        replace_touched(parts, node, distinct, same, bag)
    target = (
        f"{delta(node.name)} SELECT {selected(shape.columns)}, 1"
        if is_view
        else f"{table(node.name)} SELECT {selected(shape.columns)}"
    )
    parts.backfill.append(
        Step(
            f"INSERT INTO {target} {_recomputed(parts, rows, shape.anchor, '', '')}",
            f"all rows of {node.name}",
        )
    )
    for occurrence in rows.occurrences:
        if occurrence.alias != shape.anchor and occurrence.relation:
            name = "LEFT JOIN" if occurrence.kind == "left" else "JOIN"
            cost = f"each touched row of {anchor.relation} is joined again"
            if occurrence.relation in parts.scans:
                cost = f"no equality to look up by: a change touches every row of {anchor.relation}"
            parts.levels.append(OperatorLevel(f"{name} {occurrence.relation}", "group", cost))
    return parts


def replace_touched(parts: Parts, node: Node, distinct: str, same: Sequence[str], bag: str) -> None:
    parts.apply.append(
        Step(
            f"DELETE FROM {table(node.name)} WHERE rowid IN (SELECT n.rowid FROM {distinct} CROSS JOIN {table(node.name)} AS n "
            f"WHERE {' AND '.join(same)})",
            f"remove touched rows of {node.name}",
        )
    )
    parts.apply.append(
        Step(
            f"INSERT INTO {table(node.name)} SELECT {names_of(node.schema.names)} FROM {bag} WHERE _w > 0",
            f"add touched rows of {node.name}",
        )
    )


def _touching(rows: Rows, anchor: str, changed: str) -> Term:
    """Anchor rows that a delta of ``changed`` may touch: found through equalities that every row of the answer obeys."""
    if anchor == changed:
        return Term(f"FROM {delta(rows.occurrence(changed).relation)} AS {changed}", "1")
    left = {one.alias for one in rows.occurrences if one.kind == "left"}
    # A condition over another LEFT JOIN's table helps only if it cannot hold where that table has no row.
    by_owner = {
        one.alias: [part for part in one.on if part.test == "=" or not part.refs & (left - {one.alias})]
        for one in rows.occurrences
    }
    wanted = {changed, anchor}
    conditions: list[Typed] = []
    waiting = [changed]
    seen: set[str] = set()
    while waiting:
        alias = waiting.pop()
        if alias in seen:
            continue
        seen.add(alias)
        mine = by_owner[alias] if alias in left else _inner_conditions(rows, left)
        for part in mine:
            if part not in conditions:
                conditions.append(part)
                waiting.extend(part.refs - seen)
                wanted |= part.refs
    reduced = Rows([one for one in rows.occurrences if one.alias in wanted], conditions)
    return join(reduced, [changed], only=wanted)


def _inner_conditions(rows: Rows, left: set[str]) -> list[Typed]:
    """Filters over inner occurrences alone: they hold for every row of the answer, whatever the LEFT JOINs found."""
    return [one for one in rows.filters if not one.refs & left]


def _recomputed(parts: Parts, rows: Rows, anchor: str, touched: str, look_up: str) -> str:
    """The FROM and WHERE of the query, restricted to touched keys if there are some. Inner occurrences come first, from the
    anchor on; LEFT JOINs follow in the order of the text."""
    inner = Rows([one for one in rows.occurrences if one.kind == "inner"], [])
    ordered = sorted(inner.occurrences, key=lambda one: one.alias != anchor)
    whole = join(
        Rows(ordered, _inner_conditions(rows, {one.alias for one in rows.occurrences if one.kind == "left"})),
        [],
    )
    note(parts, [whole])
    text = whole.source.split(" WHERE ", 1)[0]
    if touched:
        text = text.replace("FROM ", f"FROM {touched} CROSS JOIN ", 1)
    known = {one.alias for one in ordered}
    for occurrence in rows.occurrences:
        if occurrence.kind == "left":
            condition = " AND ".join(one.sql for one in occurrence.on) or "1"
            text += f" LEFT JOIN {table(occurrence.relation)} AS {occurrence.alias} ON {condition}"
            _note_lookup(parts, rows, occurrence.alias, known)
            known.add(occurrence.alias)
    conditions = ([look_up] if look_up else []) + [one.sql for one in rows.filters]
    return text + (" WHERE " + " AND ".join(conditions) if conditions else "")


def _note_lookup(parts: Parts, rows: Rows, alias: str, known: set[str]) -> None:
    from springline.sql.rows import lookup_columns

    occurrence = rows.occurrence(alias)
    columns = lookup_columns(alias, known, occurrence.on)
    if columns:
        parts.indexes.extend(index_for(occurrence.schema, columns))
    else:
        parts.scans.append(occurrence.relation)
