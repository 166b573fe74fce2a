"""What a question is about, told by words kept as data (``topics.v1.toml``), in several languages. No model is asked.

A topic only ever changes the order in which context is read and quoted, never what may be read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from springline.context.language import choose
from springline.errors import ConfigurationError

DEFAULT_FILE = Path(__file__).parent / "topics.v1.toml"


@dataclass(frozen=True, slots=True)
class Topic:
    """``keywords``: language → words by which a question is recognised. ``terms``: language → words to search documents for.

    ``rows_answer``: rows answer such a question; documents only say more about what the rows say.
    """

    name: str
    keywords: Mapping[str, tuple[str, ...]]
    terms: Mapping[str, str]
    rows_answer: bool = False

    def term(self, language: str) -> str:
        return choose(self.terms, language) or ""


class Topics:
    """Rules that recognise topics. Immutable; thread-safe."""

    def __init__(self, topics: Iterable[Topic]) -> None:
        self.topics = tuple(topics)
        self._patterns = tuple((topic, _pattern(topic)) for topic in self.topics)

    def recognise(self, question: str) -> tuple[Topic, ...]:
        """The topics whose words the question has, in the order of the file."""
        folded = question.casefold()
        return tuple(topic for topic, pattern in self._patterns if pattern.search(folded))

    def named(self, names: Sequence[str]) -> tuple[Topic, ...]:
        return tuple(topic for topic in self.topics if topic.name in names)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(topic.name for topic in self.topics)

    @staticmethod
    def read(path: Path) -> Topics:
        """Raises ConfigurationError where the file is not one of topics."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            return Topics(_topic(entry) for entry in data["topic"])
        except (
            OSError,
            UnicodeDecodeError,
            tomllib.TOMLDecodeError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            raise ConfigurationError(
                f"The file of topics {path} cannot be used: {error!r}.",
                hint="It holds [[topic]] entries with name, keywords and terms; see springline/context/topics.v1.toml.",
            ) from error


def _topic(entry: Mapping[str, Any]) -> Topic:
    keywords = {
        str(tag): tuple(str(word).casefold() for word in words) for tag, words in entry["keywords"].items()
    }
    terms = {str(tag): str(text) for tag, text in entry["terms"].items()}
    return Topic(str(entry["name"]), keywords, terms, entry.get("rows_answer", False) is True)


def _pattern(topic: Topic) -> re.Pattern[str]:
    """Latin words match where a word begins (``cancel`` finds "cancelled"), others anywhere."""
    words = sorted({word for words in topic.keywords.values() for word in words})
    return re.compile(
        "|".join(rf"\b{re.escape(word)}" if word.isascii() else re.escape(word) for word in words)
    )


@cache
def default_topics() -> Topics:
    """The rules that come with Springline: travel and customer service."""
    return Topics.read(DEFAULT_FILE)
