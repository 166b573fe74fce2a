"""Makes cuts: asks the job for checkpoints, and says what each of them covers.

One cut is: ask every source where it stands now; wait until capture has published that, and have it publish nothing more; wait until the job's sources have read all of
it; have a checkpoint made, and let capture go on; wait until its rows are committed (the sinks' transactions); note where the derived topics end.

So a checkpoint covers exactly what was published, which is whole transactions of the sources, over all tables. Nothing else asks this job for
checkpoints, so what is committed then is exactly the checkpoint. What is captured meanwhile waits in the outbox.

A cut is made at least every ``interval_s``, and at once when a serving node asks. Where nothing has come in since the last one, it costs no
checkpoint: the old one covers everything, and only the time moves.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, Protocol

from confluent_kafka import Consumer, TopicPartition

from springline.core.schema import TableSchema
from springline.errors import SourceUnavailable, SpringlineError
from springline.log.kafka.clients import REQUEST_TIMEOUT_S, Kafka, kafka_errors
from springline.log.kafka.cut import Cut, Deployed
from springline.log.kafka.deployments import CURRENT, NEXT, promote, read_deployments
from springline.log.kafka.names import barriers_topic, cuts_topic, job_group, transaction_prefix
from springline.log.kafka.reading import last_json
from springline.log.kafka.topics import (
    Offsets,
    committed_ends,
    control_topics,
    ensure_topics,
    partitions_of,
)
from springline.log.kafka.transactions import Transactions, is_settled, newest_committed
from springline.log.kafka.writer import Writer

POLL_S: Final = 0.01
SETTLE_TIMEOUT_S: Final = 30.0
READ_TIMEOUT_S: Final = 60.0
"""How long the job's sources may take to read what was published, while nothing more is."""

ASK_AFTER_S: Final = 5.0
"""After which time without progress a checkpoint is made only for what it says: the job's sources then tell how far they are."""

LOOK_EVERY_S: Final = 5.0
"""How often a new generation is looked at whether it has caught up."""

_logger = logging.getLogger("springline.cuts")


class Jobs(Protocol):
    """The deployed jobs, as far as cuts need them."""

    def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
        """Has a checkpoint made, and waits until it is complete; its number. Raises SourceUnavailable, also where the job was started again since
        ``read`` has told of it."""
        ...

    def read(self, deployed: Deployed) -> Offsets:
        """How far the job's sources have read, never too far; of partitions that it can tell."""
        ...

    def cancel(self, deployed: Deployed) -> None:
        """Ends a job that nobody follows any more. Idempotent."""
        ...


@dataclass(frozen=True)
class Mark:
    """What a cut has to cover. ``positions``: source -> (position, as of when). ``inputs``: where the records of the job's input topics end."""

    marked_at_us: int
    positions: Mapping[str, tuple[str, int]]
    loading: tuple[str, ...]
    inputs: Offsets
    tables: Mapping[str, TableSchema] = field(default_factory=dict[str, TableSchema])
    """What the sources' tables are now."""


Standing = Callable[[], AbstractContextManager[Mark]]
"""Asks the sources where they are, and begins when capture has published everything up to there; within it, nothing more is published.
Raises SourceUnavailable."""


