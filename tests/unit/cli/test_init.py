"""``springline init`` on a real PostgreSQL."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import psycopg2
import pytest

from springline.cli.scaffold import FoundTable, Plan, app_file, first_view, settings_file
from springline.settings import TABLE
from tests.conftest import PostgresDatabase
from tests.unit.cli.harness import CommandLine, assert_error

SCHEMA = """
CREATE TABLE customers(id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE bookings(id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, "Order" text);
CREATE TABLE lines(text text);
CREATE SCHEMA sales; CREATE TABLE sales.orders(id int PRIMARY KEY);
"""


@pytest.fixture
def dsn(postgres_database: PostgresDatabase) -> str:
    connection = psycopg2.connect(postgres_database.dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
    connection.close()
    return postgres_database.tcp_dsn


def password(dsn: str) -> str:
    return dsn.partition("://")[2].partition("@")[0].partition(":")[2]


def test_init_prints_the_grants_and_writes_a_runnable_application(
    springline: CommandLine, dsn: str, tmp_path: Path
) -> None:
    outcome = springline("init", dsn, "--name", "crm", "--to", "travel", "--role", "ann")
    assert outcome.status == 0, outcome.err
    for part in (
        "+ bookings  key (id)",
        "- lines  has no primary key",
        "+ sales.orders  key (id)",
        'GRANT SELECT ON "public"."bookings" TO "ann";',
        'GRANT USAGE ON SCHEMA "sales" TO "ann";',
        'CREATE PUBLICATION "springline_crm" FOR TABLE',
        "export DATABASE_URL=",
        "springline run travel/app.py",
    ):
        assert part in outcome.out, part
    text = (tmp_path / "travel" / "app.py").read_text()
    assert 'dsn="env:DATABASE_URL"' in text
    assert '"sales.orders",' in text
    assert '"lines"' not in text
    assert "GROUP BY customer_id" in text
    ast.parse(text)
    secret = password(dsn)
    assert secret
    assert secret not in text + outcome.out + outcome.err


def test_init_takes_tables_and_a_reference(
    springline: CommandLine, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_DSN", dsn)
    found = springline("init", "env:CRM_DSN", "--table", "customers", "--json").json
    assert found["tables"] == ["customers"]
    assert found["without_key"] == ["lines"]
    assert not [one for one in found["findings"] if one["severity"] == "error"]
    assert 'dsn="env:CRM_DSN"' in (tmp_path / "app.py").read_text()


def test_init_never_overwrites_unless_forced(springline: CommandLine, dsn: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine")
    assert_error(springline("init", dsn), 2, "app.py is already there", "--force")
    assert (tmp_path / "app.py").read_text() == "mine"
    assert springline("init", dsn, "--force").status == 0
    assert (tmp_path / "app.py").read_text() != "mine"


def test_init_says_what_is_wrong_and_writes_nothing(
    springline: CommandLine, dsn: str, tmp_path: Path
) -> None:
    assert_error(springline("init", dsn, "--table", "custmers"), 2, "no table 'custmers'", "customers")
    assert_error(springline("init", dsn, "--table", "lines"), 2, "no primary key", "ALTER TABLE lines")
    assert_error(
        springline("init", "postgresql://ann:hidden-word@127.0.0.1:1/crm"),
        3,
        "127.0.0.1",
        "Check host and port",
    )
    assert_error(springline("init", "nonsense of a dsn"), 2, "not one that PostgreSQL understands")
    assert "hidden-word" not in springline("init", "postgresql://ann:hidden-word@127.0.0.1:1/crm").err
    assert not list(tmp_path.iterdir())


PEOPLE = FoundTable("people", ("id", "order", "Name"), ("id",), 10)


def test_without_references_the_first_view_shows_rows() -> None:
    name, sql, _ = first_view(Plan("crm", "env:X", [PEOPLE], {}))
    assert (name, sql) == ("people_view", "SELECT id, `order`, `Name`\nFROM crm.people")


def test_with_a_reference_it_counts() -> None:
    notes = FoundTable("sales.notes", ("id", "person"), ("id",), 5)
    plan = Plan("crm", "env:X", [PEOPLE, notes], {("sales.notes", "person"): "people"})
    name, sql, _ = first_view(plan)
    assert name == "notes_by_person"
    assert sql == "SELECT person, COUNT(*) AS rows_notes\nFROM crm.sales.notes\nGROUP BY person"
    ast.parse(app_file(plan))


def test_the_settings_file_names_every_setting_and_sets_none() -> None:
    text = settings_file()
    assert tomllib.loads(text) == {}
    assert not [one.name for one in TABLE if f"\n# {one.name} = " not in text]
    told = "\n".join(line.removeprefix("# ") for line in text.splitlines() if " = " in line)
    assert set(tomllib.loads(told)) == {one.name for one in TABLE}
