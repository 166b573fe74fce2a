"""Receipts and their verification; freshness as the caller chose it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from springline.assistant.answer import Assistant
from springline.assistant.base import Answer, AskRequest
from springline.assistant.receipts import RECEIPTS, Receipt, new_identifier
from springline.context.definition import ContextDefinition
from springline.errors import ConfigurationError, NotFound, NotFresh, StorageFull
from springline.testing.snapshots import FakeState
from tests.unit.assistant.models import ScriptedChat
from tests.unit.context import airline

QUESTION = "Is my flight cancelled, and what are my options?"
REQUEST = AskRequest(QUESTION, subject="customer:C0001")


def asked(state: FakeState, request: AskRequest = REQUEST) -> tuple[Assistant, Answer, Receipt]:
    assistant = Assistant(state, airline.definition(), None, state)
    answer = assistant.ask(request)
    table, row = state.recorded[-1]
    assert table == RECEIPTS.name
    return assistant, answer, Receipt.from_row(dict(zip(RECEIPTS.names, row, strict=True)))


def test_a_receipt_says_what_the_answer_was_based_on() -> None:
    state = airline.state()
    _, answer, receipt = asked(state)
    assert receipt.id == answer.receipt
    assert (receipt.question, receipt.subject, receipt.answer) == (QUESTION, "customer:C0001", answer.text)
    assert (receipt.tick, receipt.log_sequence) == (state.sequence, state.sequence)
    assert receipt.positions == dict(answer.context.positions)
    assert [piece.number for piece in receipt.pieces if piece.cited] == [
        citation.id for citation in answer.citations
    ]
    assert receipt.pieces[1].key == {"booking_flight_id": 1}
    assert receipt.context_hash == answer.context.hash
    assert receipt.masked == ()
    assert receipt.took_ms.keys() == {"barrier", "context", "answer", "total"}


def test_a_receipt_holds_no_row_and_no_passage_beyond_the_answer() -> None:
    state = airline.state()
    state.put(
        airline.MY_FLIGHTS,
        airline.flight(1, "C0001", "B6 155", status="cancelled", booking_reference="SECRET7"),
    )
    _, answer, receipt = asked(state)
    assert "SECRET7" not in answer.text
    assert "SECRET7" not in json.dumps(receipt.to_json())


def test_receipts_round_trip() -> None:
    _, _, receipt = asked(airline.state())
    body = json.loads(json.dumps(receipt.to_json()))
    assert Receipt.from_json(body) == receipt
    assert receipt.hash == receipt.computed_hash()
    for wrong in ({}, {**body, "version": 99}, {**body, "surprise": 1}, {**body, "pieces": [{}]}):
        with pytest.raises(ValueError, match="receipt"):
            Receipt.from_json(wrong)


def test_identifiers_sort_by_time_and_never_repeat() -> None:
    first = new_identifier(1_360_324_800_000_000, lambda size: b"\xff" * size)
    second = new_identifier(1_360_324_800_001_000, lambda size: b"\x00" * size)
    assert first < second
    assert len(first) == len(second) == 26


def test_a_true_receipt_is_verified_even_after_everything_changed() -> None:
    state = airline.state()
    assistant, _, receipt = asked(state)
    state.put(airline.MY_FLIGHTS, airline.flight(1, "C0001", "B6 155", status="departed"))
    state.document("rebooking.md", "# Rebooking\n\nNobody is rebooked any more when a flight is cancelled.\n")
    verification = assistant.verify(receipt, state.rebuild)
    assert verification.verified is True
    assert verification.to_json()["differences"] == []


def changed_row(state: FakeState) -> None:
    state.put(
        airline.MY_FLIGHTS, airline.flight(1, "C0001", "B6 155", status="delayed", cancel_reason="weather")
    )


def deleted_row(state: FakeState) -> None:
    state.delete(airline.OPTIONS, "REF001", 11)


def added_row(state: FakeState) -> None:
    state.put(airline.OPTIONS, airline.option(13, "C0001", "B6 187", 9, 1))


@pytest.mark.parametrize(
    ("change", "what", "name", "columns"),
    [
        (changed_row, "changed", airline.MY_FLIGHTS, ("status",)),
        (deleted_row, "missing", airline.OPTIONS, ()),
        (added_row, "added", airline.OPTIONS, ()),
    ],
)
def test_verification_names_the_row_that_was_otherwise(
    change: Any, what: str, name: str, columns: tuple[str, ...]
) -> None:
    state = airline.state(policies=False)
    assistant, _, receipt = asked(state)
    state.tamper(receipt.log_sequence, change)
    verification = assistant.verify(receipt, state.rebuild)
    assert verification.verified is False
    [difference] = verification.differences
    assert (difference.what, difference.name, difference.columns) == (what, name, columns)


def test_verification_names_a_clause_that_was_otherwise() -> None:
    state = airline.state(policies=False)
    state.document("rules.md", "# Rules\n\nIf a flight is cancelled, your options are free.\n")
    assistant, _, receipt = asked(state)
    state.tamper(
        receipt.log_sequence,
        lambda earlier: earlier.document(
            "rules.md", "# Rules\n\nIf a flight is cancelled, your options cost USD 75.\n"
        ),
    )
    [difference] = assistant.verify(receipt, state.rebuild).differences
    assert (difference.what, difference.name, difference.columns) == ("changed", "rules.md", ("text",))


def test_an_altered_receipt_is_found_out() -> None:
    state = airline.state()
    assistant, _, receipt = asked(state)
    for altered in (
        replace(receipt, answer="Your flight leaves on time."),
        replace(receipt, pieces=receipt.pieces[1:]),
        replace(receipt, subject="customer:C0002"),
    ):
        verification = assistant.verify(altered, state.rebuild)
        assert verification.verified is False
        assert [difference.what for difference in verification.differences] == ["receipt"]
    forged = replace(receipt, subject="customer:C0002")
    forged = replace(forged, hash=forged.computed_hash())
    assert assistant.verify(forged, state.rebuild).verified is False


def test_what_the_log_no_longer_holds_cannot_be_verified() -> None:
    state = airline.state()
    assistant, _, receipt = asked(state)
    changed_row(state)
    state.forget()
    verification = assistant.verify(receipt, state.rebuild)
    assert verification.verified is None
    assert "no longer holds" in verification.detail


def test_another_declaration_is_named_as_the_difference() -> None:
    state = airline.state()
    _, _, receipt = asked(state)
    other = Assistant(state, airline.definition(token_budget=300), None, state)
    differences = other.verify(receipt, state.rebuild).differences
    assert differences[0].what == "definition"
    broken = Assistant(state, ContextDefinition("traveller", ()), None, state)
    assert broken.verify(receipt, state.rebuild).verified is False


def test_the_callers_choice_of_freshness_reaches_the_runtime_and_the_answer() -> None:
    state = airline.state()
    _, answer, _ = asked(state, replace(REQUEST, deadline_ms=250))
    assert state.reads[-1] == ("now", 250, "refuse")
    assert answer.to_json()["freshness"] == {"require": "now", "met": True, "waited_ms": 0.0, "missing": []}
    state.late = ("airline",)
    with pytest.raises(NotFresh):
        asked(state)
    _, answer, receipt = asked(state, replace(REQUEST, on_miss="state_age"))
    assert answer.notice is not None
    assert "Not up to date with airline" in answer.notice
    assert receipt.freshness["met"] is False
    assert dict(zip(RECEIPTS.names, state.recorded[-1][1], strict=True))["fresh"] == 0


def test_an_answer_whose_receipt_cannot_be_stored_is_not_given() -> None:
    class Full:
        def record(self, table: str, row: object, /) -> None:
            raise StorageFull("The disk is full.")

    with pytest.raises(StorageFull):
        Assistant(airline.state(), airline.definition(), None, Full()).ask(REQUEST)


def test_errors_leave_nothing_open_and_nothing_recorded() -> None:
    state = airline.state()
    assistant = Assistant(state, airline.definition(), None, state)
    for request, error in (
        (replace(REQUEST, subject="customer:nobody"), NotFound),
        (replace(REQUEST, subject="supplier:1"), NotFound),
        (replace(REQUEST, question=" \n"), ConfigurationError),
    ):
        with pytest.raises(error):
            assistant.ask(request)
        with pytest.raises(error):
            next(assistant.ask_stream(request))
    assert state.recorded == []
    assert all(snapshot.closed for snapshot in state.snapshots)


def test_the_answers_json_has_what_the_page_wants() -> None:
    _, answer, _ = asked(airline.state())
    body = json.loads(json.dumps(answer.to_json()))
    assert body.keys() >= {
        "answer", "mode", "model", "notice", "language", "question", "subject", "citations", "snapshot", "freshness",
        "receipt", "took_ms",
    }  # fmt: skip
    assert body["subject"] == "C0001"
    row, passage = body["citations"][0], body["citations"][-1]
    assert (row["kind"], row["relation"], row["key"]) == ("row", airline.MY_FLIGHTS, {"booking_flight_id": 1})
    assert row["columns"]["status"] == "cancelled"
    assert (passage["kind"], passage["key"], passage["source"]) == ("passage", None, "policies")
    assert row["changed_at"].endswith("Z")
    assert body["snapshot"]["ages"] == {"airline": 2.0, "policies": 2.0}


def test_a_copy_is_answered_from_as_it_is_without_a_receipt() -> None:
    state = airline.state()
    assistant = Assistant(state, airline.definition(), ScriptedChat("B6 155 is cancelled [2]."), state)
    answer = assistant.answer_from(REQUEST, state.snapshot())
    assert answer.receipt is None
    assert state.recorded == []
    assert answer.citations[0].id == 2


def test_the_context_can_be_looked_at_without_asking() -> None:
    state = airline.state()
    assistant = Assistant(state, airline.definition(), None, state)
    assert assistant.context(REQUEST).hash == assistant.ask(REQUEST).context.hash
    assert len(state.recorded) == 1
