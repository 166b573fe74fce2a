"""How things are printed."""

from __future__ import annotations

import pytest

from springline.cli.ask import StreamWriter
from springline.cli.output import Table, age, csv_text, shorten, size, width, wrapped


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "–"), (0, "0 ms"), (999.4, "999 ms"), (999.6, "1.0 s"), (59_949, "59.9 s"), (59_950, "1 min"),
        (3_569_000, "59 min"), (3_600_000, "1 h"), (172_799_000, "48 h"), (172_800_000, "2 d"),
    ],
)  # fmt: skip
def test_ages(milliseconds: float | None, text: str) -> None:
    assert age(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (123_456, "123 kB"), (4_294_967_296, "4.3 GB")]
)  # fmt: skip
def test_sizes(count: float | None, text: str) -> None:
    assert size(count) == text


def test_columns_are_aligned_also_with_wide_characters() -> None:
    table = Table(["CITY", "SEATS"], [["大阪", "7"], ["New York", "1,200"]], frozenset({1}))
    assert table.lines(None) == ["CITY      SEATS", "大阪          7", "New York  1,200"]
    assert {width(line) for line in table.lines(None)} == {15}


def test_a_narrow_terminal_shortens_the_flexible_columns_only() -> None:
    table = Table(["KEY", "TEXT"], [["a-long-key-indeed", "words " * 20]], flexible=(1,))
    [_, line] = table.lines(40)
    assert line.startswith("a-long-key-indeed  words words")
    assert line.endswith("…")
    assert width(line) <= 40
    assert table.lines(None)[1].count("words") == 20


def test_a_column_is_never_shorter_than_its_heading() -> None:
    [heading, _] = Table(["A LONG HEADING", "B"], [["x" * 50, "y" * 50]], flexible=(0,)).lines(20)
    assert heading.startswith("A LONG HEADING")


def test_control_characters_of_data_do_not_reach_the_terminal() -> None:
    [_, line] = Table(["TEXT"], [["a\x1b[31mb\nc\td"]]).lines(None)
    assert line == "a�[31mb⏎c d"


def test_texts_are_cut_at_cells() -> None:
    assert shorten("日本語の文", 7) == "日本語…"
    assert shorten("short", 5) == "short"


def test_lines_are_broken_between_words_and_wide_characters() -> None:
    assert wrapped("one two three four", 9) == ["one two", "three", "four"]
    assert wrapped("航班已取消請改訂", 6) == ["航班已", "取消請", "改訂"]
    assert wrapped("a\n\nb", 10) == ["a", "", "b"]


def test_csv_quotes_and_leaves_null_empty() -> None:
    text = csv_text(["a", "b"], [[None, 'say "hi", please'], [True, [1, 2]]])
    assert text == 'a,b\n,"say ""hi"", please"\ntrue,"[1, 2]"\n'


@pytest.mark.parametrize(
    "tokens",
    [["Is my flight cancelled, and when is the next one?"], ["Is my fl", "ight canc", "elled,", " and when is", " the next one?"]],
)  # fmt: skip
def test_a_streamed_answer_is_broken_between_words(
    tokens: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    writer = StreamWriter(20)
    for token in tokens:
        writer.write(token)
    writer.end()
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == ["Is my flight", "cancelled, and when", "is the next one?"]


def test_a_streamed_answer_keeps_its_paragraphs(capsys: pytest.CaptureFixture[str]) -> None:
    writer = StreamWriter(30)
    for token in ["First li", "ne.\n\nSec", "ond 航班", "取消。"]:
        writer.write(token)
    writer.end()
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "First line.",
        "",
        "Second 航班取消。",
    ]
