"""Which queries have other rows on Flink; of each the smallest scenario, and both results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from springline.core.schema import TableSchema
from springline.runtime.embedded.changing import ViewDefinition, compile_all
from springline.sql.compile import compile_view
from tests.cluster.feeding import Row
from tests.cluster.law_runs import Outcome
from tests.cluster.law_sample import Sampled, with_inputs
from tests.law.check import comparable


@dataclass(frozen=True)
class Difference:
    """A view after the first tick at which its rows are others. As a text it is what one needs to see why."""

    case: Sampled
    view: str
    tick: int
    schema: TableSchema
    embedded: list[Row]
    flink: list[Row]

    @property
    def needed(self) -> list[tuple[str, str]]:
        """The view behind those that it reads."""
        names = [name for name, _ in self.case.case.views]
        place = names.index(self.view)
        return with_inputs(self.case.case.views[:place], self.case.case.views[place])

    @property
    def read(self) -> list[TableSchema]:
        """The tables that these read."""
        return [
            one for one in self.case.case.tables if any(_names(one.name) in text for _, text in self.needed)
        ]

    def __str__(self) -> str:
        statements = {one.about: one.sql for one in self.case.job.statements if "TEMPORARY VIEW" in one.sql}
        lines = [f"{self.case.name} {self.view}, after tick {self.tick + 1}"]
        for table in self.read:
            columns = (f"{one.name} {one.type}{'' if one.nullable else ' NOT NULL'}" for one in table.columns)
            lines.append(f"table {table.name} ({', '.join(columns)}, PRIMARY KEY ({', '.join(table.key)}))")
        lines += [f"view {name}: {text}" for name, text in self.needed]
        lines += [f"Flink: {statements[name]}" for name, _ in self.needed]
        names = {one.name for one in self.read}
        for number, changes in enumerate(self.case.ticks[: self.tick + 1], start=1):
            lines += [
                f"tick {number} {table}: {old} -> {new}" for table, old, new in changes if table in names
            ]
        lines.append("columns  " + ", ".join(f"{one.name} {one.type}" for one in self.schema.columns))
        lines += [f"embedded {row}" for row in comparable(self.embedded, self.schema)]
        lines += [f"Flink    {row}" for row in comparable(self.flink, self.schema)]
        return "\n".join(lines)


def differences(cases: Iterable[Sampled], outcome: Outcome) -> Iterator[Difference]:
    """The first difference of each view that ran."""
    for one in cases:
        schemas = _schemas(one)
        left = {name for name in schemas if not outcome.failed.keys() & {(one.name, name), (one.name, "*")}}
        for tick, embedded in enumerate(one.expected()):
            for view in sorted(left):
                schema, flink = schemas[view], outcome.ticks[tick].get((one.name, view))
                if flink is None:
                    left.remove(view)
                elif comparable(embedded[view], schema) != comparable(flink, schema):
                    left.remove(view)
                    yield Difference(one, view, tick, schema, embedded[view], flink)


def _schemas(one: Sampled) -> dict[str, TableSchema]:
    """Of the case's views."""
    definitions = [ViewDefinition(*view) for view in one.case.views]
    tables = {table.name: table for table in one.case.tables}
    found = compile_all(definitions, tables, lambda view, known: compile_view(view.name, view.text, known))
    return {name: program.schema for name, program in found.programs.items()}


def _names(table: str) -> str:
    return ".".join(f"`{part}`" for part in table.split("."))
