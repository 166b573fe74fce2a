"""Builds the context of one question from one snapshot.

First the subject's rows (the subject is a parameter of every query), then public rows, then passages searched with the question and with
the words that the rows call for. Deterministic: the same snapshot and definition give the same context. No model is called here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from springline.context.definition import ContextDefinition, Part, Passages, Rows, Subject
from springline.context.language import answer_language, base_language, localised
from springline.context.pieces import Context, ContextPiece, content_hash, piece_hash
from springline.context.templates import Cells, Template
from springline.context.topics import Topic
from springline.core.schema import TableSchema
from springline.core.text import count_tokens
from springline.core.types import SqlType, Stored, render
from springline.errors import ConfigurationError, NotFound, StateError
from springline.runtime.base import Snapshot, SourceAge

SCAN_LIMIT: Final = 1_000
"""How many public rows are looked at to find those that ``match``."""

RANK_LIMIT: Final = 64
"""How many rows of a part are read to put those first that the question names."""

INTERNAL_SOURCE: Final = "springline"
_PIECE_OVERHEAD_TOKENS: Final = 24
"""What the delimiters and labels around a piece cost in a prompt."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    part: Part
    pieces: tuple[ContextPiece, ...]
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """The question with what was found out about it."""

    question: str
    folded: str
    language: str
    subject: Subject | None
    topics: tuple[Topic, ...]
    definition: ContextDefinition
    ages: Mapping[str, SourceAge]


def assemble(
    snapshot: Snapshot,
    definition: ContextDefinition,
    question: str,
    *,
    subject: str | Subject | None = None,
    language: str | None = None,
) -> Context:
    """The context of ``question``. Raises NotFound for a subject that does not exist, ConfigurationError where the definition does not fit
    the relations, and what the snapshot raises (SqlError, SnapshotTooOld)."""
    who = Subject.parse(subject, definition.subject_kind) if isinstance(subject, str) else subject
    asked = _Asked(
        question=question,
        folded=question.casefold(),
        language=answer_language(question, language),
        subject=who,
        topics=definition.topics.recognise(question),
        definition=definition,
        ages=snapshot.ages(),
    )
    found: dict[str, _Candidates] = {}
    for part in definition.rows:
        if not part.public and who is not None:
            found[part.label] = _read_rows(snapshot, part, asked, ())
    own = tuple(piece for candidates in found.values() for piece in candidates.pieces)
    for part in definition.rows:
        if part.public:
            found[part.label] = _read_rows(snapshot, part, asked, own)
    also = _search_terms(asked, found.values())
    for part in definition.parts:
        if isinstance(part, Passages):
            found[part.label] = _read_passages(snapshot, part, asked, also)
    ordered = [found[part.label] for part in definition.parts if part.label in found]
    pieces, omitted = _within_budget(ordered, asked)
    return _context(snapshot, asked, pieces, omitted, also)


def _context(
    snapshot: Snapshot,
    asked: _Asked,
    pieces: tuple[ContextPiece, ...],
    omitted: dict[str, int],
    also: str,
) -> Context:
    subject, definition = asked.subject, asked.definition
    return Context(
        question=asked.question,
        language=asked.language,
        subject=subject,
        definition=definition.fingerprint,
        pieces=pieces,
        omitted=omitted,
        topics=tuple(topic.name for topic in asked.topics),
        search_terms=also,
        tick=snapshot.tick,
        log_sequence=snapshot.log_sequence,
        positions=snapshot.applied.to_json(),
        ages=asked.ages,
        freshness=snapshot.freshness,
        taken_at_us=snapshot.taken_at_us,
        tokens=sum(piece.tokens for piece in pieces),
        hash=content_hash(
            [definition.fingerprint, str(subject or ""), asked.language, [piece.hash for piece in pieces]]
        ),
        needs_subject=subject is None and any(not part.public for part in definition.rows),
    )


