"""Builds new and changed views over large tables beside the running ticks.

A view over a million rows takes seconds to fill; a tick must not. The builder has a thread, a file (``building.db``) and a
connection of its own:

1. the ticks begin to keep what changes in the views' inputs (``changelists``);
2. the inputs are copied in short reads, each of its own snapshot, and then brought to one tick from what was kept;
3. the views are filled from the copies, and brought forward until they are hardly behind;
4. their tables are copied into ``state.db`` in slices of some milliseconds, each part of a tick, brought forward the rest of the
   way, and switched in (``staging``).

The method is that of DBLog's chunks between watermarks (Andreakis and Papapanagiotou, 2020), applied to our own tables. Killed anywhere
before the last tick, the next start begins anew; readers see the version before, or none, and never half of one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.errors import SpringlineError
from springline.runtime.embedded.catalog import Relations
from springline.runtime.embedded.engine import WorkResult
from springline.runtime.embedded.shadow import CannotStage, Copy, Group, Shadow, check_stageable
from springline.runtime.embedded.staging import (
    BUILD,
    Outdated,
    Staging,
    TableShape,
    abandon,
    attach,
    detach,
    empty_gone,
    fill_now,
    is_empty,
    next_group,
)
from springline.runtime.embedded.tables import create_relation, create_scratch, quote
from springline.runtime.embedded.views import View, ViewFailed
from springline.runtime.embedded.work import lower_priority
from springline.storage import Memory, connect

FILE: Final = "building.db"
COPY_ROWS: Final = 20_000
SLICE_MS: Final = 10.0
"""How long a slice may hold up the tick that it is part of, before what its commit takes."""

FEWEST_ROWS: Final = 1_000
MOST_ROWS: Final = 100_000
ADVANCE_CHANGES: Final = 20_000
SLICE_CHANGES: Final = 1_000
RETRY_S: Final = 5.0
NICENESS: Final = 5
"""Ticks go first, but on a busy machine the builder must still be faster than what it follows."""

MOST_ROUNDS: Final = 12

_logger = logging.getLogger("springline.building")
_T = TypeVar("_T")


class _Stopped(Exception):
    """The application stops."""


@dataclass(eq=False)
class Slice:
    """Something to do inside a tick, on the writing connection. Applied again if the tick is rolled back."""

    action: Callable[[Tick], object]
    value: object = None
    error: Exception | None = None
    took_ms: float = 0.0
    committed: threading.Event = field(default_factory=threading.Event)

    def apply(self, connection: apsw.Connection, tick: Tick) -> None:
        started = time.perf_counter()
        self.error = None
        try:
            with connection:
                self.value = self.action(tick)
        except (ViewFailed, Outdated, CannotStage, apsw.SQLError, apsw.ConstraintError) as error:
            # What it did is undone; the tick goes on without it.
            self.error = error
        self.took_ms = (time.perf_counter() - started) * 1_000


@dataclass(frozen=True, slots=True)
class BuildProgress:
    """How far a view's next version is."""

    phase: str
    share: float
    """Of the phase, from 0 to 1."""

    def __str__(self) -> str:
        return f"{self.phase}, {self.share:.0%}"


