"""The law with crashes: a tick of the real engine on its real file is ended before each of its statements, also those inside a view's
procedure, and at random places within statements. Nothing of it may stay; done again, it gives what it would have given.

Two kinds of end: an error, after which the same process goes on; and the file as a killed process would leave it (copied with
its write-ahead log while the transaction is open), opened again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
from hypothesis import given
from hypothesis import strategies as st

from springline.core.change import Entry, load_entry, schema_entry
from springline.core.position import PostgresPosition
from springline.core.schema import TableSchema
from springline.language import language
from springline.log.base import Logged
from springline.runtime.embedded.catalog import Relations, ViewDefinition
from springline.runtime.embedded.engine import Engine
from springline.runtime.embedded.state import STATE_FORMAT, read_resume
from springline.sql import register_functions
from springline.storage import open_file
from tests.law.cases import Case, Change, Row, cases, common_cases, law
from tests.law.check import comparable, ticks
from tests.law.coverage import counted
from tests.law.user_functions import FUNCTIONS

MOST_BOUNDARIES = 60
"""Statements of one tick before which it is ended; of longer ticks, evenly chosen ones."""


FAST = Path("/dev/shm")
"""Where files cost no disk; what is tested is the order of writes, not the disk."""


class Ended(BaseException):
    """The process is no more."""


class State:
    """An engine on a file, without threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_file(path, STATE_FORMAT)
        register_functions(self.connection, on_error=lambda _: None, functions=FUNCTIONS)
        self.relations = Relations(self.connection, language(FUNCTIONS).compile_view)
        self.engine = Engine(self.connection, self.relations, read_resume(self.connection))

    def declare(self, case: Case) -> None:
        """Tables that are loaded, and the views over them; after a restart, the views again."""
        if self.engine.resume.log_sequence == 0:
            self.tick([schema_entry(one) for one in case.tables], 1)
            self.tick([load_entry(one.name, loading=False) for one in case.tables], 2)
        self.engine.install([ViewDefinition(name, text) for name, text in case.views], case.tables)

    def tick(self, entries: Sequence[Entry], sequence: int) -> None:
        logged = Logged(sequence, "s", str(PostgresPosition(sequence)), 0, 0, "", None, len(entries))
        self.engine.run([(logged, [list(entries)])])

    def dump(self, *, hidden: frozenset[str] = frozenset()) -> dict[str, list[str]]:
        """Everything in the file, but these columns."""
        names = self.connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name"
        ).fetchall()
        made: dict[str, list[str]] = {}
        for (name,) in names:
            columns = self.connection.execute("SELECT name FROM pragma_table_info(?)", (name,)).fetchall()
            shown = ", ".join(f'"{column}"' for (column,) in columns if column not in hidden)
            rows = self.connection.execute(f'SELECT {shown} FROM main."{name}"').fetchall() if shown else []
            made[name] = sorted(map(repr, rows))
        return made

    def meaning(self) -> dict[str, list[str]]:
        """Everything but clocks, and tick numbers, which also count restarts."""
        made = self.dump(hidden=frozenset(("committed_at_us", "at_us", "tick", "_tick", "relations_version")))
        del made["_ticks"]
        return made

    def scratch(self) -> dict[str, int]:
        """Rows in temporary tables: none between ticks."""
        names = self.connection.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'table'").fetchall()
        counts = {
            name: self.connection.execute(f'SELECT count(*) FROM temp."{name}"').fetchall()[0][0]
            for (name,) in names
        }
        return {name: count for name, count in counts.items() if count}

    def close(self) -> None:
        self.connection.close()


def entries_of(changes: Sequence[Change], schemas: Sequence[TableSchema]) -> list[Entry]:
    keys = {schema.name: bool(schema.key) for schema in schemas}
    made: list[Entry] = []
    for table, old, new in changes:
        operation = "c" if old is None else "d" if new is None else "u"
        before = list(old) if old is not None and (new is None or not keys[table]) else None
        made.append((operation, table, before, None if new is None else list(new)))
    return made


