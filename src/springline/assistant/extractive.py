"""Answers without a language model: the subject's facts first, then the sentences of the documents that fit the question best, all quoted.

Everything that it says about the world is a row's declared sentence or words of a passage, each with its citation. Text of rows and
documents is only ever copied: nothing in it is followed, and what may be read was decided before.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from springline.assistant.base import Draft
from springline.assistant.phrases import phrase
from springline.assistant.quoting import Quotable, quotables
from springline.context.fulltext import query_terms, tokenise
from springline.context.language import base_language
from springline.context.pieces import Context, ContextPiece
from springline.context.topics import Topic, Topics

MOST_QUOTES: Final = 4
MOST_ROWS: Final = 4
"""How many rows of one part are told."""

_SUPPORTING_QUOTES: Final = 2
_PER_PASSAGE: Final = 2
_COUNTED: Final = 30
_SHORT_LIST: Final = 6
_OTHER_LANGUAGE: Final = 0.25
_LEAST_SHARE: Final = 0.55
"""A quote scores at least this share of the best one."""

_LEAST_SCORE: Final = 0.3
_STEM: Final = 6
_CLOSED: Final = frozenset(".!?:;。！？：；」”")
_MARKS = re.compile(r"[\[\]【】［］]")


@dataclass(frozen=True, slots=True)
class _Quote:
    piece: ContextPiece
    order: int
    quotable: Quotable
    score: float
    terms: frozenset[str]


class Extractive:
    """Answers from a context. Pure: the same context gives the same answer. Thread-safe."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def answer(self, context: Context) -> Draft:
        """Never raises for anything that stands in the context."""
        topics = self._topics.named(context.topics)
        facts, more = _facts(context)
        asked = _Asked.of(context, topics)
        quotes = _best_quotes(context, asked)
        if not quotes and not _is_about(facts, asked):
            return Draft(phrase("unknown", context.language), "extractive", (), known=False)
        parts: list[str] = []
        if facts:
            parts.append(_told(facts, more, context.language))
        if quotes:
            parts.append(_quoted(quotes, context.language))
        cited = {piece.number for piece in facts} | {quote.piece.number for quote in quotes}
        return Draft("\n\n".join(parts), "extractive", tuple(sorted(cited)))


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question's words, those of its topics, and those that the rows call for."""

    terms: frozenset[str]
    topic_terms: frozenset[str]
    row_terms: frozenset[str]
    has_topic: bool
    rows_answer: bool
    """Whether documents are quoted only for what the rows call for."""

    @staticmethod
    def of(context: Context, topics: Sequence[Topic]) -> _Asked:
        rows = [piece.search_terms for piece in context.pieces if piece.kind == "row"]
        return _Asked(
            frozenset(map(stem, query_terms(context.question))),
            frozenset(stem(term) for topic in topics for term in query_terms(topic.term(context.language))),
            frozenset(map(stem, query_terms(" ".join(rows)))),
            bool(topics),
            bool(topics) and all(topic.rows_answer for topic in topics) and bool(rows),
        )


def stem(term: str) -> str:
    """One form for a word's forms, roughly: "cancelled", "cancellation" and "cancel" are one. CJK terms stay as they are."""
    if not term.isascii() or not term.isalpha():
        return term
    if len(term) > 3 and term.endswith("s") and not term.endswith("ss"):
        term = term[:-1]
    return term[:_STEM]


def terms_of(text: str) -> frozenset[str]:
    """The words of a text: stems, and of Chinese and Japanese the pairs of characters."""
    return frozenset(stem(token) for token in tokenise(text).split() if len(token) > 1 or token.isdigit())


def _facts(context: Context) -> tuple[list[ContextPiece], dict[str, int]]:
    """The rows to tell: of each part that is for this question, those that it names, otherwise the first ones; and of each part how many
    more there are."""
    asked = set(context.topics)
    parts: dict[str, list[ContextPiece]] = {}
    for piece in context.pieces:
        if piece.kind == "row" and (not piece.topics or asked.intersection(piece.topics)):
            parts.setdefault(piece.part, []).append(piece)
    told: list[ContextPiece] = []
    more: dict[str, int] = {}
    for part, pieces in parts.items():
        named = [piece for piece in pieces if piece.mentioned]
        told.extend((named or pieces)[:MOST_ROWS])
        if not named:
            more[part] = max(0, len(pieces) - MOST_ROWS) + context.omitted.get(part, 0)
    return told, more


