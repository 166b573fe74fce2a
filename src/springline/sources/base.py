"""What every source offers.

The runtime calls ``run`` in a thread of its own and calls it again, with backoff, after a transient error. A
terminal error stops the source, not the others, and is shown with its hint until the operator acts.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, runtime_checkable

from springline.core.position import Position
from springline.core.schema import TableSchema
from springline.log.base import CaptureWriter


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``springline doctor`` found. ``fix`` is what to run or change, ready to paste."""

    severity: Literal["ok", "warning", "error"]
    subject: str
    message: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source stands now. Times are microseconds since the epoch; sizes are bytes.

    ``behind_bytes``: how much the source still holds that we have not captured; None where it cannot tell.
    ``retained_bytes``: how much the source keeps on disk because of us (PostgreSQL: WAL held by the slot).
    """

    state: Literal["starting", "snapshot", "streaming", "retrying", "stopped"]
    position: Position | None = None
    behind_bytes: int | None = None
    retained_bytes: int | None = None
    last_message_at_us: int | None = None
    rows_loaded: int = 0
    rows_estimated: int | None = None
    error: str | None = None
    details: dict[str, object] = field(default_factory=dict[str, object])


class Source(Protocol):
    """Something that changes."""

    name: str
    barrier: ClassVar[Literal["exact", "bounded"]]
    """Whether ``current_position`` is exact, or only a stated bound."""

    def check(self) -> Sequence[Finding]:
        """Looks at the source without changing anything. Blocks; raises SourceUnavailable if it does not answer."""
        ...

    def tables(self) -> Sequence[TableSchema]:
        """The schemas of the tables asked for, as the source has them now. Blocks."""
        ...

    def run(self, writer: CaptureWriter, stop: threading.Event) -> None:
        """Captures until ``stop`` is set: existing rows first where they are not loaded yet, then every change. Resumes from what
        ``writer`` holds durably. At least once into ``append``, exactly once into the log. Returns within a second of ``stop``.
        Raises SourceUnavailable (retry) or another SourceError (give up)."""
        ...

    def current_position(self, timeout_s: float) -> Position:
        """A position that covers every change committed in the source before this call; what the recency barrier waits for.
        Thread-safe; concurrent callers share the work. Raises SourceUnavailable."""
        ...

    def status(self) -> SourceStatus:
        """Cheap; thread-safe; never blocks on the network."""
        ...

    def close(self) -> None:
        """Releases connections. Idempotent; called after ``run`` returned."""
        ...


@runtime_checkable
class Reloadable(Protocol):
    """A source whose tables can be loaded again on request."""

    def request_reload(self, tables: Sequence[str] | None = None) -> None:
        """Loads tables (as relations are named; None: all) again while the source runs. Thread-safe. Raises SourceUnavailable where it does
        not run."""
        ...

    def resnapshot(self, writer: CaptureWriter, tables: Sequence[str] | None = None) -> None:
        """Makes the next ``run`` load tables again, and finds a place to go on from where the old one was lost. While the source does not
        run."""
        ...