def quote(name: str) -> str:
    """A relation's or column's name as our SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def rows_statement(part: Rows, schema: TableSchema | None) -> str:
    """The SELECT of one part; ``schema`` is the relation's, None where the part is a SELECT. Pure; one text for each part, so that a
    compiled form can be kept."""
    where = "" if part.subject_column is None else f" WHERE {quote(part.subject_column)} = :subject"
    if schema is None:
        if part.uses_subject:
            return part.relation
        columns = ", ".join(quote(name) for name in part.columns) or "*"
        return f"SELECT {columns} FROM ({part.relation}) AS part{where}{_order(part, part.key)}"
    wanted = dict.fromkeys(
        (*part.columns, *_key(part, schema), *((part.subject_column,) if part.subject_column else ()))
    )
    names = [name for name in schema.names if not part.columns or name in wanted]
    selected = ", ".join(map(quote, names))
    return f"SELECT {selected} FROM {quote(schema.name)}{where}{_order(part, _key(part, schema))}"


def _order(part: Rows, key: Sequence[str]) -> str:
    """By the key at last, so that the order is always the same one."""
    columns = [*([part.order_by] if part.order_by else []), *(quote(name) for name in key)]
    return f" ORDER BY {', '.join(columns)}"


def _key(part: Rows, schema: TableSchema) -> tuple[str, ...]:
    return part.key or schema.key or schema.names


def _read_rows(snapshot: Snapshot, part: Rows, asked: _Asked, own: Sequence[ContextPiece]) -> _Candidates:
    schema = None if part.is_select else snapshot.schemas.get(part.relation)
    if schema is None and not part.is_select:
        raise ConfigurationError(
            f"The context reads {part.relation!r}, which is no table or view here.",
            hint="Declare it as a source's table or a view, or correct the name.",
        )
    parameters: dict[str, object] = {}
    if part.subject_column is not None:
        assert asked.subject is not None
        parameters["subject"] = asked.subject.value(_subject_type(part, schema))
    wanted = SCAN_LIMIT if part.match else max(part.limit + 1, RANK_LIMIT)
    result = snapshot.query(rows_statement(part, schema), parameters, limit=wanted)
    names = [name for name, _ in result.columns]
    rows: list[Cells] = [
        dict(zip(names, zip(row, (type_ for _, type_ in result.columns), strict=True), strict=True))
        for row in result.rows
    ]
    if part.subject_column is not None:
        _check_scope(part, rows, parameters["subject"], asked.subject)
    if part.match:
        rows = _matching(part, rows, asked, own)
    rows.sort(key=lambda cells: -_mentions(cells, asked.folded))
    pieces = tuple(_row_piece(snapshot, part, schema, cells, asked) for cells in rows[: part.limit])
    return _Candidates(part, pieces, max(0, len(rows) - part.limit))


def _subject_type(part: Rows, schema: TableSchema | None) -> SqlType:
    assert part.subject_column is not None
    if schema is None:
        return part.subject_sql_type
    if part.subject_column not in schema:
        raise ConfigurationError(
            f"{schema.name!r} has no column {part.subject_column!r} to filter to the subject by.",
            hint=f"Columns: {', '.join(schema.names)}.",
        )
    return schema.column(part.subject_column).type


def _check_scope(part: Rows, rows: Sequence[Cells], value: object, subject: Subject | None) -> None:
    """The query filters; this makes sure that it did, whatever the SELECT says."""
    assert part.subject_column is not None
    for cells in rows:
        if part.subject_column not in cells:
            raise ConfigurationError(
                f"The rows of {part.label!r} come back without their subject column {part.subject_column!r}.",
                hint="Select that column too, so that every row can be checked.",
            )
        if cells[part.subject_column][0] != value:
            raise StateError(
                f"The rows of {part.label!r} held a row of somebody other than {subject}; nothing was answered.",
                hint="The part's SELECT must keep to rows whose subject column is :subject.",
            )
    if part.identifies and not rows:
        raise NotFound(f"There is no {subject}.", hint="Check the subject's key.")


def _row_piece(
    snapshot: Snapshot, part: Rows, schema: TableSchema | None, cells: Cells, asked: _Asked
) -> ContextPiece:
    changed = None if schema is None else _last_change(snapshot, schema, cells)
    columns = {name: render(stored, type_) for name, (stored, type_) in cells.items()}
    key = {
        name: columns[name]
        for name in (part.key if schema is None else _key(part, schema))
        if name in columns
    }
    relation = part.label if schema is None else schema.name
    title = _rendered(part.title, part, cells, asked) or relation
    text = _rendered(part.describe, part, cells, asked) or _plain(columns)
    sources = snapshot.sources_of(relation) if schema is not None else ()
    source, age = _age(sources, asked.ages)
    return ContextPiece(
        number=0,
        part=part.label,
        kind="row",
        relation=relation,
        document=None,
        key=key,
        title=title,
        text=text,
        language=base_language(asked.language),
        hash=piece_hash(
            kind="row",
            relation=relation,
            document=None,
            key=key,
            title=title,
            text=text,
            columns=columns,
            section=(),
        ),
        tokens=count_tokens(title) + count_tokens(text) + _PIECE_OVERHEAD_TOKENS,
        columns=columns,
        source=source,
        position=None if age is None else age.applied,
        as_of_us=None if age is None else age.as_of_us,
        age_ms=None if age is None else age.age_ms,
        changed_at_us=None if changed is None else changed[1],
        tick=None if changed is None else changed[0],
        topics=part.topics,
        public=part.public,
        mentioned=_mentions(cells, asked.folded),
        search_terms=_rendered(part.search_terms, part, cells, asked),
        badges=_badges(part, columns),
    )


def _last_change(snapshot: Snapshot, schema: TableSchema, cells: Cells) -> tuple[int, int | None] | None:
    names = [schema.names[index] for index in schema.key_indexes]
    if any(name not in cells for name in names):
        return None
    return snapshot.last_change(schema.name, [cells[name][0] for name in names])


def _rendered(text: Any, part: Rows, cells: Cells, asked: _Asked) -> str:
    template = localised(text, asked.language)
    return (
        Template.parse(template).render(cells, asked.language, part.words, asked.definition.zone)
        if template
        else ""
    )


def _plain(columns: Mapping[str, object]) -> str:
    """What is said of a row whose part declares no template."""
    parts = [f"{name}: {value}" for name, value in columns.items() if value is not None]
    return "; ".join(" ".join(str(part).split()) for part in parts)


def _badges(part: Rows, columns: Mapping[str, object]) -> dict[str, Any]:
    if callable(part.badges):
        given = {name: part.badges(name, value) for name, value in columns.items()}
        return {name: badge for name, badge in given.items() if badge is not None}
    return {name: part.badges[name] for name in columns if name in part.badges}


def _age(sources: Sequence[str], ages: Mapping[str, SourceAge]) -> tuple[str, SourceAge | None]:
    """The names of the sources and the oldest of their ages; of all sources where it is not known which ones count."""
    names = [name for name in sources if name in ages] or sorted(
        name for name in ages if name != INTERNAL_SOURCE
    )
    known = [ages[name] for name in names]
    if not known:
        return ", ".join(sources), None
    oldest = max(known, key=lambda age: float("inf") if age.age_ms is None else age.age_ms)
    if len(known) > 1:
        oldest = replace(oldest, applied=", ".join(f"{age.source} {age.applied}" for age in known))
    return ", ".join(names), oldest


def _mentions(cells: Cells, folded_question: str) -> int:
    """How many names and codes of a row the question has. Plain words ("cancelled", "gold") tell no row from another: whoever asks whether
    a flight is cancelled does not ask about the cancelled one."""
    return sum(_is_name(stored) and _is_named(stored, folded_question) for stored, _ in cells.values())


def _is_name(value: Stored) -> bool:
    return isinstance(value, str) and (
        not value.isascii() or not value.islower() or any(map(str.isdigit, value))
    )


def _is_named(value: object, folded_question: str) -> bool:
    """Whether a text of at least three characters (or a CJK one of two) stands in the question as a word of its own."""
    if not isinstance(value, str) or len(value) > 80:
        return False
    folded = value.casefold().strip()
    if len(folded) < (3 if folded.isascii() else 2) or folded not in folded_question:
        return False
    return (
        not folded.isascii()
        or re.search(rf"(?<![a-z0-9]){re.escape(folded)}(?![a-z0-9])", folded_question) is not None
    )


def _matching(part: Rows, rows: Sequence[Cells], asked: _Asked, own: Sequence[ContextPiece]) -> list[Cells]:
    """Public rows that have to do with the question; failing that, with the subject's rows; failing that, all."""
    if rows and (missing := [name for name in part.match if name not in rows[0]]):
        raise ConfigurationError(f"The rows of {part.label!r} have no column {missing[0]!r} to match by.")
    if named := [
        cells for cells in rows if any(_is_named(cells[name][0], asked.folded) for name in part.match)
    ]:
        return named
    theirs = {str(value) for piece in own for value in (piece.columns or {}).values() if value is not None}
    related = [cells for cells in rows if any(str(render(*cells[name])) in theirs for name in part.match)]
    return related or list(rows)


