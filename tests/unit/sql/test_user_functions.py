"""Python functions in SQL: types, NULL, failures, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import apsw
import pytest

from springline.core.types import STRING, decimal
from springline.errors import ConfigurationError, SqlError
from springline.sql import compile_query, register_functions
from springline.sql.dialect import Text
from springline.sql.typed import Typed
from springline.sql.user_functions import Functions, table_call
from springline.testing.sql_harness import SqlHarness
from tests.unit.sql.sql_tables import FLIGHTS


def shout(text: str | None) -> str:
    return "?" if text is None else text.upper() + "!"


def fare(price: Decimal, delay: int) -> Decimal:
    return price / delay


def words(text: str) -> Iterator[tuple[str, int]]:
    for place, word in enumerate(text.split()):
        yield word, place


def made() -> Functions:
    functions = Functions()
    functions.add_scalar("shout", shout, ["STRING"], STRING)
    functions.add_scalar("Fare", fare, ["DECIMAL(8, 2)", "INT"], decimal(8, 2))
    functions.add_table("words", words, ["STRING"], {"word": "STRING", "place": "INT"})
    return functions


@pytest.fixture
def harness() -> SqlHarness:
    return SqlHarness([FLIGHTS], functions=made())


def flight(
    harness: SqlHarness, number: int, status: str | None, delay: int, price: str
) -> tuple[object, ...]:
    values = (number, status, delay, Decimal(price), None, None, None, None)
    return harness.store(FLIGHTS.name, values)


def test_a_query_calls_them(harness: SqlHarness) -> None:
    assert harness.query("SELECT SHOUT('a'), shout(CAST(NULL AS STRING)), fare(3, 2), FARE(10.50, 4)") == [
        ("A!", "?", Decimal("1.50"), Decimal("2.63"))
    ]


def test_a_view_follows_its_input(harness: SqlHarness) -> None:
    harness.add_view("loud", "SELECT id, SHOUT(status) AS status FROM flights WHERE shout(status) <> 'GONE!'")
    row, other = flight(harness, 1, "late", 5, "1"), flight(harness, 1, "gone", 5, "1")
    harness.tick({FLIGHTS.name: [(row, 1), (flight(harness, 2, None, 5, "1"), 1)]})
    assert harness.rows("loud") == [(1, "LATE!"), (2, "?")]
    harness.tick({FLIGHTS.name: [(row, -1), (other, 1)]})
    assert harness.rows("loud") == [(2, "?")] == harness.batch("loud")


def test_a_row_on_which_one_fails_is_left_out_of_the_view(harness: SqlHarness) -> None:
    harness.add_view("fares", "SELECT id, FARE(price, delay) AS fare FROM flights")
    bad = flight(harness, 2, None, 0, "1")
    harness.tick({FLIGHTS.name: [(flight(harness, 1, None, 2, "3.00"), 1), (bad, 1)]})
    assert harness.rows("fares") == [(1, 150)] == harness.batch("fares")
    letters = harness.connection.execute('SELECT reason FROM main."s:fares:letters"').fetchall()
    assert letters == [("function Fare raised DivisionByZero: [<class 'decimal.DivisionByZero'>]",)]
    harness.tick({FLIGHTS.name: [(bad, -1), (flight(harness, 2, None, 4, "1"), 1)]})
    assert harness.rows("fares") == [(1, 150), (2, 25)]


def test_a_result_of_another_type_is_a_failure() -> None:
    functions = Functions()
    functions.add_scalar("wrong", lambda text: 5.5, ["STRING"], "INT")
    connection, errors = apsw.Connection(":memory:"), list[str]()
    register_functions(connection, on_error=errors.append, functions=functions)
    program = compile_query("SELECT WRONG('a') AS x", {}, functions=functions)
    assert connection.execute(program.sql).fetchall() == [(None,)]
    assert "5.5 is not a INT" in errors[0]


def test_a_function_is_called_once_for_each_row() -> None:
    calls: list[str] = []
    functions = Functions()
    functions.add_scalar("counted", lambda text: calls.append(text) or text, ["STRING"], "STRING")
    harness = SqlHarness([FLIGHTS], functions=functions)
    harness.add_view("v", "SELECT id, COUNTED(status) AS s FROM flights WHERE COUNTED(status) <> ''")
    harness.tick({FLIGHTS.name: [(flight(harness, 1, "late", 5, "1"), 1)]})
    assert calls == ["late"]


def test_a_table_function_gives_rows(harness: SqlHarness) -> None:
    argument = Typed("'on time'", STRING, False)
    rows, columns = table_call(Text(""), None, made().tables["WORDS"], [argument])  # type: ignore[arg-type]
    listed = ", ".join(f"{typed.sql} AS {name}" for name, typed in columns)
    found = harness.connection.execute(f"SELECT {listed} FROM json_each({rows.sql})").fetchall()
    assert found == [("on", 0), ("time", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT SHOUT() AS x FROM flights", "shout takes 1 arguments, not 0"),
        ("SELECT SHOUT(id) AS x FROM flights", "Argument 1 of shout is INT; it wants STRING"),
        ("SELECT SHOUTT(status) AS x FROM flights", "There is no function SHOUTT"),
    ],
)
def test_wrong_calls_are_refused(harness: SqlHarness, text: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        harness.query(text)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("upper", ["STRING"], "There is a function 'upper' already"),
        ("listagg", ["STRING"], "There is a function"),
        ("two words", ["STRING"], "cannot be the name"),
        ("own", ["TEXT"], "'TEXT' is not a type"),
    ],
)
def test_wrong_declarations_are_refused(name: str, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Functions().add_scalar(name, shout, arguments, "STRING")


def test_a_table_function_has_columns() -> None:
    with pytest.raises(ConfigurationError, match="no columns"):
        Functions().add_table("rows", words, ["STRING"], {})