def _is_about(facts: Sequence[ContextPiece], asked: _Asked) -> bool:
    """Whether the rows alone say something about the question."""
    if not facts:
        return False
    if any(piece.mentioned or piece.topics for piece in facts) or not asked.terms:
        return True
    said = frozenset[str]().union(*(terms_of(f"{piece.title} {piece.text}") for piece in facts))
    return asked.has_topic or bool(asked.terms & said)


def _told(facts: Sequence[ContextPiece], more: Mapping[str, int], language: str) -> str:
    """One row is a sentence, several of one part are a list, which says how much longer it is."""
    counts = Counter(piece.part for piece in facts)
    blocks: list[str] = []
    for part, count in counts.items():
        lines = [f"{_safe(piece.text)} [{piece.number}]" for piece in facts if piece.part == part]
        if rest := more.get(part):
            # Long relations are not read to their end, so large counts are not known.
            lines.append(phrase("more" if rest <= _COUNTED else "many_more", language, count=str(rest)))
        blocks.append(lines[0] if count == 1 == len(lines) else "\n".join(f"- {line}" for line in lines))
    return "\n\n".join(blocks)


def _safe(text: str) -> str:
    """Brackets of data are rounded, so that no text can pass for a citation."""
    return _MARKS.sub(lambda mark: "(" if mark[0] in "[【［" else ")", text)


def _quoted(quotes: Sequence[_Quote], language: str) -> str:
    """In the order of the context; sentences of one passage together."""
    lines = [phrase("documents_say", language), ""]
    by_piece: dict[int, list[_Quote]] = {}
    for quote in sorted(quotes, key=lambda quote: (quote.piece.number, quote.order)):
        by_piece.setdefault(quote.piece.number, []).append(quote)
    for number, some in by_piece.items():
        text = _run(some)
        separator = phrase("title_separator", language)
        lines.append(
            f"- {_safe(_heading(some[0].piece))}{separator}{phrase('quote', language, text=_safe(text))} [{number}]"
        )
    return "\n".join(lines)


def _run(quotes: Sequence[_Quote]) -> str:
    """The quotes of one passage as one text; what is left out between them is shown by an ellipsis."""
    text, lead, last = "", "", None
    for quote in quotes:
        one = quote.quotable
        if text and last is not None and quote.order == last + 1:
            text += " " if text[-1] in _CLOSED else "; "
        elif text:
            text = text.rstrip(";；") + " … "
        if one.lead and one.lead != lead:
            text += f"{one.lead} " if quote.order == _first_of_its_list(quote) else f"{one.lead} … "
        text, lead, last = text + one.text, one.lead, quote.order
    return text.rstrip(";；,，、 ")


def _first_of_its_list(quote: _Quote) -> int:
    """The number of the first item of the list or table that the quote is an item of."""
    units = enumerate(_units(quote.piece.text))
    return next(order for order, (one, _) in units if one.group == quote.quotable.group)


def _heading(piece: ContextPiece) -> str:
    section = [plain_title for plain_title in piece.section if plain_title != piece.title]
    return " › ".join(dict.fromkeys((piece.title, *section)))


def _best_quotes(context: Context, asked: _Asked) -> list[_Quote]:
    candidates = list(_candidates(context, asked))
    if not candidates:
        return []
    candidates.sort(key=lambda quote: (-quote.score, quote.piece.number, quote.order))
    least = max(_LEAST_SCORE, candidates[0].score * _LEAST_SHARE)
    most = _SUPPORTING_QUOTES if asked.rows_answer else MOST_QUOTES
    chosen: list[_Quote] = []
    for quote in candidates:
        if quote.score < least or len(chosen) == most:
            break
        same_passage = sum(other.piece.number == quote.piece.number for other in chosen)
        if same_passage < _PER_PASSAGE and not any(_repeats(quote, other) for other in chosen):
            chosen.append(quote)
    return _with_whole_lists(chosen)


