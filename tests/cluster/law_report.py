"""What is said of a query whose rows on Flink are others: the smallest scenario of it, and both results."""

from __future__ import annotations

from springline.core.schema import TableSchema
from springline.runtime.embedded.changing import ViewDefinition, compile_all
from springline.sql.compile import compile_view
from tests.cluster.feeding import Row
from tests.cluster.law_sample import Sampled, with_inputs
from tests.law.check import comparable


def schemas(one: Sampled) -> dict[str, TableSchema]:
    """Of the case's views."""
    definitions = [ViewDefinition(*view) for view in one.case.views]
    tables = {table.name: table for table in one.case.tables}
    found = compile_all(definitions, tables, lambda view, known: compile_view(view.name, view.text, known))
    return {name: program.schema for name, program in found.programs.items()}


def reproduction(
    one: Sampled, view: str, schema: TableSchema, tick: int, embedded: list[Row], flink: list[Row]
) -> str:
    """Tables, queries, changes up to the tick, and both results."""
    [text] = [text for name, text in one.case.views if name == view]
    needed = with_inputs([each for each in one.case.views if each[0] < view], (view, text))
    read = [table for table in one.case.tables if any(_names(table.name) in query for _, query in needed)]
    lines = [f"{one.name} {view}, after tick {tick + 1}"]
    for table in read:
        columns = ", ".join(
            f"{each.name} {each.type}{'' if each.nullable else ' NOT NULL'}" for each in table.columns
        )
        lines.append(f"table {table.name}({columns}, PRIMARY KEY ({', '.join(table.key)}))")
    lines += [f"view {name}: {query}" for name, query in needed]
    statements = {each.about: each.sql for each in one.job.statements if "TEMPORARY VIEW" in each.sql}
    lines += [f"Flink: {statements[name]}" for name, _ in needed if name in statements]
    for number, changes in enumerate(one.ticks[: tick + 1], start=1):
        for table, old, new in changes:
            if any(table == each.name for each in read):
                lines.append(f"tick {number} {table}: {old} -> {new}")
    lines += [f"columns  {', '.join(f'{each.name} {each.type}' for each in schema.columns)}"]
    lines += [f"embedded {row}" for row in comparable(embedded, schema)]
    lines += [f"Flink    {row}" for row in comparable(flink, schema)]
    return "\n".join(lines)


def _names(table: str) -> str:
    return ".".join(f"`{part}`" for part in table.split("."))
