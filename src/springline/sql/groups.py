"""The statements that maintain GROUP BY and DISTINCT.

A tick costs a few statements over the touched groups: the rows' changes are summed for each group (``u:``) and for each
value of MIN, MAX and COUNT DISTINCT (``m1:``); the groups' old rows are taken out, the state is moved on, their new rows are
put in, and the two are netted. Sums are linear in the weights, so the state never needs the rows (OpenIVM, SIGMOD 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

from springline.sql.aggregates import STATE_MARK, Multiset, Slots
from springline.sql.dead_letters import COLUMNS, failed_groups, leaves_rows_out
from springline.sql.maintain import (
    Parts,
    apply_delta,
    bag_table,
    delta_table,
    describe_rows,
    keep_rows,
    net,
    note,
    selected,
)
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import delta, join, names_of, table, terms
from springline.sql.shapes import Aggregate, Closing, Node
from springline.sql.typed import quote
from springline.sql.windows_close import (
    accepted,
    closing_level,
    collect_late,
    ending_groups,
    ends_index,
    forget_groups,
    shown_groups,
)


def aggregate(node: Node, shape: Aggregate, *, is_view: bool, view: str) -> Parts:
    """GROUP BY with its aggregates and HAVING, or DISTINCT."""
    return _Group(node, shape, is_view=is_view, view=view).parts


class _Group:
    def __init__(self, node: Node, shape: Aggregate, *, is_view: bool, view: str) -> None:
        self.parts = Parts()
        self.node, self.shape, self.slots = node, shape, shape.slots
        self.is_view, self.view = is_view, view
        self.closing = shape.closing
        self.prefix = f"s:{node.name}" if is_view else node.name
        self.keys = ", ".join(self.slots.group_names)
        # Windows that close and bags bring several rows of a group into one tick; other groups have one before and one after it.
        self.paired = bool(self.slots.groups) and self.closing is None and not self.shape.copies
        self.failed = failed_groups(self.slots, shape.having)
        if self.failed[0]:
            self.parts.failed = self.parts.temporary(
                "e:" + node.name, [*COLUMNS, "_w"], "groups that are left out"
            )
        self._tables()
        if not is_view:
            delta_table(self.parts, node)
        if not is_view and not node.virtual:
            self._keep()
        self._changes()
        self._finish()
        self._backfill()
        self._levels()

    # -- tables ----------------------------------------------------------------------------------------------------

    def _tables(self) -> None:
        slots = self.slots
        keys = slots.group_definitions()
        columns = [
            f"{slot.name} {slot.sqlite}{'' if slot.nullable else ' NOT NULL'}"
            for slot in slots.slots.values()
        ]
        # An INTEGER key alone is the row's number in the file: found and overwritten fastest.
        options = (
            "STRICT"
            if [one.split(" ", 1)[1] for one in keys] == ["INTEGER NOT NULL"]
            else "STRICT, WITHOUT ROWID"
        )
        definition = (
            f"({', '.join([*keys, 'n INTEGER NOT NULL', *columns])}, PRIMARY KEY({self.keys})) {options}"
        )
        self.state = self.parts.persistent(self.prefix + ":g", definition, "the groups' counts and sums")
        scratch = [*slots.group_names, "n", *slots.slots]
        self.touched = self.parts.temporary("u:" + self.node.name, scratch, "changes of groups")
        if self.paired:
            outputs = [quote(column.name) for column in self.node.schema.columns]
            numbered = ["_group INTEGER PRIMARY KEY", *outputs]
            self.bag = self.parts.temporary("b:" + self.node.name, numbered, "groups as they were")
            self.after = self.parts.temporary("n:" + self.node.name, numbered, "groups as they are")
        else:
            self.bag = self.after = bag_table(self.parts, self.node)
        if self.closing is not None:
            self.parts.state.append(ends_index(self.prefix + ":g", self.closing))
        self.multisets: list[tuple[Multiset, str, str]] = []
        for one in slots.multisets.values():
            kept = self.parts.persistent(
                f"{self.prefix}:m{one.number}",
                f"({', '.join(keys)}, v {one.sqlite} NOT NULL, n INTEGER NOT NULL, PRIMARY KEY({self.keys}, v)) STRICT, WITHOUT ROWID",
                "the groups' values in order",
            )
            primary = f"PRIMARY KEY({self.keys}, v)"
            scratch = [f"{name} NOT NULL" for name in slots.group_names] + ["v NOT NULL", "n", primary]
            changed = self.parts.temporary(f"m{one.number}:{self.node.name}", scratch, "changes of values")
            self.multisets.append((one, kept, changed))

    def _keep(self) -> None:
        """An intermediate's own table. Under a key without NULLs a group's row changes in place."""
        node, key = self.node, self.node.schema.key
        if not self.paired or not key or any(node.schema.column(part).nullable for part in key):
            keep_rows(self.parts, node)
            apply_delta(self.parts, node)
            return
        columns = [f"{quote(column.name)} {column.type.sqlite}" for column in node.schema.columns]
        keys = names_of(key)
        definition = f"({', '.join([*columns, f'PRIMARY KEY({keys})'])}) STRICT"
        rows = self.parts.persistent(node.name, definition, f"rows of {node.name}")
        gone = ", ".join(f"a.{quote(part)}" for part in key)
        self.parts.apply.append(
            Step(
                f"DELETE FROM {rows} WHERE ({keys}) IN (SELECT {gone} FROM {self.bag} AS a "
                f"LEFT JOIN {self.after} AS b ON b._group = a._group WHERE b._group IS NULL)",
                f"remove rows of {node.name} that are gone",
            )
        )
        others = [name for name in node.schema.names if name not in key]
        moved = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in others)
        self.parts.apply.append(
            Step(
                f"INSERT INTO {rows} SELECT {names_of(node.schema.names)} FROM {delta(node.name)} WHERE _w > 0 "
                f"ON CONFLICT({keys}) DO {f'UPDATE SET {moved}' if others else 'NOTHING'}",
                f"add changed rows of {node.name}",
            )
        )

    # -- what changes ----------------------------------------------------------------------------------------------

    def _row_change(self, source: str, weight: str) -> str:
        """(group, arguments, weight) of each changed row."""
        slots = self.slots
        parts = [
            f"{value} AS {name}" for value, name in zip(slots.group_values(), slots.group_names, strict=True)
        ]
        parts += [f"{text} AS a{index}" for index, text in enumerate(slots.arguments)]
        return f"SELECT {', '.join(parts)}, {weight} AS _w {source}"

    def _changes(self) -> None:
        branches = self.shape.branches
        if self.closing is not None:
            if not self.closing.session:
                collect_late(self.parts, branches, self.closing, node=self.node.name, view=self.view)
            branches = [accepted(rows, self.closing, self.view) for rows in branches]
        changes = [
            (relation, term)
            for rows in branches
            for relation in rows.relations
            for term in terms(rows, relation)
        ]
        note(self.parts, [term for _, term in changes])
        if len(changes) == 1:
            [(relation, term)] = changes
            source = f"({self._row_change(term.source, term.weight)})"
            for step in self._summed(source):
                self.parts.on(relation, step)
            return
        columns = [
            *self.slots.group_names,
            *(f"a{index}" for index in range(len(self.slots.arguments))),
            "_w",
        ]
        collected = self.parts.temporary("t:" + self.node.name, columns, "row changes")
        for relation, term in changes:
            change = self._row_change(term.source, term.weight)
            self.parts.on(
                relation,
                Step(f"INSERT INTO {collected} {change}", f"rows that a change of {relation} adds or takes"),
            )
        self.parts.finish.extend(self._summed(collected))

    def _summed(self, source: str) -> list[Step]:
        """Row changes summed for each group and each value."""
        steps: list[Step] = []
        for one, _, changed in self.multisets:
            value = f"a{one.argument}"
            steps.append(
                Step(
                    f"INSERT INTO {changed} SELECT {self.keys}, {one.value} AS v, sum(_w) FROM {source} "
                    f"WHERE {value} IS NOT NULL GROUP BY {self.keys}, {one.value} HAVING sum(_w) <> 0",
                    "changes of each group's values",
                )
            )
        sums = ", ".join(["sum(_w)", *(slot.step for slot in self.slots.slots.values())])
        steps.append(
            Step(
                f"INSERT INTO {self.touched} SELECT {self.keys}, {sums} FROM {source} GROUP BY {self.keys}",
                "changes of each group",
            )
        )
        return steps

    # -- finish ----------------------------------------------------------------------------------------------------

    def _outputs(
        self, weight: str, source: str, ended: str = "", *, failed: bool = False, first: str = ""
    ) -> str:
        """The rows that groups have at this moment, read from the state; of windows that close, those that are over (``ended``:
        another condition for that). ``failed``: the groups that are left out instead."""
        columns, having = self.failed if failed else (self.shape.columns, self.shape.having)
        conditions = ["s.n > 0"] if self.slots.groups else []
        if self.closing is not None:
            conditions.append(ended or shown_groups(self.closing, self.view))
        conditions += [one.sql for one in having]
        if self.shape.copies:
            source += f" CROSS JOIN {series(self.shape.copies)} AS e"
        text = f"SELECT {first}{selected(columns)}{weight} {source}"
        text += " WHERE " + " AND ".join(conditions) if conditions else ""
        return STATE_MARK.sub(lambda found: table(f"{self.prefix}:m{found[1]}"), text)

    def _finish(self) -> None:
        same = " AND ".join(f"s.{name} = u.{name}" for name in self.slots.group_names)
        touched = f"FROM {self.touched} AS u CROSS JOIN {self.state} AS s ON {same}"
        finish = self.parts.finish
        finish.extend(self._distinct_counts())
        group, minus, plus = ("u.rowid, ", "", "") if self.paired else ("", ", -1", ", 1")
        old = self._kept_rows() or self._outputs(minus, touched, first=group)
        finish.append(Step(f"INSERT INTO {self.bag} {old}", "the touched groups as they were"))
        finish.extend(self._left_out(", -1", touched, only_if=leaves_rows_out(self.view)))
        finish.extend(self._move_state())
        finish.append(
            Step(
                f"INSERT INTO {self.after} {self._outputs(plus, touched, first=group)}",
                "the touched groups as they are now",
            )
        )
        # Where every touched group has a row now, none is left out, and none is without rows.
        missing = (
            f"(SELECT count(*) FROM {self.touched}) > (SELECT count(*) FROM {self.after})"
            if self.paired
            else ""
        )
        finish.extend(self._left_out(", 1", touched, only_if=missing))
        if self.slots.groups:
            finish.append(
                Step(
                    f"DELETE FROM {self.state} WHERE ({self.keys}) IN (SELECT {self.keys} FROM {self.touched} WHERE n <= 0) AND n = 0",
                    "forget groups without rows",
                    missing,
                )
            )
        if self.paired:
            finish.append(
                self._differing(self.bag, self.after, -1, "groups that went, or were other than now")
            )
            finish.append(
                self._differing(self.after, self.bag, 1, "groups that came, or are other than before")
            )
        else:
            finish.append(net(self.node, self.bag, is_view=self.is_view, view=self.view))
        if self.closing is not None:
            self._close(self.closing)

    def _kept_rows(self) -> str:
        """The rows that groups had, from the node's own table, which is not yet brought forward; empty where its key is not the group's."""
        node, slots = self.node, self.slots
        shown = {typed.sql: name for name, typed in self.shape.columns}
        places = [shown.get(f"s.{name}") for name in slots.group_names]
        if not self.paired or node.virtual or set(places) != set(node.schema.key):
            return ""
        names = ", ".join(f"a.{quote(name)}" for name in node.schema.names)
        same = " AND ".join(
            f"a.{quote(place or '')} = u.{name}"
            for place, name in zip(places, slots.group_names, strict=True)
        )
        return (
            f"SELECT u.rowid, {names} FROM {self.touched} AS u CROSS JOIN {table(node.name)} AS a ON {same}"
        )

    def _differing(self, these: str, others: str, weight: int, why: str) -> Step:
        """Rows of ``these`` that their groups do not have in ``others``."""
        names = [quote(column.name) for column in self.node.schema.columns]
        same = " AND ".join(f"a.{name} IS b.{name}" for name in names)
        return Step(
            f"INSERT INTO {delta(self.node.name)} SELECT {', '.join(f'a.{name}' for name in names)}, {weight} "
            f"FROM {these} AS a LEFT JOIN {others} AS b ON b._group = a._group WHERE b._group IS NULL OR NOT ({same})",
            why,
        )

    def _left_out(self, weight: str, source: str, ended: str = "", *, only_if: str = "") -> list[Step]:
        """Groups over whose result an expression fails."""
        if not self.parts.failed:
            return []
        found = self._outputs(weight, source, ended, failed=True)
        return [Step(f"INSERT INTO {self.parts.failed} {found}", "groups that are left out", only_if)]

    def _close(self, closing: Closing) -> None:
        """Windows that end with this tick appear, and those that take no more changes are forgotten."""
        source = f"FROM {self.state} AS s"
        ended = self._outputs(", 1", source, ending_groups(closing, self.view))
        self.parts.closing.append(Step(f"INSERT INTO {self.bag} {ended}", "windows that are over now"))
        self.parts.closing.extend(self._left_out(", 1", source, ending_groups(closing, self.view)))
        keyed = [kept for _, kept, _ in self.multisets]
        forget_groups(self.parts, self.state, keyed, self.keys, closing, self.view)

    def _distinct_counts(self) -> list[Step]:
        """COUNT DISTINCT changes where a value's count leaves or reaches zero."""
        steps: list[Step] = []
        for one, kept, changed in self.multisets:
            if one.counted is None:
                continue
            values = " AND ".join(f"v.{name} = c.{name}" for name in [*self.slots.group_names, "v"])
            groups = " AND ".join(
                f"c.{name} = {self.touched_alias}.{name}" for name in self.slots.group_names
            )
            steps.append(
                Step(
                    f"UPDATE {self.touched} AS {self.touched_alias} SET {one.counted} = (SELECT "
                    f"ifnull(sum((ifnull(v.n, 0) + c.n > 0) - (ifnull(v.n, 0) > 0)), 0) FROM {changed} AS c "
                    f"LEFT JOIN {kept} AS v ON {values} WHERE {groups})",
                    "values that came or went",
                )
            )
        return steps

    touched_alias = "u"

    def _move_state(self) -> list[Step]:
        steps: list[Step] = []
        names = ", ".join([*self.slots.group_names, "n", *self.slots.slots])
        moved = ["n = n + excluded.n"]
        for slot in self.slots.slots.values():
            value = slot.merge.replace("{old}", slot.name).replace("{new}", f"excluded.{slot.name}")
            moved.append(f"{slot.name} = {value}")
        steps.append(
            Step(
                f"INSERT INTO {self.state}({names}) SELECT {names} FROM {self.touched} WHERE 1 "
                f"ON CONFLICT({self.keys}) DO UPDATE SET {', '.join(moved)}",
                "add the changes to the groups",
            )
        )
        for _, kept, changed in self.multisets:
            columns = f"{self.keys}, v"
            steps.append(
                Step(
                    f"INSERT INTO {kept}({columns}, n) SELECT {columns}, n FROM {changed} WHERE 1 "
                    f"ON CONFLICT({columns}) DO UPDATE SET n = n + excluded.n",
                    "add the changes to the values",
                )
            )
            steps.append(
                Step(
                    f"DELETE FROM {kept} WHERE ({columns}) IN (SELECT {columns} FROM {changed} WHERE n < 0) AND n = 0",
                    "forget values without rows",
                )
            )
        return steps

    # -- backfill and explanation ----------------------------------------------------------------------------------

    def _backfill(self) -> None:
        backfill = self.parts.backfill
        if not self.slots.groups:
            empty = ", ".join(["0", "0", *(slot.empty for slot in self.slots.slots.values())])
            backfill.append(Step(f"INSERT INTO {self.state} VALUES ({empty})", "the one group, without rows"))
        every = [join(rows, []) for rows in self.shape.branches]
        wholes = [self._row_change(term.source, term.weight) for term in every]
        backfill.extend(self._summed(f"({' UNION ALL '.join(wholes)})"))
        backfill.extend(self._distinct_counts())
        backfill.extend(self._move_state())
        if self.slots.groups and any(term.weight != "1" for term in every):
            backfill.append(Step(f"DELETE FROM {self.state} WHERE n = 0", "forget groups without rows"))
        target = f"{delta(self.node.name)} {self._outputs(', 1', f'FROM {self.state} AS s')}"
        if not self.is_view and not self.node.virtual:
            target = f"{table(self.node.name)} {self._outputs('', f'FROM {self.state} AS s')}"
        backfill.append(Step(f"INSERT INTO {target}", f"all rows of {self.node.name}"))
        backfill.extend(self._left_out(", 1", f"FROM {self.state} AS s"))

    def _levels(self) -> None:
        for rows in self.shape.branches:
            describe_rows(self.parts, rows)
        if self.closing is not None:
            self.parts.levels.append(closing_level(self.closing))
        self.parts.levels.extend(levels(self.slots, not all(one.failure for one in self.shape.having)))


