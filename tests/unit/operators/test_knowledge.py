"""What an edit of a document means for its passages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from springline.operators.knowledge import StoredPassage, plan_update
from springline.operators.splitting import Passage


def new(hashes: str) -> list[Passage]:
    return [
        Passage(ordinal, (), letter, ordinal, ordinal + 1, letter, "en")
        for ordinal, letter in enumerate(hashes)
    ]


def old(hashes: str) -> list[StoredPassage]:
    return [StoredPassage(100 + n, n, letter, (), n, n + 1, "en") for n, letter in enumerate(hashes)]


def ordinals(plan_part: dict[int, Passage]) -> dict[int, int]:
    return {identifier: passage.ordinal for identifier, passage in plan_part.items()}


def test_an_edit_in_the_middle() -> None:
    plan = plan_update(old("abc"), new("axc"))
    assert ordinals(plan.keep) == {100: 0, 102: 2}
    assert plan.moved == {}
    assert [passage.hash for passage in plan.insert] == ["x"]
    assert plan.remove == (101,)


def test_an_insertion_moves_what_follows() -> None:
    plan = plan_update(old("abc"), new("axbc"))
    assert ordinals(plan.moved) == {101: 2, 102: 3}
    assert [passage.hash for passage in plan.insert] == ["x"]
    assert plan.remove == ()


def test_duplicates_are_matched_in_order() -> None:
    plan = plan_update(old("aba"), new("aa"))
    assert ordinals(plan.keep) == {100: 0, 102: 1}
    assert plan.remove == (101,)
    plan = plan_update(old("a"), new("aaa"))
    assert ordinals(plan.keep) == {100: 0}
    assert [passage.ordinal for passage in plan.insert] == [1, 2]
    assert [passage.ordinal for passage in plan.missing([])] == [1]


def test_nothing_changed() -> None:
    assert plan_update(old("abc"), new("abc")).changes_nothing


def test_an_empty_document_has_no_passages() -> None:
    assert plan_update(old("ab"), []).remove == (100, 101)


def test_a_renamed_document_embeds_nothing() -> None:
    assert plan_update([], new("abc")).missing({"a", "b", "c"}) == ()


@given(st.text("abcd", max_size=12), st.text("abcd", max_size=12))
def test_every_passage_is_accounted_for_once(before: str, after: str) -> None:
    plan = plan_update(old(before), new(after))
    assert sorted([*plan.keep, *plan.remove]) == [100 + n for n in range(len(before))]
    assert sorted([passage.ordinal for passage in [*plan.keep.values(), *plan.insert]]) == list(
        range(len(after))
    )
    assert all(before[identifier - 100] == passage.hash for identifier, passage in plan.keep.items())
    common = sum(min(before.count(letter), after.count(letter)) for letter in "abcd")
    assert len(plan.keep) == common
    assert plan.moved.items() <= plan.keep.items()
