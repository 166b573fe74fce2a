"""The visitor's desk on a real PostgreSQL, with both scenarios' statements."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import psycopg2
import pytest

from springline.demo import airline
from springline.demo.fleet import FlightStatus
from springline.demo.flight_sql import BLIZZARD, FLIGHT_SQL, TAU_AIRLINE
from springline.demo.tables import create_statements
from springline.demo.tau_schema import TABLES as TAU_TABLES
from springline.demo.visitors import POLICY_FILE, PostgresReader, VisitorDesk, create_visitor
from springline.errors import NotFound, SqlError


@pytest.fixture
def desk(postgres_database, tmp_path: Path) -> VisitorDesk:
    scenario = airline.scenario()
    connection = psycopg2.connect(postgres_database.dsn)
    scenario.create(connection)
    connection.close()
    return VisitorDesk(create_visitor(postgres_database.tcp_dsn, scenario.tables), BLIZZARD, tmp_path)


def test_a_featured_customers_flight_and_statements_that_run(desk: VisitorDesk) -> None:
    customer = desk.customer("C0001")
    assert customer.name == "Maria Oliveira"
    assert customer.flights == (FlightStatus("B6 155 · 2013-02-08", "scheduled", 0),)
    for example in customer.examples:
        assert desk.run(example.sql).rows_affected > 0, example.title
    assert desk.run(customer.examples[0].sql).command == "UPDATE 1"
    assert desk.truth("C0001")[0].said == "cancelled"


def test_customers_are_found_by_id_and_by_name(desk: VisitorDesk) -> None:
    assert [found.subject for found in desk.customers("C0003", 5)] == ["C0003"]
    assert "C0003" in [found.subject for found in desk.customers("林怡君", 5)]
    assert desk.customers("100%", 5) == []
    with pytest.raises(NotFound):
        desk.customer("C9999'; DROP TABLE flights; --")


def test_a_mistake_has_line_and_column(desk: VisitorDesk) -> None:
    with pytest.raises(SqlError) as caught:
        desk.run("UPDATE flights\nSET stat = 'cancelled'")
    assert (caught.value.line, caught.value.column) == (2, 5)
    assert "stat" in caught.value.message


@pytest.mark.parametrize(
    "sql",
    [
        "COPY flights TO PROGRAM 'cat'",
        "CREATE TABLE mine (x int)",
        "DROP TABLE flights",
        "SELECT pg_read_file('/etc/passwd')",
        "ALTER ROLE visitor SUPERUSER",
    ],
)
def test_a_visitor_may_change_the_airlines_rows_and_nothing_else(desk: VisitorDesk, sql: str) -> None:
    with pytest.raises(SqlError):
        desk.run(sql)


def test_a_statement_may_not_take_for_ever(desk: VisitorDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("springline.demo.visitors.STATEMENT_TIMEOUT_MS", 100)
    with pytest.raises(SqlError) as caught:
        desk.run("SELECT pg_sleep(5)")
    assert "seconds" in (caught.value.hint or "")


def test_a_policy_is_written_whole_and_removed(desk: VisitorDesk, tmp_path: Path) -> None:
    desk.write_policy("Soup is free.")
    assert (tmp_path / POLICY_FILE).read_text() == "# Your own policy\n\nSoup is free.\n"
    assert [path.name for path in tmp_path.iterdir()] == [POLICY_FILE]
    desk.write_policy("  ")
    assert list(tmp_path.iterdir()) == []


def test_who_would_ask_now(desk: VisitorDesk, postgres_database) -> None:
    with psycopg2.connect(postgres_database.dsn) as connection, connection.cursor() as cursor:
        cursor.execute(BLIZZARD.travellers, {"now": datetime.fromisoformat("2013-02-08T12:00:00-05:00")})
        travellers = {row[0] for row in cursor}
    connection.close()
    assert "C0001" in travellers
    assert "C0008" not in travellers
    reader = PostgresReader(postgres_database.dsn, BLIZZARD.truth)
    assert reader.flight_statuses("C0001")[0].status == "scheduled"
    reader.close()


def test_the_tau_airlines_statements_are_valid(postgres_database) -> None:
    assert FLIGHT_SQL["tau-airline"] is TAU_AIRLINE
    with psycopg2.connect(postgres_database.dsn) as connection, connection.cursor() as cursor:
        for table in TAU_TABLES:
            for statement in create_statements(table):
                cursor.execute(statement)
        cursor.execute(TAU_AIRLINE.truth, {"customer": "mia_li_3668"})
        cursor.execute(TAU_AIRLINE.travellers, {"now": datetime.fromisoformat("2024-05-15T15:00:00-05:00")})
        cursor.execute(TAU_AIRLINE.customers, {"pattern": "%li%", "limit": 5})
        cursor.execute(TAU_AIRLINE.customer, {"customer": "mia_li_3668"})
        flight = {"flight_number": "HAT001", "flight_date": "2024-05-16"}
        for _, sql in TAU_AIRLINE.examples([flight]):
            cursor.execute(sql)
    connection.close()
