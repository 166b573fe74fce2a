"""Several statements that run as one.

SQLite has no stored procedures, but a trigger is one: its statements are prepared together and run within one step. What a
tick runs for a view is some twenty short statements; one by one, each costs the binding's overhead and hands the
interpreter's lock to another thread and back, which for small ticks is most of their time.

A procedure is the INSTEAD OF trigger of a temporary view ``run:owner:what``; inserting the tick's number into it runs it. In the
statements of a trigger the changed table's name is not qualified and there are no parameters, so those are rewritten; all
else stays as ``explain`` prints it. Neighbours with one condition are a procedure of their own, ``run:owner:what:number``, which the first calls
where the condition holds: what most ticks have no use for costs them next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import apsw

from springline.runtime.embedded.tables import quote
from springline.sql.program import Step

_TARGET: Final = re.compile(r"^\s*((?:INSERT|REPLACE)(?: OR \w+)? INTO|DELETE FROM|UPDATE) (?:temp|main)\.")
_QUOTED_OR_TICK: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|:tick\b""")
_PREFIX: Final = "run:"
_NOT_THE_STEPS: Final = (apsw.FullError, apsw.IOError, apsw.InterruptError, apsw.BusyError)
"""A full disk, an interrupt or a locked file is no statement's fault."""


class StepFailed(Exception):
    """One of the statements failed, and all of them were undone."""

    def __init__(self, error: apsw.Error, step: Step) -> None:
        super().__init__(f"{error}, while running: {step.why}")
        self.error = error
        self.step = step


class Procedure:
    """Some steps on one connection. Its temporary objects are made at once, and go with ``drop_procedures``."""

    def __init__(self, connection: apsw.Connection, owner: str, what: str, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self._connection = connection
        name = f"{_PREFIX}{owner}:{what}"
        self._call = f"INSERT INTO temp.{quote(name)} VALUES (?)"
        if steps:
            _make(connection, name, _calls(connection, name, steps))

    def run(self, tick: int) -> None:
        """Runs every step, in order. Raises StepFailed with nothing changed; storage's own errors as they are."""
        if not self.steps:
            return
        try:
            self._connection.execute(self._call, (tick,))
        except _NOT_THE_STEPS:
            raise
        except apsw.Error as error:
            raise StepFailed(error, self._culprit(tick)) from error

    def _culprit(self, tick: int) -> Step:
        """The step that fails, found by running them one by one; what that changes is rolled back."""
        try:
            with self._connection:
                for step in self.steps:
                    run_step(self._connection, step, tick)
        except StepFailed as failure:
            return failure.step
        return self.steps[-1]


def run_step(connection: apsw.Connection, step: Step, tick: int) -> None:
    """Runs a step by itself. Raises StepFailed; storage's own errors as they are."""
    try:
        if not step.only_if or connection.execute(f"SELECT 1 WHERE {step.only_if}").fetchone():
            connection.execute(step.sql, {"tick": tick} if ":tick" in step.sql else None)
    except _NOT_THE_STEPS:
        raise
    except apsw.Error as error:
        raise StepFailed(error, step) from error


def drop_procedures(connection: apsw.Connection, owner: str) -> None:
    """Removes every procedure of a relation from this connection."""
    found = connection.execute(
        "SELECT name FROM temp.sqlite_schema WHERE type = 'view' AND substr(name, 1, ?2) = ?1",
        (f"{_PREFIX}{owner}:", len(f"{_PREFIX}{owner}:")),
    ).fetchall()
    for (name,) in found:
        connection.execute(f"DROP VIEW temp.{quote(name)}")


def _make(connection: apsw.Connection, name: str, statements: Iterator[str]) -> None:
    """A procedure of these statements."""
    body = " ".join(f"{statement};" for statement in statements)
    name = quote(name)
    connection.execute(f"DROP VIEW IF EXISTS temp.{name}")
    connection.execute(f"CREATE TEMP VIEW {name}(tick) AS SELECT 0")
    connection.execute(f"CREATE TEMP TRIGGER {name} INSTEAD OF INSERT ON {name} BEGIN {body} END")


def _calls(connection: apsw.Connection, name: str, steps: Sequence[Step]) -> Iterator[str]:
    """The statements of a procedure. Those under a condition become a procedure that is called under it."""
    for number, (condition, found) in enumerate(groupby(steps, lambda step: step.only_if)):
        statements = (_QUOTED_OR_TICK.sub(_tick, _TARGET.sub(r"\1 ", step.sql)) for step in found)
        if not condition:
            yield from statements
            continue
        inner = f"{name}:{number}"
        _make(connection, inner, statements)
        yield f"INSERT INTO {quote(inner)} SELECT NEW.tick WHERE {condition}"


def _tick(found: re.Match[str]) -> str:
    return "NEW.tick" if found[0] == ":tick" else found[0]
