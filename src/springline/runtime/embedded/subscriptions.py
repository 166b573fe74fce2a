"""Subscriptions: a relation's changes from a position on, each once and without a gap, also across restarts.

What a subscriber is sent comes from the relation's retained change list, read in short snapshots of its own: a slow one holds
nobody up, and there may be many. A token names a tick of an epoch (which rises when a backup is restored). Where a token is older than
what is kept, of another epoch, or of before the relation was filled anew, the subscriber is told to forget what it has and is sent the
relation whole, as of one tick, and then what follows it.
"""

from __future__ import annotations

import marshal
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final

import apsw

from springline.core.position import Tick
from springline.core.schema import TableSchema
from springline.core.types import Stored, render
from springline.errors import ConfigurationError, NotFound, ViewBuilding
from springline.runtime.base import ChangeBatch, RelationChange
from springline.runtime.embedded.changelists import complete_after, first_of, read_list, tick_of
from springline.runtime.embedded.progress import Progress
from springline.runtime.embedded.readers import Readers
from springline.runtime.embedded.state import read_relations, read_resume
from springline.runtime.embedded.tables import columns_of, quote
from springline.sql.sharing import is_shared

BATCH_CHANGES: Final = 2_000
SPOOL_BYTES: Final = 8 << 20
"""How much of a relation that is sent whole is held in memory; the rest waits in a temporary file."""

NOW: Final = "now"