def levels(slots: Slots, has_having: bool) -> Sequence[OperatorLevel]:
    """How each aggregate is maintained."""
    made: list[OperatorLevel] = []
    if not slots.calls:
        made.append(OperatorLevel("DISTINCT", "delta", "a weighted count for each row"))
    for call in slots.calls:
        if call.collected is not None and call.collected.function not in ("sl_first", "sl_last"):
            made.append(OperatorLevel(call.text, "group", "the values of each touched group are read again"))
        elif slots.only_comes and call.name in ("MIN", "MAX"):
            made.append(OperatorLevel(call.text, "delta", "a comparison with each changed row"))
        elif call.name in ("MIN", "MAX", "FIRST_VALUE", "LAST_VALUE"):
            made.append(OperatorLevel(call.text, "group", "one index look-up for each touched group"))
        elif call.distinct:
            made.append(OperatorLevel(call.text, "delta", "one index look-up for each changed value"))
        else:
            made.append(OperatorLevel(call.text, "delta", "a sum over the changed rows"))
    if has_having:
        made.append(OperatorLevel("HAVING", "delta", "each touched group once"))
    return made


def series(count: str) -> str:
    """A table with ``count`` rows, numbered from 0 in its column ``key``."""
    return f"json_each('[' || substr(replace(hex(zeroblob({count})), '00', ',0'), 2) || ']')"