def _with_whole_lists(chosen: Sequence[_Quote]) -> list[_Quote]:
    """A short list or table is one statement: whoever is told one of three choices is told all of them."""
    told = {(quote.piece.number, quote.order): quote for quote in chosen}
    for quote in chosen:
        if quote.quotable.group == 0:
            continue
        units = enumerate(_units(quote.piece.text))
        members = [(order, one) for order, (one, _) in units if one.group == quote.quotable.group]
        if len(members) <= _SHORT_LIST:
            for order, one in members:
                told.setdefault((quote.piece.number, order), replace(quote, order=order, quotable=one))
    return list(told.values())


@lru_cache(maxsize=512)
def _units(passage: str) -> tuple[tuple[Quotable, frozenset[str]], ...]:
    """What can be quoted of a passage, with its words. Kept, since the same passages come again and again."""
    return tuple((one, terms_of(one.whole)) for one in quotables(passage))


def _candidates(context: Context, asked: _Asked) -> Iterable[_Quote]:
    passages = [piece for piece in context.pieces if piece.kind == "passage"]
    spoken = base_language(context.language)
    has_spoken = any(piece.language == spoken for piece in passages)
    units = [
        (rank, piece, order, one, terms)
        for rank, piece in enumerate(passages)
        for order, (one, terms) in enumerate(_units(piece.text))
    ]
    said = [terms for *_, terms in units]
    weights = _weights(asked.terms | asked.topic_terms | asked.row_terms, said)
    usual = sum(map(len, said)) / len(said) if said else 1.0
    for rank, piece, order, one, terms in units:
        heading = terms_of(" ".join((piece.title, *piece.section)))
        score = _score(terms, heading, asked, weights)
        if score <= 0:
            continue
        if one.lead:
            # Items of one list share their lead; what tells them apart is what they say themselves.
            score = 0.6 * score + 0.8 * _score(terms_of(one.text), frozenset(), asked, weights)
        score *= (1.0 + 0.4 / (1 + rank)) / (0.7 + 0.3 * len(terms) / usual)
        if has_spoken and piece.language != spoken:
            score *= _OTHER_LANGUAGE
        yield _Quote(piece, order, one, score, terms)


def _weights(wanted: frozenset[str], units: Sequence[frozenset[str]]) -> Mapping[str, float]:
    """Rare words weigh more: 0 … 1, by how few of the sentences have them."""
    counts = Counter(term for terms in units for term in terms & wanted)
    most = math.log(1 + len(units)) or 1.0
    return {term: math.log(1 + len(units) / counts[term]) / most if counts[term] else 1.0 for term in wanted}


def _score(
    terms: frozenset[str], heading: frozenset[str], asked: _Asked, weights: Mapping[str, float]
) -> float:
    """How well a sentence fits. What the question says counts most, then what its topic is about, then what the rows call for; words of the
    heading count less. Without a word of the question or its topic the sentence does not fit at all."""

    def share(wanted: frozenset[str], cap: float, heading_counts: float) -> float:
        found = sum(weights[term] for term in wanted & terms)
        found += heading_counts * sum(weights[term] for term in (wanted & heading) - terms)
        return min(found, cap)

    question, topic = share(asked.terms, 4.0, 0.8), share(asked.topic_terms - asked.terms, 3.0, 0.5)
    if not (asked.row_terms if asked.rows_answer else asked.terms | asked.topic_terms) & (terms | heading):
        return 0.0
    if not asked.has_topic:
        # Nothing tells what the question is about, so one common word is not enough.
        total = sum(weights[term] for term in asked.terms) or 1.0
        if question / total < 0.34:
            return 0.0
    return question + 0.6 * topic + 0.5 * share(asked.row_terms - asked.terms - asked.topic_terms, 2.0, 0.5)


def _repeats(one: _Quote, other: _Quote) -> bool:
    common = len(one.terms & other.terms)
    return common >= 0.8 * min(len(one.terms), len(other.terms))
