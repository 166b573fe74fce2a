"""What a question is given, declared: which rows, which passages, how much of each.

Whose rows may be read is part of the query (``WHERE subject_column = :subject``), never of the prompt: a part without a subject
column must say that its rows are public.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from springline.context.language import Localised
from springline.context.templates import Template, Words
from springline.context.topics import Topics, default_topics
from springline.core.types import STRING, SqlType, Stored, render, store
from springline.errors import ConfigurationError, NotFound

Badge: TypeAlias = Literal["recorded", "modelled", "generated"]
"""Where a fact comes from: seen in the world, computed by a stated model, or made up from a seed."""

Badges: TypeAlias = Mapping[str, Badge] | Callable[[str, object], Badge | None]
"""Column → badge, or a function of the column and its rendered value."""

_SELECT = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
_USES_SUBJECT = re.compile(r"(?<![:\w]):subject\b")

DEFAULT_TOKEN_BUDGET: Final = 2_400


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a question is about, and whose rows may be read: ``customer:42``."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"

    @staticmethod
    def parse(text: str, kind: str) -> Subject:
        """``customer:42``, or only ``42`` where ``kind`` is ``customer``. Raises NotFound for another kind or an empty id."""
        found, separator, identifier = text.partition(":")
        if not separator:
            found, identifier = kind, text
        if found != kind or not identifier.strip():
            raise NotFound(
                f"{text!r} is not a subject of this assistant.",
                hint=f"Name it like '{kind}:42', or by its key alone.",
            )
        return Subject(kind, identifier)

    def value(self, type_: SqlType) -> Stored:
        """The id as a value of the subject column's type. Raises NotFound where it is none: there is then no such subject."""
        try:
            stored = store(_python(self.id, type_), type_)
            written = str(render(stored, type_))
        except (ValueError, TypeError) as error:
            raise NotFound(f"There is no subject {self}: {self.id!r} is not a {type_}.") from error
        if type_.is_integer and written != self.id:
            # '042' and '42' must not be two names of one subject.
            raise NotFound(f"There is no subject {self}: the number is written {written!r}.")
        return stored


def _python(text: str, type_: SqlType) -> object:
    return int(text) if type_.is_integer else text


@dataclass(frozen=True)
class Rows:
    """Rows of a view or table, or of one SELECT, filtered to the subject in the query.

    ``relation``: a relation's name, or a SELECT of our SQL. A SELECT may use ``:subject`` itself; otherwise it is filtered from outside.
    Either way every row that comes back is checked, so its columns must include ``subject_column``.
    ``subject_column``: the column that names the subject. Required unless ``public`` says that anybody may read these rows.
    ``title``, ``describe``, ``search_terms``: templates (``context.templates``), one for all languages or one for each. ``describe`` makes
    the sentence that answers and prompts carry; ``search_terms`` gives words to search passages for, so that a cancelled flight
    finds the rules about cancellations. ``words``: how values are said in each language.
    ``topics``: questions of these topics (``context.topics``) get these rows first; none: every question does.
    ``match``: of public rows, columns of which one value must occur in the question or in the subject's own rows, so that only the
    hotels at the traveller's airport are given. ``order_by``: SQL; the key otherwise.
    ``key`` and ``subject_type`` are taken from the relation's schema; a SELECT must give its key, and its subject's type unless STRING.
    ``identifies``: a subject without such a row does not exist, and asking as one raises NotFound.
    ``badges``: for each column where its facts come from.
    """

    relation: str
    _: KW_ONLY
    name: str = ""
    subject_column: str | None = None
    public: bool = False
    title: Localised = ""
    describe: Localised = ""
    search_terms: Localised = ""
    words: Words = field(default_factory=dict[str, Mapping[str, str]])
    topics: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    order_by: str = ""
    columns: tuple[str, ...] = ()
    limit: int = 8
    priority: int = 1
    key: tuple[str, ...] = ()
    subject_type: SqlType | None = None
    identifies: bool = False
    badges: Badges = field(default_factory=dict[str, Badge])

    def __post_init__(self) -> None:
        if not self.public and self.subject_column is None:
            raise ConfigurationError(
                f"The rows of {self.label!r} name no subject_column, so anybody could be given them.",
                hint="Name the column that holds the subject, or declare the rows with public=True.",
            )
        if self.public and (self.subject_column is not None or self.identifies):
            raise ConfigurationError(
                f"The rows of {self.label!r} are declared public and also filtered to a subject.",
                hint="Leave out public=True, or else subject_column and identifies.",
            )
        if self.match and not self.public:
            raise ConfigurationError(
                f"Only public rows take match; {self.label!r} is filtered to its subject already."
            )
        if self.is_select and not self.key:
            raise ConfigurationError(
                f"The rows of {self.label!r} come from a SELECT without a key.",
                hint="Name the columns that identify a row with key=(…); citations and receipts need them.",
            )
        if self.limit < 1:
            raise ConfigurationError(
                f"The rows of {self.label!r} have a limit of {self.limit}; it must be at least 1."
            )
        for text in (self.title, self.describe, self.search_terms):
            for template in [text] if isinstance(text, str) else text.values():
                Template.parse(template)

    @property
    def label(self) -> str:
        """What the part is called in receipts and errors."""
        return self.name or " ".join(self.relation.split())[:60]

    @property
    def is_select(self) -> bool:
        return _SELECT.match(self.relation) is not None

    @property
    def uses_subject(self) -> bool:
        return self.is_select and _USES_SUBJECT.search(self.relation) is not None

    @property
    def subject_sql_type(self) -> SqlType:
        return self.subject_type or STRING