class Builder:
    """Builds ``relations.unbuilt``, one group after the other, in a thread of its own."""

    def __init__(
        self,
        connection: apsw.Connection,
        relations: Relations,
        state: Path,
        register: Callable[[apsw.Connection], None],
        submit: Callable[[WorkResult], None],
        between_ticks: Callable[[Callable[[], None]], None],
        *,
        vfs: str | None = None,
        memory: Memory | None = None,
    ) -> None:
        self._connection = connection
        self._relations = relations
        self._state = state
        self._path = state.with_name(FILE)
        self._register = register
        self._submit = submit
        self._between_ticks = between_ticks
        self._vfs = vfs
        self._memory = memory
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._side: apsw.Connection | None = None
        self._progress: tuple[frozenset[str], BuildProgress] | None = None
        self._switched: list[str] = []
        self._rows = 2_000
        self._thread = threading.Thread(target=self._run, name="building", daemon=True)

    def start(self) -> None:
        remove_file(self._path)
        self._wake.set()
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Gives up what is being built; the next start begins it anew. Idempotent."""
        self._stop.set()
        self._wake.set()
        with contextlib.suppress(apsw.Error, AttributeError):
            cast("apsw.Connection", self._side).interrupt()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def notice(self, applied: Sequence[WorkResult]) -> list[str]:
        """A tick was committed, these slices with it. Names of the views that it switched in."""
        switched, self._switched = self._switched, []
        for one in applied:
            if isinstance(one, Slice):
                one.committed.set()
        if self._relations.unbuilt:
            self._wake.set()
        return switched

    def progress(self) -> Mapping[str, BuildProgress]:
        """The views that wait or are built now."""
        names, now = self._progress or (frozenset[str](), BuildProgress("waiting", 0.0))
        return {
            name: now if name in names else BuildProgress("waiting", 0.0) for name in self._relations.unbuilt
        }

    def _run(self) -> None:
        lower_priority(NICENESS)
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            try:
                while not self._stop.is_set() and self._build_next():
                    continue
                while not self._stop.is_set() and self._in_slices(
                    lambda _, rows: empty_gone(self._connection, rows)
                ):
                    continue
            except _Stopped:
                return
            # The ticks go on whatever a build runs into, and the views that wait for this thread would wait for ever without it.
            except Exception:
                if self._stop.is_set():
                    return
                _logger.exception("a view could not be built; it is tried again")
                self._stop.wait(RETRY_S)
                self._wake.set()

    def _build_next(self) -> bool:
        """Builds the next group; whether there was one."""
        if not self._relations.unbuilt:
            return False
        group = self._call(lambda tick: next_group(self._relations, tick))
        if group is None:
            return False
        names = ", ".join(group.names)
        started = time.monotonic()
        try:
            self._build(group)
            _logger.info("built %s in %.1f s", names, time.monotonic() - started)
        except Outdated:
            self._abandon(group)
        except CannotStage as reason:
            _logger.info("%s is filled within one tick: %s", names, reason)
            self._tell(group, "filling within one tick", 0.0)
            self._abandon(group)
            self._fill_within_a_tick(group)
        except ViewFailed as failure:
            _logger.error("%s", failure)
            self._abandon(group, failure)
        except (apsw.Error, SpringlineError) as error:
            if self._stop.is_set():
                raise _Stopped from error
            self._abandon(group)
            # What it read may have changed its shape meanwhile; then there is something else to build.
            if group.programs[0] is self._relations.unbuilt.get(group.names[0]):
                raise
        finally:
            self._progress = None
            remove_file(self._path)
        return True

    def _build(self, group: Group) -> None:
        check_stageable(group)
        remove_file(self._path)
        with self._side_connection() as side:
            built_at = self._fill(side, group)
        self._bring_in(group, built_at)

    def _fill_within_a_tick(self, group: Group) -> None:
        def action(tick: Tick) -> None:
            for schema in group.inputs:
                self._relations.lists.hold(schema, BUILD, tick)
            fill_now(self._relations, group, tick)
            self._switched = list(group.names)

        self._call(action)

    def _abandon(self, group: Group, failure: Exception | None = None) -> None:
        def action(_tick: Tick) -> None:
            abandon(self._connection, self._relations, group)
            if failure is not None:
                for name in group.names:
                    self._relations.give_up(name, str(failure))

        self._call(action)
        self._outside(lambda: detach(self._connection))

    # -- in the file -----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _side_connection(self) -> Iterator[apsw.Connection]:
        with contextlib.closing(connect(self._path, vfs=self._vfs, memory=self._memory)) as side:
            # What is lost with the process is begun anew anyway.
            side.execute("PRAGMA synchronous=OFF")
            self._register(side)
            side.execute("ATTACH ? AS state", (str(self._state),))
            self._side = side
            try:
                yield side
            finally:
                self._side = None

    def _fill(self, side: apsw.Connection, group: Group) -> int:
        """Copies the inputs and fills the views from them; the tick as of which they are."""
        self._copy_inputs(side, group)
        tick = self._align(side, group)
        views = [View(side, program) for program in group.programs]
        for number, view in enumerate(views):
            self._tell(group, "filling", number / len(views))
            with side:
                view.create()
                view.attach()
                view.backfill(tick)
        copies = {schema.name: f"main.{quote(schema.name)}" for schema in group.inputs}
        shadow = Shadow(side, views, group.inputs, copies=copies, lists="state")
        return self._follow(side, shadow, tick, group)

    def _follow(self, side: apsw.Connection, shadow: Shadow, tick: Tick, group: Group) -> Tick:
        """Brings the views forward until they are close to the ticks, or come no closer; up to which tick. More at once costs less for
        each change, since rows that changed several times count once."""
        behind, most, rounds = 0, ADVANCE_CHANGES, 0
        while True:
            self._check(group)
            with _reading(side):
                now = _tick(side)
                reached = Tick(shadow.next_stop(tick, now, most))
                shadow.advance(tick, reached)
            tick, left = reached, now - reached
            self._tell(group, "catching up", 1 / (1 + left))
            if behind and left >= behind:
                most, rounds = most * 2, rounds + 1
            if not left or rounds == MOST_ROUNDS:
                return tick
            behind = left

    def _copy_inputs(self, side: apsw.Connection, group: Group) -> None:
        with _reading(side):
            total = sum(_rows(side, schema) for schema in group.inputs) or 1
        copied = 0
        for schema in group.inputs:
            for statement in (*create_relation(schema), *create_scratch(schema)):
                side.execute(statement)
            if not schema.key:
                # Equal rows cannot be told apart: such a table is copied as of one tick, without slices.
                with _reading(side):
                    side.execute(
                        f"INSERT INTO main.{quote(schema.name)} SELECT * FROM state.{quote(schema.name)}"
                    )
                    side.execute("CREATE TABLE IF NOT EXISTS main._copied(name TEXT, tick INTEGER)")
                    side.execute("INSERT INTO main._copied VALUES (?, ?)", (schema.name, _tick(side)))
                continue
            shape = TableShape.of(side, "main", schema.name)
            source, target = f"state.{quote(schema.name)}", f"main.{quote(schema.name)}"
            found = COPY_ROWS
            while found == COPY_ROWS:
                self._check(group)
                # A row that was changed behind the place where the copy is comes a second time, under another rowid.
                statement = shape.copy_statement(
                    source, target, is_empty=is_empty(side, target), verb="INSERT OR REPLACE"
                )
                side.execute(statement, {"rows": COPY_ROWS})
                found = side.changes()
                copied += found
                self._tell(group, "copying what it reads", min(1.0, copied / total))

    def _align(self, side: apsw.Connection, group: Group) -> Tick:
        """Brings every copy to the end of one tick, from the changes that were kept since before the first copy."""
        with _reading(side):
            tick = _tick(side)
            for schema in group.inputs:
                copy = Copy(side, schema, f"main.{quote(schema.name)}", "state")
                if schema.key:
                    copy.bring(group.tick, tick)
                    continue
                [(copied_at,)] = side.execute("SELECT tick FROM main._copied WHERE name = ?", (schema.name,))
                if copy.fill(copied_at, tick):
                    copy.bring(copied_at, tick)
                    copy.clear()
            side.execute("DROP TABLE IF EXISTS main._copied")
        self._check(group)
        return tick

    # -- in the ticks ----------------------------------------------------------------------------------------------

    def _bring_in(self, group: Group, built_at: int) -> None:
        self._outside(lambda: attach(self._connection, self._path))
        staging = Staging(self._connection, self._relations, group)
        shapes = self._call(staging.prepare)
        for number, shape in enumerate(shapes):
            self._tell(group, "moving in", number / len(shapes))
            while self._in_slices(lambda _, rows, shape=shape: staging.copy(shape, rows)):
                continue
        for index in staging.indexes():
            self._call(lambda _, index=index: staging.ensure_index(index))
        self._call(lambda _: staging.open())
        self._catch_up(staging, built_at)
        self._outside(lambda: detach(self._connection))

    def _catch_up(self, staging: Staging, built_at: int) -> None:
        """Brings the staged views forward until they are at the running tick, which switches them in. Where as much comes as a slice
        carries, slices become larger: it is better that some ticks take longer than that it never ends."""
        after, behind, changes = built_at, 0, SLICE_CHANGES
        while True:
            tick, reached = self._call(
                lambda tick, after=after, most=changes: (tick, self._advance(staging, tick, after, most))
            )
            if reached == tick:
                return
            changes = changes * 2 if behind and tick - reached >= behind else changes
            after, behind = reached, tick - reached
            self._tell(staging.group, "catching up", 1 / behind)

    def _advance(self, staging: Staging, tick: Tick, after: int, most: int) -> int:
        reached = staging.advance(tick, after, most)
        if reached == tick:
            self._switched = list(staging.group.names)
        return reached

    def _call(self, action: Callable[[Tick], _T]) -> _T:
        """Has something done in the next tick, and waits for its commit. Raises what it raised."""
        return cast("_T", self._run_slice(Slice(action)).value)

    def _in_slices(self, action: Callable[[Tick, int], _T]) -> _T:
        """The same for one slice of a longer work; how much it takes on follows from how long the one before took."""
        rows = self._rows
        done = self._run_slice(Slice(lambda tick: action(tick, rows)))
        if done.took_ms > SLICE_MS:
            self._rows = max(FEWEST_ROWS, int(rows * SLICE_MS / done.took_ms))
        elif done.took_ms < SLICE_MS / 2:
            self._rows = min(MOST_ROWS, rows * 2)
        return cast("_T", done.value)

    def _run_slice(self, one: Slice) -> Slice:
        self._submit(one)
        while not one.committed.wait(0.5):
            if self._stop.is_set():
                raise _Stopped
        if one.error is not None:
            raise one.error
        return one

    def _outside(self, action: Callable[[], None]) -> None:
        """Has something done on the writing connection between two ticks. Raises what it raised."""
        error: list[apsw.Error] = []
        done = threading.Event()

        def guarded() -> None:
            try:
                action()
            except apsw.Error as caught:
                error.append(caught)
            done.set()

        self._between_ticks(guarded)
        while not done.wait(0.5):
            if self._stop.is_set():
                raise _Stopped
        if error:
            raise error[0]

    def _check(self, group: Group) -> None:
        if self._stop.is_set():
            raise _Stopped
        if any(self._relations.unbuilt.get(program.name) is not program for program in group.programs):
            raise Outdated(group.names[0])

    def _tell(self, group: Group, phase: str, share: float) -> None:
        self._progress = (frozenset(group.names), BuildProgress(phase, max(0.0, min(1.0, share))))


def remove_file(path: Path) -> None:
    """Removes the builder's file and what SQLite has beside it. Idempotent."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _reading(side: apsw.Connection) -> Iterator[None]:
    """One transaction, and with it one snapshot of the state."""
    side.execute("BEGIN")
    try:
        yield
        side.execute("COMMIT")
    except BaseException:
        if side.in_transaction:
            side.execute("ROLLBACK")
        raise


def _tick(side: apsw.Connection) -> Tick:
    [(tick,)] = side.execute("SELECT tick FROM state._engine")
    return Tick(tick)


def _rows(side: apsw.Connection, schema: TableSchema) -> int:
    [(rows,)] = side.execute(f"SELECT count(*) FROM state.{quote(schema.name)}")
    return int(rows)
