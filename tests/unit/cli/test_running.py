"""Commands that talk to a running application; a fake one answers."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from springline.cli.client import error_of
from springline.cli.status import print_status
from springline.errors import NotFresh, SpringlineError, SqlError
from springline.serve.auth import Access
from springline.storage import DataFolder
from springline.testing.fake_demo import Served, serve_fake
from tests.unit.cli.harness import CommandLine, assert_error, served_folder

pytestmark = pytest.mark.usefixtures("running")

QUESTION = "Is my flight cancelled?"


def test_ask_prints_the_answer_and_what_it_rests_on(springline: CommandLine) -> None:
    outcome = springline("ask", QUESTION, "--as", "C0001")
    assert outcome.status == 0
    assert outcome.out.splitlines()[0].startswith("Flight ")
    assert re.search(
        r"^ \[1\] customer_flights booking_reference=\S+ +as of \d+ ms ago  airline postgres:",
        outcome.out,
        re.M,
    )
    assert "No language model is configured" in outcome.out
    assert "Reflects every change committed before the question" in outcome.out
    assert re.search(r"^Receipt r_\w+$", outcome.out, re.M)
    assert "\x1b" not in outcome.out


def test_ask_streams_to_a_terminal(springline: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = springline("ask", QUESTION, "--as", "C0001", "--json").json["answer"]
    monkeypatch.setattr("springline.cli.ask.is_terminal", lambda: True)
    outcome = springline("ask", QUESTION, "--as", "C0001")
    answer, _, _ = outcome.out.partition("\n\n")
    assert " ".join(answer.split()) == " ".join(whole.split())
    assert max(len(line) for line in answer.splitlines()) <= 80
    assert "Receipt r_" in outcome.out


def test_ask_as_json_is_the_answer_of_the_interface(springline: CommandLine) -> None:
    answer = springline("ask", QUESTION, "--as", "C0001", "--require", "none", "--json").json
    assert answer["freshness"]["require"] == "none"
    assert {"answer", "citations", "receipt", "snapshot"} <= set(answer)


def test_search_finds_passages_of_the_only_knowledge_base(springline: CommandLine) -> None:
    outcome = springline("search", "pets in the cabin", "--limit", "2")
    assert outcome.status == 0
    assert re.search(r"^1  \S+\.md › ", outcome.out)
    assert len(springline("search", "pets", "--in", "policies", "--limit", "2", "--json").json["hits"]) == 2
    assert_error(springline("search", " " * 5_000), 1, "characters")


def test_status_shows_sources_relations_and_knowledge(springline: CommandLine) -> None:
    outcome = springline("status")
    assert outcome.status == 0
    for pattern in (
        r"^running for ",
        r"^SOURCE +STATE",
        r"^airline +streaming",
        r"^customer_flights +view +live",
        r"^policies +12 of 12",
    ):
        assert re.search(pattern, outcome.out, re.M), pattern
    assert springline("status", "--json").json["state"] == "running"


def test_status_says_how_many_rows_a_view_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    relation = {
        "name": "trips",
        "kind": "view",
        "state": "live",
        "rows": 5,
        "tick": 9,
        "error": None,
        "left_out": 2,
    }
    found = {
        "state": "running", "started_at_us": 0, "tick": 9, "changes_total": 1, "changes_per_second": 0.0,
        "ticks_per_second": 0.0, "commit_to_visible_ms": {}, "sources": {}, "relations": [relation], "knowledge": [],
        "log_bytes": 1, "state_bytes": 1, "wal_bytes": 1, "dead_letters": 2, "errors": [],
    }  # fmt: skip
    print_status(found, 1.0)
    assert "! view trips leaves out 2 rows: `springline dead-letters trips`" in capsys.readouterr().out


def test_dead_letters(springline: CommandLine) -> None:
    outcome = springline("dead-letters")
    assert "view customer_flights, row of airline.flights" in outcome.out
    assert "CAST(gate AS INT) failed" in outcome.out
    [letter] = springline("dead-letters", "customer_flights", "--json").json["dead_letters"]
    assert (letter["tick"], letter["key"]) == (3, '{"flight_id": 1}')
    assert "no dead letters" in springline("dead-letters", "policies").err


def test_status_can_be_watched_and_interrupted(
    springline: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("springline.cli.status.time.sleep", sleep)
    outcome = springline("status", "--watch", "--json", "--interval", "0.5")
    assert outcome.status == 130
    assert looks == [0.5] * 3
    assert [json.loads(line)["state"] for line in outcome.out.splitlines()] == ["running"] * 3


SQL = "SELECT customer_id, fare FROM customer_flights ORDER BY customer_id LIMIT 3"


def test_query_prints_a_table_json_or_csv(springline: CommandLine) -> None:
    outcome = springline("query", SQL)
    assert [line.split()[0] for line in outcome.out.splitlines()] == [
        "customer_id",
        "C0001",
        "C0002",
        "C0003",
    ]
    assert re.search(r"^3 rows · tick \d+ · airline as of \d+ ms ago$", outcome.err, re.M)
    found = springline("query", SQL, "--json").json
    assert [row["customer_id"] for row in found["rows"]] == ["C0001", "C0002", "C0003"]
    assert springline("query", SQL, "--format", "json").json["rows"] == found["rows"]
    listed = list(csv.DictReader(io.StringIO(springline("query", SQL, "--format", "csv").out)))
    assert listed == found["rows"]


def test_query_says_when_there_is_more(springline: CommandLine) -> None:
    outcome = springline(
        "query", "SELECT customer_id FROM customer_flights", "--limit", "2", "--format", "csv"
    )
    assert len(outcome.out.splitlines()) == 3
    assert "more rows than 2" in outcome.err


def test_query_takes_parameters(springline: CommandLine) -> None:
    sql = "SELECT customer_id FROM customer_flights WHERE customer_id = :who"
    assert len(springline("query", sql, "-p", "who=C0002", "--json").json["rows"]) == 1
    assert_error(springline("query", sql, "-p", "who"), 2, "NAME=VALUE")


def test_errors_of_the_server_have_the_status_of_their_kind(springline: CommandLine) -> None:
    assert_error(springline("query", "SELEC"), 2, "syntax error", "Hint:")
    assert_error(springline("explain", "absent"), 5, "There is no view 'absent'", "Hint:")
    refused = springline("query", "SELEC", "--json")
    assert json.loads(refused.err)["code"] == "sql"


def test_explain(springline: CommandLine) -> None:
    assert "delta" in springline("explain", "customer_flights").out
    assert springline("explain", "customer_flights", "--json").json["view"] == "customer_flights"


def test_a_receipt_is_shown_and_verified(springline: CommandLine) -> None:
    receipt = springline("ask", QUESTION, "--as", "C0001", "--json").json["receipt"]
    shown = springline("receipts", receipt)
    assert receipt in shown.out
    assert QUESTION in shown.out
    assert springline("receipts", receipt, "--json").json["id"] == receipt
    verified = springline("verify", receipt)
    assert verified.status == 0
    assert "verified" in verified.out
    assert_error(springline("verify", "absent"), 5, "no receipt")


@pytest.mark.parametrize(
    ("verified", "status", "word"), [(False, 65, "DIFFERENT"), (None, 66, "cannot tell")]
)
def test_verify_tells_by_its_status(
    springline: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    fake: Served,
    verified: bool | None,
    status: int,
    word: str,
) -> None:
    found = {
        "receipt": "r",
        "verified": verified,
        "detail": "Why.",
        "differences": [{"what": "changed", "detail": "row [1] says something else"}],
    }
    monkeypatch.setattr(fake.service, "verify", lambda _: found)
    outcome = springline("verify", "r")
    assert outcome.status == status
    assert word in outcome.out
    assert "- row [1] says something else" in outcome.out
    assert springline("verify", "r", "--json").status == status


# -- finding the process -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [("ask", "x"), ("search", "x"), ("status",), ("verify", "r"), ("query", "SELECT 1", "--require", "now")],
)
def test_without_a_process_the_folder_is_named(
    arguments: tuple[str, ...], springline: CommandLine, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    assert_error(springline(*arguments, "--data", str(elsewhere)), 4, str(elsewhere), "springline run app.py")
    assert not elsewhere.exists()


def test_a_process_without_http_is_named(springline: CommandLine, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "busy")
    folder.lock()
    assert_error(springline("status", "--data", str(folder.path)), 4, "serves no HTTP")
    folder.unlock()


def test_an_owner_left_by_a_killed_process_is_not_believed(springline: CommandLine, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "left")
    folder.path.mkdir()
    (folder.path / "lock").touch()
    folder.owner_path.write_text('{"pid": 1, "url": "http://127.0.0.1:1"}')
    assert_error(springline("status", "--data", str(folder.path)), 4, "No application runs")


def test_a_server_that_does_not_answer_is_named(springline: CommandLine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        assert_error(springline("status", "--url", url), 4, url, "does not answer")
    assert_error(springline("status", "--url", "ftp://x"), 2, "not the URL of a server")


def test_url_goes_before_the_data_folder(springline: CommandLine, fake: Served, tmp_path: Path) -> None:
    outcome = springline("status", "--json", "--url", fake.server.url, "--data", str(tmp_path / "absent"))
    assert outcome.json["state"] == "running"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    served = serve_fake(demo=False, access=Access(token="a-token-that-is-long-enough"))
    yield served
    served.close()


def test_the_token_is_sent_and_never_shown(
    springline: CommandLine, guarded: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served_folder(tmp_path / "guarded", guarded) as folder:
        arguments = ("status", "--data", str(folder.path))
        assert_error(springline(*arguments), 1, "needs a token")
        monkeypatch.setenv("SPRINGLINE_TOKEN", "a-wrong-token-of-that-length")
        wrong = springline(*arguments, "--json")
        assert json.loads(wrong.err)["code"] == "unauthorized"
        assert "a-wrong-token" not in wrong.err
        monkeypatch.setenv("MY_TOKEN", "a-token-that-is-long-enough")
        assert springline(*arguments, "--token", "env:MY_TOKEN").status == 0


def test_told_errors_keep_code_status_and_place() -> None:
    fresh = error_of({"code": "not_fresh", "message": "Too late.", "hint": "Wait.", "transient": True})
    assert isinstance(fresh, NotFresh)
    assert fresh.exit_status == 5
    sql = error_of(
        {"code": "sql", "message": "No.", "hint": None, "transient": False, "line": 2, "column": 5}
    )
    assert isinstance(sql, SqlError)
    assert (sql.line, sql.column, sql.message) == (2, 5, "No.")
    other = error_of({"code": "too_many_streams", "message": "No.", "hint": None, "transient": True})
    assert type(other) is SpringlineError
    assert other.to_json() == {"code": "too_many_streams", "message": "No.", "hint": None, "transient": True}
    assert SpringlineError("x").to_json()["code"] == "springline_error"
