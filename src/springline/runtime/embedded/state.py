"""``state.db``: its internal tables, and what a start resumes from.

Names that begin with an underscore are ours; every other table is a relation (``"source.table"`` or a view's name), a
view's state (``"s:…"``) or a knowledge base's (``"k:…"``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import apsw

from springline.context.knowledge_tables import MEMO_DDL
from springline.core.position import PositionVector, Tick, position_from_text
from springline.core.schema import TableSchema
from springline.errors import StateError
from springline.runtime.embedded.changing import ViewDefinition
from springline.runtime.embedded.watermarks import WATERMARKS_DDL
from springline.storage import Format

RelationState = Literal["loading", "live", "stopped"]


def _create(connection: apsw.Connection) -> None:
    connection.execute("""
        CREATE TABLE _engine(
            only INTEGER PRIMARY KEY CHECK (only = 1), tick INTEGER NOT NULL, log_sequence INTEGER NOT NULL,
            epoch INTEGER NOT NULL, relations_version INTEGER NOT NULL
        ) STRICT;
        INSERT INTO _engine VALUES (1, 0, 0, 1, 1);
        CREATE TABLE _applied(
            source TEXT PRIMARY KEY, position TEXT NOT NULL, committed_at_us INTEGER NOT NULL,
            log_sequence INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE _ticks(
            tick INTEGER PRIMARY KEY, committed_at_us INTEGER NOT NULL, log_sequence INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE _relations(
            name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('table', 'view')), schema TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('loading', 'live', 'stopped')), program TEXT, drop_steps TEXT,
            error TEXT, inputs TEXT NOT NULL DEFAULT '[]'
        ) STRICT, WITHOUT ROWID;
        CREATE TRIGGER _relations_inserted AFTER INSERT ON _relations BEGIN
            UPDATE _engine SET relations_version = relations_version + 1;
        END;
        CREATE TRIGGER _relations_updated AFTER UPDATE ON _relations BEGIN
            UPDATE _engine SET relations_version = relations_version + 1;
        END;
        CREATE TRIGGER _relations_deleted AFTER DELETE ON _relations BEGIN
            UPDATE _engine SET relations_version = relations_version + 1;
        END;
        CREATE TABLE _knowledge(name TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE _work(
            knowledge TEXT NOT NULL, document TEXT NOT NULL, input_hash TEXT NOT NULL, source TEXT NOT NULL,
            before_position TEXT, committed_at_us INTEGER NOT NULL, log_sequence INTEGER NOT NULL,
            backfill INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, retry_at_us INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY(knowledge, document)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX _work_order ON _work(backfill, log_sequence);
        CREATE TABLE _dead_letters(
            id INTEGER PRIMARY KEY, what TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL,
            tick INTEGER NOT NULL, at_us INTEGER NOT NULL, UNIQUE(what, name, key)
        ) STRICT;
    """)
    connection.execute(MEMO_DDL)


def _add_definitions_and_change_lists(connection: apsw.Connection) -> None:
    connection.execute("""
        CREATE TABLE _views(name TEXT PRIMARY KEY, definition TEXT NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE _change_lists(relation TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE _marks(tick INTEGER PRIMARY KEY, at_us INTEGER NOT NULL) STRICT;
    """)


def _add_watermarks(connection: apsw.Connection) -> None:
    connection.execute(WATERMARKS_DDL)


def _add_outbox(connection: apsw.Connection) -> None:
    """``cause``: the log's sequence of the source transaction."""
    connection.execute("""
        CREATE TABLE _outbox(
            number INTEGER PRIMARY KEY AUTOINCREMENT, cause INTEGER NOT NULL, relation TEXT NOT NULL, key BLOB, value BLOB
        ) STRICT;
        CREATE TABLE _outbox_causes(
            cause INTEGER PRIMARY KEY, source TEXT NOT NULL, position TEXT NOT NULL, committed_at_us INTEGER NOT NULL,
            transaction_name TEXT NOT NULL
        ) STRICT;
        CREATE TABLE _outbox_tables(relation TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
        CREATE TABLE _outbox_identity(identity TEXT NOT NULL) STRICT;
        INSERT INTO _outbox_identity VALUES (lower(hex(randomblob(8))));
    """)


STATE_FORMAT = Format("state.db", (_create, _add_definitions_and_change_lists, _add_watermarks, _add_outbox))


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far one source is applied. ``log_sequence`` is the last of its transactions that was applied."""

    position: str
    committed_at_us: int
    log_sequence: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Where the engine goes on. Everything in it was committed together."""

    tick: Tick
    log_sequence: int
    epoch: int
    applied: Mapping[str, SourceProgress]
    relations_version: int = field(default=0, compare=False)
    """Changes whenever a relation appears, goes, or changes its schema or state."""

    def vector(self) -> PositionVector:
        return PositionVector({name: position_from_text(one.position) for name, one in self.applied.items()})

    def advanced(self, tick: Tick, log_sequence: int, applied: Mapping[str, SourceProgress]) -> Resume:
        return replace(self, tick=tick, log_sequence=log_sequence, applied={**self.applied, **applied})


def read_resume(connection: apsw.Connection) -> Resume:
    """One SELECT: the last committed tick and every source's applied position."""
    rows = connection.execute("""
        SELECT e.tick, e.log_sequence, e.epoch, e.relations_version, a.source, a.position, a.committed_at_us, a.log_sequence
        FROM _engine e LEFT JOIN _applied a
    """).fetchall()
    tick, log_sequence, epoch, version = rows[0][:4]
    applied = {row[4]: SourceProgress(*row[5:]) for row in rows if row[4] is not None}
    return Resume(Tick(tick), log_sequence, epoch, applied, version)


def check_resume(resume: Resume, *, log_first: int, log_last: int) -> None:
    """Refuses a state and a log that do not belong together. Pure."""
    if resume.log_sequence > log_last:
        raise StateError(
            f"state.db has applied the log up to {resume.log_sequence}, but log.db ends at {log_last}.",
            hint="log.db was replaced by an older one. Restore both from one backup (`springline restore`).",
        )
    if resume.log_sequence + 1 < log_first:
        raise StateError(
            f"state.db needs the log from {resume.log_sequence + 1}, but log.db begins at {log_first}.",
            hint="Restore both files from one backup, or run `springline resnapshot` to load the sources again.",
        )


def write_progress(
    connection: apsw.Connection, resume: Resume, changed: Mapping[str, SourceProgress], committed_at_us: int
) -> None:
    """The last statements of every tick, in its transaction."""
    connection.execute("UPDATE _engine SET tick = ?, log_sequence = ?", (resume.tick, resume.log_sequence))
    connection.execute(
        "INSERT INTO _ticks VALUES (?, ?, ?)", (resume.tick, committed_at_us, resume.log_sequence)
    )
    for source, progress in changed.items():
        connection.execute(
            "INSERT OR REPLACE INTO _applied VALUES (?, ?, ?, ?)",
            (source, progress.position, progress.committed_at_us, progress.log_sequence),
        )


@dataclass(frozen=True, slots=True)
class Relation:
    """One row of ``_relations``; of kind ``late`` one of ``_late``: a table of late rows, part of a view's state."""

    name: str
    kind: Literal["table", "view", "late"]
    schema: TableSchema
    state: RelationState
    program: str | None = None
    drop_steps: tuple[str, ...] = ()
    error: str | None = None
    inputs: tuple[str, ...] = ()
    """What a view reads."""


def read_relations(connection: apsw.Connection) -> dict[str, Relation]:
    late = {
        name: Relation(name, "late", TableSchema.from_json(json.loads(schema)), "live")
        for name, schema in connection.execute("SELECT relation, schema FROM _late")
    }
    return late | {
        name: Relation(
            name,
            kind,
            TableSchema.from_json(json.loads(schema)),
            state,
            program,
            tuple(json.loads(drop or "[]")),
            error,
            tuple(json.loads(inputs)),
        )
        for name, kind, schema, state, program, drop, error, inputs in connection.execute(
            "SELECT name, kind, schema, state, program, drop_steps, error, inputs FROM _relations"
        )
    }


def write_relation(connection: apsw.Connection, relation: Relation) -> None:
    connection.execute(
        """INSERT INTO _relations(name, kind, schema, state, program, drop_steps, error, inputs)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT(name) DO UPDATE SET kind = excluded.kind, schema = excluded.schema, state = excluded.state,
           program = excluded.program, drop_steps = excluded.drop_steps, error = excluded.error, inputs = excluded.inputs""",
        (
            relation.name,
            relation.kind,
            json.dumps(relation.schema.to_json()),
            relation.state,
            relation.program,
            json.dumps(relation.drop_steps),
            relation.error,
            json.dumps(relation.inputs),
        ),
    )


def remove_relation(connection: apsw.Connection, name: str) -> None:
    connection.execute("DELETE FROM _relations WHERE name = ?", (name,))
    connection.execute("DELETE FROM _views WHERE name = ?", (name,))


def read_definitions(connection: apsw.Connection) -> dict[str, ViewDefinition]:
    """As what each view was declared that the state holds."""
    found = {
        name: ViewDefinition.from_json(text)
        for name, text in connection.execute("SELECT name, definition FROM _views")
    }
    return {name: one for name, one in found.items() if one is not None}


def write_definition(connection: apsw.Connection, name: str, text: str) -> None:
    connection.execute("INSERT OR REPLACE INTO _views VALUES (?, ?)", (name, text))
