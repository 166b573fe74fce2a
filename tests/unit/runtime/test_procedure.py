"""Several statements in one step: what they may be, and who is named when one fails."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from springline.runtime.embedded.procedure import Procedure, StepFailed, drop_procedures
from springline.sql.program import Step


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE kept(n INTEGER PRIMARY KEY, text); CREATE TEMP TABLE passing(n, text)")
    yield connection
    connection.close()


def kept(connection: apsw.Connection) -> list[tuple[object, ...]]:
    return connection.execute("SELECT * FROM main.kept ORDER BY n").fetchall()


def test_all_steps_run_in_order_on_both_kinds_of_tables(connection: apsw.Connection) -> None:
    steps = [
        Step("INSERT INTO temp.passing SELECT 1, 'one'", "first"),
        Step(
            'INSERT INTO main."kept" SELECT n, text FROM temp.passing WHERE 1 ON CONFLICT(n) DO NOTHING',
            "then",
        ),
        Step("INSERT OR REPLACE INTO main.kept SELECT n + 1, text FROM main.kept", "then"),
        Step("UPDATE main.kept SET text = 'two' WHERE n = 2", "then"),
        Step("DELETE FROM temp.passing", "last"),
    ]
    procedure = Procedure(connection, "view", "finish", steps)
    procedure.run(7)
    assert kept(connection) == [(1, "one"), (2, "two")]
    assert connection.execute("SELECT count(*) FROM temp.passing").fetchone() == (0,)


def test_the_tick_is_given_and_texts_that_look_like_it_are_left_alone(connection: apsw.Connection) -> None:
    step = Step("INSERT INTO main.kept SELECT :tick, ':tick it''s :tick'", "the tick")
    Procedure(connection, "view", "apply", [step]).run(9)
    assert kept(connection) == [(9, ":tick it's :tick")]


def test_the_failing_step_is_named_and_nothing_is_changed(connection: apsw.Connection) -> None:
    steps = [
        Step("INSERT INTO main.kept VALUES (1, 'one')", "add one"),
        Step("INSERT INTO main.kept VALUES (1, 'again')", "add it again"),
    ]
    procedure = Procedure(connection, "view", "finish", steps)
    with pytest.raises(StepFailed) as caught:
        procedure.run(1)
    assert caught.value.step.why == "add it again"
    assert isinstance(caught.value.error, apsw.ConstraintError)
    assert kept(connection) == []


def test_steps_under_a_condition_run_only_where_it_holds(connection: apsw.Connection) -> None:
    some = 'EXISTS (SELECT 1 FROM temp."passing")'
    steps = [
        Step("INSERT INTO main.kept SELECT :tick, 'always'", "always"),
        Step("INSERT INTO main.kept SELECT 10 * :tick, text FROM temp.passing", "the passing", some),
        Step("INSERT INTO main.kept SELECT 100 * :tick, 'also'", "also", some),
        Step("INSERT INTO main.kept SELECT 1000 * :tick, 'none'", "none", f"NOT {some}"),
        Step("DELETE FROM temp.passing", "last"),
    ]
    procedure = Procedure(connection, "view", "finish", steps)
    procedure.run(1)
    assert kept(connection) == [(1, "always"), (1000, "none")]
    connection.execute("INSERT INTO temp.passing VALUES (1, 'one')")
    procedure.run(2)
    assert [row for row in kept(connection) if row[0] not in (1, 1000)] == [
        (2, "always"),
        (20, "one"),
        (200, "also"),
    ]
    drop_procedures(connection, "view")
    assert connection.execute("SELECT count(*) FROM temp.sqlite_schema WHERE type = 'view'").fetchone() == (
        0,
    )


def test_a_failing_step_under_a_condition_is_named(connection: apsw.Connection) -> None:
    steps = [
        Step("INSERT INTO main.kept VALUES (1, 'one')", "add one"),
        Step("INSERT INTO main.kept VALUES (1, 'again')", "not now", "0"),
        Step("INSERT INTO main.kept VALUES (1, 'again')", "add it again", "1"),
    ]
    with pytest.raises(StepFailed) as caught:
        Procedure(connection, "view", "finish", steps).run(1)
    assert caught.value.step.why == "add it again"
    assert kept(connection) == []


def test_a_step_without_work_and_dropped_procedures(connection: apsw.Connection) -> None:
    Procedure(connection, "view", "nothing", ()).run(1)
    Procedure(connection, "view", "x", [Step("DELETE FROM main.kept", "all")])
    Procedure(connection, "view2", "x", [Step("DELETE FROM main.kept", "all")])
    drop_procedures(connection, "view")
    names = [
        name for (name,) in connection.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'")
    ]
    assert names == ["run:view2:x"]
