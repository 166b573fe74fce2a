"""Where the generator's decisions come from: hypothesis, which shrinks them, or a seed.

Every decision is a small number, and 0 is always the simplest answer; that is what makes failures shrink well.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices(Protocol):
    """The only source of randomness."""

    def below(self, count: int) -> int:
        """A number from 0 to ``count - 1``."""
        ...


@lru_cache(maxsize=256)
def _numbers(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)


class Drawn:
    """Decisions of hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def below(self, count: int) -> int:
        return 0 if count <= 1 else int(self._draw(_numbers(count)))


class Seeded:
    """Decisions that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, count: int) -> int:
        return self._random.randrange(count)


def pick(choices: Choices, options: Sequence[T]) -> T:
    """One of the options; the first is the simplest."""
    return options[choices.below(len(options))]


def chance(choices: Choices, one_in: int) -> bool:
    """True once in so many times."""
    return choices.below(one_in) == one_in - 1