def _search_terms(asked: _Asked, found: Iterable[_Candidates]) -> str:
    """Words of the topics and of the rows, each once, in order."""
    texts = [topic.term(asked.language) for topic in asked.topics]
    for candidates in found:
        if _wanted(candidates.part, asked):
            texts.extend(piece.search_terms for piece in candidates.pieces)
    return " ".join(dict.fromkeys(" ".join(texts).split()))


def _wanted(part: Part, asked: _Asked) -> bool:
    """Whether a part is for this question: a question without a recognised topic may need any of them."""
    names = {topic.name for topic in asked.topics}
    return isinstance(part, Passages) or not part.topics or not names or bool(names.intersection(part.topics))


def _read_passages(snapshot: Snapshot, part: Passages, asked: _Asked, also: str) -> _Candidates:
    pieces: list[ContextPiece] = []
    for hit in snapshot.search(part.knowledge_base, asked.question, limit=part.limit, also=also):
        age = asked.ages.get(hit.source or "")
        key = {"document": hit.document, "passage": hit.ordinal}
        title = hit.title or hit.document
        section = tuple(hit.heading_path)
        pieces.append(
            ContextPiece(
                number=0,
                part=part.label,
                kind="passage",
                relation=None,
                document=hit.document,
                key=key,
                title=title,
                text=hit.text,
                language=hit.language,
                hash=piece_hash(
                    kind="passage", relation=None, document=hit.document, key=key, title=title, text=hit.text,
                    columns=None, section=section,
                ),
                tokens=count_tokens(hit.text) + count_tokens(" ".join(section)) + _PIECE_OVERHEAD_TOKENS,
                section=section,
                source=hit.source or "",
                position=hit.position,
                as_of_us=None if age is None else age.as_of_us,
                age_ms=None if age is None else age.age_ms,
                changed_at_us=hit.committed_at_us,
                passage_hash=hit.hash,
            )
        )  # fmt: skip
    return _Candidates(part, tuple(pieces))


