"""An answer stands while its context is the same: asked again with its receipt, nothing is written and no model is asked."""

from __future__ import annotations

from dataclasses import replace

from springline.assistant.answer import Assistant
from springline.assistant.base import AskRequest
from tests.unit.assistant.models import ScriptedChat
from tests.unit.context import airline

REQUEST = AskRequest("Is my flight cancelled?", subject="customer:C0001")


def test_while_nothing_changed_the_answer_and_its_receipt_stand() -> None:
    state = airline.state()
    chat = ScriptedChat("Flight B6 155 is cancelled [2].")
    assistant = Assistant(state, airline.definition(), chat, state)
    first = assistant.ask(REQUEST)
    again = assistant.ask(replace(REQUEST, previous=first.receipt))
    assert (again.text, again.receipt) == (first.text, first.receipt)
    assert len(state.recorded) == len(chat.asked) == 1


def test_a_change_another_question_or_another_subject_is_answered_anew() -> None:
    state = airline.state()
    assistant = Assistant(state, airline.definition(), None, state)
    first = assistant.ask(REQUEST)
    others = [
        replace(REQUEST, question="Where can I sleep?", previous=first.receipt),
        replace(REQUEST, subject="customer:C0002", previous=first.receipt),
        replace(REQUEST, previous="unknown"),
    ]
    assert len({assistant.ask(request).receipt for request in others} | {first.receipt}) == 4
    state.relation(airline.FLIGHTS_SCHEMA, airline.flight(1, "C0001", "B6 155", status="boarding"))
    after = assistant.ask(replace(REQUEST, previous=first.receipt))
    assert after.receipt != first.receipt
    assert after.text != first.text
