"""A view on the writing connection: runs its compiled program, each moment's steps as one procedure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from springline.core.position import Tick
from springline.errors import SpringlineError
from springline.runtime.embedded.changing import fingerprint
from springline.runtime.embedded.mirror import Mirror
from springline.runtime.embedded.procedure import Procedure, StepFailed, drop_procedures, run_step
from springline.runtime.embedded.state import Relation
from springline.runtime.embedded.tables import create_relation, create_scratch, drop_relation, quote
from springline.sql.program import Step, ViewProgram
from springline.sql.sharing import is_shared

_SCRATCH: Final = re.compile(r'CREATE TEMP TABLE (?:IF NOT EXISTS )?(?:temp\.)?"((?:[^"]|"")*)"')


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
        self._error = error
        self._step = step

    def of_reader(self, view: str) -> ViewFailed:
        """The same failure, of a view that reads this one."""
        return ViewFailed(view, self._error, self._step)


def as_relation(program: ViewProgram) -> Relation:
    """What the state says of a view that it holds."""
    drop = tuple([step.sql for step in program.drop] + drop_relation(program.name))
    return Relation(
        program.name, "view", program.schema, "live", fingerprint(program), drop, inputs=program.inputs
    )


class View:
    """Maintains one view. ``mirror`` is the view's own table; ``shown`` its name in errors, where that is another one."""

    def __init__(
        self, connection: apsw.Connection, program: ViewProgram, *, shown: str | None = None
    ) -> None:
        self.name = program.name
        # Procedures go with all whose names begin with their owner's: a view "s" must not take those of a hidden one.
        self._owner = f"({program.name})" if is_shared(program.name) else program.name
        self._shown = shown or program.name
        self.program = program
        self.mirror = Mirror(connection, program.schema)
        self._connection = connection
        self._on_input: dict[str, Procedure] = {}
        self._finish = self._close = self._apply = self._clear = self._procedure("nothing", ())

    def create(self, state: Sequence[Step] | None = None) -> None:
        """Makes the view's table and its state, or these steps of it. Part of the tick that fills them."""
        self._run_texts(create_relation(self.program.schema))
        self._run_texts(step.sql for step in (self.program.state if state is None else state))

    def attach(self) -> None:
        """Makes the temporary tables and the procedures on this connection."""
        program, statements = self.program, self.mirror.statements
        self._run_texts(create_scratch(program.schema))
        self._run_texts(step.sql for step in program.scratch)
        self._on_input = {
            relation: self._procedure(f"on:{relation}", steps) for relation, steps in program.on_input.items()
        }
        self._finish = self._procedure("finish", program.finish)
        self._close = self._procedure("close", program.close)
        why = "apply the view's changes to its table"
        texts = statements.apply(has_declared_key=program.has_declared_key)
        self._apply = self._procedure("apply", [Step(text, why) for text in texts])
        self._clear = self._procedure(
            "clear", (*(Step(text, "clear the delta") for text in statements.clear), *program.clear)
        )

    def detach(self) -> None:
        """Removes the view's temporary tables and procedures from this connection; its state stays."""
        drop_procedures(self._connection, self._owner)
        made = [_SCRATCH.match(step.sql) for step in self.program.scratch]
        for name in ["d:" + self.name, *(found[1].replace('""', '"') for found in made if found)]:
            self._connection.execute(f"DROP TABLE IF EXISTS temp.{quote(name)}")

    def backfill(self, tick: Tick) -> None:
        """Fills a new view from the current tables."""
        try:
            for step in self.program.backfill:
                run_step(self._connection, step, tick)
        except StepFailed as failure:
            raise ViewFailed(self._shown, failure.error, failure.step.why) from failure
        self.apply(tick)
        self.clear()

    def on_input(self, relation: str, tick: Tick) -> None:
        if relation in self._on_input:
            self._run(self._on_input[relation], tick)

    def finish(self, tick: Tick, *, closes: bool = False) -> int:
        """Completes the view's delta; how many rows it has. ``closes``: its watermark moved, and windows may close."""
        self._run(self._close if closes else self._finish, tick)
        [(count,)] = self._connection.execute(self.mirror.statements.count_delta).fetchall()
        return int(count)

    def late(self) -> dict[str, int]:
        """How many late changes the tick has brought, by the table that keeps them; empty where there are none."""
        found: dict[str, int] = {}
        for side in self.program.sides:
            [(count,)] = self._connection.execute(f"SELECT count(*) FROM temp.{quote('d:' + side.name)}")
            if count:
                found[side.name] = int(count)
        return found

    def apply(self, tick: Tick) -> None:
        """Brings the view's table to its new rows."""
        self._run(self._apply, tick)

    def clear(self) -> None:
        self._run(self._clear, 0)

    def _procedure(self, what: str, steps: Sequence[Step]) -> Procedure:
        return Procedure(self._connection, self._owner, what, steps)

    def _run(self, procedure: Procedure, tick: int) -> None:
        try:
            procedure.run(tick)
        except StepFailed as failure:
            raise ViewFailed(self._shown, failure.error, failure.step.why) from failure

    def _run_texts(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._connection.execute(statement)