def _within_budget(
    found: Sequence[_Candidates], asked: _Asked
) -> tuple[tuple[ContextPiece, ...], dict[str, int]]:
    """Takes pieces by priority until the budget is spent, the best piece of every part of a priority before the second of any. Parts that
    are not for the question come last. A piece that does not fit is left out whole. Of pieces that say the same, the first stays."""
    queue = [
        (not _wanted(candidates.part, asked), candidates.part.priority, rank, order)
        for order, candidates in enumerate(found)
        for rank in range(len(candidates.pieces))
    ]
    left = asked.definition.token_budget
    seen: set[str] = set()
    taken: set[tuple[int, int]] = set()
    omitted = {candidates.part.label: candidates.omitted for candidates in found}
    is_short = False
    for other, _, rank, order in sorted(queue):
        piece = found[order].pieces[rank]
        # What a row says includes its key; of passages the wording alone counts.
        same = piece.hash if piece.kind == "row" else content_hash(" ".join(piece.text.split()))
        if same in seen:
            continue
        # What the question is about is not left out in favour of something else that happens to be shorter.
        if piece.tokens > left or (other and is_short):
            omitted[piece.part] += 1
            is_short = is_short or not other
            continue
        seen.add(same)
        taken.add((order, rank))
        left -= piece.tokens
    chosen = [found[order].pieces[rank] for order, rank in sorted(taken)]
    numbered = tuple(replace(piece, number=number) for number, piece in enumerate(chosen, 1))
    return numbered, {name: count for name, count in omitted.items() if count}
