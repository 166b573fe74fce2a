"""What an application would have in a module of its own."""

from __future__ import annotations

from collections.abc import Iterator


def domain(address: str) -> str:
    """What follows the @."""
    return address.partition("@")[2].lower()


def words(text: str) -> Iterator[tuple[str, int]]:
    """The words of a text with their places."""
    for place, word in enumerate(text.split()):
        yield word, place
