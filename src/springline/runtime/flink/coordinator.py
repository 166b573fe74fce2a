"""Makes cuts: asks the job for checkpoints, and says what each of them covers.

One cut is: ask every source where it stands now; wait until capture has published that; note where the job's input topics end; have a checkpoint made;
make sure that it covers those ends (what the job's sources had read before, or the offsets that they commit with it) and that its rows are committed (the sinks' transactions);
note where the derived topics end. Nothing else asks this job for checkpoints, so what is committed there then is exactly the checkpoint.

A cut is made at least every ``interval_s``, and at once when a serving node asks. Where nothing has come in since the last one, it costs no
checkpoint: the old one covers everything, and only the time moves.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Protocol

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

from springline.errors import SourceUnavailable, SpringlineError
from springline.log.kafka.clients import REQUEST_TIMEOUT_S, Kafka, kafka_errors
from springline.log.kafka.cut import Cut, Deployed
from springline.log.kafka.deployments import CURRENT, NEXT, promote, read_deployments
from springline.log.kafka.names import barriers_topic, cuts_topic, job_group, transaction_prefix
from springline.log.kafka.reading import last_json
from springline.log.kafka.topics import Offsets, committed_ends, partitions_of
from springline.log.kafka.transactions import Transactions, is_settled, newest_committed

POLL_S: Final = 0.01
SETTLE_TIMEOUT_S: Final = 30.0
READ_PATIENCE_S: Final = 2.0
"""How long the job's sources may take to read up to a mark before a checkpoint is asked for all the same."""

COVER_PATIENCE_S: Final = 0.5
"""How long the offsets of a checkpoint may take to be committed before another checkpoint is asked for."""

LOOK_EVERY_S: Final = 5.0
"""How often a new generation is looked at whether it has caught up."""

_logger = logging.getLogger("springline.cuts")


class Jobs(Protocol):
    """The deployed jobs, as far as cuts need them."""

    def checkpoint(self, deployed: Deployed, timeout_s: float) -> int:
        """Has a checkpoint made, and waits until it is complete; its number. Raises SourceUnavailable."""
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