@dataclass(frozen=True, slots=True)
class Token:
    """Everything up to the end of a tick was received."""

    epoch: int
    tick: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.tick}"

    @staticmethod
    def parse(text: str) -> Token:
        if (found := re.fullmatch(r"(\d{1,18})\.(\d{1,18})", text)) is None:
            raise ConfigurationError(
                f"{text[:40]!r} is not a position in a change feed.",
                hint="Give the token of the last batch, such as '1.4711'; none for the whole relation; 'now' for what comes from now on.",
            )
        return Token(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class _Read:
    """What one look at the state found."""

    batches: list[ChangeBatch]
    token: Token
    within: int
    """The key of the last entry sent of a tick of which more follows; 0 between ticks."""
    spool: IO[bytes] | None = None
    schema: TableSchema | None = None


class Subscriptions:
    """Thread-safe; each iterator belongs to one thread."""

    def __init__(
        self,
        readers: Readers,
        progress: Progress,
        touched_at: Callable[[str], int],
        building: Callable[[], Mapping[str, object]],
    ) -> None:
        self._readers = readers
        self._progress = progress
        self._touched_at = touched_at
        self._building = building

    def subscribe(
        self, relation: str, after: str | None, stop: threading.Event, timeout_s: float
    ) -> Iterator[ChangeBatch]:
        """See ``runtime.base.Runtime.subscribe``. What cannot be subscribed to is told at once, not with the first item."""
        token = None if after is None or after == NOW else Token.parse(after)
        with self._readers.read() as connection:
            self._schema(connection, relation)
            if after == NOW:
                resume = read_resume(connection)
                token = Token(resume.epoch, resume.tick)
        return self._follow(relation, token, stop, timeout_s)

    def _follow(
        self, relation: str, token: Token | None, stop: threading.Event, timeout_s: float
    ) -> Iterator[ChangeBatch]:
        within = 0
        while not stop.is_set():
            found = self._read(relation, token, within)
            token, within = found.token, found.within
            yield from found.batches
            if found.spool is not None and found.schema is not None:
                with found.spool as spool:
                    yield from _whole(found.schema, spool, found.token)
            elif not found.batches:
                yield ChangeBatch(relation, "idle", Tick(token.tick), str(token))
                self._wait(relation, token, stop, timeout_s)

    def _wait(self, relation: str, token: Token, stop: threading.Event, timeout_s: float) -> None:
        """Returns when the relation has changed, or after the time-out."""
        self._progress.wait_until(lambda: stop.is_set() or self._touched_at(relation) > token.tick, timeout_s)

    def _read(self, relation: str, token: Token | None, within: int) -> _Read:
        with self._readers.read() as connection:
            schema = self._schema(connection, relation)
            resume = read_resume(connection)
            since = complete_after(connection, relation) or 0
            reason = _broken(token, Token(resume.epoch, resume.tick), since)
            if token is None or reason is not None:
                reset = ChangeBatch(relation, "reset", resume.tick, None, (), reason or "From the beginning.")
                spool = _spool(connection, schema)
                return _Read([reset], Token(resume.epoch, resume.tick), 0, spool, schema)
            start = within or first_of(token.tick + 1)
            entries = list(read_list(connection, schema, start, first_of(resume.tick + 1), BATCH_CHANGES))
            is_all = len(entries) < BATCH_CHANGES
        ticks: dict[int, list[RelationChange]] = {}
        for entry in entries:
            tick = tick_of(entry.sequence)
            change = RelationChange(Tick(tick), relation, entry.weight, _rendered(schema, entry.row))
            ticks.setdefault(tick, []).append(change)
        last = max(ticks, default=0)
        batches = [
            ChangeBatch(
                relation,
                "changes",
                Tick(tick),
                str(Token(token.epoch, tick)) if is_all or tick != last else None,
                tuple(changes),
            )
            for tick, changes in ticks.items()
        ]
        if is_all:
            return _Read(batches, Token(token.epoch, resume.tick), 0)
        return _Read(batches, Token(token.epoch, last - 1), entries[-1].sequence)

    def _schema(self, connection: apsw.Connection, name: str) -> TableSchema:
        """The relation, if it can be followed. Raises NotFound, ViewBuilding, ConfigurationError."""
        relations = {one: known for one, known in read_relations(connection).items() if not is_shared(one)}
        if name not in relations:
            if name in (building := self._building()):
                raise ViewBuilding(
                    f"View {name!r} is being built ({building[name]}).", hint="Subscribe when it is live."
                )
            raise NotFound(f"There is no relation {name!r}.", hint=f"Known: {', '.join(sorted(relations))}.")
        if relations[name].state == "stopped":
            raise NotFound(
                f"View {name!r} is stopped: {relations[name].error}", hint="See `springline status`."
            )
        if complete_after(connection, name) is None:
            raise ConfigurationError(
                f"The changes of {name!r} are not kept.",
                hint=f"Declare how long they are: app.view(…, retain_s=3600), or app.retain({name!r}, 3600).",
            )
        return relations[name].schema


def _broken(token: Token | None, now: Token, since: int) -> str | None:
    """Why the list does not lead on from a token; None where it does. Pure."""
    if token is None:
        return None
    if token.epoch != now.epoch:
        return f"The state was restored or rebuilt: its epoch is {now.epoch}, not {token.epoch}."
    if token.tick > now.tick:
        return (
            f"The state is at tick {now.tick}, before {token.tick}: it is not the one that gave this token."
        )
    if token.tick < since:
        return f"What changed after tick {token.tick} is not kept any more, or the relation was filled anew; what is kept begins after {since}."
    return None


def _spool(connection: apsw.Connection, schema: TableSchema) -> IO[bytes]:
    """All rows of the relation, as this snapshot has them."""
    # It is read, and closed, by who has subscribed.
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115
    for row in connection.execute(f"SELECT {columns_of(schema.names)} FROM main.{quote(schema.name)}"):
        marshal.dump(row, spool)
    marshal.dump(None, spool)
    spool.seek(0)
    return spool


def _whole(schema: TableSchema, spool: IO[bytes], token: Token) -> Iterator[ChangeBatch]:
    """The rows in batches; the last one, perhaps empty, has the token."""
    rows: list[RelationChange] = []
    tick = Tick(token.tick)
    while (row := marshal.load(spool)) is not None:
        rows.append(RelationChange(tick, schema.name, 1, _rendered(schema, row)))
        if len(rows) == BATCH_CHANGES:
            yield ChangeBatch(schema.name, "changes", tick, None, tuple(rows))
            rows = []
    yield ChangeBatch(schema.name, "changes", tick, str(token), tuple(rows))


def _rendered(schema: TableSchema, row: tuple[Stored, ...]) -> dict[str, object]:
    return {
        column.name: render(value, column.type) for column, value in zip(schema.columns, row, strict=True)
    }
