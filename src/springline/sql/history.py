"""The versions of a table's rows, kept as they are seen. What a temporal join reads where an update replaces the version before.

A row that comes begins a version at its event time; one of the same key and time takes that version's place. A row that goes, with none of its
key coming in its stead, ends the version at the largest event time that the table has shown. What was replaced within the same tick was never
seen. The versions begin with the rows that are there when the view is made.
"""

from __future__ import annotations

from springline.sql.maintain import Parts, apply_delta, bag_table, delta_table, keep_rows, net
from springline.sql.program import OperatorLevel, Step
from springline.sql.rows import delta, names_of, table
from springline.sql.shapes import History, Node
from springline.sql.typed import literal_text, quote
from springline.sql.windows import LARGEST_TIME


def maintain_history(node: Node, shape: History, *, view: str) -> Parts:
    """An intermediate that holds versions with the time at which they end."""
    return _History(node, shape, view).parts


class _History:
    def __init__(self, node: Node, shape: History, view: str) -> None:
        self.parts = Parts()
        self.node, self.shape = node, shape
        self.columns = [quote(name) for name in shape.relation.names]
        self.key = [quote(name) for name in shape.relation.key]
        self.begins = quote(shape.begins)
        self.names = ", ".join(self.columns)
        delta_table(self.parts, node)
        keep_rows(self.parts, node)
        types = [f"{quote(one.name)} {one.type.sqlite}" for one in shape.relation.columns]
        self.seen = self.parts.persistent(
            node.name + ":h", f"({', '.join(types)}, _ends INTEGER) STRICT", "versions that were seen"
        )
        index = quote("i:" + node.name + ":h")
        on = f"{quote(node.name + ':h')}({names_of([*shape.relation.key, shape.begins])})"
        self.parts.state.append(
            Step(f"CREATE INDEX IF NOT EXISTS main.{index} ON {on}", "finds the versions of a key")
        )
        self.changed = self.parts.temporary("c:" + node.name, [*self.columns, "_w"], "row changes")
        self.touched = self.parts.temporary("k:" + node.name, self.key, "keys of touched rows")
        self.bag = bag_table(self.parts, node)
        self._finish(view)
        self._backfill()
        cost = "the versions of each touched key are written again"
        self.parts.levels.append(OperatorLevel(f"VERSIONS {shape.relation.name}", "group", cost))

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.{name} IS {other}.{name}" for name in self.key)

    def _timed(self, alias: str) -> str:
        return f"{alias}.{self.begins} BETWEEN -{LARGEST_TIME} AND {LARGEST_TIME}"

    def _finish(self, view: str) -> None:
        relation = self.shape.relation.name
        change = f"INSERT INTO {self.changed} SELECT {self.names}, _w FROM {delta(relation)}"
        self.parts.on(relation, Step(change, f"changes of {relation}"))
        keys = ", ".join(self.key)
        add = self.parts.finish.append
        add(
            Step(
                f"INSERT INTO {self.touched} SELECT DISTINCT {keys} FROM {self.changed}", "keys that changed"
            )
        )
        add(Step(f"INSERT INTO {self.bag} {self._rows('-1')}", "their versions as they were"))
        reached = f"(SELECT max(seen, now) FROM main._watermarks WHERE relation = {literal_text(relation)})"
        again = f"EXISTS (SELECT 1 FROM {self.changed} AS a WHERE a._w > 0 AND {self._same('a', 'c')} AND {self._timed('a')})"
        this = f"{self._same('h', 'c')} AND h.{self.begins} = c.{self.begins}"
        found = f"SELECT h.rowid FROM {self.changed} AS c CROSS JOIN {self.seen} AS h ON {this}"
        add(
            Step(
                f"UPDATE {self.seen} SET _ends = {reached} WHERE rowid IN ({found} WHERE c._w < 0 AND h._ends IS NULL AND NOT {again})",
                "versions that end with their row",
            )
        )
        add(
            Step(
                f"DELETE FROM {self.seen} WHERE rowid IN ({found} WHERE c._w > 0)",
                "versions that are replaced",
            )
        )
        add(
            Step(
                f"INSERT INTO {self.seen} SELECT {self.names}, NULL FROM {self.changed} AS c WHERE c._w > 0 AND {self._timed('c')}",
                "versions that begin",
            )
        )
        source = f"{self.touched} AS k CROSS JOIN {self.seen} AS h ON {self._same('h', 'k')}"
        add(
            Step(
                f"INSERT INTO {self.bag} SELECT {self._versions()}, 1 FROM {source}",
                "their versions as they are now",
            )
        )
        add(net(self.node, self.bag, is_view=False, view=view))
        apply_delta(self.parts, self.node)

    def _rows(self, weight: str) -> str:
        every = ", ".join(f"n.{quote(name)}" for name in self.node.schema.names)
        kept = f"{self.touched} AS k CROSS JOIN {table(self.node.name)} AS n ON {self._same('n', 'k')}"
        return f"SELECT {every}, {weight} FROM {kept}"

    def _versions(self) -> str:
        """The columns of the versions ``h``, and when each ends: with its row, or with the next version."""
        partition = ", ".join(f"h.{name}" for name in self.key)
        following = f"lead(h.{self.begins}) OVER (PARTITION BY {partition} ORDER BY h.{self.begins})"
        listed = ", ".join(f"h.{name}" for name in self.columns)
        return f"{listed}, min(ifnull(h._ends, {following}), ifnull({following}, h._ends))"

    def _backfill(self) -> None:
        relation = self.shape.relation.name
        add = self.parts.backfill.append
        rows = f"SELECT {self.names}, NULL FROM {table(relation)} AS c WHERE {self._timed('c')}"
        add(Step(f"INSERT INTO {self.seen} {rows}", f"the versions that {relation} has now"))
        source = f"{self.seen} AS h"
        add(
            Step(
                f"INSERT INTO {table(self.node.name)} SELECT {self._versions()} FROM {source}",
                "until when they are valid",
            )
        )