Standing = Callable[[], Mark]
"""Asks the sources where they are, and returns when capture has published everything up to there. Raises SourceUnavailable."""


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
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cuts", daemon=True)
        self._last: Cut | None = None
        self._covered: Offsets = {}
        self._next_look = 0.0
        self._lacking = ""
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
        with kafka_errors(self._kafka, "making cuts"):
            producer = self._kafka.producer(f"{self._application}-cuts")
            producer.init_transactions(REQUEST_TIMEOUT_S)
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
                    producer.begin_transaction()
                    producer.produce(cuts_topic(self._application), cut.to_json(), b"cut")
                    producer.commit_transaction(REQUEST_TIMEOUT_S)
                    self._last, self.error = cut, None
                    self._wait(consumer, barriers)
            finally:
                consumer.close()

    def _wait(self, consumer: object, answered: int) -> None:
        """Until somebody asks for a cut who was not answered, or the interval is over."""
        from confluent_kafka import Consumer

        assert isinstance(consumer, Consumer)
        until = time.monotonic() + self._interval_s
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            message = consumer.poll(min(left, 0.2))
            if message is not None and message.error() is None and int(message.offset() or 0) >= answered:
                return

    def _resume(self) -> None:
        if (
            self._last is None
            and (found := last_json(self._kafka, cuts_topic(self._application))) is not None
        ):
            self._last = Cut.from_json(found)

    # -- a cut -----------------------------------------------------------------------------------------------------

    def _cut(self, barriers: int) -> Cut:
        """The next cut; of the next generation, if that has caught up with the present one."""
        times = [time.monotonic()]
        known = read_deployments(self._kafka, self._application)
        times.append(time.monotonic())
        if CURRENT not in known:
            raise SourceUnavailable(
                f"Application {self._application!r} is not deployed.", hint="Run `springline deploy`."
            )
        current, following = known[CURRENT], known.get(NEXT)
        mark = self._standing()
        times.append(time.monotonic())
        _logger.debug(
            "a mark: the deployment after %.0f ms, the sources and what is published after %.0f ms",
            *_between(times),
        )
        if following is not None and self._has_caught_up(following, mark):
            cut = self._covering(following, mark, barriers)
            promote(self._kafka, self._application, following)
            self._jobs.cancel(current)
            return cut
        return self._covering(current, mark, barriers)

    def _has_caught_up(self, deployed: Deployed, mark: Mark) -> bool:
        """Whether a checkpoint of a job that nobody follows yet covers a mark. Costs it a checkpoint, at most one in a while."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_EVERY_S
        self._jobs.checkpoint(deployed, SETTLE_TIMEOUT_S)
        return self._covered_by(deployed, mark.inputs) is not None

    def _covering(self, deployed: Deployed, mark: Mark, barriers: int) -> Cut:
        last = self._last
        number = 1 if last is None else last.number + 1
        if (
            last is not None
            and last.generation == deployed.generation
            and self._covered
            and covers(self._covered, mark.inputs)
        ):
            return replace(
                last,
                number=number,
                marked_at_us=mark.marked_at_us,
                positions=mark.positions,
                loading=mark.loading,
                barriers=barriers,
            )
        while True:
            times = [time.monotonic()]
            has_read = self._has_read(deployed, mark.inputs)
            times.append(time.monotonic())
            checkpoint = self._jobs.checkpoint(deployed, SETTLE_TIMEOUT_S)
            times.append(time.monotonic())
            covered = mark.inputs if has_read else self._covered_by(deployed, mark.inputs)
            if covered is None:
                _logger.debug("checkpoint %d was too early: %s", checkpoint, self._lacking)
                continue
            times.append(time.monotonic())
            offsets = self._settled(deployed, checkpoint)
            if offsets is None:
                _logger.debug("checkpoint %d was followed by another one", checkpoint)
                continue
            times.append(time.monotonic())
            self._covered = covered
            _logger.debug(
                "cut %d, checkpoint %d: read after %.0f ms, complete after %.0f ms, offsets after %.0f ms, rows after %.0f ms",
                number,
                checkpoint,
                *_between(times),
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
            )

    def _has_read(self, deployed: Deployed, inputs: Offsets) -> bool:
        """Whether the job's sources have read up to the mark: a checkpoint that is asked for then covers it. Waits a while for that."""
        deadline = time.monotonic() + READ_PATIENCE_S
        committed = self._committed(job_group(self._application, deployed.generation))
        while not covers({**committed, **self._jobs.read(deployed)}, inputs):
            if time.monotonic() > deadline:
                return False
            self._pause()
        return True

    def _covered_by(self, deployed: Deployed, inputs: Offsets) -> Offsets | None:
        """The offsets that the job's sources have committed with the checkpoint, once they are at the mark; None where it was too early."""
        deadline = time.monotonic() + COVER_PATIENCE_S
        while True:
            committed = self._committed(job_group(self._application, deployed.generation))
            if covers(committed, inputs):
                return committed
            if time.monotonic() > deadline:
                self._lacking = lacking(committed, inputs)
                return None
            self._pause()

    def _committed(self, group: str) -> Offsets:
        admin = self._kafka.admin
        asked = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=REQUEST_TIMEOUT_S
        )
        found = asked[group].result().topic_partitions
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}

    def _settled(self, deployed: Deployed, checkpoint: int) -> Offsets | None:
        """Where the derived topics end once everything of the checkpoint is committed; None where more is committed already, because
        somebody else has asked the job for a checkpoint."""
        prefix = transaction_prefix(self._application, deployed.generation)
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while not is_settled(self._transactions.states(prefix), checkpoint):
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    f"The rows of checkpoint {checkpoint} were not committed within {SETTLE_TIMEOUT_S:g} s.",
                    hint="See the job's exceptions in Flink's own page.",
                )
            self._pause()
        topics = [one.topic for one in deployed.relations]
        ends = committed_ends(self._kafka, partitions_of(self._kafka, topics))
        if newest_committed(self._transactions.states(prefix)) > checkpoint:
            return None
        return ends

    def _pause(self) -> None:
        if self._stop.wait(POLL_S):
            raise SourceUnavailable("The coordinator was stopped.")


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


def _between(times: Sequence[float]) -> list[float]:
    """Milliseconds from each time to the next. Pure."""
    return [(later - sooner) * 1_000 for sooner, later in pairwise(times)]
