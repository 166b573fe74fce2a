"""The README's application runs as it stands there, against a real database and a real folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from springline.app import App, Running
from springline.assistant.base import AskRequest
from tests.conftest import PostgresDatabase

README = Path(__file__).parents[2] / "README.md"

TABLES = """
CREATE TABLE customers(id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders(id bigint PRIMARY KEY, customer_id bigint NOT NULL, item text, status text NOT NULL, due date);
INSERT INTO customers VALUES (42, 'Ada'), (43, 'Grace');
INSERT INTO orders VALUES (1, 42, 'Blue kettle', 'shipped', '2026-12-01'), (2, 43, 'Red lamp', 'packed', '2026-12-02'),
                          (3, 42, 'Old chair', 'delivered', '2026-11-01');
"""


def application() -> str:
    blocks = re.findall(r"```python\n(# app\.py\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0]


@pytest.fixture
def running(
    postgres_database: PostgresDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    connection = psycopg2.connect(postgres_database.dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
    connection.close()
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "returns.md").write_text(
        "# Returns\n\nAn order may be returned within 30 days of delivery.\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", postgres_database.dsn)
    monkeypatch.setenv("SPRINGLINE_EMBEDDER", "hashing")
    names: dict[str, object] = {}
    exec(compile(application(), "app.py", "exec"), names)
    app = names["app"]
    assert isinstance(app, App)
    with app.start(data=tmp_path / "data") as running:
        yield running


def test_it_has_fifteen_lines_of_code() -> None:
    code = [line for line in application().splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 15, code


def test_the_application_answers_from_rows_and_passages(running: Running) -> None:
    answer = running.ask(
        AskRequest("Where is my order, and can I return it?", subject="customer:42", deadline_ms=30_000)
    )
    assert "Blue kettle is shipped" in answer.text
    assert "Red lamp" not in answer.text
    assert "30 days" in answer.text
    assert {citation.piece.kind for citation in answer.citations} == {"row", "passage"}
    assert answer.freshness.met


def test_a_change_is_in_the_next_answer_and_the_receipt_can_be_verified(
    running: Running, postgres_database: PostgresDatabase
) -> None:
    before = running.ask(AskRequest("Where is my order?", subject="customer:42", deadline_ms=30_000))
    connection = psycopg2.connect(postgres_database.dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE orders SET status = 'lost' WHERE id = 1")
    connection.close()
    after = running.ask(AskRequest("Where is my order?", subject="customer:42", deadline_ms=30_000))
    assert "shipped" in before.text
    assert "lost" in after.text
    assert before.receipt is not None
    assert after.receipt is not None
    for receipt in (before.receipt, after.receipt):
        assert running.verify(receipt)["verified"] is True


def test_a_folders_documents_carry_title_and_errors(running: Running, tmp_path: Path) -> None:
    answer = running.ask(AskRequest("Can I return it?", subject="customer:42", deadline_ms=30_000))
    [passage] = [citation.piece for citation in answer.citations if citation.piece.kind == "passage"]
    assert passage.title == "Returns"
    (tmp_path / "handbook" / "returns.md").write_bytes(b"\x00\x01\x02")
    with running.runtime.read(require="now", deadline_ms=30_000) as snapshot:
        assert "30 days" in snapshot.search("rules", "returned")[0].text
    assert running.runtime.status().knowledge[0].failed == 1
