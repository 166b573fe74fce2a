"""A view on the writing connection: runs the steps of its compiled program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from springline.core.position import Tick
from springline.errors import SpringlineError
from springline.runtime.embedded.mirror import Mirror
from springline.runtime.embedded.tables import create_relation, create_scratch, drop_relation
from springline.sql.program import Step, ViewProgram


class ViewFailed(SpringlineError):
    """A view cannot be maintained. It is stopped; everything that does not read it goes on."""

    code = "view_failed"

    def __init__(self, view: str, error: apsw.Error, step: str) -> None:
        reason = str(error)
        if isinstance(error, apsw.ConstraintError):
            reason = f"its key is not unique or a key column is NULL ({error})"
        super().__init__(
            f"View {view!r} cannot be maintained: {reason}, while running: {step}.",
            hint=f"Correct its SQL or its key, then restart; `springline explain {view}` shows the steps.",
        )
        self.view = view


class View:
    """Maintains one view. ``mirror`` is the view's own table."""

    def __init__(self, connection: apsw.Connection, program: ViewProgram) -> None:
        self.name = program.name
        self.program = program
        self.mirror = Mirror(connection, program.schema)
        self._connection = connection
        self._apply_why = Step("", "apply the view's changes to its table")

    def create(self) -> None:
        """Makes the view's table and state. Part of the tick that fills them."""
        self._run_texts(create_relation(self.program.schema))
        self._run(self.program.state)

    def attach(self) -> None:
        """Makes the temporary tables on this connection."""
        self._run_texts(create_scratch(self.program.schema))
        self._run(self.program.scratch)

    def backfill(self, tick: Tick) -> None:
        """Fills a new view from the current tables."""
        self._run(self.program.backfill, tick)
        self.apply(tick)
        self.clear()

    def on_input(self, relation: str, tick: Tick) -> None:
        self._run(self.program.on_input.get(relation, ()), tick)

    def finish(self, tick: Tick) -> int:
        """Completes the view's delta; how many rows it has."""
        self._run(self.program.finish, tick)
        [(count,)] = self._connection.execute(self.mirror.statements.count_delta).fetchall()
        return int(count)

    def apply(self, tick: Tick) -> None:
        try:
            self.mirror.apply_delta(tick)
        except apsw.Error as error:
            raise self._failed(error, self._apply_why) from error

    def clear(self) -> None:
        for statement in self.mirror.statements.clear:
            self._connection.execute(statement)
        self._run(self.program.clear)

    def drop_statements(self) -> list[str]:
        """Removes everything the view has made, also after its program is no longer known."""
        return [step.sql for step in self.program.drop] + drop_relation(self.name)

    def _run(self, steps: Sequence[Step], tick: Tick | None = None) -> None:
        for step in steps:
            try:
                if ":tick" in step.sql:
                    self._connection.execute(step.sql, {"tick": tick})
                else:
                    self._connection.execute(step.sql)
            except apsw.Error as error:
                raise self._failed(error, step) from error

    def _run_texts(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)

    def _failed(self, error: apsw.Error, step: Step) -> BaseException:
        # A full disk, an interrupt or a locked file is not the view's fault.
        if isinstance(error, apsw.FullError | apsw.IOError | apsw.InterruptError | apsw.BusyError):
            return error
        return ViewFailed(self.name, error, step.why)
