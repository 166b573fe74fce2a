"""A knowledge base in a running application: equal to its documents through edits, failures, deletes and restarts."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import pytest

from springline.core.position import Tick
from springline.errors import ModelRefused, ModelUnavailable, NotFresh
from springline.runtime.embedded.maintenance import Prune
from springline.testing.models import FakeEmbedder, Plan
from tests.unit.runtime.running import documents, found, runtime

PETS = "# Pets\n\nSmall dogs travel in the cabin for 95 dollars.\n"
BAGS = "# Baggage\n\nOne suitcase of 23 kilograms is free.\n"


def put(source: object, name: str, text: str | None) -> None:
    source.put("documents", {"document": name, "content": text})  # pyright: ignore


def test_documents_are_found_edited_renamed_and_deleted(tmp_path: Path) -> None:
    source, embedder = documents(), FakeEmbedder()
    with runtime(tmp_path, [source], embedder=embedder) as made:
        put(source, "pets.md", PETS)
        put(source, "bags.md", BAGS)
        assert found(made, "dogs in the cabin")[0] == "pets.md"
        put(source, "pets.md", PETS.replace("dogs", "parrots"))
        assert found(made, "parrots")[0] == "pets.md"
        with made.read() as snapshot:
            assert not [hit for hit in snapshot.search("kb", "dogs") if "dogs" in hit.text]
        before = len(embedder.embedded)
        with source.transaction():
            source.delete("documents", {"document": "bags.md"})
            put(source, "luggage.md", BAGS)
        assert found(made, "free suitcase")[0] == "luggage.md"
        assert len(embedder.embedded) == before
        source.delete("documents", {"document": "pets.md"})
        assert found(made, "parrots in the cabin") == ["luggage.md"]


def test_until_the_new_version_is_whole_the_old_one_is_found(tmp_path: Path) -> None:
    source, plan = documents(), Plan()
    with runtime(tmp_path, [source], embedder=FakeEmbedder(plan=plan)) as made:
        put(source, "pets.md", PETS)
        assert found(made, "dogs")
        plan.blocked = threading.Event()
        put(source, "pets.md", PETS.replace("dogs", "parrots"))
        with pytest.raises(NotFresh, match="docs"), made.read(require="now", deadline_ms=200):
            pass
        with made.read(require="now", deadline_ms=200, on_miss="state_age") as snapshot:
            assert not snapshot.freshness.met
            assert "dogs" in snapshot.search("kb", "dogs")[0].text
            assert snapshot.ages()["docs"].complete_through != snapshot.ages()["docs"].applied
        plan.blocked.set()
        assert "parrots" in _first(made, "parrots")


def test_a_document_that_the_model_refuses_keeps_its_last_good_version_and_is_a_dead_letter(
    tmp_path: Path,
) -> None:
    source = documents()
    plan = Plan(refuse=lambda text: ModelRefused("not this") if "poison" in text else None)
    with runtime(tmp_path, [source], embedder=FakeEmbedder(plan=plan)) as made:
        put(source, "pets.md", PETS)
        assert found(made, "dogs")
        put(source, "pets.md", PETS + "\nAnd poison.\n")
        put(source, "bags.md", BAGS)
        assert found(made, "free suitcase")[0] == "bags.md"
        assert "dogs" in _first(made, "dogs")
        status = made.status()
        assert (status.dead_letters, status.knowledge[0].failed, status.knowledge[0].pending) == (1, 1, 0)
        put(source, "pets.md", PETS.replace("95", "90"))
        assert "90 dollars" in _first(made, "dogs")
        assert made.status().dead_letters == 0


def test_a_model_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    source = documents()
    plan = Plan(failures=[ModelUnavailable("busy")])
    with runtime(tmp_path, [source], embedder=FakeEmbedder(plan=plan)) as made:
        put(source, "pets.md", PETS)
        with made.read(require="now", deadline_ms=20_000) as snapshot:
            assert "dogs" in snapshot.search("kb", "dogs")[0].text
        assert plan.failures == []


def test_a_question_while_the_model_is_down_is_searched_by_words(tmp_path: Path) -> None:
    source, plan = documents(), Plan()
    with runtime(tmp_path, [source], embedder=FakeEmbedder(plan=plan)) as made:
        put(source, "pets.md", PETS)
        assert found(made, "cabin") == ["pets.md"]
        plan.refuse = lambda _: ModelUnavailable("down")
        assert found(made, "dogs") == ["pets.md"]
        assert found(made, "elephants") == []


def test_a_restart_finds_everything_and_pays_for_nothing(tmp_path: Path) -> None:
    source, embedder = documents(), FakeEmbedder()
    with runtime(tmp_path, [source], embedder=FakeEmbedder()) as made:
        put(source, "pets.md", PETS)
        assert found(made, "dogs")
    with runtime(tmp_path, [source], embedder=embedder) as made:
        assert found(made, "dogs") == ["pets.md"]
    assert embedder.embedded == []


def test_another_embedder_makes_all_vectors_anew(tmp_path: Path) -> None:
    source, embedder = documents(), FakeEmbedder(model="fake/2", dimensions=32)
    with runtime(tmp_path, [source], embedder=FakeEmbedder()) as made:
        put(source, "pets.md", PETS)
        assert found(made, "dogs")
    with runtime(tmp_path, [source], embedder=embedder) as made:
        assert found(made, "dogs") == ["pets.md"]
        assert len(made.knowledge["kb"].index) == 1
    assert len(embedder.embedded) == 1


def test_vectors_that_nobody_uses_go_after_a_while(tmp_path: Path) -> None:
    source = documents()
    with runtime(tmp_path, [source], embedder=FakeEmbedder()) as made:
        put(source, "pets.md", PETS)
        put(source, "bags.md", BAGS)
        assert found(made, "dogs")
        source.delete("documents", {"document": "pets.md"})
        assert found(made, "dogs") == ["bags.md"]
    connection = apsw.Connection(str(tmp_path / "state.db"))
    [(unused,)] = connection.execute("SELECT max(made_at_us) FROM _memo").fetchall()
    Prune(("kb",), unused).apply(connection, Tick(1))
    assert connection.execute("SELECT count(*) FROM _memo").fetchall() == [(2,)]
    Prune(("kb",), unused + 25 * 3600 * 1_000_000).apply(connection, Tick(1))
    assert connection.execute("SELECT count(*) FROM _memo").fetchall() == [(1,)]
    connection.close()


def _first(made: object, text: str) -> str:
    made.prepare(text)  # pyright: ignore
    with made.read(require="now", deadline_ms=20_000) as snapshot:  # pyright: ignore
        return snapshot.search("kb", text)[0].text