def completes(
    connection: apsw.Connection,
    run: Callable[[], None],
    *,
    statement: int = 0,
    opcode: int = 0,
    at: Callable[[], object] = lambda: None,
) -> bool:
    """Ends ``run`` before its so-manieth statement, or at its so-manieth instruction, after calling ``at``. Whether it came to its
    own end before that."""
    seen = 0
    due = False

    def trace(_: object) -> None:
        nonlocal seen, due
        seen += 1
        due = due or seen == statement  # SQLite looks up at jumps, which a short statement need not have.

    def progress() -> bool:
        nonlocal seen, due
        if opcode:
            seen += 1
            due = due or seen == opcode
        if due:
            due = False
            at()
            raise Ended
        return False

    if statement:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT, trace)
    connection.set_progress_handler(progress, 1)
    try:
        run()
    except Ended:
        return False
    finally:
        connection.set_progress_handler(None)
        connection.trace_v2(0, None)
    return True


def measured(connection: apsw.Connection, run: Callable[[], None]) -> tuple[int, int]:
    """How many statements and instructions something takes."""
    counts = [0, 0]

    def trace(event: object) -> None:
        counts[0] += 1

    def progress() -> bool:
        counts[1] += 1
        return False

    connection.trace_v2(apsw.SQLITE_TRACE_STMT, trace)
    connection.set_progress_handler(progress, 1)
    try:
        run()
    finally:
        connection.set_progress_handler(None)
        connection.trace_v2(0, None)
    return counts[0], counts[1]


def copied(path: Path, name: str) -> Path:
    """The files as they are now, beside themselves."""
    other = path.with_name(name)
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, other.with_name(other.name + suffix))
    return other


@law(25)
@given(
    st.one_of(cases(most_changes=12), common_cases(most_changes=12)),
    st.lists(st.integers(2, 6), min_size=1, max_size=3),
    st.data(),
)
def test_a_tick_that_ends_anywhere_leaves_nothing_and_can_be_done_again(
    case: Case, cuts: list[int], data: st.DataObject
) -> None:
    counted(case)
    cut = [entries_of(tick, case.tables) for tick in ticks(case.changes, cuts)]
    with tempfile.TemporaryDirectory(dir=FAST if FAST.exists() else None) as folder:
        state = State(Path(folder) / "state.db")
        state.declare(case)
        for number, entries in enumerate(cut[:-1], start=3):
            state.tick(entries, number)
        sequence = len(cut) + 2

        whole = State(copied(state.path, "whole.db"))
        whole.declare(case)
        statements, opcodes = measured(whole.connection, lambda: whole.tick(cut[-1], sequence))
        after = whole.meaning()
        assert_equal_views(whole, case)
        whole.close()

        places = [data.draw(st.integers(1, max(1, opcodes // 2))) for _ in range(2)]
        killed = data.draw(st.integers(1, max(1, statements * 2 // 3)))
        assert_ends(state, lambda: state.tick(cut[-1], sequence), statements, places, killed)
        assert state.meaning() == after
        state.close()
        assert_resumes(state.path.with_name("killed.db"), case, cut[-1], sequence, after)


def assert_ends(
    state: State, run: Callable[[], None], statements: int, places: Sequence[int], killed: int
) -> None:
    """Ends the tick at every place in turn, keeping the file as it was at one of them, until it comes through."""
    before = state.dump()
    for place in places:
        assert not completes(state.connection, run, opcode=place)
        assert (state.scratch(), state.dump()) == ({}, before), f"ended at instruction {place}"
    assert not completes(state.connection, run, statement=killed, at=lambda: copied(state.path, "killed.db"))
    boundary, step = 1, -(-statements // MOST_BOUNDARIES)
    while not completes(state.connection, run, statement=boundary):
        assert (state.scratch(), state.dump()) == ({}, before), f"ended before statement {boundary}"
        boundary += step
    assert state.scratch() == {}


def assert_resumes(
    path: Path, case: Case, entries: Sequence[Entry], sequence: int, after: dict[str, list[str]]
) -> None:
    """The file of a killed process knows where it was, and goes on from there."""
    state = State(path)
    assert state.engine.resume.log_sequence == sequence - 1
    state.declare(case)
    state.tick(entries, sequence)
    assert state.meaning() == after
    state.close()


def assert_equal_views(state: State, case: Case) -> None:
    """What the engine keeps is what the views' queries give."""
    for view in state.relations.views_in_order:
        program = view.program
        names = ", ".join(f'"{name}"' for name in program.schema.names)
        kept: list[Row] = state.connection.execute(f'SELECT {names} FROM main."{program.name}"').fetchall()
        anew: list[Row] = state.connection.execute(program.batch).fetchall()
        assert comparable(kept, program.schema) == comparable(anew, program.schema), program.text
