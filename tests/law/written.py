"""A failing case as a scenario file: what ``tests/scenarios`` runs, and what a person can read.

What each tick should have changed is computed from the batch queries alone, so the file fails as long as the fault is there. Where it
is DuckDB that disagrees, the last tick expects DuckDB's rows.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from springline.core.schema import TableSchema
from springline.core.types import Stored, store
from springline.runtime.embedded.tables import columns_of, create_relation, quote
from springline.sql import compile_view
from springline.sql.program import ViewProgram
from springline.testing.scenarios import SignedRow, cells, text_table
from springline.testing.sql_harness import SqlHarness
from tests.law.cases import Case, Change
from tests.law.check import net, ticks
from tests.law.user_functions import FUNCTIONS

FOLDER = Path(tempfile.gettempdir()) / "springline-law"


class PeerDiffers(AssertionError):
    """DuckDB gives other rows for a view; ``rows`` are those, in stored form."""

    def __init__(self, view: str, rows: Sequence[tuple[Stored, ...]], message: str) -> None:
        super().__init__(message)
        self.view, self.rows = view, rows


@contextlib.contextmanager
def reproduced(case: Case, cuts: Sequence[int], name: str) -> Iterator[None]:
    """Where the law fails inside, writes the case as a scenario file and says where it is. Hypothesis runs the smallest failing
    example last, so that is the one that stays in the file."""
    try:
        yield
    except Exception as error:
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{name}.md"
        differs = error if isinstance(error, PeerDiffers) else None
        with contextlib.suppress(Exception):
            path.write_text(scenario(case, cuts, name.replace("_", " "), str(error), differs))
            error.add_note(f"As a scenario, to be copied into tests/scenarios: {path}")
        raise


def scenario(
    case: Case, cuts: Sequence[int], title: str, reason: str, differs: PeerDiffers | None = None
) -> str:
    """The text of a scenario file."""
    parts = [f"# {title}", "\n".join("    " + line for line in reason.splitlines() if line.strip())]
    parts += [_block(f"table {schema.name}", _definition(schema)) for schema in case.tables]
    parts += [_block(f"view {name}", text) for name, text in case.views]
    batch = _Batch(case)
    before = batch.answers()
    cut = ticks(case.changes, cuts)
    for number, tick in enumerate(cut):
        batch.harness.tick(net(tick))
        parts.append("\n\n".join(_changes(schema, tick) for schema in case.tables if _touches(schema, tick)))
        after = batch.answers()
        if differs is not None and number == len(cut) - 1:
            after[differs.view] = Counter(batch.shown(differs.view, differs.rows))
        for name, program in batch.programs.items():
            rows = [("-", one) for one in (before[name] - after[name]).elements()]
            rows += [("+", one) for one in (after[name] - before[name]).elements()]
            if rows:
                parts.append(_block(f"expect {name}", text_table(program.schema.names, rows)))
        before = after
        parts.append(f"Tick {number + 1} ends.")
    return "\n\n".join(parts) + "\n"


class _Batch:
    """The tables, and the views as their batch queries give them."""

    def __init__(self, case: Case) -> None:
        self.harness = SqlHarness(case.tables, functions=FUNCTIONS)
        self.programs: dict[str, ViewProgram] = {}
        catalog = {schema.name: schema for schema in case.tables}
        for name, text in case.views:
            self.programs[name] = program = compile_view(name, text, catalog, functions=FUNCTIONS)
            catalog[name] = program.schema
            for statement in create_relation(program.schema):
                self.harness.connection.execute(statement)

    def answers(self) -> dict[str, Counter[tuple[str, ...]]]:
        made: dict[str, Counter[tuple[str, ...]]] = {}
        connection = self.harness.connection
        for name, program in self.programs.items():
            connection.execute(f"DELETE FROM main.{quote(name)}")
            names = columns_of(program.schema.names)
            connection.execute(
                f"INSERT INTO main.{quote(name)}({names}, _tick) SELECT *, 0 FROM ({program.batch})"
            )
            rows = connection.execute(f"SELECT {names} FROM main.{quote(name)}").fetchall()
            made[name] = Counter(self.shown(name, rows))
        return made

    def shown(self, name: str, rows: Sequence[tuple[Stored, ...]]) -> list[tuple[str, ...]]:
        return [cells(row, self.programs[name].schema) for row in rows]


def _definition(schema: TableSchema) -> str:
    lines = [f"{one.name} {one.type}{'' if one.nullable else ' NOT NULL'}" for one in schema.columns]
    return "\n".join([*lines, f"PRIMARY KEY ({', '.join(schema.key)})"] if schema.key else lines)


def _touches(schema: TableSchema, tick: Sequence[Change]) -> bool:
    return any(table == schema.name for table, _, _ in tick)


def _changes(schema: TableSchema, tick: Sequence[Change]) -> str:
    rows: list[SignedRow] = []
    for table, old, new in tick:
        if table == schema.name:
            rows += [(sign, cells(row, schema)) for sign, row in (("-", old), ("+", new)) if row is not None]
    return _block(f"changes {schema.name}", text_table(schema.names, rows))


def _block(heading: str, body: str) -> str:
    return f"```{heading}\n{body}\n```"


def stored_rows(rows: Sequence[tuple[object, ...]], schema: TableSchema) -> list[tuple[Stored, ...]]:
    """Python values in stored form, as ``PeerDiffers`` wants them."""
    columns = schema.columns
    return [
        tuple(store(value, column.type) for value, column in zip(row, columns, strict=True)) for row in rows
    ]
