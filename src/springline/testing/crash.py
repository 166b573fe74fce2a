"""Crash points: named places in the embedded runtime at which a test ends the process, or cuts the power.

The product has no hooks for this. :func:`crash_at` wraps the method at the place, in the test's process only:

::

    with crash_at("after_log_commit_before_ack", disk.crash, after=3):
        ...                                  # the third time, right after log.db committed and before the source is told

The action runs in the thread that came to the place, which then goes on. :func:`kill_self` never lets it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn


@dataclass(frozen=True, slots=True)
class _Place:
    """``owner`` is a module, or a module and a class in it, whose callable ``name`` is wrapped. ``only``: where the place is only reached
    in some calls, tells from the arguments and the result."""

    owner: str
    name: str
    when: Literal["before", "after"]
    only: Callable[[tuple[Any, ...], Any], bool] = lambda arguments, result: True


_LOG: Final = "springline.log.sqlite:SqliteLog"
_EMBEDDED: Final = "springline.runtime.embedded"


def _is_fragment(arguments: tuple[Any, ...], _: object) -> bool:
    return bool(arguments[1].spilled != (0, 0))


POINTS: Final[Mapping[str, _Place]] = {
    "before_log_commit": _Place(_LOG, "commit", "before"),
    "inside_log_commit": _Place(_LOG, "_write", "after"),
    "after_log_commit_before_ack": _Place(_LOG, "commit", "after"),
    "between_fragments": _Place(_LOG, "commit", "after", _is_fragment),
    "before_log_checkpoint": _Place(_LOG, "checkpoint", "before"),
    "inside_tick": _Place(f"{_EMBEDDED}.engine:Engine", "_apply", "after"),
    "before_tick_commit": _Place(f"{_EMBEDDED}.engine", "write_progress", "after"),
    "after_tick_commit": _Place(f"{_EMBEDDED}.engine:Engine", "run", "after"),
    "before_tick_is_told": _Place(f"{_EMBEDDED}.runtime:EmbeddedRuntime", "_on_tick", "before"),
    "inside_publish_of_passages": _Place(f"{_EMBEDDED}.knowledge", "publish", "after"),
    "before_state_checkpoint": _Place(f"{_EMBEDDED}.readers:Checkpointer", "run", "before"),
}


def kill_self() -> NoReturn:
    """Ends the process as the out-of-memory killer would: no handler runs, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process outlived SIGKILL")


@contextlib.contextmanager
def crash_at(
    point: str, action: Callable[[], object] = kill_self, *, after: int = 1
) -> Iterator[threading.Event]:
    """Runs ``action`` once, the ``after``-th time that ``point`` is reached; the event tells that it was."""
    place = POINTS[point]
    owner, name = _owner(place), place.name
    original = getattr(owner, name)
    reached, lock, left = threading.Event(), threading.Lock(), after

    def count() -> None:
        nonlocal left
        with lock:
            left -= 1
            is_now = left == 0
        if is_now:
            action()
            reached.set()

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if place.when == "before":
            if place.only(arguments, None):
                count()
            return original(*arguments, **named)
        result = original(*arguments, **named)
        if place.only(arguments, result):
            count()
        return result

    setattr(owner, name, wrapped)
    try:
        yield reached
    finally:
        setattr(owner, name, original)


def _owner(place: _Place) -> Any:
    module, _, inside = place.owner.partition(":")
    owner = importlib.import_module(module)
    return getattr(owner, inside) if inside else owner