class Coordinator:
    """The thread that makes cuts."""

    def __init__(
        self,
        application: str,
        kafka: Kafka,
        jobs: Jobs,
        standing: Standing,
        *,
        interval_s: float = 1.0,
    ) -> None:
        self._application = application
        self._kafka = kafka
        self._jobs = jobs
        self._standing = standing
        self._interval_s = interval_s
        self._transactions = Transactions(kafka)
        self._writer = Writer(kafka, f"{application}-cuts")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cuts", daemon=True)
        self._last: Cut | None = None
        self._next_look = 0.0
        self.error: SpringlineError | None = None
        """Why no cut can be made now; None when all is well."""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> None:
        """Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._transactions.close()

    @property
    def last(self) -> Cut | None:
        """The newest cut that was made here."""
        return self._last

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._make_cuts()
                return
            except SpringlineError as error:
                self.error = error
                if not error.transient:
                    _logger.error("no more cuts: %s", error)
                    return
                failures += 1
                _logger.warning("a cut will be tried again: %s", error)
            except Exception as error:  # A defect must not end silently: answers would only grow old.
                _logger.exception("no more cuts")
                self.error = SpringlineError(
                    f"The coordinator stopped on an unexpected error: {error!r}.",
                    hint="Please report it with the log.",
                )
                return
            self._stop.wait(min(2.0, 0.1 * 2 ** min(failures, 5)) * (0.5 + random.random()))

    def _make_cuts(self) -> None:
        ensure_topics(self._kafka, control_topics(self._application))
        with kafka_errors(self._kafka, "making cuts"):
            with self._standing():
                # Only a capture that may publish shuts out whoever made cuts before.
                self._writer.prepare()
            self._resume()
            consumer = self._kafka.consumer()
            topic = barriers_topic(self._application)
            end = committed_ends(self._kafka, [(topic, 0)])[topic, 0]
            # Requests of before are answered by the first cut: it is marked after all of them.
            consumer.assign([TopicPartition(topic, 0, end)])
            try:
                while not self._stop.is_set():
                    barriers = committed_ends(self._kafka, [(topic, 0)])[topic, 0]
                    cut = self._cut(barriers)
                    self._write(cut)
                    self._last, self.error = cut, None
                    self._wait(consumer, barriers)
            finally:
                consumer.close()

    def _write(self, cut: Cut) -> None:
        self._writer.producer.begin_transaction()
        self._writer.producer.produce(cuts_topic(self._application), cut.to_json(), b"cut")
        self._writer.producer.commit_transaction(REQUEST_TIMEOUT_S)

    def _wait(self, consumer: Consumer, answered: int) -> None:
        """Until somebody asks for a cut who was not answered, or the interval is over."""
        until = time.monotonic() + self._interval_s
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            message = consumer.poll(min(left, 0.2))
            if message is not None and message.error() is None and int(message.offset() or 0) >= answered:
                return

    def _resume(self) -> None:
        """The newest cut that readers have: one of which nobody knew whether it was committed may be there, and its number is then taken."""
        found = last_json(self._kafka, cuts_topic(self._application))
        self._last = None if found is None else Cut.from_json(found)

    # -- a cut -----------------------------------------------------------------------------------------------------

    def _cut(self, barriers: int) -> Cut:
        """The next cut; of the next generation, if that has caught up with the present one."""
        known = read_deployments(self._kafka, self._application)
        if CURRENT not in known:
            raise SourceUnavailable(
                f"Application {self._application!r} is not deployed.", hint="Run `springline deploy`."
            )
        current, following = known[CURRENT], known.get(NEXT)
        if following is not None and self._has_caught_up(following):
            cut = self._covering(following, barriers)
            promote(self._kafka, self._application, following)
            self._jobs.cancel(current)
            return cut
        return self._covering(current, barriers)

    def _has_caught_up(self, deployed: Deployed) -> bool:
        """Whether a job that nobody follows yet has read what was published. It is looked at once in a while."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_EVERY_S
        with self._standing() as mark:
            return covers(self._read(deployed), mark.inputs)

    def _covering(self, deployed: Deployed, barriers: int) -> Cut:
        """A cut of a generation."""
        last, times = self._last, [time.monotonic()]
        with self._standing() as mark:
            check_tables(deployed, mark.tables)
            times.append(time.monotonic())
            if (
                last is not None
                and last.generation == deployed.generation
                and covers(self._covered(deployed), mark.inputs)
            ):
                return replace(
                    last,
                    number=last.number + 1,
                    marked_at_us=mark.marked_at_us,
                    positions=mark.positions,
                    loading=mark.loading,
                    barriers=barriers,
                )
            # A sink whose topic is gone fails its checkpoint, and does not say why.
            places = partitions_of(self._kafka, [one.topic for one in deployed.relations])
            self._wait_read(deployed, mark.inputs)
            times.append(time.monotonic())
            checkpoint = self._jobs.checkpoint(deployed, SETTLE_TIMEOUT_S)
            times.append(time.monotonic())
        offsets = self._settled(deployed, checkpoint, places)
        if last is not None and last.generation == deployed.generation:
            check_grown(last.offsets, offsets)
        times.append(time.monotonic())
        number = first_number(deployed, checkpoint, mark) if last is None else last.number + 1
        _logger.debug(
            "cut %d, checkpoint %d: published after %.0f ms, read after %.0f ms, complete after %.0f ms, its rows after %.0f ms",
            number,
            checkpoint,
            *((later - sooner) * 1_000 for sooner, later in pairwise(times)),
        )
        return Cut(
            number,
            deployed.generation,
            checkpoint,
            mark.marked_at_us,
            mark.positions,
            offsets,
            barriers,
            mark.loading,
            mark.inputs,
        )

    def _wait_read(self, deployed: Deployed, inputs: Offsets) -> None:
        """Waits until the job's sources have read up to the mark: a checkpoint that is asked for then covers it."""
        started = time.monotonic()
        deadline, ask_at = started + READ_TIMEOUT_S, started + ASK_AFTER_S
        while not covers(reached := self._read(deployed), inputs):
            if time.monotonic() > ask_at:
                # The sources of a job that was started again from a checkpoint of which there is no cut tell nothing of partitions in which
                # nothing is new, until they commit their offsets with the next one.
                self._jobs.checkpoint(deployed, SETTLE_TIMEOUT_S)
                ask_at = time.monotonic() + 2 * ASK_AFTER_S
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"The job has not read what was captured within {READ_TIMEOUT_S:g} s: {lacking(reached, inputs)}.",
                    hint="Does it run, and does it keep up? See Flink's own page.",
                )
            self._pause()

    def _read(self, deployed: Deployed) -> Offsets:
        """How far the job's sources have read. What was read before the job was last started is in its checkpoints: what the last cut covers, and
        the offsets that it committed, which may come later."""
        reached = self._covered(deployed)
        committed = self._transactions.group_offsets(job_group(self._application, deployed.generation))
        for found in (committed, self._jobs.read(deployed)):
            reached |= {place: max(offset, reached.get(place, 0)) for place, offset in found.items()}
        return reached

    def _covered(self, deployed: Deployed) -> Offsets:
        """What the last cut covers, if it is of this generation."""
        last = self._last
        return dict(last.inputs) if last is not None and last.generation == deployed.generation else {}

    def _settled(self, deployed: Deployed, checkpoint: int, places: Sequence[tuple[str, int]]) -> Offsets:
        """Where the derived topics (``places``) end once everything of the checkpoint is committed."""
        prefix = transaction_prefix(self._application, deployed.generation)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while not is_settled(self._transactions.states(prefix), checkpoint):
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"The rows of checkpoint {checkpoint} were not committed within {SETTLE_TIMEOUT_S:g} s.",
                    hint="See the job's exceptions in Flink's own page.",
                )
            self._pause()
        ends = committed_ends(self._kafka, places)
        if (newest := newest_committed(self._transactions.states(prefix))) > checkpoint:
            raise SourceUnavailable(
                f"Checkpoint {newest} was made while {checkpoint} was looked at: somebody else asks this job for checkpoints.",
                hint="Leave execution.checkpointing.interval as `springline deploy` sets it.",
            )
        return ends

    def _pause(self) -> None:
        if self._stop.wait(POLL_S):
            raise SourceUnavailable("The coordinator was stopped.")


