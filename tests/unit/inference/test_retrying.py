"""Trying again: when, how often, and when not."""

from __future__ import annotations

import pytest

from springline.errors import ModelRefused, ModelUnavailable
from springline.inference.base import Message, unavailable
from springline.inference.retrying import RetryingChatModel, RetryingEmbedder, RetryPolicy, wait_s
from springline.testing.models import FakeChatModel, FakeEmbedder, Plan


class SleepingClock:
    """Remembers how long it was asked to sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_us(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return sum(self.slept)

    def sleep_s(self, seconds: float) -> None:
        self.slept.append(seconds)


POLICY = RetryPolicy(attempts=4, first_wait_s=1.0, longest_wait_s=10.0)


def embedder(*failures: Exception) -> tuple[RetryingEmbedder, FakeEmbedder, SleepingClock]:
    clock, fake = SleepingClock(), FakeEmbedder(plan=Plan(failures=list(failures)))
    return RetryingEmbedder(fake, POLICY, clock, chance=lambda: 1.0), fake, clock


def test_waits_grow_and_end() -> None:
    model, fake, clock = embedder(*[unavailable("away")] * 3)
    assert model.embed(["x"]).shape == (1, fake.dimensions)
    assert clock.slept == [1.0, 2.0, 4.0]
    model, fake, clock = embedder(*[unavailable("away")] * 4)
    with pytest.raises(ModelUnavailable):
        model.embed(["x"])
    assert len(fake.requests) == 4


def test_what_the_provider_asks_for_is_kept() -> None:
    model, _, clock = embedder(unavailable("busy", retry_after_s=5.0))
    model.embed(["x"])
    assert clock.slept == [5.1]


def test_a_longer_wait_is_left_to_the_caller() -> None:
    model, fake, clock = embedder(unavailable("busy", retry_after_s=60.0))
    with pytest.raises(ModelUnavailable):
        model.embed(["x"])
    assert (len(fake.requests), clock.slept) == (1, [])


def test_a_refusal_is_not_tried_again() -> None:
    model, fake, _ = embedder(ModelRefused("no"))
    with pytest.raises(ModelRefused):
        model.embed(["x"])
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("attempt", "asked", "chance", "expected"),
    [(1, None, 0.0, 0.0), (1, None, 0.5, 0.5), (3, None, 1.0, 4.0), (4, None, 1.0, None), (2, 3.0, 0.0, 3.0)],
)
def test_wait(attempt: int, asked: float | None, chance: float, expected: float | None) -> None:
    assert wait_s(POLICY, attempt, asked, chance) == expected


def test_it_is_the_model_that_it_wraps() -> None:
    model, fake, _ = embedder()
    assert (model.name, model.model, model.dimensions, model.languages) == (
        "fake",
        fake.model,
        fake.dimensions,
        None,
    )
    model.close()
    assert fake.closed


def test_a_stream_is_tried_again_until_its_first_piece_only() -> None:
    question = [Message("user", "hello")]
    clock = SleepingClock()
    fake = FakeChatModel("one two three", plan=Plan(failures=[unavailable("away")]))
    stream = RetryingChatModel(fake, POLICY, clock, chance=lambda: 1.0).stream(question)
    assert "".join(stream) == "one two three"
    assert stream.completion.usage.output_tokens == 3
    assert (len(fake.requests), clock.slept) == (2, [1.0])
    broken = FakeChatModel("one two three", break_after=2)
    pieces: list[str] = []
    with pytest.raises(ModelUnavailable):
        pieces.extend(RetryingChatModel(broken, POLICY, clock).stream(question))
    assert len(broken.requests) == 1


def test_a_completion_is_tried_again() -> None:
    fake = FakeChatModel(
        lambda messages: messages[-1].content.upper(), plan=Plan(failures=[unavailable("away")])
    )
    model = RetryingChatModel(fake, POLICY, SleepingClock())
    assert model.complete([Message("user", "hello")]).text == "HELLO"
    assert len(fake.requests) == 2
