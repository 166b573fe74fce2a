"""``springline replay``."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import click

from springline.cli.application import DEFAULT_FILE, load_app
from springline.cli.backup import check_folder
from springline.cli.offline import open_state
from springline.cli.options import json_option, with_settings
from springline.cli.output import Table, number, print_json
from springline.core.position import Position
from springline.core.schema import TableSchema
from springline.errors import ConfigurationError, SourceUnavailable, StateError
from springline.log.base import CaptureWriter
from springline.log.sqlite import LogReader
from springline.settings import Settings, given
from springline.sources.base import Finding, SourceStatus
from springline.storage import DataFolder

if TYPE_CHECKING:
    from springline.app import App
    from springline.runtime.base import RelationStatus
    from springline.sql.user_functions import Functions


@click.command("replay")
@click.argument("app", default=DEFAULT_FILE)
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The new data folder.",
)
@json_option
@with_settings("data", "embedder")
def command(settings: Settings, app: str, target: Path, as_json: bool) -> None:
    """Build tables, views and knowledge bases again in a new FOLDER, from the first change in the log, and compare.

    No source is read and nothing of the present data folder is changed. Use it to see what a changed view would have said, or to check
    the state. `springline log` prints the changes themselves.
    """
    flags = {"data": str(settings.data), "embedder": settings.embedder}
    with given(flags, beside=Path(app).parent):
        found = replay(load_app(app), DataFolder(settings.data), DataFolder(target))
    if as_json:
        print_json([dataclasses.asdict(one) for one in found])
        return
    rows = [
        [
            one.name,
            one.kind,
            one.state,
            number(one.rows),
            "–" if one.rows_now is None else number(one.rows_now),
            one.verdict,
        ]
        for one in found
    ]
    Table(
        ["RELATION", "KIND", "STATE", "ROWS", "ROWS NOW", "COMPARED"], rows, frozenset({3, 4}), (0,)
    ).print()
    click.echo(f"The new state is in {target}.", err=True)


@dataclasses.dataclass(frozen=True)
class Replayed:
    """One relation after the replay, beside the present one (``rows_now`` None: there is none)."""

    name: str
    kind: str
    state: str
    rows: int
    rows_now: int | None
    verdict: Literal["same", "different", "new", "not comparable"]


class LoggedSource:
    """Stands for a source whose changes come from the log alone."""

    barrier: ClassVar[Literal["exact", "bounded"]] = "bounded"

    def __init__(self, name: str, schemas: Sequence[TableSchema]) -> None:
        self.name = name
        self._schemas = schemas

    def check(self) -> Sequence[Finding]:
        return ()

    def tables(self) -> Sequence[TableSchema]:
        return self._schemas

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        """Has nothing to capture."""

    def current_position(self, timeout_s: float) -> Position:
        raise SourceUnavailable(f"Source {self.name!r} is replayed from the log.")

    def status(self) -> SourceStatus:
        return SourceStatus("stopped")

    def close(self) -> None:
        """Holds nothing."""


def replay(app: App, folder: DataFolder, target: DataFolder) -> list[Replayed]:
    """Replays into ``target``. Raises StateError where the log no longer reaches back to its beginning."""
    if target.path.exists() and any(target.path.iterdir()):
        raise ConfigurationError(f"{target.path} is not an empty folder.", hint="Choose a new one with --to.")
    with contextlib.closing(LogReader(folder.log_path)) as log:
        if log.first_sequence() > 1:
            raise StateError(
                f"The log begins at {log.first_sequence()}; what came before was dropped by retention.",
                hint="Only a log that holds everything can be replayed; keep it for longer with log_retention_s.",
            )
        target.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        log.backup(target.log_path)
    schemas = _table_schemas(folder)
    definition = app.definition()
    sources = [
        LoggedSource(name, [one for one in schemas if one.name.startswith(name + ".")])
        for name in app.sources
    ]
    # Tables first and views over the finished tables: a view may need columns that the first schemas in the log lack.
    run = partial(_run_through, target=target, functions=app.functions)
    run(dataclasses.replace(definition, sources=sources, views=(), knowledge=(), retained={}))
    statuses = run(dataclasses.replace(definition, sources=sources, retained={}))
    check_folder(target)
    return _compared(statuses, folder, target)


def _run_through(
    definition: object, target: DataFolder, functions: Functions | None
) -> Sequence[RelationStatus]:
    from typing import cast

    from springline.language import language
    from springline.runtime.embedded.runtime import Definition, EmbeddedRuntime

    runtime = EmbeddedRuntime(cast("Definition", definition), DataFolder(target.path), language(functions))
    runtime.start()
    try:
        while True:
            status = runtime.status()
            if status.state == "failed":
                raise StateError("The replay failed.", hint="; ".join(status.errors))
            waiting = any(one.pending for one in status.knowledge)
            waiting = waiting or bool(runtime.building())
            if runtime.progress.reached.log_sequence >= runtime.log.last_sequence() and not waiting:
                return runtime.status().relations
            time.sleep(0.02)
    finally:
        runtime.stop()


def _table_schemas(folder: DataFolder) -> list[TableSchema]:
    from springline.runtime.embedded.state import read_relations

    with open_state(folder) as connection:
        return [one.schema for one in read_relations(connection).values() if one.kind == "table"]


def _compared(statuses: Sequence[RelationStatus], folder: DataFolder, target: DataFolder) -> list[Replayed]:
    from springline.runtime.embedded.state import read_relations, read_resume

    with open_state(folder) as now, open_state(target) as then:
        same_place = read_resume(now).log_sequence == read_resume(then).log_sequence
        present = read_relations(now)
        compared: list[Replayed] = []
        for one in statuses:
            if one.state == "stopped" or one.name not in present or present[one.name].state == "stopped":
                compared.append(Replayed(one.name, one.kind, one.state, one.rows, None, "new"))
                continue
            columns = ", ".join(
                '"' + name.replace('"', '""') + '"' for name in present[one.name].schema.names
            )
            table = one.name.replace('"', '""')
            [(rows_now,)] = now.execute(f'SELECT count(*) FROM main."{table}"').fetchall()
            verdict: Literal["same", "different", "not comparable"] = "not comparable"
            if same_place and set(present[one.name].schema.names) == set(
                read_relations(then)[one.name].schema.names
            ):
                select = f'SELECT {columns} FROM main."{table}" ORDER BY {columns}'
                pairs = zip(now.execute(select), then.execute(select), strict=False)
                verdict = "same" if rows_now == one.rows and all(a == b for a, b in pairs) else "different"
            compared.append(Replayed(one.name, one.kind, one.state, one.rows, rows_now, verdict))
        return compared