def first_number(deployed: Deployed, checkpoint: int, mark: Mark) -> int:
    """Of an application's first cut; where it is not the first, and the topic of cuts was lost, one that is larger than all that nodes may
    have seen: fewer cuts are made than milliseconds go by. Pure."""
    return 1 if deployed.generation == checkpoint == 1 else mark.marked_at_us // 1_000


def check_tables(deployed: Deployed, now: Mapping[str, TableSchema]) -> None:
    """Whether the job reads the tables as they are: a column of another type would be NULL for it. One that was added does not concern it.
    Pure. Raises SourceUnavailable."""
    for one in deployed.relations:
        before, table = one.schema, now.get(one.schema.name)
        if table is None:
            continue  # A view; or a table that is gone, whose rows are gone too.
        types = {column.name: column.type for column in table.columns}
        changed = [
            f"column {column.name!r} was {column.type} and "
            + (f"is {types[column.name]}" if column.name in types else "is gone")
            for column in before.columns
            if types.get(column.name) != column.type
        ]
        if before.key != table.key:
            changed.append(f"its key was ({', '.join(before.key)}) and is ({', '.join(table.key)})")
        if changed:
            raise SourceUnavailable(
                f"Table {before.name!r} has changed since generation {deployed.generation} was deployed: {'; '.join(changed)}.",
                hint="`springline deploy` starts a new generation, which reads it as it is now; until then answers stay as they are.",
            )


def check_grown(before: Offsets, now: Offsets) -> None:
    """Whether derived topics are the ones of the last cut: they only grow. Pure. Raises SourceUnavailable."""
    for place, offset in now.items():
        if offset < before.get(place, 0):
            raise SourceUnavailable(
                f"Topic {place[0]!r} ends at {offset}, and ended at {before[place]} at the last cut: it was deleted and made anew.",
                hint="Cancel the job in Flink; `springline deploy` then starts a new generation, with topics of its own.",
            )


def covers(reached: Offsets, wanted: Offsets) -> bool:
    """Whether every partition was read up to where it is wanted. Pure."""
    return all(reached.get(place, 0) >= offset for place, offset in wanted.items())


def lacking(reached: Offsets, wanted: Offsets) -> str:
    """The partitions that were not read as far as they are wanted, for people. Pure."""
    return ", ".join(
        f"{topic}[{partition}] at {reached.get((topic, partition), 0)} of {offset}"
        for (topic, partition), offset in sorted(wanted.items())
        if reached.get((topic, partition), 0) < offset
    )
