"""Words in three languages, as FTS5 finds them."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.context.fulltext import (
    TOKENIZER,
    choose_terms,
    match_query,
    query_terms,
    search_text,
    tokenise,
)

TEXTS = {
    1: "Your flight was cancelled because of the weather.",
    2: "航班取消後，您可以免費改簽。",
    3: "大阪行きのフライトは欠航になりました。",
    4: "Flight UA1545 to Houston (IAH) leaves at 05:15.",
    5: "Überbuchung: café vouchers for passengers' meals",
    6: "猫は客室に持ち込めます。",
}


@pytest.fixture
def table() -> Iterator[apsw.Connection]:
    connection = apsw.Connection("")
    connection.execute(
        f"CREATE VIRTUAL TABLE f USING fts5(heading, body, content='', contentless_delete=1, tokenize='{TOKENIZER}')"
    )
    for identifier, text in TEXTS.items():
        connection.execute(
            "INSERT INTO f(rowid, heading, body) VALUES (?, '', ?)", (identifier, tokenise(text))
        )
    yield connection
    connection.close()


def found(table: apsw.Connection, text: str) -> list[int]:
    return [identifier for identifier, _ in search_text(table, "f", text, 10)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("航班", [2]),
        ("大阪", [3]),
        ("猫", [6]),
        ("フライト", [3]),
        ("ﾌﾗｲﾄ", [3]),
        ("flights cancelled", [1, 4]),
        ("CANCELLATION", [1]),
        ("ua1545", [4]),
        ("１５４５", [4]),
        ("ＵＡ１５４５", [4]),
        ("uberbuchung", [5]),
        ("cafe passenger", [5]),
        ("大阪の航班", [2, 3]),
        ("nothing of this", []),
    ],
)
def test_words_are_found(table: apsw.Connection, text: str, expected: list[int]) -> None:
    assert sorted(found(table, text)) == expected


def test_the_better_match_comes_first(table: apsw.Connection) -> None:
    assert found(table, "Was the flight to Houston cancelled by the weather?")[0] == 1
    assert found(table, "UA1545 flight")[0] == 4


def test_headings_count_double(table: apsw.Connection) -> None:
    table.execute(
        "INSERT INTO f(rowid, heading, body) VALUES (7, '', 'pets are welcome'), (8, 'pets', 'are welcome')"
    )
    assert found(table, "pets") == [8, 7]


def test_deleted_rows_are_not_found(table: apsw.Connection) -> None:
    table.execute("DELETE FROM f WHERE rowid = 2")
    assert found(table, "航班") == []


def test_terms_of_a_question() -> None:
    assert query_terms("Is my flight cancelled, and what are my options?") == [
        "flight",
        "cancelled",
        "options",
    ]
    assert query_terms("what is it") == ["what", "is", "it"]
    assert query_terms("我的航班取消了吗？") == ["的航", "航班", "班取", "取消", "消了", "了吗"]
    assert query_terms("欠航ですか") == ["欠航", "航で"]
    assert query_terms("!?") == []


def test_a_question_is_never_syntax(table: apsw.Connection) -> None:
    for text in (
        'a" OR "b',
        "NEAR(a b)",
        "body: x",
        "* ^ -",
        "'; DROP TABLE f; --",
        "AND OR NOT",
        '"',
        "col:*",
    ):
        found(table, text)
    assert match_query("") is None
    assert match_query('say "hello"') == '"say" OR "hello"'


@given(st.text())
def test_any_text_can_be_stored_and_asked(text: str) -> None:
    connection = apsw.Connection("")
    connection.execute(
        f"CREATE VIRTUAL TABLE f USING fts5(heading, body, content='', tokenize='{TOKENIZER}')"
    )
    clean = text.encode("utf-8", "replace").decode()
    connection.execute("INSERT INTO f(rowid, heading, body) VALUES (1, '', ?)", (tokenise(clean),))
    hits = search_text(connection, "f", clean, 10)
    connection.close()
    assert [identifier for identifier, _ in hits] in ([1], [])


def test_frequent_words_are_left_out_where_rarer_ones_are_there(table: apsw.Connection) -> None:
    table.execute("DELETE FROM f")
    for number in range(300):
        words = (
            ["common"] + ["half"] * (number % 2) + ["third"] * (number % 3 == 0) + ["rare"] * (number == 7)
        )
        table.execute("INSERT INTO f(rowid, heading, body) VALUES (?, '', ?)", (number + 1, " ".join(words)))
    terms = ["common", "half", "third", "rare", "absent"]
    assert choose_terms(table, "f", terms, 1_000) == ["common", "half", "third", "rare"]
    assert choose_terms(table, "f", terms, 260) == ["half", "third", "rare"]
    assert choose_terms(table, "f", ["common"], 10) == ["common"]
    assert found(table, "rare common")[0] == 8
