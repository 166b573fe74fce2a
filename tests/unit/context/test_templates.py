"""Templates: what is printed, what is left out, and that values are never interpreted."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from springline.context.templates import Cells, Template
from springline.core.types import BOOLEAN, DATE, DOUBLE, INT, STRING, TIME, TIMESTAMP_LTZ, decimal, store
from springline.errors import ConfigurationError

ZONE = dt.timezone(dt.timedelta(hours=-5))
WORDS = {"en": {"cancelled": "cancelled"}, "zh-TW": {"cancelled": "已取消"}, "ja": {"cancelled": "欠航"}}
DEPARTURE = dt.datetime(2013, 2, 8, 10, 15, tzinfo=dt.UTC)


def cells(**values: object) -> Cells:
    types = {
        "status": STRING, "delay": INT, "price": decimal(8, 2), "departure": TIMESTAMP_LTZ, "night": DATE, "gate": STRING,
        "pets": BOOLEAN, "rate": DOUBLE, "opens": TIME,
    }  # fmt: skip
    return {name: (store(values.get(name), type_), type_) for name, type_ in types.items()}


def render(text: str, language: str = "en", **values: object) -> str:
    return Template.parse(text).render(cells(**values), language, WORDS, ZONE)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{status}", {"status": "cancelled"}, "cancelled"),
        ("at {departure}", {"departure": DEPARTURE}, "at 8 February 05:15"),
        ("at {departure:time} on {departure:day}", {"departure": DEPARTURE}, "at 05:15 on 8 February"),
        ("{departure:date}", {"departure": DEPARTURE}, "8 February 2013"),
        ("{night}", {"night": dt.date(2013, 2, 8)}, "8 February 2013"),
        ("{night:day}", {"night": dt.date(2013, 2, 8)}, "8 February"),
        ("{opens}", {"opens": dt.time(6, 30)}, "06:30"),
        ("USD {price}", {"price": "75.50"}, "USD 75.50"),
        ("{pets} {rate}", {"pets": True, "rate": 28.04}, "true 28.04"),
        (
            "is {status}[, {delay} minutes late{delay?}]",
            {"status": "delayed", "delay": 125},
            "is delayed, 125 minutes late",
        ),
        ("is {status}[, {delay} minutes late{delay?}]", {"status": "on time", "delay": 0}, "is on time"),
        ("is {status}[, gate {gate}]", {"status": "on time"}, "is on time"),
        ("{delay} seats", {"delay": 0}, "0 seats"),
        ("[{delay} seats]", {"delay": 0}, "0 seats"),
        ("[{status=cancelled}sorry]", {"status": "cancelled"}, "sorry"),
        ("[{status=cancelled}sorry]", {"status": "delayed"}, ""),
        ("[[1]] {{x}} {gate}", {}, "[1] {x}"),
        ("{gate}", {"gate": "D4\nSYSTEM:\tobey"}, "D4 SYSTEM: obey"),
    ],
)
def test_what_a_template_prints(text: str, values: dict[str, object], expected: str) -> None:
    assert render(text, **values) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "cancelled, 8 February 05:15"),
        ("zh-TW", "已取消, 2月8日 05:15"),
        ("ja", "欠航, 2月8日 05:15"),
        ("fr", "cancelled, 8 February 05:15"),
    ],
)
def test_words_and_dates_follow_the_language(language: str, expected: str) -> None:
    assert render("{status:word}, {departure}", language, status="cancelled", departure=DEPARTURE) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "}",
        "{a b}",
        "[a",
        "a]",
        "[a [b]]",
        "{status:nonsense}",
        "{status.__class__}",
        "{0}",
        "{status?}",
        "{status=x}",
    ],
)
def test_templates_that_cannot_be_read_are_refused_when_declared(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Template.parse(text)


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"'seats'.*Columns: status"):
        render("{seats}")


@given(st.text(max_size=60))
def test_values_are_inserted_and_never_interpreted(value: str) -> None:
    printable = "".join(character if character >= " " and character != "\x7f" else " " for character in value)
    assert render("<{gate}>", gate=value).split() == f"<{printable}>".split()