@dataclass(frozen=True)
class Passages:
    """Passages of a knowledge base, found by hybrid search of the question and the rows' search terms. They are public."""

    knowledge_base: str
    _: KW_ONLY
    limit: int = 6
    priority: int = 2

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigurationError(
                f"The passages of {self.label!r} have a limit of {self.limit}; it must be at least 1."
            )

    @property
    def label(self) -> str:
        return self.knowledge_base


Part: TypeAlias = Rows | Passages


@dataclass(frozen=True)
class ContextDefinition:
    """What the questions of one assistant are given.

    ``subject_kind``: what ``customer`` is in ``customer:42``. Pieces are numbered in the order of ``parts``; under the token budget,
    those with the lowest ``priority`` number stay. ``time_zone``: in which rows' instants are told.
    """

    subject_kind: str
    parts: tuple[Part, ...]
    _: KW_ONLY
    token_budget: int = DEFAULT_TOKEN_BUDGET
    time_zone: str = "UTC"
    topics: Topics = field(default_factory=default_topics)

    def __post_init__(self) -> None:
        labels = [part.label for part in self.parts]
        if len(set(labels)) != len(labels):
            raise ConfigurationError(
                "Two parts of a context have one name.", hint="Give each a name of its own."
            )
        if self.token_budget < 1:
            raise ConfigurationError(f"A context cannot have {self.token_budget} tokens.")
        unknown = {topic for part in self.rows for topic in part.topics} - self.topics.names
        if unknown:
            raise ConfigurationError(
                f"The topic {sorted(unknown)[0]!r} is not known.",
                hint=f"Known: {', '.join(sorted(self.topics.names))}.",
            )
        _ = self.zone

    @property
    def rows(self) -> tuple[Rows, ...]:
        return tuple(part for part in self.parts if isinstance(part, Rows))

    @property
    def knowledge_bases(self) -> tuple[str, ...]:
        return tuple(part.knowledge_base for part in self.parts if isinstance(part, Passages))

    @cached_property
    def zone(self) -> dt.tzinfo:
        if self.time_zone == "UTC":
            return dt.UTC
        try:
            return zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"The time zone {self.time_zone!r} is not known here.",
                hint="Use a name of the IANA database; where the system has none, `pip install tzdata`.",
            ) from error

    @cached_property
    def fingerprint(self) -> str:
        """Changes with the declaration: a receipt can only be verified against the definition that it was made with."""
        parts = [{"type": type(part).__name__, **_declared(part)} for part in self.parts]
        topics = [
            [topic.name, dict(topic.keywords), dict(topic.terms), topic.rows_answer]
            for topic in self.topics.topics
        ]
        text = json.dumps(
            [self.subject_kind, parts, self.token_budget, self.time_zone, topics],
            sort_keys=True, ensure_ascii=False, default=str,
        )  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _declared(part: Part) -> dict[str, Any]:
    """Everything but the badges, which change no context."""
    return {
        item.name: getattr(part, item.name)
        for item in dataclasses.fields(part)
        if item.name not in ("_", "badges")
    }
