"""Declarations: what is refused at once, and how subjects are read."""

from __future__ import annotations

import pytest

from springline.context.definition import ContextDefinition, Passages, Rows, Subject
from springline.context.language import answer_language, choose
from springline.context.topics import Topics, default_topics
from springline.core.types import INT, STRING
from springline.errors import ConfigurationError, NotFound


def test_rows_that_name_no_subject_must_be_declared_public() -> None:
    with pytest.raises(ConfigurationError, match="anybody could be given them"):
        Rows("trips")
    assert Rows("hotels", public=True).subject_column is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"relation": "trips", "public": True, "subject_column": "id"},
        {"relation": "trips", "subject_column": "id", "match": ("airport",)},
        {"relation": "SELECT * FROM trips", "subject_column": "id"},
        {"relation": "trips", "subject_column": "id", "limit": 0},
        {"relation": "trips", "subject_column": "id", "describe": "{broken"},
        {"relation": "trips", "public": True, "identifies": True},
    ],
)
def test_declarations_that_cannot_be_meant_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Rows(**arguments)  # type: ignore[arg-type]


def test_definitions_check_their_parts() -> None:
    with pytest.raises(ConfigurationError, match="one name"):
        ContextDefinition("customer", (Passages("a"), Passages("a")))
    with pytest.raises(ConfigurationError, match="time zone"):
        ContextDefinition("customer", (), time_zone="Mars/Olympus")
    with pytest.raises(ConfigurationError, match="topic 'weddings'"):
        ContextDefinition("customer", (Rows("trips", subject_column="id", topics=("weddings",)),))


def test_the_fingerprint_follows_the_declaration_and_nothing_else() -> None:
    def made(limit: int = 8, badge: str = "recorded") -> str:
        rows = Rows("trips", subject_column="id", limit=limit, badges={"id": badge})  # type: ignore[dict-item]
        return ContextDefinition("customer", (rows,)).fingerprint

    assert made() == made(badge="generated")
    assert made() != made(limit=3)


def test_subjects_are_kind_and_id() -> None:
    assert Subject.parse("customer:42", "customer") == Subject("customer", "42")
    assert Subject.parse("42", "customer") == Subject("customer", "42")
    assert Subject.parse("customer:a:b", "customer").id == "a:b"
    for wrong in ("supplier:42", "customer:", " ", ""):
        with pytest.raises(NotFound):
            Subject.parse(wrong, "customer")


def test_a_subject_has_the_columns_type_and_one_spelling() -> None:
    assert Subject("customer", "42").value(INT) == 42
    assert Subject("customer", "042").value(STRING) == "042"
    for wrong in ("042", "42.0", "4 2", "x", "+42", "４２"):
        with pytest.raises(NotFound):
            Subject("customer", wrong).value(INT)


@pytest.mark.parametrize(
    ("question", "requested", "expected"),
    [
        ("Is my flight cancelled?", None, "en"),
        ("我的航班取消了嗎？", None, "zh-TW"),
        ("我的航班取消了吗？", None, "zh-CN"),
        ("私の便は欠航ですか。", None, "ja"),
        ("Is my flight cancelled?", "ja", "ja"),
        ("Is my flight cancelled?", "ja-JP", "ja"),
        ("Is my flight cancelled?", "zh", "zh-TW"),
        ("Is my flight cancelled?", "zh-Hans", "zh-CN"),
        ("Is my flight cancelled?", "no language at all!", "en"),
        ("", None, "en"),
    ],
)
def test_the_answers_language(question: str, requested: str | None, expected: str) -> None:
    assert answer_language(question, requested) == expected


def test_texts_fall_back_to_another_form_of_the_language_then_to_english() -> None:
    texts = {"en": "e", "zh-TW": "t"}
    assert [choose(texts, tag) for tag in ("zh-TW", "zh-CN", "fr")] == ["t", "t", "e"]


@pytest.mark.parametrize(
    ("question", "topics"),
    [
        ("Is my flight cancelled, and what are my options?", {"status", "rebooking"}),
        ("How long does a refund take?", {"refund"}),
        ("Which hotel near JFK still has rooms tonight?", {"hotel"}),
        ("Can my dog travel in the cabin?", {"pets"}),
        ("我的航班取消了嗎？我有哪些選擇？", {"status", "rebooking"}),
        ("払い戻しはいつですか。", {"refund"}),
        ("What is the capital of France?", set()),
    ],
)
def test_topics_are_recognised_in_three_languages(question: str, topics: set[str]) -> None:
    assert {topic.name for topic in default_topics().recognise(question)} == topics


def test_a_file_of_topics_that_is_none_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "topics.toml"
    file.write_text("[[topic]]\nname = 'x'\n")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Topics.read(file)
