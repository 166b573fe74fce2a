"""What the demo's page needs from the demo: the storm, the twin, the fleet and the visitor's desk.

The types are structural: ``replay.Replay``, ``twin.Twin`` and ``fleet.Fleet`` implement them, and so do fakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from springline.demo.fleet import FleetStatus, FlightStatus
from springline.demo.replay import ReplayStatus
from springline.demo.twin import TwinStatus
from springline.serve.service import Answer, AskRequest


class Stage(Protocol):
    """The replay and its clock (``replay.Replay``)."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def set_speed(self, speed: float) -> None: ...

    def jump(self, to: datetime) -> None: ...

    def status(self) -> ReplayStatus: ...


class Twin(Protocol):
    """The same assistant over a copy that is refreshed in batches (``twin.Twin``)."""

    def set_interval(self, interval_s: float) -> None: ...

    def status(self) -> TwinStatus: ...

    def ask(self, request: AskRequest) -> Answer: ...


class Fleet(Protocol):
    """The simulated travellers (``fleet.Fleet``)."""

    def status(self) -> FleetStatus: ...


@dataclass(frozen=True, slots=True)
class SqlOutcome:
    """What the visitor's statement did. ``committed_at_us`` is our clock when the commit had returned."""

    command: str
    rows_affected: int
    commit_us: int
    committed_at_us: int
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A statement that is ready to run."""

    title: str
    sql: str


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as the chooser shows one, with statements about this customer's own flight."""

    subject: str
    name: str
    language: str
    flights: tuple[FlightStatus, ...] = ()
    examples: tuple[Example, ...] = field(default=())


class Desk(Protocol):
    """The demo's database and documents as a visitor may use them (``visitors.VisitorDesk``)."""

    def customers(self, text: str, limit: int) -> Sequence[Customer]:
        """Customers whose id or name contains ``text``; without flights and examples."""
        ...

    def customer(self, subject: str) -> Customer:
        """Raises NotFound."""
        ...

    def truth(self, subject: str) -> tuple[FlightStatus, ...]:
        """What the database has committed about the customer's flights at this moment."""
        ...

    def run(self, sql: str) -> SqlOutcome:
        """Runs the statement in a transaction of its own and commits. Raises SqlError with line and column."""
        ...

    def write_policy(self, text: str) -> int:
        """Replaces the visitor's own policy document (empty removes it); our clock, in microseconds, when it was in place."""
        ...
