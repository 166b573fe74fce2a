"""Words for SQLite's FTS5, in every language.

FTS5's own tokenizers either keep a run of Chinese or Japanese as one word or (trigram) find nothing shorter than three characters. So texts
are tokenised here, before FTS5: NFKC, case folded; a CJK run becomes its characters and its pairs of neighbours, so that 航班, 大阪 and
words of one character are found; a Latin word stays a word, which FTS5's ``porter`` stems. A code such as ``UA1545`` is found whole
and by its number.

The cost of a query is the number of rows that its words occur in (plain OR over 100,000 passages: 24-88 ms, measured), so frequent words are
left out where rarer ones are there (:func:`choose_terms`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import apsw

from springline.core.text import CJK, HAN, KANA

TOKENIZER: Final = "porter unicode61 remove_diacritics 2"
"""What the FTS5 table of a knowledge base is declared with."""

ROW_BUDGET: Final = 4_000
"""How many rows a query may touch before its frequent words are left out; about 1 ms a thousand."""

_CERTAIN_TERMS = 3
_LONGEST_QUERY = 64

_RUN = re.compile(rf"[{CJK}]+|[^\W_{CJK}]+(?:['’][^\W_{CJK}]+)?")
_CJK_FIRST = re.compile(rf"[{CJK}]")
_LONE_HAN = re.compile(rf"(?:(?<=[{KANA}])|\A)[{HAN}](?=[{KANA}])|(?<=[{KANA}])[{HAN}]\Z")
_HIRAGANA_ONLY = re.compile(r"[\u3041-\u309f]+\Z")
_CODE = re.compile(r"[a-z]+(?=\d)|\d+(?=[a-z])|(?<=\d)[a-z]+|(?<=[a-z])\d+")

_STOP_WORDS: Final = frozenset(
    "a about after all also am an and any are as at be because been before being but by can could did do does doing"
    " dont for from get got had has have having he her here hers him his how i if im in into is it its ive just me my no nor"
    " not of off on once only or our ours out over own please same she should so some such than that the their theirs them"
    " then there these they this those through to too under until up us very was we were what when where which while who"
    " whom why will with would you your yours".split()
)
_CJK_STOP_TERMS: Final = frozenset(
    "的 了 是 在 我 你 您 他 她 它 们 們 吗 嗎 呢 吧 啊 和 与 與 或 也 都 就 很 有 这 這 那 什么 什麼 怎么 怎麼 怎样 怎樣"
    " 如何 可以 我的 你的 您的 我们 我們 请问 請問 一个 一個 是否 哪些 多少 の は が を に で と も へ や か な".split()
)


def _runs(text: str) -> Iterator[str]:
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        yield match[0].replace("'", "").replace("’", "")


def tokenise(text: str) -> str:
    """Space-separated tokens for the FTS5 table. Of a CJK run: all characters and all pairs."""
    tokens: list[str] = []
    for run in _runs(text):
        if _CJK_FIRST.match(run):
            tokens.extend(run)
            tokens.extend(run[index : index + 2] for index in range(len(run) - 1))
        else:
            tokens.append(run)
            tokens.extend(part for part in _CODE.findall(run) if len(part) > 1)
    return " ".join(tokens)


def query_terms(text: str) -> list[str]:
    """The words that a question asks for, without repetitions and stop words; with them where nothing else is there. Of a CJK run: its
    pairs, and its characters that stand alone between kana (of a run of one character: that character)."""
    terms: dict[str, None] = {}
    common: dict[str, None] = {}
    for run in _runs(text):
        if _CJK_FIRST.match(run):
            pairs = [run[index : index + 2] for index in range(len(run) - 1)] or [run]
            # A word of one character between kana, 猫 in 猫を連れて, is in no pair that another sentence shares.
            pairs += [match[0] for match in _LONE_HAN.finditer(run)] if len(run) > 1 else []
            for pair in pairs:
                functional = pair in _CJK_STOP_TERMS or bool(_HIRAGANA_ONLY.match(pair))
                (common if functional else terms)[pair] = None
        else:
            for term in (run, *(part for part in _CODE.findall(run) if len(part) > 1)):
                (common if term in _STOP_WORDS else terms)[term] = None
    return list(terms or common)[:_LONGEST_QUERY]


def match_expression(terms: Sequence[str]) -> str | None:
    """An FTS5 expression that any of the terms satisfies. Every term is quoted: no character of a question is an operator."""
    if not terms:
        return None
    return " OR ".join(f'"{term.replace(chr(34), chr(34) * 2)}"' for term in terms)


def match_query(text: str) -> str | None:
    """The FTS5 expression for a question, unpruned; None where it has no word at all."""
    return match_expression(query_terms(text))


def choose_terms(
    connection: apsw.Connection, table: str, terms: Sequence[str], row_budget: int = ROW_BUDGET
) -> list[str]:
    """The rarest terms that together occur in about ``row_budget`` rows of the FTS5 ``table``, at least three of those that occur at all.
    Counting stops at the budget, so it costs at most about 0.2 ms a term."""
    counted: list[tuple[int, int, str]] = []
    count = (
        f'SELECT count(*) FROM (SELECT 1 FROM "{_quoted(table)}" WHERE "{_quoted(table)}" MATCH ? LIMIT ?)'
    )
    for order, term in enumerate(terms):
        rows = connection.execute(count, (match_expression([term]), row_budget + 1)).get
        if rows:
            counted.append((rows, order, term))
    chosen: list[tuple[int, str]] = []
    spent = 0
    for rows, order, term in sorted(counted):
        if len(chosen) >= _CERTAIN_TERMS and spent + rows > row_budget:
            break
        spent += rows
        chosen.append((order, term))
    return [term for _, term in sorted(chosen)]


def search_text(
    connection: apsw.Connection,
    table: str,
    text: str,
    limit: int,
    *,
    condition: str = "",
    parameters: Sequence[object] = (),
    row_budget: int = ROW_BUDGET,
) -> list[tuple[int, float]]:
    """The best passages by BM25, best first: (rowid, score), larger is better. Words in the heading (first column) count double.

    ``condition``: further SQL about ``rowid``, trusted, such as ``rowid IN (SELECT …)`` with its ``parameters``.
    """
    terms = choose_terms(connection, table, query_terms(text), row_budget)
    expression = match_expression(terms)
    if expression is None:
        return []
    name = _quoted(table)
    sql = (
        f'SELECT rowid, -bm25("{name}", 2.0, 1.0) FROM "{name}" WHERE "{name}" MATCH ?'
        f"{' AND ' + condition if condition else ''} ORDER BY 2 DESC, rowid LIMIT ?"
    )
    rows = connection.execute(sql, (expression, *parameters, limit))
    return [(int(rowid), float(score)) for rowid, score in rows]


def _quoted(name: str) -> str:
    return name.replace('"', '""')
