"""How documents are cut, in the picture of the documents."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springline.core.text import count_tokens, guess_language
from springline.operators.sentences import sentence_starts
from springline.operators.splitting import Passage, SplitLimits, split

SMALL = SplitLimits(maximum_tokens=40, minimum_tokens=10)


def texts(document: str, limits: SplitLimits = SMALL, format: str = "markdown") -> list[str]:
    return [passage.text for passage in split(document, format=format, limits=limits)]  # type: ignore[arg-type]


def sentences(text: str) -> list[str]:
    starts = [0, *sentence_starts(text)]
    return [text[start:stop].strip() for start, stop in zip(starts, [*starts[1:], len(text)], strict=True)]


def test_sections_are_never_merged_and_carry_their_path() -> None:
    document = "Before.\n\n# Rebooking\n\nFree.\n\nSecond paragraph.\n\n## Fees ##\n\nNone.\n\nTitle\n=====\n\nText.\n\nSub\n---\nMore.\n"
    assert [(p.heading_path, p.text) for p in split(document, format="markdown")] == [
        ((), "Before."),
        (("Rebooking",), "Free.\n\nSecond paragraph."),
        (("Rebooking", "Fees"), "None."),
        (("Title",), "Text."),
        (("Title", "Sub"), "More."),
    ]


def test_headings_are_cleaned_and_an_empty_section_speaks_for_itself() -> None:
    document = "# **Pets** and [bags](x.md) in `cabin`\n\n## Dogs\n\n## Cats\n\nYes.\n"
    assert [(p.heading_path, p.text) for p in split(document, format="markdown")] == [
        (("Pets and bags in cabin", "Dogs"), "Dogs"),
        (("Pets and bags in cabin", "Cats"), "Yes."),
    ]


def test_comments_and_front_matter_are_skipped_and_code_is_not_structure() -> None:
    document = (
        "---\ntitle: x\n---\n\n# One\n\nSeen <!-- not\nseen --> again, `<!-- code -->`.\n\n"
        "```sh\n# not a heading\n<!-- kept -->\n```\n\n- item\n\n  ```\n  # not one either\n  ```\n"
    )
    (passage,) = split(document, format="markdown")
    assert passage.text == (
        "Seen \n again, `<!-- code -->`.\n\n```sh\n# not a heading\n<!-- kept -->\n```\n\n- item\n\n  ```\n  # not one either\n  ```"
    )


def test_quotations_lose_their_marks() -> None:
    assert texts("> # Quoted\n> text\n>\n> more\n") == ["# Quoted\ntext\n\nmore"]


def test_a_long_table_repeats_its_header() -> None:
    rows = [f"| Elite {number} | {number}00 miles a year |" for number in range(20)]
    document = "\n".join(["| Status | Needs |", "|---|---|", *rows])
    found = texts(document)
    assert len(found) > 3
    assert all(text.startswith("| Status | Needs |\n|---|---|\n| Elite") for text in found)
    assert [row for text in found for row in text.split("\n")[2:]] == rows


def test_long_code_repeats_its_fence_and_is_cut_between_lines() -> None:
    lines = [f"value_{number} = compute({number})" for number in range(30)]
    found = texts("```python\n" + "\n".join(lines) + "\n```")
    assert len(found) > 2
    assert all(text.startswith("```python\n") for text in found)
    assert [line for text in found for line in text.split("\n") if line.startswith("value")] == lines


def test_a_long_list_is_cut_between_items() -> None:
    items = [f"- item number {number} says something of its own\n  and goes on" for number in range(12)]
    found = texts("# List\n\n" + "\n".join(items))
    assert len(found) > 2
    assert [item for text in found for item in re.split(r"\n(?=- )", text)] == items


def test_what_a_colon_announces_stays_with_it() -> None:
    lead = "You may bring the following things with you on board of any of our aircraft:"
    document = f"First some other words, which have nothing to do with it at all, so be it.\n\n{lead}\n\n- a bag\n- a coat\n- a cane\n"
    assert any(text.startswith(lead) and "- a bag" in text for text in texts(document))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Dr. Smith paid $3.50 on Jan. 5. "Really?" she asked. Yes! See e.g. rule no. 7. The U.S. Department agrees.',
            [
                "Dr. Smith paid $3.50 on Jan. 5.",
                '"Really?" she asked.',
                "Yes!",
                "See e.g. rule no. 7.",
                "The U.S. Department agrees.",
            ],
        ),
        ("航班取消了。可以免費改簽嗎？可以！", ["航班取消了。", "可以免費改簽嗎？", "可以！"]),
        ("他說：「好。」然後走了。", ["他說：「好。」", "然後走了。"]),
        (
            "「行きます。」と言った。本当に……そうです。",
            ["「行きます。」と言った。", "本当に……", "そうです。"],
        ),
        ("No end", ["No end"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Your flight was cancelled.", "en"),
        ("您的航班已取消，可以免費改簽。", "zh"),
        ("フライトが欠航になりました。", "ja"),
        ("大阪行きの便", "ja"),
        ("Рейс отменён", "other"),
        ("", "other"),
        ("123 - 456", "other"),
        ("UA1545 航班", "zh"),
        (
            "Die Flüge wurden gestrichen und wir möchten gerne sofort umbuchen oder unser Geld zurück haben",
            "other",
        ),
    ],
)
def test_languages(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_kanji_alone_in_a_japanese_document_is_japanese() -> None:
    document = "# 大阪\n\n欠航時無料変更可能\n\n# 手荷物\n\nこちらは手荷物についての説明です。\n"
    assert [passage.language for passage in split(document, format="markdown")] == ["ja", "ja"]


def test_chinese_and_japanese_are_cut_at_sentences() -> None:
    chinese = "".join(f"第{number}條規定旅客可以在起飛前免費改簽一次。" for number in range(12))
    found = texts(chinese)
    assert len(found) > 3
    assert "".join(found) == chinese
    assert all(text.endswith("。") for text in found)


def test_plain_text_has_no_headings() -> None:
    assert texts("# not a heading\n\nA paragraph.", format="text") == ["# not a heading\n\nA paragraph."]


def test_equal_passages_share_a_hash_and_differ_in_ordinal() -> None:
    first, second = split("# A\n\nSame.\n\n# A\n\nSame.\n", format="markdown")
    assert first.hash == second.hash
    assert (first.ordinal, second.ordinal) == (0, 1)


def test_line_endings_do_not_change_passages() -> None:
    document = "# A\n\nOne\ntwo.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert [p.hash for p in split(document, format="markdown")] == [
        p.hash for p in split(document.replace("\n", "\r\n"), format="markdown")
    ]


def test_one_endless_word_is_cut_too() -> None:
    found = split("A" * 5_000 + " " + "航" * 500, format="markdown", limits=SMALL)
    assert all(count_tokens(passage.text) <= 40 for passage in found)
    assert "".join(passage.text for passage in found).count("航") == 500


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="at most half"):
        SplitLimits(maximum_tokens=10, minimum_tokens=6)
    with pytest.raises(ValueError, match="not 'pdf'"):
        split("", format="pdf")  # type: ignore[arg-type]


PIECES = st.sampled_from(
    ["# H\n", "## H2\n", "text. ", "More text! ", "\n", "\n\n", "- item\n", "  - sub\n", "1. one\n", "| a | b |\n", "|---|---|\n",
     "```\n", "~~~~\n", "> quote\n", "<!--", "-->", "---\n", "===\n", "航班取消。", "欠航です！", "\r\n", "    code\n", "\t", "`",
     "word " * 30]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_document_is_cut_whole_within_limits_and_deterministically(document: str) -> None:
    passages = split(document, format="markdown", limits=SMALL)
    assert passages == split(document, format="markdown", limits=SMALL)
    assert [passage.ordinal for passage in passages] == list(range(len(passages)))
    for before, after in pairwise(passages):
        assert before.end <= after.start
    for passage in passages:
        assert passage.text.strip()
        assert 0 <= passage.start < passage.end <= len(document)
        is_heading = (passage.text,) == passage.heading_path[-1:]
        assert is_heading or count_tokens(passage.text) <= SMALL.maximum_tokens + 2
    plain = split(document, format="text", limits=SMALL)
    kept = "".join(passage.text for passage in plain)
    assert re.sub(r"\s", "", kept) == re.sub(r"\s", "", document)


WORDS = (
    "refund ticket flight cancelled weather voucher hotel night counter agent fee waived within hours".split()
)


def random_document(chance: random.Random, language: str) -> list[list[list[str]]]:
    """Sections of paragraphs of sentences."""

    def sentence() -> str:
        if language == "en":
            words = chance.choices(WORDS, k=chance.randrange(4, 18))
            return " ".join(words).capitalize() + "."
        return (
            "".join(chance.choices("航班取消改簽退款旅客行李機場天氣免費", k=chance.randrange(6, 30))) + "。"
        )

    return [
        [[sentence() for _ in range(chance.randrange(1, 14))] for _ in range(chance.randrange(1, 7))]
        for _ in range(4)
    ]


def written(document: list[list[list[str]]], language: str) -> list[Passage]:
    gap = " " if language == "en" else ""
    sections = [
        f"## Section {number}\n\n" + "\n\n".join(gap.join(paragraph) for paragraph in section)
        for number, section in enumerate(document)
    ]
    return split("\n\n".join(sections), format="markdown")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("edit", ["replace", "insert", "delete"])
def test_one_edited_sentence_changes_about_one_passage(language: str, edit: str) -> None:
    """Never more than its neighbourhood, and on the mean little more than one: boundaries follow content, not a count."""
    chance = random.Random(f"{language} {edit}")
    changed: list[int] = []
    for _ in range(150):
        document = random_document(chance, language)
        before = {passage.hash for passage in written(document, language)}
        paragraph = chance.choice(chance.choice(document))
        place = chance.randrange(len(paragraph))
        sentence = random_document(chance, language)[0][0][0]
        if edit == "replace":
            paragraph[place] = sentence
        elif edit == "insert":
            paragraph.insert(place, sentence)
        elif len(paragraph) > 1:
            del paragraph[place]
        changed.append(len({passage.hash for passage in written(document, language)} - before))
    assert max(changed) <= 5
    assert sum(changed) / len(changed) <= 1.5


def test_operators_import_the_standard_library_only(tmp_path: Path) -> None:
    """They also run inside Flink's Python, with none of our dependencies installed."""
    root = Path(__file__).parents[3] / "src"
    script = "import springline.operators.splitting, springline.operators.knowledge"
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {script}"],
        check=True,
    )
