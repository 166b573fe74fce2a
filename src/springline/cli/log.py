"""``springline log``."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from springline.cli.options import json_option, with_settings
from springline.cli.output import plain_text, shown
from springline.core.change import Entry, Operation, Unchanged, single_rows
from springline.core.schema import TableSchema
from springline.core.types import render
from springline.errors import StateError
from springline.log.base import Logged
from springline.log.sqlite import LogReader
from springline.settings import Settings
from springline.storage import DataFolder

SIGNS = {"c": "+", "r": "+", "u": "~", "d": "-"}


@click.command("log")
@click.option(
    "--from", "first", type=click.IntRange(1), help="First sequence number; default: the oldest that is held."
)
@click.option("--to", "last", type=click.IntRange(1), help="Last sequence number; default: the newest.")
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only changes of this table; again for another one.",
)
@json_option
@with_settings("data")
def command(
    settings: Settings, first: int | None, last: int | None, tables: Sequence[str], as_json: bool
) -> None:
    """Print the changes in the log, oldest first, one transaction after the other.

    Each change is a line: + a row came, ~ a row changed, - a row went. With --json, one JSON object a line. The log of a running
    application can be read too.
    """
    folder = DataFolder(settings.data)
    if not folder.log_path.exists():
        raise StateError(
            f"There is no log in the data folder {folder.path}.", hint="Name another folder with --data."
        )
    with contextlib.closing(LogReader(folder.log_path)) as log:
        printer = JsonPrinter(tables) if as_json else TextPrinter(tables)
        schemas = Schemas()
        for logged in transactions(log, max(first or 1, log.first_sequence()), last or log.newest_sequence()):
            # Schemas stand in the log before the rows that they describe; those before --from are looked up in the state.
            schemas.prepare(folder)
            for entries in log.entries(logged):
                for entry in single_rows(entries):
                    printer.entry(logged, entry, schemas)
                    schemas.follow(entry)


def transactions(log: LogReader, first: int, last: int) -> Iterator[Logged]:
    """The transactions from one sequence number to another."""
    after = first - 1
    while after < last:
        found = log.read(after, 1_000)
        if not found:
            return
        for logged in found:
            if logged.sequence > last:
                return
            yield logged
        after = found[-1].sequence


class Schemas:
    """The tables' columns as they are at the place in the log that was reached."""

    def __init__(self) -> None:
        self._known: dict[str, TableSchema] = {}
        self._is_prepared = False

    def prepare(self, folder: DataFolder) -> None:
        """Reads the present schemas, once; the log's own go before them."""
        if self._is_prepared:
            return
        self._is_prepared = True
        from springline.cli.offline import open_state
        from springline.runtime.embedded.state import read_relations

        with contextlib.suppress(StateError), open_state(folder) as connection:
            for name, relation in read_relations(connection).items():
                self._known[name] = relation.schema

    def follow(self, entry: Entry) -> None:
        operation, table, _, after = entry
        if operation == Operation.SCHEMA.value and after:
            self._known[table] = TableSchema.from_json(after[0])  # pyright: ignore[reportArgumentType]

    def row(self, table: str, values: Sequence[Any] | None) -> dict[str, object] | None:
        """A row as people read it. Values that the source did not send are left out."""
        if values is None:
            return None
        schema = self._known.get(table)
        if schema is None or len(schema.columns) != len(values):
            return {
                f"#{index}": value
                for index, value in enumerate(values, start=1)
                if not isinstance(value, Unchanged)
            }
        return {
            column.name: render(value, column.type)
            for column, value in zip(schema.columns, values, strict=True)
            if not isinstance(value, Unchanged)
        }


class JsonPrinter:
    """One object for each change."""

    def __init__(self, tables: Sequence[str]) -> None:
        self._tables = tables

    def entry(self, logged: Logged, entry: Entry, schemas: Schemas) -> None:
        operation, table, before, after = entry
        if self._tables and table not in self._tables:
            return
        is_row = operation in SIGNS
        line = {
            "sequence": logged.sequence,
            "source": logged.source,
            "position": logged.position_text,
            "committed_at_us": logged.committed_at_us,
            "transaction": logged.identifier,
            "operation": Operation(operation).name.lower(),
            "table": table,
            "before": schemas.row(table, before) if is_row else None,
            "after": schemas.row(table, after) if is_row else after and after[0],
        }
        click.echo(json.dumps(line, ensure_ascii=False, default=str))


class TextPrinter:
    """A headline for each transaction, a line for each change."""

    def __init__(self, tables: Sequence[str]) -> None:
        self._tables = tables
        self._printed = 0

    def entry(self, logged: Logged, entry: Entry, schemas: Schemas) -> None:
        operation, table, before, after = entry
        if self._tables and table not in self._tables:
            return
        if self._printed != logged.sequence:
            self._printed = logged.sequence
            at = dt.datetime.fromtimestamp(logged.committed_at_us / 1e6, dt.UTC).strftime(
                "%Y-%m-%d %H:%M:%S.%f"
            )[:-3]
            head = f"{logged.sequence}  {at}Z  {logged.source} {logged.position_text}"
            click.echo(click.style(f"{head}  {logged.identifier}".rstrip(), bold=True))
        click.echo(f"  {plain_text(self._describe(operation, table, before, after, schemas))}")

    def _describe(self, operation: str, table: str, before: Any, after: Any, schemas: Schemas) -> str:
        if operation not in SIGNS:
            detail = f" {after[0]}" if after and operation == Operation.LOAD.value else ""
            return f"· {table}  {Operation(operation).name.lower()}{detail}"
        old, new = schemas.row(table, before), schemas.row(table, after)
        if operation == "u" and old is not None and new is not None:
            changed = [
                f"{name}: {shown(old[name])} → {shown(value)}"
                for name, value in new.items()
                if name in old and old[name] != value
            ]
            same = [
                f"{name}={shown(value)}" for name, value in new.items() if name in old and old[name] == value
            ]
            return f"~ {table}  {', '.join(changed)}" + (f"  ({', '.join(same)})" if same else "")
        row = new if new is not None else old
        values = ", ".join(f"{name}={shown(value)}" for name, value in (row or {}).items())
        return f"{SIGNS[operation]} {table}  {values}"
